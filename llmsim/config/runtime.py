"""Settings that change at run time: which these are, and settings that differ by some of them.

Decisions:
* What can change is what the next request is planned by. What processes and sockets are made of needs a restart.
* All problems of a change are reported at once, up to a bound, and one with a problem changes nothing.
* `unset` unsets a setting that is unset by default; None takes a change back.
* A table such as `[latency.engine]` changes by its settings: what a change leaves out of it stays as it is. Where it is unset, or a change
  unsets it too, it begins with its defaults.
* A profile that is an engine takes the place of another one; a profile takes the place of an engine that was chosen as one. Settings of
  the engine beside it come on top.
"""

from collections.abc import Collection, Iterator, Mapping
from typing import Any

import msgspec

from llmsim.config.engine_profiles import engine_profiles, with_named_engines
from llmsim.config.engine_settings import EngineSettings
from llmsim.config.latency_settings import LatencySettings
from llmsim.config.settings import Settings
from llmsim.config.sources import find_conflicts
from llmsim.config.specs import SettingSpec, fields_of, find_spec, show_name, specs_by_name
from llmsim.config.tables import MOST_PROBLEMS
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

_MOST_TABLES = 200
"""Tables, such as those of models, in one setting; each takes half a millisecond to check, in which no request is answered."""

_UNSET = "unset"
_PROFILE, _ENGINE = "latency.profile", "latency.engine"


def is_changeable(spec: SettingSpec) -> bool:
    """Return whether a setting can be changed at run time."""
    section = spec.section.partition(".")[0]
    return spec.name in _RESPONSE or (section in _SECTIONS and spec.name not in _FIXED)


def changeable_names() -> tuple[str, ...]:
    """Return the settings that can be changed at run time, those of tables by themselves too."""
    names = [name for name, spec in specs_by_name().items() if is_changeable(spec)]
    return tuple(names + [f"{name}.{field.name}" for name in names for field in fields_of(name)])


def check_changes(changes: Mapping[str, Any], profiles: Collection[str] = ()) -> dict[str, Any]:
    """Check changes, each by itself.

    Args:
        changes: By dotted name, or as tables of names; values as TOML has them, None to take a change back.
        profiles: Names of the latency profiles; empty to accept any.

    Returns:
        The values as settings hold them, by dotted name; None to take a change back.

    Raises:
        ConfigError: A setting is unknown or cannot be changed, or a value is invalid; one line for each problem, of 50 at most.
    """
    problems: list[str] = []
    checked: dict[str, Any] = {}
    for name, value in _flatten(changes):
        if len(problems) >= MOST_PROBLEMS:
            break
        if name in checked:
            problems.append(f"{show_name(name)}: given twice, by its dotted name and in a table")
        try:
            checked[name] = _check(name, value, profiles)
        except ConfigError as error:
            problems += str(error).splitlines()
    if problems:
        raise ConfigError("\n".join(problems))
    return checked


