"""Values for the arguments of a tool call: fit to be executed, and harmless.

Decisions:
* A value comes from the message, else it is the first of an enumeration, the default, the minimum, or a fixed neutral value
  of its type and format. Nothing is drawn at random, so that a call may be executed.
* An optional member is supplied only if the message or a default has a value for it: a path, URL, date or noun for a member of
  that kind, a number beside its name, a value of its enumeration, a quotation if the message names it.
* A required member that may be null is one that strict schemas make of an optional one: without a value it is null.
* What is harmless is decided in `harmless`; a default of the schema is not used where something runs or is removed.
"""

import itertools
import json
import math
import shlex
from collections.abc import Iterator
from typing import Any

import msgspec

from llmsim.json_instances import harmless
from llmsim.json_instances.harmless import OWN_FILE, OWN_NAME, Hazard
from llmsim.json_instances.member_names import kind_of, words_of
from llmsim.json_instances.message_facts import MessageFacts
from llmsim.json_instances.message_values import MessageValues
from llmsim.json_instances.shape import Shape
from llmsim.json_schema.validation import is_of

_NEUTRAL = "example"
_FORMATS = {
    "date-time": "2026-01-01T09:00:00Z",
    "date": "2026-01-01",
    "time": "09:00:00Z",
    "duration": "PT1H",
    "email": "user@example.com",
    "idn-email": "user@example.com",
    "hostname": "example.com",
    "idn-hostname": "example.com",
    "ipv4": "192.0.2.1",
    "ipv6": "2001:db8::1",
    "uri": "https://example.com",
    "url": "https://example.com",
    "iri": "https://example.com",
    "uri-reference": "/example",
    "iri-reference": "/example",
    "uri-template": "https://example.com/{id}",
    "uuid": "00000000-0000-4000-8000-000000000000",
    "json-pointer": "/example",
    "relative-json-pointer": "0",
    "regex": "example",
    "byte": "b2s=",
    "base64": "b2s=",
    "binary": "b2s=",
}
_KINDS = {
    "path": "README.md",
    "url": "https://example.com",
    "date": "2026-01-01",
}
_LISTING = frozenset("list ls glob grep search find tree dir directory".split())
_GLOBBING = frozenset("list ls glob find".split())
_SURROUNDINGS = frozenset("workdir cwd root workspace working".split())
"""Words of optional members that say where a tool runs, not what it works on."""

_FORBIDS_MESSAGE = Hazard.RUNS | Hazard.REMOVES
_TOO_FAR = 1 << 63
_MOST_CHARACTERS = 10_000


class CalledTool(msgspec.Struct, frozen=True):
    """The tool that is called.

    Attributes:
        name: Its name.
        description: What it does.
    """

    name: str
    description: str = ""


