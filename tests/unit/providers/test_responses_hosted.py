"""Responses: items and events of hosted tools."""

import base64
import json
from typing import Any

import msgspec
import pytest
from openai.types.responses import Response
from support.responses_api import (
    answer,
    answering,
    ask,
    check_event,
    events,
    frames,
    kinds,
    saying,
    searching,
    stream,
)

from llmsim.domain import FinishReason, Message, ToolCallSegment, ToolKind, Turn
from llmsim.providers.openai.responses import RESPONSES
from llmsim.providers.openai_family.responses.hosted_items import HOSTED_TOOLS
from llmsim.providers.openresponses.responses import RESPONSES as OPENRESPONSES

INCLUDED = {
    "include": [
        "file_search_call.results",
        "web_search_call.action.sources",
        "code_interpreter_call.outputs",
    ]
}
SERVER = {
    "type": "mcp",
    "server_label": "wiki",
    "server_url": "https://example.com/mcp",
    "allowed_tools": ["ask", "read"],
}
STAGES = {
    "web_search": ["in_progress", "searching", "completed"],
    "file_search": ["in_progress", "searching", "completed"],
    "code_interpreter": ["in_progress", "code.delta", "code.done", "interpreting", "completed"],
    "image_generation": ["in_progress", "generating", "completed"],
    "mcp": ["in_progress", "arguments.delta", "arguments.done", "completed"],
}
CUT_IN_PROGRESS = {"image_generation", "apply_patch"}


def used(name: str, *pieces: str, finish: FinishReason = FinishReason.STOP) -> Turn:
    """Build a turn that calls a hosted tool and then has a text, or is truncated in the call."""
    call = searching(name, *(pieces or ("rain", ' "in" Paris')))
    return answering(call, *(() if finish is FinishReason.LENGTH else (saying("So"),)), finish=finish)


def client_call(name: str, action: str) -> ToolCallSegment:
    """Build a call of a tool that the client runs."""
    segment = searching(name, action)
    call = msgspec.structs.replace(segment.call, kind=ToolKind.CLIENT_HOSTED)
    return msgspec.structs.replace(segment, call=call)


def item(name: str, **fields: Any) -> dict[str, Any]:
    found: dict[str, Any] = answer(RESPONSES, used(name), **fields)["output"][0]
    return found


