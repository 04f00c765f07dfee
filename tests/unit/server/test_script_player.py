"""The stage: which scripts a worker has at hand, and when a request is judged."""

import time
from pathlib import Path
from typing import Any

import pytest

import llmsim.server.script_player as stage_module
from llmsim.domain import Prompt
from llmsim.errors import ExpectationError
from llmsim.scripts import Script, ScriptStep, read
from llmsim.server.script_player import RequestControls, ScriptPlayer
from llmsim.state.script_registry import ScriptRegistry
from llmsim.state.sessions import Sessions

SOURCE = b'{"turns": [{"type": "assistant", "text": "a", "expect": {"contains": "please"}}]}'
PLAIN = b'{"turns": [{"type": "assistant", "text": "a"}]}'


class Planner:
    """Plays a scene as what it is."""

    def play(self, prompt: Prompt, scene: ScriptStep) -> Any:
        """Play it."""
        return scene


def script(source: bytes) -> Script:
    return read(source, "json", "x", profiles=())


@pytest.fixture
def library(tmp_path: Path) -> ScriptRegistry:
    return ScriptRegistry(tmp_path / "library", 1000, time.time)


@pytest.fixture
def stage(tmp_path: Path, library: ScriptRegistry) -> ScriptPlayer:
    sessions = Sessions(tmp_path / "sessions", 100, time.time)
    return ScriptPlayer(library, sessions, Planner(), has_default=False)  # type: ignore[arg-type]  # one method of it is used


def cue(script: str = "x") -> RequestControls:
    return RequestControls("s", script, chosen=True)


def test_a_request_is_judged_once_and_not_while_others_wait(
    stage: ScriptPlayer, library: ScriptRegistry, monkeypatch: pytest.MonkeyPatch
) -> None:
    """SESS-1.6: What takes long to judge keeps nobody waiting: not those of other sessions, over all workers."""
    library.put("x", "json", SOURCE, script(SOURCE))
    judged: list[bool] = []

    def unmet(*_: object) -> tuple[str, ...]:
        # Another process would wait for the write; within this one, the connection tells that there is none.
        connection = stage._sessions._database._connection
        judged.append(connection is not None and connection.in_transaction)
        return ("never",)

    monkeypatch.setattr(stage_module, "unmet", unmet)

    with pytest.raises(ExpectationError, match="never"):
        stage.play(Prompt(model="m", messages=()), cue())
    assert judged == [False]


def test_scripts_at_hand_are_bounded(
    stage: ScriptPlayer, library: ScriptRegistry, monkeypatch: pytest.MonkeyPatch
) -> None:
    """SESS-3.6: Those that were played last; the others are fetched again."""
    monkeypatch.setattr(stage_module, "_MOST_KEPT", 2)
    for name in "abc":
        library.put(name, "json", PLAIN, script(PLAIN))
    fetched: list[str] = []
    fetch = library.script
    monkeypatch.setattr(library, "script", lambda name: (fetched.append(name), fetch(name))[1])
    for name in "abacab":
        stage.play(Prompt(model="m", messages=()), cue(name))

    assert fetched == ["a", "b", "c", "b"]


def test_what_is_deleted_is_let_go_of(stage: ScriptPlayer, library: ScriptRegistry) -> None:
    """SESS-3.2: And what comes again under its name is played from its beginning."""
    for take in range(2):
        library.put("x", "json", PLAIN, script(PLAIN))
        part = stage.play(Prompt(model="m", messages=()), cue())
        assert part is not None
        assert (part.claim.cursor, part.scene.repetition) == (0, 0), take
        library.delete("x")
        assert stage._book("x") is None
    assert stage._books == {}
