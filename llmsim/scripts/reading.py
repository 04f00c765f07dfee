"""The parser of scripts: reports all mistakes at once, each with line, path, what was found and what is valid.

Decisions:
* `type` is the type of a turn and `kind` that of a failure, as in the files of the Rust project: those play unchanged.
* Arguments given as a text are sent as they are, valid JSON or not; anything else is encoded. The Rust project encodes
  a text once more, which no client could read: playing broken arguments is more useful.
* Calls may omit their arguments: tools without any are common.
"""

import json
from collections.abc import Collection
from typing import Any, get_args

from llmsim.budgets import LIMITS, pattern_problem
from llmsim.domain import Author, FaultKind, FinishReason, WireFaultKind
from llmsim.scripts.script import (
    Expectation,
    OnExhausted,
    ResultExpectation,
    Script,
    ScriptCall,
    ScriptFailure,
    ScriptLatency,
    ScriptStreamFault,
    ScriptTurn,
    ScriptUsage,
    TextExpectation,
    TurnKind,
)
from llmsim.scripts.sources import ScriptFormat, load
from llmsim.scripts.tables import Problems, Table, describe
from llmsim.toml_source import KeyPath

MOST_TURNS = 10_000
_MOST_CALLS = 128
_MOST_REPEATS = 1_000_000
_MOST_TOKENS = 1 << 40
_MOST_MS = 3_600_000.0
_MOST_RETRY_MS = 60_000.0
"""Clients sleep for as long as the header says. The bound is that of the setting."""

_DRIP_MS = 10.0
_PLACED = ("disconnect", "error", "stall")
"""Kinds of faults whose place the files of the Rust project give."""

_OTHER = "other"
FAILURES = (*(kind.value for kind in FaultKind), _OTHER)

_RESPONSE = "belongs to a turn with a response, not to an error"
CALLS = 'belongs to a turn of type "tool_calls" or "mixed"'
_TEXT = 'belongs to a turn of type "assistant" or "mixed"'
_REFUSAL = 'belongs to a turn of type "assistant"'
_ERROR = 'belongs to a turn of type "error"'

ELSEWHERE = {
    **dict.fromkeys(("kind", "message", "status_code", "retry_after_ms", "code"), _ERROR),
    "calls": CALLS,
    "text": _TEXT,
    "refusal": _REFUSAL,
}
"""Messages for keys of a turn that belong to one of another type."""

_ELSEWHERE_OF_ERRORS = dict.fromkeys(
    ("text", "calls", "reasoning", "refusal", "finish_reason", "usage", "latency", "stream_fault"), _RESPONSE
)


def read(data: bytes, form: ScriptFormat, name: str, *, profiles: Collection[str] = ()) -> Script:
    """Parse a script.

    Args:
        data: The encoded script.
        form: Its format.
        name: Its name in messages, and its own name unless it sets one.
        profiles: Names of the latency profiles; empty to accept any.

    Raises:
        ScriptError: It cannot be played; lists all problems.
    """
    source = load(data, form, name)
    problems = Problems(name, source)
    if isinstance(source.value, dict):
        script = _script(Table(source.value, (), problems), name, profiles)
        problems.close()
        return script
    problems.add((), f'wanted a table with "turns", found {describe(source.value)}')
    problems.close()
    raise AssertionError("a script that is not a table has a problem")


def _script(table: Table, name: str, profiles: Collection[str]) -> Script:
    own = table.text("name", empty=False)
    description = table.text("description")
    exhausted = table.choice("on_exhausted", [word.value for word in OnExhausted])
    turns = [_turn(turn, profiles) for turn in table.tables("turns", "turns", MOST_TURNS, required=True)]
    when = read_expectation(table, "when")
    table.close()
    return Script(
        name=own or name,
        on_exhausted=OnExhausted(exhausted) if exhausted else OnExhausted.REPEAT_LAST,
        turns=tuple(turns),
        description=description or "",
        when=when,
    )


_NO_TURN = ScriptTurn(kind=TurnKind.ASSISTANT)


