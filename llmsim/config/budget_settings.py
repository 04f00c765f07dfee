"""Settings of what one client may send and what a request may cost. The budgets of the latter are in `llmsim.budgets`."""

from typing import Annotated

import msgspec

from llmsim.config.metadata import milliseconds, seconds, setting


class BudgetSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What one client may send, and what a request may cost the worker that answers it."""

    max_head_bytes: Annotated[
        int,
        setting(
            "Largest head of a request (request line and headers); a larger one gets a 431.",
            unit="bytes",
            ge=1024,
            le=2**20,
        ),
    ] = 2**16
    max_head_fields: Annotated[
        int,
        setting("Most headers of a request; more get a 431.", unit="headers", ge=10, le=10_000),
    ] = 200
    head_timeout_secs: Annotated[
        int, seconds("How long a client may take for the head of a request; then it gets a 408.")
    ] = 30
    body_timeout_secs: Annotated[
        int,
        seconds(
            "How long a client may take for the body of a request, and a second more for each MB sent; then it gets a "
            "408. Messages over WebSocket have the same time."
        ),
    ] = 60
    max_bodies_bytes: Annotated[
        int,
        setting(
            "Most bytes of request bodies and WebSocket messages that a worker holds at a time; beyond it reading waits, and "
            "the time of its client with it. Bodies of up to 64 KB always pass. Large responses with embeddings count, too.",
            unit="bytes",
            ge=2**16,
            le=2**40,
        ),
    ] = 512 * 2**20
    room_timeout_secs: Annotated[
        int,
        seconds(
            "How long a body waits for room among those that a worker holds; then it gets a 503 with `retry-after`."
        ),
    ] = 120
    max_pipelined: Annotated[
        int,
        setting(
            "Most requests of a connection that wait for the response before them; the next one gets a 400, and ends the connection.",
            unit="requests",
            ge=1,
            le=10_000,
        ),
    ] = 100
    max_pings_per_sec: Annotated[
        int,
        setting(
            "Most pings of a WebSocket connection; beyond it the connection is closed (1008).",
            unit="pings/s",
            ge=1,
            le=100_000,
        ),
    ] = 100
    json_depth: Annotated[
        int,
        setting(
            "Levels of nesting in JSON; deeper JSON is refused (400). So are integers of more than 64 bits.",
            unit="levels",
            ge=20,
            le=200,
        ),
    ] = 200
    json_values: Annotated[
        int,
        setting(
            "Values in JSON; more are refused (400). Decoded they take some 100 bytes each.",
            unit="values",
            ge=10_000,
            le=100_000_000,
        ),
    ] = 500_000
    pattern_chars: Annotated[
        int,
        setting(
            "Longest regular expression of a schema that is obeyed; a longer one counts as matching any text. In a script it "
            "is a mistake.",
            unit="characters",
            ge=0,
            le=10_000,
        ),
    ] = 1000
    pattern_ms: Annotated[
        int,
        milliseconds(
            "Processor time of all regular expressions of a request. What is not matched by then counts as conforming to a "
            "schema, and as not met by a script's expectation.",
            maximum=10_000,
        ),
    ] = 100
    schema_steps: Annotated[
        int,
        setting(
            "Work on the schemas of a request: values generated, schemas checked. Beyond it values are the simplest, and not "
            "checked. 40,000 steps take some 50 ms.",
            unit="steps",
            ge=100,
            le=10_000_000,
        ),
    ] = 40_000
