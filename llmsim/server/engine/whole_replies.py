"""A whole response that an engine produces."""

import time
from typing import TypeVar

from msgspec.structs import replace

from llmsim.domain import Schedule, Turn
from llmsim.providers.contract import GenerationEndpoint
from llmsim.server.channels import Channel
from llmsim.server.engine.reader import EnginePlace
from llmsim.server.planned_responses import PlannedResponse
from llmsim.server.replies import ReplyBuilder
from llmsim.server.worker_context import compute_in_thread
from llmsim.stats import Outcome

O = TypeVar("O")  # noqa: E741 - the options of an endpoint


async def reply_from_engine(
    endpoint: GenerationEndpoint[O],
    replies: ReplyBuilder,
    planned: PlannedResponse[O],
    turn: Turn,
    place: EnginePlace,
    channel: Channel,
) -> None:
    """Answer once the engine has produced the last token; rendered then, because the response says when that was.

    Args:
        endpoint: Renders the response.
        replies: Builds the reply.
        planned: What the request is answered.
        turn: The turn of that.
        place: The request's place in the engine.
        channel: Where the request came from.
    """
    active, tokens = channel.active, turn.length or 1
    row = active.accepted(turn.model, streaming=False, prompt_tokens=turn.usage.prompt)
    if not await channel.wait_until(place.due(tokens)):
        active.outcome = Outcome.ABANDONED
        return
    due = place.find(tokens)
    timed = replace(turn, schedule=Schedule(ttft=due - active.arrival, itl=0.0))
    render, options = endpoint.render_response, planned.request.options
    body = (await compute_in_thread(render, timed, options)) if planned.heavy else render(timed, options)
    now = time.monotonic()
    active.recorder.late(now - due)
    active.recorder.sent(row, turn.usage.completion, now)
    active.outcome = Outcome.FINISHED
    await channel.reply(replies.build(body, active))
