"""The command line of `scripts/sdk-tests`."""

import sys
import tempfile
from pathlib import Path

import click

from llmsim.testing import Simulator

from .reasons import read_reasons
from .sdists import unpack_sdist
from .suites import SDKS, run_suite
from .table import outdated, render_results, unexplained, write_results


@click.command(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.argument("sdks", nargs=-1, type=click.Choice(list(SDKS)))
@click.option(
    "--folder",
    type=click.Path(path_type=Path, file_okay=False),
    help="Where source distributions are kept; without it they are downloaded each time.",
)
@click.option(
    "--markdown",
    "page",
    type=click.Path(path_type=Path, dir_okay=False, exists=True),
    help="Write the tables to this page.",
)
@click.option("-k", "only", default="", help="Run some tests only, chosen as pytest does.")
def main(sdks: tuple[str, ...], folder: Path | None, page: Path | None, only: str) -> None:
    """Run the SDKs' own tests against a server, and print what passes and why the rest does not.

    The tests are those of the source distributions, of the versions in the lock file. Exit code 1 if a test fails that should pass.
    """
    reasons = read_reasons()
    results = {}
    with tempfile.TemporaryDirectory(prefix="sdk-tests-") as temporary, Simulator() as server:
        kept = (folder or Path(temporary)).resolve()
        kept.mkdir(parents=True, exist_ok=True)
        for sdk in sdks or SDKS:
            outcomes = Path(temporary, f"{sdk}.jsonl")
            results[sdk] = run_suite(sdk, unpack_sdist(sdk, kept), server.base_url, outcomes, only=only)
    click.echo(render_results(results, reasons), nl=False)
    if page is not None:
        write_results(page, results, reasons)
    for one in [] if only else outdated(results, reasons):
        click.echo(f"No test fails as {one.tests} should ({one.sdk})", err=True)
    failed = unexplained(results, reasons)
    for outcome in failed:
        click.echo(f"FAILED {outcome.test}: {outcome.problem}", err=True)
    sys.exit(bool(failed))


if __name__ == "__main__":
    main()
