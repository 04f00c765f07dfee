"""Tables of the documentation that repeat facts of the program."""

import re
from pathlib import Path

import pytest

from llmsim.catalogue import Profile, load_catalogue
from llmsim.domain import EFFECTS
from llmsim.planning.reasoning import EFFORTS, reasoning_tokens

PAGE = Path(__file__).parents[2] / "docs" / "latency.md"
CATALOGUE = load_catalogue()


def table(first: str) -> list[list[str]]:
    """Return the rows of the table whose first heading is `first`, as lists of cells without backticks."""
    lines = PAGE.read_text(encoding="utf-8").splitlines()
    head = next(index for index, line in enumerate(lines) if line.startswith(f"| {first} |"))
    rows = []
    for line in lines[head + 2 :]:
        if not line.startswith("|"):
            break
        rows.append([cell.strip().strip("`") for cell in line.strip("|").split("|")])
    return rows


def row(profile: Profile) -> list[str]:
    """Return a profile as the page shows it, without its example."""
    rate = "∞" if not profile.tbt_mean_ms else f"{1000 / profile.tbt_mean_ms:.0f}"
    return [
        profile.name,
        f"{profile.ttft_mean_ms:g} ± {profile.ttft_stddev_ms:g}",
        f"{profile.tbt_mean_ms:g} ± {profile.tbt_stddev_ms:g}",
        rate,
        f"{(profile.ttft_mean_ms + 99 * profile.tbt_mean_ms) / 1000:.2f}",
    ]


def test_profiles_are_those_of_the_catalogue() -> None:
    """MAINT-4.6: The page has every profile, in the catalogue's order, with its figures."""
    assert [cells[:-1] for cells in table("profile")] == [row(one) for one in CATALOGUE.profiles.values()]


@pytest.mark.parametrize(("name", "example"), [(cells[0], cells[-1]) for cells in table("profile")])
def test_example_of_a_profile_uses_it(name: str, example: str) -> None:
    """MAINT-4.6: The model named beside a profile is listed and uses it; without one, no model uses it."""
    if example.startswith("names like "):
        assert CATALOGUE.facts(example.split("`")[1]).profile == name
    elif example == "by setting only":
        assert name not in {model.profile for model in CATALOGUE.models.values()}
    else:
        assert CATALOGUE.models[example].profile == name


def test_efforts_are_those_of_the_program() -> None:
    """MAINT-4.6: The page has every reasoning effort with its factor and the resulting wait."""
    profile = CATALOGUE.profiles[CATALOGUE.models["gpt-5"].profile]
    expected = []
    for effort, factor in EFFORTS.items():
        wait = profile.ttft_mean_ms + reasoning_tokens(effort, 100) * profile.tbt_mean_ms
        expected.append([effort, f"{factor:g}", f"{wait / 1000:.1f} s"])

    assert table("`reasoning_effort`") == expected


@pytest.mark.parametrize(("model", "effort"), [("gpt-5", "medium"), ("gpt-5.1", "none")])
def test_default_efforts_on_the_page_are_right(model: str, effort: str) -> None:
    """MAINT-4.6: The defaults on the page are those of the catalogue."""
    prose = re.sub(r"\s+", " ", PAGE.read_text(encoding="utf-8"))

    assert f"`{effort}` for {model}" in prose
    assert CATALOGUE.models[model].default_effort == effort


def test_faults_on_the_wire_are_those_of_the_program() -> None:
    """FAULT-1.7: The page has the program's table: each fault, what it does and to what it applies."""
    text = PAGE.with_name("faults.md").read_text(encoding="utf-8")
    rows = [
        [cell.strip() for cell in line.split("|")[1:-1]] for line in text.splitlines() if "| yes |" in line
    ]
    expected = []
    for kind, effect in EFFECTS.items():
        marks = (effect.streams, effect.bodies, effect.messages, effect.is_direct, effect.has_place)
        words = ["yes" if mark else "" for mark in marks]
        expected.append([f"`{kind.value}`", effect.summary.rstrip("."), *words])

    assert rows == expected
