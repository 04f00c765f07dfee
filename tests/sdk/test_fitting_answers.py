"""Agents and libraries end without a script: the official clients' own loops and parsers against four workers."""

from collections.abc import Iterator
from enum import Enum
from typing import Any

import anthropic
import openai
import pytest
from anthropic import Anthropic, beta_tool
from openai import OpenAI
from pydantic import BaseModel
from support.servers import Server

MODEL = "claude-opus-4-8"
ASKED = "What's the weather in Lisbon for 3 days?"


class Unit(Enum):
    """A unit."""

    CELSIUS = "celsius"
    FAHRENHEIT = "fahrenheit"


class GetWeather(BaseModel):
    """Get the weather of a city."""

    city: str
    days: int


class Report(BaseModel):
    """A report."""

    city: str
    unit: Unit
    highs: list[float]
    note: str | None


PARAMETERS = openai.pydantic_function_tool(GetWeather)["function"]["parameters"]
RESPONSES_TOOL: Any = {"type": "function", "name": "GetWeather", "parameters": PARAMETERS, "strict": True}


@pytest.fixture
def claude(server: Server) -> Iterator[Anthropic]:
    with Anthropic(base_url=f"{server.base}/anthropic", api_key="any", max_retries=0) as opened:
        yield opened


def test_chat_parses_forms_and_tools(client: OpenAI) -> None:
    """FIT-2.1, FIT-1.6: `.parse` gives instances of the caller's own types, with what the message says."""
    messages: Any = [{"role": "user", "content": ASKED}]
    answer = client.chat.completions.parse(model="gpt-4o", messages=messages, response_format=Report)
    parsed = answer.choices[0].message.parsed

    assert parsed is not None
    assert parsed.city == "Lisbon"
    tools = [openai.pydantic_function_tool(GetWeather)]
    for model in ("gpt-4o", "gpt-5"):
        called = client.chat.completions.parse(model=model, messages=messages, tools=tools)
        (call,) = called.choices[0].message.tool_calls or ()
        assert call.function.parsed_arguments == GetWeather(city="Lisbon", days=3)


def test_chat_streams_a_call(client: OpenAI) -> None:
    """FIT-1.7: The client's own accumulation of a stream gives the call."""
    with client.chat.completions.stream(
        model="gpt-4o",
        messages=[{"role": "user", "content": ASKED}],
        tools=[openai.pydantic_function_tool(GetWeather)],
        stream_options={"include_usage": True},
    ) as stream:
        for _ in stream:
            pass
        answer = stream.get_final_completion()
    (call,) = answer.choices[0].message.tool_calls or ()

    assert answer.choices[0].finish_reason == "tool_calls"
    assert call.function.parsed_arguments == GetWeather(city="Lisbon", days=3)
    assert answer.usage is not None
    assert answer.usage.completion_tokens > 5


def test_a_loop_over_chat_ends(client: OpenAI) -> None:
    """FIT-1.3: One call, one result, then text."""
    messages: list[Any] = [{"role": "user", "content": ASKED}]
    rounds = 0
    while rounds < 5:
        answer = client.chat.completions.create(
            model="gpt-4o", messages=messages, tools=[openai.pydantic_function_tool(GetWeather)]
        )
        rounds += 1
        spoken = answer.choices[0].message
        if not spoken.tool_calls:
            break
        messages.append(spoken)
        messages += [
            {"role": "tool", "tool_call_id": call.id, "content": "Sunny."} for call in spoken.tool_calls
        ]

    assert rounds == 2
    assert spoken.content


@pytest.mark.parametrize("kept", [False, True])
def test_a_loop_over_responses_ends(client: OpenAI, kept: bool) -> None:
    """FIT-1.3: Also where the server keeps the conversation."""
    items: Any = [{"role": "user", "content": ASKED}]
    answer = client.responses.create(model="gpt-5", input=items, tools=[RESPONSES_TOOL])
    (call,) = (item for item in answer.output if item.type == "function_call")
    result: Any = {"type": "function_call_output", "call_id": call.call_id, "output": "Sunny."}
    if kept:
        more: Any = {"input": [result], "previous_response_id": answer.id}
    else:
        more = {"input": [*items, *answer.output, result]}
    last = client.responses.create(model="gpt-5", tools=[RESPONSES_TOOL], **more)

    assert call.arguments == '{"city":"Lisbon","days":3}'
    assert [item.type for item in last.output] == ["reasoning", "message"]


