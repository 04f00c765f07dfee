"""The script registry: scripts of all workers, by name."""

from pathlib import Path

import pytest

from llmsim.scripts import Script, read
from llmsim.state.ports import ScriptInfo
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


@pytest.fixture
def scripts(tmp_path: Path) -> SqliteScriptRegistry:
    return SqliteScriptRegistry(tmp_path / "scripts", 3, lambda: 7.0)


def script(source: bytes = SOURCE) -> Script:
    return read(source, "yaml", "x", profiles=())


async def test_scripts_are_kept_by_name(scripts: SqliteScriptRegistry) -> None:
    """SESS-3.1: Put, looked up, listed, deleted."""
    assert not await scripts.put("b", SOURCE, "yaml", script(), "b.yaml")
    assert not await scripts.put("a", SOURCE, "yaml", script())

    assert await scripts.get("a") == ScriptInfo("a", 2, "yaml", "uploaded", 7.0, "Says hello", 3, 4, "error")
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


async def test_what_was_read_is_kept(scripts: SqliteScriptRegistry) -> None:
    """SESS-3.2: Other workers play what the one has read, to the last key."""
    await scripts.put("a", SOURCE, "yaml", script())

    assert await scripts.script("a") == (1, script())


async def test_an_version_is_never_used_again(scripts: SqliteScriptRegistry) -> None:
    """SESS-3.2: A script that is replaced, or deleted and put again, is another version."""
    await scripts.put("a", SOURCE, "yaml", script())
    versions = [await scripts.version("a")]
    assert await scripts.put("a", SOURCE, "yaml", script())
    versions.append(await scripts.version("a"))
    await scripts.delete("a")
    await scripts.put("a", SOURCE, "yaml", script())
    versions.append(await scripts.version("a"))

    assert versions == [1, 2, 3]


async def test_scripts_of_clients_are_bounded(scripts: SqliteScriptRegistry) -> None:
    """SESS-3.6: Those that were sent first go first; the server's own stay."""
    for name in "fg":
        await scripts.put(name, SOURCE, "yaml", script(), f"{name}.yaml")
    for name in "abacd":
        await scripts.put(name, SOURCE, "yaml", script())

    assert [info.name for info in await scripts.list_scripts()] == ["a", "c", "d", "f", "g"]
