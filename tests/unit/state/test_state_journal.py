"""The journal: the last requests of all workers."""

from pathlib import Path

import pytest
from support.redis_server import ClientMaker, RedisServer

from llmsim.state import journal as journal_module
from llmsim.state.journal import SqliteJournal
from llmsim.state.journal_port import Journal, JournalEntry
from llmsim.state.redis import journal as redis_journal_module
from llmsim.state.redis.journal import RedisJournal


@pytest.fixture(params=["sqlite", "redis"])
def journal(request: pytest.FixtureRequest, tmp_path: Path) -> Journal:
    """A journal of each backend."""
    if request.param == "sqlite":
        return SqliteJournal(tmp_path / "journal", 5)
    new_client: ClientMaker = request.getfixturevalue("new_client")
    return RedisJournal(new_client(), 5, "")


async def test_entries_are_read_in_order(journal: Journal) -> None:
    """SESS-4.1: The oldest first, of one session or of all, a page at a time."""
    for number, session in enumerate("abab"):
        await journal.append(session, float(number), b"{}")

    entries, more = await journal.read()
    assert ([entry.number for entry in entries], more) == ([1, 2, 3, 4], False)
    entries, more = await journal.read("b")
    assert [entry.at for entry in entries] == [1.0, 3.0]
    entries, more = await journal.read(after=1, limit=2)
    assert ([entry.number for entry in entries], more) == ([2, 3], True)


async def test_a_page_is_bounded(journal: Journal, monkeypatch: pytest.MonkeyPatch) -> None:
    """SESS-4.3: Large entries make short pages; none is left out."""
    for module in (journal_module, redis_journal_module):
        monkeypatch.setattr(module, "MAX_PAGE_BYTES", 25)
    for _ in range(5):
        await journal.append("a", 0.0, b"1234567890")

    entries, more = await journal.read()
    assert ([entry.number for entry in entries], more) == ([1, 2, 3], True)
    entries, more = await journal.read(after=3)
    assert ([entry.number for entry in entries], more) == ([4, 5], False)


async def test_an_entry_is_completed(journal: Journal) -> None:
    """SESS-4.2: How a request ended is known when it has ended."""
    number = await journal.append("a", 1.0, b"{}")
    assert (await journal.read())[0] == [JournalEntry(1, "a", 1.0, None, None, b"{}")]
    await journal.finish(number, "finished", 0.5)

    assert (await journal.read())[0] == [JournalEntry(1, "a", 1.0, "finished", 0.5, b"{}")]


async def test_the_last_entries_are_kept(journal: Journal) -> None:
    """SESS-4.3: The journal is bounded; numbers are never used again."""
    for number in range(12):
        await journal.append("a", float(number), b"{}")
    assert [entry.number for entry in (await journal.read())[0]] == [8, 9, 10, 11, 12]
    await journal.finish(1, "finished", 0.5)

    assert await journal.clear() == 5
    assert await journal.append("a", 0.0, b"{}") == 13


async def test_one_session_is_cleared(journal: Journal) -> None:
    """SESS-4.3: And leaves the others alone."""
    for session in "aba":
        await journal.append(session, 0.0, b"{}")

    assert await journal.clear("a") == 2
    assert [entry.session for entry in (await journal.read())[0]] == ["b"]


async def test_the_last_are_read_first(journal: Journal) -> None:
    """SESS-4.1: The last entries of one session or of all, in order."""
    for number, session in enumerate("abab"):
        await journal.append(session, float(number), b"{}")

    entries, more = await journal.read(limit=3, last=True)
    assert ([entry.number for entry in entries], more) == ([2, 3, 4], True)
    entries, more = await journal.read("a", limit=3, last=True)
    assert ([entry.number for entry in entries], more) == ([1, 3], False)


async def test_hosts_share_a_journal(redis_server: RedisServer, new_client: ClientMaker) -> None:
    """MACH-11.5: Numbers are unique over hosts, each entry shows its host, and any host completes it; nothing stays behind."""
    settings = redis_server.settings()
    one, other = (RedisJournal(new_client(settings), 3, host) for host in ("one:1", "other:1"))
    for number in range(4):
        await (one, other)[number % 2].append("a", float(number), b"{}")
    await one.finish(4, "finished", 0.25)

    assert (await other.read())[0] == [
        JournalEntry(2, "a", 1.0, None, None, b"{}", "other:1"),
        JournalEntry(3, "a", 2.0, None, None, b"{}", "one:1"),
        JournalEntry(4, "a", 3.0, "finished", 0.25, b"{}", "other:1"),
    ]
    assert await one.clear() == 3
    client = new_client(settings)
    assert await client.run("KEYS", client.key("*").replace(b"*", b"") + b"*") == [
        client.key("journal", "last")
    ]
