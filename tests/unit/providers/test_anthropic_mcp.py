"""MCP servers and containers of the Anthropic API."""

import json
from typing import Any

import pytest
from anthropic.types.beta import BetaMessage
from support.incoming import incoming
from support.planning import plan_turn

from llmsim.catalogue import load_catalogue
from llmsim.config import Settings, ToolSettings
from llmsim.domain import Turn
from llmsim.errors import InvalidFieldError
from llmsim.planning.planner import Planner
from llmsim.providers.anthropic.errors import render_refusal
from llmsim.providers.anthropic.messages import MessageOptions, parse
from llmsim.providers.anthropic.rendering import render_message, render_plain

PLANNER = Planner(Settings(tools=ToolSettings(hosted_calls=True)), load_catalogue(), lambda: 1_750_000_000.9)
SERVER = {"type": "url", "url": "https://mcp.example.com/sse", "name": "wx"}
TOOLSET = {"type": "mcp_toolset", "mcp_server_name": "wx"}
SCHEMA = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
NEW = {"anthropic-beta": "mcp-client-2025-11-20"}


def ask(headers: dict[str, str] | None = None, **fields: Any) -> tuple[Turn, MessageOptions]:
    asked = {
        "model": "claude-opus-4-8",
        "max_tokens": 500,
        "messages": [{"role": "user", "content": "What is the weather in Paris?"}],
    }
    parsed = parse(incoming(json.dumps(asked | fields).encode(), headers=headers or NEW))
    return plan_turn(PLANNER, parsed.prompt), parsed.options


def content(**fields: Any) -> list[dict[str, Any]]:
    body = render_message(*ask(**fields))
    BetaMessage.model_validate(body)
    blocks: list[dict[str, Any]] = body["content"]
    return blocks


def test_a_call_is_followed_by_its_result() -> None:
    """ANTH-15.2: One tool of a server is called, and a made-up result and a text follow."""
    toolset = TOOLSET | {"configs": {"list_files": {}, "get_weather": {"enabled": True}}}
    called, result, text = content(mcp_servers=[SERVER], tools=[toolset])

    assert (called["type"], called["name"], called["server_name"]) == ("mcp_tool_use", "get_weather", "wx")
    assert called["id"].startswith("mcptoolu_")
    assert (result["type"], result["tool_use_id"], result["is_error"]) == (
        "mcp_tool_result",
        called["id"],
        False,
    )
    assert "made up" in result["content"][0]["text"]
    assert text["type"] == "text"


@pytest.mark.parametrize(
    ("fields", "called"),
    [
        ({"tools": [TOOLSET | {"tools": [{"name": "forecast", "input_schema": SCHEMA}]}]}, "forecast"),
        (
            {
                "tools": [
                    TOOLSET | {"default_config": {"enabled": False}, "configs": {"a": {"enabled": True}}}
                ]
            },
            "a",
        ),
        ({"tools": [TOOLSET | {"default_config": {"enabled": False}}]}, None),
        ({"tools": [TOOLSET]}, "search"),
        ({"mcp_servers": [SERVER | {"tool_configuration": {"allowed_tools": ["b"]}}]}, "b"),
        ({"mcp_servers": [SERVER | {"tool_configuration": {"enabled": False}}]}, None),
    ],
)
def test_the_tools_of_a_server(fields: dict[str, Any], called: str | None) -> None:
    """ANTH-15.2: Pinned tools, enabled ones and allowed ones may be called, else a made-up one; input fits the schema."""
    blocks = content(**{"mcp_servers": [SERVER]} | fields)

    assert [block["name"] for block in blocks if block["type"] == "mcp_tool_use"] == (
        [called] if called else []
    )
    if called == "forecast":
        assert blocks[0]["input"] == {"city": "Paris"}


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({}, "MCP server 'wx' is defined but not referenced by any `mcp_toolset` in `tools`."),
        ({"mcp_servers": [SERVER, SERVER]}, "mcp_servers: MCP server names must be unique."),
        ({"mcp_servers": [{"type": "url", "url": "https://x.y"}]}, "mcp_servers.0.name: Field required"),
        (
            {"mcp_servers": [SERVER | {"url": "http://x.y"}]},
            "mcp_servers.0.url: URL scheme should be 'https'",
        ),
        (
            {"tools": [TOOLSET, TOOLSET | {"mcp_server_name": "other"}]},
            "tools.1.mcp_toolset: MCP server 'other' not found in `mcp_servers`.",
        ),
        ({"tools": [TOOLSET] * 2}, "tools.0.mcp_toolset: MCP server 'wx' is referenced by several toolsets."),
        ({"tools": [{"type": "mcp_toolset"}]}, "tools.0.mcp_toolset.mcp_server_name: Field required"),
        (
            {"tools": [TOOLSET | {"tools": [{"name": "t", "input_schema": {"type": "string"}}]}]},
            "tools.0.mcp_toolset.tools.0.input_schema.type: Input should be 'object'",
        ),
        ({"container": {"skills": [{"type": "custom"}]}}, "container.skills.0.skill_id: Field required"),
        (
            {"container": {"skills": [{"type": "custom", "skill_id": "s"}] * 9}},
            "container.skills: List should have at most 8 items",
        ),
    ],
)
def test_what_is_refused(fields: dict[str, Any], message: str) -> None:
    """ANTH-15.1: Servers and toolsets have to fit each other; ANTH-15.3: a container is checked in form."""
    with pytest.raises(InvalidFieldError) as caught:
        ask(**{"mcp_servers": [SERVER]} | fields)

    assert json.loads(render_refusal(caught.value).body)["error"]["message"] == message


