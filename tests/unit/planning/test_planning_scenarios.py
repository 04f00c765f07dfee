"""Steps of scenarios: what is drawn, what attempts get, and when tokens come."""

import json
from typing import Any

import pytest

from llmsim.catalogue import load_catalogue
from llmsim.config import LatencyFigures, LatencySettings, Settings
from llmsim.domain import (
    CacheUse,
    FaultKind,
    FinishReason,
    Message,
    Prompt,
    ReasoningSegment,
    TextSegment,
    Tool,
    ToolCallSegment,
    ToolKind,
    Turn,
)
from llmsim.errors import ScenarioError
from llmsim.planning.planner import Planner
from llmsim.planning.rng import seeded_rng
from llmsim.planning.scenario_tools import fill_arguments, pick_tool
from llmsim.planning.scenarios import ResolvedStep, ScenarioPlanner, resolve
from llmsim.planning.timing import LatencySampler
from llmsim.scenarios import ScenarioCall, ToolClass, select_scenario
from llmsim.scenarios.reading import read_scenarios

CATALOGUE = load_catalogue()
LATENCY = LatencySettings(ttft_mean_ms=400, ttft_stddev_ms=0, tbt_mean_ms=20, tbt_stddev_ms=5)
SETTINGS = Settings(latency=LATENCY)
PLANNER = Planner(SETTINGS, CATALOGUE, lambda: 1_750_000_000.5)
SCENARIOS = ScenarioPlanner(PLANNER, LatencySampler(LATENCY, CATALOGUE.profiles))


def step_of(
    step: dict[str, Any], text: str = "Go.", *, marker: str = "", count: int = 0, **scenario: Any
) -> ResolvedStep:
    """Resolve the only step of a scenario, or the one after `count` answers."""
    table = {"name": "walk", "steps": [step]} | scenario
    (found,) = read_scenarios(json.dumps(table).encode(), "s")
    return resolve_in(found, text, marker=marker, count=count)


def resolve_in(
    found: Any, text: str, *, marker: str = "", count: int = 0, tools: tuple[Tool, ...] = ()
) -> ResolvedStep:
    answers = (Message("assistant", ("a",)),) * count
    prompt = Prompt(
        model="gpt-4o",
        messages=(Message("user", (f"{text}[[llmsim:walk {marker}]]",)), *answers),
        tools=tools,
    )
    selection = select_scenario(prompt)
    assert selection is not None
    return resolve(found, selection, prompt)


def turn_of(resolved: ResolvedStep, attempt: int = 0, *, shows: bool = False, **fields: Any) -> Turn:
    prompt = Prompt(**{"model": "gpt-4o", "messages": (Message("user", ("x",)),)} | fields)
    return SCENARIOS.plan(
        resolved,
        attempt,
        prompt,
        PLANNER.analyze(prompt),
        PLANNER.outcome_rng(None),
        CacheUse(),
        shows_reasoning=shows,
    )


def answer(**turn: Any) -> dict[str, Any]:
    return {"turn": {"type": "assistant"} | turn}


def calls(*called: dict[str, Any]) -> dict[str, Any]:
    return {"turn": {"type": "tool_calls", "calls": list(called)}}


RANGES = answer(lorem_tokens=[0, 10_000]) | {"timing": {"ttft_ms": [0, 1_000_000]}}


def test_what_is_drawn_depends_on_the_conversation_alone() -> None:
    """SCEN-3.3: Equal conversations draw the same; another text, seed or step draws something else."""
    first = step_of(RANGES)

    assert step_of(RANGES) == first
    others = [step_of(RANGES, "Go!"), step_of(RANGES, marker="seed=7"), step_of(RANGES, count=1)]
    assert len({(one.ttft_ms, one.words, one.key) for one in [first, *others]}) == 4
    assert turn_of(first).choices == turn_of(first).choices or shown(turn_of(first)) == shown(turn_of(first))


def shown(turn: Turn) -> list[str]:
    return [segment.text.text for segment in turn.choices[0].segments if isinstance(segment, TextSegment)]


def test_speed_draws_nothing() -> None:
    """SCEN-3.3: The same conversation at another speed is the same conversation."""
    fast = step_of(RANGES, "Go. ", marker="speed=0.5")

    assert 0 <= (fast.ttft_ms or 0) <= 1_000_000
    assert fast.speed == 0.5