class TestItems:
    """Items of the output."""

    def test_a_web_search(self) -> None:
        """RESP-6.5: It has its query, and its sources if they are included."""
        action = {"type": "search", "query": 'rain "in" Paris', "queries": ['rain "in" Paris']}
        found = item("web_search", **INCLUDED)

        assert item("web_search") == {
            "id": f"ws_{used('web_search').id}00",
            "type": "web_search_call",
            "status": "completed",
            "action": action,
        }
        assert [source["type"] for source in found["action"]["sources"]] == ["url"]

    def test_a_file_search(self) -> None:
        """RESP-6.5: It has its queries, and its results if they are included."""
        results = item("file_search", **INCLUDED)["results"]

        assert (item("file_search")["queries"], item("file_search")["results"]) == (['rain "in" Paris'], None)
        assert [result["text"] for result in results] == ['rain "in" Paris']

    def test_code(self) -> None:
        """RESP-6.5: The code is valid, and its output is what it would print."""
        found = item("code_interpreter", **INCLUDED)

        assert found["code"] == 'print("rain \\"in\\" Paris")'
        assert found["outputs"] == [{"type": "logs", "logs": 'rain "in" Paris\n'}]
        assert compile(found["code"], "code", "exec")
        assert item("code_interpreter")["outputs"] is None
        assert found["container_id"].startswith("cntr_")

    def test_an_image(self) -> None:
        """RESP-6.5: The image can be decoded."""
        found = item("image_generation")

        assert base64.b64decode(found["result"], validate=True).startswith(b"\x89PNG\r\n\x1a\n")
        assert found["revised_prompt"] == 'rain "in" Paris'

    def test_a_shell_of_the_provider_only_echoes(self) -> None:
        """FIT-6.5: The query is no part of a command."""
        turn = answering(searching("shell", "it's; rm -rf ~ $(date)"), saying("So"))

        assert answer(RESPONSES, turn)["output"][0]["action"]["commands"] == ["echo ok"]

    @pytest.mark.parametrize(
        ("name", "action", "members"),
        [
            (
                "shell",
                '{"commands":["ls"]}',
                {"action": {"commands": ["ls"], "max_output_length": None, "timeout_ms": None}},
            ),
            (
                "shell",
                "make all",
                {"action": {"commands": ["make all"], "max_output_length": None, "timeout_ms": None}},
            ),
            ("local_shell", '{"command":["ls"]}', {"action": {"type": "exec", "command": ["ls"], "env": {}}}),
            (
                "local_shell",
                "make",
                {"action": {"type": "exec", "command": ["bash", "-c", "make"], "env": {}}},
            ),
            (
                "apply_patch",
                '{"type":"delete_file","path":"x"}',
                {"operation": {"type": "delete_file", "path": "x"}},
            ),
            (
                "computer",
                '{"type":"click","button":"left","x":1,"y":2}',
                {"action": {"type": "click", "button": "left", "x": 1, "y": 2}},
            ),
        ],
    )
    def test_the_action_of_a_call_that_the_client_runs(
        self, name: str, action: str, members: dict[str, Any]
    ) -> None:
        """FIT-1.14: Its arguments are the action of the item; a script may have a bare command."""
        turn = answering(client_call(name, action), finish=FinishReason.TOOL_CALLS)
        answered = answer(RESPONSES, turn)
        (call,) = answered["output"]

        assert members.items() <= call.items()
        assert (call["type"], call["status"], answered["status"]) == (
            f"{name}_call",
            "completed",
            "completed",
        )
        assert call["call_id"].startswith("call_")
        assert Response.model_validate(answered)

    def test_a_computer_that_batches_its_actions(self) -> None:
        """FIT-1.14: The current tool has a list of actions, the preview of it one."""
        turn = answering(client_call("computer", '{"type":"screenshot"}'), finish=FinishReason.TOOL_CALLS)
        (call,) = answer(RESPONSES, turn, tools=[{"type": "computer"}])["output"]

        assert (call["actions"], call.get("action")) == ([{"type": "screenshot"}], None)

    def test_a_truncated_action(self) -> None:
        """FIT-1.11: A part of a command is no command."""
        turn = answering(client_call("shell", '{"commands":["ls -'), finish=FinishReason.LENGTH)
        (call,) = answer(RESPONSES, turn)["output"]

        assert (call["action"]["commands"], call["status"]) == ([], "incomplete")

    def test_a_server(self) -> None:
        """RESP-6.5: A server's tools are listed before the first call, which names server, tool and arguments."""
        turn = answering(searching("mcp", "a"), searching("mcp", "b", id="2"), saying("So"))
        listed, call, other, _ = answer(RESPONSES, turn, tools=[SERVER])["output"]

        assert (listed["type"], listed["server_label"]) == ("mcp_list_tools", "wiki")
        assert [tool["name"] for tool in listed["tools"]] == ["ask", "read"]
        # The AI SDK takes no null for them.
        assert isinstance(listed["tools"][0]["description"], str)
        assert listed["tools"][0]["annotations"] == {"read_only": False}
        assert (call["type"], call["server_label"], call["name"]) == ("mcp_call", "wiki", "ask")
        assert [json.loads(one["arguments"]) for one in (call, other)] == [{"query": "a"}, {"query": "b"}]
        assert (call["output"], call["error"]) == ("a", None)

    @pytest.mark.parametrize("name", sorted(HOSTED_TOOLS))
    @pytest.mark.parametrize("fields", [{}, INCLUDED])
    def test_every_kind_is_the_sdks(self, name: str, fields: dict[str, Any]) -> None:
        """RESP-6.5: Every hosted tool has an item that the SDK knows."""
        answered = answer(RESPONSES, used(name), tools=[SERVER], **fields)

        assert Response.model_validate(answered).output_text == "So"
        assert answered["output"][-2]["type"] == f"{name}_call"

    @pytest.mark.parametrize("name", sorted(HOSTED_TOOLS))
    def test_a_truncated_call(self, name: str) -> None:
        """FIT-1.11: A call that the limit truncates is not completed, and has results of the known input only."""
        turn = used(name, "rain", finish=FinishReason.LENGTH)
        cut = answer(RESPONSES, turn, tools=[SERVER])["output"][-1]

        assert cut["status"] == ("in_progress" if name in CUT_IN_PROGRESS else "incomplete")
        assert not any("completed" in one for one in kinds(stream(RESPONSES, turn))[-3:])

    def test_an_unknown_tool(self) -> None:
        """RESP-6.5: A call of an unknown tool has an item, and no events of its own."""
        turn = answering(searching("no_such", "q"), saying("So"))

        assert answer(RESPONSES, turn)["output"][0] == {
            "id": f"ht_{turn.id}00",
            "type": "no_such_call",
            "status": "completed",
        }

    @pytest.mark.parametrize(
        ("turn", "searches"),
        [
            (answering(saying("Hi")), 0),
            (used("file_search"), 0),
            (answering(searching("web_search", "a"), searching("web_search", "b", id="2"), saying("So")), 2),
            (used("web_search", finish=FinishReason.LENGTH), 0),
        ],
    )
    def test_searches_are_counted(self, turn: Turn, searches: int) -> None:
        """RESP-6.6: The response counts the complete web searches, and 0 before it is done."""
        runs = events(stream(RESPONSES, turn))

        assert answer(RESPONSES, turn)["tool_usage"]["web_search"] == {"num_requests": searches}
        assert runs[0]["response"]["tool_usage"]["web_search"] == {"num_requests": 0}


