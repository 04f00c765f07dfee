"""The script registry: scripts of all workers, by name."""

from collections.abc import Callable
from pathlib import Path

import pytest
from support.fakes import FakeClock
from support.redis_server import ClientMaker, RedisServer

from llmsim.errors import StoreError
from llmsim.scripts import Script, read
from llmsim.scripts.files import ScriptFile
from llmsim.state.ports import ScriptInfo, ScriptRegistry
from llmsim.state.redis.client import RedisClient
from llmsim.state.redis.scripts import RedisScriptRegistry
from llmsim.state.script_registry import SqliteScriptRegistry

SOURCE = b"""\
description: Says hello
on_exhausted: error
turns:
- type: assistant
  text: Hello
  repeat: 2
  latency: { ttft_ms: 1, itl_ms: 2 }
  expect: { contains: Hi, tool_result: { call: bash, matches: "a+" } }
- type: tool_calls
  calls: [{ name: bash, arguments: { command: ls } }, { name: raw, arguments: "{", id: x }]
  stream_fault: { kind: error, error: overloaded, after_tokens: 3 }
- type: error
  kind: rate_limit
"""


@pytest.fixture(params=["sqlite", "redis"])
def scripts(request: pytest.FixtureRequest, tmp_path: Path) -> ScriptRegistry:
    """A registry of each backend."""
    if request.param == "sqlite":
        return SqliteScriptRegistry(tmp_path / "scripts", 3, FakeClock(7.0))
    new_client: ClientMaker = request.getfixturevalue("new_client")
    return RedisScriptRegistry(new_client(clock=FakeClock(7.0)), 3, "host")


RegistryMaker = Callable[[str], RedisScriptRegistry]


@pytest.fixture
def new_host(redis_server: RedisServer, new_client: ClientMaker) -> RegistryMaker:
    """Makes registries of hosts that share one server."""
    settings = redis_server.settings()
    return lambda host: RedisScriptRegistry(new_client(settings), 3, host)


def script(source: bytes = SOURCE) -> Script:
    return read(source, "yaml", "x", profiles=())


def files(*names: str, source: bytes = SOURCE) -> dict[str, ScriptFile]:
    return {name: ScriptFile(Path(f"{name}.yaml"), "yaml", source, script(source)) for name in names}


OTHER = SOURCE.replace(b"Hello", b"Other")


async def test_scripts_are_kept_by_name(scripts: ScriptRegistry) -> None:
    """SESS-3.1: Put, looked up, listed, deleted."""
    assert await scripts.publish(files("b")) == ["b"]
    assert not await scripts.put("a", SOURCE, "yaml", script())
    version = await scripts.version("a")
    assert version is not None

    assert await scripts.get("a") == ScriptInfo(
        "a", version, "yaml", "uploaded", 7.0, "Says hello", 3, 4, "error"
    )
    assert [(info.name, info.origin) for info in await scripts.list_scripts()] == [
        ("a", "uploaded"),
        ("b", "b.yaml"),
    ]
    assert await scripts.source("a") == SOURCE
    assert await scripts.delete("a")
    assert not await scripts.delete("a")
    assert (
        await scripts.get("a"),
        await scripts.version("a"),
        await scripts.script("a"),
        await scripts.source("a"),
    ) == (None,) * 4


async def test_what_was_read_is_kept(scripts: ScriptRegistry) -> None:
    """SESS-3.2: Other workers play what the one has read, to the last key."""
    await scripts.put("a", SOURCE, "yaml", script())

    assert await scripts.script("a") == (await scripts.version("a"), script())


async def test_an_version_is_never_used_again(scripts: ScriptRegistry) -> None:
    """SESS-3.2: A script that is replaced, or deleted and put again, is another version."""
    await scripts.put("a", SOURCE, "yaml", script())
    versions = [await scripts.version("a")]
    assert await scripts.put("a", SOURCE, "yaml", script())
    versions.append(await scripts.version("a"))
    await scripts.delete("a")
    await scripts.put("a", SOURCE, "yaml", script())
    versions.append(await scripts.version("a"))

    assert None not in versions
    assert versions == sorted(set(versions))


