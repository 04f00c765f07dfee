"""The table of counters: what is counted, per what, and how requests end.

Decisions:
* A counter is declared here and nowhere else. The layout of the block, the sums (`Totals`) and the JSON follow from
  the table, so a new counter is a line here and the place that increments it.
* Every request that began ends in exactly one outcome, so requests in flight are a difference and need no counter of
  their own that could leak.
* Outcomes carry their column and whether they are errors as plain attributes: hashing an enum member to look such
  things up costs more than counting it.
"""

import enum
import zlib

import msgspec

from llmsim.domain import FaultKind, WireFaultKind

_FAULTS = frozenset(kind.value for kind in FaultKind)


class Per(enum.Enum):
    """The unit that a counter is counted by."""

    WORKER = "worker"
    ENDPOINT = "endpoint"
    MODEL = "model"


class Counter(msgspec.Struct, frozen=True):
    """One figure that workers write.

    Attributes:
        name: Its name in the JSON.
        help: What it counts.
        per: What it is counted by.
        is_gauge: Whether it can fall; counted by worker only. It returns to 0 when its worker dies; a counter continues.
    """

    name: str
    help: str
    per: Per
    is_gauge: bool = False


COUNTERS = (
    Counter("open_streams", "Streams under way.", Per.WORKER, is_gauge=True),
    Counter("websocket_connections", "Open WebSocket connections.", Per.WORKER, is_gauge=True),
    Counter("websocket_connections_total", "WebSocket connections accepted.", Per.WORKER),
    Counter("evicted_records", "Records evicted from the shared store to make room.", Per.WORKER),
    Counter("journal_dropped", "Entries of the journal that could not be kept.", Per.WORKER),
    Counter("waited_writes", "Writes of streams that waited until a client had read.", Per.WORKER),
    Counter("log_dropped", "Lines of the request log that could not be written.", Per.WORKER),
    Counter("engines", "Simulated inference engines.", Per.WORKER, is_gauge=True),
    Counter("engine_running", "Sequences that run in an engine.", Per.WORKER, is_gauge=True),
    Counter("engine_waiting", "Requests in the queue of an engine.", Per.WORKER, is_gauge=True),
    Counter(
        "engine_kv_tokens",
        "Tokens of the KV caches of engines that are in use, in whole blocks.",
        Per.WORKER,
        is_gauge=True,
    ),
    Counter(
        "engine_kv_capacity",
        "Tokens that the KV caches of engines hold; 0 if they are never full.",
        Per.WORKER,
        is_gauge=True,
    ),
    Counter("engine_preemptions", "Requests preempted because a KV cache was full.", Per.WORKER),
    *(
        Counter(
            f"wire_fault_{kind.value}",
            f"Responses with a simulated fault on the wire: {kind.value.replace('_', ' ')}.",
            Per.WORKER,
        )
        for kind in WireFaultKind
    ),
    Counter("requests", "Requests that began.", Per.ENDPOINT),
    Counter("streaming_requests", "Accepted requests that are streamed.", Per.MODEL),
    Counter("non_streaming_requests", "Accepted requests that are not streamed.", Per.MODEL),
    Counter("prompt_tokens", "Tokens of accepted prompts.", Per.MODEL),
    Counter("completion_tokens", "Completion tokens sent.", Per.MODEL),
)

# Latencies of requests, by name; each endpoint and each model has a histogram of each, in microseconds.
REQUEST_HISTOGRAMS = {
    "ttft": "Time to first token: arrival of the request to its first token.",
    "inter_token": "Inter-token latency: the gap between two tokens.",
    "end_to_end": "Arrival of the request to its last byte; finished requests only.",
}

# Those of workers, likewise.
WORKER_HISTOGRAMS = {
    "lateness": "When a token was sent minus when it was due: the simulator's own timing error.",
}

HISTOGRAMS = REQUEST_HISTOGRAMS | WORKER_HISTOGRAMS


class Outcome(enum.Enum):
    """How a request ended, counted per endpoint; the value is its word in the JSON, for a fault its `FaultKind`'s.

    Attributes:
        help: What it means.
        column: Its index in an endpoint's row, from 0.
        is_fault: Whether it is a simulated failure.
        is_error: Whether it counts as an error: simulated failures and bugs.
        total: Name of its sum in the JSON.
    """

    FINISHED = "finished", "The whole response was sent."
    REFUSED = "refused", "The request was invalid."
    ABANDONED = "abandoned", "The client disconnected."
    ABORTED = "aborted", "The server gave up: its worker died, or the drain ran out of time."
    FAILED = "failed", "A bug of the simulator, 500, or state that could not be kept, 503."
    RATE_LIMIT = "rate_limit", "429, simulated or by a limit."
    SERVER_ERROR = "server_error", "Simulated 500."
    OVERLOADED = "overloaded", "Simulated 503 or 529: overloaded."
    TIMEOUT = "timeout", "Simulated 504."
    INVALID_REQUEST = "invalid_request", "Simulated 400."
    AUTHENTICATION = "authentication", "Simulated 401."

    help: str
    column: int
    is_fault: bool
    is_error: bool
    total: str

    def __new__(cls, word: str, help: str) -> "Outcome":  # noqa: A002 # the field's name
        """Build the next member, in the next column."""
        outcome = object.__new__(cls)
        outcome._value_ = word
        outcome.help = help
        outcome.column = len(cls.__members__)
        outcome.is_fault = word in _FAULTS
        outcome.is_error = outcome.is_fault or word == "failed"
        outcome.total = f"{word.removesuffix('_error')}_errors" if outcome.is_fault else f"{word}_requests"
        return outcome

    # PERF: a member is the only one of its value; the hash of its name is computed by Python code at each look-up.
    __hash__ = object.__hash__

    @classmethod
    def of(cls, kind: FaultKind) -> "Outcome":
        """Return the outcome of a request that a simulated failure of this kind ended."""
        return cls[kind.name]


def names(per: Per) -> tuple[str, ...]:
    """Return the names of the counters that are counted by something, in the table's order."""
    return tuple(counter.name for counter in COUNTERS if counter.per is per)


def fingerprint() -> int:
    """Return a number that differs when the names in the tables, or their order, differ."""
    tables = (
        *(name for per in Per for name in (*names(per), "")),
        *REQUEST_HISTOGRAMS,
        "",
        *WORKER_HISTOGRAMS,
        *(each.value for each in Outcome),
    )
    return zlib.crc32(" ".join(tables).encode("ascii"))
