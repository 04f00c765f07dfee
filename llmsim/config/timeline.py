"""Timelines: settings by the clock, as a TOML file has them.

Decisions:
* A step says all that differs from the settings as long as it holds: what it leaves out is as without the timeline, so a step with no
  settings is the end of a bad time.
* Everything follows from the time since the start, so each worker finds the same by itself.
* A ramp goes from the values of the step before to its own, in a hundred parts; what is no number changes at its beginning.
"""

import itertools
import math
import re
from collections.abc import Collection, Iterator, Mapping
from typing import Any, Literal, TypeGuard

import msgspec

from llmsim.config.metadata import DAY_SECS
from llmsim.config.runtime import BY_TIMELINE, check_changes, value_of, with_changes
from llmsim.config.settings import Settings
from llmsim.config.tables import MOST_PROBLEMS
from llmsim.errors import ConfigError
from llmsim.json_source import HALF_CHARACTER, JsonError, is_encodable, parse_json
from llmsim.text import literal, nearest, printable
from llmsim.toml_source import FindLines, KeyPath, TomlError, parse_toml

TimelineFormat = Literal["toml", "json"]

MOST_SOURCE_BYTES = 1 << 18

_MOST_STEPS = 200
_MOST_SECS = 30 * DAY_SECS
_MOST_NAME = 60
_PARTS = 100
_SHORTEST_PART = 0.1
"""Parts of a ramp, and the least seconds that one lasts."""

_PLACE = re.compile(r'(?:step (\d+): )?(?:unknown key ")?([\w.-]+)?')
"""The step and the key that a problem begins with."""

_KEYS = ("name", "step")
_STEP_KEYS = ("at_secs", "ramp_secs", "name")


class TimelineStep(msgspec.Struct, frozen=True):
    """One step.

    Attributes:
        at: When it begins, in seconds after the start.
        ramp: Seconds in which its values are reached.
        name: What it is called; empty for nothing.
        values: What differs from the settings, by dotted name.
    """

    at: float
    ramp: float
    name: str
    values: Mapping[str, Any]


class TimelineMoment(msgspec.Struct, frozen=True):
    """What holds at some time.

    Attributes:
        step: Number of the step, from 1; 0 before the first.
        name: Its name.
        values: What differs from the settings.
        until: When that changes, in seconds after the start; infinite if it does not.
    """

    step: int
    name: str
    values: Mapping[str, Any]
    until: float


class Timeline(msgspec.Struct, frozen=True):
    """Settings by the clock.

    Attributes:
        name: What it is called; empty for nothing.
        steps: In the order of their time; at least one.
    """

    name: str
    steps: tuple[TimelineStep, ...]

    def at(self, elapsed: float, settings: Settings) -> TimelineMoment:
        """Return what holds at some time.

        Args:
            elapsed: Seconds after the start.
            settings: Those without the timeline.
        """
        number = sum(step.at <= elapsed for step in self.steps)
        after = self.steps[number].at if number < len(self.steps) else math.inf
        if number == 0:
            return TimelineMoment(0, "", {}, after)
        step = self.steps[number - 1]
        ramped = elapsed - step.at
        if ramped >= step.ramp:
            return TimelineMoment(number, step.name, step.values, after)
        part = max(step.ramp / _PARTS, _SHORTEST_PART)
        done = int(ramped / part)
        before = self.steps[number - 2].values if number > 1 else {}
        share = min(done * part / step.ramp, 1.0)
        values = dict(step.values)
        for name in (*before, *(name for name in step.values if name not in before)):
            start, end = _ends(name, before, step.values, settings)
            is_replaced = name not in step.values and name.rpartition(".")[0] in step.values
            if _is_number(start) and _is_number(end) and not is_replaced:
                values[name] = _between(start, end, share)
        return TimelineMoment(number, step.name, values, step.at + min((done + 1) * part, step.ramp))


def _ends(
    name: str, before: Mapping[str, Any], after: Mapping[str, Any], settings: Settings
) -> tuple[Any, Any]:
    own = value_of(settings, name)
    return before.get(name, own), after.get(name, own)


