"""The engines of one worker: which serves a request, and its place there.

Decisions:
* A turn that a script or scenario times itself, and one with a fault on the wire, keep their planned schedule and take no place.
* What is stored must be timed when it is planned: it gets the times that a request would have had which began when the last one did.
  The response itself is timed by the steps. A response in the background has only the former, but takes its place all the same, until
  it is cancelled by whichever worker.
* A request that asks for latencies of its own (`x-llmsim-latency`) has these, without a place.
* Requests beyond the bound are refused as by a provider that is overloaded: memory is bounded, and so is the time of waiting.
"""

import fnmatch
import hashlib
import os
import time
from pathlib import Path
from typing import Any

import msgspec
from msgspec.structs import replace

from llmsim.config import EngineSettings, LatencySettings, Settings, engines_by_pattern
from llmsim.domain import Fault, FaultKind, Schedule, Turn
from llmsim.planning.prompt_facts import PromptFacts
from llmsim.providers.contract import ParsedRequest
from llmsim.providers.storage import ResponseStorage
from llmsim.server.active_request import ActiveRequest
from llmsim.server.admission import OutputMeter
from llmsim.server.engine.reader import EnginePlace, EngineReader
from llmsim.server.engine.ticker import EngineTicker, owner_word
from llmsim.server.pacing import TimerWheel
from llmsim.server.played import Played
from llmsim.server.scenario_player import ScenarioAttempt
from llmsim.state.engine_memory import EngineMemory
from llmsim.stats import Recorder

_MOST_REMEMBERED = 1_024
"""Models whose engine is remembered."""

_MOST_ENTRIES = 65_536

_LEAST_GAP = 1e-6
"""Seconds: a schedule without gaps would have all tokens at once."""


def memory_name(settings: LatencySettings) -> str:
    """Return what the file that engines share is named by: workers with the same engines share them, also after a reload."""
    text = msgspec.json.encode(list(engines_by_pattern(settings).items()))
    return hashlib.blake2b(text, digest_size=6).hexdigest()


class Engines:
    """The engines as one worker serves by them."""

    def __init__(
        self,
        settings: Settings,
        path: Path,
        *,
        slot: int,
        slots: int,
        wheel: TimerWheel,
        recorder: Recorder,
    ) -> None:
        """Open the shared memory; the ticker starts with the loop.

        Args:
            settings: The engines are a part of them.
            path: The file that is shared.
            slot: This worker's slot of the stats block.
            slots: How many there are.
            wheel: Calls back.
            recorder: Counts for this worker.

        Raises:
            OSError: The memory cannot be made.
        """
        by_pattern = engines_by_pattern(settings.latency)
        self._tables = tables = list(by_pattern.values())
        self._numbers = {pattern: number for number, pattern in enumerate(by_pattern)}
        self._latency = settings.latency
        self._retry_after = settings.errors.retry_after_ms / 1e3
        self._by_model: dict[str, int] = {}
        entries = min(_MOST_ENTRIES, sum(table.max_requests for table in tables))
        memory = EngineMemory(path, engines=len(tables), slots=slots, entries=entries)
        memory.claim(slot, owner_word(os.getpid()))
        overheads = [table.output_overhead_ms / 1e3 for table in tables]
        # Tickets count on from the clock, so that no two workers with the same slot have the same.
        ticket = time.monotonic_ns()
        self._memory = memory
        self._reader = EngineReader(memory, slot, overheads, wheel, time.monotonic, ticket)
        lease = path.with_name(f"{path.name}-lease")
        self.ticker = EngineTicker(memory, tables, lease, wheel, recorder, self._reader, time.monotonic)
        self.ticker.start()

    def use(self, settings: Settings) -> None:
        """Put other settings in force: of the engines from their next step on. One that is unset goes on with what it holds."""
        self._latency = settings.latency
        self._retry_after = settings.errors.retry_after_ms / 1e3
        self._by_model.clear()
        for pattern, table in engines_by_pattern(settings.latency).items():
            number = self._numbers[pattern]
            self._tables[number] = table
            self._reader.feeds[number].overhead = table.output_overhead_ms / 1e3
        self.ticker.use(self._tables)

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
        number = self._by_model.get(facts.model.id)
        if number is None:
            number = self._find(facts.model.id)
        if number < 0 or turn.wire_fault is not None or (played is not None and _times_itself(played)):
            return turn, None
        settings, usage = self._tables[number], turn.usage
        end = turn.truncated_after
        tokens = max(1, turn.length if end is None else end)
        place = None
        if self._memory.held(number) < settings.max_requests:
            place = self._reader.enter(
                number,
                active.arrival,
                usage.prompt,
                tokens,
                min(usage.cached, usage.prompt),
                len(turn.choices),
            )
        if place is None:
            return Fault(FaultKind.OVERLOADED, retry_after=self._retry_after), None
        if storage is not None and not parsed.prompt.stream and storage.is_background(parsed.options):
            place.leave_after(tokens)
        else:
            active.hold_until_end(place.leave)
        expected = replace(turn, schedule=self._expected(number, settings, turn))
        if active.admission is not None and active.admission.meter is not None:
            active.admission.meter = OutputMeter(expected, active.arrival)
        return expected, place

    def cancel(self, place: tuple[int, int]) -> None:
        """Free a place of a response in the background, whichever worker holds it; see `EnginePlace.id`."""
        self._reader.cancel(place)

    def _expected(self, number: int, settings: EngineSettings, turn: Turn) -> Schedule:
        waited, step = self._reader.pace(number)
        step = step or settings.step_base_ms / 1e3
        read = (turn.usage.prompt - turn.usage.cached) * settings.step_prefill_token_us / 1e6
        overhead = (settings.overhead_ms + settings.output_overhead_ms) / 1e3
        return Schedule(ttft=overhead + waited + step + read, itl=max(_LEAST_GAP, step))

    def _find(self, model: str) -> int:
        """Return the number of a model's engine: that of the longest pattern that fits, or of all models; -1 if it has none."""
        table, patterns = self._latency, self._latency.models
        fitting = [pattern for pattern in patterns if fnmatch.fnmatchcase(model, pattern)]
        longest = max(fitting, key=len, default="")
        pattern = longest if longest and patterns[longest].engine is not None else ""
        number = self._numbers[pattern] if pattern or table.engine is not None else -1
        if len(self._by_model) >= _MOST_REMEMBERED:
            self._by_model.clear()
        self._by_model[model] = number
        return number


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
