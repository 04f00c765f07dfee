"""Expectations of a turn, and the messages of those that are not met."""

from typing import Any

import pytest

from llmsim.domain import Message, PriorToolCall, Prompt, Tool, ToolResult
from llmsim.scripts import Expectation, ResultExpectation, TextExpectation, unmet

AGENT = Prompt(
    model="gpt-5-mini",
    messages=(
        Message("developer", ("You are an agent.",)),
        Message("user", ("List the files", "in /tmp")),
        Message("assistant", ("Sure.",), calls=(PriorToolCall("call_1", "bash", '{"command":"ls"}'),)),
        Message("tool", (), results=(ToolResult("call_1", "a.txt\n"),)),
        Message(
            "assistant",
            (),
            calls=(PriorToolCall("call_2", "bash", "{}"), PriorToolCall("call_3", "read", "{}")),
        ),
        Message("user", (), results=(ToolResult("call_2", "b.txt"), ToolResult("call_3", "x" * 10_000))),
    ),
    tools=(Tool("bash"), Tool("read")),
    stream=True,
)
"""The middle of an agent's loop; its last message has results as in Anthropic's API."""


def result(call: str, **text: Any) -> tuple[ResultExpectation, ...]:
    return (ResultExpectation(call, TextExpectation(**text)),)


@pytest.mark.parametrize(
    "expect",
    [
        Expectation(),
        Expectation(model="gpt-5-mini"),
        Expectation(model="gpt-*"),
        Expectation(last_user_message=TextExpectation(contains=("List", "/tmp"), matches=r"files\nin")),
        Expectation(
            last_user_message=TextExpectation(contains=("agent", "Sure", "ls", "a.txt")), anywhere=True
        ),
        Expectation(system_contains=("agent",)),
        Expectation(tool_results=result("call_1", equals="a.txt")),
        Expectation(tool_results=result("bash", contains=("b",), matches="^b")),
        Expectation(tool_results=result("read")),
        Expectation(tools_offered=("read",)),
        Expectation(offers_tools=True),
        Expectation(last_author="tool"),
        Expectation(fewest_messages=5, most_messages=5),
        Expectation(fewest_messages=2),
        Expectation(stream=True),
    ],
)
def test_expectations_can_be_met(expect: Expectation) -> None:
    """SCRIPT-4.1: For each kind of expectation."""
    assert unmet(expect, AGENT) == ()


@pytest.mark.parametrize(
    ("expect", "sentence"),
    [
        (Expectation(model="gpt-4*"), 'expected model "gpt-4*", got "gpt-5-mini"'),
        (Expectation(model="GPT-5-mini"), 'expected model "GPT-5-mini", got "gpt-5-mini"'),
        (
            Expectation(last_user_message=TextExpectation(contains=("Paris",))),
            'expected the last user message to contain "Paris", got "List the files\\nin /tmp"',
        ),
        (
            Expectation(last_user_message=TextExpectation(matches="^in")),
            'expected the last user message to match "^in", got "List the files\\nin /tmp"',
        ),
        (
            Expectation(system_contains=("robot",)),
            'expected the system messages to contain "robot", got "You are an agent."',
        ),
        (Expectation(tool_results=result("bash", equals="c")), 'expected the result of "bash" to be "c", got "b.txt"'),
        (
            Expectation(tool_results=result("write")),
            'expected a result of "write", got results of call_1 (bash), call_2 (bash), call_3 (read)',
        ),
        (
            Expectation(tools_offered=("bash", "write")),
            "expected the tool write to be offered, got bash, read",
        ),
        (Expectation(fewest_messages=6), "expected at least 6 messages, system aside, got 5"),
        (Expectation(fewest_messages=3, most_messages=3), "expected 3 messages, system aside, got 5"),
        (Expectation(fewest_messages=1, most_messages=1), "expected 1 message, system aside, got 5"),
        (Expectation(most_messages=4), "expected 0 to 4 messages, system aside, got 5"),
        (Expectation(stream=False), "expected a request for an unstreamed answer, got one for a stream"),
    ],
)  # fmt: skip
def test_unmet_expectations_are_reported(expect: Expectation, sentence: str) -> None:
    """SCRIPT-4.1, SCRIPT-4.2: A sentence has the expected and the actual value."""
    assert unmet(expect, AGENT) == (sentence,)


