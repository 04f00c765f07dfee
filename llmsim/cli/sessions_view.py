"""How sessions look in a terminal: a line each, with a bar for the place in the script.

Decisions:
* Names come from the network, so what does not print is replaced before it meets a terminal.
* Colour says nothing that words do not: failed expectations are red, what is finished is green.
"""

from typing import Any

import msgspec
from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from llmsim.cli.stats_view import duration
from llmsim.words import printable

_BAR = 10
_MOST_CHARACTERS = 60


class Failure(msgspec.Struct):
    """An expectation that was not met, as the control API tells it."""

    at: float
    cursor: int
    unmet: list[str]


class SessionProgress(msgspec.Struct):
    """Where a session stands in a script, as the control API tells it."""

    session: str
    script: str
    cursor: int
    length: int | None
    finished: bool
    turns_played: int
    expectations_met: int
    expectations_failed: int
    used_at: float
    failures: list[Failure] = []


class AllSessions(msgspec.Struct):
    """The sessions that were used last."""

    sessions: list[SessionProgress]
    has_more: bool


class OneSession(msgspec.Struct):
    """One session."""

    session: str
    scripts: list[SessionProgress]


class Entry(msgspec.Struct):
    """What a request asked and got, as the journal tells it."""

    number: int
    at: float
    endpoint: str
    turn: int | None
    outcome: str | None
    answer: dict[str, Any] | None = None
    fault: dict[str, Any] | None = None
    refusal: dict[str, Any] | None = None


class Requests(msgspec.Struct):
    """A page of the journal."""

    requests: list[Entry]


def view(every: AllSessions, *, origin: str, now: float) -> RenderableType:
    """Lay out the sessions of a server.

    Args:
        every: What to show.
        origin: The server's address.
        now: Unix time, in seconds.

    Returns:
        A renderable for a rich console of 80 columns or more.
    """
    if not every.sessions:
        return Padding(Text(f"No session of {printable(origin)} has played a turn yet."), (0, 1))
    table = _table(every.sessions, now, named=True)
    more = [Text("There are more; --limit shows them.", "dim")] if every.has_more else []
    return Padding(Group(_head(origin), Text(), table, *more), (0, 1), expand=False)


def view_one(one: OneSession, requests: Requests, *, origin: str, now: float) -> RenderableType:
    """Lay out one session: places, failures, last requests."""
    head = _head(origin)
    head.append(f"  ·  session {printable(one.session)}", "bold")
    parts: list[RenderableType] = [head]
    if one.scripts:
        parts += [Text(), _table(one.scripts, now, named=False)]
    failures = sorted(
        ((failure, standing.script) for standing in one.scripts for failure in standing.failures),
        key=lambda pair: pair[0].at,
    )
    if failures:
        parts += [Text(), Text("not as expected", "bold red")]
    for failure, script in failures:
        parts.append(
            Text(f"  {printable(script)}, request {failure.cursor + 1}, {_ago(now, failure.at)}", "dim")
        )
        parts += [Padding(Text(printable(sentence)), (0, 0, 0, 4)) for sentence in failure.unmet]
    if requests.requests:
        parts += [Text(), Text("last requests", "bold"), _requests(requests, now)]
    return Padding(Group(*parts), (0, 1), expand=False)


def bar(cursor: int, length: int | None) -> Text:
    """Draw a place as a bar and figures: a place beyond the start is never an empty bar, one before the end never full."""
    if not length:
        return Text(f"{'·' * _BAR} {cursor}/?", "dim")
    done = min(cursor, length)
    full = min(-(-done * _BAR // length), _BAR if done == length else _BAR - 1)
    style = "green" if done == length else "cyan"
    return Text.assemble(("━" * full, style), ("━" * (_BAR - full), "dim"), f" {cursor}/{length}")


def _head(origin: str) -> Text:
    return Text.assemble(("llmsim", "bold cyan"), f" on {printable(origin)}")


def _columns(*names: str, right: tuple[str, ...] = ()) -> Table:
    table = Table(box=None, header_style="dim", pad_edge=False, padding=(0, 2, 0, 0))
    for name in names:
        justify = "right" if name in right else "left"
        fold = name in ("session", "script", "got")
        table.add_column(name, justify=justify, overflow="fold", no_wrap=not fold)  # type: ignore[arg-type]  # a literal
    return table


def _table(standings: list[SessionProgress], now: float, *, named: bool) -> Table:
    names = ("script", "place", "played", "met", "failed", "last used")
    table = _columns(*(("session",) if named else ()), *names, right=("played", "met", "failed"))
    for one in standings:
        failed = one.expectations_failed
        row = [
            Text(printable(one.script)),
            bar(one.cursor, one.length),
            Text(f"{one.turns_played}"),
            Text(f"{one.expectations_met}", "" if one.expectations_met else "dim"),
            Text(f"{failed}", "red" if failed else "dim"),
            Text(_ago(now, one.used_at)),
        ]
        table.add_row(*([Text(printable(one.session))] if named else []), *row)
    return table


def _requests(requests: Requests, now: float) -> Table:
    table = _columns("when", "endpoint", "turn", "outcome", "got", right=("turn",))
    for entry in requests.requests:
        table.add_row(
            Text(_ago(now, entry.at), "dim"),
            Text(printable(entry.endpoint)),
            Text("–" if entry.turn is None else f"{entry.turn}"),  # noqa: RUF001 # a dash, not a minus
            Text(
                printable(entry.outcome or "under way"),
                "" if entry.outcome in ("finished", None) else "yellow",
            ),
            Text(_got(entry)),
        )
    return table


def _got(entry: Entry) -> str:
    told = entry.refusal or entry.fault
    if told is not None:
        # Which script and turn, as the message has it, is said above the table.
        return _short("; ".join(told.get("unmet", ())) or told.get("message") or told.get("kind") or "")
    choices = (entry.answer or {}).get("choices") or [{}]
    called = [f"{call['name']}({call['arguments']})" for call in choices[0].get("calls", ())]
    said = [text for key in ("text", "refusal") if (text := choices[0].get(key))]
    breaks = (entry.answer or {}).get("breaks")
    broken = f" (broken off after {breaks['after_tokens']} tokens: {breaks['kind']})" if breaks else ""
    return _short("  ".join(said + called)) + broken


def _short(text: str) -> str:
    line = printable(" ".join(text.split()))
    return line if len(line) <= _MOST_CHARACTERS else f"{line[: _MOST_CHARACTERS - 1]}…"


def _ago(now: float, at: float) -> str:
    return f"{duration(max(0, round(now - at)))} ago"
