"""`llmsim profiles`: the latency profiles, and which models use them.

Decisions:
* Without a subcommand it lists, as it always has. `fit` is imported when it is called.
"""

import importlib

import click
import msgspec
from rich.console import Console
from rich.table import Table
from rich.text import Text

from llmsim.catalogue import Catalogue, Profile, load_catalogue
from llmsim.cli.options import WIDE
from llmsim.config.engine_profiles import engine_profiles
from llmsim.config.engine_settings import EngineSettings


class _Row(msgspec.Struct, frozen=True):
    """A profile as it is listed.

    Attributes:
        tokens_per_second: Rate of one stream after its first token; None if tokens take no time.
        models: Ids of the models that use it.
    """

    name: str
    ttft_mean_ms: float
    ttft_stddev_ms: float
    tbt_mean_ms: float
    tbt_stddev_ms: float
    ttft_shape: str
    tbt_shape: str
    tokens_per_second: float | None
    models: list[str]


class _EngineRow(msgspec.Struct, frozen=True):
    """An engine that comes with llmsim, as it is listed.

    Attributes:
        about: What it was measured on.
        origin: Where the measurements come from.
        error: How far a fit to half of them was from the other half.
        engine: Its figures.
    """

    name: str
    about: str
    origin: str
    error: str
    engine: EngineSettings


class _Profiles(click.Group):
    """Imports `fit` from its own module."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return ["fit"]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name != "fit":
            return None
        command: click.Command = importlib.import_module("llmsim.cli.profile_fit").fit
        return command


@click.group(
    cls=_Profiles,
    invoke_without_command=True,
    short_help="List the latency profiles, or fit one to recordings.",
)
@click.pass_context
@click.option("--json", "as_json", is_flag=True, help="Print the profiles as a JSON array.")
def profiles(ctx: click.Context, *, as_json: bool) -> None:
    """List the latency profiles, and which models use them; `fit` makes one of measurements."""
    if ctx.invoked_subcommand is not None:
        return
    catalogue = load_catalogue()
    rows = [_build_row(catalogue, profile) for profile in catalogue.profiles.values()]
    engines = [
        _EngineRow(name, found.about, found.origin, found.error, found.engine)
        for name, found in engine_profiles().items()
    ]
    if as_json:
        click.echo(msgspec.json.format(msgspec.json.encode([*rows, *engines]), indent=2).decode())
    else:
        _show(rows, Console())
        _show_engines(engines, Console())


def _build_row(catalogue: Catalogue, profile: Profile) -> _Row:
    return _Row(
        name=profile.name,
        ttft_mean_ms=profile.ttft_mean_ms,
        ttft_stddev_ms=profile.ttft_stddev_ms,
        tbt_mean_ms=profile.tbt_mean_ms,
        tbt_stddev_ms=profile.tbt_stddev_ms,
        ttft_shape=profile.ttft_shape,
        tbt_shape=profile.tbt_shape,
        tokens_per_second=round(1000 / profile.tbt_mean_ms, 1) if profile.tbt_mean_ms else None,
        models=[model.id for model in catalogue.models.values() if model.profile == profile.name],
    )


def _show(rows: list[_Row], console: Console) -> None:
    padding = 2 if console.width >= WIDE else 1
    table = Table(box=None, pad_edge=False, padding=(0, padding, 0, 0), header_style="bold")
    table.add_column("profile", no_wrap=True, style="bold cyan")
    table.add_column("TTFT ms", justify="right", no_wrap=True)
    table.add_column("token ms", justify="right", no_wrap=True)
    # Most often all are alike, and the terminal is narrow.
    shapes = [" / ".join(dict.fromkeys((row.ttft_shape, row.tbt_shape))) for row in rows]
    has_shapes = set(shapes) != {"normal"}
    if has_shapes:
        table.add_column("shape", no_wrap=True)
    table.add_column("tokens/s", justify="right", no_wrap=True)
    table.add_column("models")
    for row, shape in zip(rows, shapes, strict=True):
        table.add_row(
            row.name,
            _spread(row.ttft_mean_ms, row.ttft_stddev_ms),
            _spread(row.tbt_mean_ms, row.tbt_stddev_ms),
            *([shape] if has_shapes else []),
            "∞" if row.tokens_per_second is None else f"{row.tokens_per_second:.0f}",
            ", ".join(row.models) if row.models else Text("by setting only", style="dim"),
        )
    console.print(table)
    console.print()
    console.print(
        "Mean ± standard deviation of the time to first token and between tokens, of normal distributions unless shown"
        " otherwise, cut at zero. Each model has its own profile unless a setting chooses one for all:"
        " llmsim serve --latency instant. [latency] sets other figures and shapes, and [latency.models.PATTERN] those of"
        " some models.",
        style="dim",
        highlight=False,
        markup=False,
    )


def _spread(mean: float, deviation: float) -> str:
    return f"{mean:g} ± {deviation:<3g}"


def _show_engines(rows: list[_EngineRow], console: Console) -> None:
    console.print()
    for row in rows:
        console.print(Text.assemble((row.name, "bold cyan"), f"  {row.about}"))
        console.print(f"  {row.origin}", style="dim", highlight=False)
        console.print(f"  {row.error}", style="dim", highlight=False)
    console.print()
    console.print(
        "Engines: their latency comes out of a queue, under the load that there is: llmsim serve --latency "
        f"{rows[0].name}. The figures are fitted to public measurements; llmsim profiles fit makes others.",
        style="dim",
        highlight=False,
        markup=False,
    )
