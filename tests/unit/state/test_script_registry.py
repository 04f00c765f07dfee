"""The library: scripts that all workers know."""

from pathlib import Path

import pytest

from llmsim.scripts import Script, read
from llmsim.state.script_registry import ScriptInfo, ScriptRegistry

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
def library(tmp_path: Path) -> ScriptRegistry:
    return ScriptRegistry(tmp_path / "library", 3, lambda: 7.0)


def script(source: bytes = SOURCE) -> Script:
    return read(source, "yaml", "x", profiles=())


def test_scripts_are_kept_by_name(library: ScriptRegistry) -> None:
    """SESS-3.1: Put, looked up, listed, deleted."""
    assert not library.put("b", "yaml", SOURCE, script(), "b.yaml")
    assert not library.put("a", "yaml", SOURCE, script())

    assert library.get("a") == ScriptInfo("a", 2, "yaml", "uploaded", 7.0, "Says hello", 3, 4, "error")
    assert [(volume.name, volume.origin) for volume in library.all()] == [("a", "uploaded"), ("b", "b.yaml")]
    assert library.source("a") == SOURCE
    assert library.delete("a")
    assert not library.delete("a")
    assert (library.get("a"), library.edition("a"), library.script("a"), library.source("a")) == (None,) * 4


def test_what_was_read_is_kept(library: ScriptRegistry) -> None:
    """SESS-3.2: Other workers play what the one has read, to the last key."""
    library.put("a", "yaml", SOURCE, script())

    assert library.script("a") == (1, script())


def test_an_edition_is_never_used_again(library: ScriptRegistry) -> None:
    """SESS-3.2: A script that is replaced, or deleted and put again, is another edition."""
    library.put("a", "yaml", SOURCE, script())
    editions = [library.edition("a")]
    assert library.put("a", "yaml", SOURCE, script())
    editions.append(library.edition("a"))
    library.delete("a")
    library.put("a", "yaml", SOURCE, script())
    editions.append(library.edition("a"))

    assert editions == [1, 2, 3]


def test_scripts_of_clients_are_bounded(library: ScriptRegistry) -> None:
    """SESS-3.6: Those that were sent first go first; the server's own stay."""
    for name in "fg":
        library.put(name, "yaml", SOURCE, script(), f"{name}.yaml")
    for name in "abacd":
        library.put(name, "yaml", SOURCE, script())

    assert [volume.name for volume in library.all()] == ["a", "c", "d", "f", "g"]
