"""One request of a batch: planned when the batch is created, and rendered as its endpoint renders it.

Decisions:
* A request is done after its own latency within bounds, and requests are begun at a pace: clients have something to poll for, and a batch
  ends within seconds.
* A request that is refused, or meets a simulated failure, is an error of its own, not of the batch.
"""

from collections.abc import Sequence
from typing import Any

import msgspec

from llmsim.domain import Fault, Usage
from llmsim.errors import RefusedError
from llmsim.providers.contract import EndpointContext, GenerationEndpoint, IncomingRequest, Reply

MIN_SECS, MAX_SECS = 0.1, 5.0
"""Bounds of the time that one request takes, whatever its own latency."""

PACE = 1000
"""Requests of a batch that are begun in a second."""


class BatchLine(msgspec.Struct, frozen=True):
    """How one request ends.

    Attributes:
        reply: Its response, or its error.
        usage: Its tokens; none if it fails.
        seconds: How long it takes.
    """

    reply: Reply
    usage: Usage = Usage(0, 0)
    seconds: float = MIN_SECS


async def run_line(
    context: EndpointContext,
    whole: IncomingRequest,
    single: IncomingRequest,
    endpoint: GenerationEndpoint[Any],
) -> BatchLine:
    """Plan one request of a batch, and render its response.

    Args:
        context: The worker's services.
        whole: The request that brings it, whose body has the size of the batch.
        single: The request itself.
        endpoint: The endpoint that it asks.
    """
    try:
        parsed = await context.compute(whole, endpoint.http.parse, single)
        if parsed.files and endpoint.load_files is not None:
            parsed = await endpoint.load_files(context, parsed)
        outcome = await context.plan(whole, parsed.prompt, single.body)
    except RefusedError as error:
        return BatchLine(endpoint.http.render_refusal(error))
    if isinstance(outcome, Fault):
        return BatchLine(endpoint.http.render_fault(outcome))
    is_media = parsed.prompt.media is not None or parsed.prompt.speaks
    body = await context.compute(whole, endpoint.render_response, outcome, parsed.options, in_thread=is_media)
    return BatchLine(Reply(200, body), outcome.usage, min(max(outcome.due, MIN_SECS), MAX_SECS))


def done_after(lines: Sequence[BatchLine], begun: float) -> list[float]:
    """Return after how many seconds each request of a batch is done, of which the first is begun after `begun`."""
    return [begun + number / PACE + line.seconds for number, line in enumerate(lines)]


def joined(lines: Sequence[bytes]) -> list[bytes]:
    """Return lines as larger pieces."""
    return [b"".join(lines[start : start + 256]) for start in range(0, len(lines), 256)]