@pytest.mark.parametrize(("exhausted", "texts"), [("repeat_last", "abbb"), ("loop", "abab")])
def test_steps_go_on_after_the_last(exhausted: str, texts: str) -> None:
    """SCEN-3.4: By repetition, or from the first."""
    (found,) = read_scenarios(
        json.dumps(
            {"name": "walk", "steps": [answer(text="a"), answer(text="b")], "on_exhausted": exhausted}
        ).encode(),
        "s",
    )

    assert "".join(shown(turn_of(resolve_in(found, "x", count=count)))[0] for count in range(4)) == texts


def test_an_exhausted_scenario_fails() -> None:
    """SCEN-3.4: With 500."""
    with pytest.raises(ScenarioError, match="'walk' is exhausted: it has 1 step") as caught:
        step_of(answer(text="a"), count=1, on_exhausted="error")
    assert caught.value.status == 500


@pytest.mark.parametrize("model", ["gpt-4o", "gpt-4", "claude-haiku-4-5"])
@pytest.mark.parametrize("words", [0, 1, 2, 77])
def test_a_word_is_a_token(words: int, model: str) -> None:
    """SCEN-4.1: So many words are as many tokens, with every vocabulary."""
    turn = turn_of(step_of(answer(lorem_tokens=words)), model=model)
    (text,) = shown(turn)
    tokenizer = PLANNER.analyze(Prompt(model=model, messages=(Message("user", ("x",)),))).tokenizer

    assert len(text.split()) == words == turn.usage.completion == tokenizer.count(text)


@pytest.mark.parametrize(
    ("shows", "summary", "is_shown"), [(False, None, False), (True, None, True), (False, "full", True)]
)
def test_reasoning_comes_first(shows: bool, summary: str | None, is_shown: bool) -> None:
    """SCEN-4.2: It is counted, and shown where the API or the request has it shown."""
    turn = turn_of(step_of(answer(lorem_tokens=5, reasoning_tokens=9)), shows=shows, summary=summary)
    thought, text = turn.choices[0].segments

    assert isinstance(thought, ReasoningSegment)
    assert (thought.tokens, text.tokens, turn.usage.reasoning, turn.usage.completion) == (9, 5, 9, 14)
    assert (thought.text is not None) is is_shown


def test_limits_of_the_request_hold() -> None:
    """SCEN-4.1: No more words are generated than the request allows, whatever the file has."""
    turn = turn_of(step_of(answer(lorem_tokens=1_000_000)), limit=10)

    assert turn.usage.completion == 10
    assert turn.choices[0].finish is FinishReason.LENGTH
    assert shown(turn_of(step_of(answer(text="one two three")), stop=(" two",))) == ["one"]
    assert step_of(answer(lorem_tokens=1_000_000)).is_long


READ = Tool(
    "read_file",
    schema=b'{"type":"object","properties":{"path":{"type":"string"},"limit":{"type":"integer"}},"required":["path"]}',
)
BASH = Tool("bash", schema=b"{}")
WRITE = Tool("writeNote")
SEARCH = Tool("web_search", ToolKind.HOSTED)


def test_calls_have_ids_that_show_their_step() -> None:
    """SCEN-4.6, SCEN-4.5: The same for each attempt; other choices have others."""
    table = {
        "name": "walk",
        "steps": [calls({"tool": "any_read"}, {"name": "bash", "arguments": {"command": "ls"}})],
    }
    (found,) = read_scenarios(json.dumps(table).encode(), "s")
    resolved = resolve_in(found, "x", tools=(BASH, READ, SEARCH), count=3)
    turn = turn_of(resolved, choices=2)
    made = [[one for one in choice.segments if isinstance(one, ToolCallSegment)] for choice in turn.choices]
    ids = [[one.call.public_id("toolu_") for one in choice] for choice in made]

    assert [one.arguments.text for one in made[0]] == ['{"path":"."}', '{"command":"ls"}']
    assert ids[0][0].rpartition("_")[0] == "call_llmsim_walk_3_0"
    assert ids[0][1] == f"call_llmsim_walk_3_1_{ids[0][0].rpartition('_')[2]}"
    assert len({one for choice in ids for one in choice}) == 4
    assert turn.choices[0].finish is FinishReason.TOOL_CALLS


