"""Requests to resources, the endpoints that do not generate: how they are booked, asked to fail, and answered.

Decisions:
* They are counted apart from generating requests, whose sums and rates are those of the load.
* The rates of `[errors]` do not concern them: a rate is one of generating requests, and what prepares a test must not fail by chance. A
  request that asks for an error by its header gets it, before it changes anything.
"""

import time
from collections.abc import Mapping
from typing import Any

from falcon.asgi import Request, Response

from llmsim.domain import Fault
from llmsim.errors import InvalidFieldError, RefusedError
from llmsim.providers.contract import Download, IncomingRequest, Provider, Replay, ResourceEndpoint
from llmsim.providers.resource_routes import find_resource
from llmsim.server.active_request import ActiveRequest
from llmsim.server.channels import CHANNEL, HttpChannel
from llmsim.server.controls import FAULT_HEADER
from llmsim.server.downloads import read_download
from llmsim.server.http import Responder, read_request
from llmsim.server.pacing import PacedStream
from llmsim.server.replies import ReplyBuilder
from llmsim.server.request_headers import RequestHeaders
from llmsim.server.services import Services
from llmsim.server.transport.bodies import BodyReader, DisconnectedError
from llmsim.server.transport.form_reader import FormReader
from llmsim.server.worker_context import WorkerContext
from llmsim.stats import Block, Outcome, Recorder

# What was counted when it was generated is not counted again.
_UNCOUNTED = Recorder(Block.private(endpoints=("replays",), now=0.0), 0)
_REPLAYS = _UNCOUNTED.accepted(0, "", streaming=True, prompt_tokens=0)


def begin_resource(active: ActiveRequest, scope: Mapping[str, Any]) -> None:
    """Book that a request which does not generate is for a resource, if it is for one."""
    resource = find_resource(scope["method"], scope["path"], RequestHeaders(scope["headers"]))
    if resource is not None:
        active.begin_resource(resource)


def resource_responder(
    provider: Provider,
    endpoint: ResourceEndpoint,
    services: Services,
    bodies: BodyReader,
    forms: FormReader,
    replies: ReplyBuilder,
) -> Responder:
    """Return the Falcon responder of an endpoint that does not generate."""
    own_forms = forms if endpoint.takes_forms else None

    async def respond(req: Request, _resp: Response, **path_params: str) -> None:
        channel: HttpChannel = req.scope[CHANNEL]
        active, context = channel.active, services.context
        try:
            request = await read_request(req, provider, bodies, path_params, own_forms)
            fault = _read_fault(request, context, endpoint)
            if fault is not None:
                await _fail(fault, channel, replies, provider)
                return
            answer = await endpoint.run(context.for_owner(active.owner), request)
            if isinstance(answer, Download):
                answer = await read_download(answer, context, active)
        except DisconnectedError:
            active.outcome = Outcome.ABANDONED
            return
        except RefusedError as error:
            active.outcome = Outcome.FAILED if error.is_temporary else Outcome.REFUSED
            await channel.reply(replies.build_error(provider.render_refusal(error), active))
            return
        if isinstance(answer, Replay):
            active.open_stream()
            stream = _paced(answer)
            await channel.stream(stream, replies.build_stream(answer.headers, active))
            active.outcome = Outcome.FINISHED if stream.done else Outcome.ABANDONED
        else:
            active.outcome = Outcome.ABANDONED if channel.disconnected else Outcome.FINISHED
            await channel.reply(replies.build_reply(answer, active))

    return respond


def _read_fault(request: IncomingRequest, context: WorkerContext, endpoint: ResourceEndpoint) -> Fault | None:
    """Return the error that a request asks for; None if it asks for none, or what it has generated is to have it.

    Raises:
        InvalidFieldError: Its controls are wrong, or ask for what only a generated response can have.
    """
    overrides = context.read_controls(request.headers).overrides
    if overrides is None or overrides.fault is None or endpoint.passes_controls:
        return None
    if not overrides.fault.is_error:
        problem = "this endpoint generates nothing; wanted an error or a status from 400 to 599"
        raise InvalidFieldError((FAULT_HEADER,), "conflict", f"{FAULT_HEADER}: {problem}")
    return context.planner.overrider.error(overrides.fault)


async def _fail(fault: Fault, channel: HttpChannel, replies: ReplyBuilder, provider: Provider) -> None:
    active = channel.active
    if not await channel.wait_until(active.arrival + fault.delay):
        active.outcome = Outcome.ABANDONED
        return
    active.outcome = Outcome.of(fault.kind)
    await channel.reply(replies.build_error(provider.render_fault(fault), active))


def _paced(replay: Replay) -> PacedStream:
    """Pace a stored response as it was generated: what is past leaves at once."""
    stored = replay.stored
    arrival = time.monotonic() - (time.time() - stored.arrived)
    return PacedStream(stored.turn, replay.frames, arrival=arrival, recorder=_UNCOUNTED, row=_REPLAYS)