class TestStream:
    """Their events."""

    @pytest.mark.parametrize("name", sorted(HOSTED_TOOLS))
    @pytest.mark.parametrize("finish", [FinishReason.STOP, FinishReason.LENGTH])
    def test_every_event_is_the_sdks(self, name: str, finish: FinishReason) -> None:
        """RESP-3.2: Each event has all fields of its SDK class, and no other."""
        tools = [SERVER, {"type": "image_generation", "partial_images": 2}]
        for event in events(stream(RESPONSES, used(name, finish=finish), tools=tools)):
            check_event(event)

    @pytest.mark.parametrize("name", STAGES)
    def test_the_order_of_states(self, name: str) -> None:
        """RESP-3.17: Each kind has its own states, between its announcement and its end."""
        sent = [
            kind.removeprefix(f"{name}_call").lstrip("._")
            for kind in kinds(stream(RESPONSES, used(name)))
            if kind.startswith(f"{name}_call")
        ]

        assert sent == STAGES[name]

    def test_a_servers_list_comes_first(self) -> None:
        """RESP-3.17: The list of tools begins and ends before the call."""
        assert kinds(stream(RESPONSES, used("mcp"), tools=[SERVER]))[2:8] == [
            "output_item.added",
            "mcp_list_tools.in_progress",
            "mcp_list_tools.completed",
            "output_item.done",
            "output_item.added",
            "mcp_call.in_progress",
        ]

    @pytest.mark.parametrize("partial", [0, 1, 3])
    def test_partial_images(self, partial: int) -> None:
        """RESP-3.17: There are as many partial images as requested."""
        tools = [{"type": "image_generation", "partial_images": partial}]
        found = events(stream(RESPONSES, used("image_generation"), tools=tools))
        indices = [one["partial_image_index"] for one in found if "partial_image_index" in one]

        assert indices == list(range(partial))

    def test_when_a_search_is_sent(self) -> None:
        """RESP-3.10, RESP-3.17: A search is announced with its first token; its end carries its tokens, before the text."""
        runs = stream(RESPONSES, used("web_search"))
        sent = [
            (event["type"].removeprefix("response."), end, tokens)
            for event, (end, tokens, _) in zip(events(runs), frames(runs), strict=True)
        ]

        assert sent[2:8] == [
            ("output_item.added", 1, 0),
            ("web_search_call.in_progress", 1, 0),
            ("web_search_call.searching", 4, 0),
            ("web_search_call.completed", 4, 0),
            ("output_item.done", 4, 4),
            ("output_item.added", 5, 0),
        ]

    def test_an_announced_item_has_no_results(self) -> None:
        """RESP-3.17: An item is announced without its later members."""
        found = {name: events(stream(RESPONSES, used(name), **INCLUDED)) for name in STAGES}
        begun = {name: sent[2]["item"] for name, sent in found.items()}

        assert begun["web_search"]["action"] == {"type": "search", "query": ""}
        assert (begun["file_search"]["queries"], begun["file_search"]["results"]) == ([], None)
        assert (begun["code_interpreter"]["code"], begun["code_interpreter"]["outputs"]) == ("", None)
        assert begun["image_generation"]["result"] is None


class TestSentBack:
    """Output items as input."""

    @pytest.mark.parametrize("name", sorted(HOSTED_TOOLS))
    def test_items_are_accepted_as_input(self, name: str) -> None:
        """RESP-1.2: Every output item of a hosted tool is accepted as input, and counts as its JSON."""
        for generation in (RESPONSES, OPENRESPONSES):
            output = answer(generation, used(name), tools=[SERVER])["output"]
            messages = ask(generation, conversation="conv_1", input=output).prompt.messages

            assert len(messages) == len(output)
            assert messages[-1] == Message("assistant", ("So",))
            assert json.loads(messages[-2].notes[0]) == output[-2]


class TestOpenResponses:
    """The other dialect."""

    @pytest.mark.parametrize("name", sorted(HOSTED_TOOLS))
    def test_items_have_all_that_is_required(self, name: str) -> None:
        """OPRE-1.2, OPRE-1.6: Every item has id, type and status; its type is the specification's or has a prefix."""
        output = answer(OPENRESPONSES, used(name), tools=[SERVER])["output"]
        known = {"web_search_call", "file_search_call", "message"}

        for one in output:
            assert {"id", "type", "status"} <= set(one)
            assert one["type"] in known or one["type"].startswith("openai:")

    @pytest.mark.parametrize("name", STAGES)
    def test_events_of_openais_own_are_prefixed(self, name: str) -> None:
        """OPRE-2.4: Events that are not in the specification have a prefix; without it they are OpenAI's."""
        mine = events(stream(OPENRESPONSES, used(name), tools=[SERVER]))
        theirs = events(stream(RESPONSES, used(name), tools=[SERVER]))
        stages = [one["type"] for one in mine if one["type"].startswith("openai:")]

        assert stages == [
            f"openai:{one['type']}" for one in theirs if "_call" in one["type"] or "mcp" in one["type"]
        ]
