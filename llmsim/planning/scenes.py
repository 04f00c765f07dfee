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
from llmsim.errors import ScriptError
from llmsim.exchange import (
    Breakage,
    Call,
    Choice,
    Fault,
    FaultKind,
    FinishReason,
    Passage,
    Prompt,
    Schedule,
    Segment,
    SegmentKind,
    ToolKind,
    Turn,
    Usage,
)
from llmsim.planning.caching import UNUSED, CacheUse
from llmsim.planning.dice import Dice
from llmsim.planning.endings import EMPTY, limited, stopped
from llmsim.planning.latency import Latency
from llmsim.planning.tokens import Tokenizer
from llmsim.scripts import BreakKind, Failure, Scene, Script, ScriptCall, ScriptTurn, StreamFault

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
    scene: Scene,
    prompt: Prompt,
    *,
    id: str,  # noqa: A002 - the turn's own word
    created: int,
    words: Tokenizer,
    prompt_tokens: int,
    limit: int,
    latency: Latency,
    profile: str,
    dice: Dice,
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
    choices = tuple(_Player(scene, prompt, words, limit, index).choice() for index in range(prompt.choices))
    return Turn(
        id=id,
        created=created,
        model=prompt.model,
        choices=choices,
        usage=_usage(turn, prompt_tokens, choices, use),
        schedule=_schedule(turn, latency, profile, dice, cached=use.read / prompt_tokens),
        breakage=_breakage(turn.stream_fault),
    )


def exhausted(script: Script) -> Fault:
    """Tell what a script answers that has no turn left."""
    requests = f"{script.length:,} request{'' if script.length == 1 else 's'}"
    return Fault(
        FaultKind.SERVER_ERROR,
        message=f"The script {script.name!r} is exhausted: it answers {requests}, and this is one more. "
        "(simulated by llmsim)",
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


class _Player:
    """Cuts one choice into tokens, as long as there are any left."""

    def __init__(self, scene: Scene, prompt: Prompt, words: Tokenizer, limit: int, index: int) -> None:
        self._scene = scene
        self._prompt = prompt
        self._words = words
        self._left = limit
        self._index = index
        self._cut = False
        self._segments: list[Segment] = []

    def choice(self) -> Choice:
        turn = self._scene.turn
        stop = None
        self._think(turn.reasoning)
        if turn.refusal is not None:
            self._say(SegmentKind.REFUSAL, self._words.passage(turn.refusal))
        if turn.text is not None:
            text, stop = stopped(self._words.passage(turn.text), self._prompt.stop)
            self._say(SegmentKind.TEXT, text)
        if stop is None:
            for number, call in enumerate(turn.calls):
                self._call(number, call)
        if not self._segments:
            self._say(SegmentKind.TEXT, EMPTY)
        if self._cut:
            return Choice(tuple(self._segments), FinishReason.LENGTH)
        if stop is not None:
            return Choice(tuple(self._segments), FinishReason.STOP, stop)
        own = FinishReason.TOOL_CALLS if turn.calls else FinishReason.STOP
        return Choice(tuple(self._segments), turn.finish_reason or own)

    def _think(self, thought: str | None) -> None:
        if thought is None:
            return
        passage = self._words.passage(thought)
        most = self._prompt.reasoning_limit
        if most is not None:
            passage, _ = limited(passage, most)
        passage = self._within(passage)
        if passage.tokens:
            shown = passage if self._prompt.summary else None
            self._segments.append(Segment(SegmentKind.REASONING, passage.tokens, shown))

    def _say(self, kind: SegmentKind, text: Passage) -> None:
        passage = self._within(text)
        self._segments.append(Segment(kind, passage.tokens, passage))

    def _call(self, number: int, call: ScriptCall) -> None:
        lead = self._words.count(call.name)
        if self._cut or lead > self._left:
            # Nobody can be shown half a name.
            self._cut = True
            return
        self._left -= lead
        passage = self._within(self._words.passage(call.arguments))
        called = Call(self._id(number), call.name, self._kind(call.name), call.id)
        self._segments.append(Segment(SegmentKind.CALL, lead + passage.tokens, passage, lead, called))

    def _within(self, passage: Passage) -> Passage:
        if self._cut:
            return EMPTY
        passage, finish = limited(passage, self._left)
        self._cut = finish is FinishReason.LENGTH
        self._left -= passage.tokens
        return passage

    def _kind(self, name: str) -> ToolKind:
        """Tell who runs a tool; one that is not offered is taken for a function."""
        kinds = (tool.kind for tool in self._prompt.tools if tool.name == name)
        return next(kinds, ToolKind.FUNCTION)

    def _id(self, number: int) -> str:
        numbers = [self._scene.number, number]
        if self._scene.take or self._index:
            numbers.append(self._scene.take)
        if self._index:
            numbers.append(self._index)
        return "llmsim_" + "_".join(map(str, numbers))


def _usage(turn: ScriptTurn, prompt_tokens: int, choices: tuple[Choice, ...], use: CacheUse) -> Usage:
    told = turn.usage
    thought = sum(
        segment.tokens
        for choice in choices
        for segment in choice.segments
        if segment.kind is SegmentKind.REASONING
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


def _schedule(turn: ScriptTurn, latency: Latency, profile: str, dice: Dice, *, cached: float) -> Schedule:
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
    if fault is None or fault.kind is not BreakKind.STALL:
        return replace(schedule, ttft=schedule.ttft + delay) if delay else schedule
    stall = fault.for_ms / 1000
    if fault.after_tokens == 0:
        return replace(schedule, ttft=schedule.ttft + delay + stall)
    return replace(schedule, ttft=schedule.ttft + delay, stall_after=fault.after_tokens, stall=stall)


def _breakage(fault: StreamFault | None) -> Breakage | None:
    if fault is None or fault.kind is BreakKind.STALL:
        return None
    told = Fault(fault.error, message=fault.message)
    return Breakage(fault.after_tokens, told, cut=fault.kind is BreakKind.DISCONNECT)
