"""`llmsim sessions`: where the sessions of a running simulator stand."""

import time
from typing import TypeVar
from urllib.parse import quote, urlencode

import click
import msgspec
from rich.console import Console

from llmsim.cli.asking import address_of, ask, port_option
from llmsim.cli.sessions_view import AllSessions, OneSession, Requests, view, view_one
from llmsim.errors import AskError

_T = TypeVar("_T")

_HINT = "is an llmsim there, with [admin] enabled?"

# \b keeps click from filling the lines.
_EXAMPLES = """\b
Examples:
  llmsim sessions                              those that were used last
  llmsim sessions build-17                     one, with its failures and last requests
  llmsim sessions --url http://staging:8080    another machine's
"""


@click.command(epilog=_EXAMPLES)
@click.argument("name", required=False)
@port_option
@click.option("--url", help="Ask another machine's simulator: http://HOST:PORT.")
@click.option(
    "--limit",
    type=click.IntRange(1, 1000),
    default=20,
    show_default=True,
    help="Most sessions, or requests of one, to show.",
)
@click.option("--json", "as_json", is_flag=True, help="Print what the control API answers.")
def sessions(name: str | None, port: int, url: str | None, limit: int, *, as_json: bool) -> None:
    """Show where the sessions of a running simulator stand in their scripts.

    With NAME: one session, what it expected in vain, and its last requests.
    """
    server = address_of(url if url is not None else f"http://127.0.0.1:{port}", "").rstrip("/")
    if name is None:
        address = f"{server}/llmsim/sessions?limit={limit}"
        body = ask(address, _HINT)
        every = _read(address, body, AllSessions)
        if as_json:
            _print(body)
        else:
            Console().print(view(every, origin=server, now=time.time()))
        return
    address = f"{server}/llmsim/sessions/{quote(name, safe='')}"
    journal = f"{server}/llmsim/requests?{urlencode({'session': name, 'last': limit})}"
    body, entries = ask(address, _HINT), ask(journal, _HINT)
    one, requests = _read(address, body, OneSession), _read(journal, entries, Requests)
    if as_json:
        told = msgspec.json.decode(body) | {"requests": msgspec.json.decode(entries)["requests"]}
        _print(msgspec.json.encode(told))
    else:
        Console().print(view_one(one, requests, origin=server, now=time.time()))


def _read(address: str, body: bytes, kind: type[_T]) -> _T:
    try:
        return msgspec.json.decode(body, type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise AskError(f"{address} answers, but not as this llmsim does: {error}") from error


def _print(body: bytes) -> None:
    click.echo(msgspec.json.format(body).decode())
