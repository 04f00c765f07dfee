"""Searches for tools that the client runs, tools that items bring, and choices of one tool of a server, in the Responses API."""

import json
from typing import Any

import pytest
from openai.types.responses import Response
from support.responses_api import answer, answering, ask, calling, events, stream

from llmsim.domain import FinishReason, ToolKind, ToolMode
from llmsim.errors import ApiRuleError, InvalidFieldError, ToolChoiceError
from llmsim.providers.openai.responses import RESPONSES

SCHEMA = {"type": "object", "properties": {"goal": {"type": "string"}}, "required": ["goal"]}
SEARCH = {"type": "tool_search", "execution": "client", "description": "Find tools", "parameters": SCHEMA}
WEATHER = {"type": "function", "name": "get_weather", "parameters": {"type": "object"}, "defer_loading": True}
CRM = {
    "type": "namespace",
    "name": "crm",
    "description": "d",
    "tools": [{"type": "function", "name": "list_orders"}],
}
USER = {"role": "user", "content": "Hi"}
CALL = {"type": "tool_search_call", "call_id": "call_s", "execution": "client", "arguments": {"goal": "x"}}
FOUND = {"type": "tool_search_output", "call_id": "call_s", "execution": "client", "tools": [WEATHER, CRM]}


def offered(**fields: Any) -> list[str]:
    return [tool.name for tool in ask(RESPONSES, **fields).prompt.tools]


def test_the_client_is_asked_to_search() -> None:
    """RESP-6.14: A search is a call with its arguments, added and done, and its schema is the request's."""
    turn = answering(calling("tool_search", '{"goal":', '"Paris"}'), finish=FinishReason.TOOL_CALLS)
    found = answer(RESPONSES, turn, tools=[SEARCH, WEATHER])
    (item,) = found["output"]
    (tool,) = ask(RESPONSES, tools=[SEARCH, WEATHER]).prompt.tools

    assert Response.model_validate(found)
    assert (item["type"], item["execution"], item["status"]) == ("tool_search_call", "client", "completed")
    assert item["arguments"] == {"goal": "Paris"}
    assert item["call_id"].startswith("call_")
    assert (tool.name, tool.description, json.loads(tool.schema)) == ("tool_search", "Find tools", SCHEMA)
    emitted = events(stream(RESPONSES, turn, tools=[SEARCH, WEATHER]))
    items = [one["item"] for one in emitted if one["type"].startswith("response.output_item.")]
    assert items == [item | {"status": "in_progress", "arguments": {}}, item]
    cut = answer(
        RESPONSES, answering(calling("tool_search", '{"go'), finish=FinishReason.LENGTH), tools=[SEARCH]
    )
    assert (cut["output"][0]["status"], cut["output"][0]["arguments"]) == ("incomplete", {})


def test_what_is_found_is_offered() -> None:
    """RESP-6.14: Deferred tools are not there before; then they are, the search no longer, until the user asks again."""
    tools = [SEARCH, WEATHER]

    assert offered(tools=tools) == ["tool_search"]
    assert offered(tools=tools, input=[USER]) == ["tool_search"]
    assert sorted(offered(tools=tools, input=[USER, CALL, FOUND])) == ["get_weather", "list_orders"]
    again = offered(tools=tools, input=[USER, CALL, FOUND, {"role": "assistant", "content": "So"}, USER])
    assert sorted(again) == ["get_weather", "list_orders", "tool_search"]
    options = ask(RESPONSES, tools=tools, input=[USER, CALL, FOUND]).options
    assert options.tools.namespaces == {"list_orders": "crm"}