def _turn(table: Table, profiles: Collection[str]) -> ScriptTurn:
    words = [kind.value for kind in TurnKind]
    if "type" not in table and table.get("kind") in words:
        table.problem("kind", f'the key for this is "type": "type": "{table.get("kind")}"')
        return _NO_TURN
    word = table.choice("type", words, required=True)
    if word is None:
        return _NO_TURN
    kind = TurnKind(word)
    repeat = table.whole("repeat", 1, _MOST_REPEATS)
    delay = table.number("delay_ms", _MOST_MS)
    when, expect = read_expectation(table, "when"), read_expectation(table, "expect")
    if kind is TurnKind.ERROR:
        failure = read_failure(table)
        table.close(_ELSEWHERE_OF_ERRORS)
        return ScriptTurn(
            kind=kind, failure=failure, delay_ms=delay or 0.0, repeat=repeat or 1, when=when, expect=expect
        )
    has_text = kind is not TurnKind.TOOL_CALLS
    refusal = table.text("refusal", empty=False) if kind is TurnKind.ASSISTANT else None
    text = table.text("text", required=refusal is None) if has_text else None
    if text is not None and refusal is not None:
        table.problem("refusal", "comes in place of a text; give one of them")
    finish = table.choice("finish_reason", [reason.value for reason in FinishReason])
    turn = ScriptTurn(
        kind=kind,
        text=text,
        calls=_calls(table) if kind is not TurnKind.ASSISTANT else (),
        reasoning=table.text("reasoning", empty=False),
        refusal=refusal,
        finish_reason=FinishReason(finish) if finish else None,
        usage=_usage(table),
        latency=_latency(table, profiles),
        delay_ms=delay or 0.0,
        stream_fault=read_stream_fault(table),
        repeat=repeat or 1,
        when=when,
        expect=expect,
    )
    table.close(ELSEWHERE)
    return turn


def _calls(table: Table) -> tuple[ScriptCall, ...]:
    calls = []
    ids: dict[str, KeyPath] = {}
    for item in table.tables("calls", "calls", _MOST_CALLS, required=True):
        name = item.text("name", required=True, empty=False)
        call_id = item.text("id", empty=False)
        arguments = item.get("arguments")
        item.close()
        if call_id is not None and ids.setdefault(call_id, item.place) != item.place:
            item.problem("id", f"calls[{ids[call_id][-1]}] has the same id")
        calls.append(ScriptCall(name or "", encode_arguments(arguments), call_id))
    return tuple(calls)


def encode_arguments(value: Any) -> str:
    """Return arguments as they are sent: a text as it is, anything else as compact JSON."""
    if value is None:
        return "{}"
    if isinstance(value, str):
        return value
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def read_failure(table: Table, most_retry_ms: float = _MOST_RETRY_MS) -> ScriptFailure:
    """Read the keys of an error; the caller closes its table.

    Args:
        table: The table that holds them.
        most_retry_ms: Longest retry delay, in milliseconds.
    """
    word = table.choice("kind", FAILURES, required=True)
    return ScriptFailure(
        kind=FaultKind(word) if word is not None and word != _OTHER else None,
        message=table.text("message", empty=False),
        status_code=table.whole("status_code", 400, 599),
        retry_after_ms=table.number("retry_after_ms", most_retry_ms),
        code=table.text("code", empty=False),
    )


def _usage(table: Table) -> ScriptUsage:
    usage = table.table("usage")
    if usage is None:
        return ScriptUsage()
    figures = {key: usage.whole(key, 0, _MOST_TOKENS) for key in ScriptUsage.__struct_fields__}
    usage.close()
    for part, whole in (("reasoning_tokens", "completion_tokens"), ("cached_tokens", "prompt_tokens")):
        few, many = figures[part], figures[whole]
        if few is not None and many is not None and few > many:
            usage.problem(part, f"is a part of {whole}, which are {many}; found {few}")
    return ScriptUsage(**figures)


def _latency(table: Table, profiles: Collection[str]) -> str | ScriptLatency | None:
    if isinstance(table.get("latency"), str):
        return table.choice("latency", sorted(profiles)) if profiles else table.text("latency", empty=False)
    figures = table.table("latency", wanted="the name of a profile, or a table with ttft_ms and itl_ms")
    if figures is None:
        return None
    latency = ScriptLatency(
        ttft_ms=figures.number("ttft_ms", _MOST_MS, required=True) or 0.0,
        itl_ms=figures.number("itl_ms", _MOST_MS, required=True) or 0.0,
        ttft_stddev_ms=figures.number("ttft_stddev_ms", _MOST_MS) or 0.0,
        itl_stddev_ms=figures.number("itl_stddev_ms", _MOST_MS) or 0.0,
    )
    figures.close()
    return latency


