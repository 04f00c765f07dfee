"""The parser of scripts: valid scripts, and reports of mistakes."""

import json
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from llmsim.domain import FaultKind, FinishReason, WireFaultKind
from llmsim.errors import ScriptError
from llmsim.scripts import (
    FORMS,
    Expectation,
    OnExhausted,
    ResultExpectation,
    Script,
    ScriptCall,
    ScriptFailure,
    ScriptFormat,
    ScriptLatency,
    ScriptStreamFault,
    ScriptTurn,
    ScriptUsage,
    TextExpectation,
    TurnKind,
    read,
)

ORIGINAL = """
{
  "on_exhausted": "error",
  "turns": [
    {"type": "assistant", "text": "Hello"},
    {"type": "tool_calls", "calls": [{"name": "bash", "arguments": {"command": "ls  -l"}}]},
    {"type": "mixed", "text": "Running ls", "calls": [{"name": "bash", "arguments": [1, null], "id": "call_42"}]},
    {"type": "error", "kind": "rate_limit"},
    {"type": "error", "kind": "timeout"},
    {"type": "error", "kind": "invalid_request", "message": "bad args"},
    {"type": "error", "kind": "other", "message": "boom", "status_code": 502}
  ]
}
"""
"""Every kind of turn and error that the Rust project knows."""


def reads(value: Any, **options: Any) -> Script:
    return read(json.dumps(value).encode(), "json", "s.json", **options)


def turn(**keys: Any) -> ScriptTurn:
    return reads({"turns": [{"type": "assistant", "text": "Hi"} | keys]}).turns[0]


def problems(text: str | bytes, form: ScriptFormat = "json") -> tuple[str, ...]:
    with pytest.raises(ScriptError) as refused:
        read(
            text if isinstance(text, bytes) else text.encode(), form, f"s.{form}", profiles=["fast", "gpt-5"]
        )
    assert str(refused.value) == "\n".join(refused.value.problems)
    return refused.value.problems


def problems_of(*turns: Any, **keys: Any) -> list[str]:
    found = problems(json.dumps({"turns": list(turns)} | keys))
    return [words.removeprefix("s.json:1: ") for words in found]


def read_or_problems(data: bytes, form: ScriptFormat) -> Script | tuple[str, ...]:
    try:
        return read(data, form, "any")
    except ScriptError as error:
        return error.problems


