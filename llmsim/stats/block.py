"""The block of counters: a header, and a slot for each worker.

Decisions:
* The master creates it before the first fork, claims a slot before each fork and releases it
  after each death; a worker writes its own slot and nothing else.
* A released slot keeps its totals, and the next worker to claim it counts on. The lowest free
  slot is claimed, so that a long-lived server with many reloads fills few.
* A dead worker's requests in flight are found by subtraction, in its slot, when it is released.
"""

import os
import re
import time
from collections.abc import Sequence

from llmsim.errors import StatsError
from llmsim.stats import histogram, layout
from llmsim.stats.counters import COUNTERS, Outcome
from llmsim.stats.layout import Layout
from llmsim.stats.shared_memory import SharedSegment

_PREFIX = "llmsim-"
_LABEL = re.compile(r"[a-z][a-z0-9_]*")
# Labels of which `<label>_requests` is another name in the JSON.
_RESERVED = frozenset(
    {
        *("total", "active", "model"),
        *(counter.name.removesuffix("_requests") for counter in COUNTERS),
        *(outcome.value for outcome in Outcome),
    }
)


def block_name(port: int) -> str:
    """Return the name of the shared memory segment of the instance that listens on a port."""
    return f"{_PREFIX}{port}"


def _origin(name: str) -> str:
    port = name.removeprefix(_PREFIX)
    return f"port {port}" if port.isdigit() else f"segment {name}"


