"""How the dialects of the Responses API differ, as data.

Decisions:
* A dialect is a value. What all dialects have in common is written once, in this package; each difference is a field here.
"""

import enum

import msgspec


class Framing(enum.Enum):
    """How events are framed.

    `LINES` is one JSON text per line, for transports with messages of their own (WebSocket): JSON has no raw newline,
    so bytes that hold several events can be split at their newlines.
    """

    SSE = "sse"
    LINES = "lines"


class ReasoningStyle(msgspec.Struct, frozen=True, kw_only=True):
    """How reasoning is shown.

    Attributes:
        part_type: Type of the part that holds the text.
        index_name: Name of the part's index.
        part_added: Event that announces the part.
        delta: Event with a piece of the text.
        done: Event with all of the text.
        part_done: Event that ends the part.
        is_full: Whether the text is the reasoning itself, each piece with its tokens, and not a summary.
    """

    part_type: bytes
    index_name: bytes
    part_added: bytes
    delta: bytes
    done: bytes
    part_done: bytes
    is_full: bool


SUMMARY = ReasoningStyle(
    part_type=b"summary_text",
    index_name=b"summary_index",
    part_added=b"response.reasoning_summary_part.added",
    delta=b"response.reasoning_summary_text.delta",
    done=b"response.reasoning_summary_text.done",
    part_done=b"response.reasoning_summary_part.done",
    is_full=False,
)


def full_reasoning(delta: bytes, done: bytes) -> ReasoningStyle:
    """Build the style that shows all of the reasoning, in the events `delta` and `done`."""
    return ReasoningStyle(
        part_type=b"reasoning_text",
        index_name=b"content_index",
        part_added=b"response.content_part.added",
        delta=delta,
        done=done,
        part_done=b"response.content_part.done",
        is_full=True,
    )


class Dialect(msgspec.Struct, frozen=True, kw_only=True):
    """One version of the Responses API.

    Attributes:
        reasoning: How reasoning is shown without a summary.
        always_status: Whether reasoning and lists of MCP tools have a status, too, which OpenAI's do not.
        encrypts_reasoning: Whether reasoning items carry encrypted content unasked.
        nested_errors: Whether an error event holds its error under `error`, as error replies do.
        stream_end: Bytes after the last server-sent event.
        extension_prefix: Prefix for the types of items, and of their events, that are not in `standard_calls`.
        standard_calls: Types of tool call items in the dialect's specification.
        names_functions: Whether the event that ends a function's arguments carries its name.
        constants: JSON members of the response object that only this dialect has, with a comma at the end; empty for no
            members. A count of web searches in them is 0.
        has_phases: Whether messages of models that have them carry a phase.
        has_id_prefixes: Whether ids of input items must begin with the prefix of their type.
        checks_models: Whether parameters that a model does not take are refused.
        cites_files: Whether texts cite files, not only pages.
        moderates: Whether responses have results of moderation; then `constants` has a null for them.
        refuses_unknown_tools: Whether a tool of an unknown type is refused, and not echoed.
    """

    reasoning: ReasoningStyle
    always_status: bool
    encrypts_reasoning: bool
    nested_errors: bool
    stream_end: bytes = b""
    extension_prefix: bytes = b""
    standard_calls: frozenset[bytes] = frozenset()
    names_functions: bool = True
    constants: bytes = b""
    has_phases: bool = True
    has_id_prefixes: bool = True
    checks_models: bool = True
    cites_files: bool = True
    moderates: bool = True
    refuses_unknown_tools: bool = True
