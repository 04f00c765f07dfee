"""The load tests import nothing of the simulator, and Locust only in its own process."""

import ast
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[3]
MODULES = sorted((ROOT / "loadtest").rglob("*.py"))


def dotted(path: Path) -> str:
    """Return the name by which a module is imported."""
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


def imported(path: Path) -> set[str]:
    names = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            names.add(node.module or "")
    return {name.partition(".")[0] for name in names}


def test_nothing_of_the_simulator_is_imported() -> None:
    """LOAD-1.1: No module imports llmsim, directly or indirectly; those that do not import Locust load without it."""
    plain = [
        dotted(path) for path in MODULES if not imported(path) & {"locust", "gevent", "geventhttpclient"}
    ]
    plain = [name for name in plain if name != "loadtest.__main__"]  # it runs the command
    program = f"import sys\nsys.modules['llmsim'] = None\nfor name in {plain}: __import__(name)\n"
    program += "assert not {'locust', 'gevent'} & set(sys.modules)\n"

    assert [path.name for path in MODULES if "llmsim" in imported(path)] == []
    assert {"loadtest.cli", "loadtest.summary", "loadtest.replay.command", "loadtest.recordings"} <= set(
        plain
    )
    result = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stderr


def test_modules_are_short_and_have_a_docstring() -> None:
    """LOAD-1.1: The rules on the package's modules apply here too."""
    for path in MODULES:
        text = path.read_text(encoding="utf-8")
        assert ast.get_docstring(ast.parse(text)), path.name
        assert len(text.splitlines()) <= 400, path.name
