"""`llmsim script`: checks scripts, and shows what they play.

Decisions:
* One view for 80 columns and up: a word on the left names what happens, the text on the right wraps.
* Scripts may come from anyone, so unprintable characters are replaced before they reach a terminal.
"""

from collections.abc import Iterator
from pathlib import Path

import click
from rich.console import Console, Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from llmsim.catalogue import shipped_catalogue
from llmsim.domain import EFFECTS, WireFaultKind
from llmsim.errors import ScriptError
from llmsim.scripts import (
    Expectation,
    OnExhausted,
    Script,
    ScriptFailure,
    ScriptLatency,
    ScriptStreamFault,
    ScriptTurn,
    TextExpectation,
)
from llmsim.scripts.files import read_script_file
from llmsim.text import printable

_MAX_CHARACTERS = 1_500
_ON_EXHAUSTED = {
    OnExhausted.REPEAT_LAST: "the last turn is repeated",
    OnExhausted.LOOP: "the script starts again",
    OnExhausted.ERROR: "the script is exhausted: further requests get an error",
}
_COLOURS = {
    "fails": "red",
    "breaks": "red",
    "refuses": "yellow",
    "calls": "magenta",
    "expects": "cyan",
    "only for": "cyan",
}


@click.group(short_help="Check and show scripts: turns that are played in order.")
def script() -> None:
    """Check and show scripts: turns, tool calls and errors played in order."""


@script.command()
@click.argument("files", metavar="FILE...", nargs=-1, required=True, type=click.Path(path_type=Path))
def validate(files: tuple[Path, ...]) -> None:
    """Check that each FILE is a valid script.

    Reports every mistake of every file, with its line and a correction. The exit code is 0 if all files are valid, and
    2 if any is not.
    """
    problems: list[str] = []
    for file in files:
        try:
            valid = _read(file)
        except ScriptError as error:
            problems += error.problems
        else:
            click.echo(f"{click.style('ok', fg='green')}  {file}: {_describe_size(valid)}")
    if problems:
        raise ScriptError(tuple(problems))


@script.command()
@click.argument("file", metavar="FILE", type=click.Path(path_type=Path))
def show(file: Path) -> None:
    """Show what FILE plays, turn by turn."""
    Console(highlight=False).print(_render(_read(file)))


def _read(file: Path) -> Script:
    return read_script_file(file, shipped_catalogue().profiles).script


def _render(script: Script) -> RenderableType:
    """Render a script for a console of 80 columns or more."""
    head = Text(_printable(script.name), "bold")
    head.append(f"  ·  {_describe_size(script)}", "dim")
    parts: list[RenderableType] = [head]
    if script.description:
        parts.append(Text(_printable(script.description)))
    if script.when is not None:
        requests = "; ".join(_describe_expectation(script.when)) or "all requests"
        parts.append(Text.assemble(("only for ", "dim"), _printable(requests)))
    first = 1
    for number, turn in enumerate(script.turns):
        parts += ["", _render_turn(number, turn, first)]
        first += turn.repeat
    parts += ["", Text.assemble(("then ", "dim"), _ON_EXHAUSTED[script.on_exhausted])]
    return Padding(Group(*parts), (0, 1), expand=False)


def _describe_size(script: Script) -> str:
    """Return e.g. `3 turns`, or `3 turns for 12 requests`."""
    turns = len(script.turns)
    words = f"{turns:,} turn{'' if turns == 1 else 's'}"
    return words if script.length == turns else f"{words} for {script.length:,} requests"


def _render_turn(number: int, turn: ScriptTurn, first: int) -> RenderableType:
    last = first + turn.repeat - 1
    title = Text.assemble(
        (f"request {first:,}" if first == last else f"requests {first:,} to {last:,}", "bold cyan"),
        (f"  turns[{number}], {turn.kind.value}", "dim"),
    )
    lines = Table.grid(padding=(0, 1, 0, 0))
    lines.add_column(width=9, no_wrap=True)
    lines.add_column(overflow="fold")
    for word, text in _lines(number, turn):
        lines.add_row(Text(word, _COLOURS.get(word, "dim")), Text(_printable(text)))
    return Group(title, Padding(lines, (0, 0, 0, 2), expand=False))


