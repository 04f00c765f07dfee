"""What the `x-llmsim-*` headers of a request ask for.

Decisions:
* They are read once, where a request enters, and passed on as a value: names for those who play, overrides for planning.
* A header that is unknown, repeated or wrong refuses the request: one that was ignored would make a test pass that tests nothing.
* The names of sessions and scripts, and the text of `fixed`, are UTF-8 where they can be: HTTP defines header values as Latin-1, and
  no client sends that. All else is ASCII.
* PERF: the names of other headers are remembered, so a request without controls pays for one comparison of sets: 0.2 us.
"""

import contextlib
import re
from collections.abc import Callable, Collection, Mapping

import msgspec

from llmsim.config import resolve_profile
from llmsim.domain import (
    EFFECTS,
    FaultKind,
    RequestedFault,
    RequestedGenerator,
    RequestedLatency,
    TurnOverrides,
    WireFaultKind,
)
from llmsim.errors import InvalidFieldError
from llmsim.planning.faults import kind_of_status
from llmsim.scenarios import RequestedScenario
from llmsim.server.control_hints import (
    EXAMPLES,
    meant_fault,
    meant_generator,
    meant_latency,
    meant_number,
)
from llmsim.server.request_headers import RequestHeaders
from llmsim.text import literal, nearest, printable

PREFIX = "x-llmsim-"

SCRIPT_HEADER = "x-llmsim-script"
SESSION_HEADER = "x-llmsim-session"
SCENARIO_HEADER = "x-llmsim-scenario"
LATENCY_HEADER = "x-llmsim-latency"
FAULT_HEADER = "x-llmsim-fault"
_SEED = "x-llmsim-seed"
TOKENS_HEADER = "x-llmsim-tokens"
_GENERATOR = "x-llmsim-generator"

CONTROL_HEADERS = (
    LATENCY_HEADER,
    FAULT_HEADER,
    _SEED,
    TOKENS_HEADER,
    _GENERATOR,
    SCENARIO_HEADER,
    SCRIPT_HEADER,
    SESSION_HEADER,
)
"""All headers by which a request controls its response."""

TEXT_HEADERS = (TOKENS_HEADER, _GENERATOR, SCENARIO_HEADER)
"""Those that say what is generated: an endpoint that generates nothing refuses them."""

_MAX_NAME = 200
_SHOWN = 100
"""Characters of a wrong value that a message shows."""

_MOST_TOKENS = 1_000_000
_MOST_MS = 86_400_000
_MOST_SEED = 2**63

_MARK = PREFIX.encode()
_MOST_OTHERS, _LONGEST_OTHER = 1_000, 60
"""Names of other headers that are remembered, and the bytes of the longest."""

_NUMBER = re.compile(r"[0-9]{1,12}(\.[0-9]{1,12})?")
_INTEGER = re.compile(r"[0-9]{1,12}")
_SIGNED = re.compile(r"-?[0-9]{1,19}")
_STATUS = re.compile(r"[0-9]{3}")

_TIMED = (WireFaultKind.STALL, WireFaultKind.SLOW_DRIP)
"""Failures on the wire that have a duration."""

_KINDS: dict[str, FaultKind | WireFaultKind] = {
    kind.value: kind for kinds in (FaultKind, WireFaultKind) for kind in kinds
}

_LATENCY_KEYS = ("ttft", "itl")
_LATENCY = re.compile(r"[^\s;:,]+\s*=\s*[^\s;:,]*(\s*,\s*[^\s;:,]+\s*=\s*[^\s;:,]*)*")
"""Latencies that are parted as they should be, whatever they are."""
_FAULT_KEYS = ("at", "share", "for_ms")
_GENERATORS = ("lorem", "random", "echo", "fixed:TEXT")

NAMES = f"wanted a name of 1 to {_MAX_NAME} printable characters"
"""Message about an invalid name of a session or script."""


