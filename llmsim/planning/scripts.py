"""Scripted turns: a step of a script becomes a turn in the model's tokens, or a fault.

Decisions:
* The request's limits and stop texts hold: a script says what a model would say, and every model can be cut short.
* Ids of calls are made of the numbers of turn and call, as in the Rust project, so that they can be foretold. Clients
  distinguish calls by id, so a repetition, every further choice, and an id that the conversation has, get a number more.
* Usage that a script reports in place of what was counted leaves out figures that would contradict it.
"""

import itertools

from msgspec.structs import replace

from llmsim.catalogue import Model
from llmsim.domain import (
    CacheUse,
    Choice,
    Fault,
    FinishReason,
    Prompt,
    ReasoningSegment,
    RefusalSegment,
    Segment,
    TextSegment,
    ToolCall,
    ToolKind,
    Turn,
    Usage,
)
from llmsim.errors import ScriptError
from llmsim.planning.content import Content, call_segment, truncate
from llmsim.planning.endings import cut_at_limit, cut_at_stop
from llmsim.planning.faults import scripted_fault
from llmsim.planning.logprobs import with_logprobs
from llmsim.planning.rng import Random
from llmsim.planning.spoken import with_sound
from llmsim.planning.timing import Distribution, LatencyProfile, LatencySampler, in_bursts
from llmsim.planning.tokens import Tokenizer
from llmsim.planning.wire_faults import scripted_wire_fault, with_wire_fault
from llmsim.scripts import ScriptCall, ScriptStep, ScriptTurn


def play(
    step: ScriptStep,
    prompt: Prompt,
    *,
    id: str,  # noqa: A002 - the turn's own word
    created: int,
    tokenizer: Tokenizer,
    prompt_tokens: int,
    limit: int,
    latency: LatencySampler,
    model: Model,
    rng: Random,
    retry_after: float,
    use: CacheUse,
) -> Turn | Fault:
    """Play a step of a script.

    Args:
        step: The turn to play.
        prompt: The request.
        id: The turn's id.
        created: Unix time in seconds.
        tokenizer: The model's vocabulary.
        prompt_tokens: Tokens of the prompt, as counted.
        limit: Most tokens of a choice.
        latency: Samples schedules.
        model: The model.
        rng: Draws the latencies.
        retry_after: Retry delay in seconds where the script has none.
        use: What was read from the prompt cache, and written to it.

    Raises:
        ScriptError: The turn has a latency profile that does not exist.
    """
    turn = step.turn
    if turn.failure is not None:
        return scripted_fault(turn.failure, turn.delay_ms / 1000, retry_after)
    choices = tuple(_choice(step, prompt, tokenizer, limit, rng, index) for index in range(prompt.choices))
    cached = use.read / prompt_tokens
    profile = _profile(turn, latency, model)
    schedule = latency.sample(profile, rng, cached=cached, prompt_tokens=prompt_tokens)
    planned = Turn(
        id=id,
        created=created,
        model=prompt.model,
        choices=choices,
        usage=_usage(turn, prompt_tokens, choices, use),
        schedule=replace(schedule, ttft=schedule.ttft + turn.delay_ms / 1000) if turn.delay_ms else schedule,
    )
    planned = in_bursts(planned, profile, rng)
    fault = turn.stream_fault
    return planned if fault is None else with_wire_fault(planned, scripted_wire_fault(fault))


def _choice(
    step: ScriptStep, prompt: Prompt, tokenizer: Tokenizer, limit: int, rng: Random, index: int
) -> Choice:
    content = truncate(with_sound(_content(step, prompt, tokenizer, index), prompt, limit), limit)
    segments = content.segments
    if prompt.logprobs is not None:
        segments = with_logprobs(segments, prompt.logprobs, tokenizer, rng)
    return Choice(segments, content.finish, content.stopped_by)


