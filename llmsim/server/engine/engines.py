"""The engines of one worker: those in force, and those that were and still end what they hold.

Decisions:
* An engine is known by the pattern of its models. Its settings change while it runs; one that is switched off and on again is the same.
* The memory of an engine is made when it is first wanted, in the run directory, in a thread. What is never wanted costs nothing.
* Each state of the settings has a router of its own: a request that began under one goes on with its engines.
"""

import asyncio
import hashlib
from pathlib import Path

import msgspec

from llmsim.config import EngineSettings, LatencySettings, Settings, engines_by_pattern
from llmsim.errors import StoreError
from llmsim.server.engine.router import EngineRouter
from llmsim.server.engine.shared_engine import SharedEngine, entries_for, open_memory
from llmsim.server.pacing import TimerWheel
from llmsim.state.engine_memory import EngineMemory
from llmsim.stats import Recorder


class Engines:
    """The engines as one worker serves by them.

    Attributes:
        router: Which engine serves a request, by the settings in force; None if none serves any.
    """

    def __init__(
        self,
        settings: LatencySettings,
        files: Path,
        *,
        slots: int,
        wheel: TimerWheel,
        recorder: Recorder,
    ) -> None:
        """Begin without engines; see `start` and `use`.

        Args:
            settings: Those of the start.
            files: What the files that are shared begin with.
            slots: How many slots the stats block has.
            wheel: Calls back.
            recorder: Counts for this worker.
        """
        self.router: EngineRouter | None = None
        # NOTE: workers that begin with the same engines share them, also after a reload; those before and after another one do not.
        self._start = msgspec.json.encode(list(engines_by_pattern(settings).items()))
        self._files = files
        self._slot = 0
        self._slots = slots
        self._wheel = wheel
        self._recorder = recorder
        self._engines: dict[Path, SharedEngine] = {}
        self._prepared: dict[Path, EngineMemory] = {}

    def start(self, slot: int) -> None:
        """Set the slot of the stats block that this worker has; before the first `use`."""
        self._slot = slot

    def are_at_work(self) -> bool:
        """Return whether there is an engine, or one that was switched off still ends what it holds."""
        return any(engine.ticker.is_seeking for engine in self._engines.values())

    def _path(self, pattern: str, settings: EngineSettings) -> Path:
        key = b"%b %d %b" % (self._start, entries_for(settings), pattern.encode())
        return self._files.with_name(f"{self._files.name}-{hashlib.blake2b(key, digest_size=6).hexdigest()}")

    async def prepare(self, settings: Settings) -> None:
        """Make what `use` needs of the disk, in a thread.

        Raises:
            StoreError: The memory of an engine cannot be made.
        """
        for pattern, engine in engines_by_pattern(settings.latency).items():
            path = self._path(pattern, engine)
            if path not in self._engines and path not in self._prepared:
                self._prepared[path] = await asyncio.to_thread(self._open, path, engine)

    def _open(self, path: Path, settings: EngineSettings) -> EngineMemory:
        try:
            return open_memory(path, self._slot, self._slots, entries_for(settings))
        except OSError as error:
            raise StoreError(f"the memory of an engine cannot be made: {error}") from None

    def use(self, settings: Settings) -> None:
        """Put settings in force: of the engines from their next step on. One that is unset ends what it holds.

        Raises:
            StoreError: The memory of an engine cannot be made.
        """
        wanted: dict[str, SharedEngine] = {}
        for pattern, engine_settings in engines_by_pattern(settings.latency).items():
            path = self._path(pattern, engine_settings)
            engine = self._engines.get(path)
            if engine is None:
                memory = self._prepared.pop(path, None) or self._open(path, engine_settings)
                lease = path.with_name(f"{path.name}-lease")
                engine = self._engines[path] = SharedEngine(
                    memory,
                    engine_settings,
                    lease,
                    slot=self._slot,
                    wheel=self._wheel,
                    recorder=self._recorder,
                )
            engine.use(engine_settings)
            wanted[pattern] = engine
        in_force = wanted.values()
        for engine in self._engines.values():
            if engine not in in_force:
                engine.ticker.stop()
        self.router = EngineRouter(settings, wanted) if wanted else None

    def cancel(self, place: tuple[int, int]) -> None:
        """Free a place of a response in the background, whichever worker holds it; see `EnginePlace.id`."""
        # Its ticket is that of one engine only; for all others it means nothing.
        for engine in self._engines.values():
            engine.reader.cancel(place)