@pytest.mark.parametrize("kept", [False, True])
@pytest.mark.parametrize(
    ("tool", "asked", "output"),
    [
        ({"type": "local_shell"}, "Run `pwd` in the shell", {"output": "/"}),
        (
            {"type": "shell", "environment": {"type": "local"}},
            "Run `pwd` in the shell",
            {"output": [{"stdout": "/", "stderr": "", "outcome": {"type": "exit", "exit_code": 0}}]},
        ),
        ({"type": "apply_patch"}, "Create a.txt with a patch", {"status": "completed", "output": "Done."}),
        (
            {"type": "computer"},
            "Look at the screen of the computer",
            {"output": {"type": "computer_screenshot", "image_url": "data:image/png;base64,iVBORw0KGgo="}},
        ),
    ],
    ids=lambda value: value["type"] if isinstance(value, dict) and "type" in value else "",
)
def test_a_loop_over_tools_that_the_client_runs_ends(
    client: OpenAI, tool: Any, asked: str, output: dict[str, Any], kept: bool
) -> None:
    """FIT-1.14: The call ends the turn, the output is taken, and the next turn is text."""
    items: Any = [{"role": "user", "content": asked}]
    answer = client.responses.create(model="gpt-4o", input=items, tools=[tool])
    (call,) = answer.output
    result: Any = {"type": f"{call.type}_output", "call_id": getattr(call, "call_id", None), **output}
    if call.type == "local_shell_call":
        result |= {"id": call.call_id}
    if kept:
        more: Any = {"input": [result], "previous_response_id": answer.id}
    else:
        more = {"input": [*items, *answer.output, result]}
    last = client.responses.create(model="gpt-4o", tools=[tool], **more)

    assert call.type == f"{tool['type']}_call"
    assert (answer.status, answer.output_text) == ("completed", "")
    assert [item.type for item in last.output] == ["message"]


def test_responses_parse_forms(client: OpenAI) -> None:
    """FIT-2.1: `text_format`, whole and streamed."""
    whole = client.responses.parse(model="gpt-4o", input=ASKED, text_format=Report).output_parsed
    with client.responses.stream(model="gpt-4o", input=ASKED, text_format=Report) as stream:
        for _ in stream:
            pass
        streamed = stream.get_final_response().output_parsed

    assert whole is not None
    assert streamed is not None
    assert whole.city == streamed.city == "Lisbon"


def test_odds_of_responses_and_chat(client: OpenAI) -> None:
    """FIT-3.1: Tokens join to the text on both APIs."""
    chat = client.chat.completions.create(
        model="gpt-4o", messages=[{"role": "user", "content": "Hi"}], logprobs=True, top_logprobs=3
    ).choices[0]
    response = client.responses.create(
        model="gpt-4o", input="Hi", include=["message.output_text.logprobs"], top_logprobs=3
    )
    (message,) = response.output
    assert message.type == "message"
    (part,) = message.content
    assert part.type == "output_text"

    assert chat.logprobs is not None
    for reported, text in ((chat.logprobs.content, chat.message.content), (part.logprobs, part.text)):
        assert reported
        assert "".join(token.token for token in reported) == text
        assert all(len(token.top_logprobs) == 3 for token in reported)


def test_a_seed_repeats_calls(client: OpenAI) -> None:
    """FIT-5.1: The same seed calls with the same arguments, whichever worker answers."""
    tool: Any = {
        "type": "function",
        "function": {"name": "f", "parameters": {"type": "object", "properties": {"a": {"type": "number"}}}},
    }
    spoken = {
        client.chat.completions.create(
            model="gpt-4o",
            messages=[{"role": "user", "content": "Hi"}],
            tools=[tool],
            tool_choice="required",
            seed=7,
            n=3,
        ).model_dump_json(include={"choices": {"__all__": {"message": {"tool_calls": {0: {"function"}}}}}})
        for _ in range(12)
    }

    assert len(spoken) == 1


@pytest.mark.parametrize("stream", [False, True])
def test_the_tool_runner_ends(claude: Anthropic, stream: bool) -> None:
    """FIT-1.3: Anthropic's own loop calls the function once with the city of the message, then ends."""
    cities = []

    @beta_tool
    def get_weather(city: str) -> str:
        """Get the weather of a city.

        Args:
            city: The city.
        """
        cities.append(city)
        return "Sunny."

    runner: Any = claude.beta.messages.tool_runner(
        model=MODEL,
        max_tokens=1000,
        tools=[get_weather],
        messages=[{"role": "user", "content": ASKED}],
        stream=stream,
    )
    reasons = [(turn.get_final_message() if stream else turn).stop_reason for turn in runner]

    assert reasons == ["tool_use", "end_turn"]
    assert cities == ["Lisbon"]


def test_messages_parse_forms(claude: Anthropic) -> None:
    """FIT-2.1: `output_format` and a forced tool are instances."""
    messages: Any = [{"role": "user", "content": ASKED}]
    parsed = claude.messages.parse(
        model=MODEL, max_tokens=1000, messages=messages, output_format=Report
    ).parsed_output
    forced = claude.messages.create(
        model=MODEL,
        max_tokens=1000,
        messages=messages,
        tools=[{"name": "record", "input_schema": GetWeather.model_json_schema()}],
        tool_choice={"type": "tool", "name": "record"},
    )

    assert parsed is not None
    assert parsed.city == "Lisbon"
    (block,) = forced.content
    assert isinstance(block, anthropic.types.ToolUseBlock)
    assert GetWeather.model_validate(block.input) == GetWeather(city="Lisbon", days=3)
