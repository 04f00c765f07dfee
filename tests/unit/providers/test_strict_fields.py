"""Strict mode: unknown fields are refused in the words of each API."""

import importlib.metadata
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.incoming import incoming

from llmsim.config import ServerSettings, Settings
from llmsim.errors import RefusedError, UnknownFieldError
from llmsim.providers.anthropic.messages_request import MessageRequest
from llmsim.providers.contract import ChannelFormat, IncomingRequest
from llmsim.providers.openai.chat_request import ChatRequest
from llmsim.providers.openai.embeddings import EmbeddingsRequest
from llmsim.providers.openai_family.responses.model_rules import MOVED
from llmsim.providers.openai_family.responses.request import Request
from llmsim.providers.registry import PROVIDERS, providers
from llmsim.providers.strict_fields import load_table

ROOT = Path(__file__).parents[3]
GOLDEN = ROOT / "tests" / "golden"
STRICT = providers(Settings(server=ServerSettings(strict=True)))
FORMATS: dict[str, ChannelFormat[Any]] = {
    endpoint.label: endpoint.http for provider in STRICT for endpoint in provider.generation_endpoints
}
FORMATS |= {
    f"{endpoint.label}.websocket": endpoint.websocket.messages
    for provider in STRICT
    for endpoint in provider.generation_endpoints
    if endpoint.websocket is not None
}
BETA = {"anthropic-beta": "context-management-2025-06-27"}
HELLO = {"role": "user", "content": "hi"}
TOOL = {"name": "f", "input_schema": {"type": "object", "x-any": {"y": 1}}}
FUNCTION = {"type": "function", "function": {"name": "f", "parameters": {"type": "object", "x-any": 1}}}
BODIES: dict[str, dict[str, Any]] = {
    "messages": {"model": "claude-sonnet-4-5", "max_tokens": 8, "messages": [HELLO]},
    "completions": {"model": "gpt-4o", "messages": [HELLO]},
    "responses": {"model": "gpt-4o", "input": "hi"},
    "openresponses": {"model": "gpt-4o", "input": "hi"},
    "embeddings": {"model": "text-embedding-3-small", "input": "hi"},
    "responses.websocket": {"type": "response.create", "model": "gpt-4o", "input": "hi"},
    "openresponses.websocket": {"type": "response.create", "model": "gpt-4o", "input": "hi"},
}


def request_of(body: dict[str, Any], **headers: str) -> IncomingRequest:
    return msgspec.structs.replace(incoming(json.dumps(body).encode()), headers=headers)


def parse(label: str, headers: dict[str, str] | None = None, **fields: Any) -> None:
    FORMATS[label].parse(request_of(BODIES[label] | fields, **(headers or {})))


def refusal(label: str, headers: dict[str, str] | None = None, **fields: Any) -> dict[str, Any]:
    with pytest.raises(RefusedError) as caught:
        parse(label, headers, **fields)
    reply = FORMATS[label].render_refusal(caught.value)
    assert reply.status == 400
    error: dict[str, Any] = json.loads(reply.body)["error"]
    return error


def golden(api: str) -> Iterator[tuple[dict[str, Any], dict[str, Any]]]:
    for folder in sorted((GOLDEN / api).iterdir()):
        request, response = folder / "request.json", folder / "response.json"
        if request.exists() and response.exists():
            yield json.loads(request.read_text()), json.loads(response.read_text())


@pytest.mark.parametrize("label", BODIES)
def test_unknown_fields_are_ignored_by_default(label: str) -> None:
    """API-4.1: Without strict mode no request is checked, and nothing but its parser runs."""
    plain = {endpoint.label: endpoint for provider in PROVIDERS for endpoint in provider.generation_endpoints}
    endpoint = plain[label.removesuffix(".websocket")]
    known = endpoint.http if endpoint.websocket is None or "." not in label else endpoint.websocket.messages

    known.parse(request_of(BODIES[label] | {"unknown": 1}))
    parse(label)


