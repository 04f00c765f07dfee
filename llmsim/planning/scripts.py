"""What a scene of a script plays: a turn in the model's tokens, or a fault.

Decisions:
* The request's limits and stop texts hold: a script says what a model would say, and every model can be cut short.
* Ids of calls are made of the numbers of turn and call, as in the Rust project, so that they can be foretold. Clients keep calls
  apart by id, so what plays again, and every further choice, gets a number more.
* What a script reports instead of what was counted leaves out what could not be true beside it.
* A stall is part of the schedule: an unstreamed answer takes as long as its stream.
"""

from msgspec.structs import replace

from llmsim.catalogue import Profile
from llmsim.domain import (
    Choice,
    Fault,
    FaultKind,
    FinishReason,
    Prompt,
    ReasoningSegment,
    RefusalSegment,
    Schedule,
    Segment,
    StreamFault,
    ToolCall,
    ToolKind,
    Turn,
    Usage,
)
from llmsim.errors import ScriptError
from llmsim.planning.caching import UNUSED, CacheUse
from llmsim.planning.content import Content, called, text, with_odds, within
from llmsim.planning.endings import limited, stopped
from llmsim.planning.rng import Random
from llmsim.planning.timing import Latency
from llmsim.planning.tokens import Tokenizer
from llmsim.scripts import Failure, ScriptCall, ScriptStep, ScriptStreamFault, ScriptTurn, StreamFaultKind

_BY_STATUS = {
    401: FaultKind.AUTHENTICATION,
    408: FaultKind.TIMEOUT,
    429: FaultKind.RATE_LIMIT,
    503: FaultKind.OVERLOADED,
    504: FaultKind.TIMEOUT,
    529: FaultKind.OVERLOADED,
}

_RETRIED = (FaultKind.RATE_LIMIT, FaultKind.OVERLOADED)
"""Faults that say when to try again."""


def play(
    scene: ScriptStep,
    prompt: Prompt,
    *,
    id: str,  # noqa: A002 - the turn's own word
    created: int,
    words: Tokenizer,
    prompt_tokens: int,
    limit: int,
    latency: Latency,
    profile: str,
    dice: Random,
    retry_after: float,
    use: CacheUse = UNUSED,
) -> Turn | Fault:
    """Play a scene.

    Args:
        scene: What is played.
        prompt: What it answers.
        id: The turn's id.
        created: Unix time in seconds.
        words: The model's tokenizer.
        prompt_tokens: Tokens of the prompt, as counted.
        limit: Most tokens of a choice.
        latency: Samples schedules.
        profile: The model's own profile.
        dice: Choose the latencies.
        retry_after: Seconds a client is told to wait where the script does not say.
        use: What was read from the prompt cache, and written to it.

    Raises:
        ScriptError: The scene has a latency profile that does not exist.
    """
    turn = scene.turn
    if turn.failure is not None:
        return _fault(turn.failure, turn.delay_ms / 1000, retry_after)
    choices = tuple(_choice(scene, prompt, words, limit, dice, index) for index in range(prompt.choices))
    return Turn(
        id=id,
        created=created,
        model=prompt.model,
        choices=choices,
        usage=_usage(turn, prompt_tokens, choices, use),
        schedule=_schedule(turn, latency, profile, dice, cached=use.read / prompt_tokens),
        stream_fault=_breakage(turn.stream_fault),
    )


def _fault(failure: Failure, delay: float, retry_after: float) -> Fault:
    kind = failure.kind or _kind_of(failure.status_code or 500)
    told = retry_after if kind in _RETRIED else None
    if failure.retry_after_ms is not None:
        told = failure.retry_after_ms / 1000
    return Fault(kind, delay=delay, retry_after=told, message=failure.message, status=failure.status_code)


def _kind_of(status: int) -> FaultKind:
    plain = FaultKind.INVALID_REQUEST if status < 500 else FaultKind.SERVER_ERROR
    return _BY_STATUS.get(status, plain)


def _choice(
    scene: ScriptStep, prompt: Prompt, words: Tokenizer, limit: int, dice: Random, index: int
) -> Choice:
    speech = within(_speech(scene, prompt, words, index), limit)
    segments = speech.segments
    if prompt.logprobs is not None:
        segments = with_odds(segments, prompt.logprobs, words, dice)
    return Choice(segments, speech.finish, speech.stopped_by)


