"""Embeddings: parsing of requests, and rendering for the official SDK."""

import base64
import json
import struct
from typing import Any

import pytest
from openai.types import CreateEmbeddingResponse
from support.incoming import incoming
from support.turns import turn

from llmsim.domain import Choice, Embedding, FinishReason, Message, Usage
from llmsim.errors import (
    InputError,
    InputLengthError,
    InvalidFieldError,
    ModelUseError,
    RefusedError,
    RequestTokensError,
    ShortenedError,
)
from llmsim.planning.cost import is_laborious
from llmsim.providers.anthropic.errors import render_refusal as render_anthropic_refusal
from llmsim.providers.contract import ParsedRequest
from llmsim.providers.openai.embeddings import EMBEDDINGS, EmbeddingOptions, render_response
from llmsim.providers.openai.embeddings import parse as parse_request
from llmsim.providers.openai.errors import render_refusal


def parse(body: bytes) -> Any:
    """Parse a body."""
    return parse_request(incoming(body))


SMALL = "text-embedding-3-small"


def parsed(given: Any, **fields: Any) -> ParsedRequest:
    return parse(json.dumps({"model": SMALL, "input": given} | fields).encode())


class TestParse:
    """Requests."""

    @pytest.mark.parametrize(
        ("given", "messages"),
        [
            ("hello", (Message("input", ("hello",)),)),
            (" ", (Message("input", (" ",)),)),
            (["a", "b"], (Message("input", ("a",)), Message("input", ("b",)))),
            ([1, 2], (Message("input", (), token_ids=(1, 2)),)),
            ([[1, 2], [3]], (Message("input", (), token_ids=(1, 2)), Message("input", (), token_ids=(3,)))),
        ],
        ids=repr,
    )
    def test_inputs_of_four_kinds_are_accepted(self, given: Any, messages: tuple[Message, ...]) -> None:
        """EMBD-1.1: Each text is a message of a prompt without an answer."""
        prompt = parsed(given).prompt

        assert prompt.messages == messages
        assert (prompt.model, prompt.silent, prompt.stream) == (SMALL, True, False)
        assert prompt.embedding == Embedding(None, 300_000)

    @pytest.mark.parametrize(
        "given",
        [
            *("", [], [""], ["a", ""], [[]], [[1], []], None, 5, True, {"text": "a"}),
            *(["a", 1], [1, "a"], ["a", [1]], [[1], 2], [1.5], [["a"]], [[[1]]], [None], ["a", None], [True]),
            ["a"] * 2049,
            [1] * 2049,
            [[1]] * 2049,
        ],
        ids=lambda given: repr(given)[:20],
    )
    def test_any_other_input_is_refused(self, given: Any) -> None:
        """EMBD-1.2: It is empty, of another kind, mixed, or too long."""
        with pytest.raises(InputError):
            parsed(given)

    def test_the_largest_number_of_texts(self) -> None:
        """EMBD-1.2: 2,048 entries are accepted, and a list of token ids inside may be longer."""
        assert len(parsed(["a"] * 2048).prompt.messages) == 2048
        assert len(parsed([[1] * 8192]).prompt.messages[0].token_ids) == 8192

    def test_an_input_is_required(self) -> None:
        """EMBD-1.2: A missing input is refused as missing."""
        with pytest.raises(InvalidFieldError) as refused:
            parse(b'{"model": "m"}')

        assert (refused.value.path, refused.value.rule) == (("input",), "missing")

    @pytest.mark.parametrize(
        ("fields", "path", "rule"),
        [
            ({"dimensions": 0}, ("dimensions",), "minimum"),
            ({"dimensions": "256"}, ("dimensions",), "type"),
            ({"encoding_format": "hex"}, ("encoding_format",), "choice"),
            ({"user": 5}, ("user",), "type"),
            ({"model": ""}, ("model",), "too_short"),
        ],
    )
    def test_wrong_fields_are_named(self, fields: dict[str, Any], path: tuple[str, ...], rule: str) -> None:
        """EMBD-1.5: Every other field is refused by its name."""
        with pytest.raises(InvalidFieldError) as refused:
            parsed("a", **fields)

        assert (refused.value.path, refused.value.rule) == (path, rule)

    @pytest.mark.parametrize(
        ("fields", "options", "dimensions"),
        [
            ({}, EmbeddingOptions(base64=False), None),
            (
                {"encoding_format": None, "dimensions": None, "user": None},
                EmbeddingOptions(base64=False),
                None,
            ),
            ({"encoding_format": "float", "dimensions": 1}, EmbeddingOptions(base64=False), 1),
            ({"encoding_format": "base64", "user": "u"}, EmbeddingOptions(base64=True), None),
        ],
    )
    def test_options(self, fields: dict[str, Any], options: EmbeddingOptions, dimensions: int | None) -> None:
        """EMBD-2.2: Vectors are numbers unless base64 is requested."""
        ask = parsed("a", **fields)

        assert ask.options == options
        assert ask.prompt.embedding is not None
        assert ask.prompt.embedding.dimensions == dimensions

    @pytest.mark.parametrize(
        ("given", "heavy"),
        [
            ("hello", False),
            (["a", "b"], False),
            (["a", "b", "c"], True),
            ("x" * 2001, True),
            ([[1] * 1001] * 2, True),
        ],
        ids=lambda given: repr(given)[:20],
    )
    def test_many_or_long_texts_are_heavy(self, given: Any, heavy: bool) -> None:
        """EMBD-5.1: They are heavy even if the body is small."""
        assert is_laborious(parsed(given).prompt) is heavy