def _between(start: float, end: float, share: float) -> float:
    value = start + (end - start) * share
    return round(value) if isinstance(end, int) and isinstance(start, int) else round(value, 6)


def _is_number(value: Any) -> TypeGuard[int | float]:
    return isinstance(value, int | float) and not isinstance(value, bool)


def parse_timeline(
    source: bytes,
    settings: Settings,
    profiles: Collection[str] = (),
    source_format: TimelineFormat = "toml",
    name: str = "",
    elapsed: float = 0.0,
) -> Timeline:
    """Parse a timeline, and check it against the settings that it changes.

    Args:
        source: As it is written.
        settings: Those without it.
        profiles: Names of the latency profiles; empty to accept any.
        source_format: How it is written.
        name: Its file, for messages; empty for none.
        elapsed: Seconds since its start: with steps that are over no setting can be at odds.

    Raises:
        ConfigError: It has mistakes; one line for each.
    """
    if len(source) > MOST_SOURCE_BYTES:
        raise ConfigError(_locate(f"wanted at most {MOST_SOURCE_BYTES} bytes, found {len(source)}", name))
    document: Any
    find_lines: FindLines
    problems: list[str] = []
    try:
        text = source.decode()
        if source_format == "toml":
            document, find_lines = parse_toml(text)
        else:
            document, find_lines, repeated = parse_json(text)
            if not is_encodable(document):
                raise JsonError(HALF_CHARACTER, None)
            problems += [f"{_show_path(path)}: given twice" for path in repeated]
    except (TomlError, JsonError) as error:
        raise ConfigError(_locate(str(error), name, error.line)) from None
    except UnicodeDecodeError as error:
        line = source.count(b"\n", 0, error.start) + 1
        raise ConfigError(_locate(f"not UTF-8 text: {error.reason}", name, line)) from None
    timeline = _read(document, profiles, problems)
    if not problems:
        problems += _find_conflicts(timeline, settings, elapsed)
    if problems:
        paths = [_find_path(problem) for problem in problems[:50]]
        lines = find_lines({path[:end] for path in paths for end in range(1, len(path) + 1)})
        located = [
            _locate(problem, name, _find_line(path, lines))
            for problem, path in zip(problems, paths, strict=False)
        ]
        raise ConfigError("\n".join(located))
    return timeline


def _locate(problem: str, name: str, line: int | None = None) -> str:
    """Return a problem with its file and line, as far as they are known."""
    if line is None:
        return f"{name}: {problem}" if name else problem
    return f"{name}:{line}: {problem}" if name else f"line {line}: {problem}"


def _show_path(path: KeyPath) -> str:
    """Return a path as problems begin with it."""
    if len(path) > 2 and path[0] == "step":
        return f"step {int(path[1]) + 1}: {'.'.join(map(str, path[2:]))}"
    return ".".join(map(str, path))


def _find_path(problem: str) -> KeyPath:
    """Return the path that a problem names, in its step if it has one."""
    found = _PLACE.match(problem)
    assert found is not None, "everything in it is optional"
    path: KeyPath = ("step", int(found[1]) - 1) if found[1] else ()
    return path + tuple((found[2] or "").split("."))


def _find_line(path: KeyPath, lines: Mapping[KeyPath, int]) -> int | None:
    """Return the line of a path, else that of what it is in; None if neither is known."""
    return next((lines[path[:end]] for end in range(len(path), 0, -1) if path[:end] in lines), None)


def _find_conflicts(timeline: Timeline, settings: Settings, elapsed: float) -> Iterator[str]:
    """Yield where what is left of a timeline contradicts the settings that it changes."""
    before: Mapping[str, Any] = {}
    ends = [following.at + following.ramp for following in timeline.steps[1:]]
    for number, (step, end) in enumerate(zip(timeline.steps, (*ends, math.inf), strict=True), 1):
        if end <= elapsed:
            before = step.values
            continue
        try:
            with_changes(settings, step.values, BY_TIMELINE)
        except ConfigError as error:
            yield from (f"step {number}: {line}" for line in str(error).splitlines())
        for name in {*before, *step.values} if step.ramp else ():
            start, end = _ends(name, before, step.values, settings)
            is_unset = [one is None or one is msgspec.UNSET for one in (start, end)]
            if any(is_unset) and not all(is_unset) and _is_number(end if is_unset[0] else start):
                where = "begin" if is_unset[0] else "end"
                yield (
                    f"step {number}: {name}: a ramp needs a number to {where} with, and the setting is unset; set it in "
                    f"{'the step before' if is_unset[0] else 'this step'}"
                )
        before = step.values


