import tomllib
from pathlib import Path

import pytest

from llmsim.config import knobs, load
from llmsim.config.reference import example, with_tables
from llmsim.errors import ConfigError

PAGE = Path(__file__).parents[3] / "docs" / "configuration.md"


def test_reference_is_up_to_date() -> None:
    """CONF-4.5: The tables of the page are those of the program (`llmsim config --markdown FILE` rewrites them)."""
    page = PAGE.read_text(encoding="utf-8")

    assert page == with_tables(page)


def test_every_setting_is_in_the_reference() -> None:
    """CONF-4.5: Key, variable, flag and meaning of every setting stand on the page."""
    page = PAGE.read_text(encoding="utf-8")

    for knob in knobs():
        assert f"| `{knob.key}` |" in page
        assert f"`{knob.env}`" in page
        assert knob.meaning in page
        assert knob.flag is None or f"`{knob.flag}`" in page


def test_mistakes_on_the_page_are_told_as_they_are_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """CONF-4.5: The messages shown to a reader are those the program gives."""
    monkeypatch.chdir(tmp_path)
    Path("staging.toml").write_text("[server]\nprot = 1\n[errors]\ntimeout_rate = 5")

    with pytest.raises(ConfigError) as refusal:
        load("staging.toml", environ={"LLMSIM_WORKERS": "many", "LLMSIM_LOGLEVEL": "debug"})

    page = PAGE.read_text(encoding="utf-8")
    assert all(line in page for line in str(refusal.value).split("\n"))


def test_page_without_markers_is_left_alone() -> None:
    """CONF-4.5: Tables are not put where nobody asked for them."""
    with pytest.raises(ConfigError, match="lacks its markers"):
        with_tables("# A page\n")


def test_example_changes_nothing(tmp_path: Path) -> None:
    """CONF-4.4: The example file loads, and to the defaults."""
    path = tmp_path / "llmsim.toml"
    path.write_text(example(), encoding="utf-8")

    assert load(path, environ={}).settings == load(environ={}).settings


def test_example_explains_every_setting() -> None:
    """CONF-4.4: Each setting stands in its table with its default, or commented where it is unset."""
    text = example()
    tables = tomllib.loads(text)

    for knob in knobs():
        assert knob.env in text
        if knob.default is None:
            assert f"\n# {knob.key} =\n" in text
        else:
            assert knob.key in tables[knob.section]
    assert max(map(len, text.splitlines())) <= 100