def _flatten(changes: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    for name, value in changes.items():
        if isinstance(value, dict) and value and (name in Settings.__struct_fields__ or fields_of(name)):
            yield from _flatten({f"{name}.{key}": one for key, one in value.items()})
        else:
            yield name, value


def _check(name: str, value: Any, profiles: Collection[str]) -> Any:
    spec = find_spec(name)
    if name in Settings.__struct_fields__:
        raise ConfigError(f"{name}: wanted a table with at least one of its settings")
    if spec is None:
        meant = nearest(name[:100], changeable_names()) or nearest(name[:100], specs_by_name())
        hint = f"; did you mean {meant}?" if meant else f". One of: {', '.join(changeable_names())}"
        raise ConfigError(f"{show_name(name)}: unknown setting{hint}")
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
    if value == {} and fields_of(name):
        raise ConfigError(f"{name}: wanted at least one of its settings, or {literal(_UNSET)}")
    if isinstance(value, dict) and len(value) > _MOST_TABLES:
        raise ConfigError(f"{name}: wanted at most {_MOST_TABLES} entries at run time, found {len(value):,}")
    try:
        checked = check_value(spec, value, profiles)
    except ConfigError as error:
        if name == "response.generator":
            # A file cannot be named here: it must not be offered either.
            raise ConfigError(str(error).replace(", sequence:FILE", "")) from None
        raise
    if name == "response.generator" and checked.startswith("sequence:"):
        raise ConfigError(f"{name}: {literal('sequence')} reads a file; it can be chosen at the start only")
    if name == "latency.models":
        for pattern, figures in checked.items():
            if figures.ttft_file is not None or figures.tbt_file is not None:
                raise ConfigError(
                    f"{name}.{literal(pattern)}: a file can be named at the start only; set quantiles instead"
                )
    return checked


def with_changes(settings: Settings, changes: Mapping[str, Any], origin: str = AT_RUN_TIME) -> Settings:
    """Return settings that differ by changes; see `check_changes`.

    Args:
        settings: Those that are changed.
        changes: The changes.
        origin: Where these come from, for messages.

    Raises:
        ConfigError: They contradict each other, or what they leave; one line for each problem.
    """
    changed: Any = msgspec.structs.replace(settings, latency=_with_profile(settings.latency, changes))
    # A table before the settings in it.
    for name in sorted(changes, key=lambda one: one.count(".")):
        if name != _PROFILE and changes[name] is not None:
            value = None if changes[name] is msgspec.UNSET else changes[name]
            changed = _replaced(changed, name.split("."), value)
    changed = msgspec.structs.replace(changed, latency=with_named_engines(changed.latency))
    origins = dict.fromkeys(specs_by_name(), "in force") | dict.fromkeys(changes, origin)
    if problems := list(find_conflicts(changed, origins)):
        raise ConfigError("\n".join(problems))
    return changed  # type: ignore[no-any-return]


def _names_engine(changes: Mapping[str, Any]) -> bool:
    """Return whether changes say something of the engine of all models."""
    return any(name == _ENGINE or name.startswith(f"{_ENGINE}.") for name in changes)


def _with_profile(latency: LatencySettings, changes: Mapping[str, Any]) -> LatencySettings:
    """Return the latencies by the profile that is set, if one is."""
    profile = changes.get(_PROFILE)
    if profile is None:
        return latency
    ready = engine_profiles()
    keeps = latency.engine not in [one.engine for one in ready.values()] or _names_engine(changes)
    changed = msgspec.structs.replace(
        latency,
        profile=None if profile is msgspec.UNSET else profile,
        engine=latency.engine if keeps and profile not in ready else None,
    )
    return with_named_engines(changed)


def _replaced(struct: Any, path: list[str], value: Any) -> Any:
    """Return a struct with another value at a path; the one table on it that may be unset is the engine's."""
    if struct is None:
        struct = EngineSettings()
    key, *rest = path
    if rest:
        value = _replaced(getattr(struct, key), rest, value)
    return msgspec.structs.replace(struct, **{key: value})


def engines_by_pattern(latency: LatencySettings) -> dict[str, EngineSettings]:
    """Return the engines that are set by the pattern of their models; that of all models is the first, by an empty one."""
    tables = {"": latency} | latency.models
    return {pattern: table.engine for pattern, table in tables.items() if table.engine is not None}


def value_of(settings: Settings, name: str) -> Any:
    """Return the value of a setting; None if the table that it is in is unset."""
    value: Any = settings
    for key in name.split("."):
        value = None if value is None else getattr(value, key)
    return value


def decide(changes: Mapping[str, Any], name: str) -> bool:
    """Return whether changes set a setting, a part of it, or what takes its place."""
    return (
        name in changes
        or any(one.startswith(f"{name}.") for one in changes)
        or (name == _ENGINE and changes.get(_PROFILE) in engine_profiles())
    )


def merged_changes(before: Mapping[str, Any], after: Mapping[str, Any]) -> dict[str, Any]:
    """Return changes with later ones, of which None takes an earlier one back; of a table, with all settings in it.

    A profile that is an engine takes the place of what was changed of another one.
    """
    tables = tuple(f"{name}." for name in after if fields_of(name))
    if after.get(_PROFILE) in engine_profiles() and not _names_engine(after):
        tables += (_ENGINE,)
    kept = {name: value for name, value in before.items() if not name.startswith(tables)} | dict(after)
    return {name: value for name, value in kept.items() if value is not None}


def encode_changes(changes: Mapping[str, Any]) -> dict[str, Any]:
    """Return changes as JSON can hold them."""
    return {
        name: _UNSET if value is msgspec.UNSET else msgspec.to_builtins(value)
        for name, value in changes.items()
    }
