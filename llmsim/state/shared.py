"""What all workers of an instance share beside the counters: one file each, in the run directory.

Decisions:
* Files are named by the master's process: they outlive reloads, and what a killed master left behind is known by it.
"""

import os
from collections.abc import Callable
from pathlib import Path

from llmsim.config import Settings
from llmsim.state.counters import SharedCounters
from llmsim.state.journal import Journal
from llmsim.state.script_registry import ScriptRegistry
from llmsim.state.sessions import Sessions
from llmsim.state.store import SqliteStore

KINDS = ("tickets", "store", "sessions", "journal", "library")
"""What the files are called behind the master's pid; SQLite puts others beside them, with an ending of their own."""


class Shared:
    """What all workers share.

    Attributes:
        tickets: Numbers that are given out once.
        store: Turns and documents that are kept.
        sessions: Where sessions stand in scripts.
        journal: What requests asked and got.
        library: Scripts by name.
    """

    def __init__(self, directory: Path, settings: Settings, clock: Callable[[], float]) -> None:
        """Name the files; they are opened when they are used.

        Args:
            directory: Where they are.
            settings: How much they hold.
            clock: Unix time, in seconds.
        """
        tickets, store, sessions, journal, library = (directory / f"{os.getpid()}.{kind}" for kind in KINDS)
        self.tickets = SharedCounters(tickets)
        self.store = SqliteStore(store, settings.store, clock)
        self.sessions = Sessions(sessions, settings.scripts.max_sessions, clock)
        self.journal = Journal(journal, settings.admin.journal_entries)
        self.library = ScriptRegistry(library, settings.scripts.max_uploaded, clock)
        self._all = (self.tickets, self.store, self.sessions, self.journal, self.library)

    def restart(self) -> None:
        """Begin anew; only while no other process has any of the files open.

        Raises:
            StoreError: One cannot be made.
        """
        for one in self._all:
            one.restart()

    def remove(self) -> None:
        """Take the files away."""
        for one in self._all:
            one.remove()
