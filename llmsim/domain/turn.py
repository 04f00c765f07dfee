"""The response to a request: its segments, their tokens, and when they exist.

Decisions:
* Text travels as a `TokenizedText`: the pieces a tokenizer would stream, each with the number
  of tokens that must exist before it may be seen. A piece is one token, or several
  joined where one token alone is not whole UTF-8.
* A `TokenizedText` is compared by identity and never changes, so what is derived from it (its JSON escape) is kept with it, in its
  `__dict__`, for as long as it lives. PERF: 0.1 us a look-up, against 0.5 us in a weak dictionary.
* The values of a request or a response contain no reference cycles, so the garbage collector need not track them
  (`gc=False`). PERF: with 1,000 open streams it runs 40 % less often.
"""

import enum
from typing import TypeAlias

import msgspec

from llmsim.domain.context_edits import EditedContext
from llmsim.domain.fault import StreamFault
from llmsim.domain.schedule import Schedule
from llmsim.domain.tool import ToolCall
from llmsim.domain.wire_fault import WireFault


class FinishReason(enum.Enum):
    """Why a choice ended; renderers map it to the provider's term.

    `WINDOW` is a `LENGTH` that the model's window has set, and `PAUSE` a `STOP` in a turn that the client is to continue.
    Only some APIs distinguish them.
    """

    STOP = "stop"
    LENGTH = "length"
    TOOL_CALLS = "tool_calls"
    CONTENT_FILTER = "content_filter"
    WINDOW = "context_window"
    PAUSE = "pause_turn"

    # PERF: 0.1 us a look-up instead of 0.3; members are one of a kind, and the hash of `Enum` is a function in Python.
    __hash__ = object.__hash__


class TokenizedText(msgspec.Struct, frozen=True, eq=False, weakref=True, dict=True):
    """Text cut into the pieces in which it is streamed.

    Attributes:
        pieces: Consecutive non-empty texts; joined they are the whole text.
        cumulative_tokens: `cumulative_tokens[i]` is how many of the text's tokens exist when piece `i` is complete; strictly rising.
    """

    pieces: tuple[str, ...]
    cumulative_tokens: tuple[int, ...]

    @property
    def tokens(self) -> int:
        """Tokens of the whole text."""
        return self.cumulative_tokens[-1] if self.cumulative_tokens else 0

    @property
    def text(self) -> str:
        """The whole text."""
        return "".join(self.pieces)


_Top: TypeAlias = tuple[tuple[bytes, float], ...]

_pack = msgspec.msgpack.encode
_unpack = msgspec.msgpack.Decoder(_Top).decode


class TokenLogprob(msgspec.Struct, frozen=True, gc=False):
    """How probable a token was.

    Attributes:
        token: Its bytes.
        logprob: Natural logarithm of its probability; <= 0.
        packed_top: See `top`; packed, because a response may have hundreds of thousands of them, of which each would be an object or two.
    """

    token: bytes
    logprob: float
    packed_top: bytes = b""

    @classmethod
    def ranked(cls, token: bytes, logprob: float, top: _Top) -> "TokenLogprob":
        """Return how probable a token was, and others at its place; see `top`."""
        return cls(token, logprob, _pack(top))

    @property
    def top(self) -> _Top:
        """The most probable tokens at its place with their logarithms, as many as were requested, the most probable first.

        Mostly the token is the first of them.
        """
        return _unpack(self.packed_top) if self.packed_top else ()


class TextSegment(msgspec.Struct, frozen=True, gc=False, tag="text", tag_field="kind"):
    """Text of the response.

    Attributes:
        tokens: Completion tokens it costs; >= 0.
        text: The text.
        logprobs: For each piece of the text the tokens it is made of; empty unless they were requested.
    """

    tokens: int
    text: TokenizedText
    logprobs: tuple[tuple[TokenLogprob, ...], ...] = ()


class RefusalSegment(msgspec.Struct, frozen=True, gc=False, tag="refusal", tag_field="kind"):
    """The model's refusal.

    Attributes:
        tokens: Completion tokens it costs; >= 0.
        text: The refusal.
        logprobs: As in `TextSegment`.
    """

    tokens: int
    text: TokenizedText
    logprobs: tuple[tuple[TokenLogprob, ...], ...] = ()


class ReasoningSegment(msgspec.Struct, frozen=True, gc=False, tag="reasoning", tag_field="kind"):
    """Reasoning before the answer.

    Attributes:
        tokens: Completion tokens it costs; >= 0.
        text: What the client sees of it: a summary or all of it; None if the provider hides it.
    """

    tokens: int
    text: TokenizedText | None = None


