"""The planner: what is refused, what fails, and what is answered."""

import functools
import math
import pickle
from collections import Counter
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.planning import FakeCounters, count_prompt, plan, plan_turn
from support.turns import shown_text

from llmsim.catalogue import load_catalogue
from llmsim.config import ErrorSettings, LatencySettings, ResponseSettings, Settings
from llmsim.domain import (
    Fault,
    FinishReason,
    Image,
    Message,
    Prompt,
    ReasoningSegment,
    Segment,
    TextSegment,
    Tool,
    ToolCallSegment,
    ToolChoice,
    ToolMode,
    Turn,
)
from llmsim.errors import ContextLengthError, VisionError
from llmsim.planning.planner import Planner
from llmsim.planning.reasoning import EFFORTS
from llmsim.planning.tokens import load_tokenizer
from llmsim.scripts import ScriptStep, ScriptTurn, TurnKind

CATALOGUE = load_catalogue()
WORDS = load_tokenizer("o200k_base")
IMAGE = Image(("messages", 0, "content", 1))


def planner(*, errors: dict[str, Any] | None = None, **response: Any) -> Planner:
    settings = Settings(response=ResponseSettings(**response), errors=ErrorSettings(**(errors or {})))
    return Planner(settings, CATALOGUE, lambda: 1_750_000_000.9)


# Building one takes some 40 ms; those without a memory of their own are shared.
shared = functools.cache(planner)


def asked(text: str = "Hello", **facts: Any) -> Prompt:
    return Prompt(**({"model": "gpt-4o", "messages": (Message("user", (text,)),)} | facts))


def texts(turn: Turn) -> list[str]:
    return [
        shown.text for choice in turn.choices for segment in choice.segments if (shown := shown_text(segment))
    ]


def segments(turn: Turn) -> list[tuple[type[Segment], int]]:
    return [(type(segment), segment.tokens) for choice in turn.choices for segment in choice.segments]


class TestRefusals:
    """What the model would not take."""

    def test_an_image_for_a_known_model_without_vision_is_refused(self) -> None:
        """CHAT-1.4: The refusal names the model and the first image."""
        with pytest.raises(VisionError) as refused:
            plan(shared(), asked(model="gpt-4", images=(IMAGE, Image(("messages", 3)))))

        assert (refused.value.model, refused.value.path) == ("gpt-4", IMAGE.path)

    @pytest.mark.parametrize(
        ("model", "tokens"),
        [
            ("gpt-4o", 765),
            ("claude-opus-4-8", 37 * 37),
            ("somebody-elses-model", 765),
            ("gpt-4-unknown-9000", 765),
        ],
    )
    def test_an_image_for_any_other_model_costs_tokens(self, model: str, tokens: int) -> None:
        """CHAT-1.4: A model that sees, or that nobody knows, takes images."""
        without = plan_turn(shared(), asked(model=model))
        with_one = plan_turn(shared(), asked(model=model, images=(IMAGE,)))

        assert with_one.usage.prompt == without.usage.prompt + tokens

    def test_a_prompt_longer_than_the_window_is_refused_with_both_counts(self) -> None:
        """CHAT-1.8: A prompt of more tokens than the window is refused."""
        window = CATALOGUE.facts("gpt-4").context_window
        prompt = asked(" four" * window, model="gpt-4")

        with pytest.raises(ContextLengthError) as refused:
            plan(shared(), prompt)

        assert refused.value.window == window
        assert refused.value.tokens == window + 7 == count_prompt(prompt, load_tokenizer("cl100k_base"))

    def test_a_prompt_that_fills_the_window_is_taken_and_gets_no_answer(self) -> None:
        """CHAT-1.8: A prompt of just the window is taken; CHAT-2.1: nothing is left for an answer."""
        window = CATALOGUE.facts("gpt-4").context_window
        turn = plan_turn(shared(), asked(" four" * (window - 7), model="gpt-4"))

        assert turn.usage.prompt == window
        assert turn.usage.completion == 0
        assert [choice.finish for choice in turn.choices] == [FinishReason.LENGTH]

    def test_an_answer_ends_where_the_window_ends(self) -> None:
        """CHAT-2.1: Prompt and answer together fit the window."""
        window = CATALOGUE.facts("gpt-4").context_window
        turn = plan_turn(shared(), asked(" four" * (window - 17), model="gpt-4"))

        assert turn.usage.total == window
        assert turn.choices[0].finish is FinishReason.LENGTH

    def test_an_answer_ends_at_the_models_own_maximum(self) -> None:
        """CHAT-2.1: A known model makes no more than its maximum output."""
        most = CATALOGUE.facts("gpt-4").max_output_tokens
        turn = plan_turn(shared(generator="random", target_tokens=most + 50), asked(model="gpt-4"))

        assert turn.usage.completion <= most
        assert turn.choices[0].finish is FinishReason.LENGTH

    def test_without_enforcement_no_window_is_looked_at(self) -> None:
        """CHAT-1.8: With `response.enforce_context_window` off, any prompt gets its whole answer."""
        lenient = shared(enforce_context_window=False)
        window = CATALOGUE.facts("gpt-4").context_window
        turn = plan_turn(lenient, asked(" four" * (window + 10), model="gpt-4"))

        assert turn.usage.prompt > window
        assert turn.usage.completion == 100
        assert turn.choices[0].finish is FinishReason.STOP

    def test_refusals_go_before_faults(self) -> None:
        """CHAT-4.1: A request that would be refused anyway is never a simulated failure, and takes no number."""
        counters = FakeCounters()
        failing = planner(errors={"rate_limit_rate": 1.0}, seed=1)

        for _ in range(3):
            with pytest.raises(VisionError):
                plan(failing, asked(model="gpt-4", images=(IMAGE,)), counters)
        assert isinstance(plan(failing, asked(), counters), Fault)
        assert counters.taken["request"] == 1


