"""The memory by which workers share an engine: who asks for what, and when each step ends. A mapped file in the run directory.

Decisions:
* Every word has one writer, and is stored and loaded whole, so nothing is locked, and a process that is killed at any instant leaves
  nothing half done: a request exists once its ticket is written, a step once its number is.
* A worker has a slot of its own, the same as in the stats block: a table of requests, and a log of the entries that changed. The
  ticker, which is one of the workers, reads the log; what was overwritten there it finds in the table.
* The ticker answers in the table: in one word how many tokens a request had produced when it last was admitted, and the step of the
  first token since. All further tokens are one step each, so nothing is written for them, however many sequences run.
* The word carries the last bits of the ticket: an answer to a request that has left does not count for the next in its place.
* A response in the background has no connection, and any worker may be asked to cancel it: that one writes slot and ticket to a log of its
  own, which the worker that holds the place reads.
* An engine has a file of its own, made by the worker that wants it first, also while the server runs: no numbers are to be agreed on.
* All of the file is allocated when it is made: a full disk fails then, not in a write to memory. It is made under another name, and
  then linked, so that it is never seen in part.
"""

import contextlib
import mmap
import os
import struct
from collections.abc import Iterator
from pathlib import Path

import msgspec

from llmsim.state.directory import open_private

_MAGIC = int.from_bytes(b"llmsim e", "little")
_BLOCK = 2**20
"""Bytes that are written at a time when the file is made."""

_WORD = 8

STEP, ADMISSIONS, PREEMPTIONS, SECONDS, WAIT = range(8, 13)
"""Words of the engine: number of the last step, how often a request was admitted or preempted, duration of the last step, and how long
the request that was admitted last had waited, in seconds."""

FIRST_END = 24
ENDS = 8_192
"""The word with the end of step 0, and of how many steps the ends are kept, a power of two: that of step `n` is `n` words on, modulo
as many."""

_FIRST_SLOT = FIRST_END + ENDS

_OWNER, _LOGGED, _CANCELS, _HELD = range(4)
_LOG = 8
"""Words of a slot: the worker's process, entries of its log so far, cancels that it has asked for, requests that it holds; and the
log."""

_KEPT_CANCELS = 1_024
"""Cancels of a worker that are kept; a power of two."""

_RECORD_WORDS = 8
_TICKET, _ARRIVAL, _TOKENS, _MORE, _ANSWER = range(5)

_FIRST_BITS = 34
_EMITTED_BITS = 22
_TAG_BITS = 8
_FIRST = (1 << _FIRST_BITS) - 1
MOST_TOKENS = (1 << _EMITTED_BITS) - 1
_TAG = (1 << _TAG_BITS) - 1


class SharedRequest(msgspec.Struct, frozen=True, gc=False):
    """A request as its worker has written it.

    Attributes:
        ticket: Unique among those of its worker; > 0.
        arrival: Instant of its arrival on the monotonic clock.
        prompt_tokens: Tokens of its prompt.
        completion_tokens: Tokens that it produces.
        cached_tokens: Tokens of the prompt that are cached.
        sequences: Choices.
    """

    ticket: int
    arrival: float
    prompt_tokens: int
    completion_tokens: int
    cached_tokens: int
    sequences: int


