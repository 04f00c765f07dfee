"""`llmsim loadtest SUITE`: run a suite, from starting the server to the exit code.

Decisions:
* Locust runs in a process of its own, with the settings in its environment: it patches sockets when it
  is imported, and its exit must not take the server down with it.
* Exit codes: 0 passed, 1 a gate failed or the run was interrupted, 2 wrong usage.
"""

import contextlib
import http.client
import math
import os
import subprocess
import sys
import urllib.error
import urllib.parse
import urllib.request
from datetime import datetime
from pathlib import Path
from typing import Any

import click
import msgspec

from loadtest.endpoints import ENDPOINTS, build_requests
from loadtest.replay.command import WithTrace
from loadtest.servers import ServerError, run_server
from loadtest.settings import Settings, SettingsError, describe_settings, load_settings, to_variables
from loadtest.suites import SUITES, Suite, resolve_suite
from loadtest.target import describe_target, inspect_targets

_LOOK_SECONDS = 10.0
"""Seconds that a server is given to answer the first look at it."""

_PACKAGES = Path(__file__).parents[1]
"""Where Locust finds this package."""

_RESULTS = Path("loadtest-results")
"""Folder of all results, in the current folder."""


def _list_suites() -> str:
    lines = []
    for suite in SUITES.values():
        length = f"{suite.iterations} iterations" if suite.iterations else f"{suite.seconds:g} s"
        lines.append(f"  {suite.name:<17} {suite.about} ({length})")
    return "\n".join(lines)


def _list_settings() -> str:
    return "\n".join(f"  {name:<30} {about} [{default}]" for name, default, about in describe_settings())


_EPILOG = f"""\b
Suites:
{_list_suites()}

\b
Replay of recorded load; `llmsim loadtest trace --help` has its options:
  trace FILE        arrivals and lengths of a recording, and how its times compare

\b
Examples:
  llmsim loadtest quick-smoke
  llmsim loadtest load --duration 60 --workers 2
  llmsim loadtest load --rate 200 --duration 30
  llmsim loadtest load --host http://localhost:8000 --endpoints chat --model my-model
  llmsim loadtest load --host http://10.0.0.1:8080,http://10.0.0.2:8080
  LOADTEST_API_KEY=… llmsim loadtest smoke --host https://gateway.example --gate ttft_p95_ms=800

\b
Environment variables, also for Locust's own command (locust -f loadtest/locustfile.py); options override them:
{_list_settings()}

\b
Exit codes: 0 passed, 1 a gate failed or the run was interrupted, 2 wrong usage."""


@click.command(
    cls=WithTrace,
    epilog=_EPILOG,
    short_help="Run a load test suite, and check what was measured.",
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.argument("suite")
@click.option(
    "--host",
    "hosts",
    metavar="URL",
    multiple=True,
    help="Server to test; without it an llmsim is started for the run. Several, given repeatedly or separated by commas, share the load.",
)
@click.option(
    "--duration", type=float, metavar="S", help="Length of the run in seconds, instead of the suite's."
)
@click.option("--scale", type=float, metavar="X", help="Factor on the suite's length: 0.1 for a tenth.")
@click.option("--users", type=int, metavar="N", help="Users at the peak, instead of the suite's.")
@click.option(
    "--rate", type=float, metavar="R", help="Open model: requests per second that do not wait for responses."
)
@click.option("--arrivals", help="Gaps between arrivals: poisson or constant. [default: poisson]")
@click.option(
    "--think", type=float, metavar="S", help="Mean pause of a user between two requests, in seconds."
)
@click.option(
    "--endpoints", metavar="NAMES", help=f"Endpoints to test, separated by commas: {', '.join(ENDPOINTS)}."
)
@click.option("--model", metavar="NAMES", help="Model, or several separated by commas, used in turn.")
@click.option(
    "--gate", "gates", multiple=True, metavar="FIGURE=N", help="Limit instead of the suite's; repeatable."
)
@click.option("--processes", type=int, metavar="N", help="Processes that share the load. [default: 1]")
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="Folder for the reports. [default: loadtest-results/SUITE-TIME]",
)
@click.option("--workers", type=int, metavar="N", help="Workers of the llmsim that is started.")
@click.option("--latency", metavar="PROFILE", help="Its latency profile, instead of the suite's.")
@click.option(
    "--target-tokens", type=int, metavar="N", help="Length of its responses, instead of the suite's."
)
def main(
    suite: str,
    hosts: tuple[str, ...],
    out: Path | None,
    workers: int | None,
    latency: str | None,
    target_tokens: int | None,
    gates: tuple[str, ...],
    **options: Any,
) -> None:
    """Run SUITE against a server, and check what was measured against its gates.

    Without --host an llmsim is started on a free port, with the latency profile that the suite's gates are meant
    for, and stopped at the end. The report (report.html), Locust's own (locust.html), CSV files and summary.json are
    written to a folder of the run.
    """
    hosts = tuple(host.strip().rstrip("/") for given in hosts for host in given.split(","))
    if hosts and (workers, latency, target_tokens) != (None, None, None):
        raise click.UsageError(
            "--workers, --latency and --target-tokens configure the server that is started; they exclude --host"
        )
    for host in hosts:
        _check_host(host)
    given = {name: str(value) for name, value in options.items() if value is not None}
    if gates:
        given["gates"] = ",".join(gates)
    try:
        settings = load_settings(
            {
                **os.environ,
                "LOADTEST_SUITE": suite,
                **{f"LOADTEST_{name.upper()}": text for name, text in given.items()},
            }
        )
        plan = resolve_suite(settings)
        build_requests(settings)
    except SettingsError as error:
        raise click.UsageError(str(error)) from error
    for host in hosts:
        _look_at(host)
        _check_path(host, settings)
    folder = (out or _default_folder(plan)).resolve()
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise click.UsageError(f"--out {folder}: {error.strerror}") from error
    settings = msgspec.structs.replace(settings, out=str(folder), hosts=hosts if len(hosts) > 1 else ())
    if hosts:
        click.echo(f"\n{_headline(plan)} against {', '.join(hosts)}", err=True)
        _show_target(hosts)
        code = _run(plan, settings, hosts[0], folder)
    else:
        server = {
            "latency": latency or plan.latency,
            "target-tokens": target_tokens or plan.target_tokens,
            "workers": workers,
        }
        flags = [f"--{name}={value}" for name, value in server.items() if value is not None]
        try:
            with run_server(flags, folder / "server.log") as started:
                click.echo(f"\n{_headline(plan)} against llmsim serve {' '.join(flags)}", err=True)
                _show_target((started,))
                code = _run(plan, settings, started, folder)
        except ServerError as error:
            raise click.ClickException(str(error)) from error
    sys.exit(code)


