"""Watches how the clients of one worker's requests go about failures.

Decisions:
* As long as no request fails, a request pays for reading one word; then, for finding out whether its own client has failed lately. Only
  the requests of such a client are compared, by a digest of their bodies.
* The report is a convenience: what cannot be kept is lost, and the request goes on.
* A client is its session, else its API key, of which the fingerprint is kept: the first eight digits of its SHA-256, so that those who
  have the key know it again.
* A request that is refused before its body is read is known by the body's length.
"""

import contextlib
import hashlib
from collections.abc import Iterable, Mapping

from llmsim.domain import Prompt, Turn
from llmsim.domain.client_report import Finding, Misbehaviour
from llmsim.errors import RefusedError, StoreError, UnknownResponseError
from llmsim.providers.contract import Headers, IncomingRequest, Provider
from llmsim.server.active_request import ActiveRequest
from llmsim.server.controls import SESSION_HEADER
from llmsim.server.truncations import describe_truncation, find_continued, is_response
from llmsim.state.client_calls import HUNG_UP
from llmsim.state.client_port import Attempt, ClientId, ClientRegistry
from llmsim.stats import Outcome

_SDK_COUNT = "x-stainless-retry-count"
_COMPARED = 65_536
"""Bytes of a body's beginning, and of its end, that are compared."""

_MOST_REMEMBERED = 1024
_LONGEST_REMEMBERED = 300
_NO_KEY = ClientId(hashlib.blake2b(b"none", digest_size=16).digest(), "without a key", "none")


class ClientWatch:
    """Watches the clients of one worker.

    Args:
        registry: What all workers know of clients.
        providers: The APIs, whose headers hold keys.
        obeys_sessions: Whether requests name sessions by header.
    """

    def __init__(
        self, registry: ClientRegistry, providers: Iterable[Provider], *, obeys_sessions: bool
    ) -> None:
        self.registry = registry
        self._obeys_sessions = obeys_sessions
        self._key_headers = tuple(
            dict.fromkeys(name for provider in providers for name in provider.key_headers)
        )
        self._clients: dict[tuple[str | None, str | None], ClientId] = {}

    async def begin(self, active: ActiveRequest, endpoint: str) -> None:
        """Book a request that has arrived, if its client has failed lately."""
        request = active.incoming
        assert request is not None, "it is noted at its arrival"
        client = self.client(request.headers)
        with contextlib.suppress(StoreError):
            if self.registry.knows(client.digest):
                active.attempt = _attempt(client, request, endpoint)
                await self.registry.begin(active.attempt)

    async def answer(self, attempt: Attempt, active: ActiveRequest) -> None:
        """Book that a request is answered, before the response leaves."""
        active.is_watched = True
        with contextlib.suppress(StoreError):
            await self.registry.end(attempt, status=None)

    async def fail(self, active: ActiveRequest, endpoint: str) -> None:
        """Book that a request gets an error, before that leaves."""
        request, status = active.incoming, getattr(active, "status", 0)
        if request is None or not status or active.is_watched:
            return
        if active.attempt is None and not request.body:
            # It is refused before its body is read, so its beginning is not booked yet.
            await self.begin(active, endpoint)
        await self._fail(active, request, endpoint, status)

    async def _fail(
        self, active: ActiveRequest, request: IncomingRequest, endpoint: str, status: int
    ) -> None:
        active.is_watched = True
        attempt = active.attempt or _attempt(self.client(request.headers), request, endpoint)
        wait = read_retry_after(getattr(active, "reply_headers", ())) if status else 0.0
        with contextlib.suppress(StoreError):
            await self.registry.end(attempt, status=status, wait=wait)

    async def end(self, active: ActiveRequest, endpoint: str, seconds: float) -> None:
        """Book how a request ended, unless that is booked.

        Args:
            active: The request.
            endpoint: The endpoint's label.
            seconds: How long it took.
        """
        request = active.incoming
        if request is None:
            return
        client = self.client(request.headers)
        with contextlib.suppress(StoreError):
            if active.outcome is Outcome.ABANDONED and active.is_damaged:
                # A client that cannot read what it gets is right to hang up.
                await self._fail(active, request, endpoint, 0)
            elif active.outcome is Outcome.ABANDONED:
                await self._fail(active, request, endpoint, HUNG_UP)
                hung_up = Misbehaviour.ABANDONED
                found = Finding(kind=hung_up, worst=seconds, endpoint=endpoint, seconds=[seconds])
                await self.registry.find(client, found)
            elif active.outcome is not Outcome.FINISHED and not active.is_watched:
                await self._fail(active, request, endpoint, 0)
            elif not active.is_watched and self.registry.knows(client.digest):
                attempt = active.attempt or _attempt(client, request, endpoint)
                await self.registry.end(attempt, status=None)

    async def truncate(self, active: ActiveRequest, prompt: Prompt, turn: Turn, endpoint: str) -> None:
        """Note that a stream will be truncated, before it begins: another worker may get what follows."""
        truncation = describe_truncation(prompt, turn, endpoint)
        if truncation is not None and active.incoming is not None:
            with contextlib.suppress(StoreError):
                await self.registry.truncate(self.client(active.incoming.headers), truncation)

    async def check(self, attempt: Attempt, asked: Prompt | RefusedError) -> None:
        """Note that a request goes on with a truncated stream, if it does.

        Args:
            attempt: The request, as it was booked at its beginning.
            asked: What it asks, or why it was refused.
        """
        digest, found = attempt.client.digest, None
        with contextlib.suppress(StoreError):
            truncations = await self.registry.truncations(digest)
            if isinstance(asked, Prompt):
                found = find_continued(asked, truncations) if truncations else None
            elif isinstance(asked, UnknownResponseError):
                named = (one for one in truncations if is_response(one, asked.id))
                found = next(((one, "the id") for one in named), None)
            if found is not None:
                truncation, what = found
                finding = Finding(kind=Misbehaviour.TRUNCATED, endpoint=attempt.endpoint, what=what)
                await self.registry.find(attempt.client, finding, truncation)

    def client(self, headers: Mapping[str, str]) -> ClientId:
        """Return the client that sends a request."""
        session = headers.get(SESSION_HEADER) if self._obeys_sessions else None
        sent = None
        for name in self._key_headers:
            if (sent := headers.get(name)) is not None:
                break
        known = self._clients.get((session, sent))
        if known is not None:
            return known
        client = _NO_KEY
        if session is not None:
            client = session_client(session)
        elif sent:
            key = sent[7:].strip() if sent[:7].lower() == "bearer " else sent
            digest = hashlib.sha256(key.encode("utf-8", "surrogateescape")).digest()
            client = ClientId(digest[:16], f"key {digest.hex()[:8]}", "key")
        if len(session or "") + len(sent or "") <= _LONGEST_REMEMBERED:
            if len(self._clients) >= _MOST_REMEMBERED:
                self._clients.clear()
            self._clients[session, sent] = client
        return client