def _content(step: ScriptStep, prompt: Prompt, tokenizer: Tokenizer, index: int) -> Content:
    """Return the content of one choice, however long."""
    turn = step.turn
    segments: list[Segment] = [*_reasoning(turn.reasoning, prompt, tokenizer)]
    if turn.refusal is not None:
        refusal = tokenizer.tokenize(turn.refusal)
        segments.append(RefusalSegment(refusal.tokens, refusal))
    if turn.text is not None:
        text, stop = cut_at_stop(tokenizer.tokenize(turn.text), prompt.stop)
        segments.append(TextSegment(text.tokens, text))
        if stop is not None:
            return Content(tuple(segments), FinishReason.STOP, stop)
    for number, call in enumerate(turn.calls):
        segments.append(call_segment(_call(step, prompt, call, number, index), call.arguments, tokenizer))
    own = FinishReason.TOOL_CALLS if turn.calls else FinishReason.STOP
    return Content(tuple(segments), turn.finish_reason or own)


def _reasoning(reasoning: str | None, prompt: Prompt, tokenizer: Tokenizer) -> list[ReasoningSegment]:
    if reasoning is None:
        return []
    text = tokenizer.tokenize(reasoning)
    if prompt.reasoning_limit is not None:
        text, _ = cut_at_limit(text, prompt.reasoning_limit)
    shown = text if prompt.summary else None
    return [ReasoningSegment(text.tokens, shown)] if text.tokens else []


def _call(step: ScriptStep, prompt: Prompt, call: ScriptCall, number: int, index: int) -> ToolCall:
    numbers = [step.number, number]
    if step.repetition or index:
        numbers.append(step.repetition)
    if index:
        numbers.append(index)
    # A tool that is not offered is called as a function.
    kinds = (tool.kind for tool in prompt.tools if tool.name == call.name)
    own = _unused_id("llmsim_" + "_".join(map(str, numbers)), prompt)
    return ToolCall(own, call.name, next(kinds, ToolKind.FUNCTION), call.id)


def _unused_id(own: str, prompt: Prompt) -> str:
    """Return an id for a call: `own`, with a number more if the conversation has it already, of another server or script."""
    held = {_own_id(call.id) for message in prompt.messages for call in message.calls}
    numbered = (f"{own}_{number}" for number in itertools.count(1))
    return own if own not in held else next(one for one in numbered if one not in held)


def _own_id(public_id: str) -> str:
    _, own, numbers = public_id.partition("llmsim_")
    return own + numbers


def _usage(turn: ScriptTurn, prompt_tokens: int, choices: tuple[Choice, ...], use: CacheUse) -> Usage:
    scripted = turn.usage
    reasoning = sum(
        segment.tokens
        for choice in choices
        for segment in choice.segments
        if isinstance(segment, ReasoningSegment)
    )
    prompt = prompt_tokens if scripted.prompt_tokens is None else scripted.prompt_tokens
    completion = scripted.completion_tokens
    if completion is None:
        completion = max(sum(choice.tokens for choice in choices), scripted.reasoning_tokens or 0)
    if scripted.cached_tokens is not None:
        prompt = max(prompt, scripted.cached_tokens)
    as_counted = scripted.prompt_tokens is None and scripted.cached_tokens is None
    return Usage(
        prompt=prompt,
        completion=completion,
        reasoning=min(reasoning, completion)
        if scripted.reasoning_tokens is None
        else scripted.reasoning_tokens,
        cached=min(use.read, prompt) if scripted.cached_tokens is None else scripted.cached_tokens,
        cache_written=use.written if as_counted else {},
    )


def _profile(turn: ScriptTurn, latency: LatencySampler, model: Model) -> LatencyProfile:
    match turn.latency:
        case None:
            return latency.model_profile(model)
        case str():
            named = latency.find(turn.latency)
            if named is None:
                raise ScriptError((f"latency: no profile {turn.latency!r}",))
            return named
        case own:
            # What a script has is exact: the prompt cache saves nothing of it.
            return LatencyProfile(
                Distribution(own.ttft_ms, own.ttft_stddev_ms),
                Distribution(own.itl_ms, own.itl_stddev_ms),
                saved=0.0,
            )
