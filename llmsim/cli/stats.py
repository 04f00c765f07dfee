"""`llmsim stats`: the counters of a running simulator.

Decisions:
* On the same machine the shared memory is read, without a request to the server: that works when the
  server is too busy to answer, and does not disturb what is measured.
* A view that is refreshed in place fits the terminal, whose size is asked for each time; the last one is printed in full.
* Each refresh attaches anew, so that watching continues over a restart of the server.
"""

import time
from collections.abc import Callable, Iterator
from functools import partial

import click
import msgspec
from rich.console import Console, RenderableType
from rich.live import Live

from llmsim.cli.http_client import fetch_bytes, resolve_address
from llmsim.cli.options import all_option, port_option
from llmsim.cli.stats_view import fit_stats, render_stats
from llmsim.errors import ControlApiError, StatsError
from llmsim.stats import Block, Snapshot, block_name, is_alive, snapshot

PATH = "/llmsim/stats"

Reader = Callable[[], Snapshot]


# \b keeps click from rewrapping the lines.
_EXAMPLES = """\b
Examples:
  llmsim stats --watch                      refresh in place, every second
  llmsim stats --watch 5 --json             a line of JSON every five seconds
  llmsim stats --url http://staging:8080    the simulator of another machine
  llmsim stats --all                        the sums of all hosts that share their state
"""


@click.command(epilog=_EXAMPLES)
@port_option
@click.option("--url", help="Read the simulator of another machine: http://HOST:PORT.")
@all_option
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
def stats(port: int, url: str | None, *, is_for_all: bool, as_json: bool, watch: float | None) -> None:
    """Show the counters of a running simulator.

    Reads the shared memory of the simulator on this machine, so it works even when the server is saturated.
    """
    read, origin = reader(port, url, is_for_all=is_for_all)
    if watch is None:
        _print(Console(), read(), origin=origin, as_json=as_json)
    else:
        try:
            _watch(read, watch, origin=origin, as_json=as_json)
        except KeyboardInterrupt:
            return


def reader(port: int, url: str | None, *, is_for_all: bool) -> tuple[Reader, str]:
    """Return what reads the stats that the options name, and where they are from.

    Args:
        port: Port of the simulator on this machine.
        url: Address of another one; None for that on this machine.
        is_for_all: Whether the sums of all hosts are meant: these its server has to answer.
    """
    if url is None and not is_for_all:
        return partial(read_block, port), f"port {port}"
    address = stats_url(url or f"127.0.0.1:{port}")
    origin = address.partition("?")[0].removesuffix(PATH)
    if is_for_all:
        return partial(fetch, f"{address.partition('?')[0]}?scope=all"), f"all hosts of {origin}"
    return partial(fetch, address), origin


def read_block(port: int) -> Snapshot:
    """Read the counters of the simulator on a port of this machine.

    Raises:
        StatsError: No simulator runs on the port, or it was killed.
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


def stats_url(url: str) -> str:
    """Return the URL of a server's stats.

    Args:
        url: `HOST:PORT`, `http://HOST:PORT`, or the full address of its stats.

    Raises:
        StatsError: It is not an HTTP URL.
    """
    try:
        return resolve_address(url, PATH)
    except ControlApiError as error:
        raise StatsError(str(error)) from error


def fetch(url: str) -> Snapshot:
    """Fetch the stats of a server.

    Args:
        url: By `stats_url`.

    Raises:
        StatsError: The server does not answer, or not with stats.
    """
    try:
        body = fetch_bytes(url)
    except ControlApiError as error:
        raise StatsError(str(error)) from error
    try:
        return Snapshot.from_json(body)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise StatsError(f"{url} answers, but not with the stats of this llmsim: {error}") from error


def poll(read: Reader, interval: float, *, sleep: Callable[[float], None]) -> Iterator[Snapshot | StatsError]:
    """Read repeatedly.

    Args:
        read: Returns a snapshot.
        interval: Seconds between two readings.
        sleep: Waits.

    Yields:
        Snapshots, or the error of a reading that failed.

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
    found = poll(read, interval, sleep=time.sleep)
    if as_json or not console.is_terminal:
        for stats in found:
            if isinstance(stats, StatsError):
                click.echo(str(stats), err=True)
            else:
                _print(console, stats, origin=origin, as_json=as_json, indent=0)
        return
    last = _first(found)

    def view(problem: str = "") -> RenderableType:
        return fit_stats(last, origin=origin, size=console.size, problem=problem)

    try:
        with Live(view(), console=console, screen=True, auto_refresh=False) as live:
            for stats in found:
                if isinstance(stats, StatsError):
                    live.update(view(str(stats)), refresh=True)
                else:
                    last = stats
                    live.update(view(), refresh=True)
    finally:
        console.print(render_stats(last, origin=origin))


def _first(found: Iterator[Snapshot | StatsError]) -> Snapshot:
    stats = next(found)
    if isinstance(stats, StatsError):
        raise stats
    return stats


def _print(console: Console, stats: Snapshot, *, origin: str, as_json: bool, indent: int = 2) -> None:
    if as_json:
        # -1: one line each, for programs that read lines.
        text = msgspec.json.format(msgspec.json.encode(stats.as_dict()), indent=indent or -1)
        click.echo(text.decode())
    else:
        console.print(render_stats(stats, origin=origin))
