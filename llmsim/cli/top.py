"""`llmsim top`: the dashboard of a running simulator in the terminal, by the extra `tui`."""

import click

from llmsim.cli.options import all_option, port_option
from llmsim.cli.stats import reader
from llmsim.cli.terminal import check_terminal

_EXAMPLES = """\b
Examples:
  llmsim top                                the simulator on port 8080 of this machine
  llmsim top --url http://staging:8080      the simulator of another machine
  llmsim top --interval 5                   read every five seconds
  llmsim top --all                          all hosts that share their state
"""


@click.command(epilog=_EXAMPLES, short_help="Watch a running simulator in a dashboard.")
@port_option
@click.option("--url", help="Read the simulator of another machine: http://HOST:PORT.")
@all_option
@click.option(
    "--interval",
    type=click.FloatRange(min=0.1),
    default=1.0,
    show_default=True,
    metavar="SECONDS",
    help="Seconds between two readings.",
)
def top(port: int, url: str | None, *, is_for_all: bool, interval: float) -> None:
    """Watch a running simulator: rates, latencies, errors, models, endpoints and workers.

    Reads the shared memory of the simulator on this machine, without a request to it. Press ? for the keys, q to quit.
    """
    read, origin = reader(port, url, is_for_all=is_for_all)
    check_terminal("llmsim top", "`llmsim stats` prints the same figures anywhere")
    from llmsim.cli.terminal.app import run_dashboard

    run_dashboard(read, origin=origin, interval=interval, is_local=url is None)
