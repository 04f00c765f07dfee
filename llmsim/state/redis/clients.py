"""The report on clients, for all hosts.

Decisions:
* A request and its repetitions are a list of what happened, which is judged when the report is read: an operation appends one event, and
  the rules are those of `CallRecord`. A list that grows long is replaced by what its events come to.
* Times are those of the server's clock. A process knows by how much its own differs, within half a round trip, and corrects that
  when it is wrong by more. An attempt whose time was corrected meanwhile is known by being 50 ms near.
* Whether a client is watched is read for every request, so each process keeps it. That a client is new is published; when it will be
  forgotten is read once a second. A process may learn some milliseconds late that a client has failed at another host.
"""

import asyncio
import contextlib
import time
from collections.abc import Sequence

import msgspec

from llmsim.domain.client_report import ClientReport, Finding, merge
from llmsim.errors import StoreError
from llmsim.state.client_calls import WINDOW, CallRecord
from llmsim.state.client_port import Attempt, ClientId, Truncation
from llmsim.state.client_registry import MOST_NAME, MOST_TRUNCATIONS, TRUNCATED_SECONDS, ClientRecord
from llmsim.state.redis.client import RedisClient
from llmsim.state.redis.client_scripts import ADD, FAIL, FIND, FORGET, REPORT, SHORTEN, TRUNCATE, WATCHED
from llmsim.state.redis.pushes import Pushes

_MOST_CLIENTS, _MOST_CALLS = 1024, 2048

_LONGEST_LIST = 32
"""Events, or findings, after which a list is shortened."""

_LARGEST_TRUNCATION = 1024
"""Bytes of the largest truncation that is kept."""

_NEAR = 0.05
"""Seconds by which two times of one attempt may differ."""

_EXACT = 0.002
"""Seconds by which the difference of the clocks may be wrong, beside half a round trip."""

_REST = 0.05
"""Seconds between two readings of who is watched."""


class _Begun(msgspec.Struct, array_like=True, tag=0):
    """An attempt has arrived; see `CallRecord.begin`."""

    arrival: float
    sdk_count: int


class _Ended(msgspec.Struct, array_like=True, tag=1):
    """An attempt has ended; see `CallRecord.end`."""

    arrival: float
    now: float
    status: int | None
    wait: float
    sdk_count: int


_encode = msgspec.msgpack.encode
_decode_event = msgspec.msgpack.Decoder(_Begun | _Ended).decode
_decode_call = msgspec.msgpack.Decoder(CallRecord).decode
_decode_finding = msgspec.msgpack.Decoder(Finding).decode
_decode_truncation = msgspec.msgpack.Decoder(Truncation).decode


def _replay(events: Sequence[bytes]) -> CallRecord:
    """Return what a list comes to: a record, and what happened since."""
    record = _decode_call(events[0])
    for data in events[1:]:
        event = _decode_event(data)
        if abs(event.arrival - record.opened_at) < _NEAR:
            event.arrival = record.opened_at
        if isinstance(event, _Begun):
            record.begin(event.arrival, event.sdk_count)
        else:
            record.end(event.arrival, event.now, event.status, event.wait, event.sdk_count)
    return record


