"""`llmsim scenario`: checks scenarios."""

import click

from llmsim.errors import ScriptError
from llmsim.scenarios.files import read_scenario_path
from llmsim.text import printable


@click.group(short_help="Check scenarios: conversations that a message asks for.")
def scenario() -> None:
    """Check scenarios: conversations that a marker in a message chooses."""


@scenario.command()
@click.argument("paths", metavar="FILE...", nargs=-1, required=True)
def check(paths: tuple[str, ...]) -> None:
    """Check that each FILE holds valid scenarios.

    FILE may be a folder, of whose files those that end in .json are read, or `builtin`. Reports every mistake, with its line
    and a correction. The exit code is 0 if all are valid, and 2 if any is not.
    """
    problems: list[str] = []
    for path in paths:
        try:
            scenarios = read_scenario_path(path)
        except ScriptError as error:
            problems += error.problems
            continue
        for name, found in scenarios.items():
            steps = len(found.steps)
            size = f"{steps:,} step{'' if steps == 1 else 's'}"
            about = f"  {printable(found.description[:200])}" if found.description else ""
            click.echo(f"{click.style('ok', fg='green')}  {name}: {size}{about}")
    if problems:
        raise ScriptError(tuple(problems))