@pytest.mark.parametrize(
    ("tool", "offered", "names"),
    [
        (ToolClass.ANY_READ, (BASH, READ, WRITE), {"read_file"}),
        (ToolClass.ANY_WRITE, (BASH, READ, WRITE), {"writeNote"}),
        (ToolClass.ANY_WRITE, (BASH, READ), {"bash", "read_file"}),
        (ToolClass.ANY, (BASH, READ, WRITE, SEARCH), {"bash", "read_file", "writeNote"}),
        (ToolClass.ANY_READ, (Tool("TodoList"), Tool("mcp__fs__glob"), Tool("fs.stat"), Tool("spreadsheet"), Tool("thread")), {"TodoList", "mcp__fs__glob", "fs.stat"}),
        (ToolClass.ANY_READ, (SEARCH,), {None}),
        (ToolClass.ANY, (), {None}),
    ],
)  # fmt: skip
def test_tools_are_chosen_by_words_of_their_names(
    tool: ToolClass, offered: tuple[Tool, ...], names: set[str | None]
) -> None:
    """SCEN-4.4: Words begin with one of reading or writing; tools that the provider runs are not chosen."""
    chosen = [pick_tool(ScenarioCall(tool=tool), offered, seeded_rng(number)) for number in range(60)]

    assert {one and one.name for one in chosen} == names


@pytest.mark.parametrize(
    ("call", "tools", "message"),
    [
        (
            {"name": "grep"},
            (READ,),
            "'walk', step 0 calls the tool 'grep', which the request does not offer. Offered tools: read_file",
        ),
        ({"tool": "any"}, (), "calls a tool, which the request does not offer. Offered tools: none"),
    ],
)
def test_a_tool_that_is_not_offered(call: dict[str, Any], tools: tuple[Tool, ...], message: str) -> None:
    """SCEN-4.3, SCEN-4.4: It is refused with 400, and what is offered."""
    (found,) = read_scenarios(json.dumps({"name": "walk", "steps": [calls(call)]}).encode(), "s")

    with pytest.raises(ScenarioError) as caught:
        resolve_in(found, "x", tools=tools)
    assert message in str(caught.value)
    assert caught.value.status == 400


def test_required_parameters_are_filled_in() -> None:
    """SCEN-4.5: By type and name; what is not required is left out."""
    kinds: dict[str, Any] = {
        "filePath": {"type": "string"},
        "directory": {"type": ["null", "string"]},
        "query": {"type": "string"},
        "count": {"type": "integer", "minimum": 3},
        "share": {"type": "number"},
        "deep": {"type": "boolean"},
        "tags": {"type": "array"},
        "mode": {"type": "string", "enum": ["fast", "slow"]},
        "where": {"type": "object", "properties": {"file": {}, "b": {}}, "required": ["file"]},
        "any": {},
    }
    schema = {
        "type": "object",
        "properties": kinds | {"more": {"type": "string"}},
        "required": [*kinds, "missing", 3],
    }

    assert json.loads(fill_arguments(Tool("t", schema=json.dumps(schema).encode()))) == {
        "filePath": ".",
        "directory": ".",
        "query": "llmsim",
        "count": 3,
        "share": 1,
        "deep": False,
        "tags": [],
        "mode": "fast",
        "where": {"file": "."},
        "any": "llmsim",
    }
    assert fill_arguments(Tool("t")) == "{}"
    assert fill_arguments(Tool("t", schema=b"true")) == "{}"
    assert fill_arguments(Tool("t", ToolKind.CUSTOM)) == "llmsim"


@pytest.mark.parametrize(
    ("timing", "defaults", "marker", "ttft", "itl", "spread"),
    [
        ({}, {}, "", 0.4, 0.02, 0.005),
        ({}, {}, "speed=0.5", 0.2, 0.01, 0.0025),
        ({"ttft_ms": 100}, {"ttft_ms": 900, "tokens_per_sec": 50}, "", 0.1, 0.02, 0.0),
        ({"tokens_per_sec": 100}, {"ttft_ms": 900}, "speed=2", 1.8, 0.02, 0.0),
        ({"ttft_ms": 0}, {}, "", 0.0, 0.02, 0.005),
        ({"ttft_ms": 100}, {}, "speed=1e300", 3600.0, 3600.0, None),
    ],
)
def test_timing_replaces_the_profile(
    timing: Any, defaults: Any, marker: str, ttft: float, itl: float, spread: float | None
) -> None:
    """SCEN-5.1, SCEN-5.2: Field by field; the speed scales the profile's times, too."""
    resolved = step_of(answer(text="a") | {"timing": timing}, marker=marker, defaults={"timing": defaults})
    schedule = turn_of(resolved).schedule

    assert (schedule.ttft, schedule.itl) == pytest.approx((ttft, itl))
    if spread is not None:
        assert schedule.spread == pytest.approx(spread)


