"""Settings that change at run time: which these are, and settings that differ by some of them.

Decisions:
* What can change is what the next request is planned by. What processes and sockets are made of needs a restart.
* All problems of a change are reported at once, and one with a problem changes nothing.
* `unset` unsets a setting that is unset by default; None takes a change back.
* A table such as `[latency.engine]` changes by its settings: what a change leaves out of it stays as it is.
"""

from collections.abc import Collection, Iterator, Mapping
from typing import Any

import msgspec

from llmsim.config.engine_profiles import engine_profiles
from llmsim.config.engine_settings import EngineSettings
from llmsim.config.latency_settings import LatencySettings
from llmsim.config.settings import Settings
from llmsim.config.sources import find_conflicts
from llmsim.config.specs import SettingSpec, fields_of, find_spec, show_name, specs_by_name
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
        if isinstance(value, dict) and value and (name in Settings.__struct_fields__ or fields_of(name)):
            yield from _flatten({f"{name}.{key}": one for key, one in value.items()})
        else:
            yield name, value


def _check(name: str, value: Any, profiles: Collection[str]) -> Any:
    spec = find_spec(name)
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


def with_changes(settings: Settings, changes: Mapping[str, Any], origin: str = AT_RUN_TIME) -> Settings:
    """Return settings that differ by changes; see `check_changes`.

    Args:
        settings: Those that are changed.
        changes: The changes.
        origin: Where these come from, for messages.

    Raises:
        ConfigError: They contradict each other, or what they leave; one line for each problem.
    """
    changed: Any = settings
    problems: list[str] = []
    # A table before the settings in it.
    for name in sorted(changes, key=lambda one: one.count(".")):
        if changes[name] is not None:
            value = None if changes[name] is msgspec.UNSET else changes[name]
            changed, problem = _replaced(changed, name.split("."), value)
            problems += [f"{name}: {problem}"] if problem else []
    origins = dict.fromkeys(specs_by_name(), "in force") | dict.fromkeys(changes, origin)
    problems += _engine_problems(settings.latency, changed.latency)
    problems += find_conflicts(changed, origins)
    if problems:
        raise ConfigError("\n".join(problems))
    return changed  # type: ignore[no-any-return]


def _replaced(struct: Any, path: list[str], value: Any) -> tuple[Any, str]:
    """Return a struct with another value at a path; or as it is, and why that cannot be."""
    key, *rest = path
    if rest:
        inner = getattr(struct, key)
        if inner is None:
            return (
                struct,
                "there is no engine in force that it could change; one can be set up at the start only",
            )
        value, problem = _replaced(inner, rest, value)
        if problem:
            return struct, problem
    return msgspec.structs.replace(struct, **{key: value}), ""


def _engine_problems(before: LatencySettings, after: LatencySettings) -> Iterator[str]:
    """Yield what cannot be had of engines: the memory that workers share them by is made at the start."""
    known = engines_by_pattern(before)
    for pattern, engine in engines_by_pattern(after).items():
        name = f"latency.models.{literal(pattern)}.engine" if pattern else "latency.engine"
        if pattern not in known:
            yield f"{name}: an engine can be set up at the start only; those that run can be changed, or be unset"
        elif engine.max_requests > known[pattern].max_requests:
            yield (
                f"{name}.max_requests: wanted at most {known[pattern].max_requests}, as it was at the start, found "
                f"{engine.max_requests}"
            )


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


def merged_changes(before: Mapping[str, Any], after: Mapping[str, Any]) -> dict[str, Any]:
    """Return changes with later ones, of which None takes an earlier one back; of a table, with all settings in it."""
    tables = tuple(f"{name}." for name in after if fields_of(name))
    kept = {name: value for name, value in before.items() if not name.startswith(tables)} | dict(after)
    return {name: value for name, value in kept.items() if value is not None}


def encode_changes(changes: Mapping[str, Any]) -> dict[str, Any]:
    """Return changes as JSON can hold them."""
    return {
        name: _UNSET if value is msgspec.UNSET else msgspec.to_builtins(value)
        for name, value in changes.items()
    }
