"""Tiers and keys: tables with names of the user's own."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from llmsim.cli import main
from llmsim.config import Settings, TierLimits, load
from llmsim.errors import ConfigError

GOOD = """\
[limits]
default = "free"
[limits.tiers.free]
rpm = 3
tpm = 40_000
[limits.tiers.free.models."gpt-5*"]
rpm = 1
[limits.tiers.pro]
concurrency = 8
[limits.keys]
sk-abc = "pro"
"""


def settings(tmp_path: Path, text: str, **environ: str) -> Settings:
    path = tmp_path / "limits.toml"
    path.write_text(text, encoding="utf-8")
    return load(path, environ=environ).settings


def test_tiers_and_keys_are_read(tmp_path: Path) -> None:
    """LIM-1.1: Each limit of a tier is read; what is left out is not limited."""
    limits = settings(tmp_path, GOOD).limits

    assert (limits.tiers["free"].rpm, limits.tiers["free"].tpm, limits.tiers["free"].rpd) == (3, 40_000, None)
    assert limits.tiers["free"].models == {"gpt-5*": TierLimits(rpm=1)}
    assert limits.tiers["pro"].concurrency == 8
    assert (limits.keys, limits.default) == ({"sk-abc": "pro"}, "free")


def test_variable_holds_a_table(tmp_path: Path) -> None:
    """LIM-1.1: A variable has the table as TOML writes it in one line, and replaces that of the file."""
    limits = settings(tmp_path, GOOD, LLMSIM_LIMITS_TIERS="{free = {rpm = 7}, pro = {}}").limits

    assert limits.tiers["free"].rpm == 7
    assert limits.tiers["free"].models == {}


@pytest.mark.parametrize(
    ("before", "after", "problem"),
    [
        ("rpm = 3", "rmp = 3", 'limits.tiers.free: unknown key "rmp"; did you mean "rpm"?'),
        ("rpm = 1", "tpn = 1", 'limits.tiers.free.models."gpt-5*": unknown key "tpn"; did you mean "tpm"?'),
        ("rpm = 3", "rpm = 0", "limits.tiers.free.rpm: wanted a whole number from 1 to 100_000_000, found 0"),
        ("rpm = 3", "rpm = true", "limits.tiers.free.rpm: wanted a whole number"),
        ("limits.tiers.pro", "limits.teirs.pro", '[limits] teirs: unknown key; did you mean "tiers"?'),
        ('default = "free"', 'default = "fre"', 'limits.default: unknown tier "fre"; did you mean "free"?'),
        ('= "pro"', '= "prro"', 'limits.keys: unknown tier "prro"; did you mean "pro"? One of: free, pro'),
        ('= "pro"', "= 7", "limits.keys.***: wanted non-empty text, found something else"),
        (
            "[limits.tiers.pro]\nconcurrency = 8",
            "[limits.tiers]\npro = 8",
            "limits.tiers.pro: wanted a table",
        ),
    ],
)
def test_mistake_names_the_nearest_right_one(tmp_path: Path, before: str, after: str, problem: str) -> None:
    """LIM-1.4: The place, what was found and what would do; never an API key."""
    with pytest.raises(ConfigError) as caught:
        settings(tmp_path, GOOD.replace(before, after))

    assert problem in str(caught.value)
    assert "sk-abc" not in str(caught.value)


def test_all_mistakes_are_reported_at_once(tmp_path: Path) -> None:
    """LIM-1.4: One line for each, and none for what follows from another."""
    with pytest.raises(ConfigError) as caught:
        settings(tmp_path, GOOD.replace("rpm = 3", "rmp = 3").replace("rpm = 1", "rpm = -1"))

    assert len(str(caught.value).splitlines()) == 2


def test_keys_are_not_shown(tmp_path: Path) -> None:
    """LIM-1.4: `llmsim config` shows the tiers, and of the keys that there are some."""
    path = tmp_path / "limits.toml"
    path.write_text(GOOD, encoding="utf-8")
    plain, shown = (
        CliRunner().invoke(main, ["config", "--config", str(path), *more]) for more in ([], ["--json"])
    )

    limits = json.loads(shown.output)["settings"]["limits"]
    assert limits["keys"] == "***"
    assert limits["tiers"]["free"] == {"rpm": 3, "tpm": 40_000, "models": {"gpt-5*": {"rpm": 1}}}
    assert "sk-abc" not in plain.output + shown.output
    assert "rpm = 3" in plain.output
