"""Scripts: the responses to one request after another.

Decisions:
* The file's three kinds of responses have one class: text, calls, or both. The kind is stored only for display.
* A script does not hold its position. A cursor counts the requests from 0, and `at` returns the turn that plays: so any
  store of numbers can drive a script, and a script never changes.
"""

import enum
import functools
import itertools
from bisect import bisect_right

import msgspec

from llmsim.domain import Author, Fault, FaultKind, FinishReason, WireFaultKind


class OnExhausted(enum.Enum):
    """What happens after the last turn."""

    REPEAT_LAST = "repeat_last"
    ERROR = "error"
    LOOP = "loop"


class TurnKind(enum.Enum):
    """Type of a turn; the value is its name in the file."""

    ASSISTANT = "assistant"
    TOOL_CALLS = "tool_calls"
    MIXED = "mixed"
    ERROR = "error"


class ScriptCall(msgspec.Struct, frozen=True):
    """A tool call.

    Attributes:
        name: The tool's name; it need not be offered.
        arguments: As sent: compact JSON, or any text of the script.
        id: The whole id; None for a generated one.
    """

    name: str
    arguments: str = "{}"
    id: str | None = None


class ScriptUsage(msgspec.Struct, frozen=True):
    """Reported usage, in tokens; None for what was counted."""

    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    reasoning_tokens: int | None = None
    cached_tokens: int | None = None


class ScriptLatency(msgspec.Struct, frozen=True):
    """Latency of a turn, in milliseconds: mean and standard deviation of TTFT and ITL."""

    ttft_ms: float
    itl_ms: float
    ttft_stddev_ms: float = 0.0
    itl_stddev_ms: float = 0.0


class ScriptStreamFault(msgspec.Struct, frozen=True):
    """A failure in the middle of a response.

    Attributes:
        kind: What goes wrong.
        after_tokens: Completion tokens that are generated before it; None to take the share.
        error: The failure that is sent.
        message: Text of the error; None for the API's own.
        for_ms: Duration of a stall, or time between two writes of a slow drip, in milliseconds.
        share: Its place as a share of the response, from 0 to 1.
    """

    kind: WireFaultKind
    after_tokens: int | None
    error: FaultKind = FaultKind.SERVER_ERROR
    message: str | None = None
    for_ms: float = 0.0
    share: float = 0.5

    @property
    def failure(self) -> Fault:
        """The failure that is sent, or counted."""
        return Fault(self.error, message=self.message)


class ScriptFailure(msgspec.Struct, frozen=True):
    """The error of an error turn.

    Attributes:
        kind: What fails; None where only the status is set.
        message: Text of the error; None for the API's own.
        status_code: HTTP status; None for the API's own.
        retry_after_ms: Retry delay sent to the client, in milliseconds; None for that of the settings.
        code: Code of the error, where the API's errors have codes; None for the API's own.
    """

    kind: FaultKind | None
    message: str | None = None
    status_code: int | None = None
    retry_after_ms: float | None = None
    code: str | None = None


class TextExpectation(msgspec.Struct, frozen=True):
    """Expectations of a text.

    Attributes:
        contains: Texts that must occur in it.
        matches: Regular expression that must be found in it; None for any text.
        equals: The whole text, without surrounding white space; None for any text.
    """

    contains: tuple[str, ...] = ()
    matches: str | None = None
    equals: str | None = None


class ResultExpectation(msgspec.Struct, frozen=True):
    """A tool result that the request must contain.

    Attributes:
        call: Id of the call, or the tool's name; of several results the last counts.
        text: Expectations of its text.
    """

    call: str
    text: TextExpectation = TextExpectation()


