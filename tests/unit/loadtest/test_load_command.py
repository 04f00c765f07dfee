"""The command line: its help, and what it refuses before anything is started."""

from pathlib import Path

import pytest
from click.testing import CliRunner
from support.servers import free_port

from loadtest.cli import main
from loadtest.settings import describe_settings
from loadtest.suites import SUITES

ROOT = Path(__file__).parents[3]


def test_help_is_complete() -> None:
    """LOAD-6.4: The help names all suites, variables and exit codes."""
    result = CliRunner().invoke(main, ["--help"])

    assert result.exit_code == 0
    assert all(
        f"  {suite.name} " in result.output and suite.about in result.output for suite in SUITES.values()
    )
    assert all(f"  {variable} " in result.output for variable, _, _ in describe_settings())
    assert "Exit codes: 0 passed, 1 " in result.output


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "Missing argument 'SUITE'"),
        (["lode"], "no suite 'lode'; one of: quick-smoke, smoke"),
        (["lode"], "did you mean 'load'?"),
        (["Quick_Smoke"], "did you mean 'quick-smoke'?"),
        (["xyz"], "no suite 'xyz'; one of: quick-smoke, smoke"),
        (["load", "--rate", "x"], "not a valid float"),
        (["load", "--rate", "-1"], "LOADTEST_RATE"),
        (["load", "--host", "localhost:8080"], "not a URL"),
        (["load", "--host", ""], "not a URL"),
        (["load", "--host", "http://"], "not a URL"),
        (["load", "--host", "http://localhost:80a"], "Port could not be cast"),
        (["load", "--host", "http://localhost/?key=1"], "not a URL"),
        (["load", "--host", "http://localhost", "--workers", "2"], "--workers"),
        (["load", "--endpoints", "chats"], "no endpoint 'chats'"),
        (["load", "--gate", "speed=3"], "no figure 'speed'"),
        (["load", "--gate", "ttft_p95_ms=soon"], "no limit"),
        (["quick-smoke", "--users", "3"], "3 iterations"),
    ],
)
def test_a_wrong_call_is_refused(arguments: list[str], message: str) -> None:
    """LOAD-5.5, LOAD-5.7: Wrong usage ends with exit code 2 and the reason, and starts nothing."""
    result = CliRunner().invoke(main, arguments)

    assert result.exit_code == 2
    assert message in result.output


@pytest.mark.parametrize(
    "host", ["http://127.0.0.1:{port}", "http://no-such-host.invalid", "https://127.0.0.1:{port}/v1"]
)
def test_a_server_that_is_not_there_is_one_error(host: str, tmp_path: Path) -> None:
    """LOAD-5.6: A closed port and a wrong host are one error at once, with exit code 1; no load is offered."""
    result = CliRunner().invoke(
        main, ["quick-smoke", "--host", host.format(port=free_port()), "--out", str(tmp_path)]
    )

    assert result.exit_code == 1
    assert "no server answers there" in result.output
    assert "Traceback" not in result.output
    assert not (tmp_path / "summary.json").exists()


@pytest.mark.parametrize(
    ("path", "meant"),
    [("/openai/v1", ""), ("/v1", ""), ("/anthropic", ""), ("/gateway/openai/v1", "/gateway")],
)
def test_a_base_url_is_no_server(
    path: str, meant: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """LOAD-5.6: What an SDK takes would have the path of the API twice: the server is named, and no folder made."""
    monkeypatch.setattr("loadtest.cli._look_at", lambda host: None)
    folder = tmp_path / "run"
    result = CliRunner().invoke(
        main, ["quick-smoke", "--host", f"http://localhost:8080{path}/", "--out", str(folder)]
    )

    assert result.exit_code == 2
    assert f"did you mean --host http://localhost:8080{meant}?" in result.output
    assert not folder.exists()


def test_the_script_is_the_command() -> None:
    """LOAD-6.1: Like the other scripts, it creates the environment if there is none, then runs the command."""
    script = ROOT / "scripts/loadtest"

    assert script.stat().st_mode & 0o111
    assert "venv_ready load -e '.[load]'" in script.read_text()


@pytest.mark.parametrize("page", ["docs/load-testing.md"])
def test_documentation_has_everything(page: str) -> None:
    """LOAD-6.4: The documentation has all suites with their gates, and all variables with their defaults."""
    text = (ROOT / page).read_text(encoding="utf-8")

    for suite in SUITES.values():
        assert f"| `{suite.name}` |" in text
        for gate in suite.gates:
            assert f"`{gate.figure}`" in text
    for variable, default, about in describe_settings():
        assert f"| `{variable}` | {default} | {about} |" in text
