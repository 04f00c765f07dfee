"""The prompt cache: which prefixes of prompts are cached, and until when.

Decisions:
* Only a prefix's key is kept, never its text: a row is small, whatever the prompt.
* The longest cached prefix is read; marked prefixes beyond it are written, each stretch for the lifetime of the mark that
  ends it. A prefix below the model's minimum is not written, silently.
* The prefixes used least recently are evicted. The cache has a file of its own, so that prompts evict no stored response.
* Prompts that are cached unmarked are in the same file: `prefix_chains.py`.

Source: Anthropic docs, build-with-claude/prompt-caching.
"""

import sqlite3
from collections.abc import Callable, Sequence
from pathlib import Path

from llmsim.config import StoreSettings
from llmsim.domain import CacheUse, PrefixChain, PrefixMark
from llmsim.state.database import Database, transaction
from llmsim.state.prefix_chains import CHAIN_SCHEMA, PrefixChains

PREFIX_BYTES = 512
"""What a prefix may take of `store.max_bytes`, its places in the indices included."""

# `seq` is the order of use. `total` is one row, the number of prefixes.
_SCHEMA = """\
CREATE TABLE prefix (
    seq INTEGER PRIMARY KEY, key TEXT NOT NULL UNIQUE, lifetime INTEGER NOT NULL, expires REAL NOT NULL)

CREATE TABLE total (prefixes INTEGER NOT NULL)

INSERT INTO total VALUES (0)

CREATE TRIGGER prefix_inserted AFTER INSERT ON prefix BEGIN
    UPDATE total SET prefixes = prefixes + 1;
END

CREATE TRIGGER prefix_deleted AFTER DELETE ON prefix BEGIN
    UPDATE total SET prefixes = prefixes - 1;
END
"""

_RENEW = "UPDATE prefix SET seq = (SELECT max(seq) + 1 FROM prefix), lifetime = ?, expires = ? WHERE key = ?"
_INSERT = "INSERT INTO prefix (lifetime, expires, key) VALUES (?, ?, ?)"
_EVICT = "DELETE FROM prefix WHERE seq IN (SELECT seq FROM prefix ORDER BY seq LIMIT ?)"


class SqlitePrefixCache:
    """The prompt cache of the processes of one machine; see `PrefixCache`.

    Args:
        path: The file that they share.
        limits: How many records and bytes are stored; prefixes are bounded like records.
        clock: Returns the Unix time, in seconds.
    """

    def __init__(self, path: Path, limits: StoreSettings, clock: Callable[[], float]) -> None:
        self.database = Database(path, f"{_SCHEMA}\n\n{CHAIN_SCHEMA}")
        self._chains = PrefixChains(limits)
        self._max_prefixes = min(limits.max_records, limits.max_bytes // PREFIX_BYTES)
        self._clock = clock

    async def follow(self, chain: PrefixChain, *, owner: str = "") -> int:
        """See `PrefixCache`."""
        return self.database.run(
            lambda connection: self._chains.follow(connection, chain, owner, self._clock())
        )

    async def use(self, marks: Sequence[PrefixMark], minimum: int, *, owner: str = "") -> CacheUse:
        """See `PrefixCache`."""
        if owner:
            marks = [PrefixMark(f"{owner}:{mark.key}", mark.tokens, mark.lifetime) for mark in marks]
        keys = tuple(mark.key for mark in marks)
        cached = (
            f"SELECT key, lifetime FROM prefix WHERE key IN ({', '.join('?' * len(keys))}) AND expires > ?"  # noqa: S608
        )

        def work(connection: sqlite3.Connection) -> CacheUse:
            now = self._clock()
            with transaction(connection):
                lifetimes = dict(connection.execute(cached, (*keys, now)).fetchall())
                renewed, written, use = _plan_use(marks, lifetimes, minimum)
                for key, lifetime in renewed.items():
                    connection.execute(_RENEW, (lifetime, now + lifetime, key))
                for key, lifetime in written.items():
                    row = (lifetime, now + lifetime, key)
                    # One that has expired may still be there.
                    if not connection.execute(_RENEW, row).rowcount:
                        connection.execute(_INSERT, row)
                if written:
                    self._make_room(connection)
            return use

        return self.database.run(work)

    def _make_room(self, connection: sqlite3.Connection) -> None:
        (prefixes,) = connection.execute("SELECT prefixes FROM total").fetchone()
        if prefixes > self._max_prefixes:
            spare = min(16, self._max_prefixes // 64)
            connection.execute(_EVICT, (prefixes - self._max_prefixes + spare,))


def _plan_use(
    marks: Sequence[PrefixMark], lifetimes: dict[str, int], minimum: int
) -> tuple[dict[str, int], dict[str, int], CacheUse]:
    """Decide what is renewed and what is written, both as lifetimes by key.

    Args:
        marks: Where prefixes end, the shortest first.
        lifetimes: Those of the marked prefixes that are cached, by key.
        minimum: Fewest tokens of a prefix that is cached.
    """
    hit = next((index for index in reversed(range(len(marks))) if marks[index].key in lifetimes), -1)
    read = marks[hit].tokens if hit >= 0 else 0
    renewed = {
        mark.key: lifetimes[mark.key]
        for index, mark in enumerate(marks[: hit + 1])
        if mark.key in lifetimes and (index == hit or mark.lifetime is not None)
    }
    written: dict[str, int] = {}
    tokens_written: dict[int, int] = {}
    end = read
    for mark in marks[hit + 1 :]:
        if mark.lifetime is None or mark.tokens < minimum:
            continue
        written[mark.key] = mark.lifetime
        tokens_written[mark.lifetime] = tokens_written.get(mark.lifetime, 0) + mark.tokens - end
        end = mark.tokens
    return renewed, written, CacheUse(read, tokens_written)