class RequestControls(msgspec.Struct, frozen=True):
    """What a request's headers ask for.

    Attributes:
        session: Name of its session; None if it names none.
        script: Name of the script to play; None if it names none.
        scenario: The scenario to play; None if it names none.
        overrides: What planning is to do otherwise; None for nothing.
        sent: Names of the headers that say what is generated.
    """

    session: str | None = None
    script: str | None = None
    scenario: RequestedScenario | None = None
    overrides: TurnOverrides | None = None
    sent: tuple[str, ...] = ()


NO_CONTROLS = RequestControls()
"""What most requests ask for."""

ReadControls = Callable[[Mapping[str, str]], RequestControls]
"""Reads the controls of a request from its headers, by name in lower case; raises `InvalidFieldError`."""


def ignore_controls(_headers: Mapping[str, str]) -> RequestControls:
    """Return that a request asks for nothing, whatever its headers."""
    return NO_CONTROLS


class ControlReader:
    """Reads the controls of requests.

    Args:
        profiles: Names of the latency profiles.
    """

    def __init__(self, profiles: Collection[str]) -> None:
        self._profiles = profiles
        self._others: set[bytes] = set()

    def _has_controls(self, headers: RequestHeaders) -> bool:
        """Return whether a header may be a control; remember the names of the others."""
        others = [name for name in headers.by_name if not name.startswith(_MARK)]
        if len(self._others) > _MOST_OTHERS:
            self._others.clear()
        self._others.update(name for name in others if len(name) <= _LONGEST_OTHER)
        return len(others) < len(headers)

    def read(self, headers: Mapping[str, str]) -> RequestControls:
        """Read the controls of a request.

        Args:
            headers: By name in lower case.

        Raises:
            InvalidFieldError: A header is unknown, repeated, or has a wrong value.
        """
        if isinstance(headers, RequestHeaders):
            # PERF: 0.25 us for twelve headers; to look at one after the other takes 0.8.
            if self._others.issuperset(headers.by_name) or not self._has_controls(headers):
                return NO_CONTROLS
            fields = headers.fields()
        else:
            fields = iter(headers.items())
        sent: dict[str, str] = {}
        for name, value in fields:
            if not name.startswith(PREFIX):
                continue
            if name not in CONTROL_HEADERS:
                meant = nearest(name, CONTROL_HEADERS)
                hint = f"; did you mean {meant}?" if meant else f". One of: {', '.join(CONTROL_HEADERS)}"
                raise _refusal(printable(name[:_SHOWN]), f"unknown header{hint}")
            if name in sent:
                raise _refusal(name, "wanted one header of this name, found several")
            if not value.strip():
                raise _refusal(name, f"wanted a value, found none{_example(name)}")
            sent[name] = value.strip()
        return self._read(sent) if sent else NO_CONTROLS

    def _read(self, sent: Mapping[str, str]) -> RequestControls:
        script = _read_name(SCRIPT_HEADER, sent)
        if script is not None and SCENARIO_HEADER in sent:
            raise _refusal(SCENARIO_HEADER, f"wanted either this header or {SCRIPT_HEADER}, found both")
        overrides = TurnOverrides(
            latency=self._read_latency(sent),
            fault=_read_fault(sent),
            seed=_read_whole(_SEED, sent, _SIGNED, -_MOST_SEED, _MOST_SEED - 1),
            tokens=_read_whole(TOKENS_HEADER, sent, _INTEGER, 1, _MOST_TOKENS),
            generator=_read_generator(sent),
        )
        return RequestControls(
            session=_read_name(SESSION_HEADER, sent),
            script=script,
            scenario=_read_scenario(sent),
            overrides=None if overrides == _NOTHING else overrides,
            sent=tuple(name for name in TEXT_HEADERS if name in sent),
        )

    def _read_latency(self, sent: Mapping[str, str]) -> RequestedLatency | None:
        value = sent.get(LATENCY_HEADER)
        if value is None:
            return None
        is_named = "=" not in value
        profile = resolve_profile(value, self._profiles) if is_named else None
        if profile is None and (is_named or not _LATENCY.fullmatch(value)):
            written = meant_latency(value, _MOST_MS)
            if written is not None:
                problem = f"wanted ttft=MS,itl=MS or a profile, found {_show(value)}"
                raise _refusal(LATENCY_HEADER, f"{problem}; did you mean {written}?")
        if is_named:
            if profile is None:
                meant = nearest(value, self._profiles)
                hint = f"; did you mean {literal(meant)}?" if meant else "."
                names = ", ".join(sorted(self._profiles))
                raise _refusal(
                    LATENCY_HEADER,
                    f"unknown profile {_show(value)}{hint} One of: {names}; or ttft=MS,itl=MS in milliseconds",
                )
            return RequestedLatency(profile=profile)
        pairs = _read_pairs(LATENCY_HEADER, value.split(","), _LATENCY_KEYS)
        figures = {key: _read_number(LATENCY_HEADER, key, text, _MOST_MS) for key, text in pairs.items()}
        return RequestedLatency(ttft_ms=figures.get("ttft"), itl_ms=figures.get("itl"))


