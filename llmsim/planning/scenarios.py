"""Scenarios: the step that a request plays becomes a turn in the model's tokens, or a fault.

Decisions:
* What is drawn depends on name, seed, user message, number of user messages and step alone: any worker, and a server that was
  started again, draws the same.
* A generated word is one token of the model's vocabulary: tokens after which an answer stalls or is cut are words, too, as
  the authors of files count them.
* The tools of a step are chosen before its attempts are counted: a request that cannot be played is no attempt.
* Errors carry a retry delay only where the file has one.
"""

import functools
import hashlib
from collections.abc import Iterator
from typing import Any

import msgspec
from msgspec.structs import replace

from llmsim.domain import (
    CacheUse,
    Choice,
    Fault,
    FaultKind,
    FinishReason,
    Prompt,
    ReasoningSegment,
    Schedule,
    Segment,
    TextSegment,
    TokenizedText,
    Tool,
    ToolCall,
    Turn,
    Usage,
    WireFault,
    WireFaultKind,
)
from llmsim.errors import ScenarioError
from llmsim.planning.content import Content, call_segment, truncate
from llmsim.planning.endings import cut_at_limit, cut_at_stop
from llmsim.planning.faults import scripted_fault
from llmsim.planning.generators import LOREM
from llmsim.planning.logprobs import with_logprobs
from llmsim.planning.planner import Planner
from llmsim.planning.prompt_facts import PromptFacts
from llmsim.planning.rng import Random, seeded_rng
from llmsim.planning.scenario_tools import fill_arguments, pick_tool
from llmsim.planning.spoken import with_sound
from llmsim.planning.timing import LatencySampler, in_bursts
from llmsim.planning.tokens import Tokenizer
from llmsim.planning.wire_faults import scripted_wire_fault, with_wire_fault
from llmsim.scenarios import Amount, Scenario, ScenarioStep, ScenarioTiming, Selection
from llmsim.scenarios.selection import call_id

_LONGEST_MS = 3_600_000.0
"""Longest time of any kind, whatever the speed."""

_LONG_TOKENS = 8_000
"""Generated words that are put together in a few milliseconds."""


class StepCall(msgspec.Struct, frozen=True):
    """A call of a step, with the tool that it calls and its arguments."""

    tool: Tool
    arguments: str


class ResolvedStep(msgspec.Struct, frozen=True, kw_only=True):
    """A step that a request plays, with everything drawn.

    Attributes:
        scenario: Name of its scenario.
        step: How many steps were played before.
        key: The same for attempts of one step of one conversation, and for no other step.
        definition: The step.
        error_rates: Shares of attempts that fail, by kind.
        speed: Factor on all times.
        ttft_ms: Time to first token before that factor, in milliseconds; None for the profile's.
        words: Number of generated words; None for none.
        reasoning_words: Number of words of reasoning.
        calls: Its calls.
    """

    scenario: str
    step: int
    key: str
    definition: ScenarioStep
    error_rates: tuple[tuple[FaultKind, float], ...]
    speed: float
    ttft_ms: int | None
    words: int | None
    reasoning_words: int
    calls: tuple[StepCall, ...]

    @property
    def is_long(self) -> bool:
        """Whether so many words are generated that it is done in a thread."""
        return (self.words or 0) + self.reasoning_words > _LONG_TOKENS

    @property
    def timing(self) -> ScenarioTiming:
        """When its tokens come."""
        return self.definition.timing

    def fault(self, attempt: int) -> Fault | None:
        """Return the error of an attempt; None if it is answered.

        Args:
            attempt: How many attempts came before; >= 0.
        """
        first = self.definition.fail_first
        failure = first[attempt] if attempt < len(first) else self.definition.turn.failure
        if failure is not None:
            return scripted_fault(failure, 0.0, None)
        if self.error_rates:
            sample = seeded_rng("scenario error", self.key, attempt).random()
            for kind, rate in self.error_rates:
                sample -= rate
                if sample < 0:
                    return Fault(kind)
        return None

    def wire_faults(self, attempt: int) -> Iterator[WireFault]:
        """Yield what goes wrong while an attempt is answered: at the first that does not fail, once."""
        if attempt != len(self.definition.fail_first):
            return
        fault, cut = self.definition.turn.stream_fault, self.timing.cut_after_tokens
        if fault is not None:
            yield scripted_wire_fault(fault, self.speed)
        if cut is not None:
            yield WireFault(WireFaultKind.DISCONNECT, after=cut)