def test_a_search_and_its_output_belong_together() -> None:
    """RESP-6.14: One without the other is refused, as with every call of the client's."""
    with pytest.raises(ApiRuleError, match="No tool output found for tool search call call_s"):
        ask(RESPONSES, tools=[SEARCH], input=[USER, CALL])
    with pytest.raises(
        ApiRuleError, match="No tool call found for tool search call output with call_id call_s"
    ):
        ask(RESPONSES, tools=[SEARCH], input=[USER, FOUND])
    server = {"type": "tool_search_output", "call_id": None, "execution": "server", "tools": [WEATHER]}
    assert offered(tools=[{"type": "tool_search"}, WEATHER], input=[USER, server]) == ["get_weather"]


def test_additional_tools_are_offered() -> None:
    """RESP-6.15: Those of an item of the developer, with the namespaces; a wrong one is refused by its place."""
    brought = {"type": "additional_tools", "role": "developer", "tools": [WEATHER, CRM]}

    assert sorted(offered(input=[brought, USER])) == ["get_weather", "list_orders"]
    with pytest.raises(InvalidFieldError) as refused:
        ask(RESPONSES, input=[USER, brought | {"tools": [{"type": "function"}]}])
    assert refused.value.path == ("input", 1, "tools", 0, "name")


@pytest.mark.parametrize("execution", ["nobody", 5])
def test_other_executions_are_refused(execution: Any) -> None:
    """RESP-6.14: A search is run by the server or by the client."""
    with pytest.raises(InvalidFieldError) as refused:
        ask(RESPONSES, tools=[{"type": "tool_search", "execution": execution}])
    assert refused.value.path == ("tools", 0, "execution")


class TestOneToolOfAServer:
    """Choices that name a tool of an MCP server."""

    SERVER: dict[str, Any] = {
        "type": "mcp",
        "server_label": "shop",
        "server_url": "https://x/mcp",
        "allowed_tools": ["find", "buy"],
        "require_approval": {"never": {"tool_names": ["find"]}},
    }

    @pytest.mark.parametrize(
        ("name", "kind"), [("find", ToolKind.HOSTED), ("buy", ToolKind.ON_APPROVAL), (None, ToolKind.HOSTED)]
    )
    @pytest.mark.parametrize("is_allowed", [False, True])
    def test_it_is_called(self, name: str | None, kind: ToolKind, is_allowed: bool) -> None:
        """RESP-6.16: With its own approval; the list of tools stays that of the server."""
        choice: dict[str, Any] = {"type": "mcp", "server_label": "shop", "name": name}
        if is_allowed:
            choice = {"type": "allowed_tools", "mode": "required", "tools": [choice]}
        parsed = ask(RESPONSES, tools=[self.SERVER], tool_choice=choice)

        assert parsed.prompt.tool_choice.mode is ToolMode.REQUIRED
        assert [tool.kind for tool in parsed.prompt.tools] == [kind]
        assert parsed.options.tools.mcp_calls["mcp"].tool == (name or "find")
        assert parsed.options.tools.unlisted[0].tools == ("find", "buy")

    def test_one_that_is_not_offered_is_refused(self) -> None:
        """RESP-6.16: By its name; a server whose tools are not named has any."""
        choice = {"type": "mcp", "server_label": "shop", "name": "sell"}
        with pytest.raises(ToolChoiceError):
            ask(RESPONSES, tools=[self.SERVER], tool_choice=choice)
        unnamed = {name: self.SERVER[name] for name in ("type", "server_label", "server_url")}
        parsed = ask(RESPONSES, tools=[unnamed], tool_choice=choice)
        assert parsed.options.tools.unlisted[0].tools == ("sell",)


def test_a_choice_of_programs() -> None:
    """RESP-6.16: Means the tools that only programs call."""
    tools = [
        {"type": "programmatic_tool_calling"},
        {"type": "function", "name": "a"},
        {"type": "function", "name": "b", "allowed_callers": ["programmatic"]},
    ]
    choice = ask(RESPONSES, tools=tools, tool_choice={"type": "programmatic_tool_calling"}).prompt.tool_choice

    assert (choice.mode, choice.names) == (ToolMode.REQUIRED, ("b",))
