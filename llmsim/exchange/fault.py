"""What goes wrong instead of an answer, on purpose."""

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
        kind: What fails; the provider decides status and words.
        delay: Seconds after the request's arrival at which the failure is answered; >= 0.
        retry_after: Seconds the client is told to wait before it tries again; None to tell nothing.
    """

    kind: FaultKind
    delay: float = 0.0
    retry_after: float | None = None
