"""The first set-up of a checkout: it may be interrupted, repeated, and begun twice at the same time."""

import os
import shutil
import signal
import subprocess
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

# A Python that makes environments and installs slowly, and leaves half of it behind when it is stopped.
_FAKE = """\
#!/usr/bin/env bash
trap 'exit 130' INT TERM
echo "$$ $*" >> "$SETUP_LOG"
case "$1 $2" in
  "-c "*) exit 0 ;;
  "--version "*) echo "Python 3.11.0" ;;
  "-m venv")
    mkdir -p "$3/bin"
    cp "$0" "$3/bin/python"
    sleep "$SETUP_MAKES"
    touch "$3/made" ;;
  "-m pip")
    [[ -e .venv/made ]] || { echo "No module named pip" >&2; exit 1; }
    [[ $3 == install ]] || exit 0
    [[ ! -e .venv/half ]] || { echo "half installed" >&2; exit 1; }
    touch .venv/half
    sleep "$SETUP_INSTALLS"
    printf '#!/usr/bin/env bash\\necho "served $*"\\n' > .venv/bin/llmsim
    chmod +x .venv/bin/llmsim
    mv .venv/half .venv/installed ;;
  "-m ensurepip") exit 1 ;;
esac
"""


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A checkout with the scripts only, and a fake Python."""
    (tmp_path / "scripts").mkdir()
    for name in ("serve", "venv.sh"):
        shutil.copy(ROOT / "scripts" / name, tmp_path / "scripts" / name)
    (tmp_path / "pyproject.toml").write_text("[project]\n")
    fake = tmp_path / "fake-python"
    fake.write_text(_FAKE)
    fake.chmod(0o755)
    return tmp_path


def _start(
    checkout: Path, *, makes: float = 0.0, installs: float = 0.0, **variables: str
) -> "subprocess.Popen[str]":
    environment = os.environ | {
        "PYTHON": str(checkout / "fake-python"),
        "SETUP_LOG": str(checkout / "log"),
        "SETUP_MAKES": str(makes),
        "SETUP_INSTALLS": str(installs),
    }
    return subprocess.Popen(
        [checkout / "scripts" / "serve", "--port", "1"],
        env=environment | variables,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )


def _finish(process: "subprocess.Popen[str]") -> str:
    output, _ = process.communicate(timeout=60)
    assert process.returncode == 0, output
    return output


def _wait_for(path: Path) -> None:
    deadline = time.monotonic() + 30
    while not path.exists():
        assert time.monotonic() < deadline, path
        time.sleep(0.01)


def test_one_command_sets_all_up(checkout: Path) -> None:
    """MAINT-5.1: the first run makes the environment, installs and serves; the second one serves only."""
    assert _finish(_start(checkout)).endswith("served serve --port 1\n")
    before = (checkout / "log").read_text()

    assert _finish(_start(checkout)) == "served serve --port 1\n"
    assert [line for line in (checkout / "log").read_text()[len(before) :].splitlines() if "-m" in line] == []


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
@pytest.mark.parametrize("step", [".venv/bin/python", ".venv/half"])
def test_an_interrupted_setup_is_done_again(checkout: Path, step: str, number: signal.Signals) -> None:
    """MAINT-5.2: whenever a set-up is stopped, by whatever signal, the next run completes it."""
    first = _start(checkout, makes=60.0 if step.endswith("python") else 0.0, installs=60.0)
    _wait_for(checkout / step)
    # The fake must have begun to sleep: a shell that is stopped while it starts a command waits for that command.
    time.sleep(0.3)
    os.killpg(first.pid, number)
    first.communicate(timeout=60)
    assert first.returncode != 0

    assert _finish(_start(checkout)).endswith("served serve --port 1\n")
    assert (checkout / ".venv" / "installed").exists()
    assert not (checkout / ".venv" / ".incomplete").exists()


def test_a_failed_installation_keeps_the_environment(checkout: Path) -> None:
    """MAINT-5.2: what pip could not install, without the network say, is tried again in the same environment."""
    _finish(_start(checkout))
    (checkout / "pyproject.toml").write_text("[project]\nname = 'other'\n")
    (checkout / ".venv" / "half").touch()
    failed = _start(checkout)
    assert "half installed" in failed.communicate(timeout=60)[0]
    assert failed.returncode != 0
    (checkout / ".venv" / "half").unlink()

    _finish(_start(checkout))
    assert (checkout / "log").read_text().count("-m venv") == 1


@pytest.mark.skipif(shutil.which("flock") is None, reason="no flock here, as on macOS")
def test_two_setups_wait_for_each_other(checkout: Path) -> None:
    """MAINT-5.3: of two set-ups at the same time one does the work, and both serve."""
    first = _start(checkout, makes=0.5)
    _wait_for(checkout / ".venv" / "bin" / "python")
    second = _start(checkout, makes=0.5)

    assert _finish(first).endswith("served serve --port 1\n")
    assert "Waiting for another set-up" in _finish(second)
    log = (checkout / "log").read_text()
    assert log.count("-m venv") == log.count("-m pip install") == 1


@pytest.mark.parametrize("is_made", [False, True])
def test_a_wrong_python_is_named(checkout: Path, is_made: bool) -> None:
    """MAINT-5.4: PYTHON that cannot be run is an error that names it, also where an environment exists."""
    if is_made:
        _finish(_start(checkout))
    process = _start(checkout, PYTHON="/nope")
    output, _ = process.communicate(timeout=60)

    assert process.returncode != 0
    assert "PYTHON=/nope" in output
