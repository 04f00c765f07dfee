"""The embedded state: files in the run directory, for the processes of one machine.

Decisions:
* Files are named by the master's process id: they outlive reloads, and what a killed master left behind is found by it.
* `restart` and `remove` are not coroutines: the master calls them before any event loop runs, and after the last has ended.
"""

import contextlib
import os
from collections.abc import Callable
from pathlib import Path

from llmsim.config import FileSettings, Settings, StoreSettings
from llmsim.errors import ConfigError, StoreError
from llmsim.state.attempt_port import AttemptStore
from llmsim.state.attempts import SqliteAttemptStore
from llmsim.state.client_port import ClientRegistry
from llmsim.state.client_registry import FileClientRegistry
from llmsim.state.content_port import ContentStore
from llmsim.state.content_store import CONTENT_SCHEMA, SqliteContentStore
from llmsim.state.counters import FileCounters
from llmsim.state.database import Database
from llmsim.state.directory import FILE_KINDS
from llmsim.state.engine_memory import remove_engines
from llmsim.state.host_port import HostStore
from llmsim.state.journal import SqliteJournal
from llmsim.state.journal_port import Journal
from llmsim.state.ports import (
    PrefixCache,
    RecordStore,
    ScriptRegistry,
    SessionStore,
    SharedCounters,
    State,
)
from llmsim.state.prefix_cache import SqlitePrefixCache
from llmsim.state.quota_port import QuotaStore
from llmsim.state.quotas import FileQuotaStore
from llmsim.state.record_store import SqliteRecordStore
from llmsim.state.runtime_settings import SharedSettings
from llmsim.state.script_registry import SqliteScriptRegistry
from llmsim.state.session_store import SqliteSessionStore
from llmsim.state.settings_port import RuntimeSettings

_OBJECT_SECS = 365 * 86_400
"""How long an object is kept that no client deletes."""


def open_state(settings: Settings, directory: Path, clock: Callable[[], float]) -> State:
    """Return the state that the settings describe.

    Args:
        settings: Its bounds.
        directory: The run directory.
        clock: Returns the Unix time, in seconds.

    Raises:
        ConfigError: The Redis server's address cannot be used, or what it takes is not installed.
    """
    if not settings.state.url:
        return EmbeddedState(settings, directory, clock)
    try:
        from llmsim.state.redis.redis_state import RedisState
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] not in ("redis", "hiredis"):
            raise
        raise ConfigError("state.url: needs a client of Redis: pip install 'llmsim[redis]'") from None
    return RedisState(settings, directory, clock)


def object_bounds(files: FileSettings) -> StoreSettings:
    """Return the bounds of objects as those of records."""
    return StoreSettings(
        max_records=files.max_objects, max_bytes=min(files.max_bytes, 2**40), max_age_secs=_OBJECT_SECS
    )


class EmbeddedState:
    """All ports, on files that are opened at the start of a process, or when they are first used; see `State`."""

    def __init__(self, settings: Settings, directory: Path, clock: Callable[[], float]) -> None:
        self._directory = directory
        paths = {kind: directory / f"{os.getpid()}.{kind}" for kind in FILE_KINDS}
        counters = FileCounters(paths["counters"])
        records = SqliteRecordStore(paths["records"], settings.store, clock)
        files = settings.files
        objects = SqliteRecordStore(paths["objects"], object_bounds(files), clock, schema=CONTENT_SCHEMA)
        prefix_cache = SqlitePrefixCache(paths["prefixes"], settings.store, clock)
        scripts = SqliteScriptRegistry(paths["scripts"], settings.scripts.max_uploaded, clock)
        sessions = SqliteSessionStore(paths["sessions"], settings.scripts.max_sessions, clock, scripts)
        journal = SqliteJournal(paths["journal"], settings.admin.journal_entries)
        attempts = SqliteAttemptStore(paths["attempts"], clock)
        limits = settings.limits
        # Workers before and after a reload run side by side, and some more may be started.
        holders = 2 * (settings.server.workers or 4) + 8
        quotas = FileQuotaStore(paths["quotas"], clock, limits.max_buckets, holders)
        clients = FileClientRegistry(paths["clients"], clock)
        self._is_used = {
            quotas: bool(limits.tiers),
            clients: bool(settings.admin.enabled and settings.admin.client_report),
        }
        self.counters: SharedCounters = counters
        self.records: RecordStore = records
        self.objects: RecordStore = objects
        self.contents: ContentStore = SqliteContentStore(objects.database, files.max_bytes, clock)
        self.prefix_cache: PrefixCache = prefix_cache
        self.sessions: SessionStore = sessions
        self.journal: Journal = journal
        self.scripts: ScriptRegistry = scripts
        self.attempts: AttemptStore = attempts
        self.quotas: QuotaStore = quotas
        self.clients: ClientRegistry = clients
        self._changes = SharedSettings(paths["settings"])
        self.settings: RuntimeSettings = self._changes
        self._rules = SharedSettings(paths["rules"])
        self.rules: RuntimeSettings = self._rules
        self.hosts: HostStore | None = None
        stores = (records, objects, prefix_cache, sessions, journal, scripts, attempts)
        databases = [store.database for store in stores]
        self._files: tuple[FileCounters | Database | FileQuotaStore | FileClientRegistry, ...]
        self._files = (counters, *databases, quotas, clients)

    def open(self) -> None:
        """See `State`."""
        for file in self._files:
            if not self._is_used.get(file, True):
                continue
            with contextlib.suppress(StoreError):
                # It was logged, and is tried again when the file is used.
                file.open()

    async def renew(self) -> None:
        """See `State`."""
        await self.sessions.renew()

    async def follow(self) -> None:
        """See `State`; nothing is pushed."""

    async def clear(self) -> bool:
        """See `State`; nothing is shared with other hosts."""
        return False

    async def close(self) -> None:
        """See `State`; files stay open."""

    def restart(self) -> None:
        """See `State`; only while no other process has any of the files open."""
        for file in self._files:
            file.restart()
        remove_engines(self._directory)

    def remove(self) -> None:
        """See `State`."""
        # What has taken the place of a file cannot be removed; the next start does without it.
        for remove in (
            *(file.remove for file in (*self._files, self._changes, self._rules)),
            self._remove_engines,
        ):
            with contextlib.suppress(OSError):
                remove()

    def _remove_engines(self) -> None:
        remove_engines(self._directory)
