"""The banner of `llmsim serve`."""

from pathlib import Path
from typing import Any

import pytest

from llmsim.cli import serve
from llmsim.config import load


def banner(capsys: pytest.CaptureFixture[str], **environ: str) -> str:
    """Return the banner for the given variables."""
    announce: Any = serve._banner
    announce(load(None, environ=environ, flags={}).settings)
    return capsys.readouterr().out


def test_scripts_are_shown(capsys: pytest.CaptureFixture[str]) -> None:
    """ARCH-3.11: With a default script nothing is generated, and the banner does not mention the generator."""
    plain = banner(capsys)
    scripted = banner(capsys, LLMSIM_SCRIPT="agent.json", LLMSIM_SCRIPTS_DIR="scenes")

    assert "lorem, 100 tokens" in plain
    assert "scripts" not in plain
    assert "lorem" not in scripted
    assert "responses     the script agent.json" in scripted
    assert "scripts       scenes, chosen by the header x-llmsim-script" in scripted


def shown(text: str, name: str) -> str:
    """Return a line of the banner."""
    (line,) = [line for line in text.splitlines() if line.startswith(f"  {name} ")]
    return line.removeprefix(f"  {name}").strip()


@pytest.mark.parametrize(
    ("variables", "access"),
    [
        ({}, "control API open to this machine only"),
        ({"LLMSIM_ADMIN_ENABLED": "local"}, "control API open to this machine only"),
        ({"LLMSIM_ADMIN_ENABLED": "true"}, "control API open to everyone on 0.0.0.0"),
        (
            {"LLMSIM_ADMIN_ENABLED": "on", "LLMSIM_HOST": "10.0.0.7"},
            "control API open to everyone on 10.0.0.7",
        ),
        ({"LLMSIM_ADMIN_ENABLED": "false"}, "control API off"),
        (
            {"LLMSIM_ADMIN_KEY": "s3cret", "LLMSIM_ADMIN_ENABLED": "true"},
            "control API open to this machine, and with its key from anywhere",
        ),
    ],
)
def test_who_may_use_the_control_api(
    capsys: pytest.CaptureFixture[str], variables: dict[str, str], access: str
) -> None:
    """ACC-1.8: The banner says to whom the control API is open; its key is not shown."""
    text = banner(capsys, **variables)

    assert shown(text, "access") == access
    assert "s3cret" not in text


def test_base_urls_are_those_of_the_sdks(capsys: pytest.CaptureFixture[str]) -> None:
    """CLI-1.3: Anthropic's SDKs append /v1 to their base URL, OpenAI's do not."""
    text = banner(capsys)

    assert shown(text, "openai") == "http://localhost:8080/openai/v1"
    assert shown(text, "anthropic") == "http://localhost:8080/anthropic"
    assert shown(text, "openresponses") == "http://localhost:8080/openresponses/v1"


def test_keys_and_pages(capsys: pytest.CaptureFixture[str]) -> None:
    """ACC-1.8, ACC-2.4: The banner says which keys are needed, without them, and which pages may call."""
    plain = banner(capsys)
    bound = banner(
        capsys,
        LLMSIM_AUTH_KEYS="sk-1,sk-2",
        LLMSIM_AUTH_KEYS_FILE="team.keys",
        LLMSIM_SERVER_CORS="http://localhost:5173",
    )

    assert shown(plain, "api key") == "any, or none"
    assert shown(plain, "web pages") == "of any origin may call the APIs"
    assert shown(bound, "api key") == "needed: one of 2 configured or those of team.keys"
    assert shown(bound, "web pages") == "of http://localhost:5173 may call the APIs"
    assert "sk-1" not in bound
    assert shown(banner(capsys, LLMSIM_SERVER_CORS="off"), "web pages") == "may not call the APIs"


def test_the_command_shown_exists(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """ARCH-3.11: With `python -m llmsim`, no command is shown that is not installed."""
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr("sys.executable", "/opt/python")
    monkeypatch.setattr("sys.argv", [str(tmp_path / "llmsim" / "__main__.py")])

    assert "or: /opt/python -m llmsim stats --watch" in banner(capsys)


@pytest.mark.parametrize("is_installed", [True, False])
def test_the_dashboard_in_the_terminal_is_named_where_it_can_run(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, is_installed: bool
) -> None:
    """CLI-1.5: Without the extra `tui` only the page is named."""
    monkeypatch.setattr(serve, "has_textual", lambda: is_installed)
    dashboard = shown(banner(capsys), "dashboard")

    assert dashboard.startswith("http://localhost:8080/llmsim/")
    assert dashboard.endswith("llmsim top") == is_installed
