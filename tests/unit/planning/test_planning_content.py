"""Content of choices: calls, response formats, refusals, limits."""

import functools
import json
from typing import Any

import pytest
from support.planning import count_prompt, plan_turn
from support.turns import shown_text

from llmsim.catalogue import load_catalogue
from llmsim.config import ResponseSettings, Settings, ToolSettings
from llmsim.domain import (
    FinishReason,
    Message,
    PriorToolCall,
    Prompt,
    ReasoningSegment,
    RefusalSegment,
    ResponseFormat,
    Segment,
    TextSegment,
    Tool,
    ToolCallSegment,
    ToolChoice,
    ToolKind,
    ToolMode,
    ToolResult,
    Turn,
)
from llmsim.planning.planner import Planner
from llmsim.planning.tokens import load_tokenizer

CATALOGUE = load_catalogue()
WORDS = load_tokenizer("o200k_base")
SCHEMA = json.dumps(
    {
        "type": "object",
        "properties": {"city": {"type": "string"}, "days": {"type": "integer"}},
        "required": ["city", "days"],
        "additionalProperties": False,
    }
).encode()
WEATHER = Tool("get_weather", description="Tells the weather", schema=SCHEMA)
REQUIRED = ToolChoice(ToolMode.REQUIRED)


@functools.cache
def planner(tools: ToolSettings | None = None, **response: Any) -> Planner:
    settings = Settings(response=ResponseSettings(**response), tools=tools or ToolSettings())
    return Planner(settings, CATALOGUE, lambda: 1_750_000_000.9)


def plan(plans: Planner | None = None, message: str = "Weather in Paris for 3 days?", **facts: Any) -> Turn:
    wanted: dict[str, Any] = {"model": "gpt-4o", "messages": (Message("user", (message,)),)}
    return plan_turn(plans or planner(), Prompt(**(wanted | facts)))


def only(turn: Turn) -> Segment:
    (choice,) = turn.choices
    (segment,) = choice.segments
    return segment


def text(segment: Segment) -> str:
    shown = shown_text(segment)
    assert shown is not None
    return shown.text


