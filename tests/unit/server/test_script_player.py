"""The script player: which scripts a worker caches, and when expectations are checked."""

import time
from pathlib import Path
from typing import Any

import pytest

from llmsim.domain import Prompt
from llmsim.errors import ExhaustedError, ExpectationError, UnknownScriptError
from llmsim.scripts import Script, read
from llmsim.server import script_player
from llmsim.server.script_player import ScriptPlayer, ScriptSelection
from llmsim.state.script_registry import SqliteScriptRegistry
from llmsim.state.session_store import SqliteSessionStore

SOURCE = b'{"turns": [{"type": "assistant", "text": "a", "expect": {"contains": "please"}}]}'
PLAIN = b'{"turns": [{"type": "assistant", "text": "a"}]}'
MIXED = b"""{"turns": [{"type": "assistant", "text": "a"}, {"type": "assistant", "text": "b", "expect": {"contains": "please"}}],
"on_exhausted": "error"}"""

PROMPT = Prompt(model="m", messages=())


def script(source: bytes) -> Script:
    return read(source, "json", "x", profiles=())


@pytest.fixture
def scripts(tmp_path: Path) -> SqliteScriptRegistry:
    return SqliteScriptRegistry(tmp_path / "scripts", 1000, time.time)


@pytest.fixture
def sessions(tmp_path: Path, scripts: SqliteScriptRegistry) -> SqliteSessionStore:
    return SqliteSessionStore(tmp_path / "sessions", 100, time.time, scripts)


@pytest.fixture
def player(scripts: SqliteScriptRegistry, sessions: SqliteSessionStore) -> ScriptPlayer:
    return ScriptPlayer(scripts, sessions, has_default=False)


def selection(script: str = "x") -> ScriptSelection:
    return ScriptSelection("s", script)


@pytest.mark.parametrize("in_thread", [False, True])
async def test_expectations_are_checked_once_outside_of_a_transaction(
    player: ScriptPlayer,
    scripts: SqliteScriptRegistry,
    sessions: SqliteSessionStore,
    monkeypatch: pytest.MonkeyPatch,
    in_thread: bool,
) -> None:
    """SESS-1.6: A check that takes long blocks no other session, over all workers."""
    await scripts.put("x", SOURCE, "json", script(SOURCE))
    checked: list[bool] = []

    def unmet(*_: object) -> tuple[str, ...]:
        # Another process would wait for the write; within this one, the connection shows that there is none.
        connection = sessions.database._connection
        checked.append(connection is not None and connection.in_transaction)
        return ("never",)

    monkeypatch.setattr(script_player, "unmet", unmet)

    with pytest.raises(ExpectationError, match="never"):
        await player.play(PROMPT, selection(), in_thread=in_thread)
    assert checked == [False]


async def test_the_turn_that_is_leased_was_checked(
    player: ScriptPlayer,
    scripts: SqliteScriptRegistry,
    sessions: SqliteSessionStore,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """SESS-1.6: If another request takes the turn that was checked, the next one is checked, and counted once."""
    await scripts.put("x", MIXED, "json", script(MIXED))
    lease_turn = sessions.lease_turn
    contended: list[int] = []

    async def contend(*arguments: Any, met: bool | None) -> Any:
        if not contended:
            contended.append(1)
            assert await lease_turn(*arguments, met=met) is not None
        return await lease_turn(*arguments, met=met)

    monkeypatch.setattr(sessions, "lease_turn", contend)

    with pytest.raises(ExpectationError):
        await player.play(PROMPT, selection())
    (progress,) = await sessions.list_progress()
    assert (progress.cursor, progress.met, progress.failed) == (1, 0, 1)


async def test_an_exhausted_script_takes_no_turn(
    player: ScriptPlayer, scripts: SqliteScriptRegistry, sessions: SqliteSessionStore
) -> None:
    """SESS-1.7: The session stays where it is, and counts as used."""
    source = PLAIN[:-1] + b', "on_exhausted": "error"}'
    await scripts.put("x", source, "json", script(source))
    played = await player.play(PROMPT, selection())
    assert played is not None
    await player.commit(played)
    (before,) = await sessions.list_progress()

    with pytest.raises(ExhaustedError):
        await player.play(PROMPT, selection())
    (progress,) = await sessions.list_progress()
    assert (progress.cursor, progress.played) == (1, 1)
    assert progress.used > before.used


async def test_cached_scripts_are_bounded(
    player: ScriptPlayer, scripts: SqliteScriptRegistry, monkeypatch: pytest.MonkeyPatch
) -> None:
    """SESS-3.6: Those that were played last are cached; the others are fetched again."""
    monkeypatch.setattr(script_player, "_MAX_CACHED", 2)
    for name in "abc":
        await scripts.put(name, PLAIN, "json", script(PLAIN))
    fetched: list[str] = []
    fetch = scripts.script

    async def counted(name: str) -> Any:
        fetched.append(name)
        return await fetch(name)

    monkeypatch.setattr(scripts, "script", counted)
    for name in "abacab":
        await player.play(PROMPT, selection(name))

    assert fetched == ["a", "b", "c", "b"]


async def test_a_deleted_script_is_not_cached(player: ScriptPlayer, scripts: SqliteScriptRegistry) -> None:
    """SESS-3.2: A script that is sent again under its name is played from its beginning."""
    for repetition in range(2):
        await scripts.put("x", PLAIN, "json", script(PLAIN))
        played = await player.play(PROMPT, selection())
        assert played is not None
        assert (played.lease.cursor, played.step.repetition) == (0, 0), repetition
        await scripts.delete("x")
        with pytest.raises(UnknownScriptError):
            await player.play(PROMPT, selection())
    assert player._cached == {}
