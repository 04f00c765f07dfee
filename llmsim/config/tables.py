"""Checks and shows the settings that are tables with names of the user's own, such as `[limits.tiers.NAME]`.

Decisions:
* Such a setting is a `dict`, of texts or of structs. The fields of a struct are settings like all others: they have a range and a
  description, and an unknown one is answered with the nearest right one.
* An environment variable has the table as TOML writes it in one line: `{free = {rpm = 3}}`.
"""

import re
import tomllib
from collections.abc import Iterator
from typing import Any, get_args, get_origin

import msgspec

from llmsim.errors import ConfigError
from llmsim.text import literal, nearest

_BARE = re.compile(r"[A-Za-z0-9_-]+")


def parse_table(name: str, text: str) -> Any:
    """Parse the text of a variable.

    Raises:
        ConfigError: It is not a table.
    """
    try:
        value = tomllib.loads(f"value = {text}")["value"]
    except ValueError:
        value = None
    if not isinstance(value, dict):
        raise ConfigError(f"{name}: wanted a table in TOML, such as {{name = {{...}}}}")
    return value


def check_table(name: str, value: Any, table_type: Any, *, secret: bool) -> Any:
    """Check a table.

    Args:
        name: The setting, e.g. `limits.tiers`.
        value: As TOML has it.
        table_type: The setting's type, `dict[str, ...]`.
        secret: Whether its names are never shown.

    Returns:
        The table as the settings hold it.

    Raises:
        ConfigError: Keys are unknown, or values are invalid; one line for each problem.
    """
    problems = list(_find_problems(name, value, get_args(table_type)[1], secret=secret))
    if problems:
        raise ConfigError("\n".join(problems))
    return msgspec.convert(value, table_type)


def _find_problems(name: str, value: Any, item_type: Any, *, secret: bool = False) -> Iterator[str]:
    if not isinstance(value, dict):
        yield f"{name}: wanted a table, [{name}], found {literal(value)}"
        return
    for key, item in value.items():
        place = f"{name}.{'***' if secret else _key(key)}"
        if item_type is not str:
            yield from _find_struct_problems(place, item, item_type)
        elif not isinstance(item, str) or not item:
            yield f"{place}: wanted non-empty text, found {'something else' if secret else literal(item)}"


def _find_struct_problems(place: str, value: Any, struct: Any) -> Iterator[str]:
    if not isinstance(value, dict):
        yield f"{place}: wanted a table, [{place}], found {literal(value)}"
        return
    fields = {field.name: field.type for field in msgspec.structs.fields(struct)}
    for key, item in value.items():
        if key not in fields:
            meant = nearest(key, fields)
            hint = f"; did you mean {literal(meant)}?" if meant else f". One of: {', '.join(fields)}"
            yield f"{place}: unknown key {literal(key)}{hint}"
            continue
        if get_origin(fields[key]) is dict:
            yield from _find_problems(f"{place}.{key}", item, get_args(fields[key])[1])
            continue
        meta = _meta(fields[key])
        try:
            msgspec.convert(item, fields[key])
        except msgspec.ValidationError:
            wanted = f"a whole number from {literal(meta.ge)} to {literal(meta.le)}"
            yield f"{place}.{key}: wanted {wanted}, found {literal(item)}"


def show_table(value: Any) -> str:
    """Format a table as TOML does in one line."""
    return _inline(msgspec.to_builtins(value))


def _inline(value: Any) -> str:
    if not isinstance(value, dict):
        return literal(value)
    return f"{{{', '.join(f'{_key(key)} = {_inline(item)}' for key, item in value.items())}}}"


def _key(key: str) -> str:
    return key if _BARE.fullmatch(key) else literal(key)


def table_fields(table_type: Any) -> Iterator[tuple[str, str, str, str]]:
    """Yield name, unit, range and description of each key of the tables that a setting holds; none of a table of texts."""
    struct = get_args(table_type)[1]
    if struct is str:
        return
    for field in msgspec.structs.fields(struct):
        if get_origin(field.type) is not dict:
            meta = _meta(field.type)
            yield (
                field.name,
                meta.extra["unit"],
                f"{literal(meta.ge)} to {literal(meta.le)}",
                meta.description,
            )


def _meta(annotation: Any) -> Any:
    """Return the metadata of `Annotated[int, Meta] | None`."""
    return next(meta for option in get_args(annotation) for meta in getattr(option, "__metadata__", ()))