_NOTHING = TurnOverrides()


def _example(header: str) -> str:
    return f"; for example {EXAMPLES[header]}" if header in EXAMPLES else ""


def check_generates(controls: RequestControls) -> None:
    """Refuse what an endpoint that generates no text cannot do.

    Raises:
        InvalidFieldError: A header asks for it.
    """
    for name in controls.sent:
        raise _refusal(name, "this endpoint generates no text; leave the header out")


def check_batched(controls: RequestControls) -> None:
    """Refuse what a request of a batch cannot do.

    Raises:
        InvalidFieldError: A header asks for it.
    """
    if controls.scenario is not None:
        raise _refusal(SCENARIO_HEADER, "requests of a batch play no scenario; leave the header out")


def is_name(name: str) -> bool:
    """Return whether a session or script can have this name."""
    return 0 < len(name) <= _MAX_NAME and name.isprintable()


def _read_name(header: str, sent: Mapping[str, str]) -> str | None:
    value = sent.get(header)
    if value is None:
        return None
    name = _decode(value)
    if not is_name(name):
        raise _refusal(header, f"{NAMES}, {_name_problem(name)}")
    return name


def _name_problem(name: str) -> str:
    """Describe a wrong name, and the nearest right one."""
    if len(name) > _MAX_NAME:
        return f"found {len(name)}; the first {_MAX_NAME} of them would do"
    shown = _show(name)
    right = "".join(character for character in name if character.isprintable())
    return f"found {shown}" + (f"; did you mean {_show(right)}?" if right else "")


def _read_fault(sent: Mapping[str, str]) -> RequestedFault | None:
    value = sent.get(FAULT_HEADER)
    if value is None:
        return None
    word, *rest = (part.strip() for part in value.split(";"))
    status = None
    kind = _KINDS.get(word)
    if kind is None and _STATUS.fullmatch(word) and 400 <= int(word) <= 599:
        status = int(word)
        kind = kind_of_status(status)
    if kind is None:
        hint = meant_fault(word, _KINDS)
        raise _refusal(
            FAULT_HEADER,
            f"unknown kind {_show(word)}{hint} One of: {', '.join(_KINDS)}, or a status from 400 to 599",
        )
    pairs = _read_pairs(FAULT_HEADER, rest, _FAULT_KEYS)
    has_place = isinstance(kind, WireFaultKind) and EFFECTS[kind].has_place
    for key in ("at", "share"):
        if key in pairs and not has_place:
            raise _refusal(FAULT_HEADER, f"{word} has no place in the response; leave {key} out")
    if "at" in pairs and "share" in pairs:
        raise _refusal(FAULT_HEADER, "wanted at or share, found both")
    if "for_ms" in pairs and isinstance(kind, WireFaultKind) and kind not in _TIMED:
        timed = ", ".join(one.value for one in _TIMED)
        raise _refusal(FAULT_HEADER, f"{word} has no duration; leave for_ms out. {timed} and errors have one")
    return RequestedFault(
        kind,
        status=status,
        after=_read_whole(FAULT_HEADER, pairs, _INTEGER, 0, _MOST_TOKENS, key="at"),
        share=_read_number(FAULT_HEADER, "share", pairs["share"], 1) if "share" in pairs else None,
        for_ms=_read_number(FAULT_HEADER, "for_ms", pairs["for_ms"], _MOST_MS) if "for_ms" in pairs else None,
    )


