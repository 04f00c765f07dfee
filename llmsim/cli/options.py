"""The settings as command line options.

Decisions:
* Options take texts and check nothing: `load` reads them, so that a bad value is refused in the
  same words, with the same hint, wherever it comes from.
"""

import functools
from collections.abc import Callable
from typing import Any, TypeVar

import click

from llmsim.config import CONFIG_VARIABLE, Knob, knobs
from llmsim.words import literal

Result = TypeVar("Result")


def setting_options(command: Callable[..., Result]) -> Callable[..., Result]:
    """Add `--config` and an option for every setting that has a flag.

    The command is called with `path`, the TOML file or None, and `flags`, the settings that were given by their
    dotted names; both are what `llmsim.config.load` takes. Stands below `@click.command`.
    """
    flagged = [(knob, knob.flag) for knob in knobs() if knob.flag is not None]

    @functools.wraps(command)
    def collect(*args: Any, **options: Any) -> Result:
        given = {knob.name: options.pop(knob.key) for knob, _ in flagged}
        flags = {name: text for name, text in given.items() if text is not None}
        return command(*args, flags=flags, **options)

    # click lists options in the order in which they were added last to first.
    for knob, flag in reversed(flagged):
        collect = click.option(flag, knob.key, metavar=_metavar(knob), help=_help(knob))(collect)
    return click.option(
        "--config",
        "path",
        metavar="FILE",
        help=f"TOML file to read settings from. [env: {CONFIG_VARIABLE}]",
    )(collect)


def _metavar(knob: Knob) -> str:
    match knob.kind:
        case "choice":
            return "|".join(knob.choices)
        case "integer" | "number":
            return "NUMBER"
        case "text" | "boolean" | "list":
            return "TEXT"


def _help(knob: Knob) -> str:
    facts = [
        f"default: {'unset' if knob.default is None else literal(knob.default)}",
        f"env: {knob.env}",
    ]
    return f"{knob.meaning.replace('`', '')} [{'; '.join(facts)}]"
