"""The command line as a whole, and `llmsim tokens`."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from click.shell_completion import ShellComplete
from click.testing import CliRunner, Result

from llmsim.cli import main
from llmsim.planning.tokens import load_tokenizer

COMMANDS = "serve stats top loadtest models profiles tokens config set script scenario sessions clients explain doctor".split()


@pytest.fixture(autouse=True)
def _no_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    """Remove the developer's own variables."""
    for name in list(os.environ):
        if name.startswith("LLMSIM_"):
            monkeypatch.delenv(name)


def run(*arguments: str, given: str | None = None) -> Result:
    return CliRunner().invoke(main, arguments, input=given, catch_exceptions=False)


def test_help_lists_every_command() -> None:
    """CONF-4.6: `llmsim --help` lists each command with a description, and how to start."""
    result = run("--help")

    assert result.exit_code == 0
    for name in COMMANDS:
        assert any(
            line.split()[:1] == [name] and len(line.split()) > 2 for line in result.output.splitlines()
        ), name
    assert "llmsim serve" in result.output


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help(command: str) -> None:
    """CONF-4.6: Each command has a help text."""
    result = run(command, "--help")

    assert result.exit_code == 0
    assert result.output.startswith(f"Usage: main {command}")


def _groups(command: click.Command, *path: str) -> Iterator[tuple[str, ...]]:
    """Return the words of each group of commands."""
    if isinstance(command, click.Group):
        yield path
        context = click.Context(command)
        for name in command.list_commands(context):
            found = command.get_command(context, name)
            assert found is not None
            yield from _groups(found, *path, name)


@pytest.mark.parametrize("words", list(_groups(main)), ids=lambda words: " ".join(words) or "llmsim")
def test_no_description_in_a_list_of_commands_is_cut_short(words: tuple[str, ...]) -> None:
    """CLI-1.4: In 80 columns each command's description is there to its full stop."""
    result = CliRunner().invoke(main, [*words, "--help"], terminal_width=80)

    listed = result.output.partition("Commands:\n")[2].partition("\n\n")[0].splitlines()
    assert listed
    for line in listed:
        assert line.endswith("."), line
        assert not line.endswith("..."), line
        assert len(line) <= 80, line


def test_an_unknown_command_is_rejected() -> None:
    """CONF-2.1: A misspelt command is rejected by name, with exit code 2."""
    result = run("sevre")

    assert result.exit_code == 2
    assert "sevre" in result.output


def test_an_invalid_setting_is_a_message_and_exit_code_2(tmp_path: Path) -> None:
    """CONF-2.1: A configuration error is printed on stderr, one problem a line, without a traceback; the exit code is 2."""
    path = tmp_path / "llmsim.toml"
    path.write_text("[server]\nprot = 1\n", encoding="utf-8")
    for command in (
        ("config", "--config", str(path)),
        ("serve", "--config", str(path)),
        ("serve", "--port", "x"),
    ):
        result = run(*command)

        assert result.exit_code == 2
        assert result.stderr.startswith("Error: ")
        assert "Traceback" not in result.output
        assert result.stdout == ""


def test_absent_stats_are_a_message_and_exit_code_1() -> None:
    """STATS-8.3: If there are no stats to read, one line on stderr says so, and the exit code is 1."""
    result = run("stats", "--port", "1")

    assert result.exit_code == 1
    assert result.stderr.startswith("Error: ")
    assert len(result.stderr.splitlines()) == 1
    assert "port 1" in result.stderr


def test_a_bug_keeps_its_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    """ARCH-1.5: Only errors of llmsim become messages."""

    def fail(*_: object) -> None:
        raise RuntimeError("boom")

    monkeypatch.setattr("llmsim.cli.tokens.load_tokenizer", fail)

    with pytest.raises(RuntimeError, match="boom"):
        run("tokens", "Hello")


def test_commands_are_imported_when_they_are_called() -> None:
    """ARCH-3.2: `--version` imports neither server, nor tokenizer, nor rich."""
    program = (
        "import sys; from llmsim.cli import main; main(['--version'], standalone_mode=False);"
        "print(sorted({'falcon','uvicorn','tiktoken','rich','gunicorn'} & set(sys.modules)))"
    )
    completed = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)

    assert completed.stdout.splitlines()[-1] == "[]"


def test_the_program_is_installed_and_a_module() -> None:
    """ARCH-3.1: `python -m llmsim` is the same program."""
    completed = subprocess.run(
        [sys.executable, "-m", "llmsim", "--version"], capture_output=True, text=True, check=True
    )

    assert completed.stdout == run("--version").output


