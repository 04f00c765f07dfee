"""`llmsim sessions`: progress of the sessions of a running simulator.

Decisions:
* Names come from the network, so unprintable characters are replaced before they reach a terminal.
* Colour repeats what the words say: failed expectations are red, finished scripts are green.
"""

import time
from typing import Any, TypeVar
from urllib.parse import quote, urlencode

import click
import msgspec
from rich.console import Console, Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from llmsim.cli.figures import duration
from llmsim.cli.http_client import fetch_bytes, resolve_address
from llmsim.cli.options import port_option
from llmsim.errors import ControlApiError
from llmsim.state.ports import Failure
from llmsim.text import printable

_T = TypeVar("_T")

_HINT = "is this an llmsim server, with [admin] enabled?"
_BAR_WIDTH = 10
_MAX_CHARACTERS = 60

# \b keeps click from rewrapping the lines.
_EXAMPLES = """\b
Examples:
  llmsim sessions                              the most recently used
  llmsim sessions build-17                     one session, with its failures and last requests
  llmsim sessions --url http://staging:8080    of another machine
"""


class Progress(msgspec.Struct):
    """A session's progress in a script, as the control API returns it."""

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


class SessionList(msgspec.Struct):
    """The most recently used sessions."""

    sessions: list[Progress]
    has_more: bool


class SessionDetails(msgspec.Struct):
    """One session, with its progress in each script."""

    session: str
    scripts: list[Progress]


class JournalEntry(msgspec.Struct):
    """A request and its outcome, as the journal has it."""

    number: int
    at: float
    endpoint: str
    turn: int | None
    outcome: str | None
    answer: dict[str, Any] | None = None
    fault: dict[str, Any] | None = None
    refusal: dict[str, Any] | None = None


class JournalPage(msgspec.Struct):
    """A page of the journal."""

    requests: list[JournalEntry]


@click.command(epilog=_EXAMPLES, short_help="Show the sessions of a running simulator.")
@click.argument("name", required=False)
@port_option
@click.option("--url", help="Connect to another machine's simulator: http://HOST:PORT.")
@click.option(
    "--limit",
    type=click.IntRange(1, 1000),
    default=20,
    show_default=True,
    help="Number of sessions, or of requests of one session, to show.",
)
@click.option("--json", "as_json", is_flag=True, help="Print the JSON of the control API.")
def sessions(name: str | None, port: int, url: str | None, limit: int, *, as_json: bool) -> None:
    """Show how far the sessions of a running simulator are in their scripts.

    With NAME: one session, its unmet expectations, and its last requests. A server on another machine may need its key:
    the command sends the one in LLMSIM_ADMIN_KEY.
    """
    server = resolve_address(url if url is not None else f"http://127.0.0.1:{port}", "").rstrip("/")
    if name is None:
        address = f"{server}/llmsim/sessions?limit={limit}"
        body = fetch_bytes(address, _HINT, with_key=True)
        listed = _parse(address, body, SessionList)
        if as_json:
            _print(body)
        else:
            Console().print(render_list(listed, origin=server, now=time.time()))
        return
    address = f"{server}/llmsim/sessions/{quote(name, safe='')}"
    journal = f"{server}/llmsim/requests?{urlencode({'session': name, 'last': limit})}"
    body, entries = (fetch_bytes(one, _HINT, with_key=True) for one in (address, journal))
    session, requests = _parse(address, body, SessionDetails), _parse(journal, entries, JournalPage)
    if as_json:
        merged = msgspec.json.decode(body) | {"requests": msgspec.json.decode(entries)["requests"]}
        _print(msgspec.json.encode(merged))
    else:
        Console().print(render_session(session, requests, origin=server, now=time.time()))