@pytest.mark.parametrize("label", [label for label in BODIES if label != "messages"])
def test_unknown_fields_of_the_openai_family(label: str) -> None:
    """API-4.1: They are refused with their path and `unknown_parameter`, over HTTP and WebSocket."""
    error = refusal(label, unknown=1)

    assert error["message"] == "Unknown parameter: 'unknown'."
    assert (error["param"], error["code"]) == ("unknown", "unknown_parameter")


@pytest.mark.parametrize(
    ("label", "fields", "param"),
    [
        (
            "completions",
            {"messages": [HELLO | {"reasoning_content": "x"}]},
            "messages[0].reasoning_content",
        ),
        (
            "completions",
            {"tools": [FUNCTION | {"function": FUNCTION["function"] | {"cache_control": {}}}]},  # type: ignore[operator]
            "tools[0].function.cache_control",
        ),
        ("completions", {"reasoning": {"effort": "low"}}, "reasoning"),
        ("responses", {"reasoning": {"summary": "auto", "max_tokens": 1}}, "reasoning.max_tokens"),
        ("responses", {"input": [HELLO | {"cache_control": {}}]}, "input[0].cache_control"),
        (
            "responses",
            {"input": [{"role": "user", "content": [{"type": "input_text", "text": "x", "id": "y"}]}]},
            "input[0].content[0].id",
        ),
        ("responses", {"generate": False}, "generate"),
        (
            "responses.websocket",
            {"response": {"model": "gpt-4o", "input": "hi", "unknown": 1}},
            "response.unknown",
        ),
        ("embeddings", {"input_type": "query"}, "input_type"),
    ],
)
def test_nested_fields_of_the_openai_family(label: str, fields: dict[str, Any], param: str) -> None:
    """API-4.1: Nested fields are checked, too."""
    assert refusal(label, **fields)["message"] == f"Unknown parameter: '{param}'."


@pytest.mark.parametrize(
    ("fields", "place"),
    [
        ({"reasoning_effort": "low"}, "reasoning_effort"),
        ({"messages": [HELLO | {"name": "x"}]}, "messages.0.name"),
        (
            {"messages": [{"role": "user", "content": [{"type": "text", "text": "hi", "id": "x"}]}]},
            "messages.0.content.0.text.id",
        ),
        (
            {"system": [{"type": "text", "text": "x", "cache_control": {"type": "ephemeral", "scope": "x"}}]},
            "system.0.cache_control.ephemeral.scope",
        ),
        ({"tools": [TOOL | {"unknown": 1}]}, "tools.0.custom.unknown"),
        (
            {"tools": [{"type": "web_search_20250305", "name": "web_search", "unknown": 1}]},
            "tools.0.web_search_20250305.unknown",
        ),
        ({"thinking": {"type": "disabled", "unknown": 1}}, "thinking.disabled.unknown"),
        ({"metadata": {"unknown": "x"}}, "metadata.unknown"),
        ({"context_management": {"edits": []}}, "context_management"),
    ],
)
def test_unknown_fields_of_anthropic(fields: dict[str, Any], place: str) -> None:
    """API-4.2: They are refused with their path, which names the kinds of objects."""
    error = refusal("messages", **fields)

    assert error == {
        "type": "invalid_request_error",
        "message": f"{place}: Extra inputs are not permitted",
    }


def test_fields_of_betas() -> None:
    """API-4.2: They are known to requests that name a beta."""
    edits = {"edits": [{"type": "clear_tool_uses_20250919"}]}
    parse("messages", BETA, context_management=edits)

    edits["edits"][0]["unknown"] = "x"
    message = refusal("messages", BETA, context_management=edits)["message"]
    assert (
        message
        == "context_management.edits.0.clear_tool_uses_20250919.unknown: Extra inputs are not permitted"
    )
    assert "anthropic-beta" in FORMATS["messages"].parsed_headers


