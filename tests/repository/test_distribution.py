"""Wheel and source distribution, as they are built; outside of the usual tests, because building needs hatchling."""

import importlib.util
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from pathlib import Path

import pytest

import llmsim

ROOT = Path(__file__).parents[2]

pytestmark = [
    pytest.mark.tools,
    pytest.mark.skipif(
        any(importlib.util.find_spec(name) is None for name in ("build", "hatchling", "twine")),
        reason="pip install -r requirements-build.lock",
    ),
]


@pytest.fixture(scope="module")
def dist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with wheel and source distribution; the wheel is built from the source distribution."""
    folder = tmp_path_factory.mktemp("dist")
    command = [sys.executable, "-m", "build", "--no-isolation", "--outdir", str(folder), str(ROOT)]
    subprocess.run(command, check=True, capture_output=True, timeout=300)
    return folder


def versioned(*folders: str) -> set[str]:
    """Return the files of folders that are under version control."""
    command = ["git", "-C", str(ROOT), "ls-files", "-z", "--", *folders]
    return set(subprocess.run(command, check=True, capture_output=True, text=True).stdout.split("\0")) - {""}


def test_wheel_holds_the_package(dist: Path) -> None:
    """REL-3.5: Each file of the package and of the load tests is in the wheel, and nothing else but its description."""
    [wheel] = dist.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
        entry_points = archive.read(f"llmsim-{llmsim.__version__}.dist-info/entry_points.txt").decode()
    own = {name for name in names if not name.startswith(f"llmsim-{llmsim.__version__}.dist-info/")}

    assert own == versioned("llmsim", "loadtest")
    assert {
        f"llmsim-{llmsim.__version__}.dist-info/licenses/{name}" for name in ("LICENSE", "NOTICE")
    } <= names
    assert "llmsim = llmsim.cli:main" in entry_points


def test_source_distribution_holds_what_is_named(dist: Path) -> None:
    """REL-3.5: The source distribution holds all files of its list that are under version control."""
    [archive] = dist.glob("*.tar.gz")
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    wanted = versioned(*project["tool"]["hatch"]["build"]["targets"]["sdist"]["include"])
    with tarfile.open(archive) as opened:
        names = {name.partition("/")[2] for name in opened.getnames()}

    assert wanted - names == set()


def test_twine_finds_nothing(dist: Path) -> None:
    """REL-3.5: `twine check --strict` accepts both."""
    command = [sys.executable, "-m", "twine", "check", "--strict", *map(str, dist.iterdir())]
    checked = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)

    assert checked.returncode == 0, checked.stdout
    assert checked.stdout.count("PASSED") == 2
