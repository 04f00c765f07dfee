"""Scripted turns: the turn or fault of a script's step."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace
from support.turns import shown_text

from llmsim.catalogue import load_catalogue
from llmsim.config import LatencyFigures, LatencySettings
from llmsim.domain import (
    CacheUse,
    Choice,
    Fault,
    FaultKind,
    FinishReason,
    Message,
    PriorToolCall,
    Prompt,
    ReasoningSegment,
    RefusalSegment,
    Segment,
    StreamFault,
    TextSegment,
    Tool,
    ToolCallSegment,
    ToolKind,
    Turn,
    Usage,
    WireFaultKind,
)
from llmsim.errors import ScriptError
from llmsim.planning.rng import seeded_rng
from llmsim.planning.scripts import play
from llmsim.planning.timing import LatencySampler
from llmsim.planning.tokens import load_tokenizer
from llmsim.scripts import (
    ScriptCall,
    ScriptFailure,
    ScriptLatency,
    ScriptStep,
    ScriptStreamFault,
    ScriptTurn,
    ScriptUsage,
    TurnKind,
)

WORDS = load_tokenizer("o200k_base")
CATALOGUE = load_catalogue()
PROFILES = CATALOGUE.profiles
TEXT = "The quick brown fox jumps over the lazy dog."
REASONING = "Let me see what a fox would do."
CALL = ScriptCall("write_file", '{"path":"notes.txt"}')


def plays(
    turn: ScriptTurn,
    *,
    number: int = 2,
    repetition: int = 0,
    settings: LatencySettings | None = None,
    **options: Any,
) -> Turn | Fault:
    facts: dict[str, Any] = {
        name: options.pop(name) for name in ("limit", "use", "prompt_tokens") if name in options
    }
    model = replace(CATALOGUE.facts("gpt-5"), profile=options.pop("profile", "instant"))
    prompt = Prompt(**({"model": "gpt-5", "messages": (Message("user", ("Hi",)),)} | options))
    return play(
        ScriptStep(number, turn, repetition),
        prompt,
        id="0" * 29,
        created=1_750_000_000,
        tokenizer=WORDS,
        latency=LatencySampler(settings or LatencySettings(), PROFILES),
        rng=seeded_rng("scene"),
        retry_after=1.0,
        **({"prompt_tokens": 20, "limit": 1 << 40, "model": model, "use": CacheUse()} | facts),
    )


def answer(**keys: Any) -> ScriptTurn:
    return ScriptTurn(**({"kind": TurnKind.MIXED, "text": TEXT} | keys))


def played(turn: ScriptTurn, **options: Any) -> Turn:
    outcome = plays(turn, **options)
    assert isinstance(outcome, Turn)
    return outcome


def only(turn: ScriptTurn, **options: Any) -> Choice:
    (choice,) = played(turn, **options).choices
    return choice


def contents(choice: Choice) -> list[tuple[type[Segment], str | None]]:
    return [(type(segment), (text := shown_text(segment)) and text.text) for segment in choice.segments]


class TestContent:
    """Segments and finish reasons."""

    def test_reasoning_text_and_calls_follow_each_other(self) -> None:
        """SCRIPT-5.1: All in the tokens of the model, which are reported."""
        turn = played(answer(reasoning=REASONING, calls=(CALL,)), summary="full")

        choice = turn.choices[0]
        assert contents(choice) == [
            (ReasoningSegment, REASONING),
            (TextSegment, TEXT),
            (ToolCallSegment, CALL.arguments),
        ]
        lead = WORDS.count(CALL.name)
        assert [segment.tokens for segment in choice.segments] == [
            WORDS.count(REASONING), WORDS.count(TEXT), lead + WORDS.count(CALL.arguments),
        ]  # fmt: skip
        assert choice.segments[2].header_tokens == lead
        assert len(choice.segments[1].text.pieces) == WORDS.count(TEXT)
        assert turn.usage == Usage(prompt=20, completion=choice.tokens, reasoning=WORDS.count(REASONING))

    def test_a_refusal_is_a_refusal_segment(self) -> None:
        """SCRIPT-5.1: It comes in place of a text, and ends by itself."""
        choice = only(ScriptTurn(kind=TurnKind.ASSISTANT, refusal="No."))

        assert contents(choice) == [(RefusalSegment, "No.")]
        assert choice.finish is FinishReason.STOP

    def test_reasoning_is_shown_on_request(self) -> None:
        """SCRIPT-5.6: Otherwise it is hidden, and costs the same."""
        turn = played(answer(reasoning=REASONING))

        assert contents(turn.choices[0]) == [(ReasoningSegment, None), (TextSegment, TEXT)]
        assert turn.usage.reasoning == WORDS.count(REASONING)

    def test_the_finish_reason_follows_from_the_content(self) -> None:
        """SCRIPT-5.2: `tool_calls` after calls, `stop` after text; a script may set another."""
        assert only(answer(calls=(CALL,))).finish is FinishReason.TOOL_CALLS
        assert only(answer()).finish is FinishReason.STOP
        for reason in FinishReason:
            assert only(answer(finish_reason=reason)).finish is reason

    def test_an_empty_text_is_a_response(self) -> None:
        """SCRIPT-5.1: It has no tokens."""
        turn = played(answer(text=""))

        assert contents(turn.choices[0]) == [(TextSegment, "")]
        assert turn.usage.completion == 0

    def test_tools_are_called_as_they_are_offered(self) -> None:
        """SCRIPT-5.1: A custom tool is called as a custom tool; one that is not offered, as a function."""
        calls = (ScriptCall("draw"), ScriptCall("else"))

        choice = only(answer(calls=calls), tools=(Tool("draw", ToolKind.CUSTOM),))

        kinds = [segment.call.kind for segment in choice.segments if isinstance(segment, ToolCallSegment)]
        assert kinds == [ToolKind.CUSTOM, ToolKind.FUNCTION]


class TestIds:
    """Ids of calls."""

    def ids(self, turn: ScriptTurn, **options: Any) -> list[str]:
        """Return the ids of all calls, as OpenAI's clients see them."""
        return [
            segment.call.public_id("call_")
            for choice in played(turn, **options).choices
            for segment in choice.segments
            if isinstance(segment, ToolCallSegment)
        ]

    def test_ids_are_predictable(self) -> None:
        """SCRIPT-5.4: They are made of the numbers of turn and call; a given one is the whole id."""
        calls = (CALL, ScriptCall("f", "{}", "my-id"), CALL)

        assert self.ids(answer(calls=calls)) == ["call_llmsim_2_0", "my-id", "call_llmsim_2_2"]

    def test_ids_are_never_the_same(self) -> None:
        """SCRIPT-5.4: Neither if a turn is repeated, nor in further choices."""
        ids = [
            name
            for number in range(3)
            for repetition in range(3)
            for name in self.ids(answer(calls=(CALL, CALL)), number=number, repetition=repetition, choices=3)
        ]

        assert len(ids) == len(set(ids)) == 3 * 3 * 3 * 2
        assert self.ids(answer(calls=(CALL,)), repetition=4) == ["call_llmsim_2_0_4"]

    def test_a_conversation_gets_no_id_that_it_has(self) -> None:
        """SCRIPT-5.4: It may have ids of another script, or of a server that was started anew."""
        calls = tuple(
            PriorToolCall(name, "f", "{}") for name in ("call_llmsim_2_0", "toolu_llmsim_2_0_1", "x")
        )
        history = (Message("user", ("a",)), Message("assistant", (), calls=calls))

        assert self.ids(answer(calls=(CALL, CALL)), messages=history) == [
            "call_llmsim_2_0_2",
            "call_llmsim_2_1",
        ]


