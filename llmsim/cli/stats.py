"""`llmsim stats`: what a running simulator has counted.

Decisions:
* On the same machine the shared memory is read, not the server asked: it answers when the server
  is too busy to, and asking does not disturb what is measured.
* Each refresh attaches anew, so that watching goes on over a restart of the server.
"""

import time
from collections.abc import Callable, Iterator
from functools import partial

import click
import msgspec
from rich.console import Console, Group
from rich.live import Live
from rich.text import Text

from llmsim.cli.http_client import fetch_bytes, resolve_address
from llmsim.cli.options import port_option
from llmsim.cli.stats_view import view
from llmsim.errors import ControlApiError, StatsError
from llmsim.stats import Block, Snapshot, block_name, is_alive, snapshot

PATH = "/llmsim/stats"

Reader = Callable[[], Snapshot]


# \b keeps click from filling the lines.
_EXAMPLES = """\b
Examples:
  llmsim stats --watch                      in place, every second
  llmsim stats --watch 5 --json             a line of JSON every five seconds
  llmsim stats --url http://staging:8080    another machine's
"""


@click.command(epilog=_EXAMPLES)
@port_option
@click.option("--url", help="Read another machine's simulator: http://HOST:PORT.")
@click.option("--json", "as_json", is_flag=True, help="Print the JSON of GET /llmsim/stats.")
@click.option(
    "--watch",
    default=None,
    type=click.FloatRange(min=0.1),
    is_flag=False,
    flag_value=1.0,
    metavar="[SECONDS]",
    help="Refresh until Ctrl-C, every second or as given.",
)
def stats(port: int, url: str | None, *, as_json: bool, watch: float | None) -> None:
    """Show what a running simulator has counted.

    Reads the shared memory of the simulator on this machine, so it works also when that is saturated.
    """
    if url is None:
        read, origin = partial(read_block, port), f"port {port}"
    else:
        address = stats_address(url)
        read, origin = partial(fetch, address), address.removesuffix(PATH)
    if watch is None:
        _print(Console(), read(), origin=origin, as_json=as_json)
    else:
        try:
            _watch(read, watch, origin=origin, as_json=as_json)
        except KeyboardInterrupt:
            return


def read_block(port: int) -> Snapshot:
    """Read the counters of the simulator on a port of this machine.

    Raises:
        StatsError: There is none, or what is left of it.
    """
    block = Block.attach(block_name(port))
    try:
        stats = snapshot(block, time.monotonic())
        if not is_alive(block.master) and not any(worker.alive for worker in stats.workers):
            raise StatsError(
                f"llmsim on port {port} is gone: its process {block.master} was killed; "
                "start one with `llmsim serve`, or name the port with --port"
            )
        return stats
    finally:
        block.close()


def stats_address(url: str) -> str:
    """Tell where the stats of a server are.

    Args:
        url: `HOST:PORT`, `http://HOST:PORT`, or the full address of its stats.

    Raises:
        StatsError: It is no address of HTTP.
    """
    try:
        return resolve_address(url, PATH)
    except ControlApiError as error:
        raise StatsError(str(error)) from error


def fetch(address: str) -> Snapshot:
    """Ask a server for its stats.

    Args:
        address: By `stats_address`.

    Raises:
        StatsError: It does not answer, or not with stats.
    """
    try:
        body = fetch_bytes(address)
    except ControlApiError as error:
        raise StatsError(str(error)) from error
    try:
        return msgspec.json.decode(body, type=Snapshot)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise StatsError(f"{address} answers, but not with the stats of this llmsim: {error}") from error


def readings(
    read: Reader, interval: float, *, sleep: Callable[[float], None]
) -> Iterator[Snapshot | StatsError]:
    """Read again and again.

    Args:
        read: Gives a snapshot.
        interval: Seconds to rest between readings.
        sleep: Rests.

    Yields:
        Snapshots, or why there is none at the moment.

    Raises:
        StatsError: The first reading failed.
    """
    yield read()
    while True:
        sleep(interval)
        try:
            yield read()
        except StatsError as error:
            yield error


def _watch(read: Reader, interval: float, *, origin: str, as_json: bool) -> None:
    console = Console()
    found = readings(read, interval, sleep=time.sleep)
    if as_json or not console.is_terminal:
        for stats in found:
            if isinstance(stats, StatsError):
                click.echo(str(stats), err=True)
            else:
                _print(console, stats, origin=origin, as_json=as_json, indent=0)
        return
    last = view(_first(found), origin=origin)
    try:
        with Live(last, console=console, screen=True, auto_refresh=False) as live:
            for stats in found:
                if isinstance(stats, StatsError):
                    live.update(Group(Text(f" {stats}", "red"), "", last), refresh=True)
                else:
                    last = view(stats, origin=origin)
                    live.update(last, refresh=True)
    finally:
        console.print(last)


def _first(found: Iterator[Snapshot | StatsError]) -> Snapshot:
    stats = next(found)
    if isinstance(stats, StatsError):
        raise stats
    return stats


def _print(console: Console, stats: Snapshot, *, origin: str, as_json: bool, indent: int = 2) -> None:
    if as_json:
        # -1: a line each, for programs that read lines.
        text = msgspec.json.format(msgspec.json.encode(stats.as_dict()), indent=indent or -1)
        click.echo(text.decode())
    else:
        console.print(view(stats, origin=origin))
