"""The state that all workers share, behind ports: protocols of atomic operations on plain values.

Decisions:
* Methods are `async def` and awaited in `server/` only, so that a backend over a network can take the place of the embedded
  one, with one round trip for each operation. The embedded one never suspends.
* An operation is one atomic step and runs no code of its caller: what depends on the state is read, decided on, and written
  back on condition that nothing has changed, else tried again.
* Times that are kept are Unix times: they have a meaning for every process and machine.
* All methods raise StoreError when the backend cannot be reached or used.
"""

from collections.abc import Mapping, Sequence
from typing import Protocol

import msgspec

from llmsim.domain import CacheUse, PrefixChain, PrefixMark
from llmsim.scripts import Script, ScriptFormat
from llmsim.scripts.files import ScriptFile
from llmsim.state.attempt_port import AttemptStore
from llmsim.state.client_port import ClientRegistry
from llmsim.state.content_port import ContentStore
from llmsim.state.host_port import HostStore
from llmsim.state.journal_port import Journal
from llmsim.state.quota_port import QuotaStore
from llmsim.state.settings_port import RuntimeSettings

UPLOADED = "uploaded"
"""Origin of a script that a client has sent."""


class OutdatedError(Exception):
    """The script that a request was about to play has been replaced in the meantime."""


class Record(msgspec.Struct, frozen=True, kw_only=True):
    """A stored record.

    Attributes:
        id: Unique over all kinds, e.g. `resp_…`.
        kind: E.g. `chat.completion`; kinds are looked up and listed separately.
        created: Unix time of its creation, in seconds; lists are in this order.
        model: Model id; lists can be filtered by it.
        metadata: Labels that lists can be filtered by.
        data: The rest, in a format that only its endpoint knows.
        owner: Whose it is; others do not find it.
        version: Changes with every write; set by the store, for `RecordStore.replace`.
    """

    id: str
    kind: str
    created: float
    model: str
    metadata: dict[str, str]
    data: bytes
    owner: str = ""
    version: int = 0


class RecordStore(Protocol):
    """A bounded collection of records. Evicted and expired records, and those of another kind or owner, are not found."""

    async def put(self, record: Record) -> int:
        """Store a record and replace the one with its id, if any.

        Returns:
            How many records were evicted to stay within the bounds. A record that is too large for the store is evicted itself.
        """

    async def get(self, kind: str, id: str, owner: str = "") -> Record | None:  # noqa: A002 - the field's name
        """Return a record, or None if there is no such record."""

    async def replace(self, record: Record, *, version: int) -> int | None:
        """Replace the record of this id, kind and owner if it has not changed since it was read.

        Args:
            record: The record to store; it keeps its place in the order of eviction.
            version: Version of the record that was read.

        Returns:
            How many records were evicted, as for `put`; None if the record has changed or is gone, and nothing was written.
        """

    async def delete(self, kind: str, id: str, owner: str = "") -> bool:  # noqa: A002 - the field's name
        """Delete a record; return whether it existed."""

    async def page(
        self,
        kind: str,
        *,
        limit: int,
        after: str | None = None,
        before: str | None = None,
        ascending: bool = True,
        model: str | None = None,
        metadata: Mapping[str, str] = {},
        owner: str = "",
    ) -> tuple[list[Record], bool]:
        """List records in order of creation, those created at the same time in the order they were put.

        Args:
            kind: Kind of the records.
            limit: Maximum number of records.
            after: Id of the record after which the page begins.
            before: Id of the record before which it ends. Without `after` the page is the one right before that record.
            ascending: Oldest first; otherwise newest first, and `after` and `before` refer to that order.
            model: Only records of this model.
            metadata: Only records that have all these labels.
            owner: Only records of this owner.

        Returns:
            The page, and whether more follow: after it or, when only `before` is given, before it.

        Raises:
            KeyError: There is no record `after` or `before`.
        """


