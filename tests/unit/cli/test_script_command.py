"""`llmsim script`: checking and showing script files."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from llmsim.cli import main

EXAMPLES = sorted((Path(__file__).parents[3] / "docs" / "examples").iterdir())


def run(*arguments: object) -> Result:
    return CliRunner(env={"COLUMNS": "80"}).invoke(
        main, ["script", *map(str, arguments)], catch_exceptions=False
    )


@pytest.fixture
def write(tmp_path: Path) -> Any:
    def write_file(name: str, text: str | dict[str, Any]) -> Path:
        path = tmp_path / name
        path.write_text(text if isinstance(text, str) else json.dumps(text))
        return path

    return write_file


class TestValidate:
    """`llmsim script validate`."""

    def test_the_examples_are_valid(self) -> None:
        """SCRIPT-6.4, SCRIPT-6.1: Each file of docs/examples can be played, in all three forms."""
        result = run("validate", *EXAMPLES)

        assert result.exit_code == 0
        assert {path.suffix for path in EXAMPLES} == {".json", ".toml", ".yaml"}
        assert [line.split(":")[0] for line in result.output.splitlines()] == [
            f"ok  {path}" for path in EXAMPLES
        ]

    def test_all_mistakes_of_all_files_are_reported(self, write: Any) -> None:
        """SCRIPT-6.1: Valid files are listed, mistakes follow, and the exit code is 2."""
        valid = write("valid.json", {"turns": [{"type": "assistant", "text": "a", "repeat": 3}]})
        one = write("one.json", {"turns": [{"type": "asistant"}, {"type": "assistant"}]})
        two = write("two.yaml", "turns:\n- type: error\n  kind: boom\n")

        result = run("validate", one, valid, two, "missing.toml")

        assert result.exit_code == 2
        assert f"ok  {valid}: 1 turn for 3 requests\n" in result.output
        for message in (
            f'{one}:1: turns[0].type: unknown word "asistant"; did you mean "assistant"?',
            f'{one}:1: turns[1]: "text" is missing: wanted a text',
            f'{two}:3: turns[0].kind: unknown word "boom". One of: rate_limit,',
            "missing.toml: cannot be read: No such file or directory",
        ):
            assert message in result.output

    def test_profiles_are_those_of_the_catalogue(self, write: Any) -> None:
        """SCRIPT-3.2: An unknown profile is reported with the nearest known one."""
        path = write("a.toml", "[[turns]]\ntype = 'assistant'\ntext = ''\nlatency = 'claude_opus'\n")

        assert (
            'turns[0].latency: unknown word "claude_opus"; did you mean "claude-opus"?'
            in run("validate", path).output
        )

    @pytest.mark.parametrize(
        ("name", "text"),
        [
            ("json", ' {"turns": [{"type": "assistant", "text": "a"}]}'),
            ("yaml", "# a comment\nturns:\n- type: assistant\n  text: a = b\n"),
            ("toml", "# a comment\nname = 'a: b'\n[[turns]]\ntype = 'assistant'\ntext = 'a'\n"),
            ("tables", "[[turns]]\ntype = 'assistant'\ntext = 'a'\n"),
        ],
    )
    def test_the_format_is_guessed(self, write: Any, name: str, text: str) -> None:
        """SCRIPT-6.3: The format of a file without a suffix is guessed from its content."""
        assert run("validate", write(name, text)).exit_code == 0

    def test_a_guessed_format_is_reported(self, write: Any) -> None:
        """SCRIPT-6.3: The mistakes of a file without a suffix include the guessed format, which may be wrong."""
        result = run("validate", write("script", "{turns: []}"))

        assert (
            "taken for JSON, as it has no suffix; name it .json, .toml, .yaml, .yml if it is not"
            in result.output
        )
        assert "not JSON" in result.output

    def test_an_unknown_suffix_is_rejected(self, write: Any) -> None:
        """SCRIPT-6.3: Only the suffixes of the three formats are accepted."""
        assert (
            "unknown format .txt. One of: .json, .toml, .yaml, .yml"
            in run("validate", write("a.txt", "{}")).output
        )


class TestPages:
    """The examples of the documentation."""

    PAGE = (Path(__file__).parents[3] / "docs" / "scripted-mode.md").read_text(encoding="utf-8")

    def test_scripts_on_the_page_are_valid(self, write: Any) -> None:
        """SCRIPT-6.4: The scripts on the page can be played."""
        blocks = re.findall(r"```json\n(.*?)```", self.PAGE, re.DOTALL)

        assert len(blocks) == 3
        for number, block in enumerate(blocks):
            assert run("validate", write(f"{number}.json", block)).exit_code == 0

    def test_messages_on_the_page_are_those_of_the_program(self, write: Any) -> None:
        """SCRIPT-3.2: The page's example of mistakes is what a user sees."""
        lines = [
            "{", '  "turns": [',
            '    { "type": "tool_call", "calls": [{ "name": "bash" }] },',
            "    {", '      "type": "tool_calls",', '      "calls": [',
            '        { "name": "bash", "argument": { "command": "ls" } }',
            "      ]", "    }", "  ]", "}",
        ]  # fmt: skip
        path = write("agent.json", "\n".join(lines))

        output = run("validate", path).output.replace(str(path), "agent.json").removeprefix("Error: ")

        assert output in self.PAGE

    def test_output_of_show_on_the_page_is_real(self) -> None:
        """SCRIPT-6.2: The page's example of `show` is what a user sees."""
        first = next(path for path in EXAMPLES if path.name == "first.json")

        shown = run("show", first).output.replace(str(first), "first.json")

        assert "\n".join(line.strip() for line in shown.splitlines()) in "\n".join(
            line.strip() for line in self.PAGE.splitlines()
        )


