"""`llmsim scenario`: checking files of scenarios."""

import json
from pathlib import Path

from click.testing import CliRunner, Result

from llmsim.cli import main


def run(*arguments: object) -> Result:
    return CliRunner(env={"COLUMNS": "80"}).invoke(
        main, ["scenario", *map(str, arguments)], catch_exceptions=False
    )


def test_valid_scenarios_are_named() -> None:
    """SCEN-1.5: With their steps and what they are for."""
    result = run("check", "builtin")

    assert result.exit_code == 0
    assert len(result.output.splitlines()) == 9
    assert "ok  research-3-tools: 4 steps  An agent that" in result.output


def test_mistakes_are_reported(tmp_path: Path) -> None:
    """SCEN-1.5: Of all files, with line, path, what was found and the nearest right value; the exit code is 2."""
    valid, wrong = tmp_path / "valid.json", tmp_path / "wrong.json"
    valid.write_text(json.dumps({"name": "a", "steps": [{"turn": {"type": "assistant", "text": "x"}}]}))
    wrong.write_text('{\n "name": "b",\n "steps": [{"turn": {"type": "assistant", "lorem_token": 3}}]\n}')

    result = run("check", wrong, valid, tmp_path / "none")

    assert result.exit_code == 2
    assert "ok  a: 1 step\n" in result.output
    assert f'{wrong}:3: steps[0].turn.lorem_token: unknown key; did you mean "lorem_tokens"?' in result.output
    assert f"{tmp_path / 'none'}: cannot be read" in result.output


def test_the_page_is_true(tmp_path: Path) -> None:
    """SCEN-1.5, SCEN-1.2: The file on the page is valid, and the mistakes are what a user sees."""
    page = (Path(__file__).parents[3] / "docs" / "scenarios.md").read_text(encoding="utf-8")
    example, wrong = tmp_path / "example.json", tmp_path / "wrong.json"
    example.write_text(page.partition("```json\n")[2].partition("```")[0])
    wrong.write_text(
        '{\n  "name": "a",\n  "steps": [{ "turn": { "type": "assistant", "lorem_token": 3 } }]\n}\n'
    )

    assert run("check", example).output.startswith("ok  look-then-write: 3 steps")
    assert run("check", wrong).output.replace(str(tmp_path) + "/", "") in page
