"""Scenario files: one file, all of a folder, or those that come with llmsim."""

from pathlib import Path

from llmsim.errors import ScriptError
from llmsim.scenarios.reading import read_scenarios
from llmsim.scenarios.scenario import Scenario

BUILTIN = "builtin"
"""What the setting is to play the scenarios that come with llmsim."""

_BUILTIN_FOLDER = Path(__file__).parent / "builtin"


def read_scenario_path(configured: str) -> dict[str, Scenario]:
    """Read the scenarios of a server by name, sorted.

    Args:
        configured: A file, a folder of `.json` files, or `builtin`.

    Raises:
        ScriptError: One cannot be read or played, or two have one name; lists the problems of all files.
    """
    path = _BUILTIN_FOLDER if configured == BUILTIN else Path(configured)
    problems: list[str] = []
    found: dict[str, tuple[Path, Scenario]] = {}
    for file in _list_files(path):
        try:
            scenarios = read_scenarios(_read(file), str(file))
        except ScriptError as error:
            problems += error.problems
            continue
        for scenario in scenarios:
            if scenario.name in found:
                other = found[scenario.name][0]
                where = "given twice" if other == file else f"also in {other}"
                problems.append(
                    f"{file}: the scenario {scenario.name!r} is {where}; name one of them otherwise"
                )
            found[scenario.name] = file, scenario
    if problems:
        raise ScriptError(tuple(problems))
    return {name: found[name][1] for name in sorted(found)}


def _list_files(path: Path) -> list[Path]:
    if not path.is_dir():
        return [path]
    try:
        files = sorted(file for file in path.iterdir() if file.suffix == ".json" and file.is_file())
    except OSError as error:
        raise ScriptError((f"{path}: cannot be read: {error.strerror}",)) from None
    if not files:
        raise ScriptError((f"{path}: wanted a folder with scenarios (.json), found none in it",))
    return files


def _read(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError as error:
        hint = (
            f'; "{BUILTIN}" are the scenarios that come with llmsim'
            if isinstance(error, FileNotFoundError)
            else ""
        )
        raise ScriptError((f"{file}: cannot be read: {error.strerror}{hint}",)) from None