class TestShow:
    """`llmsim script show`."""

    @pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.name)
    def test_examples_fit_80_columns(self, example: Path) -> None:
        """SCRIPT-6.2, SCRIPT-6.4: No line is longer than the terminal is wide."""
        result = run("show", example)

        assert result.exit_code == 0
        assert all(len(line) <= 80 for line in result.output.splitlines())
        assert "request 1" in result.output

    def test_everything_is_shown(self, write: Any) -> None:
        """SCRIPT-6.2: Each request with every key of its turn."""
        latency = {"ttft_ms": 20, "itl_ms": 1.5}
        path = write(
            "all.json",
            {
                "name": "all",
                "description": "It has it all.",
                "on_exhausted": "loop",
                "turns": [
                    {
                        "type": "mixed",
                        "text": "Said.",
                        "reasoning": "Thought.",
                        "calls": [{"name": "f", "arguments": {"a": 1}, "id": "call_7"}, {"name": "g"}],
                        "finish_reason": "length",
                        "usage": {"prompt_tokens": 1234},
                        "latency": latency,
                        "delay_ms": 250,
                        "repeat": 2,
                        "stream_fault": {"kind": "error", "after_tokens": 2, "message": "Oops"},
                        "expect": {
                            "model": "gpt-*",
                            "contains": "Paris",
                            "stream": True,
                            "message_count": 3,
                            "system_contains": "agent",
                            "tool_result": [{"call": "f", "equals": "1"}, {"call": "g"}],
                        },
                    },
                    {
                        "type": "error",
                        "kind": "other",
                        "status_code": 502,
                        "message": "boom",
                        "retry_after_ms": 5,
                    },
                ],
            },
        )

        output = run("show", path).output

        for shown in (
            "all  ·  2 turns for 3 requests", "It has it all.", "requests 1 to 2  turns[0], mixed", "model gpt-*",
            "a stream", "3 messages", 'the system to say "agent"', 'the user to say "Paris"',
            'the result of f to be "1"', "a result of g", "250 ms", "20 ± 0 ms to the first token, 1.5 ± 0 ms between",
            "thinks    Thought.", "says      Said.", 'calls     f  {"a":1}', "as call_7", "calls     g  {}",
            "as …_llmsim_0_1", "after 2 tokens: server error: Oops", "with length", "1,234 prompt tokens",
            "request 3  turns[1], error", "other, with status 502, to be retried after 5 ms: boom",
            "then the script starts again",
        ):  # fmt: skip
            assert shown in output, shown

    def test_a_script_cannot_control_the_terminal(self, write: Any) -> None:
        """SCRIPT-6.2: Unprintable characters are replaced in names, texts and arguments; markup is text."""
        bad = "a\x1b[31mb\x07\r[bold]c"
        turns = [{"type": "mixed", "text": bad, "calls": [{"name": bad, "arguments": bad, "id": bad}]}]
        path = write("bad.json", {"name": bad, "description": bad, "turns": turns})

        output = run("show", path).output

        assert not set("\x1b\x07\r") & set(output)
        assert output.count("a�[31mb��[bold]c") == 6

    def test_long_texts_are_cut(self, write: Any) -> None:
        """SCRIPT-6.2: The beginning of a long text is shown, and the rest is counted."""
        path = write("long.json", {"turns": [{"type": "assistant", "text": "word " * 20_000}]})

        output = run("show", path).output

        assert "… (98,500 characters more)" in output
        assert len(output) < 4_000

    def test_an_invalid_script_is_not_shown(self, write: Any) -> None:
        """SCRIPT-6.1: The mistakes are reported instead, with exit code 2."""
        result = run("show", write("none.json", {"turns": []}))

        assert result.exit_code == 2
        assert "at least one" in result.output


def test_show_says_which_requests_a_script_is_for(write: Any) -> None:
    """SCRIPT-8.5: For the whole script and for a turn, in the words of expectations."""
    turn = {"type": "assistant", "text": "a", "when": {"last_role": "tool", "tools_offered": False}}
    path = write("side.json", {"turns": [turn], "when": {"tools_offered": True, "model": "gpt-*"}})

    output = run("show", path).output

    assert "only for model gpt-*; any tools" in output
    assert "  only for  no tools" in output
    assert "  only for  a last message of role tool" in output


def test_mistakes_in_when_are_reported(write: Any) -> None:
    """SCRIPT-8.1: As those of an expectation are."""
    turn = {"type": "assistant", "text": "a", "when": {"last_role": "tol", "modell": "x"}}
    path = write("side.json", {"turns": [turn], "when": {"tools_offered": 3}})

    output = run("validate", path).output

    assert 'turns[0].when.last_role: unknown word "tol"; did you mean "tool"?' in output
    assert 'turns[0].when.modell: unknown key; did you mean "model"?' in output
    assert "when.tools_offered: wanted a text or a list of texts, none of them empty, found 3" in output
