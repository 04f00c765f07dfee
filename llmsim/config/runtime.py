"""Settings that change at run time: which these are, and settings that differ by some of them.

Decisions:
* What can change is what the next request is planned by. What processes and sockets are made of needs a restart.
* All problems of a change are reported at once, and one with a problem changes nothing.
* `unset` unsets a setting that is unset by default; None takes a change back.
"""

from collections.abc import Collection, Iterator, Mapping
from typing import Any

import msgspec

from llmsim.config.engine_profiles import engine_profiles
from llmsim.config.settings import Settings
from llmsim.config.sources import find_conflicts
from llmsim.config.specs import SettingSpec, specs_by_name
from llmsim.config.values import check_value
from llmsim.errors import ConfigError
from llmsim.text import literal, nearest

AT_RUN_TIME = "run time"
"""Origin of a value that was changed at run time."""

BY_TIMELINE = "timeline"
"""Origin of a value that a timeline sets."""

_SECTIONS = ("latency", "errors", "faults", "limits", "tools")
_RESPONSE = (
    "response.generator",
    "response.target_tokens",
    "response.refusal_rate",
    "response.refusal_text",
    "response.content_filter_rate",
)
_FIXED = ("limits.max_buckets", "latency.ttft_file", "latency.tbt_file")
"""Settings of those tables that the shared state was made by, or that name a file: no value of a client becomes a path."""

_UNSET = "unset"


def is_changeable(spec: SettingSpec) -> bool:
    """Return whether a setting can be changed at run time."""
    return spec.name in _RESPONSE or (spec.section in _SECTIONS and spec.name not in _FIXED)


def changeable_names() -> tuple[str, ...]:
    """Return the settings that can be changed at run time."""
    return tuple(name for name, spec in specs_by_name().items() if is_changeable(spec))


def check_changes(changes: Mapping[str, Any], profiles: Collection[str] = ()) -> dict[str, Any]:
    """Check changes, each by itself.

    Args:
        changes: By dotted name, or as tables of names; values as TOML has them, None to take a change back.
        profiles: Names of the latency profiles; empty to accept any.

    Returns:
        The values as settings hold them, by dotted name; None to take a change back.

    Raises:
        ConfigError: A setting is unknown or cannot be changed, or a value is invalid; one line for each problem.
    """
    problems: list[str] = []
    checked: dict[str, Any] = {}
    for name, value in _flatten(changes):
        try:
            checked[name] = _check(name, value, profiles)
        except ConfigError as error:
            problems += str(error).splitlines()
    if problems:
        raise ConfigError("\n".join(problems))
    return checked


def _flatten(changes: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    for name, value in changes.items():
        if name in Settings.__struct_fields__ and isinstance(value, dict):
            yield from ((f"{name}.{key}", one) for key, one in value.items())
        else:
            yield name, value


def _check(name: str, value: Any, profiles: Collection[str]) -> Any:
    spec = specs_by_name().get(name)
    if spec is None:
        meant = nearest(name[:100], changeable_names()) or nearest(name[:100], specs_by_name())
        hint = f"; did you mean {meant}?" if meant else f". One of: {', '.join(changeable_names())}"
        raise ConfigError(f"{_shown(name)}: unknown setting{hint}")
    if not is_changeable(spec):
        sections = ", ".join(f"{section}.*" for section in _SECTIONS)
        raise ConfigError(
            f"{name}: cannot be changed at run time, but by a restart with {' or '.join(spec.overrides)}. "
            f"Changeable: {sections}, {', '.join(_RESPONSE)}"
        )
    if value is None:
        return None
    if spec.default is None and value == _UNSET:
        return msgspec.UNSET
    checked = check_value(spec, value, profiles)
    if name == "response.generator" and checked.startswith("sequence:"):
        raise ConfigError(f"{name}: {literal('sequence')} reads a file; it can be chosen at the start only")
    if name == "latency.profile" and checked in engine_profiles():
        raise ConfigError(f"{name}: {literal(checked)} is an engine, which can be chosen at the start only")
    if name == "latency.models":
        for pattern, figures in checked.items():
            if figures.profile in engine_profiles():
                raise ConfigError(
                    f"{name}.{literal(pattern)}: {literal(figures.profile)} is an engine, which can be chosen at the start only"
                )
            if figures.ttft_file is not None or figures.tbt_file is not None:
                raise ConfigError(
                    f"{name}.{literal(pattern)}: a file can be named at the start only; set quantiles instead"
                )
    return checked


def _shown(name: str) -> str:
    return name if len(name) <= 100 and name.isprintable() else literal(name[:100])


def with_changes(settings: Settings, changes: Mapping[str, Any], origin: str = AT_RUN_TIME) -> Settings:
    """Return settings that differ by changes; see `check_changes`.

    Args:
        settings: Those that are changed.
        changes: The changes.
        origin: Where these come from, for messages.

    Raises:
        ConfigError: They contradict each other, or what they leave; one line for each problem.
    """
    by_section: dict[str, dict[str, Any]] = {}
    for name, value in changes.items():
        section, _, key = name.partition(".")
        if value is not None:
            by_section.setdefault(section, {})[key] = None if value is msgspec.UNSET else value
    changed = msgspec.structs.replace(
        settings,
        **{
            section: msgspec.structs.replace(getattr(settings, section), **values)
            for section, values in by_section.items()
        },
    )
    problems = list(
        find_conflicts(changed, dict.fromkeys(specs_by_name(), "in force") | dict.fromkeys(changes, origin))
    )
    if problems:
        raise ConfigError("\n".join(problems))
    return changed


def encode_changes(changes: Mapping[str, Any]) -> dict[str, Any]:
    """Return changes as JSON can hold them."""
    return {
        name: _UNSET if value is msgspec.UNSET else msgspec.to_builtins(value)
        for name, value in changes.items()
    }
