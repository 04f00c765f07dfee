"""Files that are damaged, truncated or gone are made anew, and the server goes on."""

import logging
import os
import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest

from llmsim.config import StoreSettings
from llmsim.errors import RefusedError, StoreError
from llmsim.scripts import Script, read
from llmsim.scripts.files import ScriptFile
from llmsim.state import damage
from llmsim.state.counters import FileCounters
from llmsim.state.journal import SqliteJournal
from llmsim.state.ports import Record
from llmsim.state.record_store import SqliteRecordStore
from llmsim.state.script_registry import SqliteScriptRegistry


def record(name: str) -> Record:
    return Record(id=name, kind="response", created=1.0, model="m", metadata={}, data=name.encode())


async def _is_there(store: SqliteRecordStore, name: str) -> bool:
    found = await store.get("response", name)
    return found is not None and found.data == name.encode()


def _truncate(path: Path) -> None:
    os.truncate(path, 0)


def _truncate_index(path: Path) -> None:
    os.truncate(path.with_name(f"{path.name}-shm"), 0)


def _truncate_log(path: Path) -> None:
    os.truncate(path.with_name(f"{path.name}-wal"), 0)


def _unlink(path: Path) -> None:
    path.unlink()


def _unlink_all(path: Path) -> None:
    for file in path.parent.glob(f"{path.name}*"):
        file.unlink()


def _scribble(path: Path) -> None:
    path.write_bytes(b"something else" * 1000)


def _replace(path: Path) -> None:
    """Put another program's database in its place."""
    other = path.with_name("other")
    connection = sqlite3.connect(other)
    connection.execute("CREATE TABLE strange (x)")
    connection.execute("PRAGMA user_version = 7")
    connection.close()
    _unlink_all(path)
    other.replace(path)


HARMS = (_truncate, _truncate_index, _unlink, _unlink_all, _replace)


@pytest.mark.parametrize("harm", HARMS)
async def test_a_damaged_file_is_made_anew(harm: Callable[[Path], None], tmp_path: Path) -> None:
    """STATE-5.6, STATE-5.7: the next call finds an empty store that works, and what was lost is counted as evicted once."""
    path = tmp_path / "1.records"
    stores = [SqliteRecordStore(path, StoreSettings()) for _ in range(2)]
    for name in ("a", "b"):
        await stores[0].put(record(name))
    assert await _is_there(stores[1], "b")
    harm(path)

    evicted = [await store.put(record(f"new-{number}")) for number, store in enumerate(stores)]

    assert evicted[1] == 0
    assert evicted[0] in (1, 2)
    if harm in (_unlink, _unlink_all):
        assert evicted[0] == 2
    for store in stores:
        records, _ = await store.page("response", limit=10)
        assert [one.id for one in records] == ["new-0", "new-1"]
        assert store.database.run(lambda one: one.execute("PRAGMA integrity_check").fetchone()) == ("ok",)
        store.database.close()


async def test_what_is_no_database_is_made_anew(tmp_path: Path) -> None:
    """STATE-5.6: a process that opens a file that was overwritten makes it anew; those that have it open follow."""
    path = tmp_path / "1.records"
    first, second = (SqliteRecordStore(path, StoreSettings()) for _ in range(2))
    await first.put(record("a"))
    first.database.close()
    _scribble(path)

    assert await second.put(record("b")) == 1
    assert await first.put(record("c")) == 0
    assert await _is_there(first, "b")
    for store in (first, second):
        store.database.close()


async def test_a_truncated_log_costs_no_call(tmp_path: Path) -> None:
    """STATE-5.6: the same for the log beside the file; what is not in the file yet is lost, or all of it."""
    store = SqliteRecordStore(tmp_path / "1.records", StoreSettings())
    await store.put(record("a"))
    _truncate_log(tmp_path / "1.records")

    await store.put(record("b"))

    assert await _is_there(store, "b")
    store.database.close()


async def test_scripts_of_files_are_put_again(tmp_path: Path) -> None:
    """STATE-5.6: a script registry that is made anew holds the scripts of the server's files, in their versions."""
    path = tmp_path / "1.scripts"
    script: Script = read(b'{"turns": [{"type": "assistant", "text": "hi"}]}', "json", "x")
    here, there = (SqliteScriptRegistry(path, 10, lambda: 1e9) for _ in range(2))
    await here.publish({"file": ScriptFile(Path("/etc/file.json"), "json", b"{}", script)})
    await here.put("sent", b"{}", "json", script)
    version = await here.version("file")
    path.unlink()

    assert await here.version("file") == version
    assert await there.version("file") == version
    assert await here.version("sent") is None
    await there.put("sent", b"{}", "json", script)
    assert (await here.version("sent") or 0) > 2
    for registry in (here, there):
        registry.database.close()


async def test_an_ordinary_error_remakes_nothing(tmp_path: Path) -> None:
    """STATE-5.6: a file that is only full keeps what it has."""
    journal = SqliteJournal(tmp_path / "1.journal", 10)
    await journal.append("s", 0.0, b"x")
    journal.database.run(lambda one: one.execute("PRAGMA max_page_count = 5").fetchone())
    with pytest.raises(StoreError, match="full"):
        await journal.append("s", 0.0, b"x" * 100_000)

    entries, _ = await journal.read()

    assert len(entries) == 1
    journal.database.close()


@pytest.mark.parametrize("harm", [_truncate, _unlink, lambda path: os.truncate(path, 3)])
async def test_counters_go_on(harm: Callable[[Path], None], tmp_path: Path) -> None:
    """STATE-5.6, ARCH-3.8: counters whose file was truncated or removed go on after the last number that was drawn."""
    path = tmp_path / "1.counters"
    first, second = FileCounters(path), FileCounters(path)
    assert [await one.next("request") for one in (first, second, first)] == [0, 1, 2]
    harm(path)

    assert [await one.next("request") for one in (first, second, second, first)] == [3, 4, 5, 6]


async def test_counters_follow_no_link(tmp_path: Path) -> None:
    """STATE-6.2: a link in the place of the file is refused, and what it leads to stays as it is."""
    target = tmp_path / "target"
    target.write_text("precious")
    (tmp_path / "1.counters").symlink_to(target)
    counters = FileCounters(tmp_path / "1.counters")

    with pytest.raises(StoreError):
        await counters.next("request")
    with pytest.raises(StoreError):
        counters.restart()
    assert target.read_text() == "precious"


def test_failures_are_logged_once_a_minute(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """STATE-5.8: however many requests fail, a line a minute says so, without a traceback."""
    monkeypatch.setattr(damage, "_logged_at", float("-inf"))
    now = 100.0
    monkeypatch.setattr(damage.time, "monotonic", lambda: now)
    with caplog.at_level(logging.ERROR):
        for now in (100.0, 101.0, 159.0, 161.0):  # noqa: B007 - read by the clock
            error = damage.unusable(tmp_path / "1.records", "No space left on device")

    assert isinstance(error, RefusedError)
    assert len(caplog.records) == 2
    assert all("No space left on device" in one.message and one.exc_info is None for one in caplog.records)
