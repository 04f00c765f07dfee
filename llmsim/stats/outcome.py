"""How a request ended.

Decisions:
* Every request that began ends in exactly one of these, so what is in flight is a
  difference and needs no counter of its own that could leak.
* Members carry their column and whether they are errors as plain attributes: hashing an
  enum member to look such things up costs more than counting it.
"""

import enum

from llmsim.domain import FaultKind

_FAULT_WORDS = frozenset(kind.value for kind in FaultKind)


class Outcome(enum.Enum):
    """How a request ended; the value is the word of stats, and a fault's is that of its `FaultKind`.

    Attributes:
        column: Where its counter stands in an endpoint's row, counted from 0.
        is_fault: Whether it is a simulated failure.
        is_error: Whether it counts as an error: simulated failures and bugs.
    """

    FINISHED = "finished"
    REFUSED = "refused"
    ABANDONED = "abandoned"  # the client hung up
    ABORTED = "aborted"  # the server gave up: its worker died, or the drain ran out
    FAILED = "failed"  # a bug: 500
    RATE_LIMIT = "rate_limit"
    SERVER_ERROR = "server_error"
    OVERLOADED = "overloaded"
    TIMEOUT = "timeout"
    INVALID_REQUEST = "invalid_request"
    AUTHENTICATION = "authentication"

    column: int
    is_fault: bool
    is_error: bool

    def __init__(self, word: str) -> None:
        self.column = len(type(self).__members__)
        self.is_fault = word in _FAULT_WORDS
        self.is_error = self.is_fault or word == "failed"

    @classmethod
    def of(cls, kind: FaultKind) -> "Outcome":
        """Tell the outcome of a request that a simulated failure of this kind ended."""
        return cls(kind.value)
