"""The library: scripts that all workers know."""

from pathlib import Path

import pytest

from llmsim.state.library import Library, Volume


@pytest.fixture
def library(tmp_path: Path) -> Library:
    return Library(tmp_path / "library", lambda: 7.0)


def test_scripts_are_kept_by_name(library: Library) -> None:
    """SESS-3.1: Put, looked up, listed, deleted."""
    assert not library.put("b", "json", b"{}", "b.json")
    assert not library.put("a", "yaml", b"x")

    assert library.get("a") == Volume("a", 2, "yaml", "uploaded", 7.0, b"x")
    assert [volume.name for volume in library.all()] == ["a", "b"]
    assert library.delete("a")
    assert not library.delete("a")
    assert (library.get("a"), library.edition("a")) == (None, None)


def test_an_edition_is_never_used_again(library: Library) -> None:
    """SESS-3.2: A script that is replaced, or deleted and put again, is another edition."""
    library.put("a", "json", b"1")
    editions = [library.edition("a")]
    assert library.put("a", "json", b"2")
    editions.append(library.edition("a"))
    library.delete("a")
    library.put("a", "json", b"3")
    editions.append(library.edition("a"))

    assert editions == [1, 2, 3]
