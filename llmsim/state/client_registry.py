"""The report on clients over all workers, in a mapped file.

Decisions:
* The head of the file says whether requests are watched, and until when: as long as none fails, a request pays for reading it.
* Requests are kept apart from their clients: what is found in a request counts for its client as long as the request is not shared, and
  is added to the client's account when its place is needed.
* What cannot be encoded into a place is shortened: the examples and truncated streams of a client go first.
"""

import mmap
import struct
import time
from collections.abc import Callable
from pathlib import Path

import msgspec

from llmsim.domain.client_report import ClientReport, Finding, merge
from llmsim.state.client_calls import WINDOW, CallRecord
from llmsim.state.client_port import Attempt, ClientId, Truncation
from llmsim.state.locked_memory import LockedMemory
from llmsim.state.slots import Slots

_WORD = struct.Struct("=d")
_WORD_AT, _FLAG_AT = 8, 16
"""Where the time is until which requests are watched, and whether that may lie ahead."""

_CLIENTS = Slots(64, 1024, 2048)
_CALLS = Slots(_CLIENTS.end, 2048, 768)

TRUNCATED_SECONDS = 600.0
"""Seconds in which a client may go on with a truncated stream."""

MOST_TRUNCATIONS = 4
MOST_NAME = 80


class ClientRecord(msgspec.Struct, array_like=True):
    """What is kept of a client: times of day are Unix times, `until` is that of the monotonic clock."""

    name: str
    named_by: str
    first_at: float
    last_at: float
    until: float
    failures: int = 0
    retries: int = 0
    not_judged: int = 0
    found: list[Finding] = []
    truncated: list[Truncation] = []

    def add(self, call: CallRecord) -> None:
        """Add what was found in a request."""
        self.retries += call.retries
        self.not_judged += call.is_shared
        for finding in call.findings:
            merge(self.found, finding)

    def report(self) -> ClientReport:
        """Return what is reported of the client."""
        return ClientReport(
            client=self.name,
            named_by=self.named_by,
            failures=self.failures,
            retries=self.retries,
            not_judged=self.not_judged,
            first_at=self.first_at,
            last_at=self.last_at,
            findings=tuple(self.found),
        )


_encode = msgspec.msgpack.encode
_decode_client = msgspec.msgpack.Decoder(ClientRecord).decode
_decode_call = msgspec.msgpack.Decoder(CallRecord).decode