def _parse(address: str, body: bytes, kind: type[_T]) -> _T:
    try:
        return msgspec.json.decode(body, type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise ControlApiError(f"{address} replies, but not in the format of this llmsim: {error}") from error


def _print(body: bytes) -> None:
    click.echo(msgspec.json.format(body).decode())


def render_list(listed: SessionList, *, origin: str, now: float) -> RenderableType:
    """Render the sessions of a server for a console of 80 columns or more.

    Args:
        listed: The sessions.
        origin: The server's address.
        now: Unix time, in seconds.
    """
    if not listed.sessions:
        return Padding(Text(f"No session of {printable(origin)} has played a turn yet."), (0, 1))
    table = _render_progress(listed.sessions, now, named=True)
    more = [Text("There are more; --limit shows them.", "dim")] if listed.has_more else []
    return Padding(Group(_render_head(origin), Text(), table, *more), (0, 1), expand=False)


def render_session(
    session: SessionDetails, requests: JournalPage, *, origin: str, now: float
) -> RenderableType:
    """Render one session: progress, failures, last requests."""
    head = _render_head(origin)
    head.append(f"  ·  session {printable(session.session)}", "bold")
    parts: list[RenderableType] = [head]
    if session.scripts:
        parts += [Text(), _render_progress(session.scripts, now, named=False)]
    failures = sorted(
        ((failure, progress.script) for progress in session.scripts for failure in progress.failures),
        key=lambda pair: pair[0].at,
    )
    if failures:
        parts += [Text(), Text("unmet expectations", "bold red")]
    for failure, script in failures:
        parts.append(
            Text(f"  {printable(script)}, request {failure.cursor + 1}, {_ago(now, failure.at)}", "dim")
        )
        parts += [Padding(Text(printable(sentence)), (0, 0, 0, 4)) for sentence in failure.unmet]
    if requests.requests:
        parts += [Text(), Text("last requests", "bold"), _render_requests(requests, now)]
    return Padding(Group(*parts), (0, 1), expand=False)


def bar(cursor: int, length: int | None) -> Text:
    """Render progress as a bar and figures: the bar is empty only at the start, and full only at the end."""
    if not length:
        return Text(f"{'·' * _BAR_WIDTH} {cursor}/?", "dim")
    done = min(cursor, length)
    full = min(-(-done * _BAR_WIDTH // length), _BAR_WIDTH if done == length else _BAR_WIDTH - 1)
    style = "green" if done == length else "cyan"
    return Text.assemble(("━" * full, style), ("━" * (_BAR_WIDTH - full), "dim"), f" {cursor}/{length}")


def _render_head(origin: str) -> Text:
    return Text.assemble(("llmsim", "bold cyan"), f" on {printable(origin)}")


def _columns(*names: str, right: tuple[str, ...] = ()) -> Table:
    table = Table(box=None, header_style="dim", pad_edge=False, padding=(0, 2, 0, 0))
    for name in names:
        justify = "right" if name in right else "left"
        fold = name in ("session", "script", "response")
        table.add_column(name, justify=justify, overflow="fold", no_wrap=not fold)  # type: ignore[arg-type]  # a literal
    return table


def _render_progress(sessions: list[Progress], now: float, *, named: bool) -> Table:
    names = ("script", "progress", "played", "met", "failed", "last used")
    table = _columns(*(("session",) if named else ()), *names, right=("played", "met", "failed"))
    for session in sessions:
        failed = session.expectations_failed
        row = [
            Text(printable(session.script)),
            bar(session.cursor, session.length),
            Text(f"{session.turns_played}"),
            Text(f"{session.expectations_met}", "" if session.expectations_met else "dim"),
            Text(f"{failed}", "red" if failed else "dim"),
            Text(_ago(now, session.used_at)),
        ]
        table.add_row(*([Text(printable(session.session))] if named else []), *row)
    return table


def _render_requests(requests: JournalPage, now: float) -> Table:
    table = _columns("when", "endpoint", "turn", "outcome", "response", right=("turn",))
    for entry in requests.requests:
        table.add_row(
            Text(_ago(now, entry.at), "dim"),
            Text(printable(entry.endpoint)),
            Text("–" if entry.turn is None else f"{entry.turn}"),  # noqa: RUF001 # a dash, not a minus
            Text(
                printable(entry.outcome or "in progress"),
                "" if entry.outcome in ("finished", None) else "yellow",
            ),
            Text(_describe_outcome(entry)),
        )
    return table


def _describe_outcome(entry: JournalEntry) -> str:
    error = entry.refusal or entry.fault
    if error is not None:
        # The message repeats the script and turn, which stand above the table.
        return _shorten("; ".join(error.get("unmet", ())) or error.get("message") or error.get("kind") or "")
    choices = (entry.answer or {}).get("choices") or [{}]
    calls = [f"{call['name']}({call['arguments']})" for call in choices[0].get("calls", ())]
    texts = [text for key in ("text", "refusal") if (text := choices[0].get(key))]
    breaks = (entry.answer or {}).get("breaks")
    broken = f" (cut off after {breaks['after_tokens']} tokens: {breaks['kind']})" if breaks else ""
    return _shorten("  ".join(texts + calls)) + broken


def _shorten(text: str) -> str:
    line = printable(" ".join(text.split()))
    return line if len(line) <= _MAX_CHARACTERS else f"{line[: _MAX_CHARACTERS - 1]}…"


def _ago(now: float, at: float) -> str:
    return f"{duration(max(0, round(now - at)))} ago"