class Block:
    """The counters of one instance.

    Attributes:
        words: The whole block as 64-bit words; the only view of it, so that `close` can release it.
        octets: The same as bytes.
        layout: Its size and the place of its slots.
        endpoints: Stats labels by endpoint number.
        resources: Stats labels by the number of the resource.
        master: Process id of the creator.
        started: `time.monotonic()` of the start, in seconds.
        started_at: Unix time of the start, in seconds.
        model_names: Names of models that a reader has met, by the first word of their row.
    """

    def __init__(self, octets: "memoryview[int]", segment: SharedSegment | None) -> None:
        self.octets = octets
        self.words: memoryview[int] = octets.cast("q")
        self._segment = segment
        self.model_names: dict[int, str] = {}
        header = self.words[: layout.HEADER_LABELS].tolist()
        self.layout = _read_layout(header)
        self.master: int = header[layout.HEADER_MASTER]
        self.started = header[layout.HEADER_STARTED] / 1e9
        self.started_at = header[layout.HEADER_STARTED_AT] / 1e9
        labels = tuple(self._label(row) for row in range(self.layout.rows))
        self.endpoints, self.resources = labels[: self.layout.endpoints], labels[self.layout.endpoints :]

    @classmethod
    def create(
        cls,
        name: str,
        *,
        endpoints: Sequence[str],
        slots: int,
        now: float,
        wall: float | None = None,
        resources: Sequence[str] = (),
    ) -> "Block":
        """Create the block of an instance, replacing a stale one; for the master, before it forks.

        Args:
            name: The segment's, by `block_name`.
            endpoints: Stats labels: lower case, digits and underscores, at most 32.
            slots: How many workers can run at the same time, old and new ones of a reload together.
            now: `time.monotonic()`, in seconds.
            wall: Unix time, in seconds; None to read the clock.
            resources: Stats labels of what does not generate, likewise.

        Raises:
            StatsError: The memory cannot be allocated.
            ValueError: A label or the number of slots is invalid.
        """
        shape = _validate(endpoints, resources, slots)
        segment = SharedSegment.create(name, shape.bytes)
        octets = memoryview(segment.memory)
        _write_header(octets, shape, (*endpoints, *resources), now=now, wall=wall)
        return cls(octets, segment)

    @classmethod
    def private(
        cls,
        *,
        endpoints: Sequence[str],
        slots: int = 1,
        now: float,
        wall: float | None = None,
        resources: Sequence[str] = (),
    ) -> "Block":
        """Create a block in this process's own memory, for one process that counts and reads; see `create`."""
        shape = _validate(endpoints, resources, slots)
        octets = memoryview(bytearray(shape.bytes))
        _write_header(octets, shape, (*endpoints, *resources), now=now, wall=wall)
        return cls(octets, None)

    @classmethod
    def attach(cls, name: str) -> "Block":
        """Open the block of another process, read-only; a reader cannot change or remove it.

        Args:
            name: The segment's, by `block_name`.

        Raises:
            StatsError: No block has the name, it belongs to another user, or another version of llmsim wrote it.
        """
        origin = _origin(name)
        try:
            segment = SharedSegment.open(name)
        except FileNotFoundError as error:
            raise StatsError(
                f"no llmsim on {origin}: start one with `llmsim serve`, or name the port with --port"
            ) from error
        except PermissionError as error:
            raise StatsError(
                f"llmsim on {origin} belongs to another user: run this as that user, or read it with --url"
            ) from error
        except ValueError as error:
            raise StatsError(f"llmsim on {origin} is just starting: try again") from error
        octets = memoryview(segment.memory)
        fault = _check_header(octets)
        if fault is not None:
            octets.release()
            segment.close()
            raise StatsError(f"llmsim on {origin} {fault}")
        return cls(octets, segment)

    def claim(self, pid: int) -> int:
        """Claim a free slot for a worker about to be forked; for the master.

        Args:
            pid: A process id to show until the worker sets its own; 0 for none.

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
        raise StatsError(f"all {self.layout.slots} stats slots are taken: a dead worker's was never released")

    def set_pid(self, slot: int, pid: int) -> None:
        """Set the process that writes a claimed slot; for the worker, or for the master once it knows."""
        self.words[self.layout.slot(slot) + layout.PID] = pid

    def release(self, slot: int) -> None:
        """Free the slot of a dead worker; for the master. A free slot is not changed.

        Requests that the worker had begun and not ended count as aborted, and its gauges return to 0; totals stay.
        """
        words = self.words
        first = self.layout.slot(slot)
        if not words[first + layout.TAKEN]:
            return
        for endpoint in range(self.layout.rows):
            row = self.layout.endpoint(slot, endpoint)
            ended = sum(words[row : row + layout.OUTCOMES].tolist())
            in_flight = words[row + layout.ENDPOINT["requests"]] - ended
            if in_flight > 0:
                words[row + Outcome.ABORTED.column] += in_flight
        for word in (*layout.GAUGES, layout.PID, layout.TAKEN):
            words[first + word] = 0

    def is_unused(self, slot: int) -> bool:
        """Return whether a slot is free and has never counted anything."""
        words, first = self.words, self.layout.slot(slot)
        if any(words[first : first + layout.PULSES].tolist()):
            return False
        start = self.layout.endpoint(slot, 0) + layout.ENDPOINT["requests"]
        end = self.layout.endpoint(slot, self.layout.rows)
        return not any(words[start : end : layout.ENDPOINT_WORDS].tolist())

    def is_beating(self, slot: int, since: float) -> bool:
        """Return whether the worker of a slot exists, and has written a pulse since an instant on `time.monotonic()`."""
        first = self.layout.slot(slot)
        if not self.words[first + layout.TAKEN]:
            return False
        start = first + layout.PULSES + layout.PULSE_AT
        pulses = range(start, start + layout.PULSE_ENTRIES * layout.PULSE_WORDS, layout.PULSE_WORDS)
        return max(self.words[word] for word in pulses) >= since * 1e9

    @property
    def is_draining(self) -> bool:
        """Whether the server is about to stop."""
        return bool(self.words[layout.HEADER_DRAINING])

    def start_drain(self) -> None:
        """Note that the server is about to stop; for the master."""
        self.words[layout.HEADER_DRAINING] = 1

    def show_timeline(self, step: int, steps: int, name: str) -> None:
        """Show where the timeline is; any worker may do so.

        Args:
            step: Number of the step, from 1; 0 before the first.
            steps: Number of steps; 0 if there is no timeline.
            name: Name of the step.
        """
        start = layout.HEADER_STEP_NAME * layout.WORD_BYTES
        text = name.encode()[: layout.STEP_NAME_BYTES]
        self.words[layout.HEADER_STEP] = 0
        self.octets[start : start + layout.STEP_NAME_BYTES] = text.ljust(layout.STEP_NAME_BYTES, b"\0")
        self.words[layout.HEADER_STEPS] = steps
        self.words[layout.HEADER_STEP] = step

    def timeline(self) -> tuple[int, int, str]:
        """Return step, number of steps, and name of the step, as `show_timeline` has them."""
        start = layout.HEADER_STEP_NAME * layout.WORD_BYTES
        while True:
            step, steps = self.words[layout.HEADER_STEP], self.words[layout.HEADER_STEPS]
            name = bytes(self.octets[start : start + layout.STEP_NAME_BYTES]).rstrip(b"\0")
            if (step, steps) == (self.words[layout.HEADER_STEP], self.words[layout.HEADER_STEPS]):
                return step, steps, name.decode("utf-8", "ignore")

    def open_websockets(self) -> int:
        """Count the open WebSocket connections of all workers."""
        word = layout.WORKER["websocket_connections"]
        return sum(self.words[self.layout.slot(slot) + word] for slot in range(self.layout.slots))

    def close(self) -> None:
        """Release the memory. Counting after that raises ValueError."""
        self.words.release()
        self.octets.release()
        if self._segment is not None:
            self._segment.close()

    def unlink(self) -> None:
        """Remove the name, so that no process can attach any more; has no effect outside the creator's process."""
        if self._segment is not None:
            self._segment.unlink()

    def _label(self, row: int) -> str:
        start = (layout.HEADER_LABELS + row * layout.LABEL_WORDS) * layout.WORD_BYTES
        return bytes(self.octets[start : start + layout.LABEL_BYTES]).rstrip(b"\0").decode("ascii")


