"""The journal: the last requests of all workers."""

from pathlib import Path

import pytest

from llmsim.state.journal import Entry, Journal


@pytest.fixture
def journal(tmp_path: Path) -> Journal:
    return Journal(tmp_path / "journal", 5)


def test_entries_are_read_in_order(journal: Journal) -> None:
    """SESS-4.1: The oldest first, of one session or of all, a page at a time."""
    for number, session in enumerate("abab"):
        journal.write(session, float(number), b"{}")

    entries, more = journal.read()
    assert ([entry.number for entry in entries], more) == ([1, 2, 3, 4], False)
    entries, more = journal.read("b")
    assert [entry.at for entry in entries] == [1.0, 3.0]
    entries, more = journal.read(after=1, limit=2)
    assert ([entry.number for entry in entries], more) == ([2, 3], True)


def test_a_page_is_bounded(journal: Journal, monkeypatch: pytest.MonkeyPatch) -> None:
    """SESS-4.3: Large entries make short pages; none is left out."""
    monkeypatch.setattr("llmsim.state.journal._LARGEST_PAGE", 25)
    for _ in range(5):
        journal.write("a", 0.0, b"1234567890")

    entries, more = journal.read()
    assert ([entry.number for entry in entries], more) == ([1, 2, 3], True)
    entries, more = journal.read(after=3)
    assert ([entry.number for entry in entries], more) == ([4, 5], False)


def test_an_entry_is_completed(journal: Journal) -> None:
    """SESS-4.2: How a request ended is known when it has ended."""
    number = journal.write("a", 1.0, b"{}")
    assert journal.read()[0] == [Entry(1, "a", 1.0, None, None, b"{}")]
    journal.end(number, "finished", 0.5)

    assert journal.read()[0] == [Entry(1, "a", 1.0, "finished", 0.5, b"{}")]


def test_the_last_entries_are_kept(journal: Journal) -> None:
    """SESS-4.3: The journal is bounded; numbers are never used again."""
    for number in range(12):
        journal.write("a", float(number), b"{}")
    assert [entry.number for entry in journal.read()[0]] == [8, 9, 10, 11, 12]
    journal.end(1, "finished", 0.5)

    assert journal.clear() == 5
    assert journal.write("a", 0.0, b"{}") == 13


def test_one_session_is_cleared(journal: Journal) -> None:
    """SESS-4.3: And leaves the others alone."""
    for session in "aba":
        journal.write(session, 0.0, b"{}")

    assert journal.clear("a") == 2
    assert [entry.session for entry in journal.read()[0]] == ["b"]
