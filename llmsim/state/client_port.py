"""The port of the report on clients; see `ports`, whose rules hold for it."""

from typing import Protocol

import msgspec

from llmsim.domain.client_report import ClientReport, Finding


class ClientId(msgspec.Struct, frozen=True, gc=False):
    """A client, as requests show it.

    Attributes:
        digest: Of its session or API key, 16 bytes.
        name: The session, or a fingerprint of the key.
        named_by: `session`, `key` or `none`.
    """

    digest: bytes
    name: str
    named_by: str


class Attempt(msgspec.Struct, frozen=True, gc=False):
    """One request of a client.

    Attributes:
        client: The client.
        call: Digest of client, endpoint and body: the same for all repetitions of a request.
        endpoint: The endpoint's label.
        arrival: Its arrival on `time.monotonic()`.
        sdk_count: What an SDK has counted; -1 for no SDK.
    """

    client: ClientId
    call: bytes
    endpoint: str
    arrival: float
    sdk_count: int = -1


class Truncation(msgspec.Struct, array_like=True, frozen=True):
    """A stream that was truncated, in digests of 8 bytes.

    Attributes:
        endpoint: The endpoint's label.
        question: Of what the stream answers.
        beginning: Of the first characters of its text; empty if none was sent.
        characters: How many these are.
        length: Characters that the whole text would have had.
        response: Of its id.
        calls: Of the ids of its tool calls that had begun.
    """

    endpoint: str
    question: bytes
    beginning: bytes
    characters: int
    length: int
    response: bytes
    calls: tuple[bytes, ...] = ()


class ClientRegistry(Protocol):
    """How clients go about failures: a bounded number of clients and requests, those that failed longest ago are forgotten first."""

    @property
    def is_watching(self) -> bool:
        """Whether any request has failed lately. Read for every request, so it is no coroutine; it may be some milliseconds late."""

    def knows(self, client: bytes) -> bool:
        """Return whether a request of a client has failed lately; see `is_watching`."""

    async def begin(self, attempt: Attempt) -> None:
        """Book that a request has arrived, if its client has failed lately."""

    async def end(self, attempt: Attempt, *, status: int | None, wait: float = 0.0) -> None:
        """Book how a request ended.

        Args:
            attempt: The request.
            status: HTTP status of a failure, 0 for a broken connection, 499 if the client hung up; None if it was answered.
            wait: Seconds that the failure asks to wait; 0 for none.
        """

    async def truncate(self, client: ClientId, truncation: Truncation) -> None:
        """Note a stream that was truncated."""

    async def truncations(self, client: bytes) -> tuple[Truncation, ...]:
        """Return the streams of a client that were truncated lately."""

    async def find(self, client: ClientId, finding: Finding, truncation: Truncation | None = None) -> None:
        """Add what a client did wrong; a truncated stream that it concerns counts once."""

    async def report(self) -> list[ClientReport]:
        """Return what is known of all clients, those that failed last first."""

    async def forget(self, client: bytes | None = None) -> int:
        """Forget a client, or all; return how many there were."""
