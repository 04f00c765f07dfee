"""`llmsim loadtest trace FILE`: from the recording to the report.

Decisions:
* Exit codes as for the suites: 0 if all requests succeeded, 1 if not or if the run was interrupted, 2 for wrong usage.
"""

import asyncio
import os
import sys
import urllib.parse
from datetime import datetime
from pathlib import Path
from typing import Any

import click

from loadtest.recordings import RecordingError, Trace, read_recording
from loadtest.replay.client import Client
from loadtest.replay.comparison import compare
from loadtest.replay.probe import Dialect, candidate_paths, find_model, new_run_number, probe_server
from loadtest.replay.report import print_comparison, write_files
from loadtest.replay.schedule import Outcome, Progress, Replay
from loadtest.response_checks import BrokenResponseError
from loadtest.servers import ServerError, run_server
from loadtest.settings import Settings, SettingsError, load_settings
from loadtest.target import describe_target, inspect_target

_SERVER = ("--workers", "--latency", "--config")
_MODEL = "gpt-4o"

_EPILOG = """\b
Examples:
  llmsim loadtest trace run.jsonl --config PROFILE.toml
  llmsim loadtest trace run.jsonl --host http://localhost:8000 --model my-model
  LOADTEST_API_KEY=… llmsim loadtest trace benchmarks.json --run 2 --host https://gateway.example

\b
Exit codes: 0 all requests succeeded, 1 some failed or the run was interrupted, 2 wrong usage."""


@click.command(
    "trace",
    epilog=_EPILOG,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--host", metavar="URL", help="Server to test; without it an llmsim is started for the run.")
@click.option(
    "--model", metavar="NAME", help="Model. [default: the only one that the server lists, or gpt-4o]"
)
@click.option(
    "--run",
    "index",
    type=int,
    default=0,
    metavar="N",
    help="Which run of a file that has several. [default: 0]",
)
@click.option("--limit", type=int, metavar="N", help="Replay the first N requests only.")
@click.option(
    "--timeout",
    type=float,
    default=900.0,
    metavar="S",
    help="Longest time without a byte from the server, in seconds. [default: 900]",
)
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="Folder for the reports. [default: loadtest-results/trace-TIME]",
)
@click.option("--workers", type=int, metavar="N", help="Workers of the llmsim that is started.")
@click.option("--latency", metavar="PROFILE", help="Its latency profile.")
@click.option(
    "--config",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Its configuration, as a fitted profile is.",
)
def trace(
    file: Path,
    host: str | None,
    model: str | None,
    index: int,
    limit: int | None,
    timeout: float,
    out: Path | None,
    workers: int | None,
    latency: str | None,
    config: Path | None,
) -> None:
    """Replay the arrivals and lengths of FILE against a server, and compare the times.

    FILE is a recording: JSON lines or CSV with arrival_ms, prompt_tokens, completion_tokens and, where they were
    measured, ttft_ms and e2e_ms; aiperf's profile_export.jsonl; or guidellm's benchmarks.json. Requests leave at their
    instants whether or not others have been answered. Prompts have the recorded number of tokens and no two begin
    alike; outputs are asked for in the recorded length.
    """
    if host is not None and (workers, latency, config) != (None, None, None):
        raise click.UsageError(
            f"{', '.join(_SERVER)} configure the server that is started; they exclude --host"
        )
    recorded = _read(file, index, limit)
    try:
        settings = load_settings(os.environ)
    except SettingsError as error:
        raise click.UsageError(str(error)) from error
    folder = (out or Path("loadtest-results") / f"trace-{datetime.now().strftime('%Y%m%d-%H%M%S')}").resolve()
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise click.UsageError(f"--out {folder}: {error.strerror}") from error
    run = _Run(recorded, settings, model, timeout, folder)
    if host is not None:
        sys.exit(run.against(host))
    flags = [
        f"--{name}={value}"
        for name, value in (("workers", workers), ("latency", latency), ("config", config))
        if value is not None
    ]
    # No response is longer than what is asked for, and none is shorter.
    flags.append(f"--target-tokens={max(request.completion_tokens for request in recorded.requests)}")
    try:
        with run_server(flags, folder / "server.log") as started:
            code = run.against(started)
    except ServerError as error:
        raise click.ClickException(str(error)) from error
    sys.exit(code)


