"""Files of scenarios, and their mistakes."""

import contextlib
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmsim.domain import FaultKind
from llmsim.errors import ScriptError
from llmsim.scenarios import Amount, Scenario, ScenarioTiming, Stall, ToolClass
from llmsim.scenarios.files import read_scenario_path
from llmsim.scenarios.reading import read_scenarios
from llmsim.scripts import OnExhausted, ScriptFailure, TurnKind

WALK: dict[str, Any] = {
    "name": "walk-2",
    "description": "All keys.",
    "defaults": {
        "timing": {"ttft_ms": [800, 1300], "tokens_per_sec": 65, "cut_after_tokens": 7},
        "error_rate": {"server_error": 0.25, "rate_limit": 0.5, "timeout": 0},
    },
    "steps": [
        {
            "turn": {
                "type": "mixed",
                "text": "Let me look.",
                "calls": [{"tool": "any_read", "arguments": {"b": 1, "a": "ö"}}, {"name": "bash"}],
                "reasoning_tokens": [1, 3],
            },
            "timing": {"ttft_ms": 20, "stall": {"after_tokens": 3, "ms": 500}},
            "fail_first": [
                {"kind": "rate_limit", "retry_after_ms": 90000},
                {"kind": "other", "message": "m", "status_code": 418},
            ],
        },
        {"turn": {"type": "tool_calls", "calls": [{"tool": "any"}]}},
        {"turn": {"type": "error", "kind": "invalid_request", "message": "No."}},
        {"turn": {"type": "assistant", "lorem_tokens": [40, 80], "text": None}},
    ],
    "on_exhausted": "loop",
}


def read(value: Any) -> tuple[Scenario, ...]:
    return read_scenarios(json.dumps(value, indent=1).encode(), "s.json")


def problems(value: Any) -> list[str]:
    with pytest.raises(ScriptError) as caught:
        read(value)
    return list(caught.value.problems)


def test_all_keys_are_read() -> None:
    """SCEN-1.1: Every key that the reference has, in numbers, ranges and lists."""
    (walk,) = read(WALK)
    first, second, third, last = walk.steps

    assert (walk.name, walk.description, walk.on_exhausted) == ("walk-2", "All keys.", OnExhausted.LOOP)
    assert walk.error_rates == ((FaultKind.RATE_LIMIT, 0.5), (FaultKind.SERVER_ERROR, 0.25))
    assert first.timing == ScenarioTiming(Amount(20, 20), 65, Stall(3, 500), 7)
    assert second.timing == ScenarioTiming(Amount(800, 1300), 65, None, 7)
    assert first.fail_first == (
        ScriptFailure(FaultKind.RATE_LIMIT, retry_after_ms=90000),
        ScriptFailure(None, "m", 418),
    )
    assert [(call.name, call.tool, call.arguments) for call in first.turn.calls] == [
        (None, ToolClass.ANY_READ, '{"b":1,"a":"ö"}'),
        ("bash", ToolClass.ANY, None),
    ]
    assert first.turn.reasoning_tokens == Amount(1, 3)
    assert third.turn.kind is TurnKind.ERROR
    assert third.turn.failure == ScriptFailure(FaultKind.INVALID_REQUEST, "No.")
    assert last.turn.lorem_tokens == Amount(40, 80)


def test_a_file_holds_one_or_several() -> None:
    """SCEN-1.2: A list of scenarios is a file, too."""
    assert [one.name for one in read([WALK, WALK | {"name": "run"}])] == ["walk-2", "run"]


def test_a_folder_holds_files(tmp_path: Path) -> None:
    """SCEN-1.2: Those that end in .json, by name; others are left alone."""
    (tmp_path / "b.json").write_text(json.dumps(WALK | {"name": "b"}))
    (tmp_path / "a.json").write_text(json.dumps([WALK | {"name": "c"}, WALK | {"name": "a"}]))
    (tmp_path / "notes.txt").write_text("no scenario")
    (tmp_path / "deep.json").mkdir()

    assert list(read_scenario_path(str(tmp_path))) == ["a", "b", "c"]
    assert list(read_scenario_path(str(tmp_path / "b.json"))) == ["b"]