class PrefixCache(Protocol):
    """The prompt cache: which prefixes of prompts are cached, and until when."""

    async def use(self, marks: Sequence[PrefixMark], minimum: int, *, owner: str = "") -> CacheUse:
        """Read the longest cached prefix of a prompt, and write the marked prefixes beyond it.

        Reading a prefix renews its lifetime, and that of the marked prefixes inside it.

        Args:
            marks: Where prefixes end, the shortest first.
            minimum: Fewest tokens of a prefix that is cached.
            owner: Whose prompt it is; the prefixes of others are not read.
        """

    async def follow(self, chain: PrefixChain, *, owner: str = "") -> int:
        """Read the longest cached prefix of a prompt that is cached unmarked; return its tokens, a multiple of 128.

        All its prefixes are written, and their lifetime begins anew; `owner` as for `use`.
        """


class SharedCounters(Protocol):
    """Named sequences 0, 1, 2, … over all processes."""

    async def next(self, name: str, count: int = 1) -> int:
        """Reserve the next `count` numbers of a sequence; return the first of them.

        Raises:
            ValueError: There is no such sequence.
        """


class Failure(msgspec.Struct, frozen=True):
    """An expectation that was not met.

    Attributes:
        at: Unix time, in seconds.
        cursor: The session's cursor.
        unmet: What was expected and what was received, a sentence each.
    """

    at: float
    cursor: int
    unmet: tuple[str, ...]


class SessionProgress(msgspec.Struct, frozen=True):
    """How far a session has come in a script.

    Attributes:
        session: Name of the session.
        script: Name of the script.
        cursor: Turns that were leased.
        played: Turns that were committed.
        met: Requests that met what their turn expected.
        failed: Requests that did not.
        failures: The last of these.
        begun: Unix time of its first request, in seconds.
        used: Unix time of its last request.
    """

    session: str
    script: str
    cursor: int
    played: int
    met: int
    failed: int
    failures: tuple[Failure, ...]
    begun: float
    used: float


class TurnLease(msgspec.Struct, frozen=True):
    """The right of one request to play a turn.

    Attributes:
        session: Name of the session.
        script: Name of the script.
        cursor: Turns of the session that come before it.
        owner: The process that took the lease.
        number: Unique among the leases of its owner.
    """

    session: str
    script: str
    cursor: int
    owner: str
    number: int


class SessionStore(Protocol):
    """How far each session has come in each script.

    A lease belongs to the process that took it. It expires 5 s after that process last renewed its leases, and at once if the
    process is known to be dead; the turn then goes to the next request of the session.
    """

    async def next_turn(
        self, session: str, script: str, version: int, *, leasable: int = 0
    ) -> TurnLease | int:
        """Find the turn that the session's next request gets; lease it at once if it expects nothing.

        Args:
            session: Name of the session.
            script: Name of the script.
            version: Version of the script.
            leasable: Cursor before which all turns expect nothing.

        Returns:
            The lease, or the cursor of a turn that is not before `leasable`: 0 if the session has not begun this version.

        Raises:
            OutdatedError: The script was replaced or deleted, or the session plays a newer version of it.
        """

    async def lease_turn(
        self, session: str, script: str, version: int, cursor: int, *, met: bool | None
    ) -> TurnLease | None:
        """Lease a turn of a session, and begin the session (anew) if it has not begun this version.

        Args:
            session: Name of the session.
            script: Name of the script.
            version: Version of the script.
            cursor: The turn, from `next_turn`.
            met: Whether the request met what the turn expects; None if it expects nothing.

        Returns:
            The lease; None if the next turn is another one by now.

        Raises:
            OutdatedError: The session plays a newer version of the script.
        """

    async def record_mismatch(
        self, session: str, script: str, version: int, cursor: int, unmet: Sequence[str]
    ) -> bool:
        """Count a request that did not meet what the next turn expects, and keep why; no turn is leased.

        Args:
            session: Name of the session.
            script: Name of the script.
            version: Version of the script.
            cursor: The turn, from `next_turn`.
            unmet: What was expected and what was received, a sentence each.

        Returns:
            Whether it was counted; False if the next turn is another one by now.

        Raises:
            OutdatedError: The session plays a newer version of the script.
        """

    async def touch(self, session: str, script: str) -> None:
        """Mark a session as used now, for a request that found its script exhausted."""

    async def commit(self, lease: TurnLease) -> None:
        """End a lease whose turn was played."""

    async def release(self, lease: TurnLease) -> None:
        """End a lease whose turn was not played: it goes to the next request of the session."""

    async def renew(self) -> None:
        """Renew the leases of this process, if it holds any; to be called each second."""

    async def list_progress(self, session: str | None = None, *, limit: int = 1000) -> list[SessionProgress]:
        """List the progress of one session, or of all, those used last first."""

    async def forget(self, session: str | None = None, *, script: str | None = None) -> int:
        """Reset one session, or all, in one script, or all; return how many entries there were."""


