"""`llmsim doctor`: says what on this machine would keep a simulator from running, or from running well."""

import errno
import importlib.metadata
import importlib.util
import json
import os
import platform
import resource
import sys
from collections.abc import Iterator
from pathlib import Path

import click
import msgspec
from rich.console import Console
from rich.text import Text

from llmsim import __version__
from llmsim.catalogue import shipped_catalogue
from llmsim.cli.options import setting_options
from llmsim.config import Settings, load
from llmsim.errors import LlmsimError
from llmsim.state.directory import leftovers, run_directory
from llmsim.stats import available_cores, block_name

_FILES_PER_WORKER = 4096
"""Open files that a worker under load may need: one for each connection."""

_PACKAGES = ("falcon", "gunicorn", "uvicorn", "uvloop", "httptools", "orjson", "msgspec", "tiktoken")

_EXTRAS = {"load": ("locust", "llmsim loadtest"), "tui": ("textual", "llmsim top")}
"""By the name of an extra: the package that shows that it is installed, and the command that needs it."""

_MARKS = {"good": ("●", "green"), "note": ("○", "dim"), "warning": ("●", "yellow"), "failure": ("x", "red")}


class Finding(msgspec.Struct, frozen=True):
    """One thing that was looked at.

    Attributes:
        subject: What was looked at.
        level: `good`, `note`, `warning` (it runs, but not well) or `failure` (it does not run).
        found: What was found, and what to do about it.
    """

    subject: str
    level: str
    found: str


@click.command(short_help="Check this machine, and say what a simulator lacks.")
@setting_options
@click.option("--json", "as_json", is_flag=True, help="Print the findings as JSON.")
def doctor(path: str | None, flags: dict[str, str], as_json: bool) -> None:
    """Check this machine, and say what a simulator with these settings lacks.

    Exit codes: 0 it runs, maybe with warnings, 1 it does not.
    """
    findings = list(_examine(path, flags))
    if as_json:
        click.echo(json.dumps(msgspec.to_builtins(findings), indent=2))
    else:
        console = Console(highlight=False)
        width = max(len(finding.subject) for finding in findings) + 2
        for finding in findings:
            mark, style = _MARKS[finding.level]
            line = Text.assemble((mark, style), f" {finding.subject:<{width}}", finding.found)
            console.print(line, soft_wrap=True)
    sys.exit(1 if any(finding.level == "failure" for finding in findings) else 0)


def _examine(path: str | None, flags: dict[str, str]) -> Iterator[Finding]:
    yield Finding("llmsim", "good", __version__)
    yield _examine_system()
    yield from _examine_packages()
    try:
        settings = load(path, environ=os.environ, flags=flags, profiles=shipped_catalogue().profiles).settings
    except LlmsimError as error:
        yield Finding("settings", "failure", str(error))
        return
    yield Finding("settings", "good", "can be read; `llmsim config` shows them")
    for examine in (_examine_cores, _examine_files, _examine_port, _examine_run_directory, _examine_memory):
        yield from examine(settings)
    for extra, (package, command) in _EXTRAS.items():
        if importlib.util.find_spec(package) is None:
            advice = f"`{command}` needs it: pip install 'llmsim[{extra}]'"
            yield Finding(f"extra {extra}", "note", f"not installed; {advice}")


def _examine_system() -> Finding:
    name = f"Python {platform.python_version()} on {platform.system()}"
    if not sys.platform.startswith("linux"):
        return Finding("system", "warning", f"{name}; llmsim is tested on Linux only")
    return Finding("system", "good", name)


def _examine_packages() -> Iterator[Finding]:
    found = []
    for name in _PACKAGES:
        try:
            found.append(f"{name} {importlib.metadata.version(name)}")
        except importlib.metadata.PackageNotFoundError:
            yield Finding("packages", "failure", f"{name} is not installed; pip install llmsim brings it")
            return
    yield Finding("packages", "good", ", ".join(found))
    from llmsim.server.channels import direct_writes_problem

    problem = direct_writes_problem()
    if problem is not None:
        yield Finding(
            "direct writes", "warning", f"off, streams cost more: {problem}; pip install 'llmsim[serve]'"
        )


def _examine_cores(settings: Settings) -> Iterator[Finding]:
    cores, workers = available_cores(), settings.server.workers
    if workers and workers > cores:
        yield Finding(
            "cores", "warning", f"{cores}, for {workers} workers; more workers than cores are slower"
        )
    else:
        yield Finding("cores", "good", str(cores))


def _examine_files(_: Settings) -> Iterator[Finding]:
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    if most == resource.RLIM_INFINITY or most >= _FILES_PER_WORKER:
        yield Finding("open files", "good", "unlimited" if most == resource.RLIM_INFINITY else f"{most}")
    else:
        advice = "raise the hard limit (ulimit -Hn, LimitNOFILE= of systemd)"
        yield Finding("open files", "warning", f"{most}: each open stream needs one; {advice}")


def _examine_port(settings: Settings) -> Iterator[Finding]:
    from llmsim.server.processes.listeners import bind_advice, exclusive_bind_error, port_holders

    host, port = settings.server.host, settings.server.port
    error = exclusive_bind_error(host, port) if port else None
    if error is None:
        yield Finding("port", "good", f"{port} is free" if port else "a free one is chosen")
        return
    holders = port_holders(port) if error.errno == errno.EADDRINUSE else []
    more = f" and {len(holders) - 1} more" if len(holders) > 1 else ""
    whose = f" by {holders[0]}{more}" if holders else ""
    reason = (error.strerror or "").lower()
    yield Finding("port", "failure", f"{host}:{port}: {reason}{whose}; {bind_advice(error)}")


def _examine_run_directory(settings: Settings) -> Iterator[Finding]:
    try:
        path = run_directory(settings.server.run_dir, os.environ)
    except LlmsimError as error:
        yield Finding("run directory", "failure", str(error))
        return
    stale = leftovers(path)
    if stale:
        files = "1 file" if len(stale) == 1 else f"{len(stale)} files"
        found = f"{path}; {files} of servers that were killed, removed by the next start"
        yield Finding("run directory", "note", found)
    else:
        yield Finding("run directory", "good", str(path))


def _examine_memory(settings: Settings) -> Iterator[Finding]:
    if sys.platform != "linux":
        # There it has no folder that could be examined.
        return
    segments = Path("/dev/shm")  # noqa: S108 - where Linux keeps shared memory
    if not segments.is_dir() or not os.access(segments, os.W_OK):
        yield Finding("shared memory", "failure", f"{segments} cannot be written; counters are kept there")
        return
    segment = segments / block_name(settings.server.port)
    in_use = f"; {segment.name} is there, of a server that runs or was killed" if segment.exists() else ""
    yield Finding("shared memory", "good", f"{segments} can be written{in_use}")
