"""The command line of `scripts/agents`."""

import os
import shutil
import sys
from datetime import UTC, datetime
from pathlib import Path

import click
from rich.console import Console
from rich.table import Table

from .agents import AGENTS, Agent
from .install import InstallError, install, read_version
from .page import Row, render_page
from .sandbox import SandboxError, run_isolated
from .verdict import Verdict, judge_generated, judge_scripted

_PROGRAMS = ("unshare", "setpriv", "ip", "git", "npm")


@click.command(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.argument("names", nargs=-1, type=click.Choice([agent.name for agent in AGENTS]), metavar="[AGENT]...")
@click.option("--list", "list_only", is_flag=True, help="List the agents, and do nothing.")
@click.option("--update", is_flag=True, help="Install the newest versions, whatever is in the cache.")
@click.option(
    "--cache",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path("/var/cache/llmsim/agents"),
    show_default=True,
    help="Folder of the installed packages; all users must be able to read it.",
)
@click.option(
    "--markdown",
    "page",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Write the table to this page; for all agents only.",
)
def main(names: tuple[str, ...], list_only: bool, update: bool, cache: Path, page: Path | None) -> None:
    """Install coding agents and run each against llmsim: without a script, and through a scripted task."""
    if list_only:
        for agent in AGENTS:
            click.echo(f"{agent.name:16}  {agent.package}")
        return
    if page is not None and names:
        raise click.UsageError("--markdown is for all agents: name none")
    if missing := [program for program in _PROGRAMS if shutil.which(program) is None]:
        raise click.UsageError(f"not installed: {', '.join(missing)}")
    if os.geteuid() != 0:
        raise click.UsageError("only root can make the namespaces that agents run in")

    console = Console(stderr=True, highlight=False)
    rows: list[Row] = []
    for agent in AGENTS:
        if names and agent.name not in names:
            continue
        console.print(f"[dim]{agent.title}[/dim]")
        rows.append(_run(agent, cache.absolute(), update=update, console=console))
    _print(rows)
    if page is not None:
        page.write_text(render_page(rows, datetime.now(UTC).date()), encoding="utf-8")
    sys.exit(0 if all(row.generated.passed and row.scripted.passed for row in rows) else 1)


def _run(agent: Agent, cache: Path, *, update: bool, console: Console) -> Row:
    try:
        install(agent, cache, update=update)
        version = read_version(agent, cache)
    except InstallError as error:
        console.print(f"[red]{error}[/red]")
        verdict = Verdict(False, "it cannot be installed")
        return Row(agent, "", verdict, verdict)
    try:
        generated = judge_generated(agent, run_isolated(agent, cache, scripted=False))
        run = run_isolated(agent, cache, scripted=True)
    except SandboxError as error:
        raise click.ClickException(str(error)) from error
    if run.problems:
        console.print(run.problems, markup=False)
    return Row(agent, version, generated, judge_scripted(agent, run))


def _print(rows: list[Row]) -> None:
    table = Table("agent", "version", "without a script", "scripted")
    for row in rows:
        table.add_row(row.agent.title, row.version, _cell(row.generated), _cell(row.scripted))
    Console(width=None if sys.stdout.isatty() else 150).print(table)


def _cell(verdict: Verdict) -> str:
    detail = verdict.detail.replace("[", r"\[")
    return f"[green]{detail}[/green]" if verdict.passed else f"[red]{detail}[/red]"


if __name__ == "__main__":
    main(prog_name="scripts/agents")
