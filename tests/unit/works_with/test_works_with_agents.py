"""The table of agents of `scripts/agents`, their scripts, how they are started, and the page."""

import json
from datetime import date
from pathlib import Path

import pytest
from works_with.agents import AGENTS, Agent
from works_with.install import find_program, install_commands
from works_with.page import Row, render_page
from works_with.sandbox import build_script, isolate, restrict
from works_with.verdict import Verdict

from llmsim.scripts import read

EACH = pytest.mark.parametrize("agent", AGENTS, ids=lambda agent: agent.name)


@EACH
def test_the_scripted_task_can_be_played(agent: Agent) -> None:
    """AGENT-1.1: Five turns, one of them a 429, for each agent."""
    source = build_script(agent)
    script = read(json.dumps(source).encode(), "json", agent.name)

    assert len(script.turns) == 5
    assert [turn["type"] for turn in source["turns"]].count("error") == 1
    assert source["turns"][2]["kind"] == "rate_limit"


def test_the_agents_of_the_table() -> None:
    """AGENT-1.1: Each has a name of its own; Codex is there over SSE and WebSocket."""
    names = [agent.name for agent in AGENTS]

    assert len(set(names)) == len(names)
    assert {
        "claude-code",
        "codex",
        "codex-websocket",
        "gemini-cli",
        "opencode",
        "pi",
        "cline",
        "continue",
        "aider",
        "llm",
    } == {*names}


def test_an_agent_has_no_rights_and_no_network() -> None:
    """AGENT-1.2: Namespaces of its own, another user, no capabilities, and no way to get any."""
    assert {"--net", "--pid"} <= {*isolate(["true"])}
    assert {"--reuid=nobody", "--clear-groups", "--no-new-privs", "--bounding-set=-all"} <= {
        *restrict(["true"])
    }


@EACH
def test_packages_are_installed_outside_the_repository(agent: Agent, tmp_path: Path) -> None:
    """AGENT-1.3: By npm or pip, into a folder of the cache, with no registry named."""
    commands = install_commands(agent, tmp_path)

    assert find_program(agent, tmp_path).is_relative_to(tmp_path)
    assert agent.package in commands[-1]
    assert not any(
        word.startswith(("--registry", "--index-url", "http")) for words in commands for word in words
    )


def test_the_page() -> None:
    """AGENT-3.1: Version, verdicts, configuration and commands."""
    codex = next(agent for agent in AGENTS if agent.name == "codex-websocket")
    row = Row(codex, "1.2.3", Verdict(True, "`ls` was executed"), Verdict(False, "3 of 5 turns were played"))
    page = render_page([row], date(2026, 1, 2))

    for part in ("2026-01-02", "| 1.2.3 |", "yes: `ls` was executed", "**no**: 3 of 5 turns"):
        assert part in page
    for part in (
        "`~/.codex/config.toml`",
        "supports_websockets = true",
        "export OPENAI_API_KEY=any",
        "codex exec",
    ):
        assert part in page
