"""Attempts: how often each step of a scenario was tried, over all workers.

Decisions:
* An attempt is counted when it begins: those that run at the same time get different numbers.
* One that the server itself gave up is taken back if no other has begun since.
* A step is forgotten ten minutes after its last attempt. Beyond a number of steps, those tried least recently are.
"""

import itertools
import sqlite3
from collections.abc import Callable
from pathlib import Path

from llmsim.state.database import Database, transaction

LIFETIME = 600.0
"""Seconds after its last attempt at which a step is forgotten. Source: the Rust project llmsim 0.6.0."""

MOST_STEPS = 50_000
"""Steps that are kept, give or take those that come between two looks."""

_LOOK = 256
"""New steps of a process after which it looks how many there are: counting them takes a millisecond."""

_SCHEMA = """\
CREATE TABLE attempts (key TEXT PRIMARY KEY, attempts INTEGER NOT NULL, expires REAL NOT NULL) WITHOUT ROWID

CREATE INDEX by_expiry ON attempts (expires)
"""

_COUNT = (
    "INSERT INTO attempts VALUES (?, 1, ?) ON CONFLICT DO UPDATE SET "
    "attempts = CASE WHEN expires <= ? THEN 1 ELSE attempts + 1 END, expires = excluded.expires RETURNING attempts"
)
_RELEASE = "UPDATE attempts SET attempts = attempts - 1 WHERE key = ? AND attempts = ?"
_EVICT = "DELETE FROM attempts WHERE key IN (SELECT key FROM attempts ORDER BY expires LIMIT ?)"


class SqliteAttemptStore:
    """The attempts of the processes of one machine; see `AttemptStore`.

    Args:
        path: The file that they share.
        clock: Returns the Unix time, in seconds.
        most_steps: Steps that are kept.
    """

    def __init__(self, path: Path, clock: Callable[[], float], most_steps: int = MOST_STEPS) -> None:
        self.database = Database(path, _SCHEMA)
        self._clock = clock
        self._most_steps = most_steps
        self._begun = itertools.count(1)

    async def begin(self, key: str) -> int:
        """See `AttemptStore`."""
        now = self._clock()

        def work(connection: sqlite3.Connection) -> int:
            with transaction(connection):
                (attempts,) = connection.execute(_COUNT, (key, now + LIFETIME, now)).fetchone()
                if attempts == 1:
                    self._make_room(connection, now)
                return int(attempts) - 1

        return self.database.run(work)

    def _make_room(self, connection: sqlite3.Connection, now: float) -> None:
        connection.execute("DELETE FROM attempts WHERE expires <= ?", (now,))
        if next(self._begun) % min(_LOOK, self._most_steps) == 0:
            (steps,) = connection.execute("SELECT count(*) FROM attempts").fetchone()
            if steps > self._most_steps:
                connection.execute(_EVICT, (steps - self._most_steps,))

    async def release(self, key: str, attempt: int) -> None:
        """See `AttemptStore`."""
        self.database.run(lambda connection: connection.execute(_RELEASE, (key, attempt + 1)))
