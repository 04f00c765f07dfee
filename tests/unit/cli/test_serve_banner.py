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


def test_the_command_shown_exists(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """ARCH-3.11: With `python -m llmsim`, no command is shown that is not installed."""
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr("sys.executable", "/opt/python")
    monkeypatch.setattr("sys.argv", [str(tmp_path / "llmsim" / "__main__.py")])

    assert "or: /opt/python -m llmsim stats --watch" in banner(capsys)
