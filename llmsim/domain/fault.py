"""What goes wrong on purpose, instead of an answer or in the middle of it."""

import enum

import msgspec


class FaultKind(enum.Enum):
    """A simulated failure; the value is the word of settings and stats."""

    RATE_LIMIT = "rate_limit"
    SERVER_ERROR = "server_error"
    OVERLOADED = "overloaded"
    TIMEOUT = "timeout"
    INVALID_REQUEST = "invalid_request"
    AUTHENTICATION = "authentication"


class Fault(msgspec.Struct, frozen=True):
    """A simulated failure of one request.

    Attributes:
        kind: What fails; the provider decides status and words, unless they are given.
        delay: Seconds after the request's arrival at which the failure is answered; >= 0.
        retry_after: Seconds the client is told to wait before it tries again; None to tell nothing.
        message: What is said, as it is; None for the provider's own words.
        status: HTTP status; None for the provider's own.
    """

    kind: FaultKind
    delay: float = 0.0
    retry_after: float | None = None
    message: str | None = None
    status: int | None = None


class StreamFault(msgspec.Struct, frozen=True):
    """A failure in the middle of a response.

    Attributes:
        after: Tokens of each choice that are generated before it; >= 0. A shorter response fails before its last token.
        fault: What goes wrong, and counts.
        disconnect: Whether the connection is closed without an error; otherwise the error is sent.
    """

    after: int
    fault: Fault
    disconnect: bool = False
