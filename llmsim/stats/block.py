"""The block of counters: a header, and a slot for each worker.

Decisions:
* The master makes it before the first fork, claims a slot before each fork and settles it
  after each death; a worker writes its own slot and nothing else.
* A freed slot keeps its totals, and the next worker to claim it counts on. The lowest free
  slot is claimed, so that a long-lived server with many reloads fills few.
* A dead worker's requests in flight are found by subtraction, in its slot, at settling.
"""

import os
import re
import time
from collections.abc import Sequence

from llmsim.errors import StatsError
from llmsim.stats import histogram, layout
from llmsim.stats.layout import Layout
from llmsim.stats.outcome import Outcome
from llmsim.stats.segment import Segment

_PREFIX = "llmsim-"
_LABEL = re.compile(r"[a-z][a-z0-9_]*")
# `<label>_requests` is a name of the stats; these are names that it has already.
_RESERVED = frozenset(
    {"total", "active", "streaming", "non_streaming", "model", *(outcome.value for outcome in Outcome)}
)


def block_name(port: int) -> str:
    """Tell the name of the segment of the instance that listens on a port."""
    return f"{_PREFIX}{port}"


def _place(name: str) -> str:
    port = name.removeprefix(_PREFIX)
    return f"port {port}" if port.isdigit() else f"segment {name}"


class Block:
    """The counters of one instance.

    Attributes:
        words: The whole block as 64-bit words. There is this one view, so that `close` can release it.
        octets: The same as bytes.
        layout: Where things stand.
        endpoints: Stats labels by endpoint number.
        master: Process id of the maker.
        started: `time.monotonic()` of the start, in seconds.
        started_at: Unix time of the start, in seconds.
    """

    def __init__(self, octets: "memoryview[int]", segment: Segment | None) -> None:
        self.octets = octets
        self.words: memoryview[int] = octets.cast("q")
        self._segment = segment
        header = self.words[: layout.HEADER_LABELS].tolist()
        self.layout = Layout(header[layout.HEADER_SLOTS], header[layout.HEADER_ENDPOINTS])
        self.master: int = header[layout.HEADER_MASTER]
        self.started = header[layout.HEADER_STARTED] / 1e9
        self.started_at = header[layout.HEADER_STARTED_AT] / 1e9
        self.endpoints = tuple(self._label(endpoint) for endpoint in range(self.layout.endpoints))

    @classmethod
    def create(
        cls, name: str, *, endpoints: Sequence[str], slots: int, now: float, wall: float | None = None
    ) -> "Block":
        """Make the block of an instance, in place of a stale one; for the master, before it forks.

        Args:
            name: Of the segment, by `block_name`.
            endpoints: Stats labels: lower case, digits and underscores, at most 32.
            slots: How many workers can be at work at the same time, old and new ones of a reload together.
            now: `time.monotonic()`, in seconds.
            wall: Unix time, in seconds; None to ask the clock.

        Raises:
            StatsError: The memory is not to be had.
            ValueError: A label will not do.
        """
        measures = _measure(endpoints, slots)
        segment = Segment.create(name, measures.bytes)
        octets = memoryview(segment.memory)
        _write_header(octets, measures, endpoints, now=now, wall=wall)
        return cls(octets, segment)

    @classmethod
    def private(
        cls, *, endpoints: Sequence[str], slots: int = 1, now: float, wall: float | None = None
    ) -> "Block":
        """Make a block in this process's own memory, for one process that counts and reads; see `create`."""
        measures = _measure(endpoints, slots)
        octets = memoryview(bytearray(measures.bytes))
        _write_header(octets, measures, endpoints, now=now, wall=wall)
        return cls(octets, None)

    @classmethod
    def attach(cls, name: str) -> "Block":
        """Read the block of another process; nothing done here can change or remove it.

        Args:
            name: Of the segment, by `block_name`.

        Raises:
            StatsError: There is none, it belongs to another user, or another version of llmsim wrote it.
        """
        place = _place(name)
        try:
            segment = Segment.open(name)
        except FileNotFoundError as error:
            raise StatsError(
                f"no llmsim on {place}: start one with `llmsim serve`, or name the port with --port"
            ) from error
        except PermissionError as error:
            raise StatsError(
                f"llmsim on {place} belongs to another user: run this as that user, or read it with --url"
            ) from error
        except ValueError as error:
            raise StatsError(f"llmsim on {place} is just starting: try again") from error
        octets = memoryview(segment.memory)
        fault = _check_header(octets)
        if fault is not None:
            octets.release()
            segment.close()
            raise StatsError(f"llmsim on {place} {fault}")
        return cls(octets, segment)

    def claim(self, pid: int) -> int:
        """Take a free slot for a worker about to be forked; for the master.

        Args:
            pid: A process id to show until the worker writes its own; 0 to show none.

        Returns:
            The slot.

        Raises:
            StatsError: All slots are taken.
        """
        for slot in range(self.layout.slots):
            first = self.layout.slot(slot)
            if not self.words[first + layout.TAKEN]:
                self.words[first + layout.PID] = pid
                self.words[first + layout.TAKEN] = 1
                return slot
        raise StatsError(f"all {self.layout.slots} stats slots are taken: a dead worker's was never settled")

    def occupy(self, slot: int, pid: int) -> None:
        """Say which process writes a claimed slot; for the worker, or for the master once it knows."""
        self.words[self.layout.slot(slot) + layout.PID] = pid

    def settle(self, slot: int) -> None:
        """Free the slot of a worker that is dead; for the master. A free slot stays as it is.

        What the worker had begun and not ended counts as aborted; its totals stay.
        """
        words = self.words
        first = self.layout.slot(slot)
        if not words[first + layout.TAKEN]:
            return
        for endpoint in range(self.layout.endpoints):
            row = first + layout.ENDPOINTS + endpoint * layout.ENDPOINT_WORDS
            requests = row + layout.ENDPOINT_REQUESTS
            in_flight = words[requests] - sum(words[row:requests].tolist())
            if in_flight > 0:
                words[row + Outcome.ABORTED.column] += in_flight
        words[first + layout.WEBSOCKETS_CLOSED] = words[first + layout.WEBSOCKETS_OPENED]
        words[first + layout.OPEN_STREAMS] = 0
        words[first + layout.PID] = 0
        words[first + layout.TAKEN] = 0

    def is_unused(self, slot: int) -> bool:
        """Tell whether a slot is free and has never counted a request or a connection."""
        first = self.layout.slot(slot)
        counted = range(
            first + layout.ENDPOINTS + layout.ENDPOINT_REQUESTS,
            first + layout.ENDPOINTS + self.layout.endpoints * layout.ENDPOINT_WORDS,
            layout.ENDPOINT_WORDS,
        )
        words = (layout.TAKEN, layout.WEBSOCKETS_OPENED)
        return not any(self.words[first + word] for word in words) and not any(
            self.words[word] for word in counted
        )

    def open_websockets(self) -> int:
        """Count the WebSocket connections that are open, over all workers."""
        firsts = (self.layout.slot(slot) for slot in range(self.layout.slots))
        return sum(
            self.words[first + layout.WEBSOCKETS_OPENED] - self.words[first + layout.WEBSOCKETS_CLOSED]
            for first in firsts
        )

    def close(self) -> None:
        """Give the memory back. Whoever still counts with it gets a ValueError."""
        self.words.release()
        self.octets.release()
        if self._segment is not None:
            self._segment.close()

    def unlink(self) -> None:
        """Remove the name, so that nobody can attach any more; without effect except in the maker's process."""
        if self._segment is not None:
            self._segment.unlink()

    def _label(self, endpoint: int) -> str:
        start = (layout.HEADER_LABELS + endpoint * layout.LABEL_WORDS) * layout.WORD_BYTES
        return bytes(self.octets[start : start + layout.LABEL_BYTES]).rstrip(b"\0").decode("ascii")