class ToolCallSegment(msgspec.Struct, frozen=True, gc=False, tag="tool_call", tag_field="kind"):
    """A tool call.

    Attributes:
        tokens: Completion tokens it costs, those of its name included; >= 0.
        arguments: JSON, or the free text of a custom tool.
        header_tokens: Tokens that exist before those of the arguments: the tool's name.
        call: Its id and tool.
    """

    tokens: int
    arguments: TokenizedText
    header_tokens: int
    call: ToolCall


class MediaSegment(msgspec.Struct, frozen=True, gc=False, tag="media", tag_field="kind"):
    """A picture or sound; its endpoint renders it.

    Attributes:
        tokens: Completion tokens it costs; >= 0.
    """

    tokens: int


Segment = TextSegment | RefusalSegment | ReasoningSegment | ToolCallSegment | MediaSegment
"""A run of tokens of one kind inside a choice."""


class Choice(msgspec.Struct, frozen=True, gc=False):
    """One choice of a response.

    Attributes:
        segments: In the order in which their tokens come into being.
        finish: Why it ended.
        stopped_by: The stop text before which it ended; None if it ended otherwise.
    """

    segments: tuple[Segment, ...]
    finish: FinishReason
    stopped_by: str | None = None

    @property
    def tokens(self) -> int:
        """Completion tokens of this choice."""
        # PERF: 0.1 us against 0.4 us for the sum of a generator, several times a request.
        tokens = 0
        for segment in self.segments:
            tokens += segment.tokens
        return tokens


class EchoedText(msgspec.Struct, frozen=True, gc=False):
    """A text of the request that comes before what continues it; none of its tokens are generated.

    Attributes:
        text: The text.
        logprobs: As in `TextSegment`.
    """

    text: TokenizedText
    logprobs: tuple[tuple[TokenLogprob, ...], ...] = ()


class Usage(msgspec.Struct, frozen=True, gc=False):
    """The tokens of a turn.

    Attributes:
        prompt: Tokens of the prompt, whether they were cached or not.
        completion: Tokens of all choices, reasoning and rejected predictions included.
        reasoning: The part of `completion` that is reasoning.
        cached: The part of `prompt` that was read from the prompt cache.
        cache_written: The part of `prompt` that was written to the prompt cache, by its lifetime in seconds.
        accepted_prediction: The part of `completion` that the client has predicted.
        rejected_prediction: The part of `completion` that was predicted and is not in the choices.
    """

    prompt: int
    completion: int
    reasoning: int = 0
    cached: int = 0
    cache_written: dict[int, int] = {}
    accepted_prediction: int = 0
    rejected_prediction: int = 0

    @property
    def total(self) -> int:
        """Prompt and completion together."""
        return self.prompt + self.completion


class Turn(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """The response to a request.

    Attributes:
        id: Unique among all workers and restarts; renderers add their prefix.
        created: Unix time in seconds.
        model: Model id as requested.
        choices: At least one. They are generated side by side: token `k` of each exists at `schedule.due(k)`.
        usage: The tokens that are reported and counted.
        schedule: When the tokens of a choice exist.
        stream_fault: Where and how it is truncated; None if it is not.
        wire_fault: What goes wrong while it is sent; None if nothing does.
        edited: What came of the edits of the request's context; None if it has none.
        vectors: The vector of each message of the prompt, as little-endian 32-bit floats; empty if none were requested.
        echoes: The text of each message of the prompt, where choices begin with it; else empty.
    """

    id: str
    created: int
    model: str
    choices: tuple[Choice, ...]
    usage: Usage
    schedule: Schedule
    vectors: tuple[bytes, ...] = ()
    echoes: tuple[EchoedText, ...] = ()
    stream_fault: StreamFault | None = None
    wire_fault: WireFault | None = None
    edited: EditedContext | None = None

    @property
    def truncated_after(self) -> int | None:
        """Tokens of each choice after which it is truncated, before its end; None if it is not."""
        return None if self.stream_fault is None else max(0, min(self.stream_fault.after, self.length - 1))

    @property
    def generated_tokens(self) -> int:
        """Completion tokens that are generated before it ends or is truncated."""
        end = self.truncated_after
        if end is None:
            return self.usage.completion
        return sum(min(end, choice.tokens) for choice in self.choices)

    @property
    def length(self) -> int:
        """Tokens of the longest choice."""
        choices = self.choices
        # PERF: 0.2 us against 0.9 us, several times a request.
        return choices[0].tokens if len(choices) == 1 else max(choice.tokens for choice in choices)

    @property
    def due(self) -> float:
        """When the turn is complete, in seconds after the request arrived; reading a prompt takes time, too."""
        schedule = self.schedule
        # PERF: `Schedule.at_once`, without a call.
        if schedule.itl == 0.0 and schedule.spread == 0.0 and schedule.stall == 0.0:
            return schedule.ttft
        return schedule.due(self.length or 1)