class Expectation(msgspec.Struct, frozen=True, kw_only=True):
    """What a turn expects of its request, or which requests a turn or a rule is for.

    Attributes:
        model: Model id, or a pattern with `*`, `?` and `[…]`; None for any.
        last_user_message: Expectations of its text.
        anywhere: Whether the whole conversation may meet those instead.
        tool_results: Results that it must contain.
        tools_offered: Names of tools that it must offer.
        offers_tools: Whether it must offer any tool, or must not; None for either.
        last_author: Whose its last message must be; None for any.
        fewest_messages: Least number of messages, without system messages.
        most_messages: Largest number of messages likewise; None for any number.
        system_contains: Texts that must occur in the system messages.
        stream: Whether it must be for a stream; None for either.
        key: Its API key, or a pattern as for the model; None for any.
        headers: Names of headers, in lower case, and a pattern for the value of each.
    """

    model: str | None = None
    last_user_message: TextExpectation = TextExpectation()
    anywhere: bool = False
    tool_results: tuple[ResultExpectation, ...] = ()
    tools_offered: tuple[str, ...] = ()
    offers_tools: bool | None = None
    last_author: Author | None = None
    fewest_messages: int = 0
    most_messages: int | None = None
    system_contains: tuple[str, ...] = ()
    stream: bool | None = None
    key: str | None = None
    headers: tuple[tuple[str, str], ...] = ()

    @property
    def has_patterns(self) -> bool:
        """Whether texts are searched for a pattern."""
        texts = (self.last_user_message, *[result.text for result in self.tool_results])
        return any(text.matches is not None for text in texts)


_ENDLESS = 2**53
"""More requests than are ever sent; Lua knows it exactly."""


class ScriptTurn(msgspec.Struct, frozen=True, kw_only=True):
    """One response, or one failure.

    Attributes:
        kind: Its type.
        text: Text of the response; None for no text.
        calls: Tool calls after the text.
        reasoning: Reasoning before the text; None for none.
        refusal: Refusal in place of a text; None for none.
        finish_reason: Why it ends; None for the reason that follows from its content.
        usage: Reported usage.
        latency: Name of a profile, or figures; None for the model's own profile.
        delay_ms: Milliseconds added before the first token, or before a failure.
        stream_fault: Failure in the middle; None for none.
        failure: The error of an error turn; None for other types.
        repeat: How many requests in a row it answers; >= 1.
        when: Which requests it is for: others are answered without it; None for all.
        expect: Expectations of the request; None for any request.
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
    when: Expectation | None = None
    expect: Expectation | None = None


class ScriptStep(msgspec.Struct, frozen=True):
    """A turn at a position of a script.

    Attributes:
        number: Index of the turn in the script.
        turn: The turn.
        repetition: How often it was played before.
    """

    number: int
    turn: ScriptTurn
    repetition: int = 0


class Script(msgspec.Struct, frozen=True, kw_only=True, dict=True):
    """Turns in the order in which they are played.

    Attributes:
        name: Its own `name`, or the one it was read under.
        on_exhausted: What happens after the last turn.
        turns: At least one.
        description: Its purpose; empty if not given.
        when: Which requests it is for: others are answered without it; None for all.
    """

    name: str
    on_exhausted: OnExhausted = OnExhausted.REPEAT_LAST
    turns: tuple[ScriptTurn, ...]
    description: str = ""
    when: Expectation | None = None

    @functools.cached_property
    def _ends(self) -> tuple[int, ...]:
        """Total of answered requests at the end of each turn."""
        return tuple(itertools.accumulate(turn.repeat for turn in self.turns))

    @property
    def length(self) -> int:
        """Number of requests until it is exhausted."""
        return self._ends[-1]

    @functools.cached_property
    def unconditional(self) -> int:
        """Cursor before which all turns are for every request, and expect nothing."""
        for number, turn in enumerate(self.turns):
            if turn.when is not None or turn.expect is not None:
                return self._ends[number] - turn.repeat
        return self.length if self.on_exhausted is OnExhausted.ERROR else _ENDLESS

    def at(self, cursor: int) -> ScriptStep | None:
        """Return the turn that plays.

        Args:
            cursor: How many requests were answered before; >= 0.

        Returns:
            The turn; None if the script is exhausted and that is an error.
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