class TestCounting:
    """What the prompt costs."""

    def test_the_formula_counts_messages_names_and_the_reply(self) -> None:
        """CHAT-2.6: 4 a message, 1 a name, 3 for the reply, and the texts."""
        prompt = asked(
            messages=(
                Message("system", ("You are kind.",)),
                Message("user", ("Hello", " world"), name="ann"),
                Message("assistant", (), notes=("f", "{}")),
            )
        )
        count = WORDS.count

        assert count_prompt(prompt, WORDS) == (
            3
            + 3 * 4
            + count("You are kind.")
            + count("Hello")
            + count(" world")
            + 1
            + count("ann")
            + count("f")
            + count("{}")
        )

    def test_the_cookbooks_example_comes_out_as_it_says(self) -> None:
        """CHAT-2.6: The worked example of OpenAI's cookbook costs what the API reported for it."""
        # Source: OpenAI cookbook, "How to count tokens with tiktoken": example_messages; gpt-4 129, gpt-4o 124.
        system = [
            (
                None,
                "You are a helpful, pattern-following assistant that translates corporate jargon into plain English.",
            ),
            ("example_user", "New synergies will help drive top-line growth."),
            ("example_assistant", "Things working well together will increase revenue."),
            (
                "example_user",
                "Let's circle back when we have more bandwidth to touch base on opportunities for increased leverage.",
            ),
            ("example_assistant", "Let's talk later when we're less busy about how to do better."),
        ]
        user = "This late pivot means we don't have time to boil the ocean for the client deliverable."
        messages = (
            *(Message("system", (text,), name=name) for name, text in system),
            Message("user", (user,)),
        )
        prompt = asked(messages=messages)

        assert count_prompt(prompt, load_tokenizer("cl100k_base")) == 129
        assert count_prompt(prompt, WORDS) == 124

    def test_what_is_no_text_costs_what_the_provider_says(self) -> None:
        """CHAT-2.6: Files and audio are counted as the provider prices them."""
        plain = asked(messages=(Message("user", ("Hi",)),))
        filed = asked(messages=(Message("user", ("Hi",), extra_tokens=765),))

        assert count_prompt(filed, WORDS) == count_prompt(plain, WORDS) + 765