def _read_generator(sent: Mapping[str, str]) -> RequestedGenerator | None:
    value = sent.get(_GENERATOR)
    match value:
        case None:
            return None
        case "lorem" | "random" | "echo":
            return RequestedGenerator(value)
        case _ if value.startswith("fixed:") and len(value) > len("fixed:"):
            return RequestedGenerator("fixed", _decode(value.removeprefix("fixed:")))
        case "fixed" | "fixed:":
            raise _refusal(_GENERATOR, "fixed needs a text: fixed:TEXT; for example fixed:Hello")
    word = value.partition(":")[0]
    if word == "sequence":
        problem = "sequence reads a file, which a request cannot name."
    else:
        problem = f"unknown generator {_show(value)}{meant_generator(value)}"
    raise _refusal(_GENERATOR, f"{problem} One of: {', '.join(_GENERATORS)}")


def _read_scenario(sent: Mapping[str, str]) -> RequestedScenario | None:
    value = sent.get(SCENARIO_HEADER)
    if value is None:
        return None
    name, *rest = value.split()
    pairs = _read_pairs(SCENARIO_HEADER, rest, ("seed", "speed"))
    seed = _read_whole(SCENARIO_HEADER, pairs, re.compile(r"[0-9]{1,20}"), 0, 2**64 - 1, key="seed")
    factor = pairs.get("speed", "1")
    if not _NUMBER.fullmatch(factor) or float(factor) == 0:
        raise _refusal(
            SCENARIO_HEADER, f"speed: wanted a number above 0, found {_show(factor)}; did you mean 1?"
        )
    speed = _read_number(SCENARIO_HEADER, "speed", factor, _MOST_MS)
    return RequestedScenario(printable(name[:_SHOWN]), seed or 0, speed)


def _read_pairs(header: str, parts: Collection[str], keys: tuple[str, ...]) -> dict[str, str]:
    """Read `KEY=VALUE` several times, each key once."""
    pairs: dict[str, str] = {}
    for part in parts:
        key, equals, text = (one.strip() for one in part.partition("="))
        if key not in keys:
            meant = nearest(key[:_SHOWN], keys)
            hint = f"; did you mean {meant}?" if meant else "."
            raise _refusal(header, f"unknown key {_show(key)}{hint} One of: {', '.join(keys)}")
        if not equals:
            raise _refusal(header, f"{key}: wanted {key}=VALUE, found no value")
        if key in pairs:
            raise _refusal(header, f"{key}: wanted it once, found it twice")
        pairs[key] = text
    return pairs


def _read_number(header: str, key: str, text: str, most: int) -> float:
    if not _NUMBER.fullmatch(text) or float(text) > most:
        raise _refusal(
            header,
            f"{key}: wanted a number from 0 to {most}, found {_show(text)}{meant_number(key, text, 0, most)}",
        )
    return float(text)


def _read_whole(
    header: str, sent: Mapping[str, str], pattern: re.Pattern[str], least: int, most: int, *, key: str = ""
) -> int | None:
    text = sent.get(key or header)
    if text is None:
        return None
    if not pattern.fullmatch(text) or not least <= int(text) <= most:
        wanted = f"wanted a whole number from {least} to {most}"
        meant = meant_number(key or header, text, least, most, is_whole=True)
        raise _refusal(header, f"{f'{key}: ' if key else ''}{wanted}, found {_show(text)}{meant}")
    return int(text)


def _decode(value: str) -> str:
    """Return a value that is UTF-8 as that."""
    if not value.isascii():
        with contextlib.suppress(UnicodeError):
            return value.encode("latin-1").decode()
    return value


def _show(value: str) -> str:
    plain = printable(_decode(value)[: _SHOWN + 1])
    return literal(plain if len(plain) <= _SHOWN else f"{plain[:_SHOWN]}…")


def _refusal(header: str, problem: str) -> InvalidFieldError:
    return InvalidFieldError((header,), "conflict", f"{header}: {problem}")