def test_the_first_beta_needs_no_toolset() -> None:
    """ANTH-15.1: A server without a toolset is accepted in the first version, whose answers are not those of the next."""
    body = {
        "model": "claude-opus-4-8",
        "max_tokens": 5,
        "messages": [{"role": "user", "content": "Hi"}],
        "mcp_servers": [SERVER],
    }
    parsed = parse(incoming(json.dumps(body).encode(), headers={"anthropic-beta": "mcp-client-2025-04-04"}))

    assert [tool.name for tool in parsed.prompt.tools] == ["search"]
    assert parsed.depends_on_headers


def test_a_container_comes_back() -> None:
    """ANTH-15.3: An id is kept, a new one is made up; skills have versions; a stream names the container at its end."""
    skills = [{"type": "anthropic", "skill_id": "xlsx"}, {"type": "custom", "skill_id": "s", "version": "7"}]
    turn, options = ask(container={"skills": skills})
    made = render_message(turn, options)["container"]
    stream = b"".join(run.data(0, len(run.required_tokens)) for run in render_plain(turn, options))
    events = [json.loads(line[6:]) for line in stream.split(b"\n") if line.startswith(b"data: ")]

    assert made["id"].startswith("container_")
    assert [skill["version"] for skill in made["skills"]] == ["20251013", "7"]
    assert (events[0]["message"]["container"], events[-2]["delta"]["container"]) == (None, made)
    kept = render_message(*ask(container="container_1"))["container"]
    assert (kept["id"], kept["skills"]) == ("container_1", None)


def test_tools_of_a_server_are_listed_once() -> None:
    """ANTH-15.4: Before all else in the newest beta; later requests go by the list, and others have none."""
    beta = {"anthropic-beta": "mcp-client-2026-09-15"}
    toolset = TOOLSET | {"configs": {"get_weather": {}}}
    body = render_message(*ask(beta, mcp_servers=[SERVER], tools=[toolset]))
    listing, called, *_ = body["content"]

    assert BetaMessage.model_validate(body).content[0].type == "mcp_tool_listing"
    assert (listing["mcp_server_name"], [tool["name"] for tool in listing["tools"]]) == (
        "wx",
        ["get_weather"],
    )
    assert called["name"] == "get_weather"
    question = {"role": "user", "content": "What is the weather in Paris?"}
    messages = [question, {"role": "assistant", "content": body["content"]}, question]
    later = render_message(*ask(beta, mcp_servers=[SERVER], tools=[TOOLSET], messages=messages))
    assert [block.get("name") for block in later["content"]][:1] == ["get_weather"]
    assert content(mcp_servers=[SERVER], tools=[toolset])[0]["type"] == "mcp_tool_use"