class EngineMemory:
    """The mapped file; see the module.

    Attributes:
        slots: How many workers can use it.
        entries: Requests that a worker can hold; a power of two, like the entries of its log.
    """

    def __init__(self, path: Path, *, slots: int, entries: int) -> None:
        """Map the file, which is made if there is none.

        Args:
            path: The file; another layout needs another name.
            slots: How many workers can use it.
            entries: Requests that a worker can hold; rounded up to a power of two.

        Raises:
            OSError: It cannot be made.
        """
        self.slots = slots
        self.entries = 1 << max(0, entries - 1).bit_length()
        self._table = _LOG + self.entries
        self._cancel_log = self._table + self.entries * _RECORD_WORDS
        self._slot_words = self._cancel_log + _KEPT_CANCELS * 2
        size = (_FIRST_SLOT + slots * self._slot_words) * _WORD
        file = _open(path, size)
        try:
            memory = mmap.mmap(file, size)
        finally:
            os.close(file)
        octets = memoryview(memory)
        self.words: memoryview[int] = octets.cast("Q")
        self.numbers: memoryview[float] = octets.cast("d")

    def publish(self, step: int, end: float, seconds: float) -> None:
        """Write a step; its number comes last."""
        self.numbers[FIRST_END + (step & (ENDS - 1))] = end
        self.numbers[SECONDS] = seconds
        self.words[STEP] = step

    def slot(self, slot: int) -> int:
        """Return the index of a slot's first word."""
        return _FIRST_SLOT + slot * self._slot_words

    def answer_at(self, slot: int, entry: int) -> int:
        """Return the index of the word with the ticker's answer to a request."""
        return self.slot(slot) + self._table + entry * _RECORD_WORDS + _ANSWER

    def owner(self, slot: int) -> int:
        """Return the process that uses a slot, as it is written there; 0 for none."""
        return self.words[self.slot(slot) + _OWNER]

    def claim(self, slot: int, owner: int) -> None:
        """Claim a slot; its tables are empty then."""
        at = self.slot(slot)
        self.words[at + _OWNER] = 0
        self.clear(slot)
        self.words[at + _OWNER] = owner

    def clear(self, slot: int) -> None:
        """Drop everything that a worker has asked for: its own, or that of one which is dead."""
        at, words = self.slot(slot), self.words
        for entry in range(self.entries):
            words[at + self._table + entry * _RECORD_WORDS + _TICKET] = 0
        words[at + _HELD] = 0

    def release(self, slot: int) -> None:
        """Free the slot of a worker that is dead."""
        self.clear(slot)
        self.words[self.slot(slot) + _OWNER] = 0

    def held(self) -> int:
        """Return the requests that all workers hold."""
        words, at, step = self.words, _FIRST_SLOT + _HELD, self._slot_words
        return sum([words[at + slot * step] for slot in range(self.slots)])

    def write(self, slot: int, entry: int, request: SharedRequest) -> None:
        """Ask for tokens; the worker of the slot only."""
        at, words = self.slot(slot), self.words
        record = at + self._table + entry * _RECORD_WORDS
        self.numbers[record + _ARRIVAL] = request.arrival
        words[record + _TOKENS] = request.prompt_tokens << 32 | request.completion_tokens
        words[record + _MORE] = request.cached_tokens << 32 | request.sequences
        words[record + _ANSWER] = 0
        words[record + _TICKET] = request.ticket
        words[at + _HELD] += 1
        self._log_change(at, entry)

    def erase(self, slot: int, entry: int) -> None:
        """Ask for nothing more; the worker of the slot only."""
        at, words = self.slot(slot), self.words
        words[at + self._table + entry * _RECORD_WORDS + _TICKET] = 0
        words[at + _HELD] -= 1
        self._log_change(at, entry)

    def cancel(self, slot: int, place: tuple[int, int]) -> None:
        """Ask the worker that holds a place to leave it; the worker of the slot only.

        Args:
            slot: Of the worker that asks.
            place: The slot of the worker that holds it, and its ticket there.
        """
        at, words = self.slot(slot), self.words
        asked = words[at + _CANCELS]
        record = at + self._cancel_log + (asked & (_KEPT_CANCELS - 1)) * 2
        words[record], words[record + 1] = place
        words[at + _CANCELS] = asked + 1

    def cancels(self) -> list[int]:
        """Return how many cancels the worker of each slot has asked for."""
        return [self.words[self.slot(slot) + _CANCELS] for slot in range(self.slots)]

    def cancelled(self, slot: int, begin: int, end: int) -> Iterator[tuple[int, int]]:
        """Yield the places between two of a worker's cancels, as far as they are kept."""
        at, words = self.slot(slot) + self._cancel_log, self.words
        for position in range(max(begin, end - _KEPT_CANCELS), end):
            record = at + (position & (_KEPT_CANCELS - 1)) * 2
            yield words[record], words[record + 1]

    def _log_change(self, at: int, entry: int) -> None:
        logged = self.words[at + _LOGGED]
        self.words[at + _LOG + (logged & (self.entries - 1))] = entry
        self.words[at + _LOGGED] = logged + 1

    def logged_at(self, slot: int) -> int:
        """Return the index of the word that counts the changes which a worker has logged."""
        return self.slot(slot) + _LOGGED

    def logged(self, slot: int) -> int:
        """Return how many changes a worker has logged."""
        return self.words[self.logged_at(slot)]

    def changed(self, slot: int, begin: int, end: int) -> Iterator[int]:
        """Yield the entries that have changed between two positions of a log: all if not all of it is left."""
        if end - begin >= self.entries // 2:
            yield from range(self.entries)
            return
        at, words = self.slot(slot) + _LOG, self.words
        for position in range(begin, end):
            yield words[at + (position & (self.entries - 1))]

    def ticket(self, slot: int, entry: int) -> int:
        """Return the ticket of an entry; 0 if it is free."""
        return self.words[self.slot(slot) + self._table + entry * _RECORD_WORDS + _TICKET]

    def read(self, slot: int, entry: int) -> SharedRequest | None:
        """Return the request of an entry; None if it is free."""
        words, record = self.words, self.slot(slot) + self._table + entry * _RECORD_WORDS
        ticket = words[record + _TICKET]
        if not ticket:
            return None
        tokens, more = words[record + _TOKENS], words[record + _MORE]
        return SharedRequest(
            ticket,
            self.numbers[record + _ARRIVAL],
            tokens >> 32,
            tokens & 0xFFFFFFFF,
            more >> 32,
            more & 0xFFFFFFFF,
        )


