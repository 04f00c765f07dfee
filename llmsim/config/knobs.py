"""The settings as data: one knob each, for all that treats them alike."""

import functools
from typing import Annotated, Any, Literal, get_args, get_origin

import msgspec

from llmsim.config.settings import Settings
from llmsim.words import literal

PREFIX = "LLMSIM_"

#: The variable that names the TOML file; it is about the settings, not one of them.
CONFIG_VARIABLE = "LLMSIM_CONFIG"

Kind = Literal["text", "choice", "integer", "number", "boolean", "list"]


class Knob(msgspec.Struct, frozen=True, kw_only=True):
    """One setting.

    Attributes:
        section: Table of the TOML file, e.g. `server`.
        key: Key in that table, e.g. `port`.
        type: The annotation, for msgspec to convert to.
        kind: What a value is, None aside.
        unit: Unit of the value; empty where it has none.
        default: Value when it is set nowhere; None for unset.
        meaning: What it does, for a user; `code` is in backticks.
        env: Environment variable.
        flag: Command line flag, e.g. `--port`; None where there is none.
        choices: All values of a choice; empty for other kinds.
        least: Least value of a number; None for other kinds.
        greatest: Greatest value of a number; None for other kinds.
    """

    section: str
    key: str
    type: Any
    kind: Kind
    unit: str
    default: Any
    meaning: str
    env: str
    flag: str | None
    choices: tuple[str, ...] = ()
    least: int | float | None = None
    greatest: int | float | None = None

    @property
    def name(self) -> str:
        """Name in messages and origins, e.g. `server.port`."""
        return f"{self.section}.{self.key}"

    @property
    def ways(self) -> tuple[str, ...]:
        """What sets it besides the file: its variable, and its flag if it has one."""
        return (self.env, self.flag) if self.flag else (self.env,)

    @property
    def range(self) -> str:
        """What values there are, e.g. `0 to 65535`; empty for a boolean, a text or a list."""
        match self.kind:
            case "choice":
                return ", ".join(self.choices)
            case "integer" | "number":
                return f"{literal(self.least)} to {literal(self.greatest)}"
            case "boolean" | "text" | "list":
                return ""


@functools.cache
def knobs() -> tuple[Knob, ...]:
    """List every setting, in the order of the tables and keys of `Settings`."""
    return tuple(
        _knob(section.name, field)
        for section in msgspec.structs.fields(Settings)
        for field in msgspec.structs.fields(section.type)
    )


@functools.cache
def knobs_by_name() -> dict[str, Knob]:
    """Give every setting under its dotted name."""
    return {knob.name: knob for knob in knobs()}


def _knob(section: str, field: msgspec.structs.FieldInfo) -> Knob:
    # The annotation is `Annotated[value, Meta]`, or that `| None`.
    options = (field.type, *get_args(field.type))
    value, about = next(get_args(option) for option in options if get_origin(option) is Annotated)
    flag = about.extra["flag"]
    return Knob(
        section=section,
        key=field.name,
        type=field.type,
        kind=_KINDS[get_origin(value) or value],
        unit=about.extra["unit"],
        default=field.default,
        meaning=about.description,
        env=PREFIX
        + (flag.removeprefix("--") if flag else f"{section}_{field.name}").replace("-", "_").upper(),
        flag=flag,
        choices=get_args(value) if get_origin(value) is Literal else (),
        least=about.ge,
        greatest=about.le,
    )


_KINDS: dict[Any, Kind] = {
    str: "text",
    Literal: "choice",
    int: "integer",
    float: "number",
    bool: "boolean",
    tuple: "list",
}
