"""MCP servers of the Responses API: their lists, and the client's approval of calls."""

import json
from typing import Any

import pytest
from openai.types.responses import Response
from support.responses_api import answer, answering, ask, calling, events, saying, stream

from llmsim.domain import FinishReason, Tool, ToolKind, Turn
from llmsim.errors import RefusedError
from llmsim.providers.openai.errors import render_refusal
from llmsim.providers.openai.responses import RESPONSES
from llmsim.providers.openai_family.responses.options import McpCall

URL = "https://example.com/mcp"
SERVER: dict[str, Any] = {
    "type": "mcp",
    "server_label": "wiki",
    "server_url": URL,
    "allowed_tools": ["ask", "read"],
}
REQUEST = {
    "type": "mcp_approval_request",
    "id": "mcpr_1",
    "server_label": "wiki",
    "name": "read",
    "arguments": '{"page":"a \\"b\\""}',
}
USER = {"role": "user", "content": "Look it up"}


def decision(approve: bool, request: str = "mcpr_1") -> dict[str, Any]:
    """Build a decision on a request."""
    return {"type": "mcp_approval_response", "approval_request_id": request, "approve": approve}


def asking() -> Turn:
    """Build a turn that asks for approval."""
    return answering(
        calling("mcp", "What", " is it", kind=ToolKind.ON_APPROVAL), finish=FinishReason.TOOL_CALLS
    )


class TestServers:
    """The servers of a request."""

    @pytest.mark.parametrize(
        ("fields", "kind"),
        [
            ({}, ToolKind.ON_APPROVAL),
            ({"require_approval": None}, ToolKind.ON_APPROVAL),
            ({"require_approval": "always"}, ToolKind.ON_APPROVAL),
            ({"require_approval": "never"}, ToolKind.HOSTED),
            ({"require_approval": {"never": {"tool_names": ["ask"]}}}, ToolKind.HOSTED),
            ({"require_approval": {"never": {"tool_names": ["read"]}}}, ToolKind.ON_APPROVAL),
            ({"require_approval": {"always": {"tool_names": ["ask"]}}}, ToolKind.ON_APPROVAL),
            ({"require_approval": {"always": {"tool_names": ["read"]}}}, ToolKind.HOSTED),
            ({"require_approval": {"never": {"read_only": True}}}, ToolKind.ON_APPROVAL),
            ({"require_approval": {"always": {"read_only": False}}}, ToolKind.ON_APPROVAL),
        ],
    )
    def test_which_calls_need_approval(self, fields: dict[str, Any], kind: ToolKind) -> None:
        """RESP-6.10: All do, unless the request says otherwise."""
        assert ask(RESPONSES, tools=[SERVER | fields]).prompt.tools == (Tool("mcp", kind),)

    def test_several_servers(self) -> None:
        """RESP-6.9: Each is listed with the tools that its request names, and each may be called."""
        other = {
            "type": "mcp",
            "server_label": "b",
            "connector_id": "connector_gmail",
            "require_approval": {"never": {"tool_names": ["x"]}, "always": {"tool_names": ["y"]}},
        }
        asked = ask(RESPONSES, tools=[SERVER, other, {"type": "mcp", "server_label": "c", "server_url": URL}])
        tools = asked.options.tools

        assert [tool.name for tool in asked.prompt.tools] == ["mcp", "mcp:b", "mcp:c"]
        assert [server.tools for server in tools.unlisted] == [("ask", "read"), ("x", "y"), ("search",)]
        assert tools.mcp_calls["mcp:b"] == McpCall("b", "x")

    @pytest.mark.parametrize(
        ("server", "param"),
        [
            ({"type": "mcp"}, "tools[0].server_label"),
            (SERVER | {"require_approval": "often"}, "tools[0].require_approval"),
            (SERVER | {"allowed_tools": 5}, "tools[0].allowed_tools"),
        ],
    )
    def test_invalid_servers(self, server: dict[str, Any], param: str) -> None:
        """RESP-1.4, RESP-6.9: A server without a label, or with another form of approval, is refused."""
        with pytest.raises(RefusedError) as error:
            ask(RESPONSES, tools=[server])

        assert json.loads(render_refusal(error.value).body)["error"]["param"].startswith(param)


