"""Loads the settings from all their sources: defaults, file, environment, flags.

Decisions:
* All problems of all sources are reported at once, one a line, also for a value that another source overrides: a
  mistake is found when it is made, not when the override is removed.
* No file is read unless it is named. A server that depends on its working directory is not the same server by hand, in
  CI and under systemd.
* An unknown `LLMSIM_` variable is an error, except those that Kubernetes and Docker set for a service called llmsim (or
  llmsim-something), because users cannot prevent them:
  LLMSIM_PORT=tcp://10.0.0.11:8080, LLMSIM_SERVICE_HOST, LLMSIM_PORT_8080_TCP_ADDR, ...
  Source: kubernetes.io, Service, "Environment variables" ("Docker links compatible").
"""

import math
import os
import re
import tomllib
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any

import msgspec

from llmsim.config.engine_profiles import with_named_engines
from llmsim.config.latency_checks import find_problems
from llmsim.config.limit_settings import LimitSettings
from llmsim.config.settings import ErrorSettings, Settings
from llmsim.config.specs import CONFIG_VARIABLE, PREFIX, SettingSpec, setting_specs, specs_by_name
from llmsim.config.values import check_value, parse_value
from llmsim.errors import ConfigError
from llmsim.text import literal, nearest

DEFAULT = "default"


class LoadedSettings(msgspec.Struct, frozen=True):
    """The settings in force.

    Attributes:
        settings: Their values.
        origins: Where each value came from, by dotted name: `default`, the path of the file as given,
            `environment LLMSIM_PORT`, `flag --port`, or `argument errors.timeout_rate` for a setting that has no
            flag but was passed as one.
        path: The TOML file, as given; None if there is none.
    """

    settings: Settings
    origins: Mapping[str, str]
    path: str | None = None


class _Found(msgspec.Struct, frozen=True):
    """A setting's value in one source; `is_text` if it still has to be parsed."""

    origin: str
    spec: SettingSpec
    value: Any
    is_text: bool = False


_Findings = Iterator[_Found | str]
"""What a source yields: values, and messages about problems."""


def load(
    path: str | Path | None = None,
    *,
    environ: Mapping[str, str] | None = None,
    flags: Mapping[str, Any] | None = None,
    profiles: Collection[str] = (),
) -> LoadedSettings:
    """Load the settings: defaults, then the file, then the environment, then flags.

    Args:
        path: TOML file; None for the one that LLMSIM_CONFIG names, if any.
        environ: Environment variables; None for those of this process.
        flags: Settings given on the command line, by dotted name; values may be unparsed texts. None values count
            as not given.
        profiles: Names of the latency profiles, to check `latency.profile` against; empty to accept any.

    Returns:
        The settings and their origins.

    Raises:
        ConfigError: A source cannot be read, or holds an unknown setting or an invalid value. One line for each problem.
    """
    environ = os.environ if environ is None else environ
    findings: list[_Found | str] = []
    named = path if path is not None else environ.get(CONFIG_VARIABLE) or None
    if named is not None:
        named_by = "flag --config" if path is not None else f"environment {CONFIG_VARIABLE}"
        findings += _read_file(str(named), named_by)
    findings += _read_environment(environ)
    findings += _read_flags(flags or {})

    problems: list[str] = []
    values: dict[str, dict[str, Any]] = {}
    origins = dict.fromkeys(specs_by_name(), DEFAULT)
    for finding in findings:
        if isinstance(finding, str):
            problems.append(finding)
            continue
        spec, value = finding.spec, finding.value
        try:
            value = check_value(spec, parse_value(spec, value) if finding.is_text else value, profiles)
        except ConfigError as error:
            problems += [f"{finding.origin}: {line}" for line in str(error).splitlines()]
        else:
            values.setdefault(spec.section, {})[spec.key] = value
            origins[spec.name] = finding.origin
    settings = msgspec.convert(values, Settings)
    problems += find_conflicts(settings, origins, check_tiers=bool(settings.limits.tiers) or not problems)
    if problems:
        raise ConfigError("\n".join(problems))
    settings = msgspec.structs.replace(settings, latency=with_named_engines(settings.latency))
    return LoadedSettings(settings, origins, None if named is None else str(named))


