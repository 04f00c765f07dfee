"""Responses: what hosted tools tell."""

import base64
import json
import shlex
from typing import Any

import pytest
from openai.types.responses import Response
from responses import answer, answering, ask, check_event, events, frames, kinds, saying, searching, stream

from llmsim.domain import FinishReason, Message, Turn
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
SERVER = {"type": "mcp", "server_label": "wiki", "allowed_tools": ["ask", "read"]}
STAGES = {
    "web_search": ["in_progress", "searching", "completed"],
    "file_search": ["in_progress", "searching", "completed"],
    "code_interpreter": ["in_progress", "code.delta", "code.done", "interpreting", "completed"],
    "image_generation": ["in_progress", "generating", "completed"],
    "mcp": ["in_progress", "arguments.delta", "arguments.done", "completed"],
}
CUT_IN_PROGRESS = {"image_generation", "apply_patch"}


def used(name: str, *pieces: str, finish: FinishReason = FinishReason.STOP) -> Turn:
    """Make a turn that calls a hosted tool and then says something, or is cut in the call."""
    call = searching(name, *(pieces or ("rain", ' "in" Paris')))
    return answering(call, *(() if finish is FinishReason.LENGTH else (saying("So"),)), finish=finish)


def item(name: str, **fields: Any) -> dict[str, Any]:
    found: dict[str, Any] = answer(RESPONSES, used(name), **fields)["output"][0]
    return found


class TestItems:
    """What stands in the output."""

    def test_a_web_search(self) -> None:
        """RESP-6.5: It tells its query, and where it looked if that is included."""
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
        """RESP-6.5: It tells its queries, and what it found if that is included."""
        results = item("file_search", **INCLUDED)["results"]

        assert (item("file_search")["queries"], item("file_search")["results"]) == (['rain "in" Paris'], None)
        assert [result["text"] for result in results] == ['rain "in" Paris']

    def test_code(self) -> None:
        """RESP-6.5: Code is code, and what it puts out is what it would."""
        found = item("code_interpreter", **INCLUDED)

        assert found["code"] == 'print("rain \\"in\\" Paris")'
        assert found["outputs"] == [{"type": "logs", "logs": 'rain "in" Paris\n'}]
        assert compile(found["code"], "code", "exec")
        assert item("code_interpreter")["outputs"] is None
        assert found["container_id"].startswith("cntr_")

    def test_a_picture(self) -> None:
        """RESP-6.5: A picture is one that can be opened."""
        found = item("image_generation")

        assert base64.b64decode(found["result"], validate=True).startswith(b"\x89PNG\r\n\x1a\n")
        assert found["revised_prompt"] == 'rain "in" Paris'

    def test_a_shell_says_and_does_no_more(self) -> None:
        """RESP-6.5: What is said is one word of the command that a client runs."""
        turn = answering(searching("shell", "it's; rm -rf ~ $(date)"), saying("So"))
        (command,) = answer(RESPONSES, turn)["output"][0]["action"]["commands"]

        assert shlex.split(command) == ["echo", "it's; rm -rf ~ $(date)"]

    def test_a_server(self) -> None:
        """RESP-6.5: A server's tools are listed before the first call, which names server, tool and arguments."""
        turn = answering(searching("mcp", "a"), searching("mcp", "b", id="2"), saying("So"))
        listed, call, other, _ = answer(RESPONSES, turn, tools=[SERVER])["output"]

        assert (listed["type"], listed["server_label"]) == ("mcp_list_tools", "wiki")
        assert [tool["name"] for tool in listed["tools"]] == ["ask"]
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
    def test_one_that_is_cut(self, name: str) -> None:
        """FIT-1.11: A call that the limit breaks off is not completed, and has found nothing out that is not there."""
        turn = used(name, "rain", finish=FinishReason.LENGTH)
        cut = answer(RESPONSES, turn, tools=[SERVER])["output"][-1]

        assert cut["status"] == ("in_progress" if name in CUT_IN_PROGRESS else "incomplete")
        assert not any("completed" in one for one in kinds(stream(RESPONSES, turn))[-3:])

    def test_a_tool_of_tomorrow(self) -> None:
        """RESP-6.5: A call of an unknown tool is told by its item alone."""
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
        """RESP-6.6: The response counts the web searches that were made, and none before it is done."""
        runs = events(stream(RESPONSES, turn))

        assert answer(RESPONSES, turn)["tool_usage"]["web_search"] == {"num_requests": searches}
        assert runs[0]["response"]["tool_usage"]["web_search"] == {"num_requests": 0}


