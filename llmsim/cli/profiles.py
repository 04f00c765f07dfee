"""`llmsim profiles`: the latency profiles, and which models have them."""

import click
import msgspec
from rich.console import Console
from rich.table import Table
from rich.text import Text

from llmsim.catalogue import Catalogue, Profile, load_catalogue

#: Columns from which on there is room between the columns.
WIDE = 108


class _Line(msgspec.Struct, frozen=True):
    """What is said about a profile.

    Attributes:
        tokens_per_second: Of one stream, once it flows; None when tokens take no time.
        models: Ids of the models that have it.
    """

    name: str
    ttft_mean_ms: float
    ttft_stddev_ms: float
    tbt_mean_ms: float
    tbt_stddev_ms: float
    tokens_per_second: float | None
    models: list[str]


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print the profiles as a JSON array.")
def profiles(*, as_json: bool) -> None:
    """List the latency profiles, and which models have them."""
    catalogue = load_catalogue()
    lines = [_line(catalogue, profile) for profile in catalogue.profiles.values()]
    if as_json:
        click.echo(msgspec.json.format(msgspec.json.encode(lines), indent=2).decode())
    else:
        _show(lines, Console())


def _line(catalogue: Catalogue, profile: Profile) -> _Line:
    return _Line(
        name=profile.name,
        ttft_mean_ms=profile.ttft_mean_ms,
        ttft_stddev_ms=profile.ttft_stddev_ms,
        tbt_mean_ms=profile.tbt_mean_ms,
        tbt_stddev_ms=profile.tbt_stddev_ms,
        tokens_per_second=round(1000 / profile.tbt_mean_ms, 1) if profile.tbt_mean_ms else None,
        models=[model.id for model in catalogue.models.values() if model.profile == profile.name],
    )


def _show(lines: list[_Line], console: Console) -> None:
    padding = 2 if console.width >= WIDE else 1
    table = Table(box=None, pad_edge=False, padding=(0, padding, 0, 0), header_style="bold")
    table.add_column("profile", no_wrap=True, style="bold cyan")
    table.add_column("TTFT ms", justify="right", no_wrap=True)
    table.add_column("token ms", justify="right", no_wrap=True)
    table.add_column("tokens/s", justify="right", no_wrap=True)
    table.add_column("models")
    for line in lines:
        table.add_row(
            line.name,
            _spread(line.ttft_mean_ms, line.ttft_stddev_ms),
            _spread(line.tbt_mean_ms, line.tbt_stddev_ms),
            "∞" if line.tokens_per_second is None else f"{line.tokens_per_second:.0f}",
            ", ".join(line.models) if line.models else Text("by setting only", style="dim"),
        )
    console.print(table)
    console.print()
    console.print(
        "Mean ± standard deviation of the time to first token and between tokens, normally distributed and cut at"
        " zero. Each model has its own profile unless a setting gives one to all:"
        " llmsim serve --latency instant.",
        style="dim",
        highlight=False,
    )


def _spread(mean: float, deviation: float) -> str:
    return f"{mean:g} ± {deviation:<3g}"