class TestLimits:
    """SCRIPT-5.3: The request's limits hold."""

    @given(st.integers(0, 60), st.booleans())
    def test_no_response_is_longer_than_its_limit(self, limit: int, summary: bool) -> None:
        """SCRIPT-5.3: Wherever it is cut, a beginning is left, with `length`."""
        turn = answer(reasoning=REASONING, calls=(CALL, ScriptCall("f")), finish_reason=FinishReason.STOP)
        whole = only(turn, summary="full")

        choice = only(turn, limit=limit, summary="full" if summary else None)

        assert choice.tokens <= limit
        assert choice.finish is (FinishReason.LENGTH if limit < whole.tokens else FinishReason.STOP)
        full = dict(enumerate(text.text for segment in whole.segments if (text := shown_text(segment))))
        for kept, part in zip(choice.segments, whole.segments, strict=False):
            if limit:
                assert type(kept) is type(part)
            if (text := shown_text(kept)) and limit:
                assert full[whole.segments.index(part)].startswith(text.text)

    def test_a_call_is_cut_where_the_tokens_end(self) -> None:
        """SCRIPT-5.3: In its name or in its arguments; a call without tokens is omitted."""
        before = WORDS.count(TEXT)
        lead = WORDS.count(CALL.name)

        def cut(limit: int) -> list[tuple[int, int]]:
            choice = only(answer(calls=(CALL,)), limit=before + limit)
            assert choice.finish is FinishReason.LENGTH
            return [(segment.header_tokens, segment.tokens) for segment in choice.segments[1:]]

        assert cut(0) == []
        assert cut(1) == [(1, 1)]
        assert cut(lead + 1) == [(lead, lead + 1)]

    def test_text_has_logprobs(self) -> None:
        """SCRIPT-5.1: On request, for each piece of the text."""
        (segment,) = only(answer(), logprobs=2).segments

        assert len(segment.logprobs) == len(segment.text.pieces)
        assert only(answer()).segments[0].logprobs == ()

    def test_a_stop_text_ends_the_turn(self) -> None:
        """SCRIPT-5.3: Nothing follows it."""
        choice = only(answer(calls=(CALL,)), stop=("fox",))

        assert contents(choice) == [(TextSegment, "The quick brown ")]
        assert (choice.finish, choice.stopped_by) == (FinishReason.STOP, "fox")

    def test_reasoning_has_its_own_limit(self) -> None:
        """SCRIPT-5.3: Reasoning is cut at the limit, and the whole text follows."""
        choice = only(answer(reasoning=REASONING), reasoning_limit=3)

        assert [segment.tokens for segment in choice.segments] == [3, WORDS.count(TEXT)]
        assert choice.finish is FinishReason.STOP