class TestValidScripts:
    """Scripts that can be played."""

    def test_scripts_of_the_rust_project_are_valid(self) -> None:
        """SCRIPT-1.2: Each of its kinds of turns and errors has the same meaning."""
        script = read(ORIGINAL.encode(), "json", "s.json")

        assert script == Script(
            name="s.json",
            on_exhausted=OnExhausted.ERROR,
            turns=(
                ScriptTurn(kind=TurnKind.ASSISTANT, text="Hello"),
                ScriptTurn(kind=TurnKind.TOOL_CALLS, calls=(ScriptCall("bash", '{"command":"ls  -l"}'),)),
                ScriptTurn(
                    kind=TurnKind.MIXED, text="Running ls", calls=(ScriptCall("bash", "[1,null]", "call_42"),)
                ),
                ScriptTurn(kind=TurnKind.ERROR, failure=ScriptFailure(FaultKind.RATE_LIMIT)),
                ScriptTurn(kind=TurnKind.ERROR, failure=ScriptFailure(FaultKind.TIMEOUT)),
                ScriptTurn(kind=TurnKind.ERROR, failure=ScriptFailure(FaultKind.INVALID_REQUEST, "bad args")),
                ScriptTurn(kind=TurnKind.ERROR, failure=ScriptFailure(None, "boom", 502)),
            ),
        )

    def test_the_last_turn_is_repeated_by_default(self) -> None:
        """SCRIPT-2.3: Without `on_exhausted` it is `repeat_last`."""
        assert reads({"turns": [{"type": "assistant", "text": ""}]}).on_exhausted is OnExhausted.REPEAT_LAST

    def test_all_formats_are_equivalent(self) -> None:
        """SCRIPT-1.1: JSON, TOML and YAML are read alike."""
        as_json = {
            "name": "three",
            "description": "Two lines\nof text",
            "on_exhausted": "loop",
            "turns": [
                {
                    "type": "tool_calls",
                    "calls": [{"name": "f", "arguments": {"a": 1, "b": [True, 2.5, "ü"]}}],
                },
                {"type": "error", "kind": "overloaded", "retry_after_ms": 20},
            ],
        }
        as_toml = '''
            name = "three"
            description = """
Two lines
of text"""
            on_exhausted = "loop"
            [[turns]]
            type = "tool_calls"
            [[turns.calls]]
            name = "f"
            arguments = { a = 1, b = [true, 2.5, "ü"] }
            [[turns]]
            type = "error"
            kind = "overloaded"
            retry_after_ms = 20
        '''
        as_yaml = """
name: three
description: |-
  Two lines
  of text
on_exhausted: loop
turns:
  - type: tool_calls
    calls:
      - {name: f, arguments: {a: 1, b: [true, 2.5, ü]}}
  - {type: error, kind: overloaded, retry_after_ms: 20}
"""

        script = reads(as_json)

        assert script.name == "three"
        assert read(as_toml.encode(), "toml", "x") == script
        assert read(as_yaml.encode(), "yaml", "y") == script

    def test_arguments_as_text_are_sent_unchanged(self) -> None:
        """SCRIPT-1.3: Arguments are encoded compactly, unless they are a text; without any they are empty."""
        calls = [
            {"name": "a", "arguments": '{"city": "Par'},
            {"name": "b"},
            {"name": "c", "arguments": {"z": 1, "a": "é\n"}},
        ]

        made = turn(type="mixed", calls=calls)

        assert [call.arguments for call in made.calls] == ['{"city": "Par', "{}", '{"z":1,"a":"é\\n"}']

    def test_a_turn_with_all_settings(self) -> None:
        """SCRIPT-1.4: Reasoning, finish reason, usage, latency, delay, a fault in the stream, repeats."""
        made = turn(
            reasoning="Hm.",
            finish_reason="content_filter",
            usage={"prompt_tokens": 7, "cached_tokens": 7, "completion_tokens": 0},
            latency={"ttft_ms": 20, "itl_ms": 1.5, "itl_stddev_ms": 0.5},
            delay_ms=250,
            stream_fault={"kind": "stall", "after_tokens": 3, "for_ms": 900},
            repeat=2,
        )

        assert made == ScriptTurn(
            kind=TurnKind.ASSISTANT,
            text="Hi",
            reasoning="Hm.",
            finish_reason=FinishReason.CONTENT_FILTER,
            usage=ScriptUsage(prompt_tokens=7, completion_tokens=0, cached_tokens=7),
            latency=ScriptLatency(20.0, 1.5, itl_stddev_ms=0.5),
            delay_ms=250.0,
            stream_fault=ScriptStreamFault(WireFaultKind.STALL, 3, for_ms=900.0),
            repeat=2,
        )
        assert turn(text=None, refusal="No.").refusal == "No."
        assert turn(latency="fast").latency == "fast"
        broken = {"kind": "error", "after_tokens": 0, "error": "overloaded", "message": "Too much"}
        assert turn(stream_fault=broken).stream_fault == ScriptStreamFault(
            WireFaultKind.ERROR, 0, FaultKind.OVERLOADED, "Too much"
        )

    def test_a_turn_with_all_expectations(self) -> None:
        """SCRIPT-1.4: Expectations, one or several of a kind."""
        made = turn(
            expect={
                "model": "gpt-*",
                "contains": "Paris",
                "matches": "(?i)weather",
                "anywhere": True,
                "tool_result": [{"call": "bash", "contains": ["a", "b"]}, {"call": "call_1", "equals": "ok"}],
                "tools_offered": ["bash"],
                "message_count": {"min": 2},
                "system_contains": "agent",
                "stream": False,
            }
        )

        assert made.expect == Expectation(
            model="gpt-*",
            last_user_message=TextExpectation(contains=("Paris",), matches="(?i)weather"),
            anywhere=True,
            tool_results=(
                ResultExpectation("bash", TextExpectation(contains=("a", "b"))),
                ResultExpectation("call_1", TextExpectation(equals="ok")),
            ),
            tools_offered=("bash",),
            fewest_messages=2,
            system_contains=("agent",),
            stream=False,
        )
        exact = turn(expect={"message_count": 3, "tool_result": {"call": "f"}}).expect
        assert exact == Expectation(
            fewest_messages=3, most_messages=3, tool_results=(ResultExpectation("f"),)
        )

    def test_yaml_has_no_surprises(self) -> None:
        """SCRIPT-1.5: Words and times remain texts, as in YAML 1.2; anchors may be used."""
        script = read(
            b"turns:\n"
            b"- &one {type: tool_calls, calls: [{name: no, arguments: {at: 12:30, on: 2024-01-01, n: 010, x: 0x10}}]}\n"
            b"- *one\n",
            "yaml",
            "y",
        )

        assert script.turns[0].calls[0] == ScriptCall("no", '{"at":"12:30","on":"2024-01-01","n":10,"x":16}')
        assert script.turns[1] == script.turns[0]