def pack_answer(ticket: int, emitted: int, first: int) -> int:
    """Return the word that answers a request.

    Args:
        ticket: Its ticket.
        emitted: Tokens that it had produced when it was last admitted.
        first: Step of the first token since; 0 while there is none.
    """
    return (ticket & _TAG) << (_FIRST_BITS + _EMITTED_BITS) | emitted << _FIRST_BITS | first


def unpack_answer(word: int, ticket: int) -> tuple[int, int]:
    """Return the tokens that were produced before the last admission, and the step of the first since: 0 if there is none."""
    if word >> (_FIRST_BITS + _EMITTED_BITS) != ticket & _TAG:
        return 0, 0
    return word >> _FIRST_BITS & MOST_TOKENS, word & _FIRST


def engines_path(directory: Path) -> Path:
    """Return what the files of engines begin with: they are named by this process, which is the master."""
    return directory / f"{os.getpid()}.engines"


def remove_engines(directory: Path) -> None:
    """Remove the files of all engines that are named by this process, as far as that is possible."""
    with contextlib.suppress(OSError):
        for path in directory.glob(f"{engines_path(directory).name}-*"):
            path.unlink(missing_ok=True)


def _open(path: Path, size: int) -> int:
    """Open the file, which is made if there is none of its size."""
    for _ in range(2):
        with contextlib.suppress(FileNotFoundError):
            file = os.open(path, os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC)
            if os.fstat(file).st_size == size:
                return file
            os.close(file)
            path.unlink(missing_ok=True)
        _make(path, size)
    raise OSError(f"{path} is replaced again and again")


def _make(path: Path, size: int) -> None:
    made = path.with_name(f"{path.name}-{os.getpid()}")
    made.unlink(missing_ok=True)
    file = open_private(made)
    try:
        for begin in range(0, size, _BLOCK):
            os.pwrite(file, bytes(min(_BLOCK, size - begin)), begin)
        os.pwrite(file, struct.pack("=QQ", _MAGIC, size), 0)
        with contextlib.suppress(FileExistsError):
            os.link(made, path)
    finally:
        os.close(file)
        made.unlink(missing_ok=True)