def _lines(number: int, turn: ScriptTurn) -> Iterator[tuple[str, str]]:
    """Yield what happens, in order: a word, and its details."""
    if turn.when is not None:
        for part in _describe_expectation(turn.when):
            yield "only for", part
    if turn.expect is not None:
        for part in _describe_expectation(turn.expect):
            yield "expects", part
    if turn.delay_ms:
        yield "waits", f"{turn.delay_ms:,g} ms"
    if turn.latency is not None:
        yield "takes", _describe_latency(turn.latency)
    if turn.failure is not None:
        yield "fails", _describe_failure(turn.failure)
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
        yield "breaks", _describe_stream_fault(turn.stream_fault)
    if turn.finish_reason is not None:
        yield "ends", f"with {turn.finish_reason.value}"
    figures = {key: getattr(turn.usage, key) for key in turn.usage.__struct_fields__}
    usage = [f"{count:,} {key.replace('_', ' ')}" for key, count in figures.items() if count is not None]
    if usage:
        yield "reports", ", ".join(usage)


def _describe_expectation(expect: Expectation) -> Iterator[str]:
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
    yield from _describe_text("the system", TextExpectation(contains=expect.system_contains))
    yield from _describe_text("the conversation" if expect.anywhere else "the user", expect.last_user_message)
    if expect.tools_offered:
        yield f"tools {', '.join(expect.tools_offered)}"
    if expect.offers_tools is not None:
        yield "any tools" if expect.offers_tools else "no tools"
    if expect.last_author is not None:
        yield f"a last message of role {expect.last_author}"
    if expect.key is not None:
        yield "an API key of its own"
    for name, pattern in expect.headers:
        yield f"{name}: {pattern}"
    for result in expect.tool_results:
        yield from (
            _describe_text(f"the result of {result.call}", result.text)
            if result.text != TextExpectation()
            else iter((f"a result of {result.call}",))
        )


def _describe_text(what: str, text: TextExpectation) -> Iterator[str]:
    for part in text.contains:
        yield f'{what} to say "{part}"'
    if text.matches is not None:
        yield f"{what} to match {text.matches}"
    if text.equals is not None:
        yield f'{what} to be "{text.equals}"'


def _describe_latency(latency: str | ScriptLatency) -> str:
    if isinstance(latency, str):
        return f"the time of profile {latency}"
    return (
        f"{latency.ttft_ms:,g} ± {latency.ttft_stddev_ms:,g} ms to the first token, "
        f"{latency.itl_ms:,g} ± {latency.itl_stddev_ms:,g} ms between tokens"
    )


def _describe_failure(failure: ScriptFailure) -> str:
    words = [failure.kind.value.replace("_", " ") if failure.kind else "other"]
    if failure.status_code is not None:
        words.append(f"with status {failure.status_code}")
    if failure.retry_after_ms is not None:
        words.append(f"to be retried after {failure.retry_after_ms:,g} ms")
    line = ", ".join(words)
    return line if failure.message is None else f"{line}: {failure.message}"


def _describe_stream_fault(fault: ScriptStreamFault) -> str:
    after = (
        f"after {fault.share:.0%} of it"
        if fault.after_tokens is None
        else f"after {fault.after_tokens:,} tokens"
    )
    match fault.kind:
        case WireFaultKind.DISCONNECT:
            return f"{after}: the connection is cut"
        case WireFaultKind.STALL:
            return f"{after}: nothing for {fault.for_ms:,g} ms"
        case WireFaultKind.ERROR:
            line = f"{after}: {fault.error.value.replace('_', ' ')}"
            return line if fault.message is None else f"{line}: {fault.message}"
    effect = EFFECTS[fault.kind]
    return f"{after}: {effect.summary}" if effect.has_place else effect.summary


def _printable(text: str) -> str:
    plain = printable(text[:_MAX_CHARACTERS], keep="\n")
    left = len(text) - _MAX_CHARACTERS
    return plain if left <= 0 else f"{plain}… ({left:,} characters more)"