class TestMistakes:
    """Scripts that cannot be played."""

    def test_all_mistakes_are_reported_with_line_and_path(self) -> None:
        """SCRIPT-3.1, SCRIPT-3.2: One line a problem: name, line, path, what was found, the nearest right word."""
        text = (
            '{"on_exhausted": "repeat-last",\n'
            ' "turns": [\n'
            '  {"type": "assistent", "text": "a"},\n'
            '  {"type": "tool_calls",\n'
            '   "calls": [{"name": "",\n'
            '              "arguements": {}}]},\n'
            '  {"type": "error", "kind": "rate-limit"},\n'
            '  {"type": "assistant", "text": 5, "latency": "gpt5"},\n'
            "  7],\n"
            ' "titel": 1}'
        )

        assert problems(text) == (
            's.json:1: on_exhausted: unknown word "repeat-last"; did you mean "repeat_last"?',
            's.json:3: turns[0].type: unknown word "assistent"; did you mean "assistant"?',
            's.json:5: turns[1].calls[0].name: wanted a text that is not empty, found ""',
            's.json:6: turns[1].calls[0].arguements: unknown key; did you mean "arguments"?',
            's.json:7: turns[2].kind: unknown word "rate-limit"; did you mean "rate_limit"?',
            "s.json:8: turns[3].text: wanted a text, found 5",
            's.json:8: turns[3].latency: unknown word "gpt5"; did you mean "gpt-5"?',
            "s.json:9: turns[4]: wanted a table, found 7",
            "s.json:10: titel: unknown key. One of: name, description, on_exhausted, turns, when",
        )

    def test_yaml_has_lines_too(self) -> None:
        """SCRIPT-3.1: As in JSON; TOML too."""
        assert problems("turns:\n- type: assistant\n  text:\n  - 1\n", "yaml") == (
            "s.yaml:4: turns[0].text: wanted a text, found a list of 1",
        )
        assert problems("[[turns]]\ntype = 'assistant'\ntxt = 'a'\n", "toml") == (
            's.toml:1: turns[0]: "text" is missing: wanted a text',
            's.toml:3: turns[0].txt: unknown key; did you mean "text"?',
        )

    @pytest.mark.parametrize(
        ("text", "form", "expected"),
        [
            ('{"turns": [\n{"type" "assistant"}]}', "json", "s.json:2: not JSON: Expecting ':' delimiter at column 9"),
            ("", "json", "s.json:1: not JSON: Expecting value at column 1"),
            ("[1]", "json", 's.json:1: wanted a table with "turns", found a list of 1'),
            ("", "yaml", 's.yaml: wanted a table with "turns", found null'),
            ("turns: [", "yaml", "s.yaml:1: not YAML: while parsing a flow node, expected the node content, but found '<stream end>'"),
            ("turns: !!python/none x", "yaml", "s.yaml:1: turns: tag python/none is not supported"),
            ("a: 1\na: 2\nturns: []", "yaml", "s.yaml:2: a: given twice"),
            ("turns = [", "toml", "s.toml: not TOML: Invalid value (at end of document)"),
            ("x = 1\nturns == 2", "toml", "s.toml:2: not TOML: Invalid value"),
            ("on = 2024-01-01\nturns = []", "toml", "s.toml:1: on: wanted a JSON value, found 2024-01-01; put it in quotes"),
            ('{"turns": [],\n"turns": []}', "json", "s.json:2: turns: given twice"),
            ('{"turns":\n [{"x": NaN}]}', "json", "s.json:2: turns[0].x: wanted a finite number, found nan"),
            ('{"name": "\\ud800"}', "json", "s.json:1: name: half a character: a surrogate without its other half"),
        ],
    )  # fmt: skip
    def test_malformed_scripts_are_reported(self, text: str, form: ScriptFormat, expected: str) -> None:
        """SCRIPT-3.1, SCRIPT-1.5: With the line and the reason."""
        assert expected in problems(text, form)

    def test_invalid_utf8_is_reported(self) -> None:
        """SCRIPT-3.1: A script is UTF-8; a byte order mark is ignored."""
        assert problems(b'{\n"name": "\xff"}') == ("s.json:2: not UTF-8 text: invalid start byte",)
        assert read(b'\xef\xbb\xbf{"turns": [{"type": "assistant", "text": ""}]}', "json", "s").length == 1

    def test_a_script_has_turns(self) -> None:
        """SCRIPT-1.1: At least one."""
        assert problems("{}") == ('s.json:1: "turns" is missing: wanted a list of turns',)
        assert problems_of() == ["turns: wanted a list of turns, at least one, found none"]

    @pytest.mark.parametrize(
        ("keys", "expected"),
        [
            ({"text": None}, 'turns[0].text: wanted a text'),
            ({"refusal": "No"}, "turns[0].refusal: comes in place of a text; give one of them"),
            ({"calls": []}, 'turns[0].calls: belongs to a turn of type "tool_calls" or "mixed"'),
            ({"kind": "timeout"}, 'turns[0].kind: belongs to a turn of type "error"'),
            ({"repeat": 0}, "turns[0].repeat: wanted a whole number from 1 to 1,000,000, found 0"),
            ({"repeat": 1.5}, "turns[0].repeat: wanted a whole number from 1 to 1,000,000, found 1.5"),
            ({"repeat": True}, "turns[0].repeat: wanted a whole number from 1 to 1,000,000, found true"),
            ({"delay_ms": -1}, "turns[0].delay_ms: wanted a number from 0 to 3,600,000, found -1"),
            ({"finish_reason": "tool_use"}, 'turns[0].finish_reason: unknown word "tool_use"'),
            ({"usage": {"prompt_token": 1}}, 'turns[0].usage.prompt_token: unknown key; did you mean "prompt_tokens"?'),
            ({"usage": {"prompt_tokens": -1}}, "turns[0].usage.prompt_tokens: wanted a whole number from 0"),
            ({"usage": {"prompt_tokens": 1, "cached_tokens": 2}}, "turns[0].usage.cached_tokens: is a part of prompt_tokens, which are 1; found 2"),
            ({"latency": {"ttft_ms": 1}}, 'turns[0].latency: "itl_ms" is missing: wanted a number from 0'),
            ({"latency": 5}, "turns[0].latency: wanted the name of a profile, or a table with ttft_ms and itl_ms, found 5"),
            ({"stream_fault": {"kind": "stall", "after_tokens": 1}}, 'turns[0].stream_fault: "for_ms" is missing'),
            ({"stream_fault": {"kind": "disconnect", "after_tokens": 1, "message": "x"}}, 'turns[0].stream_fault.message: belongs to a stream_fault of kind "error"'),
            ({"expect": {"matches": "("}}, "turns[0].expect.matches: not a regular expression: missing )"),
            ({"expect": {"contain": "x"}}, 'turns[0].expect.contain: unknown key; did you mean "contains"?'),
            ({"expect": {"message_count": {"min": 3, "max": 2}}}, "turns[0].expect.message_count.min: is more than max, 2; found 3"),
            ({"expect": {"message_count": {}}}, "turns[0].expect.message_count: wanted min, max, or both, found neither"),
            ({"expect": {"message_count": "3"}}, 'turns[0].expect.message_count: wanted a whole number, or a table with min and max, found "3"'),
            ({"expect": {"tools_offered": [1]}}, "turns[0].expect.tools_offered: wanted a text or a list of texts, none of them empty, found a list of 1"),
            ({"expect": {"tool_result": {"call": 1}}}, "turns[0].expect.tool_result.call: wanted a text that is not empty, found 1"),
        ],
    )  # fmt: skip
    def test_invalid_values_of_a_turn(self, keys: dict[str, Any], expected: str) -> None:
        """SCRIPT-3.1, SCRIPT-3.2: Each mistake has its path and the valid values."""
        found = problems_of({"type": "assistant", "text": "a"} | keys)

        assert len(found) == 1
        assert found[0].startswith(expected)

    def test_errors_have_no_content(self) -> None:
        """SCRIPT-3.2: Keys of responses are refused in an error, by name."""
        found = problems_of({"type": "error", "kind": "timeout", "text": "a", "retry_after_ms": 90_000})

        assert found == [
            "turns[0].retry_after_ms: wanted a number from 0 to 60,000, found 90000",
            "turns[0].text: belongs to a turn with a response, not to an error",
        ]

    def test_kind_in_place_of_type_is_recognized(self) -> None:
        """SCRIPT-3.2: Only that mistake is reported."""
        assert problems_of({"kind": "assistant", "text": "a"}) == [
            'turns[0].kind: the key for this is "type": "type": "assistant"'
        ]
        assert problems_of({"text": "a"}) == [
            'turns[0]: "type" is missing: wanted one of assistant, tool_calls, mixed, error'
        ]

    def test_ids_of_calls_are_unique(self) -> None:
        """SCRIPT-3.1: A client cannot answer two calls of a turn with the same id."""
        calls = [{"name": "f", "id": "a"}, {"name": "g", "id": "a"}]

        assert problems_of({"type": "tool_calls", "calls": calls}) == [
            "turns[0].calls[1].id: calls[0] has the same id"
        ]

    def test_messages_are_bounded(self) -> None:
        """SCRIPT-3.3: Neither long values, nor control characters, nor a thousand problems flood a terminal."""
        found = problems_of({"type": "\x1b[31m" + "x" * 10_000})

        assert len(found[0]) < 200
        assert "\x1b" not in found[0]
        many = problems_of(*({"type": number} for number in range(1000)))
        assert len(many) == 51
        assert many[-1] == "s.json: 950 problems more"
        assert problems_of(*({"type": number} for number in range(3000)))[-1] == "s.json: 2,950 problems more"


