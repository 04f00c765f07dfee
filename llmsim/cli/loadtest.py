"""`llmsim loadtest`: the load test suites, which the extra `load` brings along with Locust, and the replay, which needs none."""

import importlib
import importlib.util

import click

from llmsim.errors import ConfigError


def _missing() -> click.Command:
    """Return the command without Locust: it replays, and says what else would need."""
    replay = importlib.import_module("loadtest.replay.command")

    with_trace: type[click.Command] = replay.WithTrace

    @click.command(
        cls=with_trace,
        context_settings={"ignore_unknown_options": True},
        short_help="Run a load test suite; needs llmsim[load].",
    )
    @click.argument("words", metavar="SUITE", nargs=-1)
    def missing(words: tuple[str, ...]) -> None:  # noqa: ARG001 - what it would have taken
        """Run a load test. It needs Locust: pip install 'llmsim[load]'. `trace FILE` does not."""
        raise ConfigError("llmsim loadtest needs Locust; install it with: pip install 'llmsim[load]'")

    return missing


def _find() -> click.Command:
    if importlib.util.find_spec("locust") is None:
        return _missing()
    # By its name: the load tests stand apart from the package, and import nothing of it.
    command: click.Command = importlib.import_module("loadtest.cli").main
    return command


loadtest = _find()
