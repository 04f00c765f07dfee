"""The settings in force, and where each came from.

Decisions:
* Every problem of every source is told at once, one a line, also in a value that another
  source overrides: a mistake is found when it is made, not when its cover is removed.
* No file is read unless it is named. A server that changes with the directory it is
  started in is not the same server by hand, in CI and under systemd.
* An unknown `LLMSIM_` variable is refused, save those that Kubernetes and Docker make for a
  service called llmsim (or llmsim-something), which nobody can help:
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

from llmsim.config.knobs import CONFIG_VARIABLE, PREFIX, Knob, knobs, knobs_by_name
from llmsim.config.settings import Settings
from llmsim.config.simulating import ErrorSettings
from llmsim.config.values import check_value, parse_value
from llmsim.errors import ConfigError
from llmsim.words import literal, nearest

DEFAULT = "default"


class Loaded(msgspec.Struct, frozen=True):
    """The settings in force.

    Attributes:
        settings: Their values.
        origins: Where each came from, by dotted name: `default`, the path of the file as it was given,
            `environment LLMSIM_PORT`, `flag --port`, or `argument errors.timeout_rate` for a setting that has no
            flag but was passed as one.
        path: The TOML file, as it was given; None when there is none.
    """

    settings: Settings
    origins: Mapping[str, str]
    path: str | None = None


class _Found(msgspec.Struct, frozen=True):
    """A value for a setting, as one source has it; `typed` where it is text that still has to be read."""

    origin: str
    knob: Knob
    value: Any
    typed: bool = False


#: What a source yields: values, and problems in words.
_Findings = Iterator[_Found | str]


def load(
    path: str | Path | None = None,
    *,
    environ: Mapping[str, str] | None = None,
    flags: Mapping[str, Any] | None = None,
    profiles: Collection[str] = (),
) -> Loaded:
    """Put the settings together: defaults, then the file, then the environment, then flags.

    Args:
        path: TOML file; None for the one that LLMSIM_CONFIG names, if any.
        environ: Environment variables; None for those of this process.
        flags: Settings given on the command line, by dotted name; values may be texts as typed. None values
            count as not given.
        profiles: Names of the latency profiles, to check `latency.profile` against; empty to take any.

    Returns:
        The settings and their origins.

    Raises:
        ConfigError: A source cannot be read, or holds something that is no setting, or a value that the setting
            does not take. One line for each problem.
    """
    environ = os.environ if environ is None else environ
    findings: list[_Found | str] = []
    named = path if path is not None else environ.get(CONFIG_VARIABLE) or None
    if named is not None:
        asked_by = "flag --config" if path is not None else f"environment {CONFIG_VARIABLE}"
        findings += _in_file(str(named), asked_by)
    findings += _in_environment(environ)
    findings += _in_flags(flags or {})

    problems: list[str] = []
    values: dict[str, dict[str, Any]] = {}
    origins = dict.fromkeys(knobs_by_name(), DEFAULT)
    for finding in findings:
        if isinstance(finding, str):
            problems.append(finding)
            continue
        knob, value = finding.knob, finding.value
        try:
            value = check_value(knob, parse_value(knob, value) if finding.typed else value, profiles)
        except ConfigError as error:
            problems.append(f"{finding.origin}: {error}")
        else:
            values.setdefault(knob.section, {})[knob.key] = value
            origins[knob.name] = finding.origin
    settings = msgspec.convert(values, Settings)
    problems += _contradictions(settings, origins)
    if problems:
        raise ConfigError("\n".join(problems))
    return Loaded(settings, origins, None if named is None else str(named))


def _in_file(path: str, asked_by: str) -> _Findings:
    try:
        tables = tomllib.loads(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        yield f"{asked_by}: cannot read {literal(path)}: {error.strerror}"
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
            yield f"{path}: {_unknown_at_top(section, table)}"
        elif not isinstance(table, dict):
            yield f"{path}: {section}: wanted a table, [{section}], found {literal(table)}"
        else:
            for key, value in table.items():
                knob = knobs_by_name().get(f"{section}.{key}")
                yield _Found(path, knob, value) if knob else f"{path}: {_unknown_key(section, key)}"


def _in_environment(environ: Mapping[str, str]) -> _Findings:
    variables = {knob.env: knob for knob in knobs()}
    for variable, text in sorted(environ.items()):
        if not variable.startswith(PREFIX) or variable == CONFIG_VARIABLE or _is_service_link(variable, text):
            continue
        knob = variables.get(variable)
        if knob is None:
            yield _unknown_variable(variable)
        elif text:
            yield _Found(f"environment {variable}", knob, text, typed=True)


def _in_flags(flags: Mapping[str, Any]) -> _Findings:
    for name, value in flags.items():
        knob = knobs_by_name().get(name)
        if knob is None:
            meant = nearest(name, knobs_by_name())
            yield f"argument {name}: unknown setting{f'; did you mean {meant}?' if meant else ''}"
        elif value is not None:
            origin = f"flag {knob.flag}" if knob.flag else f"argument {name}"
            yield _Found(origin, knob, value, typed=isinstance(value, str))


def _unknown_at_top(name: str, value: Any) -> str:
    if not isinstance(value, dict):
        homes = [knob.section for knob in knobs() if knob.key == name]
        hint = f"; did you mean [{homes[0]}] {name}?" if homes else ""
        return f"{name}: a key outside of any table{hint}"
    sections = Settings.__struct_fields__
    meant = nearest(name, sections)
    hint = f"; did you mean [{meant}]?" if meant else f". One of: {', '.join(sections)}"
    return f"[{name}]: unknown table{hint}"


def _unknown_key(section: str, key: str) -> str:
    siblings = [knob.key for knob in knobs() if knob.section == section]
    meant = nearest(key, siblings)
    homes = [knob.section for knob in knobs() if knob.key == key]
    if homes:
        hint = f"; did you mean [{homes[0]}] {key}?"
    elif meant:
        hint = f"; did you mean {literal(meant)}?"
    else:
        hint = f". One of: {', '.join(siblings)}"
    return f"[{section}] {key}: unknown key{hint}"


def _unknown_variable(variable: str) -> str:
    # Settings with a flag are also known by their long name, in order to send LLMSIM_SERVER_PORT to LLMSIM_PORT.
    names = {CONFIG_VARIABLE.removeprefix(PREFIX): CONFIG_VARIABLE}
    for knob in knobs():
        names[f"{knob.section}_{knob.key}".upper()] = knob.env
        names[knob.env.removeprefix(PREFIX)] = knob.env
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


def _contradictions(settings: Settings, origins: Mapping[str, str]) -> Iterator[str]:
    rates = {
        name: getattr(settings.errors, name)
        for name in ErrorSettings.__struct_fields__
        if name.endswith("_rate")
    }
    total = math.fsum(rates.values())
    # Decimal shares of the whole may come to a trifle more than 1 in binary.
    if total > 1 + 1e-9:
        parts = ", ".join(
            f"{name} {rate:g} ({origins[f'errors.{name}']})" for name, rate in rates.items() if rate
        )
        yield f"errors: the rates add up to {total:g}, wanted at most 1: {parts}"