class TestAnswers:
    """What a turn holds."""

    def test_a_turn_names_its_model_and_time(self) -> None:
        """CHAT-2.7: The model as requested, and whole seconds of unix time."""
        turn = plan_turn(shared(), asked(model="openai/gpt-4o-2024-08-06"))

        assert turn.model == "openai/gpt-4o-2024-08-06"
        assert turn.created == 1_750_000_000

    def test_ids_never_recur(self) -> None:
        """CHAT-2.7: Every turn has an id of its own."""
        ids = [plan_turn(shared(), asked()).id for _ in range(200)]

        assert len(set(ids)) == 200

    def test_each_process_has_ids_of_its_own(self) -> None:
        """ARCH-3.2: After a fork, a process draws a new prefix."""
        parent = planner(generator="random")
        before = parent.new_id()
        parent.start_process()
        after = parent.new_id()

        assert before[:18] != after[:18]

    @pytest.mark.parametrize("choices", [1, 2, 7])
    def test_every_choice_is_answered(self, choices: int) -> None:
        """CHAT-2.3: `n` choices come, and usage is their sum."""
        turn = plan_turn(shared(generator="random", target_tokens=20), asked(choices=choices))

        assert len(turn.choices) == choices
        assert len(set(texts(turn))) == choices
        assert turn.usage.completion == 20 * choices
        assert turn.length == 20

    @given(st.integers(1, 130), st.integers(1, 3))
    def test_a_limit_holds_for_each_choice(self, limit: int, choices: int) -> None:
        """CHAT-2.1: At most so many tokens a choice, and `length` when something was cut."""
        turn = plan_turn(shared(), asked(limit=limit, choices=choices))

        assert [choice.tokens for choice in turn.choices] == [min(limit, 100)] * choices
        finish = FinishReason.LENGTH if limit < 100 else FinishReason.STOP
        assert {choice.finish for choice in turn.choices} == {finish}

    def test_a_huge_limit_is_no_limit(self) -> None:
        """CHAT-2.1: A limit beyond any answer changes nothing."""
        assert plan_turn(shared(), asked(limit=10**400)).usage.completion == 100

    def test_a_stop_text_ends_the_answer(self) -> None:
        """CHAT-2.2: The text ends before the stop text with `stop`, and only its tokens are counted."""
        turn = plan_turn(shared(generator="fixed:one two three four"), asked(stop=("zzz", " three", "four")))

        assert texts(turn) == ["one two"]
        assert turn.usage.completion == 2
        assert turn.choices[0].finish is FinishReason.STOP

    def test_a_limit_before_the_stop_text_cuts(self) -> None:
        """CHAT-2.1: Where the limit comes first, the reason is `length`; CHAT-2.2: where not, `stop`."""
        fixed = shared(generator="fixed:one two three four")

        assert plan_turn(fixed, asked(stop=(" four",), limit=2)).choices[0].finish is FinishReason.LENGTH
        assert plan_turn(fixed, asked(stop=(" two",), limit=2)).choices[0].finish is FinishReason.STOP

    def test_an_empty_answer_is_an_answer(self) -> None:
        """CHAT-2.6: An empty text costs nothing and ends by itself."""
        turn = plan_turn(shared(generator="echo"), asked(""))

        assert texts(turn) == [""]
        assert turn.usage.completion == 0
        assert turn.choices[0].finish is FinishReason.STOP

    @pytest.mark.parametrize("generator", ["lorem", "random", "echo", "fixed:x 🦜 y"])
    def test_usage_is_the_sum_of_what_is_spoken(self, generator: str) -> None:
        """CHAT-2.6: `completion_tokens` is the tokens of all segments of all choices."""
        turn = plan_turn(shared(generator=generator), asked("Say 👩‍👧 it", model="gpt-5", choices=3))

        spoken = [
            shown.tokens
            for choice in turn.choices
            for segment in choice.segments
            if (shown := shown_text(segment))
        ]
        thought = sum(tokens for kind, tokens in segments(turn) if kind is ReasoningSegment)
        assert turn.usage.completion == sum(spoken) + thought
        assert turn.usage.reasoning == thought


