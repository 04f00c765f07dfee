"""Command line options: the settings, and the port of a running simulator.

Decisions:
* Options of settings take any text: `load` parses it, so that a bad value is reported with the same words and hint
  whichever source it comes from.
"""

import functools
from collections.abc import Callable
from typing import Any, TypeVar

import click

from llmsim.cli.completion import complete_files, complete_setting
from llmsim.config import CONFIG_VARIABLE, SettingSpec, setting_specs
from llmsim.text import literal

Result = TypeVar("Result")

WIDE = 108
"""Terminal width from which tables have further columns or wider gaps."""


def setting_options(command: Callable[..., Result]) -> Callable[..., Result]:
    """Add `--config` and an option for every setting that has a flag.

    The command is called with `path`, the TOML file or None, and `flags`, the given settings by dotted name; both are
    what `llmsim.config.load` takes. Use it below `@click.command`.
    """
    flagged = [(spec, spec.flag) for spec in setting_specs() if spec.flag is not None]

    @functools.wraps(command)
    def collect(*args: Any, **options: Any) -> Result:
        given = {spec.name: options.pop(spec.key) for spec, _ in flagged}
        flags = {name: text for name, text in given.items() if text is not None}
        return command(*args, flags=flags, **options)

    # click lists the option that was added last first.
    for spec, flag in reversed(flagged):
        collect = click.option(
            flag, spec.key, metavar=_metavar(spec), help=_help(spec), shell_complete=complete_setting(spec)
        )(collect)
    return click.option(
        "--config",
        "path",
        metavar="FILE",
        shell_complete=complete_files,
        help=f"TOML file to read settings from. [env: {CONFIG_VARIABLE}]",
    )(collect)


def _metavar(spec: SettingSpec) -> str:
    match spec.kind:
        case "choice":
            return "|".join(spec.choices)
        case "integer" | "number":
            return "NUMBER"
        case "text" | "boolean" | "list" | "quantiles" | "table":
            return "TEXT"


def _help(spec: SettingSpec) -> str:
    default = "unset" if spec.default is None else literal(spec.default)
    return f"{spec.description.replace('`', '')} [default: {default}; env: {spec.env}]"


class PortOption(click.Option):
    """A port whose variable may be a service link: Kubernetes sets LLMSIM_PORT=tcp://10.0.0.11:8080 itself."""

    def resolve_envvar_value(self, ctx: click.Context) -> str | None:
        """Return the value of the variable; None if it is unset or a service link."""
        text = super().resolve_envvar_value(ctx)
        return None if text is not None and "://" in text else text


port_option = click.option(
    "--port",
    cls=PortOption,
    type=click.IntRange(1, 65535),
    default=8080,
    show_default=True,
    envvar="LLMSIM_PORT",
    show_envvar=True,
    help="Port of the simulator on this machine.",
)
"""`--port` of commands that connect to a simulator on this machine."""

all_option = click.option(
    "--all", "is_for_all", is_flag=True, help="Show the sums of all hosts that share their state (state.url)."
)
"""`--all` of commands that show stats."""
