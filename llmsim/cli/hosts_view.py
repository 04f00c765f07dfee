"""The table of hosts in the terminal view of the counters."""

from rich.table import Table
from rich.text import Text

from llmsim.cli.figures import NONE, figure_table, level, milliseconds, rate, short, truncated
from llmsim.stats import Snapshot

_STYLES = {"up": "green", "draining": "yellow", "gone": "dim", "unknown": "red"}


def render_hosts(stats: Snapshot, rows: int | None = None, *, has_rule: bool = True) -> Table:
    """Render the hosts; of those beyond `rows` there is only the number."""
    columns = ("state", "workers", "req/s", "late p99", "requests", "in flight", "tokens")
    table = figure_table("Host", *columns, has_rule=has_rule)
    hosts = stats.hosts or ()
    hidden = 0 if rows is None or len(hosts) <= rows else len(hosts) - rows + 1
    for host in hosts[: len(hosts) - hidden]:
        late = None if host.verdict is None else host.verdict.p99_lateness_ms
        table.add_row(
            truncated(host.host, 20),
            Text(host.state, _STYLES[host.state]),
            str(host.workers) if host.workers else NONE,
            rate(host.requests_per_second),
            Text(milliseconds(late), level(late)),
            f"{host.requests:,}",
            f"{host.active:,}",
            short(host.tokens),
            style="" if host.workers else "dim",
        )
    if hidden:
        table.add_row(f"{hidden} more", style="dim")
    return table
