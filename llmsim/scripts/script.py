"""A script: what is answered to one request after another.

Decisions:
* The file's three kinds of answers are one: text, calls, or both. The kind is kept only to say which it is.
* Where a script stands is not part of it. A cursor counts the requests from 0, and `at` tells which turn plays: so any
  store of numbers can drive a script, and a script never changes.
"""

import enum
import functools
import itertools
from bisect import bisect_right

import msgspec

from llmsim.domain import FaultKind, FinishReason


class OnExhausted(enum.Enum):
    """What is answered after the last turn."""

    REPEAT_LAST = "repeat_last"
    ERROR = "error"
    LOOP = "loop"


class TurnKind(enum.Enum):
    """What a turn is made of; the value is the word of the file."""

    ASSISTANT = "assistant"
    TOOL_CALLS = "tool_calls"
    MIXED = "mixed"
    ERROR = "error"


class ScriptCall(msgspec.Struct, frozen=True):
    """A call of a tool.

    Attributes:
        name: The tool's name; it need not be offered.
        arguments: As sent: compact JSON, or whatever text the script has.
        id: The whole id; None for one of llmsim's own.
    """

    name: str
    arguments: str = "{}"
    id: str | None = None


class ScriptUsage(msgspec.Struct, frozen=True):
    """What is reported in place of what was counted, in tokens; None for what was counted."""

    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    reasoning_tokens: int | None = None
    cached_tokens: int | None = None


class ScriptLatency(msgspec.Struct, frozen=True):
    """How long a turn takes, in milliseconds: time to first token and inter-token latency, mean and deviation."""

    ttft_ms: float
    itl_ms: float
    ttft_stddev_ms: float = 0.0
    itl_stddev_ms: float = 0.0


class StreamFaultKind(enum.Enum):
    """How a stream goes wrong; the value is the word of the file."""

    DISCONNECT = "disconnect"
    ERROR = "error"
    STALL = "stall"


class ScriptStreamFault(msgspec.Struct, frozen=True):
    """What goes wrong in the middle of an answer.

    Attributes:
        kind: How.
        after_tokens: Completion tokens that are made before.
        error: What an error is.
        message: Its text; None for the API's own.
        for_ms: Milliseconds a stall lasts; the answer then goes on.
    """

    kind: StreamFaultKind
    after_tokens: int
    error: FaultKind = FaultKind.SERVER_ERROR
    message: str | None = None
    for_ms: float = 0.0


class ScriptFailure(msgspec.Struct, frozen=True):
    """What an error turn answers.

    Attributes:
        kind: What fails; None where only the status says it.
        message: Its text; None for the API's own.
        status_code: HTTP status; None for the API's own.
        retry_after_ms: Milliseconds the client is told to wait; None for what the settings say.
    """

    kind: FaultKind | None
    message: str | None = None
    status_code: int | None = None
    retry_after_ms: float | None = None


class TextExpectation(msgspec.Struct, frozen=True):
    """What a text is to be like.

    Attributes:
        contains: Texts that occur in it.
        matches: Regular expression that is found in it; None for any text.
        equals: All of it, white space around it aside; None for any text.
    """

    contains: tuple[str, ...] = ()
    matches: str | None = None
    equals: str | None = None


class ResultExpectation(msgspec.Struct, frozen=True):
    """A result of a tool that the request is to bring.

    Attributes:
        call: Id of the call, or the tool's name; of several results the last counts.
        text: What it is to be like.
    """

    call: str
    text: TextExpectation = TextExpectation()


class Expectation(msgspec.Struct, frozen=True, kw_only=True):
    """What a request is to be like for a turn to be its answer.

    Attributes:
        model: Model id, or a pattern with `*`, `?` and `[…]`; None for any.
        said: What the last user message is to be like.
        anywhere: Whether `said` may be true of the whole conversation instead.
        tool_results: Results that are there.
        tools_offered: Names of tools that are offered.
        fewest_messages: Fewest messages, system messages aside.
        most_messages: Most messages likewise; None for any number.
        system_contains: Texts that occur in the system messages.
        stream: Whether a stream is asked for; None for either.
    """

    model: str | None = None
    last_user_message: TextExpectation = TextExpectation()
    anywhere: bool = False
    tool_results: tuple[ResultExpectation, ...] = ()
    tools_offered: tuple[str, ...] = ()
    fewest_messages: int = 0
    most_messages: int | None = None
    system_contains: tuple[str, ...] = ()
    stream: bool | None = None


class ScriptTurn(msgspec.Struct, frozen=True, kw_only=True):
    """One answer, or one failure.

    Attributes:
        kind: What it is made of.
        text: What is said; None if nothing is.
        calls: Tools that are called after it.
        reasoning: What is thought before; None for no reasoning.
        refusal: What is said in place of an answer; None if it is none.
        finish_reason: Why it ends; None for the reason it gives itself.
        usage: Figures that are reported in place of what was counted.
        latency: Profile, or figures; None for the model's own.
        delay_ms: Milliseconds added before the first token, or before a failure.
        stream_fault: What goes wrong in the middle; None if nothing does.
        failure: What an error turn answers; None for other kinds.
        repeat: How many requests in a row it answers; >= 1.
        expect: What the request is to be like; None for anything.
    """

    kind: TurnKind
    text: str | None = None
    calls: tuple[ScriptCall, ...] = ()
    reasoning: str | None = None
    refusal: str | None = None
    finish_reason: FinishReason | None = None
    usage: ScriptUsage = ScriptUsage()
    latency: str | ScriptLatency | None = None
    delay_ms: float = 0.0
    stream_fault: ScriptStreamFault | None = None
    failure: ScriptFailure | None = None
    repeat: int = 1
    expect: Expectation | None = None


class ScriptStep(msgspec.Struct, frozen=True):
    """A turn as it plays.

    Attributes:
        number: Where the turn stands in the script, from 0.
        turn: The turn.
        take: How often it was played before.
    """

    number: int
    turn: ScriptTurn
    repetition: int = 0


class Script(msgspec.Struct, frozen=True, kw_only=True, dict=True):
    """Turns in the order in which they are played.

    Attributes:
        name: What it is called: its own `name`, or that under which it was read.
        on_exhausted: What is answered after the last turn.
        turns: At least one.
        description: What it is for; empty if nobody says.
    """

    name: str
    on_exhausted: OnExhausted = OnExhausted.REPEAT_LAST
    turns: tuple[ScriptTurn, ...]
    description: str = ""

    @functools.cached_property
    def _ends(self) -> tuple[int, ...]:
        """How many requests are answered when each turn is over."""
        return tuple(itertools.accumulate(turn.repeat for turn in self.turns))

    @property
    def length(self) -> int:
        """How many requests it answers before it is exhausted."""
        return self._ends[-1]

    def at(self, cursor: int) -> ScriptStep | None:
        """Tell which turn plays.

        Args:
            cursor: How many requests were answered before; >= 0.

        Returns:
            The turn, or None when the script is exhausted and says that this is an error.
        """
        rounds, place = divmod(cursor, self.length)
        if rounds and self.on_exhausted is OnExhausted.ERROR:
            return None
        if rounds and self.on_exhausted is OnExhausted.REPEAT_LAST:
            last = self.turns[-1]
            return ScriptStep(len(self.turns) - 1, last, cursor - self.length + last.repeat)
        number = bisect_right(self._ends, place)
        turn = self.turns[number]
        begin = self._ends[number] - turn.repeat
        return ScriptStep(number, turn, rounds * turn.repeat + place - begin)
