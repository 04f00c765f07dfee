"""The resources of a provider's endpoints that do not generate, one for each path."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any

from falcon.asgi import Request, Response

from llmsim.errors import RefusedError
from llmsim.planning.planner import Planner
from llmsim.providers.contract import (
    Provider,
    Replay,
    Reply,
    ResourceEndpoint,
    ResourceRequest,
)
from llmsim.server.active_request import KEY, ActiveRequest
from llmsim.server.pacing import PacedStream
from llmsim.server.sync import Synchronous
from llmsim.server.turns import OFF_LOOP, HungUpError, Stream, read_body, send_error, send_reply, send_stream
from llmsim.server.worker_context import WorkerContext
from llmsim.stats import Block, Recorder

# What was counted when it was first made is not counted again.
_UNCOUNTED = Recorder(Block.private(endpoints=("replays",), now=0.0), 0)

Responder = Callable[..., Awaitable[None]]


class _SyncContext(Synchronous):
    """The context for operations that are no coroutines."""

    def shelf(self, kind: str) -> Any:
        """Return the documents of a kind."""
        return Synchronous(self._target.shelf(kind))


def responder(
    provider: Provider,
    operation: ResourceEndpoint,
    desk: WorkerContext,
    planner: Planner,
    max_body_bytes: int,
) -> Responder:
    """Give the Falcon responder that answers one operation."""
    context: Any = _SyncContext(desk)

    async def respond(req: Request, resp: Response, **variables: str) -> None:
        visit: ActiveRequest = req.scope[KEY]
        queried = {name: value for name, value in req.params.items() if isinstance(value, str)}
        try:
            if provider.admit is not None:
                provider.admit(req.headers_lower)
            body = b"" if operation.method == "GET" else await read_body(req, max_body_bytes)
            call = ResourceRequest(queried | variables, body, req.prefix + provider.prefix)
            if len(body) < OFF_LOOP:
                answer = operation.run(context, call)
            else:
                answer = await asyncio.get_running_loop().run_in_executor(None, operation.run, context, call)
        except HungUpError:
            return
        except RefusedError as error:
            send_error(resp, provider, provider.render_refusal(error), planner.new_id(), visit)
            return
        headers = provider.headers(planner.new_id(), time.monotonic() - visit.arrived)
        if isinstance(answer, Reply):
            send_reply(resp, answer, headers)
        else:
            send_stream(resp, _replayed(visit, answer), headers)

    return respond


def _replayed(visit: ActiveRequest, replay: Replay) -> Stream:
    """Stream a kept turn at the pace at which it came about: what is past leaves at once."""
    stored = replay.stored
    visit.stream()
    flight = PacedStream(stored.turn, replay.runs, arrived=stored.arrived, recorder=_UNCOUNTED, row=0)
    return Stream(visit, flight)