@pytest.mark.parametrize(("after", "due"), [(2, [0.1, 0.2, 0.8, 0.9]), (0, [0.6, 0.7, 0.8, 0.9])])
def test_a_stall_comes_after_its_token(after: int, due: list[float]) -> None:
    """SCEN-5.1, SCEN-5.2: Scaled, and added once."""
    timing = {"ttft_ms": 200, "tokens_per_sec": 5, "stall": {"after_tokens": after, "ms": 1000}}
    schedule = turn_of(step_of(answer(lorem_tokens=4) | {"timing": timing}, marker="speed=0.5")).schedule

    assert [schedule.due(token) for token in range(1, 5)] == pytest.approx(due)


def test_attempts_fail_in_order() -> None:
    """SCEN-6.1, SCEN-5.3: First those of the list, then the answer, which is cut once."""
    step = answer(lorem_tokens=10) | {
        "fail_first": [{"kind": "rate_limit", "retry_after_ms": 1500}, {"kind": "timeout"}],
        "timing": {"cut_after_tokens": 4},
    }
    resolved = step_of(step, marker="speed=0.001")
    first, second, third, fourth = [resolved.fault(attempt) for attempt in range(4)]

    assert first is not None
    assert (first.kind, first.retry_after, first.delay) == (FaultKind.RATE_LIMIT, 1.5, 0.0)
    assert second is not None
    assert (second.kind, second.retry_after) == (FaultKind.TIMEOUT, None)
    assert third is fourth is None
    faults = [turn_of(resolved, attempt).stream_fault for attempt in (2, 3)]
    assert faults[0] is not None
    assert (faults[0].after, faults[0].disconnect, faults[1]) == (4, True, None)


def test_an_error_turn_fails_always() -> None:
    """SCEN-6.1, SCEN-6.5: Without a retry delay of its own it has none."""
    resolved = step_of(
        {"turn": {"type": "error", "kind": "rate_limit"}}, defaults={"error_rate": {"timeout": 1.0}}
    )

    for attempt in range(3):
        fault = resolved.fault(attempt)
        assert fault is not None
        assert (fault.kind, fault.retry_after) == (FaultKind.RATE_LIMIT, None)


def test_background_errors_are_drawn_for_each_attempt() -> None:
    """SCEN-6.1: At their rates, after those of `fail_first`, and the same ones each time."""
    rates = {"error_rate": {"rate_limit": 0.2, "server_error": 0.3}}
    resolved = step_of(answer(text="a") | {"fail_first": [{"kind": "timeout"}]}, defaults=rates)
    faults = [resolved.fault(attempt) for attempt in range(2001)]
    kinds = [fault and fault.kind for fault in faults]

    assert kinds[0] is FaultKind.TIMEOUT
    assert 0.15 < kinds.count(FaultKind.RATE_LIMIT) / 2000 < 0.25
    assert 0.25 < kinds.count(FaultKind.SERVER_ERROR) / 2000 < 0.35
    assert faults == [resolved.fault(attempt) for attempt in range(2001)]


def test_a_scenario_has_the_latencies_of_its_model() -> None:
    """LAT-7.3: Those of the model's pattern, in bursts, unless the step has a time of its own."""
    figures = LatencyFigures(ttft_mean_ms=70.0, ttft_stddev_ms=0.0, burst_tokens=4)
    latency = LatencySampler(LatencySettings(models={"gpt-4*": figures}), CATALOGUE.profiles)
    planned = ScenarioPlanner(PLANNER, latency)
    prompt = Prompt(model="gpt-4o", messages=(Message("user", ("x",)),))

    def turn(**step: Any) -> Turn:
        return planned.plan(
            step_of(answer(text="one two three four five six") | step),
            0,
            prompt,
            PLANNER.analyze(prompt),
            PLANNER.outcome_rng(None),
            CacheUse(),
            shows_reasoning=False,
        )

    assert turn().schedule.ttft == 0.07
    assert turn(timing={"ttft_ms": 5}).schedule.ttft == 0.005
    (segment,) = turn().choices[0].segments
    assert isinstance(segment, TextSegment)
    assert len(segment.text.pieces) < segment.tokens