class TestReasoning:
    """What a model thinks before it speaks."""

    @pytest.mark.parametrize(
        ("effort", "factor"),
        [("none", 0), ("minimal", 0.5), ("low", 1.5), ("medium", 3), ("high", 6), ("xhigh", 10), ("max", 15)],
    )
    def test_effort_is_a_multiple_of_what_is_visible(self, effort: str, factor: float) -> None:
        """CHAT-2.5: Each effort adds its multiple of the visible tokens, before the text."""
        turn = plan_turn(shared(), asked(model="gpt-5", effort=effort))

        thought = round(100 * factor)
        wanted = [(ReasoningSegment, thought)] * bool(thought) + [(TextSegment, 100)]
        assert segments(turn) == wanted
        assert (turn.usage.reasoning, turn.usage.completion) == (thought, thought + 100)

    def test_every_effort_of_the_catalogue_has_a_factor(self) -> None:
        """CHAT-2.5: No model has a default effort that nobody can plan."""
        assert {model.default_effort for model in CATALOGUE.models.values()} <= set(EFFORTS)

    @pytest.mark.parametrize("model", ["gpt-5", "gpt-5.1", "gpt-5-pro", "o3", "deepseek-reasoner"])
    def test_without_an_effort_it_is_the_models_own(self, model: str) -> None:
        """CHAT-2.5: A request that says nothing gets the model's default."""
        turn = plan_turn(shared(), asked(model=model))

        assert turn.usage.reasoning == round(100 * EFFORTS[CATALOGUE.facts(model).default_effort])

    @pytest.mark.parametrize("model", ["gpt-4o", "gpt-4", "somebody-elses-model"])
    def test_a_model_that_does_not_reason_does_not(self, model: str) -> None:
        """CHAT-2.5: An effort has no effect on a model that does not reason."""
        assert plan_turn(shared(), asked(model=model, effort="xhigh")).usage.reasoning == 0

    @pytest.mark.parametrize(
        ("limit", "thought", "visible"),
        [(1, 1, 0), (299, 299, 0), (300, 300, 0), (301, 300, 1), (399, 300, 99)],
    )
    def test_reasoning_counts_against_the_limit_first(self, limit: int, thought: int, visible: int) -> None:
        """CHAT-2.1: Reasoning eats the limit first; a text cut short or to nothing finishes with `length`."""
        turn = plan_turn(shared(), asked(model="gpt-5", effort="medium", limit=limit))

        assert segments(turn) == [(ReasoningSegment, thought), (TextSegment, visible)]
        assert (turn.usage.completion, turn.usage.reasoning) == (limit, thought)
        assert turn.choices[0].finish is FinishReason.LENGTH

    def test_reasoning_follows_the_text_that_a_stop_text_leaves(self) -> None:
        """CHAT-2.5: The visible tokens are those after the stop text took its share."""
        turn = plan_turn(
            shared(generator="fixed:one two three four"),
            asked(model="gpt-5", effort="medium", stop=(" three",)),
        )

        assert segments(turn) == [(ReasoningSegment, 6), (TextSegment, 2)]

    def test_reasoning_is_hidden(self) -> None:
        """CHAT-2.5: Reasoning has tokens and no text."""
        turn = plan_turn(shared(), asked(model="gpt-5", effort="low"))

        assert turn.choices[0].segments[0] == ReasoningSegment(150, None)

    def test_reasoning_takes_its_time(self) -> None:
        """LAT-2.4: The schedule of a turn counts its reasoning: it is as long as both."""
        turn = plan_turn(shared(), asked(model="gpt-5", effort="medium"))

        assert turn.length == 400