def resolve(scenario: Scenario, selection: Selection, prompt: Prompt) -> ResolvedStep:
    """Return the step that a request plays.

    Raises:
        ScenarioError: It is exhausted, or the request does not offer a tool that it calls.
    """
    step = selection.step
    index = scenario.index_of(step)
    if index is None:
        count = len(scenario.steps)
        raise ScenarioError(
            "scenario_exhausted",
            f"scenario '{scenario.name}' is exhausted: it has {count} {'step' if count == 1 else 'steps'}, and "
            "on_exhausted is error",
            status=500,
        )
    definition = scenario.steps[index]
    identity = (scenario.name, selection.seed, selection.user_text, selection.user_messages, step)
    rng = seeded_rng("scenario", *identity)
    digest = hashlib.blake2b(msgspec.msgpack.encode(identity), digest_size=16)
    turn = definition.turn
    ttft, reasoning = definition.timing.ttft_ms, turn.reasoning_tokens
    return ResolvedStep(
        scenario=scenario.name,
        step=step,
        key=digest.hexdigest(),
        definition=definition,
        error_rates=scenario.error_rates,
        speed=selection.speed,
        ttft_ms=None if ttft is None else _draw(ttft, rng),
        reasoning_words=0 if reasoning is None else _draw(reasoning, rng),
        words=None if turn.lorem_tokens is None else _draw(turn.lorem_tokens, rng),
        calls=tuple(
            [
                _resolve_call(definition, number, prompt, scenario.name, step, rng)
                for number in range(len(turn.calls))
            ]
        ),
    )


def _draw(amount: Amount, rng: Random) -> int:
    return rng.randint(amount.least, amount.most)


def _resolve_call(
    definition: ScenarioStep, number: int, prompt: Prompt, scenario: str, step: int, rng: Random
) -> StepCall:
    call = definition.turn.calls[number]
    tool = pick_tool(call, prompt.tools, rng)
    if tool is None:
        names = ", ".join(tool.name for tool in prompt.tools[:50]) or "none"
        wanted = f"the tool '{call.name}'" if call.name is not None else "a tool"
        raise ScenarioError(
            "scenario_tool_not_offered",
            f"scenario '{scenario}', step {step} calls {wanted}, which the request does not offer. Offered tools: {names}",
        )
    return StepCall(tool, fill_arguments(tool) if call.arguments is None else call.arguments)


class ScenarioPlanner:
    """Plans the steps of scenarios. Safe to call from several threads.

    Args:
        planner: Plans what turns have in common.
        latency: Samples schedules.
    """

    def __init__(self, planner: Planner, latency: LatencySampler) -> None:
        self._planner = planner
        self._latency = latency

    def plan(
        self,
        resolved: ResolvedStep,
        attempt: int,
        prompt: Prompt,
        facts: PromptFacts,
        outcome_rng: Random,
        use: CacheUse,
        *,
        shows_reasoning: bool,
    ) -> Turn:
        """Plan a step that does not fail.

        Args:
            resolved: The step.
            attempt: How many attempts came before.
            prompt: The request.
            facts: From `Planner.analyze`.
            outcome_rng: Draws its id.
            use: What was read from the prompt cache, and written to it.
            shows_reasoning: Whether reasoning is shown though the request does not ask for it.
        """
        choices = tuple(
            [
                _choice(resolved, prompt, facts, index, shows_reasoning=shows_reasoning)
                for index in range(prompt.choices)
            ]
        )
        reasoning = sum(
            segment.tokens
            for choice in choices
            for segment in choice.segments
            if isinstance(segment, ReasoningSegment)
        )
        rng = seeded_rng("scenario time", resolved.key)
        profile, cached = self._latency.model_profile(facts.model), use.read / facts.tokens
        schedule = self._latency.sample(profile, rng, cached=cached, prompt_tokens=facts.tokens)
        turn = replace(
            self._planner.plan_empty(prompt, facts, outcome_rng),
            choices=choices,
            usage=Usage(
                prompt=facts.tokens,
                completion=sum(choice.tokens for choice in choices),
                reasoning=reasoning,
                cached=use.read,
                cache_written=use.written,
            ),
            schedule=_schedule(resolved, schedule),
        )
        turn = in_bursts(turn, profile, rng)
        for fault in resolved.wire_faults(attempt):
            turn = with_wire_fault(turn, fault)
        return turn