def _speech(scene: ScriptStep, prompt: Prompt, words: Tokenizer, index: int) -> Content:
    """Give all that a scene says in one choice, however long."""
    turn = scene.turn
    segments: list[Segment] = [*_thought(turn.reasoning, prompt, words)]
    if turn.refusal is not None:
        refusal = words.passage(turn.refusal)
        segments.append(RefusalSegment(refusal.tokens, refusal))
    if turn.text is not None:
        said, stop = stopped(words.passage(turn.text), prompt.stop)
        segments.append(text(said))
        if stop is not None:
            return Content(tuple(segments), FinishReason.STOP, stop)
    for number, call in enumerate(turn.calls):
        segments.append(called(_call(scene, prompt, call, number, index), call.arguments, words))
    own = FinishReason.TOOL_CALLS if turn.calls else FinishReason.STOP
    return Content(tuple(segments), turn.finish_reason or own)


def _thought(reasoning: str | None, prompt: Prompt, words: Tokenizer) -> list[ReasoningSegment]:
    if reasoning is None:
        return []
    passage = words.passage(reasoning)
    if prompt.reasoning_limit is not None:
        passage, _ = limited(passage, prompt.reasoning_limit)
    shown = passage if prompt.summary else None
    return [ReasoningSegment(passage.tokens, shown)] if passage.tokens else []


def _call(scene: ScriptStep, prompt: Prompt, call: ScriptCall, number: int, index: int) -> ToolCall:
    numbers = [scene.number, number]
    if scene.take or index:
        numbers.append(scene.take)
    if index:
        numbers.append(index)
    # A tool that is not offered is taken for a function.
    kinds = (tool.kind for tool in prompt.tools if tool.name == call.name)
    own = "llmsim_" + "_".join(map(str, numbers))
    return ToolCall(own, call.name, next(kinds, ToolKind.FUNCTION), call.id)


def _usage(turn: ScriptTurn, prompt_tokens: int, choices: tuple[Choice, ...], use: CacheUse) -> Usage:
    told = turn.usage
    thought = sum(
        segment.tokens
        for choice in choices
        for segment in choice.segments
        if isinstance(segment, ReasoningSegment)
    )
    prompt = prompt_tokens if told.prompt_tokens is None else told.prompt_tokens
    completion = told.completion_tokens
    if completion is None:
        completion = max(sum(choice.tokens for choice in choices), told.reasoning_tokens or 0)
    if told.cached_tokens is not None:
        prompt = max(prompt, told.cached_tokens)
    as_counted = told.prompt_tokens is None and told.cached_tokens is None
    return Usage(
        prompt=prompt,
        completion=completion,
        reasoning=min(thought, completion) if told.reasoning_tokens is None else told.reasoning_tokens,
        cached=min(use.read, prompt) if told.cached_tokens is None else told.cached_tokens,
        cache_written=use.written if as_counted else {},
    )


def _schedule(turn: ScriptTurn, latency: Latency, profile: str, dice: Random, *, cached: float) -> Schedule:
    match turn.latency:
        case None:
            schedule = latency.schedule(profile, dice, cached=cached)
        case str():
            named = latency.named(turn.latency)
            if named is None:
                raise ScriptError((f"latency: no profile {turn.latency!r}",))
            schedule = latency.sample(named, dice, cached=cached)
        case own:
            figures = Profile("script", own.ttft_ms, own.ttft_stddev_ms, own.itl_ms, own.itl_stddev_ms)
            schedule = latency.sample(figures, dice)
    delay = turn.delay_ms / 1000
    fault = turn.stream_fault
    if fault is None or fault.kind is not StreamFaultKind.STALL:
        return replace(schedule, ttft=schedule.ttft + delay) if delay else schedule
    stall = fault.for_ms / 1000
    if fault.after_tokens == 0:
        return replace(schedule, ttft=schedule.ttft + delay + stall)
    return replace(schedule, ttft=schedule.ttft + delay, stall_after=fault.after_tokens, stall=stall)


def _breakage(fault: ScriptStreamFault | None) -> StreamFault | None:
    if fault is None or fault.kind is StreamFaultKind.STALL:
        return None
    told = Fault(fault.error, message=fault.message)
    return StreamFault(fault.after_tokens, told, disconnect=fault.kind is StreamFaultKind.DISCONNECT)
