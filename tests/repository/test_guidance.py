"""Guidance for coding agents: one text of rules, and only commands that exist."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "CLAUDE.md", *sorted((ROOT / ".claude").rglob("*.md"))]


def test_the_rules_are_those_of_one_file() -> None:
    """CLIENT-3.1: CLAUDE.md includes AGENTS.md at its top, and names each skill and command."""
    text = (ROOT / "CLAUDE.md").read_text(encoding="utf-8")

    assert text.startswith("@AGENTS.md\n")
    assert all(f"({page.relative_to(ROOT)})" in text for page in PAGES[1:])


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_what_is_named_exists(page: Path) -> None:
    """CLIENT-3.1: Scripts, folders and files that the guidance names are there."""
    text = page.read_text(encoding="utf-8")
    named = re.findall(
        r"(?<![\w/.])(?:\./)?((?:scripts|docs|specs|llmsim|tests)/[\w./-]*\w|\w[\w-]*\.lock)", text
    )
    links = re.findall(r"\]\(([^)#]+)", text)

    assert named or links
    assert [name for name in named if not (ROOT / name).exists()] == []
    assert [link for link in links if not (page.parent / link).exists()] == []


@pytest.mark.parametrize("name", ["load-test", "maintenance"])
def test_skills_say_when_to_use_them(name: str) -> None:
    """CLIENT-3.1: A skill has its name and its purpose where tools look for them."""
    text = (ROOT / ".claude/skills" / name / "SKILL.md").read_text(encoding="utf-8")

    assert re.match(rf"---\nname: {name}\ndescription: .{{40,}}\n---\n", text)