def _read_file(path: str, named_by: str) -> _Findings:
    try:
        tables = tomllib.loads(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        yield f"{named_by}: cannot read {literal(path)}: {error.strerror}"
        return
    except UnicodeDecodeError as error:
        yield f"{path}: not UTF-8 text: {error.reason} at byte {error.start}"
        return
    except ValueError as error:
        yield f"{path}: not TOML: {error}"
        return
    sections = Settings.__struct_fields__
    for section, table in tables.items():
        if section not in sections:
            yield f"{path}: {_unknown_table(section, table)}"
        elif not isinstance(table, dict):
            yield f"{path}: {section}: wanted a table, [{section}], found {literal(table)}"
        else:
            for key, value in table.items():
                spec = specs_by_name().get(f"{section}.{key}")
                yield _Found(path, spec, value) if spec else f"{path}: {_unknown_key(section, key)}"


def _read_environment(environ: Mapping[str, str]) -> _Findings:
    variables = {spec.env: spec for spec in setting_specs()}
    for variable, text in sorted(environ.items()):
        if not variable.startswith(PREFIX) or variable == CONFIG_VARIABLE or _is_service_link(variable, text):
            continue
        spec = variables.get(variable)
        if spec is None:
            yield _unknown_variable(variable)
        elif text:
            yield _Found(f"environment {variable}", spec, text, is_text=True)


def _read_flags(flags: Mapping[str, Any]) -> _Findings:
    for name, value in flags.items():
        spec = specs_by_name().get(name)
        if spec is None:
            meant = nearest(name, specs_by_name())
            yield f"argument {name}: unknown setting{f'; did you mean {meant}?' if meant else ''}"
        elif value is not None:
            origin = f"flag {spec.flag}" if spec.flag else f"argument {name}"
            yield _Found(origin, spec, value, is_text=isinstance(value, str))


def _unknown_table(name: str, value: Any) -> str:
    if not isinstance(value, dict):
        sections = [spec.section for spec in setting_specs() if spec.key == name]
        hint = f"; did you mean [{sections[0]}] {name}?" if sections else ""
        return f"{name}: a key outside of any table{hint}"
    meant = nearest(name, Settings.__struct_fields__)
    hint = f"; did you mean [{meant}]?" if meant else f". One of: {', '.join(Settings.__struct_fields__)}"
    return f"[{name}]: unknown table{hint}"


def _unknown_key(section: str, key: str) -> str:
    siblings = [spec.key for spec in setting_specs() if spec.section == section]
    meant = nearest(key, siblings)
    sections = [spec.section for spec in setting_specs() if spec.key == key]
    if meant:
        hint = f"; did you mean {literal(meant)}?"
    elif sections:
        hint = f"; did you mean [{sections[0]}] {key}?"
    else:
        hint = f". One of: {', '.join(siblings)}"
    return f"[{section}] {key}: unknown key{hint}"


def _unknown_variable(variable: str) -> str:
    # Settings with a flag also match by their long name, so that LLMSIM_SERVER_PORT suggests LLMSIM_PORT.
    names = {CONFIG_VARIABLE.removeprefix(PREFIX): CONFIG_VARIABLE}
    for spec in setting_specs():
        names[f"{spec.section}_{spec.key}".upper()] = spec.env
        names[spec.env.removeprefix(PREFIX)] = spec.env
    meant = nearest(variable.removeprefix(PREFIX), names)
    hint = f"; did you mean {names[meant]}?" if meant else "; `llmsim config --example` lists them all"
    return f"{variable}: unknown variable{hint}"


_SERVICE_LINK = re.compile(
    r"LLMSIM_(\w+_)?(SERVICE_HOST|SERVICE_PORT(_\w+)?|PORT_\d+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?)"
)


def _is_service_link(variable: str, text: str) -> bool:
    if variable.endswith("_PORT") and text.startswith(("tcp://", "udp://", "sctp://")):
        return True
    return _SERVICE_LINK.fullmatch(variable) is not None


def find_conflicts(
    settings: Settings, origins: Mapping[str, str], *, check_tiers: bool = True
) -> Iterator[str]:
    """Yield where settings contradict each other.

    Args:
        settings: Settings that are valid each by itself.
        origins: Where each came from, by dotted name; those that are missing have their defaults.
        check_tiers: Whether tiers are looked at. Those that have a mistake are not there; that is one problem, not two.
    """
    yield from _check_rates(settings, origins)
    yield from (
        f"{origins.get(name, DEFAULT)}: {problem}" for name, problem in find_problems(settings.latency)
    )
    if check_tiers:
        yield from _check_tiers(settings.limits, origins)


def _check_tiers(limits: LimitSettings, origins: Mapping[str, str]) -> Iterator[str]:
    """Yield the tiers that are named and are not there; keys are not shown."""
    names = [("limits.default", limits.default)]
    for key, name in limits.keys.items():
        if key in limits.tiers and name not in limits.tiers:
            # What stands in the place of the tier is a key then.
            yield f'{origins.get("limits.keys", DEFAULT)}: limits.keys: wanted KEY = "{key}", found it the other way round'
        else:
            names.append(("limits.keys", name))
    for setting, name in dict.fromkeys(names):
        if name and name not in limits.tiers:
            meant = nearest(name, limits.tiers)
            known = (
                f" One of: {', '.join(limits.tiers)}" if limits.tiers else " There is no [limits.tiers.NAME]"
            )
            hint = f"; did you mean {literal(meant)}?" if meant else "."
            yield f"{origins.get(setting, DEFAULT)}: {setting}: unknown tier {literal(name)}{hint}{known}"


def _check_rates(settings: Settings, origins: Mapping[str, str]) -> Iterator[str]:
    rates = {
        name: getattr(settings.errors, name)
        for name in ErrorSettings.__struct_fields__
        if name.endswith("_rate")
    }
    total = math.fsum(rates.values())
    # Decimal shares may add up to slightly more than 1 in binary.
    if total > 1 + 1e-9:
        parts = ", ".join(
            f"{name} {rate:g} ({origins.get(f'errors.{name}', DEFAULT)})"
            for name, rate in rates.items()
            if rate
        )
        yield f"errors: the rates add up to {total:g}, wanted at most 1: {parts}"
