"""What a request asks of its own response: its fault, its text and its latency, made of what is in force.

Decisions:
* A text of a requested length is a text of the generator that is continued with itself, or cut. So a million tokens cost what it
  takes to list them, and no text is prepared for each length that clients ask for.
* A requested latency takes the place of the one that was planned, and of the turn of a script or a scenario; pauses stay.
* An error by its status comes at once; by its kind like one of `[errors]`: a timeout hangs.
"""

from msgspec.structs import replace

from llmsim.config import ErrorSettings, FaultSettings, LatencySettings, ResponseSettings
from llmsim.config.latency_settings import TIMES
from llmsim.domain import (
    Fault,
    FaultKind,
    Prompt,
    RequestedFault,
    RequestedGenerator,
    RequestedLatency,
    TokenizedText,
    Turn,
    WireFault,
    WireFaultKind,
)
from llmsim.errors import ConfigError
from llmsim.planning.endings import cut_at_limit
from llmsim.planning.generators import (
    GENERATED,
    Echo,
    Fixed,
    Generator,
    LineNumbers,
    Pool,
    RandomWords,
)
from llmsim.planning.reasoning import EFFORTS
from llmsim.planning.rng import Random
from llmsim.planning.timing import LatencySampler
from llmsim.planning.tokens import Tokenizer

_BLOCK = 100
"""Tokens of the texts of `lorem` and `random` of which longer ones are made."""

_LOREM = Pool(_BLOCK)
_RANDOM = RandomWords(_BLOCK)

_MOST_CACHED = 2
_MOST_CACHED_TOKENS = 1_000
"""Lengths of a made-up text that are cached, as clients ask for the same again and again."""

MANY_TOKENS = 8_000
"""Tokens of a text that take some milliseconds."""


class ExactText:
    """A text of exactly so many tokens, made of another generator's: continued with itself, or cut.

    Args:
        generate: The other one.
        tokens: The tokens.
        ends: Whether it ends with a full stop, as a made-up text does.
    """

    def __init__(self, generate: Generator, tokens: int, *, ends: bool) -> None:
        self._generate = generate
        self._tokens = tokens
        self._ends = ends
        self.takes_lines = generate.takes_lines

    def prepare(self, tokenizer: Tokenizer) -> None:
        """Prepare the other one."""
        self._generate.prepare(tokenizer)

    def __call__(
        self, prompt: Prompt, tokenizer: Tokenizer, rng: Random, lines: LineNumbers
    ) -> TokenizedText:
        """Generate a text."""
        text, tokens = self._generate(prompt, tokenizer, rng, lines), self._tokens
        if text.tokens == tokens:
            return text
        if tokens > _MOST_CACHED_TOKENS:
            return self._make(text, tokenizer)
        # PERF: what renderers derive from a text lives as long as it does; see `cut_at_limit`.
        cached: dict[int, TokenizedText] = text.__dict__.setdefault("exact", {})
        exact = cached.get(tokens)
        if exact is None:
            if len(cached) >= _MOST_CACHED:
                cached.pop(next(iter(cached)), None)
            exact = cached[tokens] = self._make(text, tokenizer)
        return exact

    def _make(self, text: TokenizedText, tokenizer: Tokenizer) -> TokenizedText:
        tokens = self._tokens
        if text.tokens < tokens:
            text = _continued(text, tokens, tokenizer)
        # Not by way of the cache of cuts, which lives as long as the text.
        cut, _ = cut_at_limit(TokenizedText(text.pieces, text.cumulative_tokens), tokens)
        if self._ends and tokens > 1:
            before = cut.pieces[:-1]
            if not before[-1][-1:].isalnum():
                # Two marks may be one token.
                before = (*before[:-1], " too")
            cut = TokenizedText((*before, "."), cut.cumulative_tokens)
        return _filled(cut, tokens)


