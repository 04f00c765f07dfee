"""`llmsim set`: what is sent to a server, and what is shown of its answer."""

import json
from typing import Any

import pytest
from click.testing import CliRunner

from llmsim.cli import main
from llmsim.cli import set as command
from llmsim.cli.set import parse_changes
from llmsim.errors import ConfigError


def setting(name: str, value: str, origin: str) -> dict[str, Any]:
    return {"name": name, "value": value, "origin": origin, "changeable": True}


@pytest.fixture
def sent(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, str, Any]]:
    calls: list[tuple[str, str, Any]] = []

    def fetch(address: str, _hint: str, *, with_key: bool, body: bytes | None, method: str) -> bytes:
        assert with_key
        calls.append((method, address, None if body is None else json.loads(body)))
        found = [setting("errors.timeout_rate", "0.5", "run time"), setting("server.port", "8080", "default")]
        return json.dumps({"epoch": 1, "settings": found}).encode()

    monkeypatch.setattr("llmsim.cli.set.fetch_bytes", fetch)
    return calls


def run(*arguments: str) -> Any:
    return CliRunner().invoke(main, ["set", *arguments])


def test_changes_are_sent_as_their_kinds(sent: list[tuple[str, str, Any]]) -> None:
    """CTRL-2.1: Texts become the values of their settings; all are sent at once."""
    result = run("errors.timeout_rate=0.5", "tools.max_calls=3", "faults.models=a, b", "--port", "8123")

    changes = {"errors.timeout_rate": 0.5, "tools.max_calls": 3, "faults.models": ["a", "b"]}
    assert sent == [("PATCH", "http://127.0.0.1:8123/llmsim/settings", changes)]
    assert result.exit_code == 0
    assert "errors.timeout_rate  0.5    run time" in result.output
    assert "server.port" not in result.output


def test_what_is_changed_is_shown(sent: list[tuple[str, str, Any]]) -> None:
    """CTRL-2.7: Without arguments nothing is changed; another machine's server is asked by its address."""
    run("--url", "staging:8080")

    assert sent == [("GET", "http://staging:8080/llmsim/settings", None)]


def test_changes_are_taken_back() -> None:
    """CTRL-2.6: `KEY=` takes a change back, and `unset` unsets what is unset by default."""
    assert parse_changes(("errors.timeout_rate=", "latency.profile=unset", "response.refusal_text=a=b")) == {
        "errors.timeout_rate": None,
        "latency.profile": "unset",
        "response.refusal_text": "a=b",
    }


def test_mistakes_are_reported_together(sent: list[tuple[str, str, Any]]) -> None:
    """CTRL-2.4: Every mistake is named with the nearest right word, and nothing is sent."""
    result = run("errors.timeout_rat=1", "errors.timeout_rate", "tools.max_calls=x")

    assert sent == []
    assert result.exit_code == 2
    assert "did you mean errors.timeout_rate?" in result.output
    assert "wanted KEY=VALUE" in result.output
    assert "tools.max_calls: wanted a whole number" in result.output
    with pytest.raises(ConfigError):
        parse_changes(("x=\x1b",))


def test_the_command_is_listed() -> None:
    """CTRL-2.1: It is one of the commands, by its name."""
    assert command.set.name == "set"
    assert "set " in CliRunner().invoke(main, ["--help"]).output
