"""Judges what an agent did, from the simulator's journal and the agent's own output.

Decisions:
* A tool call was executed if a later request has its result. It was a success if neither the API's own mark nor the words of the
  result say otherwise: most agents report a failure in the text alone.
* Results are searched in the whole request, by the members that name a call, so one search serves all APIs.
"""

import json
import re
from collections.abc import Iterator
from typing import Any

import msgspec

from .agents import DONE, NOTES, Agent
from .sandbox import Run

_CALL_MEMBERS = ("tool_call_id", "call_id", "tool_use_id", "id")

_FAILURE = re.compile(
    r"error|not ?found|no such|\binvalid\b|denied|failed|exited with code [1-9]|success\W+false",
    re.IGNORECASE,
)

_MAX_SHOWN = 60
"""Characters of arguments, results and output that a verdict shows."""


class Verdict(msgspec.Struct, frozen=True):
    """Whether a run went well.

    Attributes:
        passed: Whether it did.
        detail: What happened: the first call that was executed, or what went wrong.
    """

    passed: bool
    detail: str


def judge_generated(agent: Agent, run: Run) -> Verdict:
    """Judge a run without a script: its first call is executed with success, and the session ends."""
    if run.status != 0:
        return Verdict(False, _describe_end(run))
    if not agent.executes_tools:
        return Verdict(True, "no tools; the session ends")
    for number, exchange in enumerate(run.requests):
        for call in _calls(exchange):
            shown = f"`{call['name']}({_shorten(call['arguments'])})`"
            result = _find_result(call["id"], run.requests[number + 1 :])
            if result is None:
                return Verdict(False, f"{shown} was not executed")
            if _is_failure(*result):
                return Verdict(False, f"{shown} failed: {_shorten(result[0])}")
            return Verdict(True, f"{shown} was executed")
    return Verdict(False, "no tool was called")


def judge_scripted(agent: Agent, run: Run) -> Verdict:
    """Judge the scripted task: all turns and calls are played, the file is written, and the last text is shown."""
    if run.problems:
        return Verdict(False, run.problems.splitlines()[0])
    if run.status != 0:
        return Verdict(False, _describe_end(run))
    if run.notes.strip() != NOTES:
        return Verdict(False, f"notes.txt has {_shorten(run.notes)!r}")
    if DONE not in run.output:
        return Verdict(False, f"the last text is not shown: {_shorten(run.output)}")
    if agent.executes_tools and (problem := _find_wrong_result(run)):
        return Verdict(False, problem)
    return Verdict(True, "5 turns, notes.txt written")


def _find_wrong_result(run: Run) -> str | None:
    """Return which call of the script has another result than it should; None if none has."""
    expected = iter((False, True, False))
    for number, exchange in enumerate(run.requests):
        for call in _calls(exchange) if exchange["turn"] is not None else ():
            shown = f"`{call['name']}({_shorten(call['arguments'])})`"
            result = _find_result(call["id"], run.requests[number + 1 :])
            if result is None:
                return f"{shown} was not executed"
            if _is_failure(*result) != next(expected, False):
                return f"{shown} returned {_shorten(result[0])}"
    return None


def _is_failure(content: str, is_error: bool) -> bool:
    return is_error or _FAILURE.search(content) is not None


def _describe_end(run: Run) -> str:
    end = "had to be stopped" if run.status is None else f"ended with {run.status}"
    return f"the agent {end}: {_shorten(run.output.strip()[-_MAX_SHOWN:])}"


def _calls(exchange: dict[str, Any]) -> list[dict[str, str]]:
    answer = exchange["answer"]
    return [] if answer is None else answer["choices"][0]["calls"]


def _find_result(call: str, requests: list[dict[str, Any]]) -> tuple[str, bool] | None:
    """Return the result of a call, and whether it is marked as an error; None if no request has it."""
    for exchange in requests:
        for item in _objects(exchange["request"]):
            # The journal writes ids without the prefixes of the APIs.
            names_call = any(str(item.get(member, "")).endswith(call) for member in _CALL_MEMBERS)
            content = item.get("output", item.get("content", item.get("response")))
            if names_call and content is not None:
                return json.dumps(content, ensure_ascii=False), item.get("is_error") is True
    return None


def _objects(value: Any) -> Iterator[dict[str, Any]]:
    if isinstance(value, dict):
        yield value
        for member in value.values():
            yield from _objects(member)
    elif isinstance(value, list):
        for element in value:
            yield from _objects(element)


def _shorten(text: str) -> str:
    line = " ".join(text.split()).replace("|", "\\|")
    return line if len(line) <= _MAX_SHOWN else f"{line[: _MAX_SHOWN - 1]}…"
