"""Any JSON, to every endpoint that generates."""

import json
import random
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support.incoming import incoming
from support.planning import NoPrefixCache, plan

from llmsim.catalogue import load_catalogue
from llmsim.config import Settings
from llmsim.domain import Fault
from llmsim.errors import RefusedError
from llmsim.planning.cost import is_laborious
from llmsim.planning.planner import Planner
from llmsim.providers.contract import GenerationEndpoint
from llmsim.providers.registry import PROVIDERS

ENDPOINTS = [
    pytest.param(provider, endpoint, id=endpoint.label + endpoint.path.partition(":")[2])
    for provider in PROVIDERS
    for endpoint in provider.generation_endpoints
    if endpoint.path.startswith("/v1/") and not endpoint.takes_forms
]
PLANNER = Planner(Settings(), load_catalogue(), lambda: 1_700_000_000.0)


class Deep(dict[str, Any]):
    """A value in many lists, which no encoder could walk through."""


def deep(pair: tuple[int, Any]) -> Deep:
    return Deep(levels=pair[0], value=pair[1])


NAMES = """model messages role user assistant system tool content text type input instructions tools function name parameters tool_choice
    required response_format json_schema schema strict metadata max_tokens stop n logprobs top_logprobs stream tool_calls arguments id
    tool_use tool_result input_schema cache_control thinking output_config reasoning store previous_response_id encoding_format
    dimensions pattern minItems minimum multipleOf enum const anyOf not items properties $ref # image_url url source data base64
    contents parts systemInstruction system_instruction functionDeclarations parametersJsonSchema generationConfig responseSchema
    responseMimeType functionCall functionResponse args response inlineData mimeType thinkingConfig requests outputDimensionality
    prompt echo best_of suffix""".split()

SCALARS = (
    st.sampled_from(NAMES)
    | st.none()
    | st.booleans()
    | st.integers(-5, 5)
    | st.integers(-(1 << 80), 1 << 80)
    | st.sampled_from([10**400, 1e308, 5e-324, -0.0, "\ud800", "((((a*)*)*)*)*b", "(?u)(?a)x", "[[[["])
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=5)
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(NAMES), inner, max_size=5)
        | st.tuples(st.sampled_from([2, 150, 190, 198, 199, 200, 250, 990, 5000]), inner).map(deep)
    ),
    max_leaves=12,
)


def encoded(value: Any) -> bytes:
    if isinstance(value, Deep):
        return b"[" * value["levels"] + encoded(value["value"]) + b"]" * value["levels"]
    if isinstance(value, dict):
        return b"{%b}" % b",".join(encoded(str(key)) + b":" + encoded(inner) for key, inner in value.items())
    if isinstance(value, list):
        return b"[%b]" % b",".join(map(encoded, value))
    return json.dumps(value).encode()


BODY: dict[str, dict[str, Any]] = {
    "messages": {
        "model": "claude-sonnet-4-5",
        "max_tokens": 50,
        "messages": [{"role": "user", "content": "a"}],
    },
    "embeddings": {"model": "text-embedding-3-small", "input": "a"},
    "models/{model}:generateContent": {"contents": [{"parts": [{"text": "a"}]}]},
    "models/{model}:streamGenerateContent": {"contents": [{"parts": [{"text": "a"}]}]},
    "models/{model}:embedContent": {"content": {"parts": [{"text": "a"}]}},
    "models/{model}:batchEmbedContents": {"requests": [{"content": {"parts": [{"text": "a"}]}}]},
    "chat": {"model": "gpt-4o", "messages": [{"role": "user", "content": "a"}]},
    "responses": {"model": "gpt-4o", "input": "a"},
    "moderations": {"input": "a"},
    "images/generations": {"prompt": "a", "size": "16x16"},
    "audio/speech": {"model": "tts-1", "voice": "alloy", "input": "a"},
    "v1/completions": {"model": "gpt-3.5-turbo-instruct", "prompt": "a", "max_tokens": 5},
}


def body_of(path: str) -> dict[str, Any]:
    return next(body for word, body in BODY.items() if f"/{word}" in path)


def check_refusal(endpoint: GenerationEndpoint[Any], provider: Any, error: RefusedError) -> None:
    assert endpoint.http.render_refusal(error).status in range(400, 500)
    assert provider.render_refusal(error).body
    assert str(error)


def answer(endpoint: GenerationEndpoint[Any], provider: Any, body: bytes) -> None:
    headers = {"anthropic-version": "2023-06-01", "x-api-key": "k"}
    try:
        parsed = endpoint.http.parse(
            incoming(body, headers=headers, path=endpoint.path, path_params={"model": "acme-1"})
        )
        is_laborious(parsed.prompt)
        outcome = plan(PLANNER, parsed.prompt, cache=NoPrefixCache())
    except RefusedError as error:
        check_refusal(endpoint, provider, error)
        return
    assert not isinstance(outcome, Fault)
    body = endpoint.render_response(outcome, parsed.options)
    if endpoint.response_headers is None:
        json.loads(body)
    if parsed.prompt.stream and endpoint.http.render_stream is not None:
        for batch in endpoint.http.render_stream(outcome, parsed.options):
            assert batch is not None