class ScriptInfo(msgspec.Struct, frozen=True):
    """A script's metadata.

    Attributes:
        name: Its name.
        version: Higher than that of any script put before.
        source_format: `json`, `toml` or `yaml`.
        origin: Path of its file, or `uploaded`.
        at: Unix time at which it was put, in seconds.
        description: What it is for.
        turns: Number of its turns.
        length: Number of requests it answers before it is exhausted.
        on_exhausted: What happens then.
    """

    name: str
    version: int
    source_format: ScriptFormat
    origin: str
    at: float
    description: str
    turns: int
    length: int
    on_exhausted: str


class ScriptRegistry(Protocol):
    """Scripts by name: those of the server's files, and those that clients have sent."""

    async def put(self, name: str, source: bytes, source_format: ScriptFormat, script: Script) -> bool:
        """Store a script that a client has sent and replace the one of that name, if any; return whether there was one.

        Args:
            name: Its name.
            source: As it is written.
            source_format: How it is written.
            script: As it was parsed.
        """

    async def publish(self, files: Mapping[str, ScriptFile]) -> list[str]:
        """Store the scripts of this host's files as they are now, by name; return the names of those that are new, changed or gone.

        One that is the same as before keeps its version. Those that clients have sent stay, unless a file has their name.
        """

    async def get(self, name: str) -> ScriptInfo | None:
        """Return a script's metadata, or None if there is no such script."""

    async def version(self, name: str) -> int | None:
        """Return the version of a script, or None if there is no such script."""

    async def script(self, name: str) -> tuple[int, Script] | None:
        """Return a script with its version, or None if there is no such script."""

    async def source(self, name: str) -> bytes | None:
        """Return a script as it was written, or None if there is no such script."""

    async def list_scripts(self) -> list[ScriptInfo]:
        """List the metadata of all scripts by name."""

    async def delete(self, name: str) -> bool:
        """Delete a script; return whether it existed."""


class State(Protocol):
    """Everything that all workers share, apart from the stats block; each part is described with its own port.

    Attributes:
        hosts: What hosts publish about themselves; None if there is only this one.
    """

    records: RecordStore
    objects: RecordStore
    contents: ContentStore
    prefix_cache: PrefixCache
    counters: SharedCounters
    sessions: SessionStore
    journal: Journal
    scripts: ScriptRegistry
    attempts: AttemptStore
    quotas: QuotaStore
    clients: ClientRegistry
    settings: RuntimeSettings
    rules: RuntimeSettings
    hosts: HostStore | None

    def open(self) -> None:
        """Open what a process needs, at its start: later there may be no descriptor left. What fails is tried again."""

    async def renew(self) -> None:
        """Renew what this process holds; every worker calls it each second."""

    async def follow(self) -> None:
        """Receive what other hosts push, until cancelled; every worker runs it. Without other hosts it returns."""

    async def clear(self) -> bool:
        """Delete everything that hosts share, for all of them; return False if nothing is shared with other hosts."""

    async def close(self) -> None:
        """Close what belongs to this event loop, at its end; what is needed after that is opened anew."""

    def restart(self) -> None:
        """Begin with empty state, but for what other hosts share; the master calls it before any worker runs, so it is not a coroutine.

        Raises:
            StoreError: The backend cannot be used.
        """

    def remove(self) -> None:
        """Remove all state, but for what other hosts share; the master calls it after the last worker has ended."""