class TestRender:
    """Answers."""

    TURN = turn(
        Choice((), FinishReason.STOP),
        model="text-embedding-3-large",
        usage=Usage(prompt=7, completion=0),
        vectors=(struct.pack("<2f", 0.5, -0.25), struct.pack("<2f", 1.0, 1e-9)),
    )

    def test_an_answer_has_the_apis_fields(self) -> None:
        """EMBD-2.1: List, entries in order, model and usage, and no field that the SDK does not know."""
        answer = json.loads(render_response(self.TURN, EmbeddingOptions()))

        assert list(answer) == ["object", "data", "model", "usage"]
        assert [list(entry) for entry in answer["data"]] == [["object", "index", "embedding"]] * 2
        assert [entry["index"] for entry in answer["data"]] == [0, 1]
        assert answer["usage"] == {"prompt_tokens": 7, "total_tokens": 7}
        CreateEmbeddingResponse.model_validate_json(json.dumps(answer), strict=True)

    def test_both_formats_have_the_same_numbers(self) -> None:
        """EMBD-2.2: Base64 holds the numbers as little-endian 32-bit floats."""
        plain = json.loads(render_response(self.TURN, EmbeddingOptions()))["data"]
        packed = json.loads(render_response(self.TURN, EmbeddingOptions(base64=True)))["data"]

        assert plain[0]["embedding"] == [0.5, -0.25]
        assert [list(struct.unpack("<2f", base64.b64decode(entry["embedding"]))) for entry in packed] == [
            entry["embedding"] for entry in plain
        ]

    def test_the_embeddings_endpoint_does_not_stream(self) -> None:
        """EMBD-2.4: There is no stream, whatever the request says."""
        assert EMBEDDINGS.http.render_stream is None
        assert not parsed("a", stream=True).prompt.stream


REFUSALS: list[tuple[RefusedError, int, dict[str, Any]]] = [
    (
        InputError("x"),
        400,
        {
            "message": "'$.input' is invalid. Please check the API reference: https://platform.openai.com/docs/api-reference.",
            "type": "invalid_request_error",
            "param": None,
            "code": None,
        },
    ),
    (
        InputLengthError(8192, 9000),
        400,
        {
            "message": "Invalid 'input': maximum context length is 8192 tokens.",
            "type": "invalid_request_error",
            "param": None,
            "code": None,
        },
    ),
    (
        InputLengthError(8192, 9000, 3),
        400,
        {
            "message": "Invalid 'input[3]': maximum context length is 8192 tokens.",
            "type": "invalid_request_error",
            "param": None,
            "code": None,
        },
    ),
    (
        RequestTokensError(300_000, 309_209),
        400,
        {
            "message": "Requested 309209 tokens, max 300000 tokens per request",
            "type": "max_tokens_per_request",
            "param": None,
            "code": "max_tokens_per_request",
        },
    ),
    (
        ShortenedError("m"),
        400,
        {
            "message": "This model does not support specifying dimensions.",
            "type": "invalid_request_error",
            "param": None,
            "code": None,
        },
    ),
    (
        ModelUseError("gpt-4o", embeds=True),
        403,
        {
            "message": "You are not allowed to generate embeddings from this model",
            "type": "invalid_request_error",
            "param": None,
            "code": None,
        },
    ),
    (
        ModelUseError(SMALL, embeds=False),
        404,
        {
            "message": "This is not a chat model and thus not supported in the v1/chat/completions endpoint. Did you mean "
            "to use v1/completions?",
            "type": "invalid_request_error",
            "param": "model",
            "code": None,
        },
    ),
]


@pytest.mark.parametrize(
    ("error", "status", "body"), REFUSALS, ids=[type(error).__name__ for error, _, _ in REFUSALS]
)
def test_refusals_have_the_wording_of_the_api(error: RefusedError, status: int, body: dict[str, Any]) -> None:
    """EMBD-1.2, EMBD-1.3, EMBD-1.4, EMBD-1.5, EMBD-4.2, EMBD-4.3: Status, message, type, param and code are OpenAI's."""
    reply = render_refusal(error)

    assert (reply.status, json.loads(reply.body)) == (status, {"error": body})


def test_anthropic_has_no_embedding_models() -> None:
    """EMBD-4.3: An embedding model is unknown to another provider."""
    reply = render_anthropic_refusal(ModelUseError(SMALL, embeds=False))

    assert reply.status == 404
    assert json.loads(reply.body)["error"] == {"type": "not_found_error", "message": f"model: {SMALL}"}
