"""Which tools a turn calls, and when it calls none."""

import random

import pytest

from llmsim.config import ToolSettings
from llmsim.domain import (
    Message,
    PriorToolCall,
    Prompt,
    Tool,
    ToolChoice,
    ToolKind,
    ToolMode,
    ToolResult,
)
from llmsim.planning.tools import ToolPicker, conversation_state

WEATHER = Tool("get_weather", description="Get the current weather in a given location")
FLIGHTS = Tool("searchFlights", description="Search for flights between two airports")
FINAL = Tool("final_result", description="The final response which ends this conversation")
SEARCH = Tool("web_search", ToolKind.HOSTED)
TOOLS = (WEATHER, FLIGHTS)
REQUIRED = ToolChoice(ToolMode.REQUIRED)


def user(text: str) -> Message:
    return Message("user", (text,))


def called(*names: str) -> tuple[Message, ...]:
    """Return the messages of a call of each tool and its result."""
    calls = tuple(PriorToolCall(f"call_{name}", name, "{}") for name in names)
    results = tuple(Message("tool", (), results=(ToolResult(call.id, "42"),)) for call in calls)
    return (Message("assistant", (), calls=calls), *results)


def picked(
    *messages: Message,
    tools: tuple[Tool, ...] = TOOLS,
    choice: ToolChoice | None = None,
    seed: int = 0,
    **settings: object,
) -> list[str]:
    prompt = Prompt(model="m", messages=messages, tools=tools, tool_choice=choice or ToolChoice())
    pick = ToolPicker(ToolSettings(**settings)).pick  # type: ignore[arg-type]
    return [tool.name for tool in pick(prompt, conversation_state(prompt), random.Random(seed))]


@pytest.mark.parametrize(
    ("message", "names"),
    [
        ("What's the weather in Paris?", ["get_weather"]),
        ("WEATHER!", ["get_weather"]),
        ("Find me a flight to Oslo", ["searchFlights"]),
        ("Tell me a joke", []),
        ("Use the tool to get the given values", []),
        ("", []),
    ],
)
def test_a_shared_word_calls(message: str, names: list[str]) -> None:
    """FIT-1.2: A word of name or description in the last user message calls the tool; grammatical words do not."""
    assert picked(user("weather"), Message("assistant", ("Hm.",)), user(message)) == names


CALCULATOR = Tool("calculator", description="Evaluates a mathematical expression")
TODO = Tool("add_todo", description="Add a todo item")
USER = Tool("get_user", description="Fetch a profile")


@pytest.mark.parametrize(
    ("message", "names"),
    [
        ("Calculate 15% of 240", ["calculator"]),
        ("use the calculator to add 2 and 3", ["calculator"]),
        ("Get user 42", ["get_user"]),
        ("Get it for me", []),
    ],
)
def test_words_of_one_stem_are_shared(message: str, names: list[str]) -> None:
    """FIT-1.2: Of a long word its beginning counts, and a whole name in the message counts most."""
    assert picked(user(message), tools=(TODO, CALCULATOR, USER)) == names


def test_parameters_count() -> None:
    """FIT-1.2: A word of a parameter's name calls the tool, unless it is one that says nothing."""
    schema = b'{"type":"object","properties":{"postalCode":{},"name":{}}}'
    lookup = Tool("lookup", schema=schema)

    assert picked(user("Which postal region is it?"), tools=(lookup,)) == ["lookup"]
    assert picked(user("What is your name?"), tools=(lookup,)) == []


def test_a_name_without_its_grammar_is_not_whole() -> None:
    """FIT-1.2: "task" is not `TaskOutput`; a name that is there with all its words is preferred."""
    output = Tool("TaskOutput", description="Reads a task")
    task = Tool("task_runner")

    assert picked(user("Run the task runner"), tools=(output, task)) == ["task_runner"]
    assert picked(user("Get the task output"), tools=(task, output)) == ["TaskOutput"]


def test_paths_and_urls_are_no_words() -> None:
    """FIT-1.2: The words of a path or URL do not call a tool."""
    assert picked(user("Fix src/weather.py and https://flights.example/weather")) == []


def test_what_a_harness_adds_does_not_call() -> None:
    """FIT-1.13: Its words count for nothing, and a message of nothing else is passed over."""
    reminder = "<system-reminder>\nThe weather and flights are relevant.\n</system-reminder>"

    assert picked(Message("user", (reminder, "Good morning!"))) == []
    assert picked(Message("user", (reminder + "\n\nGood morning!",))) == []
    assert picked(user("weather"), user(reminder)) == ["get_weather"]
    assert picked(user("weather"), Message("system", ("You can search flights.",))) == ["get_weather"]
    assert picked(user("weather"), Message("assistant", ("Sunny.",)), user(reminder)) == []
    assert picked(user("weather"), *called("get_weather"), user(reminder)) == []


def test_the_name_weighs_more_than_the_description() -> None:
    """FIT-1.2: The tool that fits best is called."""
    both = (Tool("trips", description="Plans trips by weather"), WEATHER)

    assert picked(user("How will the weather be?"), tools=both) == ["get_weather"]


