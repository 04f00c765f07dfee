"""`llmsim script`: scripts are checked, and shown as what they play."""

from pathlib import Path

import click
from rich.console import Console

from llmsim.catalogue import load_catalogue
from llmsim.cli.script_view import size, view
from llmsim.errors import ScriptError
from llmsim.scripts import Form, Script, read

_FORMS: dict[str, Form] = {".json": "json", ".toml": "toml", ".yaml": "yaml", ".yml": "yaml"}
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
    form = _FORMS.get(file.suffix.lower())
    if form is None and file.suffix:
        raise ScriptError((f"{file}: unknown form {file.suffix}. One of: {', '.join(_FORMS)}",))
    try:
        data = file.read_bytes()
    except OSError as error:
        raise ScriptError((f"{file}: cannot be read: {error.strerror}",)) from None
    profiles = load_catalogue().profiles
    if form is not None:
        return read(data, form, str(file), profiles=profiles)
    form = _guessed(data)
    try:
        return read(data, form, str(file), profiles=profiles)
    except ScriptError as error:
        hint = (
            f"{file}: taken for {form.upper()}, as it has no suffix; name it {', '.join(_FORMS)} if it is not"
        )
        raise ScriptError((hint, *error.problems)) from None


def _guessed(data: bytes) -> Form:
    """Guess the form of a file without a suffix: JSON begins with a brace; YAML's turns end in a colon, TOML's do not."""
    text = data.lstrip(b"\xef\xbb\xbf \t\r\n")
    if text.startswith((b"{", b"[")) and not text.startswith(b"[["):
        return "json"
    for line in text.splitlines():
        if line.startswith(b"#") or not line.strip():
            continue
        return "toml" if line.startswith(b"[") or b"=" in line.partition(b":")[0] else "yaml"
    return "yaml"
