"""The routes: every provider's endpoints from the registry, llmsim's own, and an answer for all other paths.

Decisions:
* Whatever goes wrong under a provider's prefix is answered in that provider's envelope: the
  handlers of Falcon's own HTTP errors and of bugs look the provider up by path.
* Paths are served without a prefix, too, for clients that are configured with host and port only: the same endpoints, with the same
  counters. Where several APIs have a path, `registry.choose` says whose it is.
* A bug of llmsim's is a 500 with a traceback in the log, never a silent one.
"""

import logging
from collections import defaultdict
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any

import falcon
import falcon.asgi
import msgspec
from falcon.asgi import Request, Response, WebSocket

from llmsim.catalogue import Catalogue, Model
from llmsim.config import Settings
from llmsim.errors import InvalidJsonError, MethodError, RefusedError, StoreError, UnknownRouteError
from llmsim.planning.planner import Planner
from llmsim.providers.contract import Provider, Reply
from llmsim.providers.error_messages import UNAVAILABLE_HEADERS, UNAVAILABLE_STATUS
from llmsim.providers.registry import (
    BARE_PREFIX,
    PROVIDERS,
    endpoint_number,
    find_provider,
    providers,
)
from llmsim.providers.route_suggestions import suggest_route
from llmsim.scenarios import Scenario
from llmsim.server.active_request import ActiveRequest, OpenRequest
from llmsim.server.admin_api import PATHS as CONTROL_PATHS
from llmsim.server.admin_api import AdminState, add_control
from llmsim.server.channels import CHANNEL, HttpChannel
from llmsim.server.client_api import add_clients
from llmsim.server.client_watch import ClientWatch
from llmsim.server.controls import ControlReader, ignore_controls
from llmsim.server.dashboard import PATH as DASHBOARD
from llmsim.server.dashboard import Dashboard, Redirect, is_front_page, redirect
from llmsim.server.engine.engines import Engines
from llmsim.server.explanation import add_explanation
from llmsim.server.http import HttpGeneration, Responder
from llmsim.server.journal_writer import JournalWriter
from llmsim.server.live_settings import LiveSettings
from llmsim.server.operations import Health, Metrics, Ready, Stats
from llmsim.server.pacing import TimerWheel
from llmsim.server.replies import ReplyBuilder
from llmsim.server.request_headers import RequestHeaders
from llmsim.server.resource_requests import resource_responder
from llmsim.server.route_table import RouteTable
from llmsim.server.router import Router
from llmsim.server.rule_book import RuleBook
from llmsim.server.rules_api import add_rules
from llmsim.server.script_player import ScriptPlayer
from llmsim.server.services import Services
from llmsim.server.settings_api import add_settings
from llmsim.server.transport.bodies import BodyReader
from llmsim.server.transport.body_budget import BodyBudget
from llmsim.server.transport.form_reader import FormReader
from llmsim.server.websocket import WebSocketGeneration
from llmsim.server.worker_context import WorkerContext
from llmsim.state.ports import State
from llmsim.stats import Block, Outcome, Recorder
from llmsim.wire.codec import encode

_log = logging.getLogger(__name__)

_WEBSOCKET_LIFETIME = 3600.0
"""Seconds a WebSocket connection lasts. Source: OpenAI guide, WebSocket mode: 60 minutes."""


class Routes(msgspec.Struct, frozen=True):
    """What answers the requests of one worker.

    Attributes:
        app: Answers every request, as Falcon routes it.
        generations: The generating endpoints that can answer a request themselves, by path.
        clients: Watches how clients go about failures; None if no client can ask for it.
        services: The services of the endpoints.
    """

    app: falcon.asgi.App[Any, Any]
    generations: Mapping[str, HttpGeneration]
    clients: ClientWatch | None
    services: Services


