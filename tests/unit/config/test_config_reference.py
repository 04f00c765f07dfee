import tomllib
from pathlib import Path

import pytest

from llmsim.config import load, setting_specs
from llmsim.config.budget_settings import BudgetSettings
from llmsim.config.reference import render_example, update_tables
from llmsim.errors import ConfigError

PAGE = Path(__file__).parents[3] / "docs" / "configuration.md"


def test_reference_is_up_to_date() -> None:
    """CONF-4.5: The tables of the page are those of the program (`llmsim config --markdown FILE` rewrites them)."""
    page = PAGE.read_text(encoding="utf-8")

    assert page == update_tables(page)


def test_every_setting_is_in_the_reference() -> None:
    """CONF-4.5: The page has key, variable, flag and description of every setting."""
    page = PAGE.read_text(encoding="utf-8")

    for spec in setting_specs():
        assert f"| `{spec.key}` |" in page
        assert f"`{spec.env}`" in page
        assert spec.description in page
        assert spec.flag is None or f"`{spec.flag}`" in page


def test_messages_on_the_page_are_those_of_the_program(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """CONF-4.5: The error messages on the page are those that the program prints."""
    monkeypatch.chdir(tmp_path)
    Path("staging.toml").write_text("[server]\nprot = 1\n[errors]\ntimeout_rate = 5")

    with pytest.raises(ConfigError) as caught:
        load("staging.toml", environ={"LLMSIM_WORKERS": "many", "LLMSIM_LOGLEVEL": "debug"})

    page = PAGE.read_text(encoding="utf-8")
    assert all(line in page for line in str(caught.value).split("\n"))


def test_page_without_markers_is_rejected() -> None:
    """CONF-4.5: Tables are only written between markers."""
    with pytest.raises(ConfigError, match="lacks its markers"):
        update_tables("# A page\n")


def test_example_changes_nothing(tmp_path: Path) -> None:
    """CONF-4.4: The example file loads, and gives the defaults."""
    path = tmp_path / "llmsim.toml"
    path.write_text(render_example(), encoding="utf-8")

    assert load(path, environ={}).settings == load(environ={}).settings


def test_example_explains_every_setting() -> None:
    """CONF-4.4: Each setting is in its table with its default, or commented out if it is unset."""
    text = render_example()
    tables = tomllib.loads(text)

    for spec in setting_specs():
        assert spec.env in text
        if spec.default is None:
            assert f"\n# {spec.key} =\n" in text
        else:
            assert spec.key in tables[spec.section]
    assert max(map(len, text.splitlines())) <= 100


def test_the_security_page_has_every_budget() -> None:
    """CONF-4.5: A row for each setting of `[budgets]`."""
    page = PAGE.with_name("security.md").read_text(encoding="utf-8")
    rows = "\n".join(line for line in page.splitlines() if line.startswith("| "))

    assert [name for name in BudgetSettings.__struct_fields__ if f"`{name}`" not in rows] == []
