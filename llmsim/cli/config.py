"""`llmsim config`: the settings in force, and where each came from."""

import json
from pathlib import Path
from typing import Any

import click
import msgspec
from rich.console import Console
from rich.table import Table
from rich.text import Text

from llmsim.catalogue import load_catalogue
from llmsim.cli.options import setting_options
from llmsim.config import DEFAULT, Knob, Loaded, Settings, knobs, load
from llmsim.config.reference import example, with_tables
from llmsim.words import literal

#: Columns from which on the variables fit beside the settings.
WIDE = 108

_VALUE = 18
"""Columns of a value in a narrow terminal, so that the variable it is from is named beside it."""


@click.command()
@setting_options
@click.option("--json", "output", flag_value="json", help="Print values and origins as JSON.")
@click.option(
    "--example",
    "output",
    flag_value="example",
    help="Print a TOML file that holds every setting with its default, explained.",
)
@click.option(
    "--markdown",
    "page",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    hidden=True,
    help="Rewrite the tables of settings in FILE.",
)
def config(path: str | None, flags: dict[str, Any], output: str | None, page: Path | None) -> None:
    """Show the settings in force, and where each came from.

    Takes the options of `llmsim serve` and shows what they would come to: the defaults, then the file, then the
    environment, then the options.
    """
    if page is not None:
        page.write_text(with_tables(page.read_text(encoding="utf-8")), encoding="utf-8")
    elif output == "example":
        click.echo(example(), nl=False)
    else:
        loaded = load(path, flags=flags, profiles=load_catalogue().profiles)
        if output == "json":
            click.echo(_as_json(loaded))
        else:
            _show(loaded, Console())


def _as_json(loaded: Loaded) -> str:
    shown = {"settings": msgspec.to_builtins(loaded.settings), "origins": dict(loaded.origins)}
    return json.dumps(shown, indent=2, ensure_ascii=False)


def _show(loaded: Loaded, console: Console) -> None:
    wide = console.width >= WIDE
    table = Table(box=None, header_style="dim", pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column("setting", no_wrap=True)
    table.add_column("value", overflow="fold", max_width=None if wide else _VALUE)
    table.add_column("from", overflow="fold")
    if wide:
        table.add_column("variable, flag", style="dim", no_wrap=True)
    for section in Settings.__struct_fields__:
        table.add_row()
        table.add_row(Text(f"[{section}]", "bold"))
        for knob in knobs():
            if knob.section == section:
                table.add_row(*_row(loaded, knob, wide=wide))
    console.print(table)
    console.print()
    console.print(_summary(loaded, wide=wide), highlight=False)


def _row(loaded: Loaded, knob: Knob, *, wide: bool) -> list[Text]:
    value = getattr(getattr(loaded.settings, knob.section), knob.key)
    origin = loaded.origins[knob.name]
    style = "" if origin == DEFAULT else "bold green"
    row = [
        Text(f"  {knob.key}", style),
        Text("unset", "dim")
        if value is None
        else Text.assemble((literal(value), style), (f" {knob.unit}", "dim")),
        # Where the variable stands in its own column, it need not be named twice.
        Text(origin.partition(f" {knob.env}")[0] if wide else origin, style or "dim"),
    ]
    return [*row, Text("  ".join(knob.ways))] if wide else row


def _summary(loaded: Loaded, *, wide: bool) -> Text:
    total = len(loaded.origins)
    changed = sum(origin != DEFAULT for origin in loaded.origins.values())
    sentences = [
        f"{changed} of {total} settings are set, the others have their defaults."
        if changed
        else f"All {total} settings have their defaults."
    ]
    if loaded.path is None:
        sentences.append("No file was read.")
    if not wide:
        sentences.append("A wider terminal also shows variables and flags.")
    return Text(" ".join(sentences), "dim")
