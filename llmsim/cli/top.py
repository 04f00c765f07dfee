"""`llmsim top`: the dashboard of a running simulator in the terminal, by the extra `tui`."""

from functools import partial

import click

from llmsim.cli.options import port_option
from llmsim.cli.stats import PATH, fetch, read_block, stats_url
from llmsim.cli.terminal import check_terminal

_EXAMPLES = """\b
Examples:
  llmsim top                                the simulator on port 8080 of this machine
  llmsim top --url http://staging:8080      the simulator of another machine
  llmsim top --interval 5                   read every five seconds
"""


@click.command(epilog=_EXAMPLES)
@port_option
@click.option("--url", help="Read the simulator of another machine: http://HOST:PORT.")
@click.option(
    "--interval",
    type=click.FloatRange(min=0.1),
    default=1.0,
    show_default=True,
    metavar="SECONDS",
    help="Seconds between two readings.",
)
def top(port: int, url: str | None, interval: float) -> None:
    """Watch a running simulator: rates, latencies, errors, models, endpoints and workers.

    Reads the shared memory of the simulator on this machine, without a request to it. Press ? for the keys, q to quit.
    """
    if url is None:
        read, origin = partial(read_block, port), f"port {port}"
    else:
        address = stats_url(url)
        read, origin = partial(fetch, address), address.removesuffix(PATH)
    check_terminal("llmsim top", "`llmsim stats` prints the same figures anywhere")
    from llmsim.cli.terminal.app import run_dashboard

    run_dashboard(read, origin=origin, interval=interval, is_local=url is None)
