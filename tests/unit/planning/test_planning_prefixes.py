"""Prefixes of prompts that are cached automatically: where they end, and what tells them apart."""

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.driving import drive
from support.fakes import FakeClock
from support.planning import CATALOGUE, plan_turn

from llmsim.config import CacheSettings, LatencySettings, Settings, StoreSettings
from llmsim.domain import (
    Attachment,
    AutomaticCache,
    Image,
    Message,
    PriorToolCall,
    Prompt,
    ResponseFormat,
    Tool,
    ToolResult,
    Turn,
)
from llmsim.planning.planner import Planner
from llmsim.planning.prompt_prefixes import STEP
from llmsim.server.worker_context import WorkerContext
from llmsim.state.prefix_cache import SqlitePrefixCache

LONG = Message("system", (" play" * 1500,))
QUESTION = Message("user", ("Hello",))
IMAGES = (Image(("messages", 0)),)


def prompt_of(*messages: Message, model: str = "gpt-4o", **fields: Any) -> Prompt:
    return Prompt(model=model, messages=messages, **({"cache": AutomaticCache()} | fields))


Ask = Callable[..., Turn]


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def ask(tmp_path: Any, clock: FakeClock) -> Ask:
    """Plans a prompt with a cache that all prompts of the test share."""
    cache = SqlitePrefixCache(tmp_path / "prefixes", StoreSettings(), clock)
    planner = Planner(
        Settings(latency=LatencySettings(profile="instant", ttft_mean_ms=1000)), CATALOGUE, clock
    )

    def plan(*messages: Message, **fields: Any) -> Turn:
        return plan_turn(planner, prompt_of(*messages, **fields), cache=cache)

    return plan


def test_a_long_prompt_is_read_the_second_time(ask: Ask) -> None:
    """COST-2.1, COST-2.6: All whole steps of it, and the first token comes sooner."""
    first, second = ask(LONG, QUESTION), ask(LONG, QUESTION)

    assert (first.usage.cached, second.usage.cached) == (0, 1500 // STEP * STEP)
    assert first.usage.prompt == second.usage.prompt == 1500 + 1 + 2 * 4 + 3
    share = second.usage.cached / second.usage.prompt
    assert second.schedule.ttft == pytest.approx(first.schedule.ttft * (1 - share / 2))


def test_what_two_prompts_have_in_common_is_read(ask: Ask) -> None:
    """COST-2.1: Where they part in a long text is found to a step; what is less than 1,024 tokens is not read."""
    ask(Message("user", (" play" * 2000 + " work" * 500,)))

    assert ask(Message("user", (" play" * 2000 + " rest" * 3000,))).usage.cached == 2000 // STEP * STEP
    assert ask(Message("user", (" play" * 1000 + " rest" * 3000,))).usage.cached == 0


def test_a_conversation_reads_its_earlier_turns(ask: Ask) -> None:
    """COST-2.1: Each turn reads all that came before it, short messages and results of tools, too."""
    messages = [LONG]
    for turn in range(30):
        before = list(messages)
        messages.append(Message("user", (f"Question {turn}" * 20,)))
        messages.append(Message("assistant", (), calls=(PriorToolCall(f"c{turn}", "f", "{}" * 30),)))
        messages.append(Message("tool", (), results=(ToolResult(f"c{turn}", "result" * 100),)))
        cached, least = ask(*messages).usage.cached, ask(*before).usage.prompt - 3
        assert cached % STEP == 0
        if turn:
            assert least - STEP < cached <= least


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({"model": "gpt-4o"}, {"model": "gpt-4.1"}),
        ({}, {"cache": AutomaticCache("key")}),
        ({"cache": AutomaticCache("a")}, {"cache": AutomaticCache("b")}),
        ({"tools": (Tool("f"),)}, {"tools": (Tool("g"),)}),
        ({"tools": (Tool("f"),)}, {}),
        ({"form": ResponseFormat(b"{}", "n")}, {}),
        (
            {"images": IMAGES, "attachments": (Attachment(0, 0, "x", 0),)},
            {"images": IMAGES, "attachments": (Attachment(0, 0, "y", 0),)},
        ),
        ({"attachments": (Attachment(0, 0, "x"),)}, {"attachments": (Attachment(0, 0, "y"),)}),
    ],
)
def test_other_prompts_are_not_read(ask: Ask, one: dict[str, Any], other: dict[str, Any]) -> None:
    """COST-2.3, COST-2.4: Whatever comes before the text, or divides prompts, is part of the prefix."""
    ask(LONG, **one)

    assert ask(LONG, **other).usage.cached == 0
    assert ask(LONG, **one).usage.cached > 0