def test_what_is_the_clients_own_is_not_looked_into() -> None:
    """API-4.3: Schemas, metadata, and arguments of calls have any fields."""
    call = {"type": "tool_use", "id": "toolu_1", "name": "f", "input": {"any": {"deep": 1}}}
    result = {"type": "tool_result", "tool_use_id": "toolu_1", "content": "x"}
    history = [HELLO, {"role": "assistant", "content": [call]}, {"role": "user", "content": [result]}]
    parse("messages", messages=history, tools=[TOOL])
    parse("completions", tools=[FUNCTION], metadata={"any": "x"}, logit_bias={"1": 1})
    parse("responses", tools=[{"type": "function", "name": "f", "parameters": {"type": "object", "any": {}}}])
    parse("responses", input=[{"type": "acme:receipt", "any": 1}, HELLO])


def test_responses_of_anthropic_come_back() -> None:
    """API-4.3: The content of a response is known in history."""
    for _, response in golden("anthropic/messages"):
        message = {"role": "assistant", "content": response["content"]}
        _known("messages", {"messages": [HELLO, message]})


def test_completions_come_back() -> None:
    """API-4.3: The message of a completion is known in history."""
    for _, response in golden("openai/chat_completions"):
        _known("completions", {"messages": [HELLO, response["choices"][0]["message"]]})


@pytest.mark.parametrize("api", ["openai", "openresponses"])
def test_output_items_come_back(api: str) -> None:
    """API-4.3: The items of a response are known in the input."""
    for _, response in golden(f"{api}/responses"):
        _known("responses", {"input": response["output"]})


@pytest.mark.parametrize(
    ("label", "api"),
    [
        ("messages", "anthropic/messages"),
        ("completions", "openai/chat_completions"),
        ("responses", "openai/responses"),
        ("openresponses", "openresponses/responses"),
        ("embeddings", "openai/embeddings"),
    ],
)
def test_requests_are_known(label: str, api: str) -> None:
    """API-4.3: Requests that use the fields of an API are accepted."""
    for request, _ in golden(api):
        _known(label, request)


def _known(label: str, body: dict[str, Any]) -> None:
    table = load_table()
    assert table.find_unknown(body, table.roots[label].kinds_of(BETA)) is None, body


@pytest.mark.parametrize(
    ("label", "kind"),
    [
        ("messages", MessageRequest),
        ("completions", ChatRequest),
        ("responses", Request),
        ("embeddings", EmbeddingsRequest),
    ],
)
def test_what_is_obeyed_is_known(label: str, kind: type[msgspec.Struct]) -> None:
    """API-4.3: Every field that llmsim itself reads is known, but those that it reads to refuse them."""
    for field in kind.__struct_fields__:
        if kind is Request and field in MOVED:
            continue
        _known(label, {field: None})


JSON = st.recursive(
    st.none() | st.booleans() | st.text(max_size=4) | st.sampled_from(["text", "user", "message"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["type", "role", "content", "x"]), inner)
    ),
    max_leaves=10,
)


@given(st.sampled_from(sorted(BODIES)), st.sampled_from(["messages", "input", "tools", "system"]), JSON)
def test_any_value(label: str, field: str, value: Any) -> None:
    """API-4.1: Whatever a field holds, its request is accepted or refused."""
    try:
        parse(label, **{field: value})
    except UnknownFieldError as error:
        assert FORMATS[label].render_refusal(error).status == 400  # noqa: PT017 - the rendering is the claim
    except RefusedError:
        pass


def test_the_table_is_what_the_sdks_know() -> None:
    """API-4.4: The table is what scripts/update-known-fields writes."""
    installed = {name: importlib.metadata.version(name) for name in ("anthropic", "openai")}
    if installed != load_table().sources:
        pytest.skip(f"the table was made from {load_table().sources}, {installed} are installed")

    check = subprocess.run(
        [sys.executable, ROOT / "scripts" / "update-known-fields", "--check"],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
    )

    assert check.returncode == 0, check.stdout + check.stderr
