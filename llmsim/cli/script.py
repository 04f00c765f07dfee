"""`llmsim script`: scripts are checked, and shown as what they play."""

from pathlib import Path

import click
from rich.console import Console

from llmsim.catalogue import load_catalogue
from llmsim.cli.script_view import size, view
from llmsim.errors import ScriptError
from llmsim.scripts import Script
from llmsim.scripts.files import read_script_file

_FILE = click.Path(path_type=Path)


@click.group()
def script() -> None:
    """Check and show scripts: turns, tool calls and errors played in order."""


@script.command()
@click.argument("files", metavar="FILE...", nargs=-1, required=True, type=_FILE)
def validate(files: tuple[Path, ...]) -> None:
    """Check that each FILE can be played.

    Tells every mistake of every file, with its line and what would do. The exit code is 0 if all can be played, and 2
    if any cannot.
    """
    problems: list[str] = []
    for file in files:
        try:
            played = _read(file)
        except ScriptError as error:
            problems += error.problems
        else:
            click.echo(f"{click.style('ok', fg='green')}  {file}: {size(played)}")
    if problems:
        raise ScriptError(tuple(problems))


@script.command()
@click.argument("file", metavar="FILE", type=_FILE)
def show(file: Path) -> None:
    """Show what FILE plays, turn by turn."""
    Console(highlight=False).print(view(_read(file)))


def _read(file: Path) -> Script:
    return read_script_file(file, load_catalogue().profiles).script
