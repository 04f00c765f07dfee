"""Parses and checks one value from a file, a variable or a flag.

Decisions:
* A message says what the setting accepts in llmsim's words, not msgspec's, so that a bad value in a variable is
  reported like one in the file.
* `fixed:` without a text is rejected: an empty response has no first token to be timed.
"""

from collections.abc import Collection
from typing import Any

import msgspec

from llmsim.config.engine_profiles import engine_profiles
from llmsim.config.latency_checks import QUANTILES_WANTED, quantiles_problem
from llmsim.config.specs import SettingSpec, build_spec
from llmsim.config.tables import check_table, parse_list, parse_table
from llmsim.errors import ConfigError
from llmsim.text import literal, mask_passwords, nearest

_BOOLEANS = {
    **dict.fromkeys(("true", "1", "yes", "on"), True),
    **dict.fromkeys(("false", "0", "no", "off"), False),
}

_GENERATORS: dict[str, str | None] = {
    "lorem": None,
    "echo": None,
    "random": None,
    "fixed": "TEXT",
    "sequence": "FILE",
}
"""The generators by name, with their argument after the colon; None if they take none."""

# The original llmsim's names of our latency profiles and generators; it also ignored case.
# Source: llmsim (Rust), src/cli/config.rs, Config::latency_profile; src/generator.rs, create_generator.
PROFILE_SYNONYMS = {
    "gpt5": "gpt-5",
    "gpt5-mini": "gpt-5-mini",
    "gpt4": "gpt-4",
    "gpt4o": "gpt-4o",
    "o3": "o-series",
    "o4": "o-series",
    "opus": "claude-opus",
    "sonnet": "claude-sonnet",
    "haiku": "claude-haiku",
    "gemini": "gemini-pro",
    "deepseek-chat": "deepseek",
}
_GENERATOR_SYNONYMS = {"random_word": "random"}


def parse_value(spec: SettingSpec, text: str) -> Any:
    """Parse the text of a variable or a flag.

    Args:
        spec: The setting; its kind decides how the text is parsed.
        text: The text. List items are separated by commas.

    Returns:
        The value as a TOML file would give it; its range is not checked.

    Raises:
        ConfigError: The text is not of the setting's kind.
    """
    try:
        text.encode()
    except UnicodeEncodeError:
        raise ConfigError(f"{spec.name}: wanted UTF-8 text, found {literal(text)}") from None
    if spec.kind != "choice" and text.strip().lower() in spec.choices:
        return text.strip().lower()
    try:
        match spec.kind:
            case "integer":
                return int(text)
            case "number":
                return float(text)
            case "boolean":
                return _BOOLEANS[text.strip().lower()]
            case "list":
                return [item.strip() for item in text.split(",") if item.strip()]
            case "quantiles":
                return parse_list(text)
            case "table":
                return parse_table(spec.name, text)
            case "text" | "choice":
                return text
    except (ValueError, KeyError):
        raise _invalid_value(spec, text) from None


def check_value(spec: SettingSpec, value: Any, profiles: Collection[str] = ()) -> Any:
    """Check that a setting accepts a value.

    Args:
        spec: The setting.
        value: The value as TOML has it.
        profiles: Names of the latency profiles; empty to accept any.

    Returns:
        The value as the settings hold it; a synonym is replaced by the name it stands for.

    Raises:
        ConfigError: The value has the wrong type, is out of range, or is not one of the choices.
    """
    if spec.kind == "table":
        return check_table(
            spec.name,
            value,
            spec.value_type,
            lambda place, field, item: check_value(build_spec(place, field), item, profiles),
            secret=spec.secret,
        )
    if spec.kind == "choice" and value not in spec.choices:
        raise _unknown_value(spec, value, spec.choices)
    try:
        checked = msgspec.convert(value, spec.type)
    except msgspec.ValidationError:
        raise _invalid_value(spec, value) from None
    if checked is None:
        # In a table of JSON: unset.
        return None
    if spec.kind == "quantiles" and (problem := quantiles_problem(checked)):
        raise ConfigError(f"{spec.name}: {problem}")
    match spec.section.partition(".")[0], spec.key:
        case "latency", "profile":
            return _check_profile(spec, checked, profiles)
        case "response", "generator":
            return _check_generator(spec, checked)
    return checked


def _check_profile(spec: SettingSpec, value: str, profiles: Collection[str]) -> str:
    engines = engine_profiles()
    if not profiles or value in engines:
        return value
    name = resolve_profile(value, profiles) or resolve_profile(value, engines)
    if name is None:
        raise _unknown_value(spec, value, [*sorted(profiles), *sorted(engines)])
    return name


def resolve_profile(value: str, profiles: Collection[str]) -> str | None:
    """Return the latency profile of a name or a synonym; None if there is none."""
    if value in profiles:
        return value
    name = PROFILE_SYNONYMS.get(value.lower(), value.lower())
    return name if name in profiles else None


def _check_generator(spec: SettingSpec, value: str) -> str:
    word, colon, argument = value.partition(":")
    name = _GENERATOR_SYNONYMS.get(word.lower(), word.lower())
    if name not in _GENERATORS:
        forms = [form if wanted is None else f"{form}:{wanted}" for form, wanted in _GENERATORS.items()]
        raise _unknown_value(spec, word, _GENERATORS, forms)
    wanted = _GENERATORS[name]
    if wanted is None and colon:
        raise ConfigError(f"{spec.name}: {literal(name)} takes no argument, found {literal(value)}")
    if wanted is not None and not argument:
        raise ConfigError(
            f"{spec.name}: {literal(name)} needs a {wanted.lower()}: {name}:{wanted}, found {literal(value)}"
        )
    return name + colon + argument


def _unknown_value(
    spec: SettingSpec, value: Any, names: Collection[str], forms: Collection[str] = ()
) -> ConfigError:
    """Build the error for a value that is not among the names; `forms` are the names as they are written."""
    meant = nearest(str(value), names)
    hint = f"; did you mean {literal(meant)}?" if meant else "."
    what = spec.key.replace("_", " ")
    return ConfigError(
        f"{spec.name}: unknown {what} {literal(value)}{hint} One of: {', '.join(forms or names)}"
    )


def _invalid_value(spec: SettingSpec, value: Any) -> ConfigError:
    match spec.kind:
        case "integer":
            wanted = f"a whole number from {spec.range}"
        case "number":
            wanted = f"a number from {spec.range}"
        case "boolean":
            wanted = ", ".join((*map(literal, spec.choices), "true or false"))
        case "list":
            wanted = (
                ", ".join(map(literal, spec.choices))
                + " or " * bool(spec.choices)
                + "a list of non-empty texts"
            )
        case "quantiles":
            wanted = QUANTILES_WANTED
        case "table":
            wanted = "a table"
        case "text" | "choice":
            wanted = "text" if not isinstance(value, str) else "non-empty text"
    found = "something else" if spec.secret else literal(mask_passwords(value))
    return ConfigError(f"{spec.name}: wanted {wanted}, found {found}")
