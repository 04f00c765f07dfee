"""`llmsim set`: change settings of a running simulator.

Decisions:
* Texts are parsed here, as those of variables and flags are: the same words are valid, and a mistake is reported in the same words.
"""

from typing import Any

import click
import msgspec
from rich.console import Console
from rich.table import Table
from rich.text import Text

from llmsim.cli.http_client import fetch_bytes, resolve_address
from llmsim.cli.options import port_option
from llmsim.config import AT_RUN_TIME, BY_TIMELINE, changeable_names
from llmsim.config.specs import find_spec, show_name, specs_by_name
from llmsim.config.values import parse_value
from llmsim.errors import ConfigError, ControlApiError
from llmsim.text import nearest, printable

_HINT = "is this an llmsim server, with [admin] enabled?"

# \b keeps click from rewrapping the lines.
_EXAMPLES = """\b
Examples:
  llmsim set errors.rate_limit_rate=0.3                       each third request gets a 429
  llmsim set latency.profile=gpt-5 latency.ttft_mean_ms=3000  both at once
  llmsim set errors.rate_limit_rate=                          as it was at the start
  llmsim set                                                  what is changed
"""


class _Setting(msgspec.Struct):
    name: str
    value: str
    origin: str


class _Settings(msgspec.Struct):
    settings: list[_Setting]


@click.command("set", epilog=_EXAMPLES, short_help="Change settings of a running simulator.")
@click.argument("changes", metavar="[KEY=VALUE]...", nargs=-1)
@port_option
@click.option("--url", metavar="URL", help="Address of a simulator elsewhere, e.g. http://staging:8080.")
def set(changes: tuple[str, ...], port: int, url: str | None) -> None:  # noqa: A001 - the command's name
    """Change settings of a running simulator, for all of its workers, until it stops.

    All changes are made at once, or none if one of them is not valid. KEY is a setting by its table and name; `KEY=` takes a
    change back, and the word `unset` unsets a setting that is unset by default. Without arguments the settings that differ from
    those of the start are shown.
    """
    address = resolve_address(url or f"127.0.0.1:{port}", "/llmsim/settings")
    body = msgspec.json.encode(parse_changes(changes)) if changes else None
    answer = fetch_bytes(address, _HINT, with_key=True, body=body, method="PATCH" if changes else "GET")
    try:
        found = msgspec.json.decode(answer, type=_Settings)
    except msgspec.MsgspecError as error:
        raise ControlApiError(f"{address} answers with something else: {_HINT}") from error
    _show([one for one in found.settings if one.origin in (AT_RUN_TIME, BY_TIMELINE)])


def parse_changes(texts: tuple[str, ...]) -> dict[str, Any]:
    """Parse `KEY=VALUE` several times.

    Returns:
        What the control API takes: values by dotted name, None to take a change back.

    Raises:
        ConfigError: A setting is unknown, or a text is not of its kind; one line for each problem.
    """
    changes: dict[str, Any] = {}
    problems: list[str] = []
    for text in texts:
        name, equals, value = text.partition("=")
        spec = find_spec(name)
        if name in changes:
            problems.append(f"{name}: given twice")
        if not equals:
            problems.append(f"{printable(text)}: wanted KEY=VALUE")
        elif spec is None:
            meant = nearest(name, changeable_names()) or nearest(name, specs_by_name())
            hint = f"; did you mean {meant}?" if meant else ""
            problems.append(f"{show_name(name)}: unknown setting{hint}")
        elif value == "unset" and spec.default is None:
            changes[name] = value
        else:
            try:
                changes[name] = parse_value(spec, value) if value else None
            except ConfigError as error:
                problems += str(error).splitlines()
    if problems:
        raise ConfigError("\n".join(problems))
    return changes


def _show(settings: list[_Setting]) -> None:
    console = Console()
    if not settings:
        console.print("All settings are those of the start.")
        return
    table = Table(box=None, header_style="dim", pad_edge=False, padding=(0, 2, 0, 0))
    for heading in ("setting", "value", "origin"):
        table.add_column(heading, overflow="fold")
    for one in settings:
        table.add_row(*(Text(printable(text)) for text in (one.name, one.value, one.origin)))
    console.print(table)