class TestTiming:
    """Which schedule a turn has."""

    def test_each_model_has_a_profile_of_its_own(self) -> None:
        """LAT-1.2: Without a setting a turn's schedule is that of its model's profile."""
        for model, itl in (("gpt-4o", 0.025), ("gpt-5", 0.040), ("o3", 0.030), ("claude-haiku-4-5", 0.015)):
            assert plan_turn(shared(), asked(model=model)).schedule.itl == pytest.approx(itl)

    def test_a_setting_puts_another_in_its_place(self) -> None:
        """LAT-1.3: `latency.profile` holds for every model."""
        settings = Settings(latency=LatencySettings(profile="instant"))
        instant = Planner(settings, CATALOGUE, lambda: 0.0)

        assert plan_turn(instant, asked(model="gpt-5", effort="max")).schedule.due(1000) == 0.0

    def test_time_to_first_token_is_distributed_as_the_profile_says(self) -> None:
        """LAT-1.4: Over many turns of one model the mean is that of the profile."""
        ttfts = [plan_turn(shared(), asked()).schedule.ttft for _ in range(2000)]

        assert math.fsum(ttfts) / len(ttfts) == pytest.approx(0.4, rel=0.05)


class TestSeeds:
    """What repeats, and what does not."""

    @pytest.mark.parametrize("generator", ["lorem", "random", "echo"])
    @pytest.mark.parametrize("seed", [0, 1, -(2**63), 2**63 - 1])
    def test_the_same_request_and_seed_give_the_same_turn(self, generator: str, seed: int) -> None:
        """CHAT-2.4: Whichever worker answers, and whatever it answered before, streamed or not."""
        one, other = shared(generator=generator), planner(generator=generator)
        for _ in range(3):
            plan(one, asked("something else"))
        first = plan_turn(one, asked(seed=seed, choices=2))
        second = plan_turn(other, asked(seed=seed, choices=2, stream=True))

        assert texts(first) == texts(second)
        assert first.schedule == second.schedule
        assert first.id != second.id

    def test_another_seed_gives_another_turn(self) -> None:
        """CHAT-2.4: Seeds, models and messages all make a difference."""
        random = shared(generator="random")
        prompts = [
            asked(seed=1),
            asked(seed=2),
            asked(seed=1, model="gpt-4o-mini"),
            asked("Hallo", seed=1),
            asked(seed=1, images=(IMAGE,)),
        ]

        assert len({texts(plan_turn(random, prompt))[0] for prompt in prompts}) == len(prompts)

    def test_a_limit_cuts_the_same_text(self) -> None:
        """CHAT-2.4: What only ends an answer earlier does not change its beginning."""
        random = shared(generator="random")
        whole, cut = (texts(plan_turn(random, asked(seed=1, limit=limit)))[0] for limit in (None, 10))

        assert whole.startswith(cut)

    def test_without_a_seed_texts_and_times_vary(self) -> None:
        """CHAT-2.4: The same request twice gets two answers."""
        random = shared(generator="random")
        turns = [plan_turn(random, asked()) for _ in range(10)]

        assert len({texts(turn)[0] for turn in turns}) == 10
        assert len({turn.schedule.ttft for turn in turns}) == 10

    def test_unseeded_workers_have_random_states_of_their_own(self) -> None:
        """ARCH-3.2: Workers that share a planner before the fork do not answer alike after it."""
        parent = planner(generator="random")
        workers = [pickle.loads(pickle.dumps(parent._rng.getstate())) for _ in range(2)]
        answers = []
        for state in workers:
            parent._rng.setstate(state)
            parent.start_process()
            answers.append(texts(plan_turn(parent, asked()))[0])

        assert answers[0] != answers[1]

    def test_a_server_seed_makes_texts_a_matter_of_the_request(self) -> None:
        """ARCH-3.7: With a server seed the same request has the same text, in whatever order requests come."""
        first = planner(generator="random", seed=7)
        second = planner(generator="random", seed=7)
        prompts = [asked(f"question {number}", choices=2) for number in range(5)]
        counters, others = FakeCounters(), FakeCounters()
        forwards = {prompt.messages: texts(plan_turn(first, prompt, counters)) for prompt in prompts}
        backwards = {
            prompt.messages: texts(plan_turn(second, prompt, others)) for prompt in reversed(prompts)
        }

        assert forwards == backwards

    def test_a_requests_own_seed_goes_before_the_servers(self) -> None:
        """CHAT-2.4: A seeded request gets the same text from a seeded server as from any other."""
        assert texts(plan_turn(planner(generator="random", seed=7), asked(seed=1))) == texts(
            plan_turn(shared(generator="random"), asked(seed=1))
        )

    def test_another_server_seed_gives_other_texts(self) -> None:
        """ARCH-3.7: Server seeds, zero among them, make a difference."""
        spoken = {texts(plan_turn(planner(generator="random", seed=seed), asked()))[0] for seed in (0, 1, 2)}

        assert len(spoken) == 3

    @pytest.mark.parametrize("workers", [2, 5])
    def test_a_server_seed_repeats_ids_texts_and_faults(self, workers: int) -> None:
        """CHAT-4.4: Request k of a run has the same outcome with one worker and with many."""
        rates = {"rate_limit_rate": 0.2, "server_error_rate": 0.2, "timeout_rate": 0.1}
        prompts = [asked(f"question {number % 7}") for number in range(60)]

        def run(count: int) -> list[Any]:
            counters = FakeCounters()
            workers = [planner(errors=rates, generator="random", seed=7) for _ in range(count)]
            outcomes = [
                plan(workers[number * number % count], prompt, counters)
                for number, prompt in enumerate(prompts)
            ]
            return [
                (outcome.id, texts(outcome), outcome.schedule) if isinstance(outcome, Turn) else outcome
                for outcome in outcomes
            ]

        alone = run(1)
        assert alone == run(workers)
        kinds = Counter(type(outcome) for outcome in alone)
        assert kinds[Fault] > 10
        assert kinds[tuple] > 10

    def test_a_resumed_conversation_gets_ids_of_its_own(self) -> None:
        """ARCH-3.16: After a start, a request of the same number has the same id only if it has the same content."""
        fields: dict[str, Any] = {"tools": (Tool("f"),), "tool_choice": ToolChoice(ToolMode.REQUIRED)}
        first, again = asked("weather", **fields), asked("weather", **fields)
        history = (*first.messages, Message("assistant", ("Sunny.",)), *asked("and now?").messages)
        resumed = msgspec.structs.replace(first, messages=history)

        def ids(prompt: Prompt) -> tuple[str, str]:
            turn = plan_turn(planner(seed=7), prompt)  # request 0 of a new start
            call = turn.choices[0].segments[-1]
            assert isinstance(call, ToolCallSegment)
            return turn.id, call.call.id

        assert ids(first) == ids(again)
        assert not {*ids(first)} & {*ids(resumed)}
        assert ids(first) != ids(msgspec.structs.replace(first, seed=1))

    def test_scripts_and_warm_ups_have_seeded_ids(self) -> None:
        """ARCH-3.16: Turns of scripts, and empty turns, have them as generated ones have."""
        step = ScriptStep(0, ScriptTurn(kind=TurnKind.ASSISTANT, text="Hello"))

        def ids(prompt: Prompt, number: int) -> tuple[str, str]:
            plans = planner(seed=7)
            facts = plans.analyze(prompt)
            played = plans.play(prompt, facts, step, plans.outcome_rng(number))
            assert isinstance(played, Turn)
            return played.id, plans.plan_empty(prompt, facts, plans.outcome_rng(number)).id

        assert ids(asked("a"), 1) == ids(asked("a"), 1)
        assert not {*ids(asked("a"), 1)} & {*ids(asked("b"), 1), *ids(asked("a"), 2)}

    def test_faults_come_at_their_rate_under_a_server_seed(self) -> None:
        """CHAT-4.1: Over many numbered requests the rates come out."""
        failing, counters = planner(errors={"rate_limit_rate": 0.25}, seed=11), FakeCounters()
        outcomes = [plan(failing, asked(), counters) for _ in range(4000)]

        share = sum(isinstance(outcome, Fault) for outcome in outcomes) / len(outcomes)
        assert share == pytest.approx(0.25, abs=0.025)

    def test_a_requests_seed_does_not_decide_its_fault(self) -> None:
        """CHAT-4.1: Requests that all carry one seed do not all fail, or all succeed, together."""
        failing = planner(errors={"rate_limit_rate": 0.5})
        outcomes = [plan(failing, asked(seed=1)) for _ in range(100)]

        assert 20 < sum(isinstance(outcome, Fault) for outcome in outcomes) < 80
