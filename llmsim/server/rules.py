"""Rules: answers by what is asked.

Decisions:
* A rule says which requests it is for with the words that scripts have for it, and what they get with the words of the control headers:
  one matcher and one set of overrides for all.
* The first rule that fits is the only one that counts.
* All mistakes of a file are reported at once, with file, line, rule and key.
"""

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from llmsim.domain import Prompt, TurnOverrides
from llmsim.errors import InvalidFieldError, ScenarioError, ScriptError
from llmsim.scripts import Expectation, ScriptCall, ScriptFormat, ScriptTurn, TurnKind
from llmsim.scripts.files import SUFFIXES
from llmsim.scripts.placeholders import RequestValues, fill, find_problem, has_placeholders
from llmsim.scripts.reading import encode_arguments, read_expectation
from llmsim.scripts.sources import load
from llmsim.scripts.tables import Problems, Table, describe
from llmsim.server.controls import (
    FAULT_HEADER,
    LATENCY_HEADER,
    SCENARIO_HEADER,
    SCRIPT_HEADER,
    TOKENS_HEADER,
    ControlReader,
    RequestControls,
    is_name,
)
from llmsim.text import literal

MOST_RULES = 1_000
MOST_BYTES = 262_144
"""Bytes of a set of rules."""

_MOST_CALLS = 128
_MOST_NAME = 100

_HEADERS = {
    "script": SCRIPT_HEADER,
    "scenario": SCENARIO_HEADER,
    "fault": FAULT_HEADER,
    "profile": LATENCY_HEADER,
    "tokens": TOKENS_HEADER,
}
"""Keys of a rule, and the header that means the same."""

_ANSWERS = ("text", "calls", "script", "scenario", "fault", "profile", "tokens")
_ANY = Expectation()

BATCHED = frozenset({"text", "calls", "fault", "profile", "tokens"})
"""What a rule can give to a request of a batch."""

_SILENT = frozenset({"fault", "profile"})
"""What a rule can give to a request that generates no text."""


class RuleCall(msgspec.Struct, frozen=True):
    """A tool call of a rule; placeholders may stand in both.

    Attributes:
        name: The tool's name.
        arguments: A value of JSON, or the text that is sent.
    """

    name: str
    arguments: Any = None


class Rule(msgspec.Struct, frozen=True, kw_only=True):
    """What some requests get.

    Attributes:
        number: Its index among all rules, from 0, as messages have it.
        name: Its name; empty if it has none.
        when: Which requests it is for.
        text: Text of the answer; None for none of its own.
        calls: Tool calls of the answer.
        controls: What else it asks for, as headers would.
        gives: The keys of its answer.
    """

    number: int
    name: str
    when: Expectation
    text: str | None
    calls: tuple[RuleCall, ...]
    controls: RequestControls
    gives: frozenset[str]

    def concerns(self, prompt: Prompt, usable: frozenset[str] | None) -> bool:
        """Return whether it gives anything that a request can get.

        Args:
            prompt: The request.
            usable: What it can get; None for all.
        """
        if prompt.silent:
            return not self.gives.isdisjoint(_SILENT)
        return usable is None or not self.gives.isdisjoint(usable)

    def overrides_for(self, prompt: Prompt) -> TurnOverrides | None:
        """Return what a request gets of its overrides: one that generates no text has no length."""
        overrides = self.controls.overrides
        if prompt.silent and overrides is not None:
            return msgspec.structs.replace(overrides, tokens=None)
        return overrides

    @property
    def label(self) -> str:
        """Its name, or its place."""
        return self.name or f"rules[{self.number}]"

    @property
    def has_answer(self) -> bool:
        """Whether it has a text or calls of its own."""
        return self.text is not None or bool(self.calls)

    def turn(self, prompt: Prompt, body: bytes) -> ScriptTurn:
        """Return its answer to a request, with placeholders replaced.

        Raises:
            ScenarioError: A call would have no name: the request offers no tool.
        """
        values = RequestValues(prompt, body)
        calls = tuple(
            ScriptCall(fill(call.name, values), encode_arguments(fill(call.arguments, values)))
            for call in self.calls
        )
        for call, filled in zip(self.calls, calls, strict=True):
            if not filled.name:
                problem = f"calls {literal(call.name)}, which is empty for this request"
                raise ScenarioError("scenario_tool_not_offered", f"rule {self.label}: {problem}")
        kind = TurnKind.ASSISTANT if not calls else TurnKind.TOOL_CALLS
        if calls and self.text is not None:
            kind = TurnKind.MIXED
        return ScriptTurn(kind=kind, text=None if self.text is None else fill(self.text, values), calls=calls)


class RuleSet(msgspec.Struct, frozen=True):
    """All rules, in their order.

    Attributes:
        rules: The rules.
        origin: Their file, or `uploaded`; empty for none.
        source: As they were read.
        source_format: Format of that.
    """

    rules: tuple[Rule, ...] = ()
    origin: str = ""
    source: bytes = b""
    source_format: ScriptFormat = "json"


NO_RULES = RuleSet()


