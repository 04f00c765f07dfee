"""Faults on the wire: drawn by rate, or as a script or a scenario has them, and put into a turn.

Decisions:
* One sample a request against the stacked rates, whatever its model and key: with a seed, the request of a number has the same
  fault, or none if the fault is not for it.
* A stall is part of the schedule: an unstreamed response takes as long as its stream.
* What a fault changes of a turn is changed here: its content, its schedule, its end. The rest is done to its frames.
"""

from collections.abc import Sequence
from fnmatch import fnmatchcase
from itertools import accumulate

from msgspec.structs import replace

from llmsim.config import FaultSettings
from llmsim.domain import (
    Choice,
    Schedule,
    Segment,
    StreamFault,
    TokenizedText,
    ToolCallSegment,
    Turn,
    WireFault,
    WireFaultKind,
)
from llmsim.planning.rng import Random
from llmsim.scripts import ScriptStreamFault

_PAUSES = {WireFaultKind.STALL: "stall_ms", WireFaultKind.SLOW_DRIP: "drip_ms"}


class WireFaults:
    """Draws a fault on the wire, or None, by the rates of `[faults]`.

    Attributes:
        active: Whether there is a rate.
        needs_key: Whether it depends on the API key of a request.
    """

    def __init__(self, settings: FaultSettings) -> None:
        self._models = settings.models
        self._keys = settings.keys
        rated = [(kind, getattr(settings, f"{kind.value}_rate")) for kind in WireFaultKind]
        faults = [
            WireFault(
                kind,
                after=settings.after_tokens,
                share=settings.at,
                pause=getattr(settings, _PAUSES[kind]) / 1000 if kind in _PAUSES else 0.0,
            )
            for kind, _ in rated
        ]
        self._steps = tuple(zip(accumulate(rate for _, rate in rated), faults, strict=True))
        self.active = any(rate for _, rate in rated)
        self.needs_key = self.active and bool(self._keys)

    def draw(self, rng: Random, model: str, key: str, model_id: str = "") -> WireFault | None:
        """Return the fault of one response; None if it has none.

        Args:
            rng: Draws it.
            model: Model id as requested.
            key: API key of the request; empty if it has none.
            model_id: Id of the model, which may have been requested by an alias or snapshot.
        """
        if not self.active:
            return None
        sample = rng.random()
        if not (_matches(model, self._models) or _matches(model_id, self._models)):
            return None
        if not _matches(key, self._keys):
            return None
        return next((fault for step, fault in self._steps if sample < step), None)


def _matches(text: str, patterns: Sequence[str]) -> bool:
    return not patterns or any(fnmatchcase(text, pattern) for pattern in patterns)


def scripted_wire_fault(fault: ScriptStreamFault, speed: float = 1.0) -> WireFault:
    """Return the fault of a turn of a script or a scenario.

    Args:
        fault: What the file says of it.
        speed: Factor on its times.
    """
    return WireFault(
        fault.kind,
        after=fault.after_tokens,
        share=fault.share,
        pause=fault.for_ms * speed / 1000,
        error=fault.failure,
    )


def with_wire_fault(turn: Turn, fault: WireFault) -> Turn:
    """Return a turn with a fault: its place is set, and what it changes of the turn itself is changed."""
    length = max(turn.length, 1)
    after = int(fault.share * turn.length) if fault.after is None else fault.after
    share = fault.share if fault.after is None else min(after / length, 1.0)
    placed = replace(fault, after=after, share=share)
    match fault.kind:
        case WireFaultKind.STALL:
            # Before the last token at the latest: nothing waits behind it.
            before = min(after, length - 1)
            return replace(turn, schedule=_stalled(turn.schedule, before, fault.pause), wire_fault=placed)
        case WireFaultKind.ERROR | WireFaultKind.DISCONNECT:
            ending = StreamFault(after, fault.error, disconnect=fault.kind is WireFaultKind.DISCONNECT)
            return replace(turn, stream_fault=ending, wire_fault=placed)
        case WireFaultKind.TRUNCATED_ARGUMENTS:
            return _with_truncated_arguments(turn, placed)
    return replace(turn, wire_fault=placed)


def _stalled(schedule: Schedule, after: int, pause: float) -> Schedule:
    if after == 0:
        return replace(schedule, ttft=schedule.ttft + pause)
    return replace(schedule, stall_after=after, stall=pause)


def _with_truncated_arguments(turn: Turn, fault: WireFault) -> Turn:
    """Cut the arguments of the last call of each choice that has one; the same turn if there is none."""
    choices = tuple([_truncated(choice, fault.share) for choice in turn.choices])
    if choices == turn.choices:
        return turn
    lost = sum(choice.tokens for choice in turn.choices) - sum(choice.tokens for choice in choices)
    usage = replace(turn.usage, completion=max(turn.usage.completion - lost, turn.usage.reasoning))
    return replace(turn, choices=choices, usage=usage, wire_fault=fault)


def _truncated(choice: Choice, share: float) -> Choice:
    segments: list[Segment] = list(choice.segments)
    for index in reversed(range(len(segments))):
        segment = segments[index]
        if isinstance(segment, ToolCallSegment) and segment.arguments.pieces:
            text = segment.arguments
            kept = min(int(share * len(text.pieces)), len(text.pieces) - 1)
            cut = TokenizedText(text.pieces[:kept], text.cumulative_tokens[:kept])
            segments[index] = replace(
                segment, arguments=cut, tokens=segment.tokens - text.tokens + cut.tokens
            )
            return replace(choice, segments=tuple(segments))
    return choice
