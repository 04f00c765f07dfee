"""What `scripts/agents` makes of the requests and the output of an agent."""

from typing import Any

import pytest
from works_with.agents import AGENTS, DONE, NOTES
from works_with.sandbox import Run
from works_with.verdict import judge_generated, judge_scripted

BY_NAME = {agent.name: agent for agent in AGENTS}

CODEX = BY_NAME["codex"]

CALL = {"id": "llmsim_0_0", "name": "bash", "arguments": '{"command":"ls"}'}


def request_of(**members: Any) -> dict[str, Any]:
    return {"request": members, "answer": None, "turn": None}


def exchange_of(calls: list[dict[str, str]], *, turn: int | None = 0, **members: Any) -> dict[str, Any]:
    return {"request": members, "answer": {"choices": [{"calls": calls}]}, "turn": turn}


def run_of(*later: dict[str, Any], calls: list[dict[str, str]] | None = None, **changes: Any) -> Run:
    first = exchange_of([CALL] if calls is None else calls)
    values: dict[str, Any] = {"status": 0, "output": DONE, "notes": NOTES, "problems": ""}
    return Run(requests=[first, *later], **(values | changes))


def chat(content: Any) -> dict[str, Any]:
    return request_of(messages=[{"role": "tool", "tool_call_id": "call_llmsim_0_0", "content": content}])


def responses(output: Any) -> dict[str, Any]:
    return request_of(
        input=[{"type": "function_call_output", "call_id": "call_llmsim_0_0", "output": output}]
    )


def messages(content: Any, *, is_error: bool = False) -> dict[str, Any]:
    block = {
        "type": "tool_result",
        "tool_use_id": "toolu_llmsim_0_0",
        "content": content,
        "is_error": is_error,
    }
    return request_of(messages=[{"role": "user", "content": [block]}])


@pytest.mark.parametrize(
    "later",
    [
        chat("README.md"),
        responses("Process exited with code 0\nOutput:\nREADME.md\n"),
        responses([{"type": "input_text", "text": "README.md"}]),
        messages([{"type": "text", "text": "README.md"}]),
        chat('[{"query":"ls","result":"README.md","success":true}]'),
        chat(""),
    ],
)
def test_a_call_that_was_executed(later: dict[str, Any]) -> None:
    """AGENT-2.1: Its result is in a later request, whatever the API calls it."""
    verdict = judge_generated(CODEX, run_of(request_of(messages=[]), later))

    assert verdict.passed
    assert "bash" in verdict.detail


@pytest.mark.parametrize(
    "later",
    [
        messages("README.md", is_error=True),
        messages("<tool_use_error>No task found with ID: 23f7ae46</tool_use_error>"),
        responses("failed to parse function arguments: invalid type: floating point `58.9`"),
        responses("Process exited with code 127\nOutput:\n"),
        chat("NotFound: FileSystem.access (/project/notes.txt)"),
        chat('[{"query":"ls","result":"","success":false}]'),
        request_of(messages=[]),
    ],
)
def test_a_call_that_failed_or_was_not_executed(later: dict[str, Any]) -> None:
    """AGENT-2.1: The API's own mark or the words of the result say so, or there is no result."""
    assert not judge_generated(CODEX, run_of(later)).passed


def test_a_session_without_a_call_or_without_an_end() -> None:
    """AGENT-2.1: No call is a failure where an agent has tools; so is an agent that fails or never ends."""
    assert not judge_generated(CODEX, run_of(calls=[])).passed
    assert judge_generated(BY_NAME["aider"], run_of(calls=[])).passed
    for status in (1, None):
        assert not judge_generated(CODEX, run_of(chat("README.md"), status=status)).passed


@pytest.mark.parametrize(
    "changes",
    [
        {"status": 1},
        {"status": None},
        {"output": ""},
        {"notes": ""},
        {"problems": "global: 3 of 5 turns were played\nrequests:"},
    ],
)
def test_a_scripted_task_that_is_not_done(changes: dict[str, Any]) -> None:
    """AGENT-2.2: All turns, the file and the last text."""
    assert judge_scripted(CODEX, played()).passed
    assert not judge_scripted(CODEX, played(**changes)).passed


@pytest.mark.parametrize(
    "results",
    [("README.md", "no such file"), ("failed", "no such file", ""), ("README.md", "content", ""), ()],
)
def test_a_scripted_call_with_another_result(results: tuple[str, ...]) -> None:
    """AGENT-2.2: Each call was executed, and only the second failed; of texts without calls nothing is asked."""
    assert not judge_scripted(CODEX, played(results)).passed
    assert judge_scripted(BY_NAME["aider"], played(())).passed


def played(results: tuple[str, ...] = ("README.md", "no such file", ""), **changes: Any) -> Run:
    """Return the run of a script whose three calls got these results."""
    requests = [
        exchange_of([CALL | {"id": f"llmsim_{number}_0"}], turn=number, messages=results_of(results[:number]))
        for number in range(3)
    ]
    values: dict[str, Any] = {"status": 0, "output": DONE, "notes": NOTES, "problems": ""}
    return Run(requests=[*requests, request_of(messages=results_of(results))], **(values | changes))


def results_of(contents: tuple[str, ...]) -> list[dict[str, str]]:
    return [
        {"role": "tool", "tool_call_id": f"call_llmsim_{number}_0", "content": content}
        for number, content in enumerate(contents)
    ]