def _measure(endpoints: Sequence[str], slots: int) -> Layout:
    for label in endpoints:
        if not _LABEL.fullmatch(label) or len(label) > layout.LABEL_BYTES:
            raise ValueError(
                f"stats label {label!r}: wanted lower case, digits and underscores, at most {layout.LABEL_BYTES}"
            )
        if label in _RESERVED:
            raise ValueError(f"stats label {label!r}: {label}_requests is already a name of the stats")
    if not endpoints or len(set(endpoints)) != len(endpoints):
        raise ValueError(f"stats labels {list(endpoints)}: wanted at least one, and each once")
    if slots < 1:
        raise ValueError(f"{slots} stats slots: wanted at least one")
    return Layout(slots, len(endpoints))


def _write_header(
    octets: "memoryview[int]", measures: Layout, endpoints: Sequence[str], *, now: float, wall: float | None
) -> None:
    words = octets.cast("q")
    for slot in range(measures.slots):
        first = measures.slot(slot)
        for tally in (layout.TTFT, layout.ITL, layout.E2E, layout.LATENESS):
            words[first + tally + histogram.LEAST] = histogram.EMPTY_LEAST
    for endpoint, label in enumerate(endpoints):
        start = (layout.HEADER_LABELS + endpoint * layout.LABEL_WORDS) * layout.WORD_BYTES
        octets[start : start + len(label)] = label.encode("ascii")
    words[layout.HEADER_VERSION] = layout.VERSION
    words[layout.HEADER_BYTES] = measures.bytes
    words[layout.HEADER_STARTED] = int(now * 1e9)
    words[layout.HEADER_STARTED_AT] = int((time.time() if wall is None else wall) * 1e9)
    words[layout.HEADER_MASTER] = os.getpid()
    words[layout.HEADER_SLOTS] = measures.slots
    words[layout.HEADER_ENDPOINTS] = measures.endpoints
    words[layout.HEADER_MAGIC] = layout.MAGIC
    words.release()


def _check_header(octets: "memoryview[int]") -> str | None:
    """Tell what is wrong with another process's header; None if nothing is."""
    if len(octets) < layout.HEADER_LABELS * layout.WORD_BYTES:
        return "left a segment that is no stats block: start it again"
    header = octets[: layout.HEADER_LABELS * layout.WORD_BYTES].cast("q").tolist()
    if header[layout.HEADER_MAGIC] == 0:
        return "is just starting: try again"
    if header[layout.HEADER_MAGIC] != layout.MAGIC:
        return "left a segment that is no stats block: start it again"
    version = header[layout.HEADER_VERSION]
    if version != layout.VERSION:
        return (
            f"writes stats layout {version}, and this llmsim reads {layout.VERSION}: "
            "use the llmsim it was started with, or --url"
        )
    size = Layout(header[layout.HEADER_SLOTS], header[layout.HEADER_ENDPOINTS]).bytes
    if header[layout.HEADER_BYTES] != size or size > len(octets):
        return f"left a stats block of {len(octets)} bytes where {size} are due: start it again"
    return None