class FileClientRegistry:
    """The clients of the processes of one machine; see `ClientRegistry`.

    Args:
        path: The file of the lock that orders them.
        clock: Returns the Unix time, in seconds.
    """

    def __init__(self, path: Path, clock: Callable[[], float]) -> None:
        self._file = LockedMemory(path, _CALLS.end)
        self._clock = clock
        self._memory = self._file.memory

    def open(self) -> None:
        """Open the file, or make it anew.

        Raises:
            StoreError: It cannot be opened.
        """
        with self._file.locked():
            pass

    @property
    def is_watching(self) -> bool:
        """See `ClientRegistry`."""
        memory = self._memory
        # PERF: 0.05 us to read one byte; the time behind it is read only if it is set.
        return memory[_FLAG_AT] != 0

    def knows(self, client: bytes) -> bool:
        """See `ClientRegistry`."""
        memory = self._memory
        now = time.monotonic()
        if _WORD.unpack_from(memory, _WORD_AT)[0] < now:
            self._stop_watching(now)
            return False
        return _CLIENTS.until(memory, client) > now

    def _stop_watching(self, now: float) -> None:
        with self._file.locked() as memory:
            if _WORD.unpack_from(memory, _WORD_AT)[0] < now:
                _watch_until(memory, 0.0)

    async def begin(self, attempt: Attempt) -> None:
        """See `ClientRegistry`."""
        with self._file.locked() as memory:
            data = _CALLS.get(memory, attempt.call)
            if data is None:
                return
            call = _decode_call(data)
            call.begin(attempt.arrival, attempt.sdk_count)
            self._put_call(memory, attempt.call, call)

    async def end(self, attempt: Attempt, *, status: int | None, wait: float = 0.0) -> None:
        """See `ClientRegistry`."""
        now = time.monotonic()
        with self._file.locked() as memory:
            data = _CALLS.get(memory, attempt.call)
            if data is None and status is None:
                return
            digest = attempt.client.digest
            call = CallRecord(digest, attempt.endpoint) if data is None else _decode_call(data)
            call.end(attempt.arrival, now, status, wait, attempt.sdk_count)
            self._put_call(memory, attempt.call, call)
            if status is not None:
                client = self._client(memory, attempt.client)
                client.failures += 1
                client.last_at = self._clock()
                self._put_client(memory, digest, client, now + wait + WINDOW)

    async def truncate(self, client: ClientId, truncation: Truncation) -> None:
        """See `ClientRegistry`."""
        with self._file.locked() as memory:
            record = self._client(memory, client)
            record.truncated = [*record.truncated, truncation][-MOST_TRUNCATIONS:]
            self._put_client(memory, client.digest, record, time.monotonic() + TRUNCATED_SECONDS)

    async def truncations(self, client: bytes) -> tuple[Truncation, ...]:
        """See `ClientRegistry`."""
        with self._file.locked() as memory:
            data = _CLIENTS.get(memory, client)
        return tuple(_decode_client(data).truncated) if data is not None else ()

    async def find(self, client: ClientId, finding: Finding, truncation: Truncation | None = None) -> None:
        """See `ClientRegistry`."""
        with self._file.locked() as memory:
            record = self._client(memory, client)
            if truncation is not None:
                if truncation not in record.truncated:
                    return
                record.truncated = [one for one in record.truncated if one != truncation]
            merge(record.found, finding)
            record.last_at = self._clock()
            self._put_client(memory, client.digest, record, time.monotonic() + WINDOW)

    async def report(self) -> list[ClientReport]:
        """See `ClientRegistry`."""
        with self._file.locked() as memory:
            clients = {key: _decode_client(data) for key, data in _CLIENTS.items(memory)}
            calls = [_decode_call(data) for _, data in _CALLS.items(memory)]
        for call in calls:
            if (record := clients.get(call.client)) is not None:
                record.add(call)
        reports = [record.report() for record in clients.values()]
        return sorted(reports, key=lambda report: -report.last_at)

    async def forget(self, client: bytes | None = None) -> int:
        """See `ClientRegistry`."""
        with self._file.locked() as memory:
            known = [key for key, _ in _CLIENTS.items(memory) if client is None or key == client]
            for key in known:
                _CLIENTS.delete(memory, key)
            for key, data in list(_CALLS.items(memory)):
                if client is None or _decode_call(data).client == client:
                    _CALLS.delete(memory, key)
            if client is None:
                _watch_until(memory, 0.0)
        return len(known)

    def _client(self, memory: mmap.mmap, client: ClientId) -> ClientRecord:
        data = _CLIENTS.get(memory, client.digest)
        if data is not None:
            return _decode_client(data)
        now = self._clock()
        return ClientRecord(client.name[:MOST_NAME], client.named_by, now, now, 0.0)

    def _put_client(self, memory: mmap.mmap, key: bytes, client: ClientRecord, until: float) -> None:
        client.until = max(client.until, until)
        data = _encode(client)
        if len(data) > _CLIENTS.room:
            client.truncated = client.truncated[-1:]
            data = _encode(client)
        if len(data) <= _CLIENTS.room:
            _CLIENTS.put(memory, key, data, client.until)
        if _WORD.unpack_from(memory, _WORD_AT)[0] < client.until:
            _watch_until(memory, client.until)

    def _put_call(self, memory: mmap.mmap, key: bytes, call: CallRecord) -> None:
        data = _encode(call)
        if len(data) > _CALLS.room:
            return
        evicted = _CALLS.put(memory, key, data, max(call.failed_at, call.opened_at) + call.wait + WINDOW)
        if evicted is None:
            return
        old = _decode_call(evicted)
        data_of_client = _CLIENTS.get(memory, old.client)
        if data_of_client is not None:
            record = _decode_client(data_of_client)
            record.add(old)
            self._put_client(memory, old.client, record, record.until)

    def restart(self) -> None:
        """Begin without any client; only while no other process has the file open."""
        self.remove()

    def remove(self) -> None:
        """Remove the file, if that is possible."""
        self._file.remove()


def _watch_until(memory: mmap.mmap, instant: float) -> None:
    """Watch requests until an instant; 0 to stop."""
    _WORD.pack_into(memory, _WORD_AT, instant)
    memory[_FLAG_AT] = instant > 0
