"""`llmsim config`: the settings in force, and where each came from."""

import json
from pathlib import Path
from typing import Any

import click
import msgspec
from rich.console import Console
from rich.table import Table
from rich.text import Text

from llmsim.catalogue import shipped_catalogue
from llmsim.cli.options import WIDE, setting_options
from llmsim.config import DEFAULT, LoadedSettings, Settings, SettingSpec, load, setting_specs
from llmsim.config.reference import render_example, update_tables
from llmsim.text import mask_passwords

_VALUE_WIDTH = 18
"""Width of a value in a narrow terminal, so that its origin fits beside it."""


@click.command()
@setting_options
@click.option("--json", "output", flag_value="json", help="Print values and origins as JSON.")
@click.option(
    "--example",
    "output",
    flag_value="example",
    help="Print a TOML file that holds every setting with its default and description.",
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

    Takes the options of `llmsim serve` and shows the resulting settings: the defaults, then the file, then the
    environment, then the options.
    """
    if page is not None:
        page.write_text(update_tables(page.read_text(encoding="utf-8")), encoding="utf-8")
    elif output == "example":
        click.echo(render_example(), nl=False)
    else:
        loaded = load(path, flags=flags, profiles=shipped_catalogue().profiles)
        if output == "json":
            click.echo(_render_json(loaded))
        else:
            _show(loaded, Console())


def _render_json(loaded: LoadedSettings) -> str:
    settings = msgspec.to_builtins(loaded.settings)
    for spec in setting_specs():
        settings[spec.section][spec.key] = mask_passwords(settings[spec.section][spec.key])
        if spec.secret and (value := settings[spec.section][spec.key]):
            is_one = isinstance(value, str | dict)
            settings[spec.section][spec.key] = "***" if is_one else ["***"] * len(value)
    shown = {"settings": settings, "origins": dict(loaded.origins)}
    return json.dumps(shown, indent=2, ensure_ascii=False)


def _show(loaded: LoadedSettings, console: Console) -> None:
    wide = console.width >= WIDE
    table = Table(box=None, header_style="dim", pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column("setting", no_wrap=True)
    table.add_column("value", overflow="fold", max_width=None if wide else _VALUE_WIDTH)
    table.add_column("origin", overflow="fold")
    if wide:
        table.add_column("variable, flag", style="dim", no_wrap=True)
    for section in Settings.__struct_fields__:
        table.add_row()
        table.add_row(Text(f"[{section}]", "bold"))
        for spec in setting_specs():
            if spec.section == section:
                table.add_row(*_row(loaded, spec, wide=wide))
    console.print(table)
    console.print()
    console.print(_summary(loaded, wide=wide), highlight=False)


def _row(loaded: LoadedSettings, spec: SettingSpec, *, wide: bool) -> list[Text]:
    value = getattr(getattr(loaded.settings, spec.section), spec.key)
    origin = loaded.origins[spec.name]
    style = "" if origin == DEFAULT else "bold green"
    row = [
        Text(f"  {spec.key}", style),
        Text("unset", "dim")
        if value is None
        else Text.assemble((spec.show(value), style), (f" {spec.unit}", "dim")),
        # The variable has a column of its own in a wide terminal.
        Text(origin.partition(f" {spec.env}")[0] if wide else origin, style or "dim"),
    ]
    return [*row, Text("  ".join(spec.overrides))] if wide else row


def _summary(loaded: LoadedSettings, *, wide: bool) -> Text:
    total = len(loaded.origins)
    changed = sum(origin != DEFAULT for origin in loaded.origins.values())
    sentences = [
        f"{changed} of {total} settings are set; the others have their defaults."
        if changed
        else f"All {total} settings have their defaults."
    ]
    if loaded.path is None:
        sentences.append("No file was read.")
    if not wide:
        sentences.append("A wider terminal also shows variables and flags.")
    return Text(" ".join(sentences), "dim")
