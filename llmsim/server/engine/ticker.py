"""The steps of an engine, run by the one worker that holds its lease.

Decisions:
* The lease is a lock on a file, which the system releases with its holder, however that ends; the others try each quarter of a second.
  The next holder goes on from what is in the shared memory: what decodes goes on decoding, what was read is read anew.
* A step is planned a little after its start, so that requests are part of it that arrived before it and are only just parsed. So the
  steps depend on arrivals, not on how many workers there are, or how busy.
* Steps follow each other without regard to when they are run: a ticker that comes late catches up, and what it delayed is the
  lateness of the tokens. Only after seconds, when the machine or the process was stopped, does the engine go on from the present.
* Requests of a worker that is dead are dropped when its process is found to be gone.
* An engine that is switched off ends what it holds. Then nothing of it is left but its memory: the lease is given up, and nothing
  looks for it, until it is wanted again.
"""

import fcntl
import os
from collections.abc import Callable
from pathlib import Path

from llmsim.config import EngineSettings
from llmsim.engine import Engine, EngineRequest, Step
from llmsim.server.engine.reader import EngineReader, grace
from llmsim.server.pacing import TimerWheel
from llmsim.state.directory import open_private
from llmsim.state.engine_memory import (
    ADMISSIONS,
    ENDS,
    FIRST_END,
    PREEMPTIONS,
    STEP,
    WAIT,
    EngineMemory,
    SharedRequest,
    pack_answer,
    unpack_answer,
)
from llmsim.state.owners import read_start_time
from llmsim.stats import Recorder

_SEEK = 0.25
"""Seconds between two looks for the lease, or for workers that are gone."""

_IDLE_SHARE, _MOST_IDLE = 0.4, 0.008
"""Share of the shortest step, and seconds, between two looks for requests while there are none: the first step is planned before its
end all the same."""

_MOST_LATE = 2.0
"""Seconds after which the steps that were missed are left out."""

_MOST_STEPS = 50
"""Steps that are run in one go to catch up."""

_START_BITS = 24


def owner_word(pid: int) -> int:
    """Return what stands for a process in the shared memory: its id and the end of its start time; 0 if it is gone."""
    start = read_start_time(pid)
    if start is None:
        return 0
    return pid << _START_BITS | (int(start) if start else 0) & ((1 << _START_BITS) - 1)


class _Admitted:
    """What the ticker knows of one request."""

    __slots__ = ("answer_at", "arrival", "emitted", "id", "ticket")

    def __init__(self, request: SharedRequest, answer_at: int, request_id: int) -> None:
        self.ticket = request.ticket
        self.arrival = request.arrival
        self.answer_at = answer_at
        self.id = request_id
        self.emitted = 0  # tokens produced when it was last preempted


