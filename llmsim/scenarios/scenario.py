"""Scenarios: named conversations, whose next step follows from the messages of a request.

Decisions:
* Files are those of the Rust project llmsim 0.6.0, word for word; what they mean is in specs/scenarios.md.
* A step holds its timing with the defaults of its scenario: a player needs nothing else.
"""

import enum

import msgspec

from llmsim.domain import FaultKind
from llmsim.scripts import OnExhausted, ScriptFailure, ScriptStreamFault, TurnKind


class Amount(msgspec.Struct, frozen=True):
    """A whole number, or a range of which one is drawn; both ends are included."""

    least: int
    most: int


class Stall(msgspec.Struct, frozen=True):
    """A pause in the middle of an answer.

    Attributes:
        after_tokens: Tokens before it.
        ms: Its duration, in milliseconds.
    """

    after_tokens: int
    ms: float


class ScenarioTiming(msgspec.Struct, frozen=True):
    """When the tokens of an answer come; None for what the latency profile has.

    Attributes:
        ttft_ms: Time to first token, in milliseconds.
        tokens_per_sec: Tokens a second after the first; > 0.
        stall: A pause.
        cut_after_tokens: Tokens after which the connection is closed, once.
    """

    ttft_ms: Amount | None = None
    tokens_per_sec: float | None = None
    stall: Stall | None = None
    cut_after_tokens: int | None = None

    def over(self, base: "ScenarioTiming") -> "ScenarioTiming":
        """Return this timing, with that of `base` where it has none."""
        values = {
            name: getattr(base if getattr(self, name) is None else self, name)
            for name in self.__struct_fields__
        }
        return ScenarioTiming(**values)


class ToolClass(enum.Enum):
    """Which of the offered tools is called; the value is its name in the file."""

    ANY_READ = "any_read"
    ANY_WRITE = "any_write"
    ANY = "any"


class ScenarioCall(msgspec.Struct, frozen=True):
    """A tool call.

    Attributes:
        name: Name of the tool, which must be offered; None if any of a class is called.
        tool: The class.
        arguments: As sent; None to fill in the required parameters.
    """

    name: str | None = None
    tool: ToolClass = ToolClass.ANY
    arguments: str | None = None


class ScenarioTurn(msgspec.Struct, frozen=True, kw_only=True):
    """What a step answers.

    Attributes:
        kind: Its type.
        text: Text of the answer; None if words are generated, or if there is no text.
        lorem_tokens: Number of generated words; None for none.
        reasoning_tokens: Number of words of reasoning before the answer; None for none.
        calls: Tool calls after the text.
        failure: The error of an error turn; None for other types.
        stream_fault: What goes wrong while it is sent, at the first attempt that does not fail; None if nothing does.
    """

    kind: TurnKind
    text: str | None = None
    lorem_tokens: Amount | None = None
    reasoning_tokens: Amount | None = None
    calls: tuple[ScenarioCall, ...] = ()
    failure: ScriptFailure | None = None
    stream_fault: ScriptStreamFault | None = None


class ScenarioStep(msgspec.Struct, frozen=True):
    """One step of a conversation.

    Attributes:
        turn: What it answers.
        timing: When.
        fail_first: Errors of its first attempts.
    """

    turn: ScenarioTurn
    timing: ScenarioTiming = ScenarioTiming()
    fail_first: tuple[ScriptFailure, ...] = ()


class Scenario(msgspec.Struct, frozen=True, kw_only=True):
    """A conversation.

    Attributes:
        name: By which it is chosen: lower-case letters, digits and hyphens.
        steps: At least one.
        description: What it is for; empty if not given.
        error_rates: Shares of attempts that fail, by kind.
        on_exhausted: What follows the last step.
    """

    name: str
    steps: tuple[ScenarioStep, ...]
    description: str = ""
    error_rates: tuple[tuple[FaultKind, float], ...] = ()
    on_exhausted: OnExhausted = OnExhausted.REPEAT_LAST

    def index_of(self, step: int) -> int | None:
        """Return the index of the step that plays.

        Args:
            step: How many steps were played before; >= 0.

        Returns:
            The index; None if the scenario is exhausted and that is an error.
        """
        count = len(self.steps)
        if step < count:
            return step
        match self.on_exhausted:
            case OnExhausted.REPEAT_LAST:
                return count - 1
            case OnExhausted.LOOP:
                return step % count
            case OnExhausted.ERROR:
                return None