class TestUsage:
    """Reported tokens."""

    def test_figures_of_the_script_replace_what_was_counted(self) -> None:
        """SCRIPT-5.1: Each figure independently."""
        usage = ScriptUsage(prompt_tokens=1000, completion_tokens=50, reasoning_tokens=40, cached_tokens=900)

        assert played(answer(usage=usage)).usage == Usage(1000, 50, 40, 900)
        assert played(answer(usage=ScriptUsage(completion_tokens=3))).usage == Usage(20, 3)

    @given(*[st.none() | st.integers(0, 40)] * 4, st.integers(0, 20), st.integers(0, 20))
    def test_reported_usage_is_consistent(
        self,
        prompt: int | None,
        completion: int | None,
        thought: int | None,
        cached: int | None,
        read: int,
        written: int,
    ) -> None:
        """SCRIPT-5.1: Parts are never more than their totals, whatever the script has and whatever was counted."""
        if prompt is not None and cached is not None:
            cached = min(cached, prompt)
        if completion is not None and thought is not None:
            thought = min(thought, completion)
        use = CacheUse(min(read, 20), {300: min(written, 20 - min(read, 20))})

        usage = played(
            answer(reasoning=REASONING, usage=ScriptUsage(prompt, completion, thought, cached)), use=use
        ).usage

        assert usage.reasoning <= usage.completion
        assert usage.cached + sum(usage.cache_written.values()) <= usage.prompt
        for scripted, reported in ((prompt, usage.prompt), (completion, usage.completion), (thought, usage.reasoning), (cached, usage.cached)):  # fmt: skip
            assert scripted is None or reported == scripted


class TestTime:
    """Latency, delays and stalls."""

    def test_a_profile_of_the_script_has_precedence(self) -> None:
        """SCRIPT-5.5: Over that of the settings, by name or by figures."""
        settings = LatencySettings(profile="instant")
        figures = ScriptLatency(ttft_ms=30, itl_ms=2)

        assert played(answer(), profile="gpt-5", settings=settings).schedule.ttft == 0
        named = played(answer(latency="fast"), settings=settings).schedule
        assert named.ttft > 0
        assert named.itl == 0.001
        own = played(answer(latency=figures), settings=settings).schedule
        assert (own.ttft, own.itl, own.spread) == (0.030, 0.002, 0.0)

    def test_an_unknown_profile_cannot_be_played(self) -> None:
        """SCRIPT-5.5: The error names it, if the script was read without the list of profiles."""
        with pytest.raises(ScriptError, match="no profile 'warp'"):
            plays(answer(latency="warp"))

    def test_a_delay_comes_first(self) -> None:
        """SCRIPT-5.5: Before the first token, or before the failure."""
        assert played(answer(delay_ms=250)).schedule.due(1) == 0.25
        fault = plays(ScriptTurn(kind=TurnKind.ERROR, failure=ScriptFailure(FaultKind.TIMEOUT), delay_ms=250))
        assert isinstance(fault, Fault)
        assert fault.delay == 0.25

    @given(st.integers(0, 20), st.integers(0, 20))
    def test_a_stall_occurs_once(self, after: int, tokens: int) -> None:
        """SCRIPT-7.1, FAULT-1.5: Tokens before the stall are on time, those after it later by its duration; one behind the end is before it."""
        latency = ScriptLatency(ttft_ms=30, itl_ms=2, itl_stddev_ms=1)
        fault = ScriptStreamFault(WireFaultKind.STALL, after, for_ms=500)
        turn = played(answer(latency=latency))
        plain, last = turn.schedule, turn.usage.completion
        stalled = played(answer(latency=latency, stream_fault=fault)).schedule

        late = stalled.due(tokens) - plain.due(tokens)

        assert late == pytest.approx(0.5 if tokens > min(after, last - 1) else 0.0)


