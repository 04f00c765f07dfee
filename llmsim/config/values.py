"""One value, as found in a file, a variable or a flag, on its way to a setting.

Decisions:
* A message says what the setting takes in words of its own, not msgspec's, so that a value
  refused in a variable reads like one refused in the file.
* `fixed:` without a text is refused: an empty reply has no first token to be timed.
"""

from collections.abc import Collection
from typing import Any

import msgspec

from llmsim.config.knobs import Knob
from llmsim.config.settings import GENERATOR_SYNONYMS, GENERATORS, PROFILE_SYNONYMS
from llmsim.errors import ConfigError
from llmsim.words import literal, nearest

_BOOLEANS = {
    **dict.fromkeys(("true", "1", "yes", "on"), True),
    **dict.fromkeys(("false", "0", "no", "off"), False),
}


def parse_value(knob: Knob, text: str) -> Any:
    """Read a value out of a variable or a flag.

    Args:
        knob: The setting it is for; its kind says how to read.
        text: The text. Lists are separated by commas.

    Returns:
        The value as a TOML file would give it, its range unchecked.

    Raises:
        ConfigError: The text is not of the setting's kind.
    """
    try:
        text.encode()
    except UnicodeEncodeError:
        raise ConfigError(f"{knob.name}: wanted UTF-8 text, found {literal(text)}") from None
    try:
        match knob.kind:
            case "integer":
                return int(text)
            case "number":
                return float(text)
            case "boolean":
                return _BOOLEANS[text.strip().lower()]
            case "list":
                return [item.strip() for item in text.split(",") if item.strip()]
            case "text" | "choice":
                return text
    except (ValueError, KeyError):
        raise _misfit(knob, text) from None


def check_value(knob: Knob, value: Any, profiles: Collection[str] = ()) -> Any:
    """Check that a value is one the setting takes.

    Args:
        knob: The setting.
        value: The value as TOML has it.
        profiles: Names of the latency profiles; empty to take any.

    Returns:
        The value as the settings hold it; a synonym becomes the name it stands for.

    Raises:
        ConfigError: It is of a wrong type, out of range, or not one of the choices.
    """
    if knob.kind == "choice" and value not in knob.choices:
        raise _unknown(knob, value, knob.choices)
    try:
        checked = msgspec.convert(value, knob.type)
    except msgspec.ValidationError:
        raise _misfit(knob, value) from None
    match knob.name:
        case "latency.profile":
            return _check_profile(knob, checked, profiles)
        case "response.generator":
            return _check_generator(knob, checked)
    return checked


def _check_profile(knob: Knob, value: str, profiles: Collection[str]) -> str:
    if not profiles or value in profiles:
        return value
    name = PROFILE_SYNONYMS.get(value.lower(), value.lower())
    if name not in profiles:
        raise _unknown(knob, value, sorted(profiles))
    return name


def _check_generator(knob: Knob, value: str) -> str:
    word, colon, argument = value.partition(":")
    name = GENERATOR_SYNONYMS.get(word.lower(), word.lower())
    if name not in GENERATORS:
        forms = [form if wanted is None else f"{form}:{wanted}" for form, wanted in GENERATORS.items()]
        raise _unknown(knob, word, GENERATORS, forms)
    wanted = GENERATORS[name]
    if wanted is None and colon:
        raise ConfigError(f"{knob.name}: {literal(name)} takes nothing after it, found {literal(value)}")
    if wanted is not None and not argument:
        raise ConfigError(
            f"{knob.name}: {literal(name)} needs a {wanted.lower()}: {name}:{wanted}, found {literal(value)}"
        )
    return name + colon + argument


def _unknown(knob: Knob, value: Any, names: Collection[str], forms: Collection[str] = ()) -> ConfigError:
    """Say that a value is not among the names; `forms` are the names as one writes them."""
    meant = nearest(str(value), names)
    hint = f"; did you mean {literal(meant)}?" if meant else "."
    what = knob.key.replace("_", " ")
    return ConfigError(
        f"{knob.name}: unknown {what} {literal(value)}{hint} One of: {', '.join(forms or names)}"
    )


def _misfit(knob: Knob, value: Any) -> ConfigError:
    match knob.kind:
        case "integer":
            wanted = f"a whole number from {knob.range}"
        case "number":
            wanted = f"a number from {knob.range}"
        case "boolean":
            wanted = "true or false"
        case "list":
            wanted = "a list of texts, none of them empty"
        case "text" | "choice":
            wanted = "text" if not isinstance(value, str) else "text that is not empty"
    return ConfigError(f"{knob.name}: wanted {wanted}, found {literal(value)}")
