"""Bounds of JSON."""

import json
from typing import Annotated, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Meta

from llmsim.budgets import json_problem
from llmsim.errors import InvalidFieldError, InvalidJsonError, ScriptError
from llmsim.scripts.reading import read
from llmsim.wire.codec import decoder, encode_for_message

DEEP = "more than 200 levels of nesting"
LARGE = "an integer of more than 64 bits"

VALUES = st.recursive(
    st.none()
    | st.integers()
    | st.integers(-(1 << 70), 1 << 70)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.sampled_from('[]{}"\\1234567890abc'), max_size=40),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=3), inner, max_size=4),
    max_leaves=20,
)


def integers(value: Any) -> list[int]:
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, list):
        return [number for item in value for number in integers(item)]
    return [value] if isinstance(value, int) else []


@given(VALUES, st.sampled_from([0, 195, 198, 199, 200, 201, 250]), st.booleans())
def test_what_is_beyond_the_bounds_is_found(value: Any, levels: int, is_ascii: bool) -> None:
    """BUDG-1.1: Depth and integers are counted outside of texts, exactly."""

    def depth(one: Any) -> int:
        inner = one.values() if isinstance(one, dict) else one
        return 1 + max(map(depth, inner), default=0) if isinstance(one, dict | list) else 0

    body = b"[" * levels + json.dumps(value, ensure_ascii=is_ascii).encode() + b"]" * levels
    is_large = any(not -(1 << 63) <= number < 1 << 64 for number in integers(value))

    assert json_problem(body) == (DEEP if levels + depth(value) > 200 else LARGE if is_large else None)


def test_values_are_bounded() -> None:
    """BUDG-1.4: Commas in texts count nothing; what is behind them does."""
    decode = decoder(Any)  # type: ignore[arg-type]
    assert len(decode(b"[" + b"0," * 499_999 + b"0]")) == 500_000
    assert decode(b'["' + b"," * 600_000 + b'"]') == ["," * 600_000]
    for body in (
        b"[" + b"0," * 500_000 + b"0]",
        b'{"a": "' + b"," * 9 + b'", "b": [' + b"{}," * 500_000 + b"{}]}",
    ):
        with pytest.raises(InvalidJsonError, match="more than 500,000 values"):
            decode(body)


@pytest.mark.parametrize(
    ("body", "problem"),
    [
        (b"1" * 5000, LARGE),
        (b"18446744073709551615", None),
        (b"18446744073709551616", LARGE),
        (b"-9223372036854775808", None),
        (b"-9223372036854775809", LARGE),
        (b"1" * 5000 + b".5", None),
        (b"1" * 300 + b"e5", None),
        (b"1e" + b"1" * 30, None),
        (b"0." + b"1" * 300, None),
        (b'"' + b"1" * 300 + b'"', None),
        (b'"\\"' + b"1" * 300 + b'\\\\"', None),
        (b'{"a":"\\\\","b":' + b"1" * 30 + b"}", LARGE),
        (b'"' + b"[" * 300 + b'"', None),
        (b"[" * 300, DEEP),
        (b"]" * 300, None),
        (b'["' + b"x" * 70_000 + b'",' + b"[" * 300, DEEP),
    ],
    ids=lambda given: repr(given)[:20],
)
def test_edges(body: bytes, problem: str | None) -> None:
    """BUDG-1.1: Only what is an integer counts, and only brackets outside of texts."""
    assert json_problem(body) == problem


def test_decoders_refuse_it() -> None:
    """BUDG-1.1: Every decoder refuses it; a field that is out of its range is named."""
    decode = decoder(dict[str, Any])

    for body in (b'{"a":' + b"[" * 200 + b"]" * 200 + b"}", b'{"a":' + b"9" * 30 + b"}"):
        with pytest.raises(InvalidJsonError):
            decode(body)
    with pytest.raises(InvalidFieldError):
        decoder(dict[str, Annotated[int, Meta(le=10)]])(b'{"a":' + b"9" * 30 + b"}")


@pytest.mark.parametrize("value", [2**70, {"a": [2**64]}, "x", float("nan"), object, {1: 2}])
def test_any_value_can_be_shown(value: Any) -> None:
    """BUDG-1.3: An error message never fails for the value that it shows."""
    deep: list[Any] = []
    for _ in range(900):
        deep = [deep]

    assert encode_for_message(value)
    assert encode_for_message(deep)


@pytest.mark.parametrize(
    ("script", "form"),
    [
        ('{"turns":[{"type":"assistant","text":"x","repeat":' + "9" * 400 + "}]}", "json"),
        ('{"turns":[{"type":"assistant","text":"x","delay_ms":' + "9" * 4000 + "}]}", "json"),
        ("turns:\n- type: assistant\n  text: x\n  repeat: 0x" + "f" * 9000, "yaml"),
        ("[[turns]]\ntype='assistant'\ntext='x'\nrepeat=0x" + "f" * 9000, "toml"),
        ('{"turns":' + "[" * 300 + "]" * 300 + "}", "json"),
        (
            '{"turns":[{"type":"assistant","text":"x","expect":{"contains":[],"matches":"(?u)(?a)x"}}]}',
            "json",
        ),
        ('{"turns":[{"type":"assistant","text":"x","expect":{"model":"' + "*" * 2000 + '"}}]}', "json"),
    ],
    ids=range(7),
)
def test_scripts_are_refused(script: str, form: Any) -> None:
    """BUDG-1.2: Numbers, levels and patterns of a script have bounds, too."""
    with pytest.raises(ScriptError):
        read(script.encode(), form, "s")
