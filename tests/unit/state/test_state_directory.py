"""The run directory: who says where it is."""

import os
import tempfile
from pathlib import Path

import pytest

from llmsim.errors import ConfigError
from llmsim.state.directory import run_directory


def test_the_setting_goes_first(tmp_path: Path) -> None:
    """ARCH-3.8: What `server.run_dir` names is taken, whatever the environment says."""
    path = run_directory(
        str(tmp_path / "a" / "b"), {"RUNTIME_DIRECTORY": "/nowhere", "XDG_RUNTIME_DIR": "/no"}
    )

    assert path == tmp_path / "a" / "b"
    assert path.is_dir()


def test_systemd_goes_before_the_session(tmp_path: Path) -> None:
    """ARCH-3.8: Under systemd it is the unit's own directory, the first if there are several."""
    environ = {"RUNTIME_DIRECTORY": f"{tmp_path}/unit:{tmp_path}/other", "XDG_RUNTIME_DIR": str(tmp_path)}

    assert run_directory("", environ) == tmp_path / "unit"


def test_the_session_has_a_directory_of_its_own(tmp_path: Path) -> None:
    """ARCH-3.8: In a user's session it stands in the session's directory."""
    assert run_directory("", {"XDG_RUNTIME_DIR": str(tmp_path)}) == tmp_path / "llmsim"


def test_without_all_these_it_is_the_users_temporary_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """ARCH-3.8: Else it is a directory of the user's own among the temporary ones."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))

    assert run_directory("", {}) == tmp_path / f"llmsim-{os.getuid()}"


def test_only_its_owner_may_enter_it(tmp_path: Path) -> None:
    """ARCH-3.8: A directory made here is its owner's alone; one that exists is taken as it is."""
    made = run_directory(str(tmp_path / "run"), {})

    assert made.stat().st_mode & 0o777 == 0o700
    assert run_directory(str(made), {}) == made


@pytest.mark.parametrize(("mode", "is_used"), [(0o700, True), (0o755, True), (0o775, False), (0o707, False)])
def test_a_named_directory_is_the_users_own(tmp_path: Path, mode: int, is_used: bool) -> None:
    """STATE-6.1: others may not write into a directory that was named; that of systemd is readable."""
    path = tmp_path / "run"
    path.mkdir()
    path.chmod(mode)

    if is_used:
        assert run_directory(str(path), {}) == path
    else:
        with pytest.raises(ConfigError, match=r"server.run_dir: .*chmod 700"):
            run_directory(str(path), {})