def _check_host(host: str) -> None:
    """Raise a usage error if the value is not the URL of a server."""
    if not host.startswith(("http://", "https://")):
        raise click.UsageError(f"--host {host or repr(host)}: not a URL; it begins with http:// or https://")
    try:
        parts = urllib.parse.urlsplit(host)
        is_named = bool(parts.hostname) and parts.port != 0
    except ValueError as error:
        raise click.UsageError(f"--host {host}: {error}") from error
    if not is_named or parts.query or parts.fragment:
        raise click.UsageError(f"--host {host}: not a URL of a server, like http://localhost:8000")


def _check_path(host: str, settings: Settings) -> None:
    """Raise a usage error for the base URL of an API: its path would be there twice."""
    prefixes = (settings.openai_prefix, settings.openresponses_prefix, settings.anthropic_prefix)
    path = urllib.parse.urlsplit(host).path
    rest = path.removesuffix("/v1")
    rest = next((rest.removesuffix(one) for one in prefixes if one and rest.endswith(one)), rest)
    if rest != path:
        added = f"{settings.openai_prefix}/v1/chat/completions"
        raise click.UsageError(
            f"--host {host}: the base URL of an API, but the suites add paths such as {added} themselves; "
            f"did you mean --host {host.removesuffix(path)}{rest}?"
        )


def _look_at(host: str) -> None:
    """Raise an error if no web server answers there: a whole suite of failures would say less."""
    request = urllib.request.Request(host.rstrip("/") + "/", headers={"user-agent": "llmsim-loadtest"})
    try:
        with (
            contextlib.suppress(urllib.error.HTTPError),
            urllib.request.urlopen(request, timeout=_LOOK_SECONDS),
        ):
            pass
    except (OSError, http.client.HTTPException) as error:
        reason = getattr(error, "reason", None) or error or type(error).__name__
        raise click.ClickException(
            f"--host {host}: no server answers there: {reason}. Start it, or name the one that runs"
        ) from error


def _show_target(hosts: tuple[str, ...]) -> None:
    """Show what the servers say about themselves, and whether others use them."""
    for line in describe_target(inspect_targets(hosts)):
        click.echo(f"  {line}", err=True)
    click.echo(err=True)


def _default_folder(plan: Suite) -> Path:
    return _RESULTS / f"{plan.name}-{datetime.now().strftime('%Y%m%d-%H%M%S')}"


def _headline(plan: Suite) -> str:
    if plan.iterations is not None:
        return f"{plan.name}: {plan.iterations} iterations"
    if plan.is_open:
        load = f"up to {plan.peak:g} requests/s that do not wait for responses"
    else:
        load = "1 user" if plan.peak == 1 else f"up to {plan.peak:g} users"
    return f"{plan.name}: {plan.seconds:g} s, {load},"


def _run(plan: Suite, settings: Settings, host: str, folder: Path) -> int:
    """Run Locust; return the exit code."""
    summary = folder / "summary.json"
    summary.unlink(missing_ok=True)
    command = [sys.executable, "-m", "locust", "-f", str(Path(__file__).with_name("locustfile.py"))]
    command += [
        "--headless",
        "--only-summary",
        "--loglevel",
        "WARNING",
        "--host",
        host,
        "--profile",
        plan.name,
    ]
    command += ["--stop-timeout", str(math.ceil(settings.drain) + 2)]
    # With files for them, Locust does not print its own tables after the summary.
    command += [
        "--html",
        str(folder / "locust.html"),
        "--csv",
        str(folder / "locust"),
        "--json-file",
        str(folder / "locust"),
    ]
    if settings.processes > 1:
        command += ["--processes", str(settings.processes)]
    known = os.environ.get("PYTHONPATH")
    path = os.pathsep.join([str(_PACKAGES), known] if known else [str(_PACKAGES)])
    process = subprocess.Popen(command, env={**os.environ, **to_variables(settings), "PYTHONPATH": path})
    while True:
        try:
            code = process.wait()
            break
        except KeyboardInterrupt:
            # Locust got the signal too, and writes its summary.
            continue
    if not summary.exists():
        raise click.ClickException(f"Locust exited with {code} and wrote no summary")
    click.echo(f" report          {_shorten_path(folder / 'report.html')}", err=True)
    click.echo(f" figures         {_shorten_path(summary)}\n", err=True)
    return 0 if code == 0 else 1


def _shorten_path(path: Path) -> Path:
    return path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path