class TestFailures:
    """Errors and truncated streams."""

    @pytest.mark.parametrize("kind", FaultKind)
    def test_an_error_is_a_fault_of_its_kind(self, kind: FaultKind) -> None:
        """SCRIPT-5.7: The retry delay is the script's, or that of the settings for kinds that have one."""
        turn = ScriptTurn(kind=TurnKind.ERROR, failure=ScriptFailure(kind, "boom", 418, 50))
        bare = ScriptTurn(kind=TurnKind.ERROR, failure=ScriptFailure(kind))

        assert plays(turn) == Fault(kind, retry_after=0.05, message="boom", status=418)
        retried = kind in (FaultKind.RATE_LIMIT, FaultKind.OVERLOADED)
        assert plays(bare) == Fault(kind, retry_after=1.0 if retried else None)

    @pytest.mark.parametrize(
        ("status", "kind"),
        [
            (None, FaultKind.SERVER_ERROR), (500, FaultKind.SERVER_ERROR), (502, FaultKind.SERVER_ERROR),
            (429, FaultKind.RATE_LIMIT), (401, FaultKind.AUTHENTICATION), (404, FaultKind.INVALID_REQUEST),
            (503, FaultKind.OVERLOADED), (529, FaultKind.OVERLOADED), (504, FaultKind.TIMEOUT),
        ],
    )  # fmt: skip
    def test_any_other_error_counts_by_its_status(self, status: int | None, kind: FaultKind) -> None:
        """SCRIPT-5.7: The kind of `other` follows from its status; without one it is a server error."""
        fault = plays(ScriptTurn(kind=TurnKind.ERROR, failure=ScriptFailure(None, "boom", status)))

        assert isinstance(fault, Fault)
        assert (fault.kind, fault.status, fault.message) == (kind, status, "boom")

    def test_a_stream_fault_truncates_the_turn(self) -> None:
        """SCRIPT-7.2, SCRIPT-7.3: An error is sent, a disconnect is not; a stall truncates nothing."""
        error = ScriptStreamFault(WireFaultKind.ERROR, 4, FaultKind.OVERLOADED, "Too much")
        cut = ScriptStreamFault(WireFaultKind.DISCONNECT, 4)

        turn = played(answer(stream_fault=error))
        assert turn.stream_fault == StreamFault(4, Fault(FaultKind.OVERLOADED, message="Too much"))
        assert (turn.truncated_after, turn.generated_tokens) == (4, 4)
        assert played(answer(stream_fault=cut)).stream_fault == StreamFault(
            4, Fault(FaultKind.SERVER_ERROR), disconnect=True
        )
        assert (
            played(answer(stream_fault=ScriptStreamFault(WireFaultKind.STALL, 4, for_ms=1))).stream_fault
            is None
        )

    def test_a_short_response_is_truncated_before_its_end(self) -> None:
        """SCRIPT-7.5: If it would be complete before the fault, its last token is omitted."""
        cut = ScriptStreamFault(WireFaultKind.DISCONNECT, 10_000)

        turn = played(answer(stream_fault=cut), choices=2)

        assert turn.truncated_after == turn.length - 1
        assert turn.generated_tokens == 2 * (turn.length - 1)
        assert played(answer(text="", stream_fault=cut)).truncated_after == 0


class TestPatterns:
    """Latencies of some models, and bursts, where a script says when."""

    def test_a_script_has_the_latencies_of_its_model(self) -> None:
        """LAT-7.3: Unless it names a profile or has figures of its own."""
        settings = LatencySettings(
            models={"gpt-5": LatencyFigures(ttft_mean_ms=70.0, ttft_stddev_ms=0.0, prefill_ms_per_token=1.0)}
        )

        assert played(answer(), settings=settings).schedule.ttft == pytest.approx(0.09)
        assert played(answer(latency="instant"), settings=settings).schedule.ttft == 0
        own = played(answer(latency=ScriptLatency(ttft_ms=30, itl_ms=2)), settings=settings)
        assert own.schedule.ttft == 0.03

    def test_a_script_is_sent_in_bursts(self) -> None:
        """LAT-5.1: Its own figures mean one token an event."""
        settings = LatencySettings(burst_tokens=4)
        text = shown_text(played(answer(), settings=settings).choices[0].segments[0])
        alone = shown_text(
            played(answer(latency=ScriptLatency(ttft_ms=30, itl_ms=2)), settings=settings)
            .choices[0]
            .segments[0]
        )

        assert text is not None
        assert alone is not None
        assert text.text == alone.text == TEXT
        assert len(text.pieces) < len(alone.pieces)