def create_routes(
    settings: Settings,
    catalogue: Catalogue,
    planner: Planner,
    state: State,
    scenarios: Mapping[str, Scenario],
    *,
    block: Block,
    recorder: Recorder,
    wheel: TimerWheel,
    bodies: BodyBudget,
    live: LiveSettings,
    begin_anew: Callable[[], Awaitable[bool]],
    rules: RuleBook,
    directory: Path,
    engines: Engines,
    open_request: OpenRequest = ActiveRequest,
) -> Routes:
    """Build the routes of one worker.

    Every HTTP request's scope must carry its channel.

    Args:
        settings: What is simulated.
        catalogue: The facts about models.
        planner: Plans responses.
        state: What all workers share.
        scenarios: Those that can be played, by name.
        block: The counters of all workers.
        recorder: Counts for this worker.
        wheel: Wakes streams.
        bodies: The bytes of bodies that this worker holds.
        live: The settings in force, as they are changed at run time.
        begin_anew: Lets all that hosts share begin anew; returns whether they share anything.
        rules: Answers by what is asked.
        directory: The run directory.
        engines: Produce the tokens of their models.
        open_request: Books the beginning of each request over WebSocket.
    """
    router = Router()
    app = falcon.asgi.App(router=router)
    obeys = settings.server.control_headers
    read_controls = ControlReader(catalogue.profiles).read if obeys else ignore_controls
    context = WorkerContext(
        served_models(settings, catalogue),
        planner,
        state,
        recorder,
        bodies,
        read_controls=read_controls,
        rules=rules,
        engines=engines,
    )
    player = ScriptPlayer(state.scripts, state.sessions, has_default=bool(settings.response.script_path))
    admin = settings.admin
    # What no client can ask for is not written.
    scope = admin.journal if admin.enabled else "off"
    journal = JournalWriter(state.journal, scope, recorder, admin.journal_request_bytes)
    clients = None
    if admin.enabled and admin.client_report:
        clients = ClientWatch(state.clients, providers(settings), obeys_sessions=obeys)
    services = Services(live.settings, state, scenarios, context, player, journal, engines, clients, rules)
    limit = settings.server.max_body_bytes
    reader = BodyReader(limit, bodies)
    forms = FormReader(settings.files.max_file_bytes, directory)
    table = RouteTable(router)
    generations: dict[str, HttpGeneration] = {}
    for provider in providers(settings):
        routes: dict[str, dict[str, Responder]] = defaultdict(dict)
        for endpoint in provider.generation_endpoints:
            service = services.build(provider, endpoint, endpoint.http)
            own_forms = forms if endpoint.takes_forms else None
            generation = HttpGeneration(provider, endpoint.path, service, reader, own_forms)
            services.hold(generation, provider, endpoint, endpoint.http)
            routes[endpoint.path]["post"] = generation.on_post
            if "{" not in endpoint.path and own_forms is None:
                generations[provider.prefix + endpoint.path] = generation
            if endpoint.websocket is not None:
                messages = endpoint.websocket.messages
                websocket = WebSocketGeneration(
                    provider,
                    endpoint.websocket,
                    services.build(provider, endpoint, messages),
                    endpoint_number(endpoint.label),
                    wheel=wheel,
                    block=block,
                    recorder=recorder,
                    max_connections=settings.server.max_websocket_connections,
                    lifetime=_WEBSOCKET_LIFETIME,
                    max_message_bytes=limit,
                    open_request=open_request,
                    take_changes=live.take_changes,
                )
                services.hold(websocket, provider, endpoint, messages)
                routes[endpoint.path]["websocket"] = websocket.on_websocket
        replies = ReplyBuilder(provider, planner.new_id)
        for resource in provider.resource_endpoints:
            responder = resource_responder(provider, resource, services, reader, forms, replies)
            routes[resource.path][resource.method.lower()] = responder
        table.add_provider(provider, routes)
    table.add_bare()
    metrics = Metrics(block, state.hosts, vllm_names=settings.metrics.vllm_names)
    for path, operational in (("/health", Health()), ("/ready", Ready(block)), ("/metrics", metrics)):
        table.add_operational(path, operational)
    app.add_route("/llmsim/stats", Stats(block, state.hosts))
    app.add_route(DASHBOARD, Dashboard())
    app.add_route(DASHBOARD.rstrip("/"), Redirect())
    if admin.enabled:
        shared = AdminState(
            state, catalogue.profiles, reader, has_default=player.has_default, begin_anew=begin_anew
        )
        add_control(app, shared)
        add_settings(app, live, reader)
        add_clients(app, state.clients)
        add_rules(app, rules, reader)
        add_explanation(app, services, reader)

    # The search is compiled when a path is looked up first. PERF: 20 ms, and 8 MB of a worker if it does that itself.
    router.find("/health")
    errors = _Errors(planner, table.methods, CONTROL_PATHS if admin.enabled else ())
    app.add_error_handler(falcon.HTTPError, errors.http)
    app.add_error_handler(RefusedError, errors.refused)
    app.add_error_handler(Exception, errors.crashed)
    return Routes(app, generations, clients, services)


def served_models(settings: Settings, catalogue: Catalogue) -> Mapping[str, Model]:
    """Return the models that are listed: those of `models.available`, else the whole catalogue."""
    if not settings.models.available:
        return catalogue.models
    return {name: catalogue.facts(name) for name in settings.models.available}


def _provider_of(req: Request) -> Provider | None:
    return find_provider(req.path, RequestHeaders(req.scope["headers"]))


_KINDS = {404: "not_found", 405: "method_not_allowed", 500: "server_error", 503: "unavailable"}