class TestCalls:
    """Tool calls."""

    def test_a_call_has_arguments_of_its_schema_from_the_message(self) -> None:
        """FIT-1.6: The city and the number of the message are the arguments."""
        segment = only(plan(tools=(WEATHER,)))

        assert isinstance(segment, ToolCallSegment)
        assert json.loads(text(segment)) == {"city": "Paris", "days": 3}

    def test_a_function_without_parameters_gets_none(self) -> None:
        """FIT-1.6: Its arguments are an empty object, not a random one."""
        assert text(only(plan(tools=(Tool("now"),), tool_choice=REQUIRED))) == "{}"

    def test_name_and_arguments_are_tokens(self) -> None:
        """FIT-1.7: Both are counted, and the tokens of the name come first."""
        turn = plan(tools=(WEATHER,))
        segment = only(turn)

        assert turn.choices[0].finish is FinishReason.TOOL_CALLS
        assert segment.header_tokens == WORDS.count("get_weather")
        assert turn.usage.completion == segment.tokens == segment.header_tokens + WORDS.count(text(segment))

    def test_ids_of_calls_are_unique(self) -> None:
        """FIT-1.8: Over choices and turns."""
        turns = [plan(tools=(WEATHER,), choices=3) for _ in range(3)]
        ids = {
            segment.call.id
            for turn in turns
            for choice in turn.choices
            for segment in choice.segments
            if segment.call is not None
        }

        assert len(ids) == 9
        assert all(len(call_id) == 24 for call_id in ids)

    def test_a_custom_tool_gets_text(self) -> None:
        """FIT-1.9: A quotation of the message, or what the grammar allows."""
        grammar = json.dumps({"type": "string", "pattern": "^(?:[ab]{3})$"}).encode()
        note, code = Tool("note", ToolKind.CUSTOM), Tool("code", ToolKind.CUSTOM, schema=grammar)

        message = 'Note "Buy milk"'
        assert text(only(plan(message=message, tools=(note,), tool_choice=REQUIRED))) == "Buy milk"
        assert set(text(only(plan(tools=(code,), tool_choice=REQUIRED)))) <= set("ab")

    def test_a_hosted_call_is_followed_by_text(self) -> None:
        """FIT-1.10: The turn continues after the provider has run it, and ends as any text does."""
        plans = planner(ToolSettings(hosted_calls=True), target_tokens=5)
        choice = plan(plans, message="Cats", tools=(Tool("web_search", ToolKind.HOSTED),)).choices[0]

        assert [type(segment) for segment in choice.segments] == [ToolCallSegment, TextSegment]
        assert text(choice.segments[0]) == "Cats"
        assert choice.finish is FinishReason.STOP

    def test_a_call_that_the_client_runs_ends_the_turn(self) -> None:
        """FIT-1.14: The turn waits for the output, also behind a hosted call."""
        shell = Tool("shell", ToolKind.CLIENT_HOSTED, "Run shell commands")
        search = Tool("web_search", ToolKind.HOSTED)
        plans = planner(ToolSettings(hosted_calls=True))
        choice = plan(plans, message="Run `pwd` in a shell", tools=(search, shell)).choices[0]

        assert [segment.call.name for segment in choice.segments] == ["web_search", "shell"]
        assert text(choice.segments[1]) == '{"commands":["pwd"]}'
        assert choice.finish is FinishReason.TOOL_CALLS

    @pytest.mark.parametrize("limit", range(1, 20))
    def test_a_limit_cuts_a_call(self, limit: int) -> None:
        """FIT-1.11: No more tokens than the limit, and `length`, wherever it falls; a complete call is not cut."""
        full = only(plan(tools=(WEATHER,), seed=1))
        turn = plan(tools=(WEATHER,), limit=limit, seed=1)

        assert turn.usage.completion <= limit
        if limit < full.tokens:
            assert turn.choices[0].finish is FinishReason.LENGTH
            assert text(full).startswith(text(only(turn)))
        else:
            assert turn.choices[0].finish is FinishReason.TOOL_CALLS

    def test_calls_and_results_are_counted(self) -> None:
        """FIT-1.7: In a prompt, a call costs its name and arguments, and a result its text."""
        bare = Prompt(model="m", messages=(Message("assistant", ()), Message("tool", ())))
        full = Prompt(
            model="m",
            messages=(
                Message("assistant", (), calls=(PriorToolCall("1", "weather", '{"a":1}'),)),
                Message("tool", (), results=(ToolResult("1", "fine"),)),
            ),
        )
        more = WORDS.count("weather") + WORDS.count('{"a":1}') + WORDS.count("fine")

        assert count_prompt(full, WORDS) == count_prompt(bare, WORDS) + more


class TestResponseFormats:
    """Text of a requested format."""

    def test_the_text_is_an_instance(self) -> None:
        """FIT-2.1: Of the schema, with the values of the message."""
        assert json.loads(text(only(plan(form=ResponseFormat(SCHEMA))))) == {"city": "Paris", "days": 3}

    def test_any_object_is_an_object(self) -> None:
        """FIT-2.2: Without a schema it is some object."""
        assert isinstance(json.loads(text(only(plan(form=ResponseFormat())))), dict)

    @pytest.mark.parametrize(
        "around", ["{}", "Answer by this schema:\n```json\n{}\n```\nlike {{this}}.", "{{ {} }}"]
    )
    def test_a_schema_in_the_prompt_is_followed(self, around: str) -> None:
        """FIT-2.2: A schema in a message is followed; an invalid one is ignored."""
        messages = (
            Message("system", (around.format(SCHEMA.decode()),)),
            Message("user", ("In Rome for 4 days",)),
        )

        assert json.loads(text(only(plan(form=ResponseFormat(), messages=messages)))) == {
            "city": "Rome",
            "days": 4,
        }
        broken = (Message("user", ('{"properties": {"a": {"type": "banana"}}}',)),)
        assert isinstance(json.loads(text(only(plan(form=ResponseFormat(), messages=broken)))), dict)

    def test_a_fixed_text_that_conforms_is_kept(self) -> None:
        """FIT-2.1: A configured text has precedence if it is an instance, and only then."""
        fits, other = '{"city": "Rome", "days": 1}', "Hello"

        assert text(only(plan(planner(generator=f"fixed:{fits}"), form=ResponseFormat(SCHEMA)))) == fits
        assert json.loads(text(only(plan(planner(generator=f"fixed:{other}"), form=ResponseFormat(SCHEMA)))))
        assert text(only(plan(planner(generator=f"fixed:{fits}"), form=ResponseFormat()))) == fits

    def test_limits_and_stops_hold(self) -> None:
        """FIT-2.4: A limit gives `length`, a stop text ends the text before it."""
        cut = plan(form=ResponseFormat(SCHEMA), limit=3).choices[0]
        stopped = plan(form=ResponseFormat(SCHEMA), stop=("days",)).choices[0]

        assert (cut.finish, cut.tokens) == (FinishReason.LENGTH, 3)
        assert (stopped.finish, stopped.stopped_by) == (FinishReason.STOP, "days")
        assert "days" not in text(stopped.segments[0])

    def test_calls_come_before_response_formats(self) -> None:
        """FIT-2.1: If both are requested, the tool is called first, and the last response has the format."""
        assert type(only(plan(tools=(WEATHER,), form=ResponseFormat(SCHEMA)))) is ToolCallSegment