def test_each_expectation_has_a_sentence() -> None:
    """SCRIPT-4.2: All unmet expectations are reported at once."""
    expect = Expectation(model="a", stream=False, tools_offered=("b",), tool_results=result("c"))

    assert len(unmet(expect, AGENT)) == 4


def test_missing_parts_are_reported() -> None:
    """SCRIPT-4.2: A request without messages, tools and results is checked as any other."""
    bare = Prompt(model="m", messages=(Message("user", (), results=()),))

    sentences = unmet(
        Expectation(
            last_user_message=TextExpectation(contains=("x",)),
            system_contains=("y",),
            tools_offered=("t",),
            tool_results=result("t"),
        ),
        bare,
    )

    assert sentences == (
        'expected the system messages to contain "y", got nothing',
        'expected the last user message to contain "x", got no such message',
        "expected the tool t to be offered, got none",
        'expected a result of "t", got no results',
    )


def test_sentences_are_short() -> None:
    """SCRIPT-4.2: Long texts and lists are truncated."""
    tools = tuple(Tool("n" * 500 + str(number)) for number in range(500))
    prompt = Prompt(model="m" * 5000, messages=(Message("user", ("u" * 5000,)),), tools=tools)
    expect = Expectation(
        model="x",
        last_user_message=TextExpectation(contains=("e" * 5000,)),
        tools_offered=tuple(str(n) for n in range(500)),
    )

    sentences = unmet(expect, prompt)

    assert len(sentences) == 3
    assert all(len(sentence) < 1000 for sentence in sentences)


def test_a_slow_pattern_is_given_up() -> None:
    """SCRIPT-4.3: An endless search is reported, and other requests do not wait for it."""
    prompt = Prompt(model="m", messages=(Message("user", ("a" * 5000 + "!",)),))
    expect = Expectation(last_user_message=TextExpectation(matches=r"^(a|a)*b$|^(a+)+$"))

    (sentence,) = unmet(expect, prompt)

    assert "tries too many ways" in sentence


@pytest.mark.parametrize(
    ("expect", "sentence"),
    [
        (Expectation(offers_tools=False), "expected no tools to be offered, got bash, read"),
        (Expectation(last_author="user"), "expected the last message to be of role user, got tool"),
    ],
)
def test_tools_and_the_last_role_are_expected(expect: Expectation, sentence: str) -> None:
    """SCRIPT-4.4: A message with nothing but results is a tool's, as Anthropic's are of role `user`."""
    assert unmet(expect, AGENT) == (sentence,)


def test_a_prompt_without_tools_and_messages_has_neither() -> None:
    """SCRIPT-4.4: Nothing is offered, and no message is the last."""
    empty = Prompt(model="m", messages=())

    assert unmet(Expectation(offers_tools=True), empty) == ("expected any tool to be offered, got none",)
    assert unmet(Expectation(last_author="tool"), empty) == (
        "expected the last message to be of role tool, got none",
    )


@pytest.mark.parametrize(
    ("message", "author"),
    [
        (Message("developer", ("a",)), "system"),
        (Message("user", ("a",), results=(ToolResult("1", "b"),)), "user"),
        (Message("user", (), extra_tokens=5), "user"),
        (Message("function", (), results=(ToolResult("f", "b"),)), "tool"),
        (Message("assistant", ()), "assistant"),
    ],
)
def test_the_author_of_a_message_is_the_same_for_all_apis(message: Message, author: str) -> None:
    """SCRIPT-4.4: Roles of one meaning are one author."""
    assert message.author == author