class _Errors:
    """Answers what no endpoint has answered."""

    def __init__(
        self, planner: Planner, methods: Mapping[str, tuple[str, ...]], control: tuple[str, ...]
    ) -> None:
        self._methods = methods
        self._control = control
        self._replies = {provider.name: ReplyBuilder(provider, planner.new_id) for provider in PROVIDERS}
        self._own = (DASHBOARD, "/health", "/ready", "/metrics", "/llmsim/stats", *control)
        served = [*(provider.base_path for provider in PROVIDERS), BARE_PREFIX, *self._own]
        self._served = f"{', '.join(served[:-1])} and {served[-1]}"

    async def http(
        self,
        req: Request,
        resp: Response | None,
        error: falcon.HTTPError,
        params: Mapping[str, Any],
        ws: WebSocket | None = None,
    ) -> None:
        """Answer one of Falcon's own errors: no route, no such method, a malformed request."""
        provider = _provider_of(req)
        refusal: RefusedError | None = None
        if provider is not None:
            path = req.path.removeprefix(provider.prefix)
            match error:
                case falcon.HTTPNotFound():
                    refusal = UnknownRouteError(req.method, path, suggest_route(req.path))
                case falcon.HTTPMethodNotAllowed():
                    allowed = dict(error.headers or ())["Allow"].split(", ")
                    refusal = MethodError(
                        req.method, path, tuple(method for method in allowed if method != "OPTIONS")
                    )
                case falcon.HTTPBadRequest() if req.method not in falcon.COMBINED_METHODS:
                    # Falcon knows no such method on any path; uvicorn lets SEARCH, PURGE and others through.
                    refusal = MethodError(req.method, path, self._methods[req.uri_template or ""])
                case _:
                    refusal = InvalidJsonError(error.title or str(error))
        reply = provider.render_refusal(refusal) if provider is not None and refusal is not None else None
        await self._send(req, resp, ws, error, Outcome.REFUSED, reply)

    async def refused(
        self,
        req: Request,
        resp: Response | None,
        error: RefusedError,
        params: Mapping[str, Any],
        ws: WebSocket | None = None,
    ) -> None:
        """Answer a refusal that no endpoint has caught."""
        provider = _provider_of(req)
        if isinstance(error, StoreError):
            unavailable = falcon.HTTPServiceUnavailable(title=str(error), headers=UNAVAILABLE_HEADERS)
            reply = provider.render_refusal(error) if provider is not None else None
            await self._send(req, resp, ws, unavailable, Outcome.FAILED, reply)
            return
        if provider is None:
            raise error
        reply = provider.render_refusal(error)
        await self._send(req, resp, ws, falcon.HTTPBadRequest(), Outcome.REFUSED, reply)

    async def crashed(
        self,
        req: Request,
        resp: Response | None,
        error: Exception,
        params: Mapping[str, Any],
        ws: WebSocket | None = None,
    ) -> None:
        """Log a bug with its traceback and answer 500."""
        channel: HttpChannel | None = req.scope.get(CHANNEL)
        if channel is not None and channel.responded:
            # Too late for an answer: the server logs it and disconnects the client.
            raise error
        _log.error("%s %s failed", req.method, req.path, exc_info=error)
        provider = _provider_of(req)
        reply = provider.render_crash() if provider is not None else None
        await self._send(req, resp, ws, falcon.HTTPInternalServerError(), Outcome.FAILED, reply)

    async def _send(
        self,
        req: Request,
        resp: Response | None,
        ws: WebSocket | None,
        error: falcon.HTTPError,
        outcome: Outcome,
        reply: Reply | None,
    ) -> None:
        """Send a provider's reply or, outside of providers, a plain error."""
        if ws is not None or resp is None:
            if ws is not None:
                await ws.close(3000 + error.status_code)
            return
        channel: HttpChannel = req.scope[CHANNEL]
        channel.active.outcome = channel.active.outcome or outcome
        provider = _provider_of(req)
        if provider is not None and reply is not None:
            replies = self._replies[provider.name]
            await channel.reply(replies.build_error(reply, channel.active))
            return
        if is_front_page(req):
            redirect(req, resp, falcon.HTTP_302)
            return
        allowed = dict(error.headers or ()).get("Allow")
        hint = suggest_route(req.path, self._own) if error.status_code == 404 else ""
        hint = hint.removesuffix(" (llmsim)") or "."
        message = f"{error.title}: {req.method} {req.path}{hint} " + (
            f"Allowed: {allowed}." if allowed else f"llmsim serves {self._served}."
        )
        if error.status_code == UNAVAILABLE_STATUS:
            message = str(error.title)
        resp.status = error.status
        resp.set_headers(dict(error.headers or ()))
        resp.content_type = "application/json"
        kind = _KINDS.get(error.status_code, "invalid_request")
        body: dict[str, Any] = {"message": message, "type": kind}
        # The control API has an envelope of its own.
        body |= (
            {"problems": [message]} if req.path.startswith(self._control) else {"param": None, "code": None}
        )
        resp.data = encode({"error": body})