class TestRequests:
    """Requests for approval."""

    def test_a_request(self) -> None:
        """RESP-6.9, RESP-6.10: Behind the list there is the request, and nothing else."""
        found = answer(RESPONSES, asking(), tools=[SERVER])
        listed, request = found["output"]

        assert Response.model_validate(found).status == "completed"
        assert listed["type"] == "mcp_list_tools"
        assert request == {
            "id": f"mcpr_{asking().id}01",
            "type": "mcp_approval_request",
            "name": "ask",
            "server_label": "wiki",
            "arguments": '{"query":"What is it"}',
        }

    def test_its_stream(self) -> None:
        """RESP-6.10: It is added without arguments, and done with them."""
        found = events(stream(RESPONSES, asking(), tools=[SERVER]))
        items = [(one["type"], one["item"]) for one in found if "item" in one]

        assert [(kind, item.get("arguments")) for kind, item in items[2:]] == [
            ("response.output_item.added", ""),
            ("response.output_item.done", '{"query":"What is it"}'),
        ]

    def test_a_truncated_request(self) -> None:
        """FIT-1.11: A part of the arguments is not to be approved."""
        cut = answering(calling("mcp", "Wh", kind=ToolKind.ON_APPROVAL), finish=FinishReason.LENGTH)

        assert answer(RESPONSES, cut, tools=[SERVER])["output"][-1]["arguments"] == ""


class TestDecisions:
    """The client's decisions."""

    def test_an_approved_call(self) -> None:
        """RESP-6.10: It is due, as it was approved, and the server is not listed again."""
        listed = {"type": "mcp_list_tools", "id": "mcpl_1", "server_label": "wiki", "tools": []}
        given = {"tools": [SERVER], "input": [USER, listed, REQUEST, decision(True)]}
        asked = ask(RESPONSES, **given)
        (tool,) = asked.prompt.tools

        assert (tool.kind, tool.arguments) == (ToolKind.HOSTED, REQUEST["arguments"])
        assert asked.options.tools.unlisted == ()

        turn = answering(calling("mcp", '{"page":', '"a \\"b\\""}', kind=ToolKind.HOSTED), saying("So"))
        call, _ = answer(RESPONSES, turn, **given)["output"]

        assert (call["name"], call["arguments"]) == ("read", REQUEST["arguments"])
        assert (call["approval_request_id"], call["status"]) == ("mcpr_1", "completed")

    def test_several_approved_calls(self) -> None:
        """RESP-6.10: Each is due, in the order of the decisions, and none is due twice."""
        requests = [REQUEST | {"id": f"mcpr_{number}", "server_label": f"s{number}"} for number in range(4)]
        decisions = [decision(number != 1, f"mcpr_{number}") for number in (2, 1, 0, 3)]
        done = {"type": "mcp_call", "id": "mcp_1", "approval_request_id": "mcpr_3"}
        asked = ask(RESPONSES, tools=[SERVER], input=[USER, *requests, *decisions, done])

        assert [tool.name for tool in asked.prompt.tools] == ["mcp", "mcp:1"]
        assert [call.server for call in asked.options.tools.mcp_calls.values()] == ["s2", "s0"]

    def test_a_denied_call(self) -> None:
        """RESP-6.10: It is not due, and the denial counts as its result."""
        asked = ask(RESPONSES, tools=[SERVER], input=[USER, REQUEST, decision(False)])

        assert [tool.arguments for tool in asked.prompt.tools] == [None]
        assert asked.prompt.messages[-1].results

    def test_a_function_of_that_name(self) -> None:
        """RESP-6.10: The client's own tool is not replaced."""
        own = {"type": "function", "name": "mcp"}
        asked = ask(RESPONSES, tools=[own], input=[USER, REQUEST, decision(True)])

        assert [tool.kind for tool in asked.prompt.tools] == [ToolKind.FUNCTION, ToolKind.HOSTED]

    @pytest.mark.parametrize(
        ("items", "words"),
        [
            ([decision(True)], "No MCP approval request found for approval response with"),
            ([REQUEST], "The following MCP approval requests do not have an approval: mcpr_1"),
            ([REQUEST, decision(True, "mcpr_2")], "No MCP approval request found"),
        ],
    )
    def test_what_does_not_belong_together(self, items: list[dict[str, Any]], words: str) -> None:
        """RESP-6.11: A decision without a request is refused, and a request without a decision."""
        with pytest.raises(RefusedError) as error:
            ask(RESPONSES, tools=[SERVER], input=[USER, *items])
        refused = json.loads(render_refusal(error.value).body)["error"]

        assert refused["message"].startswith(words)
        assert (refused["param"], refused["type"]) == ("input", "invalid_request_error")

    def test_items_of_any_form(self) -> None:
        """RESP-1.2: Other items of servers are not read, whatever they hold."""
        items = [
            {"type": "mcp_call", "id": "mcp_1", "approval_request_id": [1]},
            {"type": "mcp_list_tools", "id": "mcpl_1", "server_label": {}},
        ]

        assert ask(RESPONSES, tools=[SERVER], input=[USER, *items]).prompt.messages