class TestStream:
    """What is told of them by and by."""

    @pytest.mark.parametrize("name", sorted(HOSTED_TOOLS))
    @pytest.mark.parametrize("finish", [FinishReason.STOP, FinishReason.LENGTH])
    def test_every_event_is_the_sdks(self, name: str, finish: FinishReason) -> None:
        """RESP-3.2: Each event has all that the SDK's class of it has, and nothing else."""
        tools = [SERVER, {"type": "image_generation", "partial_images": 2}]
        for event in events(stream(RESPONSES, used(name, finish=finish), tools=tools)):
            check_event(event)

    @pytest.mark.parametrize("name", STAGES)
    def test_the_order_of_stages(self, name: str) -> None:
        """RESP-3.17: Each kind has its own stages, between its announcement and its end."""
        told = [
            kind.removeprefix(f"{name}_call").lstrip("._")
            for kind in kinds(stream(RESPONSES, used(name)))
            if kind.startswith(f"{name}_call")
        ]

        assert told == STAGES[name]

    def test_a_servers_list_comes_first(self) -> None:
        """RESP-3.17: The list of tools comes and goes before the call."""
        assert kinds(stream(RESPONSES, used("mcp"), tools=[SERVER]))[2:8] == [
            "output_item.added",
            "mcp_list_tools.in_progress",
            "mcp_list_tools.completed",
            "output_item.done",
            "output_item.added",
            "mcp_call.in_progress",
        ]

    @pytest.mark.parametrize("partial", [0, 1, 3])
    def test_pictures_in_the_making(self, partial: int) -> None:
        """RESP-3.17: As many pictures in the making are told as were asked for."""
        tools = [{"type": "image_generation", "partial_images": partial}]
        found = events(stream(RESPONSES, used("image_generation"), tools=tools))
        indices = [one["partial_image_index"] for one in found if "partial_image_index" in one]

        assert indices == list(range(partial))

    def test_when_a_search_leaves(self) -> None:
        """RESP-3.10, RESP-3.17: A search opens with its first token; its tokens leave with its end, before the text."""
        runs = stream(RESPONSES, used("web_search"))
        told = [
            (event["type"].removeprefix("response."), end, tokens)
            for event, (end, tokens, _) in zip(events(runs), frames(runs), strict=True)
        ]

        assert told[2:8] == [
            ("output_item.added", 1, 0),
            ("web_search_call.in_progress", 1, 0),
            ("web_search_call.searching", 4, 0),
            ("web_search_call.completed", 4, 0),
            ("output_item.done", 4, 4),
            ("output_item.added", 5, 0),
        ]

    def test_what_is_announced_has_found_nothing(self) -> None:
        """RESP-3.17: An item is announced without what is not known yet."""
        found = {name: events(stream(RESPONSES, used(name), **INCLUDED)) for name in STAGES}
        begun = {name: told[2]["item"] for name, told in found.items()}

        assert begun["web_search"]["action"] == {"type": "search", "query": ""}
        assert (begun["file_search"]["queries"], begun["file_search"]["results"]) == ([], None)
        assert (begun["code_interpreter"]["code"], begun["code_interpreter"]["outputs"]) == ("", None)
        assert begun["image_generation"]["result"] is None


class TestSentBack:
    """What was put out, as input."""

    @pytest.mark.parametrize("name", sorted(HOSTED_TOOLS))
    def test_items_are_taken_again(self, name: str) -> None:
        """RESP-1.2: Every item of a hosted tool that is put out is taken, and counts as its JSON."""
        for generation in (RESPONSES, OPENRESPONSES):
            output = answer(generation, used(name), tools=[SERVER])["output"]
            messages = ask(generation, input=output).prompt.messages

            assert len(messages) == len(output)
            assert messages[-1] == Message("assistant", ("So",))
            assert json.loads(messages[-2].notes[0]) == output[-2]


class TestOpenResponses:
    """How the other dialect tells the same."""

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
        """OPRE-2.4: Events that the specification does not know have a prefix; without it they are OpenAI's."""
        mine = events(stream(OPENRESPONSES, used(name), tools=[SERVER]))
        theirs = events(stream(RESPONSES, used(name), tools=[SERVER]))
        stages = [one["type"] for one in mine if one["type"].startswith("openai:")]

        assert stages == [
            f"openai:{one['type']}" for one in theirs if "_call" in one["type"] or "mcp" in one["type"]
        ]