def _schedule(resolved: ResolvedStep, own: Schedule) -> Schedule:
    timing, speed = resolved.timing, resolved.speed
    ttft = own.ttft * 1000 if resolved.ttft_ms is None else resolved.ttft_ms
    schedule = replace(
        own, ttft=_seconds(ttft, speed), itl=_seconds(own.itl * 1000, speed), spread=own.spread * speed
    )
    if timing.tokens_per_sec is not None:
        schedule = Schedule(ttft=schedule.ttft, itl=_seconds(1000 / timing.tokens_per_sec, speed))
    if timing.stall is None:
        return schedule
    pause = _seconds(timing.stall.ms, speed)
    if timing.stall.after_tokens == 0:
        return replace(schedule, ttft=schedule.ttft + pause)
    return replace(schedule, stall_after=timing.stall.after_tokens, stall=pause)


def _seconds(ms: float, speed: float) -> float:
    return min(ms * speed, _LONGEST_MS) / 1000


def _choice(
    resolved: ResolvedStep, prompt: Prompt, facts: PromptFacts, index: int, *, shows_reasoning: bool
) -> Choice:
    rng = seeded_rng("scenario words", resolved.key, index)
    content = _content(resolved, prompt, facts, index, rng, shows_reasoning=shows_reasoning)
    content = truncate(with_sound(content, prompt, facts.limit), facts.limit)
    segments = content.segments
    if prompt.logprobs is not None:
        segments = with_logprobs(segments, prompt.logprobs, facts.tokenizer, rng)
    return Choice(segments, content.finish, content.stopped_by)


def _content(
    resolved: ResolvedStep,
    prompt: Prompt,
    facts: PromptFacts,
    index: int,
    rng: Random,
    *,
    shows_reasoning: bool,
) -> Content:
    """Return the content of one choice; no more of it than one token beyond its limit is generated."""
    tokenizer, limit = facts.tokenizer, facts.limit
    segments: list[Segment] = []
    if resolved.reasoning_words:
        thought = _words(min(resolved.reasoning_words, limit + 1), tokenizer, rng)
        if prompt.reasoning_limit is not None:
            thought, _ = cut_at_limit(thought, prompt.reasoning_limit)
        if thought.tokens:
            shown = shows_reasoning or prompt.summary
            segments.append(ReasoningSegment(thought.tokens, thought if shown else None))
    text = resolved.definition.turn.text
    tokenized = None if text is None else tokenizer.tokenize(text)
    if resolved.words is not None:
        tokenized = _words(min(resolved.words, limit + 1), tokenizer, rng)
    if tokenized is not None:
        kept, stop = cut_at_stop(tokenized, prompt.stop)
        segments.append(TextSegment(kept.tokens, kept))
        if stop is not None:
            return Content(tuple(segments), FinishReason.STOP, stop)
    nonce = f"{seeded_rng('scenario call', resolved.key, index).getrandbits(32):08x}"
    for number, call in enumerate(resolved.calls):
        own = call_id(resolved.scenario, resolved.step, number, nonce)
        named = ToolCall(own, call.tool.name, call.tool.kind, own)
        segments.append(call_segment(named, call.arguments, tokenizer))
    return Content(tuple(segments), FinishReason.TOOL_CALLS if resolved.calls else FinishReason.STOP)


def _words(count: int, tokenizer: Tokenizer, rng: Random) -> TokenizedText:
    """Generate `count` words, each of one token."""
    if not count:
        return TokenizedText((), ())
    first, others = _one_token_words(tokenizer)
    pieces = (rng.choice(first), *rng.choices(others, k=count - 1))
    return TokenizedText(pieces, tuple(range(1, count + 1)))


@functools.cache
def _one_token_words(tokenizer: Tokenizer) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the words that are one token at the beginning of a text, and those that are one inside it."""
    count: Any = tokenizer.count
    first = tuple(word for word in LOREM if count(word) == 1)
    return first, tuple(f" {word}" for word in LOREM if count(f" {word}") == 1)