def read_rules(
    data: bytes, source_format: ScriptFormat, name: str, profiles: Collection[str], origin: str = ""
) -> RuleSet:
    """Parse rules.

    Args:
        data: The encoded rules.
        source_format: Their format.
        name: Their name in messages.
        profiles: Names of the latency profiles.
        origin: Where they come from; empty for their name.

    Raises:
        ScriptError: There are mistakes; lists all of them.
    """
    if len(data) > MOST_BYTES:
        raise ScriptError((f"{name}: wanted at most {MOST_BYTES:,} bytes of rules, found {len(data):,}",))
    source = load(data, source_format, name)
    problems = Problems(name, source)
    rules: list[Rule] = []
    if isinstance(source.value, dict):
        table = Table(source.value, (), problems)
        reader = ControlReader(profiles)
        rules = [
            _rule(one, number, reader)
            for number, one in enumerate(table.tables("rules", "rules", MOST_RULES))
        ]
        if "rules" not in source.value:
            table.problem(None, '"rules" is missing: wanted a list of rules')
        table.close()
    else:
        problems.add((), f'wanted a table with "rules", found {describe(source.value)}')
    problems.close()
    return RuleSet(tuple(rules), origin or name, data, source_format)


def read_rules_file(path: Path, profiles: Collection[str]) -> RuleSet:
    """Read the rules of a file.

    Raises:
        ScriptError: It cannot be read, or has mistakes.
    """
    source_format = SUFFIXES.get(path.suffix.lower())
    if source_format is None:
        raise ScriptError((f"{path}: unknown format {path.suffix}. One of: {', '.join(SUFFIXES)}",))
    try:
        data = path.read_bytes()
    except OSError as error:
        raise ScriptError((f"{path}: cannot be read: {error.strerror}",)) from None
    return read_rules(data, source_format, str(path), profiles)


def _rule(table: Table, number: int, reader: ControlReader) -> Rule:
    name = table.text("name", empty=False)
    if name is not None and (len(name) > _MOST_NAME or not (name.isascii() and name.isprintable())):
        table.problem("name", f"wanted 1 to {_MOST_NAME} printable ASCII characters")
    when = read_expectation(table, "when") or _ANY
    text = table.text("text")
    if text is not None and (problem := find_problem(text)):
        table.problem("text", problem)
    calls = tuple(_call(one) for one in table.tables("calls", "calls", _MOST_CALLS))
    controls = _controls(table, reader)
    table.close()
    if not any(key in table for key in _ANSWERS):
        table.problem(None, f"wanted an answer, found none. One or more of: {', '.join(_ANSWERS)}")
    elif table.get("calls") == [] and text is None:
        table.problem("calls", "wanted at least one call, found an empty list")
    answers = [key for key in ("script", "scenario") if key in table]
    answers += ["text or calls"] if text is not None or calls else []
    if len(answers) > 1:
        table.problem(None, f"wanted one answer, found {' and '.join(answers)}")
    gives = frozenset(key for key in _ANSWERS if key in table)
    return Rule(
        number=number, name=name or "", when=when, text=text, calls=calls, controls=controls, gives=gives
    )


def _call(table: Table) -> RuleCall:
    name, arguments = table.text("name", required=True, empty=False) or "", table.get("arguments")
    for key, value in (("name", name), ("arguments", arguments)):
        if problem := find_problem(value):
            table.problem(key, problem)
    table.close()
    return RuleCall(name, arguments)


def _controls(table: Table, reader: ControlReader) -> RequestControls:
    """Read the keys that mean the same as a control header."""
    overrides: dict[str, Any] = {}
    script = scenario = None
    for key, header in _HEADERS.items():
        value = table.get(key)
        if value is None:
            continue
        if isinstance(value, bool) or not isinstance(value, str | int):
            table.misfit(key, "a text, as in the header " + header)
            continue
        if key == "script" and not is_name(str(value)):
            table.misfit(key, "the name of a script")
            continue
        try:
            controls = reader.read({header: str(value)})
        except InvalidFieldError as error:
            table.problem(key, str(error.wanted or error).removeprefix(f"{header}: "))
            continue
        script, scenario = script or controls.script, scenario or controls.scenario
        if controls.overrides is not None:
            overrides |= _given(controls.overrides)
    return RequestControls(
        script=script, scenario=scenario, overrides=TurnOverrides(**overrides) if overrides else None
    )


def merge_overrides(first: TurnOverrides | None, second: TurnOverrides | None) -> TurnOverrides | None:
    """Return what is asked for twice: what the first does not say is as the second has it."""
    if first is None or second is None:
        return first or second
    return TurnOverrides(**_given(second) | _given(first))


def _given(overrides: TurnOverrides) -> dict[str, Any]:
    names: Sequence[str] = overrides.__struct_fields__
    return {name: value for name in names if (value := getattr(overrides, name)) is not None}


def describe_rule(rule: Rule) -> Mapping[str, Any]:
    """Return a rule for a list of them."""
    gives = [key for key in _ANSWERS if key in rule.gives]
    texts = (rule.text, *(part for call in rule.calls for part in (call.name, call.arguments)))
    uses = any(has_placeholders(text) for text in texts)
    return {"number": rule.number, "name": rule.name or None, "gives": gives, "has_placeholders": uses}
