"""Simulated failures, instead of a response or in the middle of it."""

import enum

import msgspec


class FaultKind(enum.Enum):
    """A simulated failure; the value is its name in settings and stats."""

    RATE_LIMIT = "rate_limit"
    SERVER_ERROR = "server_error"
    OVERLOADED = "overloaded"
    TIMEOUT = "timeout"
    INVALID_REQUEST = "invalid_request"
    AUTHENTICATION = "authentication"


class Fault(msgspec.Struct, frozen=True):
    """A simulated failure of one request.

    Attributes:
        kind: What fails; the provider decides status and message, unless they are given.
        delay: Seconds after the request's arrival at which the error is sent; >= 0.
        retry_after: Retry delay sent to the client, in seconds; None to send none.
        message: Text of the error; None for the provider's own.
        status: HTTP status; None for the provider's own.
        code: Code of the error, where the API's errors have codes; None for the provider's own.
    """

    kind: FaultKind
    delay: float = 0.0
    retry_after: float | None = None
    message: str | None = None
    status: int | None = None
    code: str | None = None


class StreamFault(msgspec.Struct, frozen=True):
    """A failure in the middle of a response.

    Attributes:
        after: Tokens of each choice that are generated before it; >= 0. A shorter response fails before its last token.
        fault: The failure that is sent and counted.
        disconnect: Whether the connection is closed without an error; otherwise the error is sent.
    """

    after: int
    fault: Fault
    disconnect: bool = False
