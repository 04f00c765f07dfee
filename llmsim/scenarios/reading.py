"""The parser of scenarios: reports all mistakes at once, as that of scripts does.

Decisions:
* A file holds one scenario or a list of them. It is JSON, as in the Rust project.
* The Rust project ignores unknown keys of a turn and of an error; here they are mistakes like all others.
* Every kind of failure that scripts have can be used, and needs no message.
"""

from typing import Any

from llmsim.domain import FaultKind
from llmsim.scenarios.scenario import (
    Amount,
    Scenario,
    ScenarioCall,
    ScenarioStep,
    ScenarioTiming,
    ScenarioTurn,
    Stall,
    ToolClass,
)
from llmsim.scripts import OnExhausted, ScriptFailure, TurnKind
from llmsim.scripts.reading import CALLS, ELSEWHERE, encode_arguments, read_failure, read_stream_fault
from llmsim.scripts.sources import load
from llmsim.scripts.tables import Problems, Table, describe

_NAME_CHARACTERS = frozenset("abcdefghijklmnopqrstuvwxyz0123456789-")
_NAME = "a name of lower-case letters, digits and hyphens"
_MOST_SCENARIOS = 10_000
_MOST_STEPS = 10_000
_MOST_CALLS = 128
_MOST_TOKENS = 1_000_000
_MOST_MS = 3_600_000
_MOST_RATE = 1.0
_RATES = (FaultKind.RATE_LIMIT, FaultKind.TIMEOUT, FaultKind.SERVER_ERROR)

_WORDS = 'belongs to a turn of type "assistant" or "mixed"'
_ANSWER = "belongs to a turn with an answer, not to an error"
_ELSEWHERE = {**ELSEWHERE, "lorem_tokens": _WORDS, "reasoning_tokens": _ANSWER}
_ELSEWHERE_OF_ERRORS = {
    **dict.fromkeys(("text", "lorem_tokens", "reasoning_tokens", "stream_fault"), _ANSWER),
    "calls": CALLS,
}

_NO_TURN = ScenarioTurn(kind=TurnKind.ASSISTANT)


def is_scenario_name(name: str) -> bool:
    """Return whether a scenario can have this name."""
    return bool(name) and _NAME_CHARACTERS.issuperset(name)


def read_scenarios(data: bytes, name: str) -> tuple[Scenario, ...]:
    """Parse a file of scenarios.

    Args:
        data: Its content.
        name: Its name in messages.

    Raises:
        ScriptError: One cannot be played; lists all problems.
    """
    source = load(data, "json", name)
    problems = Problems(name, source)
    scenarios: tuple[Scenario, ...] = ()
    match source.value:
        case dict():
            scenarios = (_scenario(Table(source.value, (), problems)),)
        case list() if len(source.value) <= _MOST_SCENARIOS:
            scenarios = tuple(_listed(source.value, problems))
        case found:
            problems.add(
                (),
                f'wanted a scenario, a table with "name" and "steps", or a list of these, found {describe(found)}',
            )
    problems.close()
    return scenarios


def _listed(values: list[Any], problems: Problems) -> list[Scenario]:
    scenarios: list[Scenario] = []
    for index, value in enumerate(values):
        if isinstance(value, dict):
            scenarios.append(_scenario(Table(value, (index,), problems)))
        else:
            problems.add((index,), f"wanted a scenario, found {describe(value)}")
    return scenarios


def _scenario(table: Table) -> Scenario:
    name = table.text("name", required=True, empty=False)
    if name is not None and not is_scenario_name(name):
        table.misfit("name", _NAME)
    description = table.text("description")
    timing, rates = _defaults(table)
    steps = [_step(step, timing) for step in table.tables("steps", "steps", _MOST_STEPS, required=True)]
    exhausted = table.choice("on_exhausted", [word.value for word in OnExhausted])
    table.close({"turns": 'belongs to a script; the turns of a scenario are in its "steps"'})
    return Scenario(
        name=name or "",
        steps=tuple(steps),
        description=description or "",
        error_rates=rates,
        on_exhausted=OnExhausted(exhausted) if exhausted else OnExhausted.REPEAT_LAST,
    )


def _defaults(table: Table) -> tuple[ScenarioTiming, tuple[tuple[FaultKind, float], ...]]:
    defaults = table.table("defaults")
    if defaults is None:
        return ScenarioTiming(), ()
    timing, found = _timing(defaults), []
    rates = defaults.table("error_rate")
    if rates is not None:
        for kind in _RATES:
            rate = rates.number(kind.value, _MOST_RATE)
            if rate:
                found.append((kind, rate))
        rates.close()
    defaults.close()
    return timing, tuple(found)


