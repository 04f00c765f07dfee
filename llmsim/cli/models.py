"""`llmsim models`: the models in the catalogue, and their facts.

Decisions:
* Owners are headings, not a column, so that the table fits 80 columns without cutting an id.
"""

from itertools import groupby

import click
import msgspec
from rich.console import Console
from rich.table import Table
from rich.text import Text

from llmsim.catalogue import Catalogue, Model, load_catalogue
from llmsim.cli.options import WIDE


@click.command()
@click.argument("query", metavar="[FILTER]", default="")
@click.option("--json", "as_json", is_flag=True, help="Print all facts as a JSON array.")
def models(query: str, *, as_json: bool) -> None:
    """List the models the simulator knows.

    FILTER keeps models with that text in their id, name, owner or latency profile. A name that resolves to a model (a
    dated snapshot, an alias, `openai/gpt-5`) shows that model.
    """
    catalogue = load_catalogue()
    chosen = _find_models(catalogue, query)
    if not chosen:
        facts = catalogue.facts(query)
        raise click.ClickException(
            f'no model matches "{query}". Requests for it are still answered, with the latency profile'
            f" {facts.profile}; `llmsim models` lists the known models."
        )
    if as_json:
        click.echo(msgspec.json.format(msgspec.json.encode(chosen), indent=2).decode())
    else:
        _show(chosen, Console())


def _find_models(catalogue: Catalogue, query: str) -> list[Model]:
    text = query.casefold()
    chosen = [
        model
        for model in catalogue.models.values()
        if any(text in field.casefold() for field in (model.id, model.name, model.owner, model.profile))
    ]
    named = catalogue.find(query)
    return chosen or ([named] if named else [])


def _show(chosen: list[Model], console: Console) -> None:
    wide = console.width >= WIDE
    table = Table(box=None, pad_edge=False, padding=(0, 2 if wide else 1, 0, 0), header_style="bold")
    table.add_column("model", no_wrap=True)
    table.add_column("window", justify="right")
    table.add_column("out", justify="right")
    table.add_column("V T J R", no_wrap=True)
    table.add_column("$ in", justify="right")
    table.add_column("$ out", justify="right")
    table.add_column("profile", no_wrap=True)
    if wide:
        table.add_column("effort")
        table.add_column("cutoff", no_wrap=True)
    for owner, owned in groupby(chosen, key=lambda model: model.owner):
        if table.row_count:
            table.add_row()
        table.add_row(Text(owner, style="bold cyan"))
        for model in owned:
            table.add_row(
                f" {model.id}",
                _tokens(model.context_window),
                str(model.dimensions) if model.dimensions else _tokens(model.max_output_tokens),
                _marks(model),
                _price(model.input_price),
                _price(model.output_price),
                model.profile,
                *((_effort(model), model.knowledge_cutoff or "") if wide else ()),
            )
    console.print(table)
    console.print()
    legend = (
        f"{len(chosen)} {'model' if len(chosen) == 1 else 'models'}. V vision, T tools, J JSON, R reasoning;"
    )
    if any(model.dimensions for model in chosen):
        legend += " out of an embedding model: its dimensions;"
    legend += " $ per million tokens" + ("; effort if a request sets none." if wide else ".")
    console.print(legend, style="dim", highlight=False)


def _tokens(tokens: int) -> str:
    """Format a limit as its vendor does: 128K, 1M, 1.05M; powers of two count in 1024."""
    if tokens >= 1_000_000:
        return f"{tokens / 1_000_000:.2f}".rstrip("0").rstrip(".") + "M"
    unit = 1024 if tokens % 1024 == 0 and tokens % 1000 else 1000
    return f"{tokens / unit:.0f}K"


def _marks(model: Model) -> Text:
    marks = Text()
    for position, has in enumerate((model.vision, model.tools, model.json, model.reasoning)):
        marks.append(" " if position else "")
        marks.append("✓", style="green") if has else marks.append("·", style="dim")
    return marks


def _effort(model: Model) -> str:
    return model.default_effort if model.reasoning else ""


def _price(price: float | None) -> str:
    if price is None:
        return ""
    if price >= 100:
        return f"{price:.0f}"
    return f"{price:.2f}" if round(price, 2) == price else f"{price:g}"