def read_stream_fault(table: Table) -> ScriptStreamFault | None:
    """Read the fault of a turn, at its key `stream_fault`; None if it has none."""
    fault = table.table("stream_fault")
    if fault is None:
        return None
    word = fault.choice("kind", [kind.value for kind in WireFaultKind], required=True)
    share = fault.number("at", 1)
    needs_place = word in _PLACED and "at" not in fault
    after = fault.whole("after_tokens", 0, _MOST_TOKENS, required=needs_place)
    if word is None:
        return None
    kind = WireFaultKind(word)
    if "at" in fault and "after_tokens" in fault:
        fault.problem("at", "comes in place of after_tokens; give one of them")
    error = message = pause = None
    elsewhere = {"for_ms": 'belongs to a stream_fault of kind "stall" or "slow_drip"'}
    elsewhere |= dict.fromkeys(("error", "message"), 'belongs to a stream_fault of kind "error"')
    match kind:
        case WireFaultKind.ERROR:
            error = fault.choice("error", [known.value for known in FaultKind])
            message = fault.text("message", empty=False)
        case WireFaultKind.STALL:
            pause = fault.number("for_ms", _MOST_MS, required=True)
        case WireFaultKind.SLOW_DRIP:
            pause = fault.number("for_ms", _MOST_MS)
    fault.close(elsewhere)
    return ScriptStreamFault(
        kind=kind,
        after_tokens=after if after is not None or not needs_place else 0,
        error=FaultKind(error) if error else FaultKind.SERVER_ERROR,
        message=message,
        for_ms=_DRIP_MS if pause is None and kind is WireFaultKind.SLOW_DRIP else pause or 0.0,
        share=0.5 if share is None else share,
    )


_AUTHORS: tuple[Author, ...] = get_args(Author)


def read_expectation(table: Table, key: str) -> Expectation | None:
    """Read which requests something is for, or what it expects of them; None if it says nothing of it."""
    expect = table.table(key)
    if expect is None:
        return None
    fewest, most = _message_count(expect)
    model = _glob(expect, "model")
    offers_tools = None
    if isinstance(expect.get("tools_offered"), bool):
        offers_tools = expect.flag("tools_offered")
    author = expect.choice("last_role", _AUTHORS)
    found = Expectation(
        model=model,
        last_user_message=TextExpectation(contains=expect.texts("contains"), matches=_pattern(expect)),
        anywhere=expect.flag("anywhere") or False,
        tool_results=tuple(
            map(_tool_result, expect.tables("tool_result", "results", _MOST_CALLS, lone=True))
        ),
        tools_offered=expect.texts("tools_offered") if offers_tools is None else (),
        offers_tools=offers_tools,
        last_author=next((known for known in _AUTHORS if known == author), None),
        fewest_messages=fewest,
        most_messages=most,
        system_contains=expect.texts("system_contains"),
        stream=expect.flag("stream"),
        key=_glob(expect, "key"),
        headers=_headers(expect),
    )
    expect.close()
    return found


def _glob(table: Table, key: str) -> str | None:
    """Read a pattern with `*`, `?` and `[…]`."""
    pattern = table.text(key, empty=False)
    if pattern is not None and len(pattern) > LIMITS.pattern_chars:
        table.problem(key, f"wanted at most {LIMITS.pattern_chars:,} characters, found {len(pattern):,}")
    return pattern


def _headers(table: Table) -> tuple[tuple[str, str], ...]:
    headers = table.table("header", wanted="a table of header names and patterns")
    if headers is None:
        return ()
    patterns = [(name.lower(), _glob(headers, name) or "") for name in headers]
    headers.close()
    return tuple(patterns)


def _tool_result(table: Table) -> ResultExpectation:
    call = table.text("call", required=True, empty=False)
    text = TextExpectation(
        contains=table.texts("contains"), matches=_pattern(table), equals=table.text("equals")
    )
    table.close()
    return ResultExpectation(call or "", text)


def _message_count(table: Table) -> tuple[int, int | None]:
    value = table.get("message_count")
    if isinstance(value, int | float):
        count = table.whole("message_count", 0, _MOST_TOKENS)
        return count or 0, count
    bounds = table.table("message_count", wanted="a whole number, or a table with min and max")
    if bounds is None:
        return 0, None
    fewest = bounds.whole("min", 0, _MOST_TOKENS) or 0
    most = bounds.whole("max", 0, _MOST_TOKENS)
    bounds.close()
    if "min" not in bounds and "max" not in bounds:
        bounds.problem(None, "wanted min, max, or both, found neither")
    if most is not None and fewest > most:
        bounds.problem("min", f"is more than max, {most}; found {fewest}")
    return fewest, most


def _pattern(table: Table) -> str | None:
    pattern = table.text("matches", empty=False)
    if pattern is None:
        return None
    if len(pattern) > LIMITS.pattern_chars:
        table.problem(
            "matches", f"wanted at most {LIMITS.pattern_chars:,} characters, found {len(pattern):,}"
        )
        return None
    if problem := pattern_problem(pattern):
        table.problem("matches", f"not a regular expression: {problem}")
        return None
    return pattern