@pytest.mark.parametrize(("provider", "endpoint"), ENDPOINTS)
@settings(suppress_health_check=[HealthCheck.too_slow])
@given(st.dictionaries(st.sampled_from(NAMES), VALUES, max_size=4))
def test_only_refusals_leave_any_json(provider: Any, endpoint: Any, fields: dict[str, Any]) -> None:
    """BUDG-1.3: Whatever a field holds, levels without end and numbers without bound included, the request is answered or refused."""
    answer(endpoint, provider, encoded(body_of(endpoint.path) | fields))


def swapped(value: Any, rng: random.Random, other: Any) -> Any:
    """Return a value with one of its parts replaced."""
    if not isinstance(value, dict | list) or not value or rng.random() < 0.2:
        return other
    if isinstance(value, list):
        place = rng.randrange(len(value))
        return [swapped(item, rng, other) if index == place else item for index, item in enumerate(value)]
    name = rng.choice(list(value))
    return {key: swapped(item, rng, other) if key == name else item for key, item in value.items()}


SCHEMA = {
    "type": "object",
    "properties": {
        "a": {"type": "string", "pattern": "^a+$"},
        "b": {"type": "array", "items": {"enum": [1, "x"]}, "minItems": 1},
    },
    "required": ["a", "b"],
    "additionalProperties": False,
}
RICH: dict[str, dict[str, Any]] = {
    "messages": BODY["messages"]
    | {
        "system": [{"type": "text", "text": "s", "cache_control": {"type": "ephemeral"}}],
        "tools": [{"name": "f", "input_schema": SCHEMA}],
        "tool_choice": {"type": "any"},
        "metadata": {"user_id": "u"},
    },
    "embeddings": BODY["embeddings"] | {"dimensions": 8, "encoding_format": "float"},
    "models/{model}:embedContent": BODY["models/{model}:embedContent"] | {"outputDimensionality": 8},
    "models/{model}:batchEmbedContents": BODY["models/{model}:batchEmbedContents"],
    **{
        f"models/{{model}}:{verb}": {
            "contents": [
                {
                    "role": "user",
                    "parts": [{"text": "a"}, {"inlineData": {"mimeType": "image/png", "data": "AA=="}}],
                },
                {
                    "role": "model",
                    "parts": [{"functionCall": {"name": "f", "args": {}}, "thoughtSignature": "AA=="}],
                },
                {"role": "user", "parts": [{"functionResponse": {"name": "f", "response": {}}}]},
            ],
            "tools": [
                {
                    "functionDeclarations": [
                        {"name": "f", "parametersJsonSchema": SCHEMA},
                        {
                            "name": "g",
                            "parameters": {
                                "type": "OBJECT",
                                "properties": {"a": {"type": "ARRAY", "items": {"type": "STRING"}}},
                                "required": ["a"],
                            },
                        },
                    ]
                }
            ],
            "toolConfig": {"functionCallingConfig": {"mode": "ANY"}},
            "generationConfig": {
                "responseMimeType": "application/json",
                "responseJsonSchema": SCHEMA,
                "responseLogprobs": True,
                "logprobs": 2,
                "candidateCount": 2,
                "thinkingConfig": {"includeThoughts": True},
            },
        }
        for verb in ("generateContent", "streamGenerateContent")
    },
    "chat": BODY["chat"]
    | {
        "tools": [{"type": "function", "function": {"name": "f", "parameters": SCHEMA}}],
        "tool_choice": "required",
        "response_format": {
            "type": "json_schema",
            "json_schema": {"name": "n", "schema": SCHEMA, "strict": True},
        },
        "logprobs": True,
        "top_logprobs": 2,
        "n": 2,
        "stream": True,
        "metadata": {"a": "b"},
    },
    "moderations": BODY["moderations"] | {"input": [{"type": "text", "text": "a"}], "model": "m"},
    "images/generations": BODY["images/generations"]
    | {
        "n": 2,
        "quality": "low",
        "output_format": "webp",
        "background": "opaque",
        "stream": True,
        "partial_images": 1,
    },
    "audio/speech": BODY["audio/speech"]
    | {"speed": 2, "response_format": "wav", "stream_format": "audio", "instructions": ""},
    "v1/completions": BODY["v1/completions"]
    | {
        "prompt": ["a", "b"],
        "echo": True,
        "logprobs": 2,
        "n": 2,
        "best_of": 2,
        "suffix": "s",
        "stream": True,
    },
    "responses": BODY["responses"]
    | {
        "input": [
            {"role": "user", "content": [{"type": "input_text", "text": "a"}]},
            {"type": "function_call", "call_id": "c", "name": "f", "arguments": "{}"},
            {"type": "function_call_output", "call_id": "c", "output": "x"},
        ],
        "tools": [{"type": "function", "name": "f", "parameters": SCHEMA, "strict": False}],
        "tool_choice": "required",
        "text": {"format": {"type": "json_schema", "name": "n", "schema": SCHEMA}},
        "stream": True,
        "metadata": {"a": "b"},
    },
}


@pytest.mark.parametrize(("provider", "endpoint"), ENDPOINTS)
@settings(suppress_health_check=[HealthCheck.too_slow])
@given(st.randoms(use_true_random=False), VALUES)
def test_only_refusals_leave_a_swapped_part(provider: Any, endpoint: Any, rng: Any, other: Any) -> None:
    """BUDG-1.3: Likewise for any part of a sound request."""
    sound = next(body for word, body in RICH.items() if f"/{word}" in endpoint.path)
    answer(endpoint, provider, encoded(swapped(sound, rng, other)))
