"""What `llmsim serve` says once it listens."""

from pathlib import Path
from typing import Any

import pytest

from llmsim.cli import serve
from llmsim.config import load


def said(capsys: pytest.CaptureFixture[str], **environ: str) -> str:
    """Tell the banner by the variables."""
    announce: Any = serve._banner
    announce(load(None, environ=environ, flags={}).settings)
    return capsys.readouterr().out


def test_scripts_are_said(capsys: pytest.CaptureFixture[str]) -> None:
    """ARCH-3.11: With a script no replies are generated, and the banner does not speak of them."""
    plain = said(capsys)
    scripted = said(capsys, LLMSIM_SCRIPT="agent.json", LLMSIM_SCRIPTS_DIR="scenes")

    assert "lorem, 100 tokens" in plain
    assert "scripts" not in plain
    assert "lorem" not in scripted
    assert "replies       the script agent.json" in scripted
    assert "scripts       scenes, by the header x-llmsim-script" in scripted


def test_the_command_can_be_typed(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """ARCH-3.11: By `python -m llmsim` nothing is named that does not exist."""
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr("sys.executable", "/opt/python")
    monkeypatch.setattr("sys.argv", [str(tmp_path / "llmsim" / "__main__.py")])

    assert "or: /opt/python -m llmsim stats --watch" in said(capsys)
