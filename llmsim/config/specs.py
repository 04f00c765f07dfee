"""The settings as a flat list of specs, for code that handles every setting alike."""

import functools
from types import UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import msgspec

from llmsim.config.latency_settings import Quantiles
from llmsim.config.settings import Settings
from llmsim.config.tables import show_table
from llmsim.text import literal, mask_passwords

PREFIX = "LLMSIM_"

CONFIG_VARIABLE = "LLMSIM_CONFIG"
"""The variable that names the TOML file; not itself a setting."""

Kind = Literal["text", "choice", "integer", "number", "boolean", "list", "quantiles", "table"]


class SettingSpec(msgspec.Struct, frozen=True, kw_only=True):
    """One setting.

    Attributes:
        section: Table of the TOML file, e.g. `server`.
        key: Key in that table, e.g. `port`.
        type: The annotation, for msgspec to convert to.
        kind: Kind of the value, apart from None.
        unit: Unit of the value; empty if it has none.
        default: Value if no source sets it; None for unset.
        description: What it does, for a user; `code` is in backticks.
        env: Environment variable.
        flag: Command line flag, e.g. `--port`; None if there is none.
        choices: All values of a choice; of a boolean or a list the words that it may be instead; empty for other kinds.
        minimum: Smallest value of a number; None for other kinds.
        maximum: Largest value of a number; None for other kinds.
        secret: Whether the value is never shown.
    """

    section: str
    key: str
    type: Any
    kind: Kind
    unit: str
    default: Any
    description: str
    env: str
    flag: str | None
    choices: tuple[str, ...] = ()
    minimum: int | float | None = None
    maximum: int | float | None = None
    secret: bool = False

    @property
    def name(self) -> str:
        """Name in messages and origins, e.g. `server.port`."""
        return f"{self.section}.{self.key}"

    @property
    def value_type(self) -> Any:
        """The type without its metadata, and without None."""
        options = (self.type, *get_args(self.type))
        return next(get_args(option)[0] for option in options if get_origin(option) is Annotated)

    @property
    def overrides(self) -> tuple[str, ...]:
        """What overrides the file: its variable, and its flag if it has one."""
        return (self.env, self.flag) if self.flag else (self.env,)

    @property
    def range(self) -> str:
        """The valid values, e.g. `0 to 65535`; empty for a text, and for a boolean or a list without words."""
        match self.kind:
            case "choice":
                return ", ".join(self.choices)
            case "integer" | "number":
                return f"{literal(self.minimum)} to {literal(self.maximum)}"
            case "boolean" | "list" if self.choices:
                return ", ".join(
                    (*self.choices, *(("true", "false") if self.kind == "boolean" else ("a list",)))
                )
            case "boolean" | "text" | "list" | "quantiles" | "table":
                return ""

    def show(self, value: Any) -> str:
        """Format a value as TOML does; a secret one without what it is."""
        if self.secret and value:
            return '"***"'
        return show_table(value) if self.kind == "table" else literal(mask_passwords(value))


@functools.cache
def setting_specs() -> tuple[SettingSpec, ...]:
    """List every setting, in the order of the tables and keys of `Settings`."""
    return tuple(
        build_spec(section.name, field)
        for section in msgspec.structs.fields(Settings)
        for field in msgspec.structs.fields(section.type)
    )


@functools.cache
def specs_by_name() -> dict[str, SettingSpec]:
    """Return every setting under its dotted name."""
    return {spec.name: spec for spec in setting_specs()}


def build_spec(section: str, field: msgspec.structs.FieldInfo) -> SettingSpec:
    """Build the spec of a field; `section` may also be a place, such as `limits.tiers.free`."""
    # The annotation is `Annotated[value, Meta]`, or that `| None`.
    options = (field.type, *get_args(field.type))
    value, meta = next(get_args(option) for option in options if get_origin(option) is Annotated)
    flag = meta.extra["flag"]
    # A union is of words and something else.
    members = get_args(value) if get_origin(value) in (Union, UnionType) else (value,)
    words = next((member for member in members if get_origin(member) is Literal), None)
    main = next((member for member in members if member is not words), words)
    return SettingSpec(
        section=section,
        key=field.name,
        type=field.type,
        kind=_kind(main),
        unit=meta.extra["unit"],
        default=field.default if field.default_factory is msgspec.NODEFAULT else field.default_factory(),
        description=meta.description,
        env=PREFIX
        + (flag.removeprefix("--") if flag else f"{section}_{field.name}").replace("-", "_").upper(),
        flag=flag,
        choices=get_args(words),
        minimum=meta.ge,
        maximum=meta.le,
        secret=meta.extra["secret"],
    )


def _kind(main: Any) -> Kind:
    if isinstance(main, type) and issubclass(main, msgspec.Struct):
        return "table"
    return "quantiles" if main is Quantiles else _KINDS[get_origin(main) or main]


_KINDS: dict[Any, Kind] = {
    str: "text",
    Literal: "choice",
    int: "integer",
    float: "number",
    bool: "boolean",
    tuple: "list",
    dict: "table",
}
