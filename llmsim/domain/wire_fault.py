"""Simulated failures on the wire: what is sent is damaged, late, badly cut or incomplete, and to what each applies.

Decisions:
* One table says which fault applies to which response; what does not apply is not drawn into a response and not counted. The
  documentation shows the same table.
* A fault has a place in tokens for streams and a share for whole bodies, both set before anything is rendered.
"""

import enum

import msgspec

from llmsim.domain.fault import Fault, FaultKind


class WireFaultKind(enum.Enum):
    """Kind of a failure on the wire; the value is its name in settings, files and stats."""

    RESET = "reset"
    CLOSE = "close"
    HALF_CLOSE = "half_close"
    DISCONNECT = "disconnect"
    STALL = "stall"
    SLOW_DRIP = "slow_drip"
    ERROR = "error"
    MALFORMED_JSON = "malformed_json"
    DUPLICATE_EVENT = "duplicate_event"
    REORDERED_EVENTS = "reordered_events"
    MISSING_EVENT = "missing_event"
    MISSING_TERMINAL = "missing_terminal"
    TRUNCATED_ARGUMENTS = "truncated_arguments"
    WRONG_CONTENT_TYPE = "wrong_content_type"
    SPLIT_UTF8 = "split_utf8"
    SPLIT_NEWLINES = "split_newlines"
    JOINED_EVENTS = "joined_events"
    CRLF = "crlf"
    COMMENTS = "comments"
    BYTE_ORDER_MARK = "byte_order_mark"
    HUGE_EVENT = "huge_event"


class Effect(msgspec.Struct, frozen=True):
    """What a fault does, and to which responses it applies.

    Attributes:
        summary: What the client gets, in a sentence for the documentation.
        streams: Whether it applies to streams over HTTP.
        bodies: Whether it applies to whole responses over HTTP.
        messages: Whether it applies to events over WebSocket.
        is_direct: Whether it takes the direct writer; plain ASGI closes the connection instead, or leaves the cutting of writes to
            its server.
        has_place: Whether it happens at a place of the response; otherwise it concerns all of it.
    """

    summary: str
    streams: bool = True
    bodies: bool = False
    messages: bool = False
    is_direct: bool = False
    has_place: bool = True


EFFECTS = {
    WireFaultKind.RESET: Effect("The connection is reset (TCP RST).", bodies=True, is_direct=True),
    WireFaultKind.CLOSE: Effect(
        "The connection is closed behind a part of the response.", bodies=True, messages=True
    ),
    WireFaultKind.HALF_CLOSE: Effect(
        "The server's half of the connection is closed behind a part of the response; the client may go on sending.",
        bodies=True,
        is_direct=True,
    ),
    WireFaultKind.DISCONNECT: Effect(
        "The connection is closed; of a whole response not one byte is sent.", bodies=True, messages=True
    ),
    WireFaultKind.STALL: Effect("Nothing comes for a time.", bodies=True, messages=True),
    WireFaultKind.SLOW_DRIP: Effect("The rest comes in writes of 16 bytes.", bodies=True),
    WireFaultKind.ERROR: Effect(
        "An error event ends the stream; a whole response is an HTTP error.", bodies=True, messages=True
    ),
    WireFaultKind.MALFORMED_JSON: Effect(
        "JSON is cut in its middle, of one event or of the body.", bodies=True, messages=True
    ),
    WireFaultKind.DUPLICATE_EVENT: Effect("An event comes twice.", messages=True),
    WireFaultKind.REORDERED_EVENTS: Effect("An event comes behind the next one.", messages=True),
    WireFaultKind.MISSING_EVENT: Effect("An event does not come.", messages=True),
    WireFaultKind.MISSING_TERMINAL: Effect(
        "The event that ends the stream does not come; the HTTP response ends properly.",
        messages=True,
        has_place=False,
    ),
    WireFaultKind.TRUNCATED_ARGUMENTS: Effect(
        "The arguments of the last tool call end too early; all else is whole.", bodies=True, messages=True
    ),
    WireFaultKind.WRONG_CONTENT_TYPE: Effect(
        "The content type is `text/html`.", bodies=True, has_place=False
    ),
    WireFaultKind.SPLIT_UTF8: Effect(
        "Events are cut into two writes inside a character of several bytes.",
        bodies=True,
        is_direct=True,
        has_place=False,
    ),
    WireFaultKind.SPLIT_NEWLINES: Effect(
        "Events are cut into two writes between the two newlines at their end.",
        is_direct=True,
        has_place=False,
    ),
    WireFaultKind.JOINED_EVENTS: Effect("All further events come in one write."),
    WireFaultKind.CRLF: Effect("Lines end with CR and LF.", has_place=False),
    WireFaultKind.COMMENTS: Effect("A comment stands before each event.", has_place=False),
    WireFaultKind.BYTE_ORDER_MARK: Effect(
        "The body begins with a byte-order mark.", bodies=True, has_place=False
    ),
    WireFaultKind.HUGE_EVENT: Effect("The JSON of one event has 1 MiB of white space.", messages=True),
}
"""Every kind, in the order of the documentation."""

BREAKING = (WireFaultKind.RESET, WireFaultKind.CLOSE, WireFaultKind.HALF_CLOSE)
"""Faults that end the connection behind a part of the response."""


class WireFault(msgspec.Struct, frozen=True):
    """A failure on the wire.

    Attributes:
        kind: What goes wrong.
        after: Tokens of each choice that exist before it; None to take the share.
        share: Its place as a share of the response, from 0 to 1.
        pause: Seconds of a stall, or between two writes of a slow drip.
        error: The failure that is sent by an `error`, and counted for what breaks a response off.
    """

    kind: WireFaultKind
    after: int | None = None
    share: float = 0.5
    pause: float = 0.0
    error: Fault = Fault(FaultKind.SERVER_ERROR)

    def applies(self, *, streams: bool, messages: bool) -> bool:
        """Return whether it applies to a response.

        Args:
            streams: Whether the response is streamed.
            messages: Whether it is sent as messages of a WebSocket.
        """
        effect = EFFECTS[self.kind]
        if messages:
            return effect.messages
        return effect.streams if streams else effect.bodies
