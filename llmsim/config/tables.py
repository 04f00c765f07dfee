"""Checks and shows the settings that are tables: `[latency.engine]`, or with names of the user's own, as `[limits.tiers.NAME]`.

Decisions:
* Such a setting is a struct, or a `dict` of texts or of structs. The fields of a struct are settings like all others: they have a range and a
  description, and an unknown one is answered with the nearest right one.
* An environment variable has the table as TOML writes it in one line: `{free = {rpm = 3}}`.
"""

import re
import tomllib
from collections.abc import Callable
from typing import Any, get_args, get_origin

import msgspec
from msgspec.structs import FieldInfo

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


MOST_PROBLEMS = 50
"""Problems that are looked for: a name that there is not is compared with all that there are, for up to half a millisecond."""

CheckField = Callable[[str, FieldInfo, Any], Any]
"""Checks the value of a field at a place, and returns it as the settings hold it; raises ConfigError."""


def parse_list(text: str) -> Any:
    """Parse the text of a variable that holds a list of numbers or lists, with or without the outer brackets.

    Raises:
        ValueError: It is not a list in TOML.
    """
    items = tomllib.loads(f"value = [{text}]")["value"]
    return items[0] if len(items) == 1 and isinstance(items[0], list) else items


def check_table(name: str, value: Any, table_type: Any, check_field: CheckField, *, secret: bool) -> Any:
    """Check a table.

    Args:
        name: The setting, e.g. `limits.tiers`.
        value: As TOML has it.
        table_type: The setting's type, `dict[str, ...]` or a struct.
        check_field: Checks the fields of its structs.
        secret: Whether its names are never shown.

    Returns:
        The table as the settings hold it.

    Raises:
        ConfigError: Keys are unknown, or values are invalid; one line for each problem.
    """
    problems: list[str] = []
    if get_origin(table_type) is dict:
        checked = _check_items(name, value, get_args(table_type)[1], check_field, problems, secret=secret)
    else:
        checked = _check_struct(name, value, table_type, check_field, problems)
    if problems:
        raise ConfigError("\n".join(problems))
    try:
        return msgspec.convert(checked, table_type)
    except msgspec.ValidationError as error:
        raise ConfigError(f"{name}: {error}") from None


def _check_items(
    name: str,
    value: Any,
    item_type: Any,
    check_field: CheckField,
    problems: list[str],
    *,
    secret: bool = False,
) -> dict[str, Any]:
    if not isinstance(value, dict):
        found = "something else" if secret else literal(value)
        problems.append(f"{name}: wanted a table, [{name}], found {found}")
        return {}
    checked = dict(value)
    for key, item in value.items():
        if len(problems) >= MOST_PROBLEMS:
            break
        place = f"{name}.{'***' if secret else _key(key)}"
        if item_type is not str:
            checked[key] = _check_struct(place, item, item_type, check_field, problems)
        elif not isinstance(item, str) or not item:
            found = "something else" if secret else literal(item)
            problems.append(f"{place}: wanted non-empty text, found {found}")
    return checked


def _check_struct(
    place: str, value: Any, struct: Any, check_field: CheckField, problems: list[str]
) -> dict[str, Any]:
    if not isinstance(value, dict):
        problems.append(f"{place}: wanted a table, [{place}], found {literal(value)}")
        return {}
    fields = {field.name: field for field in msgspec.structs.fields(struct)}
    checked = {}
    for key, item in value.items():
        if len(problems) >= MOST_PROBLEMS:
            break
        if key not in fields:
            meant = nearest(key[:100], fields)
            hint = f"; did you mean {literal(meant)}?" if meant else f". One of: {', '.join(fields)}"
            problems.append(f"{place}: unknown key {literal(key)}{hint}")
        elif get_origin(fields[key].type) is dict:
            checked[key] = _check_items(
                f"{place}.{key}", item, get_args(fields[key].type)[1], check_field, problems
            )
        else:
            try:
                checked[key] = check_field(place, fields[key], item)
            except ConfigError as error:
                problems += str(error).splitlines()
    return checked


def show_table(value: Any) -> str:
    """Format a table as TOML does in one line."""
    return _inline(msgspec.to_builtins(value))


def _inline(value: Any) -> str:
    if not isinstance(value, dict):
        return literal(value)
    return f"{{{', '.join(f'{_key(key)} = {_inline(item)}' for key, item in value.items())}}}"


def _key(key: str) -> str:
    return key if _BARE.fullmatch(key) else literal(key)


def table_fields(table_type: Any) -> tuple[FieldInfo, ...]:
    """Return the fields of the tables that a setting holds; none of a table of texts."""
    struct = get_args(table_type)[1] if get_origin(table_type) is dict else table_type
    fields = () if struct is str else msgspec.structs.fields(struct)
    return tuple(field for field in fields if get_origin(field.type) is not dict)
