"""The codec: msgspec's sentences are parsed to errors that name the field, and texts are escaped once."""

import contextlib
import gc
import json
import weakref
from typing import Annotated, Any, Literal

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from msgspec import Meta, Struct
from support.turns import tokenized

from llmsim.domain import TokenizedText
from llmsim.errors import InvalidFieldError, InvalidJsonError
from llmsim.wire.codec import TokenizedTextMemo, decoder, escaped_pieces, piece_tokens


class Circle(Struct, tag_field="kind", tag="circle"):
    """One shape of a union."""

    radius: int
    colour: Literal["red", "blue"] = "red"


class Square(Struct, tag_field="kind", tag="square"):
    """The other shape."""

    side: float
    colour: Literal["green"] = "green"


class Drawing(Struct):
    """A body with every kind of rule."""

    title: Annotated[str, Meta(min_length=1, max_length=5)]
    shapes: list[Circle | Square] = []
    count: Annotated[int, Meta(ge=-(2**63), le=2**63 - 1)] | None = None
    share: Annotated[float, Meta(gt=0.5, le=2)] | None = None
    code: Annotated[str, Meta(pattern="^[a-z]+$")] | None = None
    mode: Literal["fast", "slow"] | None = None
    level: Literal[1, 2] | None = None
    open: bool | None = None
    tags: Annotated[list[str], Meta(max_length=2)] | str | None = None
    bias: dict[str, Annotated[float, Meta(ge=-1, le=1)]] | None = None
    notes: dict[Annotated[str, Meta(max_length=3)], Annotated[str, Meta(max_length=4)]] | None = None
    grid: dict[str, list[int]] | None = None


decode = decoder(Drawing)


def refusal(body: bytes | dict[str, Any]) -> InvalidFieldError:
    with pytest.raises(InvalidFieldError) as refused:
        decode(body if isinstance(body, bytes) else json.dumps(body).encode())
    return refused.value


SENTENCES: list[tuple[dict[str, Any], tuple[Any, ...]]] = [
    ({"title": None}, (("title",), "type", "str", None)),
    ({"title": 5}, (("title",), "type", "str", 5)),
    ({"title": ""}, (("title",), "too_short", 1, "")),
    ({"title": "abcdef"}, (("title",), "too_long", 5, "abcdef")),
    ({"count": 1.5}, (("count",), "type", "int | null", 1.5)),
    ({"count": True}, (("count",), "type", "int | null", True)),
    ({"count": 2**63}, (("count",), "maximum", 2**63 - 1, 2**63)),
    ({"count": -(2**63) - 1}, (("count",), "minimum", -(2**63), -float(2**63))),
    ({"share": 0.1}, (("share",), "minimum", 0.5, 0.1)),
    ({"share": 3}, (("share",), "maximum", 2, 3)),
    ({"share": "1"}, (("share",), "type", "float | null", "1")),
    ({"code": "A"}, (("code",), "pattern", "'^[a-z]+$'", "A")),
    ({"mode": "idle"}, (("mode",), "choice", ("fast", "slow"), "idle")),
    ({"mode": 5}, (("mode",), "choice", ("fast", "slow"), 5)),
    ({"mode": ["fast"]}, (("mode",), "choice", ("fast", "slow"), ["fast"])),
    ({"level": 3}, (("level",), "choice", (1, 2), 3)),
    ({"open": "yes"}, (("open",), "type", "bool | null", "yes")),
    ({"tags": 5}, (("tags",), "type", "str | array | null", 5)),
    ({"tags": ["a", "b", "c"]}, (("tags",), "too_long", 2, ["a", "b", "c"])),
    ({"tags": ["a", 7]}, (("tags", 1), "type", "str", 7)),
    ({"shapes": {}}, (("shapes",), "type", "array", {})),
    ({"shapes": ["x"]}, (("shapes", 0), "type", "object", "x")),
    ({"shapes": [{"radius": 1}]}, (("shapes", 0, "kind"), "missing", None, None)),
    ({"shapes": [{"kind": "oval"}]}, (("shapes", 0, "kind"), "choice", ("circle", "square"), "oval")),
    ({"shapes": [{"kind": 5}]}, (("shapes", 0, "kind"), "choice", ("circle", "square"), 5)),
    ({"shapes": [{"kind": "circle"}]}, (("shapes", 0, "radius"), "missing", None, None)),
    (
        {"shapes": [{"kind": "circle", "radius": 1}, {"kind": "square", "side": None}]},
        (("shapes", 1, "side"), "type", "float", None),
    ),
    (
        {"shapes": [{"kind": "circle", "radius": 1, "colour": "green"}]},
        (("shapes", 0, "colour"), "choice", ("blue", "red"), "green"),
    ),
    (
        {"shapes": [{"kind": "square", "side": 1, "colour": "red"}]},
        (("shapes", 0, "colour"), "choice", ("green",), "red"),
    ),
    ({"bias": {"7": 0, "8": 5, "9": 6}}, (("bias", "8"), "maximum", 1, 5)),
    ({"bias": {"7": -1.5}}, (("bias", "7"), "minimum", -1, -1.5)),
    ({"bias": {"7": 0, "8": "x"}}, (("bias", "8"), "type", "float", "x")),
    ({"bias": [1]}, (("bias",), "type", "object | null", [1])),
    ({"notes": {"abcd": "x"}}, (("notes",), "too_long", 3, "abcd")),
    ({"notes": {"a": "x", "b": "longer"}}, (("notes", "b"), "too_long", 4, "longer")),
    ({"notes": {"a": "x", "b": None}}, (("notes", "b"), "type", "str", None)),
    ({"grid": {"a": [1, "x"]}}, (("grid",), "type", "int", {"a": [1, "x"]})),
]