def session_client(session: str) -> ClientId:
    """Return the client of a session, by its name as the header has it."""
    if not session.isascii():
        with contextlib.suppress(UnicodeError):
            session = session.encode("latin-1").decode()
    digest = hashlib.blake2b(f"session {session}".encode("utf-8", "surrogateescape"), digest_size=16)
    return ClientId(digest.digest(), session, "session")


def read_retry_after(headers: Headers) -> float:
    """Return the seconds that the headers of a response ask to wait; 0 if they ask for none."""
    sent = dict(headers)
    for name, unit in (("retry-after-ms", 1000), ("retry-after", 1)):
        with contextlib.suppress(KeyError, ValueError):
            return max(0.0, float(sent[name]) / unit)
    return 0.0


def _attempt(client: ClientId, request: IncomingRequest, endpoint: str) -> Attempt:
    headers, body = request.headers, request.body
    digest = _digest(client, headers, request.path, body or (headers.get("content-length") or "").encode())
    return Attempt(client, digest, endpoint, request.arrival, _count(headers))


def _digest(client: ClientId, headers: Mapping[str, str], path: str, body: bytes) -> bytes:
    agent = headers.get("user-agent") or ""
    digest = hashlib.blake2b(client.digest, digest_size=16)
    digest.update(f"{path}\n{agent}\n{len(body)}\n".encode("utf-8", "surrogateescape"))
    if len(body) <= 2 * _COMPARED:
        digest.update(body)
    else:
        digest.update(body[:_COMPARED])
        digest.update(body[-_COMPARED:])
    return digest.digest()


def _count(headers: Mapping[str, str]) -> int:
    sent = headers.get(_SDK_COUNT)
    return int(sent) if sent is not None and sent.isascii() and sent.isdigit() and len(sent) < 6 else -1