class RedisClientRegistry:
    """The clients of all hosts; see `ClientRegistry`.

    Args:
        client: How the server is reached.
        pushes: The channels that this process follows.
        most_clients: Clients that are kept.
        most_calls: Requests that are kept.
    """

    def __init__(
        self,
        client: RedisClient,
        pushes: Pushes,
        *,
        most_clients: int = _MOST_CLIENTS,
        most_calls: int = _MOST_CALLS,
    ) -> None:
        self._client = client
        self._most_clients = most_clients
        self._most_calls = most_calls
        self._root = client.key("client", "")
        self._channel = client.key("changed", "clients")
        self._keys = (client.key("clients"), client.key("calls"), self._channel, self._root)
        self._until: dict[bytes, float] = {}
        self._is_watching = False
        self._offset: float | None = None
        self._reading: asyncio.Task[None] | None = None
        self._is_due = False
        pushes.receive(self._channel, self._read_soon)

    @property
    def is_watching(self) -> bool:
        """See `ClientRegistry`."""
        return self._is_watching

    def knows(self, client: bytes) -> bool:
        """See `ClientRegistry`."""
        return self._until.get(client, 0.0) > time.monotonic()

    async def renew(self) -> None:
        """Read who is watched, and what the server's clock shows; every worker calls it each second.

        Raises:
            StoreError: The server cannot be reached.
        """
        begun = time.monotonic()
        now, found = await WATCHED.run(self._client, self._keys)
        ended = time.monotonic()
        offset, inexact = float(now) - (begun + ended) / 2, (ended - begun) / 2 + _EXACT
        if self._offset is None or abs(offset - self._offset) > inexact:
            self._offset = offset
        self._until = {
            client: float(until) - self._offset for client, until in zip(found[::2], found[1::2], strict=True)
        }
        self._is_watching = bool(self._until)

    async def announce(self) -> None:
        """Have all processes read who is watched."""
        await self._client.run("PUBLISH", self._channel, b"")

    async def _read_soon(self) -> None:
        """Read who is watched, but not for each of many messages."""
        self._is_due = True
        if self._reading is None or self._reading.done():
            self._reading = asyncio.create_task(self._read())

    async def _read(self) -> None:
        while self._is_due:
            self._is_due = False
            with contextlib.suppress(StoreError):
                await self.renew()
            await asyncio.sleep(_REST)

    async def _server_time(self, instant: float) -> float:
        """Return what the server's clock showed at an instant of `time.monotonic()`."""
        if self._offset is None:
            await self.renew()
            assert self._offset is not None, "it was read"
        return instant + self._offset

    def _watch(self, client: bytes, until: float) -> None:
        """Watch a client in this process, at least until an instant of the server's clock."""
        assert self._offset is not None, "it was read"
        self._until[client] = max(self._until.get(client, 0.0), until - self._offset)
        self._is_watching = True

    async def begin(self, attempt: Attempt) -> None:
        """See `ClientRegistry`."""
        await self._append(attempt, _Begun(await self._server_time(attempt.arrival), attempt.sdk_count))

    async def end(self, attempt: Attempt, *, status: int | None, wait: float = 0.0) -> None:
        """See `ClientRegistry`."""
        now = await self._server_time(time.monotonic())
        event = _Ended(await self._server_time(attempt.arrival), now, status, wait, attempt.sdk_count)
        if status is None:
            await self._append(attempt, event)
            return
        client, until = attempt.client, now + wait + WINDOW
        length, gone, events = await FAIL.run(
            self._client,
            self._keys,
            client.digest,
            attempt.call,
            *_names(client),
            _encode(CallRecord(client.digest, attempt.endpoint)),
            _encode(event),
            until,
            self._most_clients,
            self._most_calls,
        )
        self._watch(client.digest, until)
        if gone:
            await self._add(_replay(events))
        if length > _LONGEST_LIST:
            await self._shorten_call(attempt)

    async def _append(self, attempt: Attempt, event: _Begun | _Ended) -> None:
        """Append an event to those of a request, if that has failed."""
        if await self._client.run("RPUSHX", self._call_key(attempt), _encode(event)) > _LONGEST_LIST:
            await self._shorten_call(attempt)

    def _call_key(self, attempt: Attempt) -> bytes:
        return self._root + b"r" + attempt.client.digest + attempt.call

    async def _shorten_call(self, attempt: Attempt) -> None:
        key = self._call_key(attempt)
        events = await self._client.run("LRANGE", key, 0, -1)
        if events:
            await SHORTEN.run(self._client, [key], events[0], len(events), _encode(_replay(events)))

    async def _add(self, call: CallRecord) -> None:
        """Add what was found in a request that is forgotten to its client's account."""
        findings = [_encode(finding) for finding in call.findings]
        length = await ADD.run(
            self._client, self._keys, call.client, call.retries, int(call.is_shared), *findings
        )
        await self._shorten_findings(call.client, length)

    async def _shorten_findings(self, client: bytes, length: int) -> None:
        if length > _LONGEST_LIST:
            key, merged = self._root + b"f" + client, list[Finding]()
            found = await self._client.run("LRANGE", key, 0, -1)
            for data in found:
                merge(merged, _decode_finding(data))
            if found:
                await SHORTEN.run(self._client, [key], found[0], len(found), *map(_encode, merged))

    async def truncate(self, client: ClientId, truncation: Truncation) -> None:
        """See `ClientRegistry`."""
        data = _encode(truncation)
        if len(data) > _LARGEST_TRUNCATION:
            return
        until = await self._server_time(time.monotonic()) + TRUNCATED_SECONDS
        arguments = (client.digest, *_names(client), until, self._most_clients, data, MOST_TRUNCATIONS)
        await TRUNCATE.run(self._client, self._keys, *arguments)
        self._watch(client.digest, until)

    async def truncations(self, client: bytes) -> tuple[Truncation, ...]:
        """See `ClientRegistry`."""
        found = await self._client.run("LRANGE", self._root + b"t" + client, 0, -1)
        return tuple(map(_decode_truncation, found))

    async def find(self, client: ClientId, finding: Finding, truncation: Truncation | None = None) -> None:
        """See `ClientRegistry`."""
        until = await self._server_time(time.monotonic()) + WINDOW
        concerned = _encode(truncation) if truncation is not None else b""
        arguments = (client.digest, *_names(client), until, self._most_clients, _encode(finding), concerned)
        length = await FIND.run(self._client, self._keys, *arguments)
        if length:
            self._watch(client.digest, until)
        await self._shorten_findings(client.digest, length)

    async def report(self) -> list[ClientReport]:
        """See `ClientRegistry`."""
        clients: dict[bytes, ClientRecord] = {}
        found_clients, found_calls = await REPORT.run(self._client, self._keys)
        for digest, fields, found in found_clients:
            name, named_by, first, last, *counts = fields
            if name is None:
                continue
            record = ClientRecord(name.decode(), named_by.decode(), float(first), float(last), 0.0)
            record.failures, record.retries, record.not_judged = (int(count or 0) for count in counts)
            for data in found:
                merge(record.found, _decode_finding(data))
            clients[digest] = record
        for events in found_calls:
            call = _replay(events)
            if (known := clients.get(call.client)) is not None:
                known.add(call)
        reports = [record.report() for record in clients.values()]
        return sorted(reports, key=lambda report: -report.last_at)

    async def forget(self, client: bytes | None = None) -> int:
        """See `ClientRegistry`."""
        count = int(await FORGET.run(self._client, self._keys, client or b""))
        await self.renew()
        return count


def _names(client: ClientId) -> tuple[bytes, bytes]:
    return client.name[:MOST_NAME].encode("utf-8", "replace"), client.named_by.encode()
