"""The specs: every requirement has a unique id and a test that proves it."""

import ast
import functools
import re
from collections import Counter
from pathlib import Path

ROOT = Path(__file__).parents[2]
REQUIREMENT = re.compile(r"^- (?:\*\*)?([A-Z]+-\d+\.\d+)(?:\*\*)? (.*)$")
MENTION = re.compile(r"\b[A-Z]{2,}-\d+\.\d+\b")
OPENING = re.compile(r"[A-Z]{2,}-\d+\.\d+(?:, [A-Z]{2,}-\d+\.\d+)*: ")

ELSEWHERE: dict[str, str] = {}
"""Requirements that no test names, and where they are proven instead."""


def requirements(spec: Path) -> list[tuple[str, str]]:
    """Return id and text of each requirement of a spec; a text ends where the next bullet or heading begins."""
    section = spec.read_text(encoding="utf-8").partition("\n## Requirements\n")[2].partition("\n## ")[0]
    found: list[tuple[str, str]] = []
    for line in section.splitlines():
        if match := REQUIREMENT.match(line):
            found.append((match[1], match[2]))
        elif line.startswith("- "):
            found.append(("", line))
        elif found and line.startswith("  "):
            name, text = found[-1]
            found[-1] = (name, f"{text} {line.strip()}")
    return found


SPECS = {
    spec: requirements(spec)
    for spec in sorted((ROOT / "specs").glob("*.md"))
    if spec.name != "README.md"  # it says how a spec is written
}


@functools.cache
def docstrings() -> dict[str, str]:
    """Return the docstring of every test class and test function, by file and name."""
    found = {}
    for path in sorted((ROOT / "tests").rglob("test_*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(
                node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef
            ) and node.name.lower().startswith("test"):
                found[f"{path.relative_to(ROOT)}::{node.name}"] = ast.get_docstring(node) or ""
    return found


def proven() -> set[str]:
    """Return the ids that a test names."""
    return {name for text in docstrings().values() for name in MENTION.findall(text)}


KNOWN = {name for spec in SPECS.values() for name, _ in spec}
MUSTS = {name for spec in SPECS.values() for name, text in spec if "MUST" in text}


def test_every_requirement_begins_with_its_id() -> None:
    """MAINT-4.7: In a spec's requirements, every bullet is a requirement and begins with an id."""
    nameless = [f"{spec.name}: {text}" for spec, found in SPECS.items() for name, text in found if not name]
    empty = [spec.name for spec, found in SPECS.items() if not found]

    assert (nameless, empty) == ([], [])


def test_every_id_is_unique() -> None:
    """MAINT-4.7: No two requirements have the same id, and no two specs the same letters."""
    counts = Counter(name for found in SPECS.values() for name, _ in found)
    letters = Counter(
        letter for found in SPECS.values() for letter in {name.partition("-")[0] for name, _ in found}
    )

    assert [name for name, count in counts.items() if count > 1] == []
    assert [letter for letter, count in letters.items() if count > 1] == []


def test_every_must_is_tested() -> None:
    """MAINT-4.7: Every requirement with a MUST is named by the docstring of a test."""
    untested = MUSTS - proven() - set(ELSEWHERE)

    assert sorted(untested) == []


def test_no_tested_requirement_is_exempt() -> None:
    """MAINT-4.7: A requirement that is proven elsewhere exists, is not tested here, and names the place of its proof."""
    assert set(ELSEWHERE) <= KNOWN
    assert not set(ELSEWHERE) & proven()
    assert all(ELSEWHERE.values())


def test_every_test_proves_a_requirement() -> None:
    """MAINT-4.7: No test names a requirement that does not exist."""
    unknown = {name: sorted(set(MENTION.findall(text)) - KNOWN) for name, text in docstrings().items()}

    assert {name: ids for name, ids in unknown.items() if ids} == {}


def test_every_test_opens_with_its_claim() -> None:
    """MAINT-4.7: A test's docstring opens with the id that it proves, followed by a claim."""
    functions = {name: text for name, text in docstrings().items() if "::test_" in name}

    assert [name for name, text in functions.items() if not OPENING.match(text)] == []