async def test_scripts_of_clients_are_bounded(scripts: ScriptRegistry) -> None:
    """SESS-3.6: Those that were sent first go first; the server's own stay."""
    await scripts.publish(files("f", "g"))
    for name in "abacd":
        await scripts.put(name, SOURCE, "yaml", script())

    assert [info.name for info in await scripts.list_scripts()] == ["a", "c", "d", "f", "g"]


async def test_files_are_published_as_they_are(scripts: ScriptRegistry) -> None:
    """SESS-3.7: What is the same keeps its version, also of a client; what has changed is another, and what is gone is deleted."""
    await scripts.put("sent", SOURCE, "yaml", script())
    await scripts.put("stays", SOURCE, "yaml", script())
    await scripts.publish(files("same", "changed", "gone", "sent"))
    before = {info.name: info.version for info in await scripts.list_scripts()}
    changed = await scripts.publish(files("same", "sent") | files("changed", "new", source=OTHER))
    after = {info.name: info.version for info in await scripts.list_scripts()}

    assert sorted(changed) == ["changed", "gone", "new"]
    assert after.keys() == {"changed", "new", "same", "sent", "stays"}
    assert {name for name in after if after[name] == before.get(name)} == {"same", "sent", "stays"}
    assert sorted(await scripts.publish({})) == ["changed", "new", "same"]
    assert [info.name for info in await scripts.list_scripts()] == ["sent", "stays"]


async def test_a_host_starts_while_others_play(new_host: RegistryMaker) -> None:
    """MACH-11.3: Its files are those that are there, so nothing changes; a script goes with the last host that has it."""
    one, other = new_host("one"), new_host("other")
    assert await one.publish(files("a", "b")) == ["a", "b"]
    version = await one.version("a")
    assert await other.publish(files("a")) == []
    assert await other.version("a") == version

    assert await one.publish({}) == ["b"]
    assert await one.publish({}) == []
    assert await other.version("a") == version
    assert await other.publish({}) == ["a"]
    assert await one.list_scripts() == []


async def test_hosts_of_different_files_take_turns(new_host: RegistryMaker) -> None:
    """MACH-11.3: The last host to publish has its way, and the script stays while any host has one of its name."""
    one, other = new_host("one"), new_host("other")
    await one.publish(files("a"))
    assert await other.publish(files("a", source=OTHER)) == ["a"]
    assert await one.source("a") == OTHER

    assert await other.publish({}) == []
    assert await one.source("a") == OTHER
    assert await one.publish({}) == ["a"]


async def test_what_the_server_has_lost_is_published_again(new_host: RegistryMaker) -> None:
    """MACH-11.4: After a restart of the server any process of a host finds its files, as another version; not those that were deleted."""
    one = new_host("one")
    await one.publish(files("a", "b"))
    version = await one.version("a")
    await one.delete("b")
    assert await one.version("b") is None
    for key in await one._client.run("KEYS", one._client.key("script", "") + b"*"):
        await one._client.run("DEL", key)
    again = await one.version("a")

    assert version is not None
    assert again is not None
    assert again > version
    assert [info.name for info in await one.list_scripts()] == ["a", "b"]


async def test_a_host_starts_without_the_server(own_redis_server: RedisServer) -> None:
    """MACH-11.4: It publishes its files when the server can be reached."""
    own_redis_server.kill()
    client = RedisClient(own_redis_server.settings())
    one = RedisScriptRegistry(client, 3, "one")
    assert await one.publish(files("a")) == []
    with pytest.raises(StoreError):
        await one.version("a")
    own_redis_server.start()
    assert client._probe is not None
    await client._probe

    assert [info.name for info in await one.list_scripts()] == ["a"]
    await client.close()


async def test_what_another_version_has_stored_is_read_from_its_source(new_host: RegistryMaker) -> None:
    """MACH-11.11: Where its stored form is not known; one that cannot be read is refused with the reason."""
    scripts = new_host("a")
    for name, source in (("x", SOURCE), ("y", b"turns: [{type: new}]")):
        await scripts.put(name, source, "yaml", script())
        await scripts._client.run("HSET", scripts.entry_key(name), "script", b"another form")
    found = await scripts.script("x")

    assert found is not None
    assert found[1] == script()
    with pytest.raises(StoreError, match=r"another version of llmsim .*type"):
        await scripts.script("y")
