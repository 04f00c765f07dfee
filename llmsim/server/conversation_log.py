"""What responses add to stored conversations, and what is removed of it when they are lost.

Decisions:
* Where an engine produces the tokens, the end of a response is not known when it is planned: what it adds is there at once.
"""

import contextlib
from typing import Any

from llmsim.domain import Fault, Turn
from llmsim.errors import RefusedError, StoreError
from llmsim.providers.contract import ParsedRequest
from llmsim.providers.storage import ResponseStorage, StoredResponse
from llmsim.server.worker_context import WorkerContext


async def append_response(
    storage: ResponseStorage[Any],
    context: WorkerContext,
    parsed: ParsedRequest[Any],
    outcome: Turn | Fault,
    stored: StoredResponse[Any] | None,
    arrival: float,
    *,
    is_timed: bool,
) -> StoredResponse[Any] | None:
    """Add a response to the conversation that its request continues.

    Args:
        storage: How the endpoint stores responses.
        context: The services for the owner of the request.
        parsed: The request.
        outcome: The response, or what fails instead.
        stored: The response as it was stored; None if it was not.
        arrival: Instant of the request's arrival on the monotonic clock.
        is_timed: Whether it is known when the response is done.

    Returns:
        The response as it was added; None if the request continues no conversation, or fails.

    Raises:
        RefusedError: Another response is generated in the conversation; this one is not stored then.
    """
    conversations = storage.conversations
    if conversations is None or conversations.id(parsed.options) is None or isinstance(outcome, Fault):
        return None
    response = stored or context.as_stored(storage, parsed, outcome, arrival)
    try:
        await conversations.append(context, response, is_timed=is_timed or response.background)
    except RefusedError:
        if stored is not None:
            await context.delete(storage, storage.public_id(outcome))
        raise
    return response


async def remove_response(
    storage: ResponseStorage[Any], context: WorkerContext, response: StoredResponse[Any]
) -> None:
    """Remove what a response that was lost has added; one in the background is not lost."""
    if response.background or storage.conversations is None:
        return
    with contextlib.suppress(StoreError):
        await storage.conversations.remove(context, response)