def _read(document: Any, profiles: Collection[str], problems: list[str]) -> Timeline:
    if not isinstance(document, dict):
        problems.append(f"wanted a table, found {literal(document)}")
        return Timeline("", ())
    _check_keys(document, _KEYS, "", problems)
    name = _read_name(document, "", problems)
    found = document.get("step")
    if not isinstance(found, list) or not 1 <= len(found) <= _MOST_STEPS:
        problems.append(f"step: wanted 1 to {_MOST_STEPS} tables [[step]]")
        return Timeline(name, ())
    steps: list[TimelineStep] = []
    for number, table in enumerate(found, 1):
        if len(problems) >= MOST_PROBLEMS:
            break
        steps.append(_read_step(table, f"step {number}: ", profiles, problems))
    for number, (step, following) in enumerate(itertools.pairwise(steps), 2):
        if following.at <= step.at:
            problems.append(f"step {number}: at_secs: wanted more than {step.at:g}, found {following.at:g}")
        elif step.at + step.ramp > following.at:
            problems.append(
                f"step {number - 1}: ramp_secs: wanted at most {following.at - step.at:g}, where the next step begins, found "
                f"{step.ramp:g}"
            )
    return Timeline(name, tuple(steps))


def _read_step(table: Any, place: str, profiles: Collection[str], problems: list[str]) -> TimelineStep:
    if not isinstance(table, dict):
        problems.append(f"{place}wanted a table, found {literal(table)}")
        return TimelineStep(0.0, 0.0, "", {})
    sections = Settings.__struct_fields__
    _check_keys(table, (*_STEP_KEYS, *sections), place, problems)
    changes = {key: value for key, value in table.items() if key in sections}
    for section, value in changes.items():
        if not isinstance(value, dict):
            problems.append(f"{place}{section}: wanted a table, [step.{section}], found {literal(value)}")
    values: dict[str, Any] = {}
    try:
        tables = {section: value for section, value in changes.items() if isinstance(value, dict)}
        checked = check_changes(tables, profiles)
        values = {name: value for name, value in checked.items() if value is not None}
    except ConfigError as error:
        problems += [place + line for line in str(error).splitlines()]
    return TimelineStep(
        at=_read_secs(table, "at_secs", place, problems, required=True),
        ramp=_read_secs(table, "ramp_secs", place, problems),
        name=_read_name(table, place, problems),
        values=values,
    )


def _check_keys(table: Mapping[str, Any], known: tuple[str, ...], place: str, problems: list[str]) -> None:
    for key in table:
        if len(problems) >= MOST_PROBLEMS:
            return
        if key not in known:
            meant = nearest(key[:100], known)
            hint = f"; did you mean {literal(meant)}?" if meant else f". One of: {', '.join(known)}"
            problems.append(f"{place}unknown key {literal(printable(key[:100]))}{hint}")


def _read_name(table: Mapping[str, Any], place: str, problems: list[str]) -> str:
    name = table.get("name", "")
    if isinstance(name, str) and len(name) <= _MOST_NAME and (name.isprintable() or not name):
        return name
    problems.append(f"{place}name: wanted a text of at most {_MOST_NAME} printable characters")
    return ""


def _read_secs(
    table: Mapping[str, Any], key: str, place: str, problems: list[str], *, required: bool = False
) -> float:
    value = table.get(key)
    if value is None and not required:
        return 0.0
    if _is_number(value) and 0 <= value <= _MOST_SECS:
        return float(value)
    found = "nothing" if value is None else literal(value)
    problems.append(f"{place}{key}: wanted a number from 0 to {_MOST_SECS}, found {found}")
    return 0.0
