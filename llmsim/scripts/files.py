"""Script files: read one by one, or all of a directory."""

from collections.abc import Collection, Iterator
from pathlib import Path

import msgspec

from llmsim.errors import ScriptError
from llmsim.scripts import Script, ScriptFormat, read

SUFFIXES: dict[str, ScriptFormat] = {".json": "json", ".toml": "toml", ".yaml": "yaml", ".yml": "yaml"}


class ScriptFile(msgspec.Struct, frozen=True):
    """A script and its file.

    Attributes:
        path: Path of the file, as given.
        form: Format of the file.
        data: Content of the file.
        script: The parsed script.
    """

    path: Path
    form: ScriptFormat
    data: bytes
    script: Script


def read_script_file(path: Path, profiles: Collection[str]) -> ScriptFile:
    """Read a script file; its format follows from its suffix or, without one, is guessed.

    Args:
        path: The file.
        profiles: Names of the latency profiles.

    Raises:
        ScriptError: It cannot be read or played; lists all problems.
    """
    form = SUFFIXES.get(path.suffix.lower())
    if form is None and path.suffix:
        raise ScriptError((f"{path}: unknown format {path.suffix}. One of: {', '.join(SUFFIXES)}",))
    try:
        data = path.read_bytes()
    except OSError as error:
        raise ScriptError((f"{path}: cannot be read: {error.strerror}",)) from None
    if form is not None:
        return ScriptFile(path, form, data, read(data, form, str(path), profiles=profiles))
    form = _guessed(data)
    try:
        return ScriptFile(path, form, data, read(data, form, str(path), profiles=profiles))
    except ScriptError as error:
        hint = f"{path}: taken for {form.upper()}, as it has no suffix; name it {', '.join(SUFFIXES)} if it is not"
        raise ScriptError((hint, *error.problems)) from None


def _guessed(data: bytes) -> ScriptFormat:
    """Guess the format of a file without a suffix: JSON begins with a brace; YAML's turns end in a colon, TOML's do not."""
    text = data.lstrip(b"\xef\xbb\xbf \t\r\n")
    if text.startswith((b"{", b"[")) and not text.startswith(b"[["):
        return "json"
    for line in text.splitlines():
        if line.startswith(b"#") or not line.strip():
            continue
        return "toml" if line.startswith(b"[") or b"=" in line.partition(b":")[0] else "yaml"
    return "yaml"


def read_scripts(
    directory: Path | None, default: Path | None, profiles: Collection[str]
) -> dict[str, ScriptFile]:
    """Read the scripts of a server, by name: those of a directory by the names of their files, and `default`.

    Args:
        directory: Directory of named scripts; None for none.
        default: File of the server's default script; None for none.
        profiles: Names of the latency profiles.

    Raises:
        ScriptError: A script cannot be read or played, or two have one name; lists the problems of all scripts.
    """
    problems: list[str] = []
    found: dict[str, ScriptFile] = {}
    named = [("default", default)] if default is not None else []
    try:
        named += _named(directory) if directory is not None else ()
    except ScriptError as error:
        problems += error.problems
    for name, path in named:
        try:
            file = read_script_file(path, profiles)
        except ScriptError as error:
            problems += error.problems
            continue
        if name in found:
            problems.append(
                f"{path}: the script {name!r} is also in {found[name].path}; name one of them otherwise"
            )
        found[name] = file
    if problems:
        # The default may be in the directory, too: its problems are listed once.
        raise ScriptError(tuple(dict.fromkeys(problems)))
    return found


def _named(directory: Path) -> Iterator[tuple[str, Path]]:
    try:
        paths = sorted(directory.iterdir())
    except OSError as error:
        raise ScriptError((f"scripts.dir: cannot read {str(directory)!r}: {error.strerror}",)) from None
    return ((path.stem, path) for path in paths if path.suffix.lower() in SUFFIXES)
