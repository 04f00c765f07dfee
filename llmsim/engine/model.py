"""Continuous batching as vLLM does it: which sequences run in a step, and how long it takes.

Decisions:
* A step is planned in the order of vLLM's scheduler: first a token for each decoding sequence, then prompts that are partly read,
  then the queue, in order of arrival, while tokens, places and KV cache are left. A step that preempts admits nothing.
  Source: vLLM, v1/core/sched/scheduler.py, Scheduler.schedule.
* When the KV cache is full the sequence that was admitted last loses its blocks and goes to the head of the queue; it is read anew,
  with the tokens that it had produced.
* A sequence is admitted only if its whole prompt fits, and then holds the blocks of all of it. Source: the same,
  `scheduler_reserve_full_isl`. A sequence alone runs even if it does not fit: it would wait for ever.
* PERF: a decoding sequence gains one token a step, so nothing is done for it in a step. The step of its last token is known when it
  starts to decode, and so is at which steps it needs a block: steps cost what begins and ends in them, 5 us with a thousand
  sequences running.
"""

import heapq
from collections import deque

import msgspec

from llmsim.config.engine_settings import EngineSettings


class EngineRequest(msgspec.Struct, frozen=True, gc=False):
    """A request as the engine sees it.

    Attributes:
        id: Unique among those that the engine holds.
        arrival: Instant at which it arrives at the server, in seconds.
        prompt_tokens: Tokens of the prompt; a request without any counts as one of 1.
        completion_tokens: Tokens to produce; with none it ends when its prompt is read.
        cached_tokens: Tokens of the prompt that need not be read, because they are cached; they take their place in the context.
        sequences: Sequences that are produced side by side from the prompt, all as long as the longest.
        emitted: Tokens that it had produced before it came to this engine: its prompt is read with them.
    """

    id: int
    arrival: float
    prompt_tokens: int
    completion_tokens: int
    cached_tokens: int = 0
    sequences: int = 1
    emitted: int = 0


class Step(msgspec.Struct, frozen=True, gc=False):
    """One step of the engine.

    A request in `started` produces one token in this step and in each that follows, until it is in `finished` or `preempted`.

    Attributes:
        number: Counted from 1.
        start: When it starts, in seconds on the clock of the arrivals.
        end: When it ends, and all of its tokens exist; without `output_overhead_ms`.
        decoding: Sequences that produced a token without reading a prompt.
        prefilled: Tokens of prompts that were read.
        started: Ids whose prompt is read: their first token since then exists at the end of this step.
        preempted: Ids that wait again from this step on, and produce nothing in it.
        finished: Ids whose last token exists at the end of this step.
    """

    number: int
    start: float
    end: float
    decoding: int
    prefilled: int
    started: tuple[int, ...] = ()
    preempted: tuple[int, ...] = ()
    finished: tuple[int, ...] = ()


class _Sequence:
    """A request in the engine, and how far it is."""

    __slots__ = ("blocks", "emitted", "finish", "first", "key", "read", "request", "target", "width")

    def __init__(self, request: EngineRequest) -> None:
        self.request = request
        self.width = request.sequences
        self.emitted = request.emitted
        self.target = 0  # tokens to read before it decodes
        self.read = 0
        self.blocks = 0  # held since it was admitted
        self.first = 0  # step of its first token since it was admitted; 0 while it is read
        self.finish = 0  # step of its last token
        self.key = 0  # at which steps it needs a block: those whose number is -key modulo the size of a block