class TestBounds:
    """SCRIPT-1.5: The cost of a script is bounded by its size."""

    @pytest.mark.parametrize("form", FORMS)
    def test_size_is_bounded(self, form: ScriptFormat) -> None:
        """SCRIPT-1.5: A script that is too large is refused before it is read."""
        assert "bytes are too many" in problems(b" " * (1 << 20) + b" ", form)[0]

    @pytest.mark.parametrize(
        ("opening", "form", "place"),
        [
            ('{"turns":' + "[" * 100_000, "json", "s.json"),
            ("[" * 100_000, "yaml", "s.yaml:1"),
            ("\n{a: [" * 40_000, "yaml", "s.yaml:34"),
            ("- " * 50_000, "yaml", "s.yaml"),
            ("a = " + "[" * 100_000, "toml", "s.toml"),
        ],
    )
    def test_depth_is_bounded(self, opening: str, form: ScriptFormat, place: str) -> None:
        """SCRIPT-1.5: Endless brackets are a problem, not a crash."""
        assert problems(opening, form) == (f"{place}: nested too deep; at most 64 levels",)

    @pytest.mark.parametrize("form", ["json", "yaml"])
    def test_depth_of_valid_scripts_is_bounded(self, form: ScriptFormat) -> None:
        """SCRIPT-1.5: Also if every bracket is closed."""
        deep = "[" * 80 + "]" * 80
        text = '{"turns": [{"type": "tool_calls", "calls": [{"name": "f", "arguments": ' + deep + "}]}]}"

        assert problems(text, form) == (f"s.{form}:1: nested too deep; at most 64 levels",)

    @pytest.mark.parametrize("part", ["a", '"a"', "'a' ", r'"\""'])
    def test_dotted_keys_are_bounded(self, part: str) -> None:
        """SCRIPT-1.5: A key of a hundred thousand parts is refused before it is parsed."""
        key = ".".join([part] * 50_000)

        assert problems(f"name = 'x'\n{key} = 1", "toml") == ("s.toml:2: a key of more than 64 parts",)
        assert problems(f"[{key}]", "toml") == ("s.toml:1: a key of more than 64 parts",)
        # Words and numbers are no keys.
        text = "[[turns]]\ntype = 'assistant'\ntext = '" + "Yes. No, 1.2.3.4. " * 1000 + "a" * 100_000 + "'"
        assert read(text.encode(), "toml", "s").length == 1

    def test_aliases_are_counted(self) -> None:
        """SCRIPT-1.5: Aliases of aliases do not multiply beyond the limit; recursive ones are refused."""
        lines = ["a0: &a0 [x,x,x,x,x,x,x,x,x,x]"]
        lines += [f"a{n}: &a{n} [{','.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 10)]

        assert "more than 100,000 values" in problems("\n".join(lines), "yaml")[0]
        assert "nested too deep" in problems("turns: &a [*a]", "yaml")[0]


SOUND = json.loads(ORIGINAL)


@given(st.binary(max_size=200), st.sampled_from(FORMS))
@example(b"%YAML 9.9999999999999999999999\n---\n", "yaml")
@example(b'"\\UFFFFFFFF"', "yaml")
@example(b'"\\xZZ"', "yaml")
@example(b"? [a]\n: b", "yaml")
@example(b"{a: !!int x, b: !!float y}", "yaml")
@example(b"a: 0o9\nb: 0x", "yaml")
@example(b"!!binary x", "yaml")
@example(b"--- a\n--- b", "yaml")
@example(b"a = 0x" + b"f" * 10_000, "toml")
@example(b"1" * 10_000, "json")
def test_any_bytes_are_a_script_or_a_script_error(data: bytes, form: ScriptFormat) -> None:
    """SCRIPT-3.4: No bytes make the parser fail in another way."""
    assert read_or_problems(data, form)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=10,
)
KEYS = st.sampled_from(
    ["type", "kind", "text", "calls", "name", "arguments", "id", "usage", "latency", "stream_fault", "expect",
     "repeat", "delay_ms", "status_code", "message", "refusal", "tool_result", "message_count", "after_tokens"]
)  # fmt: skip
WORDS = st.sampled_from(["assistant", "tool_calls", "mixed", "error", "timeout", "stall", "disconnect", "("])
ALMOST = st.recursive(
    WORDS | JSON,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=5),
    max_leaves=12,
)


@given(st.lists(st.dictionaries(KEYS, ALMOST) | ALMOST, max_size=3), st.sampled_from(["json", "yaml"]))
def test_almost_scripts_are_a_script_or_a_script_error(turns: list[Any], form: ScriptFormat) -> None:
    """SCRIPT-3.4: Known keys with wrong values are reported, whatever they are."""
    found = read_or_problems(json.dumps({"turns": turns}).encode(), form)

    assert found if isinstance(found, tuple) else len(found.turns) == len(turns)


@given(st.data())
def test_one_wrong_value_is_one_problem(data: st.DataObject) -> None:
    """SCRIPT-3.1: A valid script with a number in place of one of its texts has one problem, at its path."""
    script = json.loads(ORIGINAL)
    number = data.draw(st.integers(0, len(script["turns"]) - 1))
    key = data.draw(st.sampled_from(sorted(set(script["turns"][number]) - {"type", "status_code"})))
    script["turns"][number][key] = 3

    assert [words.split(": ")[1] for words in problems(json.dumps(script))] == [f"turns[{number}].{key}"]
