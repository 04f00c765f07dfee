"""`llmsim profiles fit`: latency fitted to recordings, written as a configuration file.

Decisions:
* What is fitted goes to the file or to standard output; what is to be known about it goes to standard error.
"""

import sys
from pathlib import Path
from typing import Any

import click
from rich.console import Console

from llmsim.calibration.fitting import MODELS, Calibration, calibrate, check_installed
from llmsim.calibration.plots import render_plot
from llmsim.calibration.profile_file import render_profile
from llmsim.errors import ConfigError
from loadtest.recordings import RecordingError, read_recording
from loadtest.time_table import build_table

_WIDTH = 110

_EPILOG = """\b
Examples:
  llmsim profiles fit run.jsonl -o PROFILE.toml --plot fit.svg
  llmsim profiles fit profile_export.jsonl --max-num-seqs 128 -o PROFILE.toml
  llmsim serve --config PROFILE.toml"""


@click.command("fit", epilog=_EPILOG, short_help="Fit latency to recordings of a real engine.")
@click.argument("files", nargs=-1, required=True, type=click.Path(path_type=Path), metavar="FILE...")
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path),
    metavar="PROFILE.toml",
    help="File for the profile. [default: standard output]",
)
@click.option(
    "--model", type=click.Choice(MODELS), help="What to fit. [default: both, of which the better is written]"
)
@click.option(
    "--plot", type=click.Path(path_type=Path), metavar="FILE.svg", help="Draw recorded and fitted times."
)
@click.option("--max-num-seqs", type=click.IntRange(1, 65_536), help="The engine's own, if known.")
@click.option(
    "--max-num-batched-tokens", type=click.IntRange(1, 10_000_000), help="The engine's own, if known."
)
@click.option("--kv-tokens", type=click.IntRange(1, 10_000_000_000), help="The engine's own, if known.")
def fit(
    files: tuple[Path, ...], output: Path | None, model: Any, plot: Path | None, **known: int | None
) -> None:
    """Fit latency to recordings of a real engine, as a file for `llmsim serve --config`.

    FILEs hold requests with their times (JSON lines or CSV with arrival_ms, prompt_tokens, completion_tokens, ttft_ms
    and e2e_ms; aiperf's profile_export.jsonl; guidellm's benchmarks.json), or points (JSON lines or CSV with
    prompt_tokens, completion_tokens, concurrency, ttft_ms and tpot_ms). A request without times is load that is not
    judged. It needs numpy and scipy: pip install 'llmsim[fit]'.
    """
    check_installed()
    try:
        recordings = [read_recording(file) for file in files]
    except RecordingError as error:
        raise ConfigError(str(error)) from error
    figures = {name: value for name, value in known.items() if value is not None}
    models = MODELS if model is None else (model,)
    try:
        found = calibrate(recordings, models, known=figures, progress=_show_progress)
    except ConfigError as error:
        raise ConfigError(f"{', '.join(map(str, files))}: {error}") from error
    _clear_progress()
    _print_tables(found)
    _write(output, render_profile(found, [file.name for file in files]))
    if plot is not None:
        _write(plot, render_plot(found))


def _write(path: Path | None, text: str) -> None:
    if path is None:
        click.echo(text, nl=False)
        return
    try:
        path.write_text(text, encoding="utf-8", newline="\n")
    except OSError as error:
        raise ConfigError(f"{path}: cannot be written: {error.strerror}") from error
    click.echo(f" wrote {path}", err=True)


def _show_progress(what: str, share: float) -> None:
    if sys.stderr.isatty():
        click.echo(f"\r fitting the {what:<8} {share:4.0%}", nl=False, err=True)


def _clear_progress() -> None:
    if sys.stderr.isatty():
        click.echo(f"\r{'':<30}\r", nl=False, err=True)


def _print_tables(found: Calibration) -> None:
    terminal = Console(stderr=True, highlight=False)
    console = terminal if terminal.is_terminal else Console(stderr=True, highlight=False, width=_WIDTH)
    for model in found.tried:
        title = f"{model.name}, on the half that it was not fitted to ({found.held_out.count:,})"
        console.print(build_table(title, model.judgement.measures, "fitted"))
    tried = " and ".join(f"{model.name} {model.judgement.score:.3f}" for model in found.tried)
    console.print(f" chosen: {found.chosen.name} (median error plus K-S distance on that half: {tried})")
    console.print(" Errors are those of a fit to one half on the other; what is written is fitted to both.")