class EngineTicker:
    """Runs the steps of an engine while it holds the lease.

    Attributes:
        is_seeking: Whether it looks for the lease, or holds it.
    """

    def __init__(
        self,
        memory: EngineMemory,
        settings: EngineSettings,
        lease: Path,
        wheel: TimerWheel,
        recorder: Recorder,
        reader: EngineReader,
        clock: Callable[[], float],
        find_owner: Callable[[int], int] = owner_word,
    ) -> None:
        """Prepare to run; see `start`.

        Args:
            memory: What all workers share.
            settings: The engine's.
            lease: The file that is locked.
            wheel: Calls back.
            recorder: Counts for this worker.
            reader: Is called when a step is published.
            clock: The monotonic clock.
            find_owner: Returns the word for a process.
        """
        self._memory = memory
        self._lease = lease
        self._file = -1
        self._wheel = wheel
        self._recorder = recorder
        self._reader = reader
        self._clock = clock
        self._find_owner = find_owner
        self._engine: Engine | None = None
        self._requests: dict[int, _Admitted] = {}
        self._known: dict[tuple[int, int], _Admitted] = {}
        self._logged = [0] * memory.slots
        self._logged_at = [memory.logged_at(slot) for slot in range(memory.slots)]
        self._owners = [0] * memory.slots
        self._next_id = 0
        self._gauges: dict[str, int] = {}
        self._is_wanted = False
        self.is_seeking = False
        self.use(settings)

    @property
    def holds_lease(self) -> bool:
        """Whether this worker runs the engine."""
        return self._engine is not None

    def use(self, settings: EngineSettings) -> None:
        """Put other settings in force, from the next step on."""
        self._settings = settings
        # The gauges are written anew.
        self._is_idle = False
        self._idle = min(_MOST_IDLE, settings.step_base_ms / 1e3 * _IDLE_SHARE)
        if self._engine is not None and self._engine.settings != settings:
            self._engine.use(settings)

    def start(self) -> None:
        """Try to get the lease, again and again."""
        self._is_wanted = True
        self.resume()

    def stop(self) -> None:
        """Stop once nothing is left in the engine."""
        self._is_wanted = False

    def resume(self) -> None:
        """Go on if it has stopped: there is a request all the same."""
        if not self.is_seeking:
            self._seek()

    def _seek(self) -> None:
        if self._engine is not None:
            self._drop_dead()
        elif self._lock():
            self._take_over()
        self.is_seeking = self._is_wanted or self._memory.held() > 0
        if self.is_seeking:
            self._wheel.at(self._clock() + _SEEK, self._seek)
        else:
            self._give_up()

    def _give_up(self) -> None:
        """Give up the lease, with an engine that is empty."""
        self._engine = None
        self._known.clear()
        self._requests.clear()
        self._reader.is_fed = False
        self._show()
        if self._file >= 0:
            os.close(self._file)
            self._file = -1

    def _lock(self) -> bool:
        try:
            if self._file < 0:
                self._file = open_private(self._lease)
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            return False
        return True

    def _take_over(self) -> None:
        """Go on from what is in the shared memory."""
        memory = self._memory
        step = memory.words[STEP]
        engine = Engine(self._settings, number=step, end=memory.numbers[FIRST_END + (step & (ENDS - 1))])
        self._engine, self._is_idle = engine, False
        self._drop_dead()
        decoding: list[tuple[int, EngineRequest]] = []
        for slot in range(memory.slots):
            self._logged[slot] = memory.logged(slot)
            if not memory.owner(slot):
                continue
            for entry in range(memory.entries):
                request = memory.read(slot, entry)
                if request is not None:
                    self._restore(engine, slot, entry, request, decoding)
        for first, engine_request in sorted(decoding, key=lambda one: (one[0], one[1].arrival)):
            engine.restore(engine_request, first)
        self._reader.is_fed = True
        self._arm(engine, self._clock())

    def _restore(
        self,
        engine: Engine,
        slot: int,
        entry: int,
        request: SharedRequest,
        decoding: list[tuple[int, EngineRequest]],
    ) -> None:
        """Take a request of a former ticker."""
        admitted = self._admit(slot, entry, request)
        emitted, first = unpack_answer(self._memory.words[admitted.answer_at], request.ticket)
        produced = emitted
        if 0 < first <= engine.number:
            produced += engine.number - first + 1
        if produced >= max(1, request.completion_tokens):
            del self._requests[admitted.id]
            return
        admitted.emitted = emitted
        engine_request = _engine_request(request, admitted.id, emitted)
        if 0 < first <= engine.number:
            decoding.append((first, engine_request))
            return
        # Its first token was to exist at the end of a step that was never published.
        self._memory.words[admitted.answer_at] = pack_answer(request.ticket, emitted, 0)
        engine.add(engine_request)

    def _admit(self, slot: int, entry: int, request: SharedRequest) -> _Admitted:
        self._next_id += 1
        admitted = _Admitted(request, self._memory.answer_at(slot, entry), self._next_id)
        self._known[slot, entry] = self._requests[admitted.id] = admitted
        return admitted

    def _drop_dead(self) -> None:
        """Drop the requests of workers that are gone, or were replaced."""
        memory = self._memory
        for slot in range(memory.slots):
            owner = memory.owner(slot)
            if owner and self._find_owner(owner >> _START_BITS) != owner:
                memory.release(slot)
                owner = 0
            if owner != self._owners[slot]:
                self._owners[slot] = owner
                for entry in [entry for of, entry in self._known if of == slot]:
                    self._look(slot, entry)

    def _collect(self) -> None:
        """Take the requests that came or left since the last look."""
        words = self._memory.words
        # PERF: 1 us where nothing has changed, which is so hundreds of times a second.
        found = [words[index] for index in self._logged_at]
        if found == self._logged:
            return
        for slot, (before, logged) in enumerate(zip(self._logged, found, strict=True)):
            if logged != before:
                for entry in self._memory.changed(slot, before, logged):
                    self._look(slot, entry)
        self._logged = found

    def _look(self, slot: int, entry: int) -> None:
        """Bring what is known of an entry up to date."""
        engine = self._engine
        assert engine is not None, "it is looked at by the worker that runs the engine"
        known = self._known.get((slot, entry))
        if known is not None:
            if self._memory.ticket(slot, entry) == known.ticket:
                return
            del self._known[slot, entry]
            if self._requests.pop(known.id, None) is not None:
                engine.remove(known.id)
        request = self._memory.read(slot, entry)
        if request is not None:
            engine.add(_engine_request(request, self._admit(slot, entry, request).id, 0))

    def _arm(self, engine: Engine, instant: float) -> None:
        self._wheel.at(instant, lambda: self._tick(engine))

    def _tick(self, engine: Engine) -> None:
        """Run the next step, if it is time."""
        if engine is not self._engine:
            return
        now = self._clock()
        self._collect()
        start = engine.next_start
        shortest = engine.shortest
        if start is None:
            if not self._is_idle:
                self._is_idle = True
                self._show()
            self._arm(engine, now + self._idle)
            return
        self._is_idle = False
        margin = grace(shortest)
        if now < start + margin:
            self._arm(engine, start + margin if engine.running else min(start + margin, now + self._idle))
            return
        if now > start + _MOST_LATE:
            self._recorder.late(now - margin - start)
            start = now - margin
        for _ in range(_MOST_STEPS):
            step = engine.step(start)
            if step is None:
                break
            self._publish(engine, step)
            start = step.end
            if now < start + margin:
                break
        self._show()
        self._arm(engine, engine.end + margin)

    def _publish(self, engine: Engine, step: Step) -> None:
        """Answer the requests that began or were preempted, then publish the step."""
        memory, words, requests = self._memory, self._memory.words, self._requests
        for request_id in step.preempted:
            preempted = requests[request_id]
            preempted.emitted, _ = engine.progress(request_id)
            words[preempted.answer_at] = pack_answer(preempted.ticket, preempted.emitted, 0)
        for request_id in step.started:
            started = requests[request_id]
            words[started.answer_at] = pack_answer(started.ticket, started.emitted, step.number)
            if not started.emitted:
                memory.numbers[WAIT] = max(0.0, step.start - started.arrival)
        for request_id in step.finished:
            del requests[request_id]
        if step.started:
            words[ADMISSIONS] += 1
        memory.publish(step.number, step.end, step.end - step.start)
        if step.preempted:
            words[PREEMPTIONS] += len(step.preempted)
            self._recorder.count("engine_preemptions", len(step.preempted))
        self._reader.look()

    def _show(self) -> None:
        """Write the gauges: all are 0 where this worker does not run the engine."""
        engine = self._engine
        size = self._settings.block_tokens
        self._gauge("engines", int(engine is not None))
        self._gauge("engine_running", engine.running if engine else 0)
        self._gauge("engine_waiting", engine.waiting if engine else 0)
        self._gauge("engine_kv_tokens", engine.used_blocks * size if engine else 0)
        self._gauge("engine_kv_capacity", engine.blocks * size if engine else 0)

    def _gauge(self, name: str, value: int) -> None:
        shown = self._gauges.get(name, 0)
        if value != shown:
            self._gauges[name] = value
            self._recorder.count(name, value - shown)


def _engine_request(request: SharedRequest, request_id: int, emitted: int) -> EngineRequest:
    return EngineRequest(
        request_id,
        request.arrival,
        request.prompt_tokens,
        request.completion_tokens,
        request.cached_tokens,
        request.sequences,
        emitted,
    )
