"""The load tests stand apart: from the simulator, and Locust from everything else."""

import ast
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[3]
MODULES = sorted((ROOT / "loadtest").glob("*.py"))


def imported(path: Path) -> set[str]:
    names = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            names.add(node.module or "")
    return {name.partition(".")[0] for name in names}


def test_nothing_of_the_simulator_is_imported() -> None:
    """LOAD-1.1: Neither in a module, nor by one of them that can be imported here."""
    plain = [path.stem for path in MODULES if not imported(path) & {"locust", "gevent", "geventhttpclient"}]
    # What Locust's process loads imports it somewhere down the line.
    plain = [
        name
        for name in plain
        if name not in ("__main__", "locustfile", "transport", "watching", "users", "rows")
    ]
    program = (
        f"import sys\nsys.modules['llmsim'] = None\nfor name in {plain}: __import__('loadtest.' + name)\n"
    )
    program += "assert not {'locust', 'gevent'} & set(sys.modules)\n"

    assert [path.name for path in MODULES if "llmsim" in imported(path)] == []
    assert {"cli", "suites", "summary", "answers"} <= set(plain)
    told = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert told.returncode == 0, told.stderr


def test_modules_are_short_and_say_what_they_are_for() -> None:
    """LOAD-1.1: The rules of the house hold here too."""
    for path in MODULES:
        text = path.read_text(encoding="utf-8")
        assert ast.get_docstring(ast.parse(text)), path.name
        assert len(text.splitlines()) <= 400, path.name
