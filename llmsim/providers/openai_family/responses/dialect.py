"""How the dialects of the Responses API differ, as data.

Decisions:
* A dialect is a value. What both speak alike is written once, in this package; what differs is a field here.
"""

import enum

import msgspec


class Framing(enum.Enum):
    """How events are put on the wire.

    `LINES` is one JSON text a line, for transports with messages of their own (WebSocket): JSON has no raw newline,
    so bytes that hold several events fall apart at their newlines.
    """

    SSE = "sse"
    LINES = "lines"


class ReasoningStyle(msgspec.Struct, frozen=True, kw_only=True):
    """How reasoning is told.

    Attributes:
        part: Type of the part that holds what is told.
        index: Name of the part's index.
        opened: Event that announces the part.
        delta: Event that carries a piece.
        done: Event that carries all of the text.
        closed: Event that ends the part.
        whole: Whether it is the reasoning itself, each piece with its tokens, and no summary of it.
    """

    part: bytes
    index: bytes
    opened: bytes
    delta: bytes
    done: bytes
    closed: bytes
    whole: bool


SUMMARY = ReasoningStyle(
    part=b"summary_text",
    index=b"summary_index",
    opened=b"response.reasoning_summary_part.added",
    delta=b"response.reasoning_summary_text.delta",
    done=b"response.reasoning_summary_text.done",
    closed=b"response.reasoning_summary_part.done",
    whole=False,
)


def in_full(delta: bytes, done: bytes) -> ReasoningStyle:
    """Tell reasoning as it is, by the events `delta` and `done`."""
    return ReasoningStyle(
        part=b"reasoning_text",
        index=b"content_index",
        opened=b"response.content_part.added",
        delta=delta,
        done=done,
        closed=b"response.content_part.done",
        whole=True,
    )


class Dialect(msgspec.Struct, frozen=True, kw_only=True):
    """One way to speak the Responses API.

    Attributes:
        reasoning: How reasoning is told that is not summed up.
        always_status: Whether those items tell their status, too, that have none with OpenAI: reasoning, lists of tools.
        seals_reasoning: Whether reasoning items carry encrypted content unasked.
        nested_errors: Whether an error event holds its error under `error`, as error replies do.
        done: What ends a stream of server-sent events behind the last of them.
        prefix: What stands before the type of an item, or of an event of one, that is not in `standard`.
        standard: Types of items that the dialect's specification knows, of those that are calls.
        names_calls: Whether the event that ends a function's arguments tells its name.
        constants: JSON members of the response object that only this dialect has, ending in a comma; empty for none. Where
            they count web searches, they count none.
    """

    reasoning: ReasoningStyle
    always_status: bool
    seals_reasoning: bool
    nested_errors: bool
    done: bytes = b""
    prefix: bytes = b""
    standard: frozenset[bytes] = frozenset()
    names_calls: bool = True
    constants: bytes = b""
