"""The state of several hosts: which backend is opened, and what starts and ends leave alone."""

import json
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from support.redis_server import RedisServer

from llmsim.config import Settings, StateSettings
from llmsim.domain import PrefixMark, Prompt
from llmsim.errors import ConfigError, StoreError, UnknownScriptError
from llmsim.scripts import read
from llmsim.server.script_player import ScriptPlayer, ScriptSelection
from llmsim.state.embedded import EmbeddedState, open_state
from llmsim.state.ports import Record
from llmsim.state.redis.counters import RedisCounters
from llmsim.state.redis.redis_state import RedisState


def test_without_an_address_the_state_is_embedded(tmp_path: Path) -> None:
    """MACH-1.1: Nothing changes."""
    assert type(open_state(Settings(), tmp_path, time.time)) is EmbeddedState


async def test_hosts_share_what_they_count(redis_server: RedisServer, tmp_path: Path) -> None:
    """MACH-1.1: Hosts of one address and prefix are one simulator."""
    settings = Settings(state=redis_server.settings())
    numbers = []
    for host in ("a", "b"):
        directory = tmp_path / host
        directory.mkdir()
        state = open_state(settings, directory, time.time)
        state.restart()
        assert isinstance(state.counters, RedisCounters)
        numbers.append(await state.counters.next("request"))
        state.remove()
        await state.close()

    assert numbers == [0, 1]


def test_a_client_that_is_not_installed_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """MACH-1.4: The start says what installs it."""
    for name in [name for name in sys.modules if name.startswith(("llmsim.state.redis", "redis"))]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "redis", None)
    with pytest.raises(ConfigError, match=r"pip install 'llmsim\[redis\]'"):
        open_state(Settings(state=StateSettings(url="redis://localhost")), tmp_path, time.time)


async def test_everything_begins_anew_for_all_hosts(redis_server: RedisServer, tmp_path: Path) -> None:
    """MACH-1.6: A reset of all hosts deletes what has their prefix, and nothing else; a new prefix begins anew."""
    settings = Settings(state=redis_server.settings(prefix="a*[b]?"))
    state, other = open_state(settings, tmp_path, time.time), open_state(settings, tmp_path, time.time)
    apart = open_state(Settings(state=redis_server.settings(prefix="a*[b]?c")), tmp_path, time.time)
    record = Record(id="r", kind="k", created=1.0, model="m", metadata={}, data=b"x")
    for one in (state, apart):
        await one.records.put(record)
        await one.objects.put(record)
        await one.counters.next("request")
    assert await other.clear()

    assert await state.records.get("k", "r") is await state.objects.get("k", "r") is None
    assert await state.counters.next("request") == 0
    assert await apart.records.get("k", "r") is not None
    assert await apart.clear()
    for one in (state, other, apart):
        await one.close()


async def test_a_start_clears_nothing(redis_server: RedisServer, tmp_path: Path) -> None:
    """MACH-1.2, MACH-3.2: What one host has stored is there after another has started, and after it has ended."""
    settings = Settings(state=redis_server.settings())
    record = Record(id="r", kind="k", created=1.0, model="m", metadata={}, data=b"x")
    state, other = open_state(settings, tmp_path, time.time), open_state(settings, tmp_path, time.time)
    await state.records.put(record)
    await state.contents.append("r", b"content")
    await state.objects.put(record)
    other.restart()
    found = await other.records.get("k", "r")
    other.remove()
    await other.close()

    assert found is not None
    assert found.data == b"x"
    assert await state.records.get("k", "r") == found
    assert await state.contents.piece("r", 0) == b"content"
    await state.close()


async def test_failures_may_be_ignored(own_redis_server: RedisServer, tmp_path: Path) -> None:
    """MACH-4.4: What would be stored counts as evicted, and what would be counted is counted here; what is looked for is refused."""
    settings = Settings(state=own_redis_server.settings(unavailable="ignore"))
    state = open_state(settings, tmp_path, time.time)
    own_redis_server.kill()
    record = Record(id="r", kind="k", created=1.0, model="m", metadata={}, data=b"x")

    assert await state.records.put(record) == 1
    assert [await state.counters.next("request", 2) for _ in range(2)] == [0, 2]
    with pytest.raises(StoreError):
        await state.records.get("k", "r")
    with pytest.raises(StoreError):
        await state.objects.put(record)
    await state.close()


async def test_times_are_those_of_the_server(redis_server: RedisServer, tmp_path: Path) -> None:
    """MACH-3.4: A host whose clock is an age ahead finds what another has stored."""
    settings = Settings(state=redis_server.settings())
    state = open_state(settings, tmp_path, time.time)
    ahead = open_state(settings, tmp_path, lambda: time.time() + 10 * 365 * 86_400)
    await state.records.put(Record(id="r", kind="k", created=1.0, model="m", metadata={}, data=b"x"))

    assert await ahead.records.get("k", "r") is not None
    for one in (state, ahead):
        await one.close()


async def test_hosts_share_the_prompt_cache(redis_server: RedisServer, tmp_path: Path) -> None:
    """MACH-3.3: What one host has written another reads."""
    settings = Settings(state=redis_server.settings())
    states = [open_state(settings, tmp_path, time.time) for _ in range(2)]
    marks = [PrefixMark("a", 2000, 300)]
    uses = [await state.prefix_cache.use(marks, 1000) for state in states]
    for state in states:
        await state.close()

    assert [use.read for use in uses] == [0, 2000]


async def test_a_turn_takes_one_round_trip(
    redis_server: RedisServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """MACH-11.10: One that expects something takes two; a script that another host replaces or deletes is noticed."""
    settings = Settings(state=redis_server.settings())
    state, other = (RedisState(settings, tmp_path, time.time) for _ in range(2))
    player = ScriptPlayer(state.scripts, state.sessions, has_default=False)
    trips: list[object] = []
    run = state._client.run

    def count(*command: Any) -> Any:
        trips.append(command)
        return run(*command)

    async def put(text: str, **expected: object) -> None:
        turn = {"type": "assistant", "text": text}
        source = json.dumps({"turns": [turn, turn | expected]}).encode()
        await other.scripts.put("x", source, "json", read(source, "json", "x", profiles=()))

    async def play() -> tuple[str | None, int]:
        trips.clear()
        played = await player.play(Prompt(model="m", messages=()), ScriptSelection("s", "x"))
        assert played is not None
        return played.step.turn.text, len(trips)

    await put("a", expect={"stream": False})
    # A server gets the text of what it does not know.
    await play()
    await play()
    await state.sessions.forget()
    monkeypatch.setattr(state._client, "run", count)

    assert [await play() for _ in range(3)] == [("a", 1), ("a", 2), ("a", 2)]
    await put("b")
    assert (await play())[0] == "b"
    assert [await play() for _ in range(3)] == [("b", 1)] * 3
    await other.scripts.delete("x")
    with pytest.raises(UnknownScriptError):
        await play()
    for one in (state, other):
        await one.close()