def _step(table: Table, defaults: ScenarioTiming) -> ScenarioStep:
    turn = table.table("turn")
    if turn is None and "turn" not in table:
        table.get("turn", wanted='a table with a "type"')
    own = _timing(table)
    fail_first = table.tables("fail_first", "errors", _MOST_STEPS)
    failures = tuple([_failure(failure) for failure in fail_first])
    table.close(dict.fromkeys(("type", "text", "calls", "lorem_tokens"), 'belongs to the "turn" of a step'))
    return ScenarioStep(_NO_TURN if turn is None else _turn(turn), own.over(defaults), failures)


def _failure(table: Table) -> ScriptFailure:
    failure = read_failure(table, _MOST_MS)
    table.close()
    return failure


def _turn(table: Table) -> ScenarioTurn:
    word = table.choice("type", [kind.value for kind in TurnKind], required=True)
    if word is None:
        return _NO_TURN
    kind = TurnKind(word)
    if kind is TurnKind.ERROR:
        failure = read_failure(table, _MOST_MS)
        table.close(_ELSEWHERE_OF_ERRORS)
        return ScenarioTurn(kind=kind, failure=failure)
    text, lorem = None, None
    if kind is not TurnKind.TOOL_CALLS:
        text, lorem = table.text("text"), _amount(table, "lorem_tokens", _MOST_TOKENS)
        if "text" in table and "lorem_tokens" in table:
            table.problem("lorem_tokens", "comes in place of a text; give one of them")
        elif "text" not in table and "lorem_tokens" not in table:
            table.problem(None, '"text" is missing: wanted a text, or "lorem_tokens"')
    calls = _calls(table) if kind is not TurnKind.ASSISTANT else ()
    reasoning = _amount(table, "reasoning_tokens", _MOST_TOKENS)
    fault = read_stream_fault(table)
    table.close(_ELSEWHERE)
    return ScenarioTurn(
        kind=kind, text=text, lorem_tokens=lorem, reasoning_tokens=reasoning, calls=calls, stream_fault=fault
    )


def _calls(table: Table) -> tuple[ScenarioCall, ...]:
    return tuple([_call(item) for item in table.tables("calls", "calls", _MOST_CALLS, required=True)])


def _call(table: Table) -> ScenarioCall:
    name = table.text("name", empty=False)
    tool = table.choice("tool", [word.value for word in ToolClass])
    if "name" in table and "tool" in table:
        table.problem("tool", "comes in place of a name; give one of them")
    elif "name" not in table and "tool" not in table:
        table.problem(None, f'"name" is missing: wanted a name, or "tool": {_listed_classes()}')
    arguments = table.get("arguments")
    table.close()
    return ScenarioCall(
        name,
        ToolClass(tool) if tool else ToolClass.ANY,
        None if arguments is None else encode_arguments(arguments),
    )


def _listed_classes() -> str:
    return ", ".join(word.value for word in ToolClass)


def _timing(table: Table) -> ScenarioTiming:
    timing = table.table("timing")
    if timing is None:
        return ScenarioTiming()
    ttft = _amount(timing, "ttft_ms", _MOST_MS)
    speed = timing.number("tokens_per_sec", 1e9)
    if speed == 0:
        timing.misfit("tokens_per_sec", "a number above 0")
    found = ScenarioTiming(
        ttft_ms=ttft,
        tokens_per_sec=speed or None,
        stall=_stall(timing),
        cut_after_tokens=timing.whole("cut_after_tokens", 0, 1 << 40),
    )
    timing.close()
    return found


def _stall(table: Table) -> Stall | None:
    stall = table.table("stall")
    if stall is None:
        return None
    found = Stall(
        stall.whole("after_tokens", 0, 1 << 40, required=True) or 0,
        stall.number("ms", _MOST_MS, required=True) or 0.0,
    )
    stall.close()
    return found


def _amount(table: Table, key: str, most: int) -> Amount | None:
    """Read a whole number, or a list of the least and the largest."""
    value = table.get(key)
    if value is None:
        return None
    ends = value if isinstance(value, list) else [value, value]
    wanted = f"a whole number from 0 to {most:,}, or [min, max]"
    if len(ends) != 2 or not all(_is_whole(end) and 0 <= end <= most for end in ends):
        table.problem(
            key, f"wanted {wanted}, found {describe(value) if not isinstance(value, list) else value}"
        )
        return None
    if ends[0] > ends[1]:
        table.problem(
            key, f"the minimum {ends[0]} is more than the maximum {ends[1]}; wanted [{ends[1]}, {ends[0]}]"
        )
        return None
    return Amount(int(ends[0]), int(ends[1]))


def _is_whole(value: Any) -> bool:
    return not isinstance(value, bool) and (
        isinstance(value, int) or (isinstance(value, float) and value.is_integer())
    )
