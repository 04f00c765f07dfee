"""The journal: the last requests of all workers."""

from pathlib import Path

import pytest

from llmsim.state.journal import SqliteJournal
from llmsim.state.journal_port import JournalEntry


@pytest.fixture
def journal(tmp_path: Path) -> SqliteJournal:
    return SqliteJournal(tmp_path / "journal", 5)


async def test_entries_are_read_in_order(journal: SqliteJournal) -> None:
    """SESS-4.1: The oldest first, of one session or of all, a page at a time."""
    for number, session in enumerate("abab"):
        await journal.append(session, float(number), b"{}")

    entries, more = await journal.read()
    assert ([entry.number for entry in entries], more) == ([1, 2, 3, 4], False)
    entries, more = await journal.read("b")
    assert [entry.at for entry in entries] == [1.0, 3.0]
    entries, more = await journal.read(after=1, limit=2)
    assert ([entry.number for entry in entries], more) == ([2, 3], True)


async def test_a_page_is_bounded(journal: SqliteJournal, monkeypatch: pytest.MonkeyPatch) -> None:
    """SESS-4.3: Large entries make short pages; none is left out."""
    monkeypatch.setattr("llmsim.state.journal._MAX_PAGE_BYTES", 25)
    for _ in range(5):
        await journal.append("a", 0.0, b"1234567890")

    entries, more = await journal.read()
    assert ([entry.number for entry in entries], more) == ([1, 2, 3], True)
    entries, more = await journal.read(after=3)
    assert ([entry.number for entry in entries], more) == ([4, 5], False)


async def test_an_entry_is_completed(journal: SqliteJournal) -> None:
    """SESS-4.2: How a request ended is known when it has ended."""
    number = await journal.append("a", 1.0, b"{}")
    assert (await journal.read())[0] == [JournalEntry(1, "a", 1.0, None, None, b"{}")]
    await journal.finish(number, "finished", 0.5)

    assert (await journal.read())[0] == [JournalEntry(1, "a", 1.0, "finished", 0.5, b"{}")]


async def test_the_last_entries_are_kept(journal: SqliteJournal) -> None:
    """SESS-4.3: The journal is bounded; numbers are never used again."""
    for number in range(12):
        await journal.append("a", float(number), b"{}")
    assert [entry.number for entry in (await journal.read())[0]] == [8, 9, 10, 11, 12]
    await journal.finish(1, "finished", 0.5)

    assert await journal.clear() == 5
    assert await journal.append("a", 0.0, b"{}") == 13


async def test_one_session_is_cleared(journal: SqliteJournal) -> None:
    """SESS-4.3: And leaves the others alone."""
    for session in "aba":
        await journal.append(session, 0.0, b"{}")

    assert await journal.clear("a") == 2
    assert [entry.session for entry in (await journal.read())[0]] == ["b"]