class TestRefusals:
    """Refusals and filtered responses."""

    def test_refusals_have_the_configured_text(self) -> None:
        """FIT-4.1: With rate 1 every response is a refusal, also if a call or a format was requested."""
        plans = planner(refusal_rate=1.0, refusal_text="No.")
        for facts in ({}, {"tools": (WEATHER,)}, {"form": ResponseFormat(SCHEMA)}):
            turn = plan(plans, **facts)

            assert (type(only(turn)), text(only(turn))) == (RefusalSegment, "No.")
            assert turn.choices[0].finish is FinishReason.STOP

    def test_filtered_responses_are_truncated(self) -> None:
        """FIT-4.2: In the first half of the response."""
        plans = planner(content_filter_rate=1.0, target_tokens=50)
        for _ in range(20):
            choice = plan(plans).choices[0]

            assert choice.finish is FinishReason.CONTENT_FILTER
            assert 1 <= choice.tokens <= 26

    def test_rates_are_shares(self) -> None:
        """FIT-4.1: A rate of a half refuses half of the choices, of one request, too."""
        plans = planner(refusal_rate=0.5, seed=4)
        kinds = [type(choice.segments[0]) for choice in plan(plans, choices=128).choices]

        assert 40 < kinds.count(RefusalSegment) < 88


class TestTogether:
    """All features at once."""

    ALL = {"tools": (WEATHER,), "form": ResponseFormat(SCHEMA), "logprobs": 3, "choices": 4}

    def test_each_choice_fits(self) -> None:
        """FIT-5.1: Each of several choices has the format, and the probabilities of its own text."""
        for choice in plan(form=ResponseFormat(SCHEMA), logprobs=2, choices=5).choices:
            (segment,) = choice.segments
            tokens = b"".join(token.token for piece in segment.logprobs for token in piece)

            assert json.loads(text(segment))["city"]
            assert tokens.decode() == text(segment)

    @pytest.mark.parametrize("message", ["Weather in Oslo", "Tell me a joke"])
    def test_a_seed_repeats_all_of_it(self, message: str) -> None:
        """FIT-5.1: The same request with a seed has the same response, refusals and probabilities included."""
        plans = planner(ToolSettings(call_probability=0.5), refusal_rate=0.3, content_filter_rate=0.3)

        def planned(seed: int) -> list[tuple[type[Segment], str, object]]:
            turn = plan(plans, message=message, seed=seed, **self.ALL)
            return [
                (type(segment), text(segment), getattr(segment, "logprobs", None))
                for choice in turn.choices
                for segment in choice.segments
            ]

        assert all(planned(seed) == planned(seed) for seed in range(10))
        assert len({str(planned(seed)) for seed in range(10)}) > 1

    def test_reasoning_comes_first(self) -> None:
        """FIT-1.7: A reasoning model reasons before it calls, in proportion to the call."""
        turn = plan(model="gpt-5", tools=(WEATHER,), effort="medium")
        thought, call = turn.choices[0].segments

        assert (type(thought), thought.tokens) == (ReasoningSegment, 3 * call.tokens)
