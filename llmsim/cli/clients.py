"""`llmsim clients`: how the clients of a running simulator go about failures."""

import sys
import time

import click
import msgspec
from rich.console import Console, Group, RenderableType
from rich.padding import Padding
from rich.text import Text

from llmsim.cli.figures import duration
from llmsim.cli.http_client import fetch_bytes, resolve_address
from llmsim.cli.options import port_option
from llmsim.domain.client_report import Misbehaviour
from llmsim.errors import ControlApiError
from llmsim.text import nearest, printable

_KINDS = tuple(kind.value for kind in Misbehaviour)
_ANY = "any"
_HINT = "a server before the report on clients, or one without the control API; see the settings admin.enabled and admin.client_report"

_EXAMPLES = """\b
Examples:
  llmsim clients                                     show what clients did
  llmsim clients --fail-on any                       fail if any did something wrong
  llmsim clients --fail-on not_retryable,no_backoff  fail for some kinds only
"""


class Finding(msgspec.Struct):
    """What a client did wrong."""

    kind: str
    count: int
    worst: float
    example: str


class Client(msgspec.Struct):
    """One client."""

    client: str
    named_by: str
    failures: int
    retries: int
    not_judged: int
    last_at: float
    findings: list[Finding]


class ClientList(msgspec.Struct):
    """The report."""

    clients: list[Client]


def _read_kinds(_context: click.Context, _option: click.Parameter, text: str | None) -> tuple[str, ...]:
    """Read the kinds of `--fail-on`."""
    if text is None:
        return ()
    names = [name.strip() for name in text.split(",")]
    for name in names:
        if name not in (*_KINDS, _ANY):
            meant = nearest(name, (*_KINDS, _ANY))
            hint = f"; did you mean {meant!r}?" if meant else "."
            raise click.BadParameter(
                f"unknown kind {printable(name[:100])!r}{hint} One of: {', '.join(_KINDS)}, {_ANY}"
            )
    return _KINDS if _ANY in names else tuple(names)


@click.command(epilog=_EXAMPLES)
@port_option
@click.option("--url", help="Connect to another machine's simulator: http://HOST:PORT.")
@click.option(
    "--fail-on",
    "kinds",
    metavar="KIND,...",
    callback=_read_kinds,
    help=f"Exit with 1 if a client did one of these: {', '.join(_KINDS)}, or {_ANY} of them.",
)
@click.option("--session", help="Show and check the client of this session only.")
@click.option("--json", "as_json", is_flag=True, help="Print the JSON of the control API.")
def clients(
    port: int, url: str | None, kinds: tuple[str, ...], session: str | None, *, as_json: bool
) -> None:
    """Show how the clients of a running simulator go about failures.

    A client is a session, or an API key, shown by the first eight digits of its SHA-256. Clients that no failure met are not
    listed. A server on another machine may need its key: the command sends the one in LLMSIM_ADMIN_KEY.
    """
    server = resolve_address(url if url is not None else f"http://127.0.0.1:{port}", "").rstrip("/")
    address = f"{server}/llmsim/clients"
    body = fetch_bytes(address, _HINT, with_key=True)
    try:
        listed = msgspec.json.decode(body, type=ClientList).clients
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise ControlApiError(f"{address} replies, but not in the format of this llmsim: {error}") from error
    if session is not None:
        listed = [one for one in listed if (one.named_by, one.client) == ("session", session[:80])]
    if as_json:
        click.echo(msgspec.json.format(body).decode())
    else:
        Console().print(render_clients(listed, origin=server, now=time.time()))
    failing = [one for one in listed if any(finding.kind in kinds for finding in one.findings)]
    if failing:
        noun = "client" if len(failing) == 1 else "clients"
        click.echo(
            f"{len(failing)} {noun} did what --fail-on names: "
            + ", ".join(printable(one.client) for one in failing[:10]),
            err=True,
        )
        sys.exit(1)


def render_clients(listed: list[Client], *, origin: str, now: float) -> RenderableType:
    """Render the report.

    Args:
        listed: The clients.
        origin: The server's address.
        now: Unix time, in seconds.
    """
    if not listed:
        return Padding(Text(f"No request to {printable(origin)} has failed."), (0, 1))
    parts: list[RenderableType] = [Text.assemble(("llmsim", "bold cyan"), f" on {printable(origin)}")]
    for one in listed:
        named = f"session {one.client}" if one.named_by == "session" else one.client
        ago = duration(max(0, round(now - one.last_at)))
        line = Text.assemble(
            "\n",
            (printable(named), "bold"),
            (f"  {_count(one.failures, 'failure')}, {_count(one.retries, 'retry')}, last {ago} ago", "dim"),
        )
        parts.append(line)
        for finding in one.findings:
            parts.append(Text.assemble(("  ✗ ", "red"), f"{finding.kind:14}", f"{finding.count:>5} x"))
            parts.append(Padding(Text(printable(finding.example), "dim"), (0, 0, 0, 4)))
        if one.not_judged:
            parts.append(
                Text(f"  · {_count(one.not_judged, 'request')} came several times at once: not judged", "dim")
            )
        if not one.findings:
            parts.append(Text.assemble(("  ✓ ", "green"), "nothing wrong"))
    return Padding(Group(*parts), (0, 1), expand=False)


def _count(number: int, noun: str) -> str:
    plural = "retries" if noun == "retry" else f"{noun}s"
    return f"{number:,} {noun if number == 1 else plural}"