class Engine:
    """An engine: takes requests, and steps.

    Attributes:
        settings: What it can do.
        number: Number of the last step; 0 before the first.
        end: When the last step ends.
        preemptions: Sequences preempted so far.
        used_blocks: Blocks of the KV cache that are held.
        blocks: Blocks of the KV cache; 0 if it is never full.
    """

    def __init__(self, settings: EngineSettings, *, number: int = 0, end: float = 0.0) -> None:
        """Begin without requests.

        Args:
            settings: What it can do.
            number: Number of the last step of the engine that it goes on for.
            end: End of that step.
        """
        self.number = number
        self.end = end
        self.preemptions = 0
        self._sequences: dict[int, _Sequence] = {}
        self._future: list[tuple[float, int]] = []  # heap of what arrives later, by instant
        self._waiting: deque[_Sequence] = deque()
        self._running: dict[int, _Sequence] = {}  # in the order of admission
        self._reading: dict[int, _Sequence] = {}  # those of them whose prompt is not read
        self._width = 0  # sequences that run
        self._decoding = 0  # those of them that decode
        self._context = 0  # tokens in the contexts of those
        self._finishing: dict[int, list[int]] = {}  # ids by the step of their last token
        self.use(settings)

    def use(self, settings: EngineSettings) -> None:
        """Go on by other settings, from the next step on. What runs goes on running; if that is too much, nothing is admitted.

        Args:
            settings: What it can do.
        """
        self.settings = settings
        size = settings.block_tokens
        self.blocks = 0 if settings.kv_tokens is None else max(1, settings.kv_tokens // size)
        self._reserved = int(settings.kv_watermark * self.blocks)
        self._base = settings.step_base_ms / 1e3
        self._per_sequence = settings.step_sequence_us / 1e6
        self._per_prefill = settings.step_prefill_token_us / 1e6
        self._per_context = settings.step_context_token_us / 1e6
        self._per_prefill_context = settings.step_prefill_context_us / 1e9
        self._before = settings.overhead_ms / 1e3
        self._needs = [0] * size  # sequences by `key`
        self.used_blocks = 0
        for sequence in self._running.values():
            self._hold_prompt(sequence)
            if sequence.first:
                self._hold_outputs(sequence)

    @property
    def running(self) -> int:
        """Sequences that run."""
        return self._width

    @property
    def requests(self) -> int:
        """Requests that it holds."""
        return len(self._sequences)

    @property
    def waiting(self) -> int:
        """Requests that wait, those that have not arrived included."""
        return len(self._sequences) - len(self._running)

    @property
    def next_start(self) -> float | None:
        """When the next step starts, if nothing else arrives; None while there is nothing to do."""
        if self._running or self._waiting:
            return self.end
        return max(self.end, self._future[0][0]) if self._future else None

    @property
    def shortest(self) -> float:
        """Seconds that the next step takes at least."""
        return self._base + self._per_sequence * self._decoding + self._per_context * self._context

    def add(self, request: EngineRequest) -> None:
        """Add a request; it is in the queue from its arrival on."""
        self._sequences[request.id] = _Sequence(request)
        heapq.heappush(self._future, (request.arrival + self._before, request.id))

    def restore(self, request: EngineRequest, first: int) -> None:
        """Add a request that decodes in the engine which this one goes on for.

        Args:
            request: The request, as it was when it was admitted there.
            first: Step of its first token since then.
        """
        sequence = self._sequences[request.id] = _Sequence(request)
        self._admit(sequence)
        sequence.read = sequence.target
        self._start_decoding(sequence, first)
        made, width = self.number - first, sequence.width
        self._context += made * width

    def remove(self, request_id: int) -> None:
        """Drop a request whose client hung up, and free what it held; nothing if there is none of that id."""
        sequence = self._sequences.pop(request_id, None)
        if sequence is None:
            return
        if request_id in self._running:
            self._leave(sequence)
        elif any(known == request_id for _, known in self._future):
            self._future = [entry for entry in self._future if entry[1] != request_id]
            heapq.heapify(self._future)
        else:
            self._waiting.remove(sequence)

    def progress(self, request_id: int) -> tuple[int, int]:
        """Return how many tokens a request had produced when it was admitted, and the step of its first since; 0 before that."""
        sequence = self._sequences[request_id]
        return sequence.emitted, sequence.first

    def step(self, not_before: float = 0.0) -> Step | None:
        """Run the next step; None while there is nothing to do.

        Args:
            not_before: The earliest instant at which it may start.
        """
        start = self.next_start
        if start is None:
            return None
        start = max(start, not_before)
        self._arrive(start)
        budget = self.settings.max_num_batched_tokens
        preempted = self._make_room()
        self.number += 1
        decoding, context = self._decoding, self._context
        budget -= decoding
        started: list[_Sequence] = []
        prefilled = quadratic = 0
        for sequence in self._reading.values():
            if budget <= 0:
                break
            before = sequence.read
            tokens = self._read(sequence, budget, started)
            budget -= tokens
            prefilled += tokens
            quadratic += tokens * (before + before + tokens)
        if not preempted:
            while self._waiting and budget > 0 and self._admits(sequence := self._waiting[0]):
                self._waiting.popleft()
                self._admit(sequence)
                before = sequence.read
                tokens = self._read(sequence, budget, started)
                budget -= tokens
                prefilled += tokens
                quadratic += tokens * (before + before + tokens)
        end = start + (
            self._base
            + self._per_sequence * decoding
            + self._per_prefill * prefilled
            + self._per_context * context
            + self._per_prefill_context * (quadratic / 2)
        )
        self._context += decoding
        self.end = end
        for sequence in started:
            self._start_decoding(sequence, self.number)
        finished = self._finish()
        return Step(
            self.number,
            start,
            end,
            decoding,
            prefilled,
            tuple([sequence.request.id for sequence in started]),
            preempted,
            finished,
        )

    def _arrive(self, start: float) -> None:
        while self._future and self._future[0][0] <= start:
            self._queue(self._sequences[heapq.heappop(self._future)[1]])

    def _queue(self, sequence: _Sequence) -> None:
        """Put a request into the queue by its arrival: it may be known later than others that arrived after it."""
        waiting, place = self._waiting, len(self._waiting)
        arrival = sequence.request.arrival
        # Those that were preempted stay at the head.
        while place and (before := waiting[place - 1]).request.arrival > arrival and not before.emitted:
            place -= 1
        waiting.insert(place, sequence)

    def _admits(self, sequence: _Sequence) -> bool:
        """Whether there is a place, and room for the whole prompt, for the head of the queue."""
        if not self._running:
            return True
        if self._width + sequence.width > self.settings.max_num_seqs:
            return False
        if not self.blocks:
            return True
        tokens = max(1, sequence.request.prompt_tokens) + sequence.emitted * sequence.width
        needed = -(-tokens // self.settings.block_tokens)
        return self.used_blocks + needed + self._reserved <= self.blocks

    def _admit(self, sequence: _Sequence) -> None:
        request = sequence.request
        sequence.target = max(1, request.prompt_tokens) + sequence.emitted
        # At least one token is read: without that there is nothing to produce the next from.
        sequence.read = min(request.cached_tokens, sequence.target - 1)
        sequence.first = 0
        self._running[request.id] = self._reading[request.id] = sequence
        self._width += sequence.width
        self._hold_prompt(sequence)

    def _hold_prompt(self, sequence: _Sequence) -> None:
        """Count the blocks of what a sequence reads."""
        tokens = sequence.target + sequence.emitted * (sequence.width - 1) if self.blocks else 0
        sequence.blocks = -(-tokens // self.settings.block_tokens)
        self.used_blocks += sequence.blocks

    def _hold_outputs(self, sequence: _Sequence) -> None:
        """Count the blocks of what a sequence has produced since it was read, and note when it needs more."""
        sequence.key = (sequence.target - sequence.first - 1) % self.settings.block_tokens
        self._needs[sequence.key] += sequence.width
        if self.blocks:
            made = self.number - sequence.first
            self.used_blocks += sequence.width * self._added_blocks(sequence.target, made)

    def _read(self, sequence: _Sequence, budget: int, started: list[_Sequence]) -> int:
        """Read as much of a prompt as the budget has tokens; return how many."""
        tokens = min(budget, sequence.target - sequence.read)
        sequence.read += tokens
        if sequence.read == sequence.target:
            started.append(sequence)
        return tokens

    def _start_decoding(self, sequence: _Sequence, number: int) -> None:
        """Note that the first token of a sequence exists at the end of a step."""
        request, width = sequence.request, sequence.width
        del self._reading[request.id]
        sequence.first = number
        sequence.finish = max(number, number + request.completion_tokens - sequence.emitted - 1)
        self._decoding += width
        self._context += sequence.target * width
        self._hold_outputs(sequence)
        self._finishing.setdefault(sequence.finish, []).append(request.id)

    def _make_room(self) -> tuple[int, ...]:
        """Give each sequence that needs a block in the next step one; preempt those that were admitted last until there are enough."""
        if not self.blocks:
            return ()
        preempted: list[int] = []
        key = -(self.number + 1) % self.settings.block_tokens
        while self.used_blocks + self._needs[key] > self.blocks and len(self._running) > 1:
            request_id, sequence = next(reversed(self._running.items()))
            self._leave(sequence)
            if sequence.first:
                sequence.emitted += self.number - sequence.first + 1
                sequence.first = 0
            self._waiting.appendleft(sequence)
            preempted.append(request_id)
        self.preemptions += len(preempted)
        self.used_blocks += self._needs[key]
        return tuple(preempted)

    def _leave(self, sequence: _Sequence) -> None:
        """Free what a running sequence holds: its place, its blocks."""
        request_id, width = sequence.request.id, sequence.width
        del self._running[request_id]
        self._width -= width
        if not sequence.first:
            del self._reading[request_id]
            self.used_blocks -= sequence.blocks
            return
        # Its first token is in its context from the step after it on.
        target, context = sequence.target, sequence.target + self.number - sequence.first
        self._decoding -= width
        self._context -= context * width
        self._needs[sequence.key] -= width
        if self.blocks:
            self.used_blocks -= sequence.blocks + width * self._added_blocks(target, context - target)
        ids = self._finishing[sequence.finish]
        ids.remove(request_id)
        if not ids:
            del self._finishing[sequence.finish]

    def _added_blocks(self, target: int, made: int) -> int:
        """Return the blocks that a sequence has taken with `made` tokens behind the `target` that were read."""
        size = self.settings.block_tokens
        return (-target // size) - (-(target + made) // size)

    def _finish(self) -> tuple[int, ...]:
        """Drop the sequences whose last token exists at the end of this step."""
        ids = tuple(self._finishing.get(self.number, ()))
        for request_id in ids:
            self._leave(self._sequences.pop(request_id))
        return ids
