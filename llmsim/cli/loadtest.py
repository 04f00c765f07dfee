"""`llmsim loadtest`: the load test suites, which the extra `load` brings along with Locust."""

import importlib
import importlib.util

import click

from llmsim.errors import ConfigError


@click.command(context_settings={"ignore_unknown_options": True})
@click.argument("words", metavar="SUITE", nargs=-1)
def _missing(words: tuple[str, ...]) -> None:  # noqa: ARG001 - what it would have taken
    """Run a load test. It needs Locust: pip install 'llmsim[load]'."""
    raise ConfigError("llmsim loadtest needs Locust; install it with: pip install 'llmsim[load]'")


def _find() -> click.Command:
    if any(importlib.util.find_spec(name) is None for name in ("locust", "loadtest")):
        return _missing
    # By its name: the load tests stand apart from the package, and import nothing of it.
    command: click.Command = importlib.import_module("loadtest.cli").main
    return command


loadtest = _find()
