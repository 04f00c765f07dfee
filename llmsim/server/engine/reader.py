"""When the tokens of this worker's requests exist: read from the steps that the ticker publishes.

Decisions:
* The end of a step is published before that end, but not much before: a stream whose next token is not in a published step has no
  deadline yet. It waits in a list for the step of that token, which is known as soon as it decodes, and gets its deadline on the
  wheel when that step is published. PERF: 1 us for a token event; nothing is looked up for streams whose step is not there.
* Requests in the queue have no such step; they are looked at when the ticker has admitted any.
* Steps are looked for when the next is expected, and then each millisecond; and only while this worker has requests in the engine.
"""

import math
from collections import deque
from collections.abc import Callable

from llmsim.server.pacing import TimerWheel, UnknownInstant
from llmsim.state.engine_memory import (
    ADMISSIONS,
    ENDS,
    FIRST_END,
    MOST_TOKENS,
    SECONDS,
    STEP,
    WAIT,
    EngineMemory,
    SharedRequest,
    unpack_answer,
)

_POLL = 0.001
"""Seconds between two looks for a step that is expected."""

_MOST_GRACE = 0.005
_GRACE_SHARE = 0.25
"""Arrivals that become known within this time, or this share of a step, after the start of a step are still part of it."""

_FEW_STEPS = 64

Callback = Callable[[], None]


def grace(seconds: float) -> float:
    """Return how long after its start a step is planned, of a step that takes so many seconds."""
    return min(_MOST_GRACE, seconds * _GRACE_SHARE)


class AwaitedInstant(UnknownInstant):
    """The instant at which a token exists, which is not known yet: later than all others, until it is known.

    A channel waits for it as for any other; the wheel has it call when it can be known.
    """

    place: "EnginePlace"
    tokens: int

    __slots__ = ("place", "tokens")

    def call_when_known(self, callback: Callback) -> None:
        """Call `callback` once, when the token may exist."""
        self.place.reader.await_token(self.place, self.tokens, callback)

    def __le__(self, other: float) -> bool:
        """Return whether the token exists at an instant."""
        return self.place.find(self.tokens) <= other

    def __gt__(self, other: float) -> bool:
        """Return whether the token does not exist yet at an instant."""
        return self.place.find(self.tokens) > other

    def __rsub__(self, other: float) -> float:
        """Return how long before an instant the token came to exist."""
        return other - self.place.find(self.tokens)


class EnginePlace:
    """The place of one request in an engine.

    Attributes:
        reader: Where its steps are read.
        is_held: Whether it was not given up.
    """

    __slots__ = (
        "_answer_at",
        "_awaited",
        "_entry",
        "_latest",
        "_ticket",
        "_words",
        "is_held",
        "reader",
    )

    def __init__(self, reader: "EngineReader", entry: int, ticket: int, answer_at: int) -> None:
        self.reader = reader
        self._entry = entry
        self._ticket = ticket
        self._answer_at = answer_at
        self._words = reader.memory.words
        self._latest = 0.0
        self.is_held = True
        self._awaited = AwaitedInstant(math.inf)
        self._awaited.place = self

    @property
    def id(self) -> tuple[int, int]:
        """The slot of its worker, and its ticket there: by these it is known to all workers."""
        return self.reader.slot, self._ticket

    def step_of(self, tokens: int) -> int:
        """Return the step in which so many tokens exist; 0 if it waits for its admission, -1 if that was before the last one."""
        emitted, first = unpack_answer(self._words[self._answer_at], self._ticket)
        if tokens <= emitted:
            return -1
        return first + tokens - emitted - 1 if first else 0

    def find(self, tokens: int) -> float:
        """Return the instant at which so many tokens exist; infinity if it is not known."""
        reader, step = self.reader, self.step_of(tokens)
        if step < 0:
            return self._latest
        if not 0 < step <= reader.seen:
            return math.inf
        # The end of a step that is long past is not kept; the oldest that is will do.
        step = max(step, reader.seen - ENDS + 1)
        self._latest = latest = reader.numbers[FIRST_END + (step & (ENDS - 1))] + reader.overhead
        return latest

    def due(self, tokens: int) -> float:
        """Return the instant at which so many tokens exist, 1 or more; an `AwaitedInstant` if it is not known."""
        instant = self.find(tokens)
        if instant != math.inf:
            return instant
        self._awaited.tokens = tokens
        return self._awaited

    def leave(self) -> None:
        """Leave the engine, whatever is left to produce."""
        if self.is_held:
            self.is_held = False
            self.reader.detached.pop(self._ticket, None)
            self.reader.leave(self._entry)

    def leave_after(self, tokens: int) -> None:
        """Leave the engine once so many tokens exist, or when the response is cancelled."""
        self.reader.detached[self._ticket] = self

        def look() -> None:
            if not self.is_held:
                return
            if self.find(tokens) == math.inf:
                self.reader.await_token(self, tokens, look)
            else:
                self.leave()

        look()


