import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from llmsim.cli.config import config
from llmsim.config import Settings, load, setting_specs
from llmsim.config.reference import render_example, render_tables, update_tables
from llmsim.errors import ConfigError

Run = Callable[..., Result]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch) -> Run:
    """Return a function that runs `llmsim config` in a terminal of a given width, without the machine's variables."""
    for variable in [name for name in os.environ if name.startswith("LLMSIM_")]:
        monkeypatch.delenv(variable)
    for variable in ("FORCE_COLOR", "NO_COLOR", "TTY_COMPATIBLE"):
        monkeypatch.delenv(variable, raising=False)

    def run(*args: str, columns: int = 80, **environ: str) -> Result:
        return CliRunner().invoke(config, args, env={"COLUMNS": str(columns), **environ})

    return run


@pytest.mark.parametrize("columns", [80, 120])
def test_every_setting_is_shown_with_value_unit_and_origin(run: Run, columns: int, tmp_path: Path) -> None:
    """CONF-4.2: One line a setting, within the terminal's width."""
    path = tmp_path / "x.toml"
    path.write_text("[errors]\nrate_limit_rate = 0.25")

    result = run("--port", "81", "--config", str(path), LLMSIM_WORKERS="3", columns=columns)

    lines = {line.split()[0]: " ".join(line.split()) for line in result.output.splitlines() if line.strip()}
    assert result.exit_code == 0
    assert {spec.key for spec in setting_specs()} <= lines.keys()
    assert {f"[{section}]" for section in Settings.__struct_fields__} <= lines.keys()
    assert lines["max_body_bytes"].startswith("max_body_bytes 20_971_520 bytes default")
    assert lines["port"].startswith("port 81 flag --port")
    assert lines["workers"].startswith("workers 3 processes environment")
    assert lines["timeout_secs"].startswith("timeout_secs 60 s default")
    assert lines["rate_limit_rate"].startswith(f"rate_limit_rate 0.25 of requests {str(path)[:5]}")
    assert lines["seed"].startswith("seed unset default")
    assert f"3 of {len(setting_specs())} settings" in result.output.replace("\n", " ")
    assert max(map(len, result.output.splitlines())) <= columns


def test_narrow_terminal_names_the_variable_in_use(run: Run) -> None:
    """CONF-4.2: In 80 columns the origin names the variable; a wider terminal shows every variable and flag."""
    narrow = run(LLMSIM_ERRORS_TIMEOUT_RATE="0.5").output
    wide = run(LLMSIM_ERRORS_TIMEOUT_RATE="0.5", columns=160).output

    assert "LLMSIM_ERRORS_TIMEOUT_RATE" in narrow
    assert "LLMSIM_ERRORS_RATE_LIMIT_RATE" not in narrow
    assert all(spec.env in wide for spec in setting_specs())
    assert "--target-tokens" in wide


def test_settings_that_are_not_defaults_are_highlighted(run: Run) -> None:
    """CONF-4.2: On a terminal, a setting that is not a default is highlighted."""
    lines = run("--port", "81", FORCE_COLOR="1", TERM="xterm").output.splitlines()

    (port,) = [line for line in lines if " port " in line]
    host = next(line for line in lines if " host " in line)
    assert "\x1b[1;32m" in port
    assert "\x1b[1;32m" not in host


def test_json(run: Run) -> None:
    """CONF-4.3: Values and origins as one object, for programs."""
    shown = json.loads(run("--json", "--latency", "fast").output)

    assert set(shown) == {"settings", "origins"}
    assert shown["settings"]["latency"]["profile"] == "fast"
    assert shown["settings"]["latency"]["ttft_mean_ms"] is None
    assert shown["settings"]["models"]["available"] == []
    assert shown["origins"]["latency.profile"] == "flag --latency"
    assert set(shown["origins"]) == {spec.name for spec in setting_specs()}


def test_keys_are_not_shown(run: Run) -> None:
    """ACC-2.4: Neither the settings in force, nor their JSON, nor a mistake shows a key."""
    keys = {"LLMSIM_ADMIN_KEY": "s3cret", "LLMSIM_AUTH_KEYS": "s3cret-1,s3cret-2"}
    plain, shown = run(**keys), run("--json", **keys)
    settings = json.loads(shown.output)["settings"]

    assert "s3cret" not in plain.output + shown.output
    assert (settings["admin"]["key"], settings["auth"]["keys"]) == ("***", ["***", "***"])
    with pytest.raises(ConfigError) as caught:
        load(environ={}, flags={"auth.keys": ["s3cret", 7]})
    assert "s3cret" not in str(caught.value)


def test_example(run: Run) -> None:
    """CONF-4.4: The example is printed even if the environment has mistakes."""
    assert run("--example", LLMSIM_PROT="1").output == render_example()


def test_markdown_rewrites_the_tables_of_a_page(run: Run, tmp_path: Path) -> None:
    """CONF-4.5: The text between the markers is replaced, the rest is unchanged."""
    page = tmp_path / "page.md"
    before, after = (
        "# A\n<!-- settings: rewritten by `llmsim config --markdown FILE` -->\n",
        "\n<!-- end of settings -->\nend\n",
    )
    page.write_text(before + "old" + after, encoding="utf-8")

    assert run("--markdown", str(page)).exit_code == 0
    assert page.read_text(encoding="utf-8") == before + render_tables() + after
    assert update_tables(page.read_text(encoding="utf-8")) == page.read_text(encoding="utf-8")


@pytest.mark.parametrize("args", [["--port", "x"], ["--latency", "gtp5"], ["--config", "nowhere.toml"]])
def test_invalid_option_is_a_config_error(run: Run, args: list[str]) -> None:
    """CONF-2.8: Flags are checked like files and variables, not by click."""
    result = run(*args)

    assert isinstance(result.exception, ConfigError)
    assert not result.output


def test_help_describes_every_flag(run: Run) -> None:
    """CONF-4.6: Each flag is shown with its setting's description, default and variable."""
    text = " ".join(run("--help", columns=200).output.split())

    assert "--config FILE" in text
    assert "LLMSIM_CONFIG" in text
    for spec in setting_specs():
        if spec.flag is not None:
            assert spec.flag in text
            assert spec.description.replace("`", "") in text
            assert f"env: {spec.env}]" in text
