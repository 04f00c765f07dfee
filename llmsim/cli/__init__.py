"""The command line: one module per command.

Decisions:
* Commands are imported when they are called: `llmsim serve` starts without loading rich, and `llmsim --help` is
  instant.
* A terminal that cannot show a character gets another one: a command never fails because of its output's encoding.
* An `LlmsimError` becomes a message on stderr and an exit code; anything else is a bug and keeps its traceback.
"""

import codecs
import importlib
import io
import sys

import click

from llmsim import __version__
from llmsim.cli.late_imports import importing
from llmsim.errors import ControlApiError, LlmsimError, StatsError
from llmsim.text import nearest

_COMMANDS = tuple(
    "serve stats top loadtest models profiles tokens config set script scenario sessions clients explain doctor".split()
)


_PLAIN = str.maketrans(dict(zip("▁▂▃▄▅▆▇█●○·×…–→±∞−✓✗", "_.:-=+*#*o-x.->~~-+x", strict=True)))  # noqa: RUF001
"""What stands in the place of characters that a terminal cannot show."""


def _show_plain(error: UnicodeError) -> tuple[str, int]:
    """Replace characters that an encoding does not have."""
    assert isinstance(error, UnicodeEncodeError)
    text = error.object[error.start : error.end].translate(_PLAIN)
    return text.encode("ascii", "replace").decode(), error.end


def _accept_any_encoding() -> None:
    codecs.register_error("llmsim", _show_plain)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="llmsim")


class _Failure(click.ClickException):
    """An `LlmsimError` as click shows it."""

    def __init__(self, error: LlmsimError) -> None:
        super().__init__(str(error))
        self.exit_code = 1 if isinstance(error, StatsError | ControlApiError) else 2  # type: ignore[misc]  # read from the instance


class _Commands(click.Group):
    """Imports a command from the module of its name."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in _COMMANDS:
            return None
        with importing():
            command: click.Command = getattr(importlib.import_module(f"llmsim.cli.{cmd_name}"), cmd_name)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        name = args[0]
        if name not in _COMMANDS and not name.startswith("-"):
            meant = nearest(name, _COMMANDS)
            hint = f"; did you mean {meant!r}?" if meant else ""
            raise click.UsageError(f"no command {name!r}{hint}", ctx)
        return super().resolve_command(ctx, args)

    def invoke(self, ctx: click.Context) -> object:
        _accept_any_encoding()
        try:
            return super().invoke(ctx)
        except LlmsimError as error:
            raise _Failure(error) from error


_EXAMPLES = """\b
Start here:
  llmsim serve --latency instant    serve on http://localhost:8080
  llmsim stats --watch              show what it serves
  llmsim top                        the same as a dashboard
  llmsim loadtest quick-smoke       put load on one
  llmsim doctor                     say what this machine lacks
  llmsim COMMAND --help             explain a command
"""


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"]}, epilog=_EXAMPLES)
@click.version_option(__version__, prog_name="llmsim")
def main() -> None:
    """Simulate the traffic of LLM APIs without a model."""


if __name__ == "__main__":
    sys.exit(main())