def test_what_is_behind_a_difference_is_not_read(ask: Ask) -> None:
    """COST-2.3: An image between two texts leaves the first of them in common."""
    messages = (Message("user", (" play" * 1500, " work" * 1500)),)
    ask(*messages, images=IMAGES, attachments=(Attachment(0, 1, "x", 0),))

    assert ask(*messages, images=IMAGES, attachments=(Attachment(0, 1, "y", 0),)).usage.cached == 11 * STEP
    assert ask(*messages, images=IMAGES, attachments=(Attachment(0, 1, "x", 0),)).usage.cached > 3000


@pytest.mark.parametrize(
    ("lifetime", "model", "seconds"),
    [(600, "gpt-4.1", 600), (86_400, "gpt-4o", 86_400), (None, "gpt-4o", 600), (None, "gpt-5.5", 86_400)],
)
def test_prompts_expire(ask: Ask, clock: FakeClock, lifetime: int | None, model: str, seconds: int) -> None:
    """COST-2.5: After their lifetime without use, as the request or the model has it."""
    options = {"model": model, "cache": AutomaticCache("", lifetime)}
    ask(LONG, **options)
    for _ in range(3):
        clock.now += seconds - 1
        assert ask(LONG, **options).usage.cached > 0
    clock.now += seconds

    assert ask(LONG, **options).usage.cached == 0


@pytest.mark.parametrize(
    ("prompt", "automatic"),
    [
        (prompt_of(LONG, QUESTION), False),
        (prompt_of(LONG, QUESTION, cache=None), True),
        (prompt_of(LONG, QUESTION, model="gpt-4-turbo"), True),
        (prompt_of(Message("user", (" play" * 1000,))), True),
    ],
)
def test_some_prompts_are_not_cached(prompt: Prompt, *, automatic: bool) -> None:
    """COST-2.2, COST-2.8: They have no prefixes, so planning needs nothing of the shared state."""
    planner = Planner(Settings(cache=CacheSettings(automatic=automatic)), CATALOGUE, lambda: 0.0)

    facts = planner.analyze(prompt)

    assert facts.chain is None
    assert facts.is_plain


TEXTS = st.text("ab \n🙂", max_size=9).map(lambda text: text * 100)
MESSAGES = st.lists(
    st.builds(
        Message,
        st.sampled_from(["user", "assistant"]),
        st.lists(TEXTS, max_size=2).map(tuple),
        notes=st.lists(TEXTS, max_size=1).map(tuple),
        name=st.none() | st.just("Ann"),
        results=st.lists(st.builds(ToolResult, st.just("c"), TEXTS), max_size=1).map(tuple),
    ),
    max_size=4,
)


@given(MESSAGES, MESSAGES, MESSAGES)
def test_prompts_that_begin_alike_have_the_same_first_ends(
    common: list[Message], one: list[Message], other: list[Message]
) -> None:
    """COST-2.1: So many that no more than a step is lost, and none of them is beyond the prompt."""
    planner = Planner(Settings(), CATALOGUE, lambda: 0.0)
    first, second = (planner.analyze(prompt_of(LONG, *common, *rest)) for rest in (one, other))
    shared = planner.analyze(prompt_of(LONG, *common))

    assert first.chain is not None
    assert second.chain is not None
    assert shared.chain is not None
    count = len(shared.chain.tokens)
    assert first.chain.digests[: 8 * count] == second.chain.digests[: 8 * count] == shared.chain.digests
    assert first.chain.head == second.chain.head
    assert shared.tokens - 3 - STEP < shared.chain.tokens[-1] <= shared.tokens - 3
    assert len({tokens // STEP for tokens in first.chain.tokens}) == len(first.chain.tokens)


def test_a_warm_up_caches_its_prompt(tmp_path: Any, clock: FakeClock) -> None:
    """COST-2.9: The next turn reads it."""
    planner = Planner(Settings(), CATALOGUE, clock)
    cache = SqlitePrefixCache(tmp_path / "prefixes", StoreSettings(), clock)
    state: Any = SimpleNamespace(prefix_cache=cache)
    context = WorkerContext({}, planner, state, None, None)  # type: ignore[arg-type]
    prompt = prompt_of(LONG)
    warmed = drive(context.plan_warm_up(prompt, planner.analyze(prompt)))

    assert (warmed.usage.cached, warmed.usage.completion) == (0, 0)
    assert plan_turn(planner, prompt_of(LONG, QUESTION), cache=cache).usage.cached == 1500 // STEP * STEP


def test_a_prompt_takes_one_operation() -> None:
    """COST-2.2: A long prompt asks the cache once; a short one has none to ask."""

    class Counting:
        asked = 0

        async def follow(self, chain: Any, *, owner: str) -> int:
            self.asked += 1
            return 0

    planner = Planner(Settings(), CATALOGUE, lambda: 0.0)
    cache = Counting()
    plan_turn(planner, prompt_of(LONG, QUESTION), cache=cache)
    plan_turn(planner, prompt_of(QUESTION), cache=None)

    assert cache.asked == 1