def _continued(text: TokenizedText, tokens: int, tokenizer: Tokenizer) -> TokenizedText:
    """Return a text that is repeated until it has so many tokens, or more."""
    if not text.tokens:
        text = tokenizer.tokenize("Lorem ipsum dolor sit amet.")
    more = tokenizer.tokenize(f" {text.text}")
    times = -(-(tokens - text.tokens) // more.tokens)
    ends = list(text.cumulative_tokens)
    for number in range(times):
        base = text.tokens + number * more.tokens
        ends += [base + end for end in more.cumulative_tokens]
    return TokenizedText((*text.pieces, *more.pieces * times), tuple(ends))


def _filled(text: TokenizedText, tokens: int) -> TokenizedText:
    """Return a text that was cut before a character of several tokens, with full stops in its place."""
    missing = tokens - text.tokens
    if missing <= 0:
        return text
    ends = tuple(range(text.tokens + 1, tokens + 1))
    return TokenizedText((*text.pieces, *("." * missing)), (*text.cumulative_tokens, *ends))


class Overrider:
    """Makes what requests ask for, of the settings in force.

    Args:
        generate: The generator in force.
        latency: The latencies in force.
        response: Which texts are generated.
        errors: What errors are like.
        faults: What faults on the wire are like.

    Attributes:
        latency: The latencies in force.
    """

    def __init__(
        self,
        generate: Generator,
        latency: LatencySampler,
        response: ResponseSettings,
        errors: ErrorSettings,
        faults: FaultSettings,
    ) -> None:
        self._generate = generate
        self.latency = latency
        self._response = response
        self._errors = errors
        self._faults = faults

    def error(self, requested: RequestedFault) -> Fault:
        """Return the error that comes in place of a response."""
        kind, errors = requested.kind, self._errors
        assert isinstance(kind, FaultKind), "a failure on the wire is none"
        delay = 0.0
        if requested.for_ms is not None:
            delay = requested.for_ms / 1000
        elif kind is FaultKind.TIMEOUT and requested.status is None:
            delay = errors.timeout_after_ms / 1000
        waits = kind in (FaultKind.RATE_LIMIT, FaultKind.OVERLOADED)
        return Fault(
            kind,
            delay=delay,
            retry_after=errors.retry_after_ms / 1000 if waits else None,
            status=requested.status,
        )

    def wire_fault(self, requested: RequestedFault) -> WireFault:
        """Return the failure on the wire of a response."""
        kind, faults = requested.kind, self._faults
        assert isinstance(kind, WireFaultKind), "an error comes in place of the response"
        pauses = {WireFaultKind.STALL: faults.stall_ms, WireFaultKind.SLOW_DRIP: faults.drip_ms}
        pause = pauses.get(kind, 0) if requested.for_ms is None else requested.for_ms
        has_place = requested.after is not None or requested.share is not None
        return WireFault(
            kind,
            after=requested.after if has_place else faults.after_tokens,
            share=faults.at if requested.share is None else requested.share,
            pause=pause / 1000,
        )

    def generator(self, requested: RequestedGenerator | None, tokens: int | None) -> tuple[Generator, bool]:
        """Return the generator of a text, and whether its text is the user's own.

        Args:
            requested: What was asked for; None for the one in force.
            tokens: Tokens of the text; None for as many as it has otherwise.
        """
        name = self._response.generator.partition(":")[0] if requested is None else requested.name
        generate, is_made_up = self._generate, name in GENERATED
        if requested is not None:
            match requested.name:
                case "lorem":
                    generate = _LOREM
                case "random":
                    generate = _RANDOM
                case "echo":
                    generate = Echo()
                case "fixed":
                    generate = Fixed(requested.text)
            if is_made_up and tokens is None:
                tokens = self._response.target_tokens
        if tokens is not None:
            generate = ExactText(generate, tokens, ends=is_made_up)
        return generate, not is_made_up

    def with_latency(self, turn: Turn, requested: RequestedLatency, rng: Random) -> Turn:
        """Return a turn that takes as long as was asked for."""
        schedule = turn.schedule
        if requested.profile is not None:
            profile = self.latency.find(requested.profile)
            assert profile is not None, "its name was checked"
            cached = turn.usage.cached / turn.usage.prompt if turn.usage.prompt else 0.0
            sampled = self.latency.sample(
                profile, rng, cached=min(cached, 1.0), prompt_tokens=turn.usage.prompt
            )
            schedule = replace(sampled, stall_after=schedule.stall_after, stall=schedule.stall)
        if requested.ttft_ms is not None:
            schedule = replace(schedule, ttft=requested.ttft_ms / 1000)
        if requested.itl_ms is not None:
            schedule = replace(schedule, itl=requested.itl_ms / 1000, spread=0.0)
        return replace(turn, schedule=schedule)


def has_tables(latency: LatencySettings) -> bool:
    """Return whether tables of gaps are built of latencies, which takes many milliseconds."""
    tables = (latency, *latency.models.values())
    return any(one.shape(what) not in (None, "normal") or one.stall_rate for one in tables for what in TIMES)


def is_same_text(one: ResponseSettings, other: ResponseSettings) -> bool:
    """Return whether the same texts are generated by both settings."""
    return (one.generator, one.target_tokens) == (other.generator, other.target_tokens)


def changed_generator(response: ResponseSettings) -> Generator:
    """Return the generator of settings that were changed at run time. No texts are prepared: streams go on meanwhile."""
    name, _, text = response.generator.partition(":")
    match name:
        case "lorem" | "random":
            return ExactText(_LOREM if name == "lorem" else _RANDOM, response.target_tokens, ends=True)
        case "echo":
            return Echo()
        case "fixed":
            return Fixed(text)
    raise ConfigError(f"response.generator: {name} can be chosen at the start only")


def split_tokens(tokens: int, effort: str | None, reasoning_limit: int | None) -> tuple[int, int]:
    """Split the completion tokens that were asked for into those of the text and those of the reasoning before it.

    Args:
        tokens: Those of the response.
        effort: Reasoning effort; None for a model that does not reason.
        reasoning_limit: Most tokens of reasoning; None for any number.
    """
    if effort is None:
        return tokens, 0
    text = max(1, round(tokens / (1 + EFFORTS[effort])))
    if reasoning_limit is not None:
        text = max(text, tokens - reasoning_limit)
    return text, tokens - text