def test_nine_scenarios_come_with_llmsim() -> None:
    """SCEN-1.3: Under the names that those of the Rust project have."""
    found = read_scenario_path("builtin")

    assert list(found) == [
        "broken-stream",
        "chat-short",
        "flaky-429",
        "long-answer",
        "parallel-tools",
        "research-3-tools",
        "slow-first-token",
        "stream-stall",
        "thinking",
    ]
    assert all(scenario.description for scenario in found.values())
    assert found["broken-stream"].steps[0].timing.cut_after_tokens
    assert found["flaky-429"].steps[0].fail_first[0].retry_after_ms
    assert len(found["parallel-tools"].steps[0].turn.calls) == 4
    assert len(found["research-3-tools"].steps) == 4
    assert found["stream-stall"].steps[0].timing.stall
    assert found["thinking"].steps[0].turn.reasoning_tokens


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"name": "Walk"},
            's.json:2: name: wanted a name of lower-case letters, digits and hyphens, found "Walk"',
        ),
        ({"name": None}, "name: wanted a text that is not empty"),
        ({"stepz": []}, 'stepz: unknown key; did you mean "steps"?'),
        ({"steps": []}, "steps: wanted a list of steps, at least one, found none"),
        ({"turns": []}, 'turns: belongs to a script; the turns of a scenario are in its "steps"'),
        ({"on_exhausted": "lop"}, 'on_exhausted: unknown word "lop"; did you mean "loop"?'),
        (
            {"defaults": {"timing": {"ttft_ms": [3, 2]}}},
            "defaults.timing.ttft_ms: the minimum 3 is more than the maximum 2; wanted [2, 3]",
        ),
        (
            {"defaults": {"timing": {"ttft_ms": -1}}},
            "defaults.timing.ttft_ms: wanted a whole number from 0 to 3,600,000, or [min, max], found -1",
        ),
        ({"defaults": {"timing": {"ttft_ms": [1, 2, 3]}}}, "or [min, max], found [1, 2, 3]"),
        (
            {"defaults": {"timing": {"tokens_per_sec": 0}}},
            "defaults.timing.tokens_per_sec: wanted a number above 0, found 0",
        ),
        ({"defaults": {"timing": {"tokens_per_second": 5}}}, 'did you mean "tokens_per_sec"?'),
        (
            {"defaults": {"error_rate": {"rate_limits": 0.1}}},
            'defaults.error_rate.rate_limits: unknown key; did you mean "rate_limit"?',
        ),
        (
            {"defaults": {"error_rate": {"timeout": 1.5}}},
            "defaults.error_rate.timeout: wanted a number from 0 to 1, found 1.5",
        ),
    ],
)
def test_mistakes_of_a_scenario_are_named(change: dict[str, Any], message: str) -> None:
    """SCEN-1.4: With line, path, what was found, and what is valid."""
    (found,) = problems(WALK | change)

    assert message in found
    assert found.startswith("s.json:")


