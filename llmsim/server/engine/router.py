"""Which engine serves a request, by one state of the settings, and its place there.

Decisions:
* A turn that a script or scenario times itself, and one with a fault on the wire, keep their planned schedule and take no place.
* What is stored must be timed when it is planned: it gets the times that a request would have had which began when the last one did.
  The response itself is timed by the steps. A response in the background has only the former, but takes its place all the same, until
  it is cancelled by whichever worker.
* A request that asks for latencies of its own (`x-llmsim-latency`) has these, without a place.
* Requests beyond the bound are refused as by a provider that is overloaded: memory is bounded, and so is the time of waiting.
"""

import fnmatch
from collections.abc import Mapping
from typing import Any

from msgspec.structs import replace

from llmsim.config import Settings
from llmsim.domain import Fault, FaultKind, Schedule, Turn
from llmsim.planning.prompt_facts import PromptFacts
from llmsim.providers.contract import ParsedRequest
from llmsim.providers.storage import ResponseStorage
from llmsim.server.active_request import ActiveRequest
from llmsim.server.admission import OutputMeter
from llmsim.server.engine.reader import EnginePlace
from llmsim.server.engine.shared_engine import SharedEngine
from llmsim.server.played import Played
from llmsim.server.scenario_player import ScenarioAttempt

_MOST_REMEMBERED = 1_024
"""Models whose engine is remembered."""

_LEAST_GAP = 1e-6
"""Seconds: a schedule without gaps would have all tokens at once."""


class EngineRouter:
    """The engines by the models that they serve, as long as the settings stay as they are."""

    def __init__(self, settings: Settings, engines: Mapping[str, SharedEngine]) -> None:
        """Begin.

        Args:
            settings: Those in force.
            engines: By the pattern of their models; that of all models by an empty one.
        """
        self._engines = engines
        self._latency = settings.latency
        self._retry_after = settings.errors.retry_after_ms / 1e3
        self._by_model: dict[str, SharedEngine | None] = {}

    def enter(
        self,
        turn: Turn,
        facts: PromptFacts,
        played: Played | None,
        active: ActiveRequest,
        parsed: ParsedRequest[Any],
        storage: ResponseStorage[Any] | None,
    ) -> tuple[Turn | Fault, EnginePlace | None]:
        """Put a turn into the queue of its model's engine, if it has one.

        Args:
            turn: The turn as it is planned.
            facts: From planning.
            played: What is played; None if the turn was generated.
            active: The request.
            parsed: The request as parsed.
            storage: How its endpoint stores responses; None if it does not.

        Returns:
            The turn with the times that are expected, or the fault that the request is refused with; and its place.
        """
        model = facts.model.id
        engine = self._by_model[model] if model in self._by_model else self._find(model)
        if engine is None or turn.wire_fault is not None or (played is not None and _times_itself(played)):
            return turn, None
        usage, end = turn.usage, turn.truncated_after
        tokens = max(1, turn.length if end is None else end)
        cached = min(usage.cached, usage.prompt)
        place = engine.enter(active.arrival, usage.prompt, tokens, cached, len(turn.choices))
        if place is None:
            return Fault(FaultKind.OVERLOADED, retry_after=self._retry_after), None
        if storage is not None and not parsed.prompt.stream and storage.is_background(parsed.options):
            place.leave_after(tokens)
        else:
            active.hold_until_end(place.leave)
        expected = replace(turn, schedule=_expected(engine, turn))
        if active.admission is not None and active.admission.meter is not None:
            active.admission.meter = OutputMeter(expected, active.arrival)
        return expected, place

    def _find(self, model: str) -> SharedEngine | None:
        """Return a model's engine: that of the longest pattern that fits, or of all models; None if it has none."""
        patterns = self._latency.models
        fitting = [pattern for pattern in patterns if fnmatch.fnmatchcase(model, pattern)]
        longest = max(fitting, key=len, default="")
        engine = (self._engines.get(longest) if longest else None) or self._engines.get("")
        if len(self._by_model) >= _MOST_REMEMBERED:
            self._by_model.clear()
        self._by_model[model] = engine
        return engine


def _expected(engine: SharedEngine, turn: Turn) -> Schedule:
    """Return the schedule that is expected when a turn is planned."""
    settings = engine.settings
    waited, step = engine.reader.pace()
    step = step or settings.step_base_ms / 1e3
    read = (turn.usage.prompt - turn.usage.cached) * settings.step_prefill_token_us / 1e6
    overhead = (settings.overhead_ms + settings.output_overhead_ms) / 1e3
    return Schedule(ttft=overhead + waited + step + read, itl=max(_LEAST_GAP, step))


def _times_itself(played: Played) -> bool:
    """Whether a script, scenario or rule says when the tokens of its turn exist."""
    if not isinstance(played, ScenarioAttempt):
        return played.step.turn.latency is not None or played.step.turn.delay_ms > 0
    resolved, timing = played.resolved, played.resolved.timing
    return (
        resolved.ttft_ms is not None
        or resolved.speed != 1
        or timing.tokens_per_sec is not None
        or timing.stall is not None
    )
