"""How a script looks in a terminal: the requests, and what each is answered.

Decisions:
* One view for 80 columns and up: a word on the left says what happens, the text on the right folds.
* Scripts come from anywhere, so what does not print is replaced before it meets a terminal.
"""

from collections.abc import Iterator

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from llmsim.scripts import (
    Expectation,
    OnExhausted,
    Script,
    ScriptFailure,
    ScriptLatency,
    ScriptStreamFault,
    ScriptTurn,
    StreamFaultKind,
    TextExpectation,
)
from llmsim.words import printable

_MOST_CHARACTERS = 1_500
_THEN = {
    OnExhausted.REPEAT_LAST: "the last turn is repeated",
    OnExhausted.LOOP: "the script begins anew",
    OnExhausted.ERROR: "the script is exhausted: an error",
}
_COLOURS = {"fails": "red", "breaks": "red", "refuses": "yellow", "calls": "magenta", "expects": "cyan"}


def view(script: Script) -> RenderableType:
    """Lay out a script.

    Returns:
        A renderable for a rich console of 80 columns or more.
    """
    head = Text(_plain(script.name), "bold")
    head.append(f"  ·  {size(script)}", "dim")
    parts: list[RenderableType] = [head]
    if script.description:
        parts.append(Text(_plain(script.description)))
    first = 1
    for number, turn in enumerate(script.turns):
        parts += ["", _turn(number, turn, first)]
        first += turn.repeat
    parts += ["", Text.assemble(("then ", "dim"), _THEN[script.on_exhausted])]
    return Padding(Group(*parts), (0, 1), expand=False)


def size(script: Script) -> str:
    """Say how long it is: `3 turns`, or `3 turns for 12 requests`."""
    turns = len(script.turns)
    words = f"{turns:,} turn{'' if turns == 1 else 's'}"
    return words if script.length == turns else f"{words} for {script.length:,} requests"


def _turn(number: int, turn: ScriptTurn, first: int) -> RenderableType:
    last = first + turn.repeat - 1
    title = Text.assemble(
        (f"request {first:,}" if first == last else f"requests {first:,} to {last:,}", "bold cyan"),
        (f"  turns[{number}], {turn.kind.value}", "dim"),
    )
    lines = Table.grid(padding=(0, 1, 0, 0))
    lines.add_column(width=9, no_wrap=True)
    lines.add_column(overflow="fold")
    for word, text in _lines(number, turn):
        lines.add_row(Text(word, _COLOURS.get(word, "dim")), Text(_plain(text)))
    return Group(title, Padding(lines, (0, 0, 0, 2), expand=False))


def _lines(number: int, turn: ScriptTurn) -> Iterator[tuple[str, str]]:
    """Say what happens, in the order in which it does."""
    if turn.expect is not None:
        for sentence in _expected(turn.expect):
            yield "expects", sentence
    if turn.delay_ms:
        yield "waits", f"{turn.delay_ms:,g} ms"
    if turn.latency is not None:
        yield "takes", _taken(turn.latency)
    if turn.failure is not None:
        yield "fails", _failed(turn.failure)
    if turn.reasoning is not None:
        yield "thinks", turn.reasoning
    if turn.text is not None:
        yield "says", turn.text
    if turn.refusal is not None:
        yield "refuses", turn.refusal
    for index, call in enumerate(turn.calls):
        yield "calls", f"{call.name}  {call.arguments}"
        yield "", f"as {call.id or f'…_llmsim_{number}_{index}'}"
    if turn.stream_fault is not None:
        yield "breaks", _broken(turn.stream_fault)
    if turn.finish_reason is not None:
        yield "ends", f"with {turn.finish_reason.value}"
    figures = {key: getattr(turn.usage, key) for key in turn.usage.__struct_fields__}
    told = [f"{count:,} {key.replace('_', ' ')}" for key, count in figures.items() if count is not None]
    if told:
        yield "reports", ", ".join(told)


def _expected(expect: Expectation) -> Iterator[str]:
    if expect.model is not None:
        yield f"model {expect.model}"
    if expect.stream is not None:
        yield "a stream" if expect.stream else "no stream"
    fewest, most = expect.fewest_messages, expect.most_messages
    if fewest or most is not None:
        bounds = (
            f"{fewest:,}"
            if fewest == most
            else f"{fewest:,} or more"
            if most is None
            else f"{fewest:,} to {most:,}"
        )
        yield f"{bounds} {'message' if bounds == '1' else 'messages'}"
    yield from _like("the system", TextExpectation(contains=expect.system_contains))
    yield from _like("the conversation" if expect.anywhere else "the user", expect.last_user_message)
    if expect.tools_offered:
        yield f"tools {', '.join(expect.tools_offered)}"
    for result in expect.tool_results:
        yield from (
            _like(f"the result of {result.call}", result.text)
            if result.text != TextExpectation()
            else iter((f"a result of {result.call}",))
        )


def _like(what: str, text: TextExpectation) -> Iterator[str]:
    for part in text.contains:
        yield f'{what} to say "{part}"'
    if text.matches is not None:
        yield f"{what} to match {text.matches}"
    if text.equals is not None:
        yield f'{what} to be "{text.equals}"'


def _taken(latency: str | ScriptLatency) -> str:
    if isinstance(latency, str):
        return f"the time of profile {latency}"
    return (
        f"{latency.ttft_ms:,g} ± {latency.ttft_stddev_ms:,g} ms to the first token, "
        f"{latency.itl_ms:,g} ± {latency.itl_stddev_ms:,g} ms between tokens"
    )


def _failed(failure: ScriptFailure) -> str:
    words = [failure.kind.value.replace("_", " ") if failure.kind else "other"]
    if failure.status_code is not None:
        words.append(f"with status {failure.status_code}")
    if failure.retry_after_ms is not None:
        words.append(f"to be retried after {failure.retry_after_ms:,g} ms")
    line = ", ".join(words)
    return line if failure.message is None else f"{line}: {failure.message}"


def _broken(fault: ScriptStreamFault) -> str:
    after = f"after {fault.after_tokens:,} tokens"
    match fault.kind:
        case StreamFaultKind.DISCONNECT:
            return f"{after}: the connection is cut"
        case StreamFaultKind.STALL:
            return f"{after}: nothing for {fault.for_ms:,g} ms"
        case StreamFaultKind.ERROR:
            line = f"{after}: {fault.error.value.replace('_', ' ')}"
            return line if fault.message is None else f"{line}: {fault.message}"


def _plain(text: str) -> str:
    plain = printable(text[:_MOST_CHARACTERS], keep="\n")
    left = len(text) - _MOST_CHARACTERS
    return plain if left <= 0 else f"{plain}… ({left:,} characters more)"