@pytest.mark.parametrize(("fields", "wanted"), SENTENCES, ids=[str(fields) for fields, _ in SENTENCES])
def test_each_sentence_becomes_field_rule_and_value(fields: dict[str, Any], wanted: tuple[Any, ...]) -> None:
    """CHAT-1.2: An error has the field, the broken rule, what it requires and the value found."""
    error = refusal({"title": "ok"} | fields)

    assert (error.path, error.rule, error.wanted, error.found) == wanted


@pytest.mark.parametrize(
    ("body", "kind"), [(b"[]", "array"), (b"5", "int"), (b"null", "null"), (b'"x"', "str")]
)
def test_a_body_that_is_not_an_object_has_a_wrong_type(body: bytes, kind: str) -> None:
    """CHAT-1.2: The refusal names the type of the whole body."""
    error = refusal(body)

    assert (error.path, error.rule, error.wanted) == ((), "type", "object")
    assert error.found == json.loads(body)


def test_a_missing_field_is_named() -> None:
    """CHAT-1.2: The error has the path of the missing field."""
    error = refusal(b"{}")

    assert (error.path, error.rule) == (("title",), "missing")


DUPLICATES = [
    b'{"title":"","title":5}',
    b'{"title":"ok","shapes":[{"kind":"oval"}],"shapes":[]}',
    b'{"title":"ok","shapes":[{"kind":"circle","radius":"x"}],"shapes":7}',
    b'{"title":"ok","bias":{"a":5},"bias":{}}',
    b'{"title":"ok","bias":{"a":5},"bias":3}',
    b'{"title":"ok","bias":{"a":5,"b":"x","a":0}}',
    b'{"title":"ok","notes":{"abcd":"x"},"notes":[1]}',
    b'{"title":"ok","notes":{"abcd":"x"},"notes":{}}',
    b'{"title":"ok","notes":{"a":"longer","a":5}}',
]


@pytest.mark.parametrize("body", DUPLICATES)
def test_repeated_keys_are_refused_safely(body: bytes) -> None:
    """ARCH-4.2: A wrong value that a second one of the same key hides is still refused."""
    assert refusal(body).path


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"nul",
        b'{"title":"ok"} x',
        b'{"title":"ok","share":NaN}',
        b'{"title":"ok",}',
        b"{'title':'ok'}",
        b'\xef\xbb\xbf{"title":"ok"}',
        '{"title":"ok"}'.encode("utf-16"),
        b'{"title":"o\x01k"}',
    ],
)
def test_what_is_not_json_is_refused_as_such(body: bytes) -> None:
    """CHAT-1.2: The refusal of a body that is not JSON names no field."""
    with pytest.raises(InvalidJsonError):
        decode(body)


@pytest.mark.parametrize(
    "body",
    [
        b'{"title":"\xff"}',
        b'{"title":"ok","unknown":"\xff"}',
        b'{"title":"ok","\xff":1}',
        b'{"title":5,"unknown":"\xff"}',
        b'{"title":"ok","unknown":"\xed\xa0\x80"}',
    ],
    ids=["known", "unknown", "key", "after a wrong field", "surrogate bytes"],
)
def test_bytes_that_are_not_utf8_are_refused_anywhere(body: bytes) -> None:
    """CHAT-1.2: A body that is not UTF-8 is refused, even if the invalid bytes are in an unknown field."""
    with pytest.raises(InvalidJsonError):
        decode(body)


@pytest.mark.parametrize("text", ["\\ud800", "\\udfff", "\\ud83d\\u0041"])
@pytest.mark.parametrize("field", ["title", "unknown"])
def test_lone_surrogates_are_refused(field: str, text: str) -> None:
    """CHAT-1.2: Half a surrogate pair could not be encoded again."""
    body = f'{{"title":"ok","{field}":"{text}"}}'.encode()

    with pytest.raises(InvalidJsonError):
        decode(body)


def test_a_wrong_field_before_broken_syntax_is_broken_syntax() -> None:
    """CHAT-1.2: If the body is not JSON, the error names no field."""
    with pytest.raises(InvalidJsonError):
        decode(b'{"title":5, oops')


