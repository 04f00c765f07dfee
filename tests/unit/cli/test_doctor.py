"""`llmsim doctor`, and commands that are misspelt or lack their packages."""

import importlib
import importlib.util
import json
import socket
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from llmsim.cli import loadtest as loadtest_command
from llmsim.cli import main


@pytest.fixture
def run_dir(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    directory = tmp_path / "run"
    directory.mkdir(mode=0o700)
    monkeypatch.setenv("LLMSIM_SERVER_RUN_DIR", str(directory))
    return directory


def run(*words: str) -> Result:
    return CliRunner().invoke(main, words)


def findings(result: Result) -> dict[str, Any]:
    return {finding["subject"]: finding for finding in json.loads(result.output)}


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def test_a_sound_machine_has_no_failures(run_dir: Path) -> None:
    """CLI-2.1, CLI-2.2, CLI-2.4: Everything is reported, and the exit code is 0."""
    result = run("doctor", "--host", "127.0.0.1", "--port", str(free_port()), "--json")

    assert result.exit_code == 0, result.output
    found = findings(result)
    subjects = {
        "system",
        "packages",
        "settings",
        "cores",
        "open files",
        "port",
        "run directory",
        "shared memory",
    }
    assert subjects < found.keys()
    assert "uvicorn" in found["packages"]["found"]


def test_a_taken_port_is_a_failure(run_dir: Path) -> None:
    """CLI-2.1, CLI-2.2: A port that another process listens on is named, and the exit code is 1."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        port = listener.getsockname()[1]
        result = run("doctor", "--host", "127.0.0.1", "--port", str(port))

    assert result.exit_code == 1
    assert f"127.0.0.1:{port}: address already in use" in result.output
    assert "choose another with --port" in result.output


def test_an_address_of_another_machine_is_a_failure(run_dir: Path) -> None:
    """CLI-2.1: What helps is another address, not another port."""
    result = run("doctor", "--host", "203.0.113.5", "--port", str(free_port()))

    assert result.exit_code == 1
    assert "name an address of this machine with --host" in result.output


def test_a_run_directory_that_is_a_file_is_a_failure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """CLI-2.1: The report calls it no directory, rather than that it exists."""
    (tmp_path / "file").touch()
    for path in (tmp_path / "file", tmp_path / "file" / "below"):
        monkeypatch.setenv("LLMSIM_SERVER_RUN_DIR", str(path))
        result = run("doctor", "--port", str(free_port()))

        assert result.exit_code == 1
        assert "it is no directory, or below a file" in result.output


def test_stale_files_are_counted_and_left(run_dir: Path) -> None:
    """CLI-2.1, CLI-2.3: Files of servers that are gone are reported, and not removed."""
    stale = run_dir / "999999999.journal"
    stale.touch()

    found = findings(run("doctor", "--port", "0", "--json"))["run directory"]

    assert found["level"] == "note"
    assert "1 file of" in found["found"]
    assert stale.exists()


def test_a_wrong_setting_is_a_failure(run_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """CLI-2.2: Settings that cannot be read are one finding, with their own message."""
    monkeypatch.setenv("LLMSIM_LATENCY", "instnat")
    result = run("doctor", "--json")

    assert result.exit_code == 1
    assert "instant" in findings(result)["settings"]["found"]


def test_a_run_directory_of_others_is_a_failure(run_dir: Path) -> None:
    """CLI-2.2: A run directory that would not be used is one."""
    run_dir.chmod(0o777)
    result = run("doctor", "--port", "0", "--json")

    assert result.exit_code == 1
    assert findings(result)["run directory"]["level"] == "failure"


@pytest.mark.parametrize(("word", "meant"), [("srve", "serve"), ("stat", "stats"), ("Doctor", "doctor")])
def test_the_nearest_command_is_named(word: str, meant: str) -> None:
    """CLI-1.1: A misspelt command is refused with the one that was meant."""
    result = run(word)

    assert result.exit_code == 2
    assert f"did you mean '{meant}'" in result.output


def test_a_word_like_no_command_is_refused() -> None:
    """CLI-1.1: Nothing is suggested for what resembles no command."""
    result = run("xyzzy")

    assert result.exit_code == 2
    assert "no command 'xyzzy'\n" in result.output


def test_load_tests_say_what_they_need(monkeypatch: pytest.MonkeyPatch) -> None:
    """CLI-1.2: Without Locust the command says how to install it."""
    find_spec = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name, *rest: None if name == "locust" else find_spec(name, *rest)
    )
    importlib.reload(loadtest_command)
    result = run("loadtest", "quick-smoke", "--users", "3")
    monkeypatch.undo()
    importlib.reload(loadtest_command)

    assert result.exit_code == 2
    assert "pip install 'llmsim[load]'" in result.output


def test_load_tests_have_their_own_help() -> None:
    """CLI-1.2: Everything behind the name is the suites' own."""
    result = run("loadtest", "--help")

    assert result.exit_code == 0
    assert " loadtest [OPTIONS] SUITE" in result.output
