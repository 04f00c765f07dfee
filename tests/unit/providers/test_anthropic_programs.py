"""Tools that code calls, and messages of the system that are cleared."""

import json
from typing import Any

import pytest
from anthropic.types.beta import BetaMessage
from support.incoming import incoming
from support.tool_turns import WEATHER_CALL, text_segment, tool_call, turn_of
from test_anthropic_render import events

from llmsim.domain import FinishReason
from llmsim.errors import InvalidFieldError
from llmsim.providers.anthropic.messages import MessageOptions, parse
from llmsim.providers.anthropic.rendering import render_message
from llmsim.providers.contract import ParsedRequest

CODE = {"type": "code_execution_20260120", "name": "code_execution"}
SCHEMA = {"type": "object", "properties": {}}
WEATHER = {"name": "get_weather", "input_schema": SCHEMA, "allowed_callers": ["code_execution_20260120"]}
NOW = {"name": "now", "input_schema": SCHEMA}
USER = {"role": "user", "content": "Hm"}


def parse_fields(**fields: Any) -> ParsedRequest[MessageOptions]:
    """Parse a request with some fields."""
    body = {"model": "claude-opus-4-8", "max_tokens": 100, "messages": [USER]} | fields
    return parse(incoming(json.dumps(body).encode()))


def test_calls_follow_their_code() -> None:
    """ANTH-16.6: One block of code makes them, and is their caller; other tools are called by the model."""
    turn = turn_of(WEATHER_CALL, tool_call("now", "{}", id="0124call"))
    options = parse_fields(tools=[CODE, WEATHER, NOW]).options
    message = render_message(turn, options)
    code, call, other = message["content"]

    assert (code["type"], code["name"]) == ("server_tool_use", "code_execution")
    assert code["input"] == {"code": f"print(await get_weather({WEATHER_CALL.arguments.text}))\n"}
    assert call["caller"] == {"type": "code_execution_20260120", "tool_id": code["id"]}
    assert other["caller"] == {"type": "direct"}
    assert message["container"]["id"]
    assert BetaMessage.model_validate(message).stop_reason == "tool_use"


def test_code_is_streamed() -> None:
    """ANTH-16.6: Its input comes in deltas, which join to it."""
    options = parse_fields(tools=[CODE, WEATHER]).options
    whole = render_message(turn_of(WEATHER_CALL), options)["content"][0]
    sent = [data for _, data in events(turn_of(WEATHER_CALL), options) if data.get("index") == 0]
    deltas = [one["delta"]["partial_json"] for one in sent if one["type"] == "content_block_delta"]

    assert sent[0]["content_block"] == whole | {"input": {}}
    assert json.loads("".join(deltas)) == whole["input"]


def test_the_output_of_code_comes_first() -> None:
    """ANTH-16.6: It is what the client has returned, once."""
    use = {"type": "server_tool_use", "id": "srvtoolu_1", "name": "code_execution", "input": {"code": "x"}}
    call = {"type": "tool_use", "id": "toolu_1", "name": "get_weather", "input": {}}
    result = {"type": "tool_result", "tool_use_id": "toolu_1", "content": "sunny"}
    messages = [USER, {"role": "assistant", "content": [use, call]}, {"role": "user", "content": [result]}]
    turn = turn_of(text_segment("So"), finish=FinishReason.STOP)
    output, text = render_message(turn, parse_fields(tools=[CODE, WEATHER], messages=messages).options)[
        "content"
    ]

    assert (output["type"], output["tool_use_id"]) == ("code_execution_tool_result", "srvtoolu_1")
    assert output["content"]["stdout"] == "sunny\n"
    assert text["text"] == "So"
    messages += [{"role": "assistant", "content": [output, text]}, USER]
    options = parse_fields(tools=[CODE, WEATHER], messages=messages).options
    assert [block["type"] for block in render_message(turn, options)["content"]] == ["text"]


@pytest.mark.parametrize(
    "tools", [[WEATHER], [CODE, WEATHER | {"allowed_callers": ["direct", "code_execution_20260120"]}]]
)
def test_other_tools_are_called_by_the_model(tools: list[Any]) -> None:
    """ANTH-16.6: Without code execution, and where the model may call it."""
    (call,) = render_message(turn_of(WEATHER_CALL), parse_fields(tools=tools).options)["content"]

    assert call["caller"] == {"type": "direct"}


def test_a_message_is_cleared_by_the_next_of_the_user() -> None:
    """ANTH-16.7: It counts until then, and only the system has such messages."""
    note = {"role": "system", "content": "Be brief", "clear_at": "next_user_message"}
    texts = [message.texts for message in parse_fields(messages=[USER, note]).prompt.messages]

    assert ("Be brief",) in texts
    assert (
        parse_fields(messages=[USER, note, USER]).prompt.messages
        == parse_fields(messages=[USER, USER]).prompt.messages
    )
    with pytest.raises(InvalidFieldError, match="clear_at"):
        parse_fields(messages=[USER | {"clear_at": "never"}])