@pytest.mark.parametrize("depth", [2_000, 200_000])
@pytest.mark.parametrize("head", [b"", b'{"title":"ok","unknown":', b'{"title":"ok","shapes":', b'{"title":'])
@pytest.mark.parametrize(("left", "right"), [(b"[", b"]"), (b'{"a":', b"}")])
def test_deep_nesting_is_refused(head: bytes, left: bytes, right: bytes, depth: int) -> None:
    """ARCH-4.2: A body nested deeper than the stack is refused, closed or not."""
    tail = b"}" if head else b""

    for body in (head + left * depth, head + left * depth + b"1" + right * depth + tail):
        with pytest.raises((InvalidJsonError, InvalidFieldError)):
            decode(body)


@pytest.mark.parametrize("digits", [20, 100, 400, 5_000, 100_000])
@pytest.mark.parametrize("sign", ["", "-"])
@pytest.mark.parametrize("field", ["count", "share", "title", "level", "mode", "open", "shapes"])
def test_huge_numbers_are_refused(field: str, sign: str, digits: int) -> None:
    """ARCH-4.2: A number of any length is refused if it does not fit, and costs no more than an error."""
    body = f'{{"title":"ok","{field}":{sign}{"9" * digits}}}'.encode()

    with pytest.raises((InvalidJsonError, InvalidFieldError)):
        decode(body)


@pytest.mark.parametrize("number", ["1e400", "-1e400", "1e999999999999"])
def test_numbers_beyond_a_double_are_refused(number: str) -> None:
    """ARCH-4.2: A number that does not fit a double is refused, but not as a wrong type."""
    with pytest.raises(InvalidJsonError):
        decode(f'{{"title":"ok","share":{number}}}'.encode())


def test_unknown_fields_are_ignored() -> None:
    """CHAT-1.7: Undeclared fields are skipped, whatever their values."""
    assert decode(b'{"title":"ok","future":{"a":[1,null,{"b":1e5}]}}').title == "ok"


def test_null_is_the_default_of_an_optional_field() -> None:
    """CHAT-1.7: `null` is accepted for every optional field."""
    body = {"title": "ok", "count": None, "mode": None, "tags": None, "bias": None, "notes": None}

    assert decode(json.dumps(body).encode()) == Drawing(title="ok")


@given(st.binary(max_size=60))
@example(b'{"title":"\\u0000"}')
@example(b"\xff\xfe")
def test_any_bytes_are_accepted_or_refused(body: bytes) -> None:
    """ARCH-4.2: For any bytes the decoder returns a value or raises one of its two refusals."""
    with contextlib.suppress(InvalidJsonError, InvalidFieldError):
        assert isinstance(decode(body), Drawing)


SCALARS = (
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=6)
)
ANYTHING = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["kind", "radius", "side", "colour", "a"]) | st.text(max_size=4),
            inner,
            max_size=3,
        )
    ),
    max_leaves=8,
)
DRAWINGS = st.fixed_dictionaries(
    {},
    optional=dict.fromkeys(Drawing.__struct_fields__, ANYTHING)
    | {
        "title": st.just("ok") | ANYTHING,
        "shapes": st.lists(
            st.fixed_dictionaries(
                {"kind": st.sampled_from(["circle", "square", "oval"]) | SCALARS},
                optional={"radius": ANYTHING, "side": ANYTHING, "colour": ANYTHING},
            )
            | ANYTHING,
            max_size=3,
        ),
        "bias": st.dictionaries(st.text(max_size=3), ANYTHING, max_size=3),
        "notes": st.dictionaries(st.text(max_size=5), ANYTHING, max_size=3),
    },
)


@given(DRAWINGS | ANYTHING)
def test_any_json_is_accepted_or_refused_with_a_path(value: Any) -> None:
    """CHAT-1.2: For any JSON an error's path leads to the value that it reports."""
    try:
        decode(json.dumps(value).encode())
    except InvalidFieldError as refused:
        error = refused
    else:
        return

    node = value
    for step in error.path[: -1 if error.rule == "missing" else None]:
        node = node[step]
    if error.rule == "missing":
        assert error.path[-1] not in node
    elif error.rule == "too_long" and error.path == ("notes",):
        assert error.found in node
    else:
        assert error.found == node


@given(st.lists(st.text(min_size=1, max_size=8), max_size=6))
def test_pieces_are_escaped_as_json(pieces: list[str]) -> None:
    """CHAT-3.5: A piece in a JSON string decodes to the piece."""
    text = tokenized(*pieces)

    assert [json.loads(b'"' + piece + b'"') for piece in escaped_pieces(text)] == pieces


def test_tokens_of_each_piece_are_counted() -> None:
    """CHAT-2.6: A piece carries the tokens between the end of the previous piece and its own."""
    assert piece_tokens(tokenized("a", "🦜", "b", spans=[1, 3, 2])) == (1, 3, 2)


def test_a_memo_lives_as_long_as_its_text() -> None:
    """ARCH-4.3: The result for a pooled text is computed once, and is gone with the text."""
    derived: list[str] = []

    def derive(text: TokenizedText) -> str:
        derived.append(text.text)
        return text.text.upper()

    memo = TokenizedTextMemo(derive)
    text = tokenized("a")
    alive = weakref.ref(text)
    twice = [memo(text), memo(text)]
    del text
    gc.collect()

    assert twice == ["A", "A"]
    assert derived == ["a"]
    assert alive() is None