class CallArguments:
    """The values for one call.

    Attributes:
        hazard: What the tool may do.
        values: The values of the message.
    """

    def __init__(self, tool: CalledTool, facts: MessageFacts) -> None:
        self.hazard = harmless.tool_hazard(tool.name, tool.description)
        self.values = MessageValues(facts)
        self._tool = tool
        self._tool_words = frozenset(words_of(tool.name))

    def texts(self, shape: Shape, name: str, hazard: int) -> Iterator[str]:
        """Yield the candidates for a text, the best first.

        Args:
            shape: Its requirements.
            name: Its name.
            hazard: What the tool does with it.
        """
        kind = self._kind(shape, name)
        for candidate in itertools.chain(
            self._supplied_texts(shape, name, kind, hazard), self._neutral_texts(shape, kind, hazard)
        ):
            yield candidate
            if len(candidate) < shape.shortest <= _MOST_CHARACTERS:
                yield (candidate + " ") * (shape.shortest // (len(candidate) + 1)) + candidate
            if len(candidate) > shape.longest:
                yield candidate[: int(shape.longest)].rstrip() or candidate[:1]

    def _kind(self, shape: Shape, name: str) -> str:
        """Return the kind of a member; the name that a tool for files takes is a path."""
        kind = kind_of(name, shape.format)
        is_file = kind == "noun" and name == "name" and bool(self._tool_words & {"file", "files"})
        return "path" if is_file else kind

    def _supplied_texts(self, shape: Shape, name: str, kind: str, hazard: int) -> Iterator[str]:
        if hazard & Hazard.RUNS:
            yield from self._run_texts(shape, name, kind, hazard)
        elif not hazard & Hazard.REMOVES:
            yield from self._message_texts(name, kind, hazard)
        if not hazard & _FORBIDS_MESSAGE:
            yield from (one for one in shape.suggestions if isinstance(one, str) and one)

    def _message_texts(self, name: str, kind: str, hazard: int) -> Iterator[str]:
        if hazard == Hazard.READS:
            for text in self.values.texts(kind):
                # What looks for things may be asked in a language that also changes them.
                if kind != "query" or not harmless.is_statement(text):
                    yield text
        elif kind in ("path", "directory"):
            yield from self.values.safe_names()
        elif "patch" in self._tool_words and kind == "":
            yield harmless.patch_text(self.values.facts)
        elif kind != "url" or not hazard & Hazard.WRITES:
            for text in self.values.texts(kind):
                if kind == "url" or harmless.is_harmless_text(text):
                    yield text

    def _run_texts(self, shape: Shape, name: str, kind: str, hazard: int) -> Iterator[str]:
        if "language" in (words := words_of(name)) or "lang" in words:
            yield "python"
        own = harmless.member_hazard(name, shape.description[:200])
        if hazard & Hazard.HAS_COMMAND and not own & Hazard.RUNS:
            return
        if not harmless.is_inert(name) and kind in ("", "query", "format", "pattern"):
            described = f"{shape.description}" if name else self._tool.description
            yield harmless.command_text(name, self._tool.name, described, self.values.facts)

    def _neutral_texts(self, shape: Shape, kind: str, hazard: int) -> Iterator[str]:
        if kind in ("path", "directory"):
            yield from self._neutral_paths(kind, hazard)
        elif kind == "pattern" and self._tool_words & _GLOBBING:
            yield "*"
        elif neutral := _FORMATS.get(shape.format) or _KINDS.get(kind):
            yield neutral
        if shape.format == "email":
            # Zod sends a pattern beside the format, which not every address matches.
            yield "ann@example.com"
        yield OWN_NAME if hazard & Hazard.REMOVES else _NEUTRAL
        yield "ok"

    def _neutral_paths(self, kind: str, hazard: int) -> Iterator[str]:
        if hazard & Hazard.RUNS and kind == "directory":
            yield "."
        if hazard & (Hazard.RUNS | Hazard.REMOVES | Hazard.WRITES):
            yield OWN_NAME if kind == "directory" else OWN_FILE
        elif kind == "directory" or self._tool_words & _LISTING:
            yield "."
        else:
            yield _KINDS[kind]

    def numbers(self, shape: Shape, name: str, hazard: int, *, is_integer: bool) -> Iterator[float]:
        """Yield the candidates for a number, the best first; they may be outside its bounds."""
        if not hazard & _FORBIDS_MESSAGE:
            for value in self.values.numbers(name):
                if abs(value) < _TOO_FAR and (not is_integer or value == int(value)):
                    yield value
        for one in shape.suggestions:
            if is_of(one, "number") and math.isfinite(one):
                yield int(one) if one == int(one) else one
        if shape.least is not None and math.isfinite(least := shape.least[0]):
            yield int(least) if least == int(least) else least
            yield math.floor(least) + 1
        yield from (1, 0)
        if shape.most is not None and math.isfinite(most := shape.most[0]):
            yield math.ceil(most) - 1

    def choose(self, values: list[Any], hazard: int, default: list[Any]) -> Any:
        """Choose one of several values: one that the message mentions, else the default, else the first; none that changes."""
        kept = [one for one in values if not (isinstance(one, str) and harmless.changes(one))] or values
        if not hazard & _FORBIDS_MESSAGE and (mentioned := self._mentioned(kept)):
            return mentioned[0]
        defaults = [one for one in default if one in kept]
        return defaults[0] if defaults else next((one for one in kept if one is not None), None)

    def _mentioned(self, values: list[Any]) -> list[Any]:
        mentions = self.values.facts.mentions
        texts = [one for one in values if isinstance(one, str) and len(one) > 2 and mentions(one)]
        if texts:
            return texts
        numbers = [one for one in values if is_of(one, "number")]
        return [value for value in self.values.numbers("") if value in numbers] if numbers else []

    def command_list(self, shape: Shape, name: str, hazard: int) -> list[str] | None:
        """Return a list of words for a member that may be run; None if it is no such member."""
        if not hazard & Hazard.RUNS:
            return None
        if harmless.takes_arguments(name):
            return []
        if harmless.member_hazard(name, shape.description) & Hazard.RUNS:
            return harmless.command_list(name, self.values.facts)
        return None

    def is_supplied(self, shape: Shape, name: str, hazard: int) -> bool:
        """Return whether the message or a default has a value for a member that may be left out."""
        if any(one is not None for one in shape.defaults):
            return True
        if hazard & _FORBIDS_MESSAGE:
            return False
        if shape.values is not None:
            kept = [one for one in shape.values if isinstance(one, str) and not harmless.changes(one)]
            return len(shape.values) > 1 and any(isinstance(one, str) for one in self._mentioned(kept))
        if "integer" in shape.kinds or "number" in shape.kinds:
            return self.values.beside(name)
        kind = self._kind(shape, name)
        if "array" in shape.kinds:
            return kind in ("path", "url", "date", "noun") and self._has_text(kind, hazard)
        if "string" not in shape.kinds or not _SURROUNDINGS.isdisjoint(words_of(name)):
            return False
        if kind in ("path", "directory", "url", "date", "date-time", "noun"):
            return self._has_text(kind, hazard)
        return self.values.names(name) and self._has_text(kind, hazard)

    def _has_text(self, kind: str, hazard: int) -> bool:
        used = set(self.values.used)
        found = next(self._message_texts("", kind, hazard), None) is not None
        self.values.used = used
        return found

    def count(self, kind: str, hazard: int, *, is_number: bool) -> int:
        """Return how many values of the message are left for items of a kind."""
        if hazard & _FORBIDS_MESSAGE:
            return 0
        is_safe = hazard != Hazard.READS
        return self.values.count(kind, is_number=is_number, is_safe=is_safe)


def free_text(tool: CalledTool, facts: MessageFacts) -> str:
    """Return the free text for a tool that has no schema."""
    arguments = CallArguments(tool, facts)
    return next(arguments.texts(Shape((), frozenset()), "", arguments.hazard))


def client_action(name: str, facts: MessageFacts) -> str:
    """Return the action, as JSON, for a tool that the provider defines and the client runs.

    Args:
        name: `shell`, `local_shell`, `apply_patch` or `computer`.
        facts: Facts of the message.
    """
    action: dict[str, Any]
    match name:
        case "shell":
            action = {"commands": [facts.command or harmless.SHELL]}
        case "local_shell":
            action = {"command": shlex.split(facts.command or harmless.SHELL)}
        case "apply_patch":
            path = next(iter(facts.safe_names), OWN_FILE)
            action = {"type": "create_file", "path": path, "diff": "+ok\n"}
        case _:
            action = {"type": "screenshot"}
    return json.dumps(action, ensure_ascii=False, separators=(",", ":"))