@pytest.mark.parametrize(
    ("step", "message"),
    [
        ({}, '"turn" is missing: wanted a table with a "type"'),
        ({"turn": 3}, "turn: wanted a table, found 3"),
        ({"type": "assistant", "turn": {"type": "assistant", "text": "a"}}, 'type: belongs to the "turn" of a step'),
        ({"turn": {"type": "assistent", "text": "a"}}, 'unknown word "assistent"; did you mean "assistant"?'),
        ({"turn": {"type": "assistant"}}, '"text" is missing: wanted a text, or "lorem_tokens"'),
        ({"turn": {"type": "assistant", "text": "a", "lorem_tokens": 3}}, "lorem_tokens: comes in place of a text"),
        ({"turn": {"type": "assistant", "lorem_tokens": 1.5}}, "lorem_tokens: wanted a whole number"),
        ({"turn": {"type": "assistant", "lorem_tokens": True}}, "lorem_tokens: wanted a whole number"),
        ({"turn": {"type": "assistant", "text": "a", "calls": []}}, 'calls: belongs to a turn of type "tool_calls" or "mixed"'),
        ({"turn": {"type": "tool_calls", "calls": []}}, "calls: wanted a list of calls, at least one"),
        ({"turn": {"type": "tool_calls", "calls": [{"tool": "any_reed"}]}}, 'did you mean "any_read"?'),
        ({"turn": {"type": "tool_calls", "calls": [{}]}}, '"name" is missing: wanted a name, or "tool": any_read, any_write, any'),
        ({"turn": {"type": "tool_calls", "calls": [{"name": "a", "tool": "any"}]}}, "tool: comes in place of a name"),
        ({"turn": {"type": "tool_calls", "calls": [{"tool": "any"}], "lorem_tokens": 2}}, "lorem_tokens: belongs to a turn of type"),
        ({"turn": {"type": "error", "kind": "rate_limt"}}, 'did you mean "rate_limit"?'),
        ({"turn": {"type": "error", "kind": "timeout", "reasoning_tokens": 2}}, "belongs to a turn with an answer"),
        ({"turn": {"type": "assistant", "text": "a"}, "fail_first": [{"kind": "timeout", "after": 3}]}, "fail_first[0].after: unknown key"),
        ({"turn": {"type": "assistant", "text": "a"}, "timing": {"stall": {"ms": 5}}}, '"after_tokens" is missing'),
    ],
)  # fmt: skip
def test_mistakes_of_a_step_are_named(step: dict[str, Any], message: str) -> None:
    """SCEN-1.4: In turns, calls, errors and timing."""
    (found,) = problems(WALK | {"steps": [step]})

    assert message in found
    assert "steps[0]" in found


def test_all_mistakes_are_reported_at_once() -> None:
    """SCEN-1.4: Of all scenarios of a file, by their places."""
    found = problems([{"name": "x"}, 7, WALK | {"nme": "y"}])

    assert len(found) == 3
    assert ['[0]: "steps"' in found[0], "[1]: wanted a scenario" in found[1], "[2].nme" in found[2]] == [
        True
    ] * 3
    assert "wanted a scenario" in problems("x")[0]


def test_a_name_is_given_once(tmp_path: Path) -> None:
    """SCEN-1.4: In one file, and in a folder."""
    (tmp_path / "a.json").write_text(json.dumps([WALK, WALK]))
    (tmp_path / "b.json").write_text(json.dumps(WALK))

    with pytest.raises(ScriptError) as caught:
        read_scenario_path(str(tmp_path))
    twice, also = caught.value.problems
    assert "the scenario 'walk-2' is given twice" in twice
    assert f"b.json: the scenario 'walk-2' is also in {tmp_path / 'a.json'}" in also


def test_what_cannot_be_read_is_named(tmp_path: Path) -> None:
    """SCEN-1.4: A missing file, an empty folder, and what is no JSON."""
    (tmp_path / "bad").write_text("{\n nope")
    for path, message in (
        (tmp_path / "none", 'cannot be read: No such file or directory; "builtin" are the scenarios'),
        (tmp_path, "wanted a folder with scenarios (.json), found none in it"),
        (tmp_path / "bad", "bad:2: not JSON"),
    ):
        with pytest.raises(ScriptError, match=r".") as caught:
            read_scenario_path(str(path))
        assert message in str(caught.value)


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                [
                    "name",
                    "steps",
                    "turn",
                    "type",
                    "calls",
                    "timing",
                    "ttft_ms",
                    "stall",
                    "fail_first",
                    "kind",
                    "x",
                ]
            ),
            inner,
            max_size=5,
        )
    ),
    max_leaves=12,
)


@given(values)
def test_any_json_is_read_or_refused(value: Any) -> None:
    """SCEN-1.4: Only a list of mistakes leaves the parser."""
    with contextlib.suppress(ScriptError):
        read(value)