def _read_layout(header: Sequence[int]) -> Layout:
    return Layout(
        header[layout.HEADER_SLOTS], header[layout.HEADER_ENDPOINTS], header[layout.HEADER_RESOURCES]
    )


def _validate(endpoints: Sequence[str], resources: Sequence[str], slots: int) -> Layout:
    for label in (*endpoints, *resources):
        if not _LABEL.fullmatch(label) or len(label) > layout.LABEL_BYTES:
            raise ValueError(
                f"stats label {label!r}: expected lower case, digits and underscores, at most {layout.LABEL_BYTES}"
            )
        if label in _RESERVED:
            raise ValueError(f"stats label {label!r}: {label}_requests is already a name in the JSON")
    if not endpoints or len({*endpoints, *resources}) != len(endpoints) + len(resources):
        raise ValueError(f"stats labels {[*endpoints, *resources]}: expected at least one, and no duplicates")
    if slots < 1:
        raise ValueError(f"{slots} stats slots: expected at least one")
    return Layout(slots, len(endpoints), len(resources))


def _write_header(
    octets: "memoryview[int]", shape: Layout, labels: Sequence[str], *, now: float, wall: float | None
) -> None:
    words = octets.cast("q")
    for slot in range(shape.slots):
        first = shape.slot(slot)
        for offset in shape.histograms():
            words[first + offset + histogram.MIN] = histogram.EMPTY_MIN
    for row, label in enumerate(labels):
        start = (layout.HEADER_LABELS + row * layout.LABEL_WORDS) * layout.WORD_BYTES
        octets[start : start + len(label)] = label.encode("ascii")
    words[layout.HEADER_VERSION] = layout.VERSION
    words[layout.HEADER_BYTES] = shape.bytes
    words[layout.HEADER_STARTED] = int(now * 1e9)
    words[layout.HEADER_STARTED_AT] = int((time.time() if wall is None else wall) * 1e9)
    words[layout.HEADER_MASTER] = os.getpid()
    words[layout.HEADER_SLOTS] = shape.slots
    words[layout.HEADER_ENDPOINTS] = shape.endpoints
    words[layout.HEADER_RESOURCES] = shape.resources
    words[layout.HEADER_MAGIC] = layout.MAGIC
    words.release()


def _check_header(octets: "memoryview[int]") -> str | None:
    """Return what is wrong with another process's header, or None if it is valid."""
    if len(octets) < layout.HEADER_LABELS * layout.WORD_BYTES:
        return "left a segment that is not a stats block: start it again"
    header = octets[: layout.HEADER_LABELS * layout.WORD_BYTES].cast("q").tolist()
    if header[layout.HEADER_MAGIC] == 0:
        return "is just starting: try again"
    if header[layout.HEADER_MAGIC] != layout.MAGIC:
        return "left a segment that is not a stats block: start it again"
    version = header[layout.HEADER_VERSION]
    if version != layout.VERSION:
        return (
            f"writes stats layout {version:x}, and this llmsim reads {layout.VERSION:x}: "
            "use the llmsim it was started with, or --url"
        )
    size = _read_layout(header).bytes
    if header[layout.HEADER_BYTES] != size or size > len(octets):
        return (
            f"left a damaged stats block, of {len(octets)} bytes where {size} were expected: start it again"
        )
    return None