def _read(file: Path, index: int, limit: int | None) -> Trace:
    try:
        recording = read_recording(file)
    except RecordingError as error:
        raise click.UsageError(str(error)) from error
    if not recording.traces:
        raise click.UsageError(f"{file}: it holds points, which have no arrivals to replay")
    if not 0 <= index < len(recording.traces):
        raise click.UsageError(f"--run {index}: {file} has the runs 0 to {len(recording.traces) - 1}")
    if limit is not None and limit < 1:
        raise click.UsageError(f"--limit {limit}: wanted 1 or more")
    found = recording.traces[index]
    return found if limit is None else Trace(found.name, found.requests[:limit])


class _Run:
    """One replay and its reports."""

    def __init__(
        self, recorded: Trace, settings: Settings, model: str | None, timeout: float, folder: Path
    ) -> None:
        self._recorded = recorded
        self._settings = settings
        self._model = model or next(iter(settings.model), None)
        self._timeout = timeout
        self._folder = folder

    def against(self, host: str) -> int:
        """Replay against a server; return the exit code."""
        url = urllib.parse.urlsplit(host if "://" in host else f"http://{host}")
        if url.scheme not in ("http", "https") or not url.hostname:
            raise click.UsageError(f"--host {host}: not a URL; it begins with http:// or https://")
        requests = self._recorded.requests
        click.echo(
            f"\n{self._recorded.name}: {len(requests):,} requests within {requests[-1].arrival:.1f} s against {host}",
            err=True,
        )
        for line in describe_target(inspect_target(host.rstrip("/"))):
            click.echo(f"  {line}", err=True)
        try:
            dialect, outcomes, lags = asyncio.run(self._replay(url))
        except BrokenResponseError as error:
            raise click.ClickException(f"{host}: {error}") from error
        except KeyboardInterrupt:
            raise click.ClickException("the run was interrupted") from None
        comparison = compare(outcomes, lags)
        print_comparison(comparison)
        write_files(
            self._folder, f"Replay of {self._recorded.name}", f"{host}, {dialect.model}", comparison, outcomes
        )
        click.echo(f" report          {_shorten(self._folder / 'report.html')}", err=True)
        click.echo(f" measured        {_shorten(self._folder / 'measured.jsonl')}\n", err=True)
        return 1 if comparison.failed else 0

    async def _replay(self, url: urllib.parse.SplitResult) -> tuple[Dialect, list[Outcome], list[float]]:
        key = self._settings.api_key
        headers = {
            "authorization": f"Bearer {key}",
            "content-type": "application/json",
            "accept-encoding": "identity",
            "user-agent": "llmsim-loadtest",
        }
        client = Client(url, headers)
        paths = candidate_paths(url, self._settings.openai_prefix)
        model = self._model or await asyncio.to_thread(find_model, url, paths, key) or _MODEL
        number = new_run_number()
        try:
            dialect = await probe_server(client, paths, model, number)
            for line in _describe(dialect):
                click.echo(f"  {line}", err=True)
            replay = Replay(client, dialect, self._recorded.requests, run=number, timeout=self._timeout)
            outcomes = await replay.run(_Show(len(self._recorded.requests)))
        finally:
            client.close()
        click.echo(err=True)
        return dialect, outcomes, replay.progress.lags


def _describe(dialect: Dialect) -> list[str]:
    lines = [f"model {dialect.model}, POST {dialect.path}"]
    if dialect.overhead is None:
        lines.append("warning: it reports no prompt tokens, so prompts are that many words")
    if not dialect.is_exact:
        lines.append(
            "warning: its outputs are not as long as was asked for; end-to-end times differ for that"
        )
    return lines


class _Show:
    """Shows how far a replay is: on one line of a terminal, or a line now and then."""

    def __init__(self, requests: int) -> None:
        self._requests = requests
        self._terminal = sys.stderr.isatty()
        self._next = 0.0

    def __call__(self, progress: Progress) -> None:
        if not self._terminal and progress.seconds < self._next:
            return
        self._next = progress.seconds + 10
        line = f"  {progress.seconds:5.0f} s  {progress.sent:,} of {self._requests:,} sent, {progress.ended:,} ended"
        click.echo(f"\r{line}" if self._terminal else line, nl=not self._terminal, err=True)


def _shorten(path: Path) -> Path:
    return path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path


class WithTrace(click.Command):
    """A command of suites, in whose place `trace` may stand."""

    def make_context(  # noqa: D102 - click's own
        self, info_name: str | None, args: list[str], parent: click.Context | None = None, **extra: Any
    ) -> click.Context:
        if args and args[0] == trace.name:
            return trace.make_context(f"{info_name} {trace.name}", args[1:], parent, **extra)
        return super().make_context(info_name, args, parent, **extra)

    def invoke(self, ctx: click.Context) -> Any:  # noqa: D102 - click's own
        return super().invoke(ctx) if ctx.command is self else ctx.command.invoke(ctx)