class EngineReader:
    """An engine as one worker uses it.

    Attributes:
        memory: What all workers share.
        numbers: Its words as numbers.
        slot: This worker's.
        overhead: Seconds from the end of a step to its tokens at the client.
        is_fed: Whether the ticker is in this worker, and calls `look`.
        detached: Places that no connection holds, by their tickets.
        seen: The last step seen.
    """

    def __init__(
        self,
        memory: EngineMemory,
        slot: int,
        overhead: float,
        wheel: TimerWheel,
        clock: Callable[[], float],
        first_ticket: int,
    ) -> None:
        """Prepare to read.

        Args:
            memory: What all workers share; the slot is claimed.
            slot: This worker's.
            overhead: Seconds from the end of a step to its tokens at the client.
            wheel: Calls back.
            clock: The monotonic clock.
            first_ticket: Greater than all tickets of the workers that had the slot before.
        """
        self.memory = memory
        self.numbers = memory.numbers
        self.is_fed = False
        self.slot = slot
        self.overhead = overhead
        self.detached: dict[int, EnginePlace] = {}
        self.seen = memory.words[STEP]
        self._admissions = 0
        self._by_step: dict[int, list[Callback]] = {}  # what waits for a step to be published
        # What waits for a request to be admitted: with its place, and the token that it waits for.
        self._unstarted: list[tuple[EnginePlace, int, Callback]] = []
        self._places = 0
        self._is_polling = False
        self._cancels = memory.cancels()
        self._wheel = wheel
        self._clock = clock
        self._ticket = first_ticket
        self._free = deque(range(memory.entries))

    def enter(
        self,
        arrival: float,
        prompt_tokens: int,
        completion_tokens: int,
        cached_tokens: int,
        sequences: int,
    ) -> EnginePlace | None:
        """Ask the engine for tokens; None if this worker can hold no further request."""
        if not self._free:
            return None
        entry = self._free.popleft()
        self._ticket += 1
        request = SharedRequest(
            self._ticket,
            arrival,
            prompt_tokens,
            min(completion_tokens, MOST_TOKENS),
            cached_tokens,
            sequences,
        )
        self.memory.write(self.slot, entry, request)
        self._places += 1
        if not self._is_polling:
            self._poll_at(self._clock() + _POLL)
        return EnginePlace(self, entry, self._ticket, self.memory.answer_at(self.slot, entry))

    def leave(self, entry: int) -> None:
        """Release an entry of the table."""
        self.memory.erase(self.slot, entry)
        self._places -= 1
        # Behind all others: an answer that is on its way is not taken for one to the next request.
        self._free.append(entry)

    def cancel(self, place: tuple[int, int]) -> None:
        """Ask the worker that holds a place to leave it."""
        self.memory.cancel(self.slot, place)

    def _take_cancels(self) -> None:
        """Leave the places whose responses were cancelled, by whichever worker."""
        before, self._cancels = self._cancels, self.memory.cancels()
        for slot, (begin, end) in enumerate(zip(before, self._cancels, strict=True)):
            for holder, ticket in self.memory.cancelled(slot, begin, end):
                if holder == self.slot and (place := self.detached.get(ticket)) is not None:
                    place.leave()

    def pace(self) -> tuple[float, float]:
        """Return how long the request that was admitted last had waited, and the duration of the last step, in seconds."""
        return self.numbers[WAIT], self.numbers[SECONDS]

    def await_token(self, place: EnginePlace, tokens: int, callback: Callback) -> None:
        """Call `callback` when a token exists, or when its step may have changed: the sequence was preempted."""
        step = place.step_of(tokens)
        if step > self.seen:
            waiting = self._by_step.get(step)
            if waiting is None:
                self._by_step[step] = [callback]
            else:
                waiting.append(callback)
        elif (instant := place.find(tokens)) != math.inf:
            self._wheel.at(instant, callback)
        elif place.is_held:
            self._unstarted.append((place, tokens, callback))

    def _poll_at(self, instant: float) -> None:
        self._is_polling = True
        self._wheel.at(instant, self._poll)

    def _poll(self) -> None:
        self._is_polling = False
        if self.detached:
            self._take_cancels()
        self.look()
        if not (self._places or self._by_step or self._unstarted):
            return
        now, numbers = self._clock(), self.numbers
        expected = numbers[FIRST_END + (self.seen & (ENDS - 1))] + grace(numbers[SECONDS])
        if self.is_fed:
            # It is called at each step; this is for the case that the lease has passed on.
            expected = max(expected, now + 50 * _POLL)
        self._poll_at(max(now + _POLL, expected))

    def look(self) -> None:
        """Put what waits for a step on the wheel, if that was published."""
        words, numbers, wheel = self.memory.words, self.numbers, self._wheel
        # Read before the admissions, which are written before it.
        step = words[STEP]
        if step != self.seen:
            steps = range(self.seen + 1, step + 1)
            reached = (
                steps if len(steps) <= _FEW_STEPS else sorted(one for one in self._by_step if one <= step)
            )
            self.seen = step
            for one in reached:
                waiting = self._by_step.pop(one, None)
                if waiting is not None:
                    end = numbers[FIRST_END + (one & (ENDS - 1))] + self.overhead
                    for callback in waiting:
                        wheel.at(end, callback)
        admissions = words[ADMISSIONS]
        if admissions != self._admissions:
            self._admissions = admissions
            unstarted, self._unstarted = self._unstarted, []
            for place, tokens, callback in unstarted:
                self.await_token(place, tokens, callback)
