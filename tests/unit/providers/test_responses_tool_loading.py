"""Tools that a search loads, and tools that programs call, in the Responses API."""

import json
from typing import Any

from openai.types.responses import Response
from support.responses_api import answer, answering, ask, calling, events, saying, stream

from llmsim.domain import FinishReason, Segment, Turn
from llmsim.providers.openai.responses import RESPONSES

SEARCH = {"type": "tool_search"}
WEATHER = {"type": "function", "name": "get_weather", "parameters": {"type": "object"}, "defer_loading": True}
CRM = {
    "type": "namespace",
    "name": "crm",
    "description": "d",
    "tools": [{"type": "function", "name": "list_orders", "defer_loading": True}],
}
TOOLS = [SEARCH, WEATHER, CRM]
PROGRAMS = [
    {"type": "programmatic_tool_calling"},
    {"type": "function", "name": "get_weather", "allowed_callers": ["programmatic"]},
]
USER = {"role": "user", "content": "Hi"}


def called(*calls: Segment, finish: FinishReason = FinishReason.TOOL_CALLS) -> Turn:
    return answering(*calls, finish=finish)


def kinds(turn: Turn, **fields: Any) -> list[str]:
    return [item["type"] for item in answer(RESPONSES, turn, **fields)["output"]]


WEATHER_CALL = calling("get_weather", "{}")
ORDERS_CALL = calling("list_orders", "{}", id="2")


def test_a_deferred_tool_is_searched_first() -> None:
    """RESP-6.12: One search loads what a turn calls, a tool in a namespace by that; the definitions are those of the request."""
    found = answer(RESPONSES, called(WEATHER_CALL, ORDERS_CALL), tools=TOOLS)
    search, output, *calls = found["output"]

    assert Response.model_validate(found)
    assert (search["type"], search["arguments"]) == ("tool_search_call", {"paths": ["get_weather", "crm"]})
    assert (output["type"], output["tools"]) == ("tool_search_output", [WEATHER, CRM])
    assert [call["type"] for call in calls] == ["function_call"] * 2
    assert len({item["id"] for item in found["output"]}) == 4
    done = [
        one["item"]
        for one in events(stream(RESPONSES, called(WEATHER_CALL, ORDERS_CALL), tools=TOOLS))
        if one["type"] == "response.output_item.done"
    ]
    assert done == found["output"]


def test_when_nothing_is_searched() -> None:
    """RESP-6.12: A text needs no tools; without a search, or once it is loaded, a tool is called at once."""
    loaded = {"type": "tool_search_output", "id": "tso_1", "tools": [WEATHER]}
    turn = called(WEATHER_CALL)

    assert kinds(answering(saying("So")), tools=TOOLS) == ["message"]
    assert kinds(turn, tools=[WEATHER]) == ["function_call"]
    assert kinds(turn, tools=TOOLS, input=[USER, loaded]) == ["function_call"]


def test_a_program_calls() -> None:
    """RESP-6.13: A program comes before its calls, each of which names it."""
    found = answer(RESPONSES, called(WEATHER_CALL), tools=PROGRAMS)
    program, call = found["output"]

    assert Response.model_validate(found)
    assert program["type"] == "program"
    assert "get_weather" in program["code"]
    assert call["caller"] == {"type": "program", "caller_id": program["call_id"]}


def test_a_program_ends() -> None:
    """RESP-6.13: The turn that has the results begins with the output of the program, once."""
    items = [USER, *answer(RESPONSES, called(WEATHER_CALL), tools=PROGRAMS)["output"]]
    items.append({"type": "function_call_output", "call_id": items[-1]["call_id"], "output": "sunny"})
    ended, message = answer(RESPONSES, answering(saying("So")), tools=PROGRAMS, input=items)["output"]

    assert (ended["type"], ended["call_id"], ended["result"]) == (
        "program_output",
        items[1]["call_id"],
        "sunny",
    )
    later = [*items, ended, message, USER]
    assert kinds(answering(saying("So")), tools=PROGRAMS, input=later) == ["message"]


def test_a_truncated_call_is_in_no_program() -> None:
    """FIT-1.11: A part of a call is not to be run."""
    cut = called(calling("get_weather", '{"ci'), finish=FinishReason.LENGTH)

    assert kinds(cut, tools=PROGRAMS) == ["function_call"]
    assert kinds(cut, tools=TOOLS) == ["function_call"]


def test_options_survive_being_stored() -> None:
    """RESP-5.5: What is deferred is stored with the response."""
    deferred = ask(RESPONSES, tools=TOOLS).options.tools.deferred

    assert {name: json.loads(one.definition)["type"] for name, one in deferred.items()} == {
        "get_weather": "function",
        "list_orders": "namespace",
    }
