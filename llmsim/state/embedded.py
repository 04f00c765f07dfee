"""The embedded state: files in the run directory, for the processes of one machine.

Decisions:
* Files are named by the master's process id: they outlive reloads, and what a killed master left behind is found by it.
* `restart` and `remove` are not coroutines: the master calls them before any event loop runs, and after the last has ended.
"""

import os
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path

from llmsim.config import Settings
from llmsim.errors import ConfigError
from llmsim.state.counters import MappedCounters
from llmsim.state.database import Database
from llmsim.state.journal import SqliteJournal
from llmsim.state.ports import (
    Journal,
    PrefixCache,
    RecordStore,
    ScriptRegistry,
    SessionStore,
    SharedCounters,
    State,
)
from llmsim.state.prefix_cache import SqlitePrefixCache
from llmsim.state.record_store import SqliteRecordStore
from llmsim.state.script_registry import SqliteScriptRegistry
from llmsim.state.session_store import SqliteSessionStore

FILE_KINDS = ("counters", "records", "prefixes", "sessions", "journal", "scripts")
"""Names of the files, after the master's process id; SQLite puts others beside them, with suffixes of its own."""


def open_state(settings: Settings, directory: Path, clock: Callable[[], float]) -> State:
    """Return the state that the settings describe.

    Args:
        settings: Its bounds.
        directory: The run directory.
        clock: Returns the Unix time, in seconds.
    """
    return EmbeddedState(settings, directory, clock)


class EmbeddedState:
    """All ports, on files that are opened when they are first used; see `State`."""

    def __init__(self, settings: Settings, directory: Path, clock: Callable[[], float]) -> None:
        paths = [directory / f"{os.getpid()}.{kind}" for kind in FILE_KINDS]
        counters = MappedCounters(paths[0])
        records = SqliteRecordStore(paths[1], settings.store, clock)
        prefix_cache = SqlitePrefixCache(paths[2], settings.store, clock)
        sessions = SqliteSessionStore(paths[3], settings.scripts.max_sessions, clock)
        journal = SqliteJournal(paths[4], settings.admin.journal_entries)
        scripts = SqliteScriptRegistry(paths[5], settings.scripts.max_uploaded, clock)
        self.counters: SharedCounters = counters
        self.records: RecordStore = records
        self.prefix_cache: PrefixCache = prefix_cache
        self.sessions: SessionStore = sessions
        self.journal: Journal = journal
        self.scripts: ScriptRegistry = scripts
        databases = [one.database for one in (records, prefix_cache, sessions, journal, scripts)]
        self._files: tuple[MappedCounters | Database, ...] = (counters, *databases)

    def restart(self) -> None:
        """See `State`; only while no other process has any of the files open."""
        for file in self._files:
            file.restart()

    def remove(self) -> None:
        """See `State`."""
        for file in self._files:
            file.remove()


def run_directory(configured: str, environ: Mapping[str, str]) -> Path:
    """Return the run directory, which is created if need be.

    Args:
        configured: The setting `server.run_dir`; empty to choose: systemd's `$RUNTIME_DIRECTORY`, else
            `llmsim` under `$XDG_RUNTIME_DIR`, else a directory of the user's own in the temporary one.
        environ: The environment.

    Raises:
        ConfigError: It cannot be created.
    """
    if configured:
        path = Path(configured)
    elif given := environ.get("RUNTIME_DIRECTORY"):
        path = Path(given.split(":")[0])
    elif runtime := environ.get("XDG_RUNTIME_DIR"):
        path = Path(runtime) / "llmsim"
    else:
        path = Path(tempfile.gettempdir()) / f"llmsim-{os.getuid()}"
    try:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(f"server.run_dir: cannot make {str(path)!r}: {error.strerror}") from None
    return path