class TestTokens:
    """`llmsim tokens`."""

    def test_a_text_is_counted_and_split(self) -> None:
        """CHAT-3.5: The pieces of a stream are shown, with the number of tokens."""
        result = run("tokens", "Hello wonderful 🦜 world")
        passage = load_tokenizer("o200k_base").tokenize("Hello wonderful 🦜 world")

        assert result.exit_code == 0
        lines = result.output.splitlines()
        assert lines[0] == "|".join(passage.pieces)
        assert lines[1].split() == [
            str(passage.tokens),
            "tokens,",
            str(len(passage.pieces)),
            "pieces,",
            "23",
            "characters",
        ]
        assert "o200k_base" in lines[2]

    @pytest.mark.parametrize(
        ("model", "name"), [("gpt-4o", "o200k_base"), ("gpt-4", "cl100k_base"), ("x", "cl100k_base")]
    )
    def test_the_models_tokenizer_is_used(self, model: str, name: str) -> None:
        """CHAT-2.6: Any model name is accepted, and its tokenizer is used."""
        text = "Antidisestablishmentarianism, naïvely: 日本語"
        printed = json.loads(run("tokens", "--json", "--model", model, text).output)

        passage = load_tokenizer(name).tokenize(text)
        assert printed == {
            "model": model,
            "tokenizer": name,
            "tokens": passage.tokens,
            "pieces": list(passage.pieces),
        }

    def test_without_a_text_standard_input_is_read(self) -> None:
        """CHAT-2.6: A long text can be piped in."""
        printed = json.loads(run("tokens", "--json", given="Hello world\n").output)

        assert printed["pieces"] == ["Hello", " world", "\n"]

    def test_an_empty_text_has_no_tokens(self) -> None:
        """CHAT-2.6: An empty text has 0 tokens."""
        assert json.loads(run("tokens", "--json", "").output)["tokens"] == 0

    def test_markup_is_text(self) -> None:
        """CHAT-3.5: Text that looks like rich markup is shown as it is."""
        assert "[bold]" in run("tokens", "[bold]x[/bold]").output.replace("|", "")


def test_other_modules_are_not_commands() -> None:
    """CONF-2.1: Other modules of the package are not commands."""
    context = click.Context(main)

    assert main.get_command(context, "options") is None  # type: ignore[attr-defined]
    assert main.list_commands(context) == COMMANDS  # type: ignore[attr-defined]


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "ascii:strict"])
@pytest.mark.parametrize(
    "arguments", [["profiles"], ["script", "show", "{script}"], ["--help"], ["models"], ["config"], ["stats"]]
)
def test_any_terminal_will_do(encoding: str, arguments: list[str], tmp_path: Path) -> None:
    """CONF-4.7: A terminal that is not UTF-8 gets other characters in the place of those that it lacks; no command fails."""
    script = tmp_path / "script.json"
    script.write_text(json.dumps({"turns": [{"type": "assistant", "text": "\u2026 \u4f60\u597d"}]}))
    environment = {"PYTHONIOENCODING": encoding, "LC_ALL": "C", "LLMSIM_PORT": "1"}
    shown = subprocess.run(
        [sys.executable, "-m", "llmsim", *(one.format(script=script) for one in arguments)],
        env=os.environ | environment,
        capture_output=True,
        check=False,
        timeout=60,
    )

    assert b"Traceback" not in shown.stderr
    assert shown.returncode == (1 if arguments == ["stats"] else 0), shown.stderr


def test_a_view_of_stats_fits_any_terminal() -> None:
    """CONF-4.7: So do bars and marks of the view of stats."""
    program = "import llmsim.cli as cli, sys; cli._accept_any_encoding(); print('\u25cf \u00b7 \u2581\u2588 \u2026 \u4f60')"
    shown = subprocess.run(
        [sys.executable, "-c", program],
        env=os.environ | {"PYTHONIOENCODING": "ascii"},
        capture_output=True,
        check=True,
        timeout=60,
    )

    assert shown.stdout == b"* - _# . ?\n"


@pytest.mark.parametrize(
    ("arguments", "incomplete", "completed"),
    [
        (["serve", "--request-log"], "", ["off", "text", "json"]),
        (["serve", "--latency"], "gpt-4", ["gpt-4", "gpt-4o"]),
        (["config", "--generator"], "l", []),
        (["serve", "--config"], "my", ["my"]),
        (["explain", "--rules"], "my", ["my"]),
        (["serve", "--scripts-dir"], "my", ["my"]),
    ],
)
def test_values_are_completed(arguments: list[str], incomplete: str, completed: list[str]) -> None:
    """CLI-1.6: Choices and profiles are known; a file is given back as it was begun, for the shell to go on."""
    completion = ShellComplete(main, {}, "llmsim", "_LLMSIM_COMPLETE")
    items = completion.get_completions(arguments, incomplete)

    assert sorted(item.value for item in items) == sorted(completed)
    assert all(item.type != "plain" for item in items) == (completed == ["my"] or not completed)