def test_the_probability_replaces_the_rule() -> None:
    """FIT-1.2: With 1 some tool is called for any message, with 0 none; in between, at random."""
    assert picked(user("Tell me a joke"), call_probability=1.0) != []
    assert picked(user("weather"), call_probability=0.0) == []
    calls = [bool(picked(user("weather"), call_probability=0.5, seed=seed)) for seed in range(200)]
    assert 60 < sum(calls) < 140


def test_after_a_result_there_is_text() -> None:
    """FIT-1.3: A loop ends after one round, whatever the settings; a new question calls again."""
    asked = (user("weather"), *called("get_weather"))

    assert picked(*asked) == picked(*asked, call_probability=1.0) == []
    assert picked(*asked, Message("assistant", ("Sunny.",)), user("weather?")) == ["get_weather"]


def test_results_in_a_user_message_are_results() -> None:
    """FIT-1.3: Also if results come in a user message, with or without text."""
    call = Message("assistant", (), calls=(PriorToolCall("1", "get_weather", "{}"),))
    result = (ToolResult("1", "42"),)

    assert picked(user("weather"), call, Message("user", (), results=result)) == []
    assert picked(user("weather"), call, Message("user", ("the weather!",), results=result)) == []


def test_none_calls_nothing() -> None:
    """FIT-1.1: With `none` no tool is called."""
    assert picked(user("weather"), choice=ToolChoice(ToolMode.NONE), call_probability=1.0) == []


@pytest.mark.parametrize("message", ["weather", "Tell me a joke", ""])
def test_required_calls_something(message: str) -> None:
    """FIT-1.1: `required` calls a tool, whatever the message and earlier calls."""
    assert len(picked(user(message), choice=REQUIRED)) == 1
    assert len(picked(user(message), *called("get_weather", "searchFlights"), choice=REQUIRED)) == 1


def test_only_allowed_tools_are_called() -> None:
    """FIT-1.1: A named tool is called; of allowed ones only those."""
    named = ToolChoice(ToolMode.REQUIRED, ("searchFlights",))
    allowed = ToolChoice(ToolMode.AUTO, ("searchFlights",))

    assert picked(user("weather"), choice=named) == ["searchFlights"]
    assert picked(user("weather"), choice=allowed) == []


def test_a_forced_loop_ends_by_its_last_tool() -> None:
    """FIT-1.4: First the tool that fits, then one that was not called and whose name means an end."""
    tools = (*TOOLS, FINAL)

    assert picked(user("weather"), tools=tools, choice=REQUIRED) == ["get_weather"]
    after = picked(user("weather"), *called("get_weather"), tools=tools, choice=REQUIRED)
    assert after == ["final_result"]
    assert picked(user("Tell me a joke"), tools=tools, choice=REQUIRED) == ["final_result"]


def test_the_most_calls_of_a_turn_are_a_setting() -> None:
    """FIT-1.5: One by default, as many as fit up to `max_calls`, and one where calls may not be parallel."""
    message = user("weather and flights")
    alone = ToolChoice(parallel=False)

    assert len(picked(message)) == 1
    assert sorted(picked(message, max_calls=5)) == ["get_weather", "searchFlights"]
    assert len(picked(message, max_calls=5, choice=alone)) == 1


def test_calls_that_need_approval() -> None:
    """FIT-1.10: They are asked for without the setting, but not once the client has answered; an approved call is due first."""
    server = Tool("mcp", ToolKind.ON_APPROVAL)
    approved = Tool("mcp", ToolKind.HOSTED, arguments="{}")
    joke = user("Tell me a joke")

    assert picked(joke, tools=(SEARCH, server)) == ["mcp"]
    assert picked(joke, *called("mcp"), tools=(SEARCH, server)) == []
    assert picked(joke, tools=(WEATHER, SEARCH, server), choice=ToolChoice(ToolMode.NONE)) == []
    assert picked(joke, tools=(SEARCH, approved), choice=ToolChoice(ToolMode.NONE)) == ["mcp"]


def test_hosted_tools_are_called_only_when_set() -> None:
    """FIT-1.10: Not by default, once a turn when set, at most as many as allowed, and when there is no other choice."""
    tools = (WEATHER, SEARCH, Tool("file_search", ToolKind.HOSTED))
    joke = user("Tell me a joke")

    assert picked(joke, tools=tools) == []
    assert picked(joke, tools=tools, hosted_calls=True) == ["web_search", "file_search"]
    assert picked(joke, tools=tools, hosted_calls=True, choice=ToolChoice(limit=1)) == ["web_search"]
    named = ToolChoice(ToolMode.REQUIRED, ("file_search",))
    assert picked(joke, tools=tools, choice=named) == ["file_search"]


FINDER = Tool("tool_search", description="Find tools", finds_tools=True)


@pytest.mark.parametrize(
    ("message", "names"),
    [("What's the weather?", ["get_weather"]), ("Order three lamps", ["tool_search"]), ("", [])],
)
def test_tools_are_searched_where_none_fits(message: str, names: list[str]) -> None:
    """FIT-1.18: A tool that finds others is called in their place, once, and for a question only."""
    assert picked(user(message), tools=(*TOOLS, FINDER)) == names
    assert picked(user(message), *called("tool_search"), tools=(*TOOLS, FINDER)) == []
