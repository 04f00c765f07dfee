"""One engine that all workers share, as one worker has it: its memory, its steps, and who runs them."""

import os
import time
from pathlib import Path

from llmsim.config import EngineSettings
from llmsim.server.engine.reader import EnginePlace, EngineReader
from llmsim.server.engine.ticker import EngineTicker, owner_word
from llmsim.server.pacing import TimerWheel
from llmsim.state.engine_memory import EngineMemory
from llmsim.stats import Recorder

ENTRIES = (4_096, 16_384, 65_536)
"""Requests that a worker can hold, by what `max_requests` needs. Few sizes: with each, an engine has a memory of its own."""


def entries_for(settings: EngineSettings) -> int:
    """Return how many requests a worker must be able to hold."""
    return next(entries for entries in ENTRIES if settings.max_requests <= entries)


def open_memory(path: Path, slot: int, slots: int, entries: int) -> EngineMemory:
    """Map the memory of an engine, and claim a slot of it.

    Raises:
        OSError: It cannot be made.
    """
    memory = EngineMemory(path, slots=slots, entries=entries)
    memory.claim(slot, owner_word(os.getpid()))
    return memory


class SharedEngine:
    """An engine as one worker has it.

    Attributes:
        settings: Those in force.
        reader: When the tokens of this worker's requests exist.
        ticker: Runs the steps, while it is this worker's turn.
    """

    def __init__(
        self,
        memory: EngineMemory,
        settings: EngineSettings,
        lease: Path,
        *,
        slot: int,
        wheel: TimerWheel,
        recorder: Recorder,
    ) -> None:
        """Prepare to run; it begins with `use`.

        Args:
            memory: What is shared; see `open_memory`.
            settings: Those in force.
            lease: The file that the worker locks which runs the steps.
            slot: This worker's slot of the memory.
            wheel: Calls back.
            recorder: Counts for this worker.
        """
        self._memory = memory
        self.settings = settings
        # Tickets count on from the clock, so that no two workers with the same slot have the same, nor two engines of a worker.
        ticket = time.monotonic_ns()
        self.reader = EngineReader(memory, slot, 0.0, wheel, time.monotonic, ticket)
        self.ticker = EngineTicker(memory, settings, lease, wheel, recorder, self.reader, time.monotonic)

    def use(self, settings: EngineSettings) -> None:
        """Put settings in force, from the next step on, and take requests."""
        self.settings = settings
        self.reader.overhead = settings.output_overhead_ms / 1e3
        self.ticker.use(settings)
        self.ticker.start()

    def enter(
        self, arrival: float, prompt_tokens: int, completion_tokens: int, cached_tokens: int, sequences: int
    ) -> EnginePlace | None:
        """Ask for tokens; None if it is full."""
        if self._memory.held() >= self.settings.max_requests:
            return None
        place = self.reader.enter(arrival, prompt_tokens, completion_tokens, cached_tokens, sequences)
        # NOTE: a request that was planned before it was switched off comes behind that.
        self.ticker.resume()
        return place
