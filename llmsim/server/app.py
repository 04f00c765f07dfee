"""The routes: every provider's endpoints from the registry, llmsim's own, and an answer for all other paths.

Decisions:
* Whatever goes wrong under a provider's prefix is answered in that provider's envelope: the
  handlers of Falcon's own HTTP errors and of bugs look the provider up by path.
* A bug of llmsim's is a 500 with a traceback in the log, never a silent one.
"""

import logging
from collections import defaultdict
from collections.abc import Mapping
from typing import Any

import falcon
import falcon.asgi
from falcon.asgi import Request, Response

from llmsim.catalogue import Catalogue, Model
from llmsim.config import Settings
from llmsim.errors import InvalidJsonError, MethodError, RefusedError, UnknownRouteError
from llmsim.planning.planner import Planner
from llmsim.providers.contract import Provider, Reply
from llmsim.providers.registry import PROVIDERS, endpoint_numbers, providers
from llmsim.server.active_request import KEY, ActiveRequest
from llmsim.server.admin_api import PATHS as CONTROL_PATHS
from llmsim.server.admin_api import AdminState as ControlDesk
from llmsim.server.admin_api import add_control
from llmsim.server.deciding import Decider
from llmsim.server.journal_writer import JournalWriter
from llmsim.server.operations import Responder, responder
from llmsim.server.pacing import TimerWheel
from llmsim.server.script_player import ScriptPlayer
from llmsim.server.sockets import Sockets
from llmsim.server.system import Health, Stats
from llmsim.server.turns import Turns, send_error
from llmsim.server.worker_context import WorkerContext
from llmsim.state.ports import State
from llmsim.stats import Block, Outcome, Recorder
from llmsim.wire.codec import encode

_SOCKET_LIFETIME = 3600.0
"""Seconds a WebSocket connection lasts. Source: OpenAI guide, WebSocket mode: 60 minutes."""

_log = logging.getLogger(__name__)


def create_app(
    settings: Settings,
    catalogue: Catalogue,
    planner: Planner,
    state: State,
    *,
    block: Block,
    recorder: Recorder,
    wheel: TimerWheel,
) -> falcon.asgi.App[Any, Any]:
    """Build the Falcon app of one worker.

    Every request's scope must carry its `ActiveRequest`.
    """
    app = falcon.asgi.App()
    desk = WorkerContext(served_models(settings, catalogue), planner, state.records, recorder)
    stage = ScriptPlayer(
        state.scripts,
        state.sessions,
        has_default=bool(settings.response.script_path),
    )
    admin = settings.admin
    # What nobody can ask for is not written down.
    scribe = JournalWriter(state.journal, admin.journal if admin.enabled else "off")
    numbers = endpoint_numbers()
    limit = settings.server.max_body_bytes
    methods: dict[str, tuple[str, ...]] = {}
    for provider in providers(settings):
        routes: dict[str, dict[str, Responder]] = defaultdict(dict)
        for generation in provider.generations:
            decider = Decider(generation, planner, desk, stage, scribe)
            routes[generation.path]["post"] = Turns(
                provider, generation, planner, decider, stage, limit
            ).on_post
            if generation.socket is not None:
                routes[generation.path]["websocket"] = Sockets(
                    generation,
                    generation.socket,
                    numbers[provider.prefix + generation.path],
                    planner,
                    decider,
                    stage,
                    wheel=wheel,
                    block=block,
                    recorder=recorder,
                    most=settings.server.max_websocket_connections,
                    lifetime=_SOCKET_LIFETIME,
                    max_message_bytes=limit,
                ).on_websocket
        for operation in provider.operations:
            answer = responder(provider, operation, desk, planner, limit)
            routes[operation.path][operation.method.lower()] = answer
        for path, responders in routes.items():
            app.add_route(provider.prefix + path, _resource(responders))
            methods[provider.prefix + path] = _methods(responders)
    app.add_route("/health", Health())
    app.add_route("/llmsim/stats", Stats(block))
    if admin.enabled:
        add_control(app, ControlDesk(state, catalogue.profiles, limit, has_default=stage.has_default))

    errors = _Errors(planner, methods, CONTROL_PATHS if admin.enabled else ())
    app.add_error_handler(falcon.HTTPError, errors.http)
    app.add_error_handler(RefusedError, errors.refused)
    app.add_error_handler(Exception, errors.crashed)
    return app


def _resource(responders: Mapping[str, Responder]) -> object:
    """Make the Falcon resource of one path: every method without a responder is refused, OPTIONS too."""

    async def refuse(*_: Any, **__: Any) -> None:
        raise falcon.HTTPMethodNotAllowed(_methods(responders))

    answered = {f"on_{method}": staticmethod(answer) for method, answer in responders.items()}
    return type("Resource", (), {"on_options": staticmethod(refuse)} | answered)()


def _methods(responders: Mapping[str, Responder]) -> tuple[str, ...]:
    return tuple(sorted(method.upper() for method in responders if method != "websocket"))


def served_models(settings: Settings, catalogue: Catalogue) -> Mapping[str, Model]:
    """Give the models that are listed: those of `models.available`, else the whole catalogue."""
    if not settings.models.available:
        return catalogue.models
    return {name: catalogue.facts(name) for name in settings.models.available}


def _provider_of(path: str) -> Provider | None:
    return next((one for one in PROVIDERS if path == one.prefix or path.startswith(one.prefix + "/")), None)


_KINDS = {404: "not_found", 405: "method_not_allowed", 500: "server_error"}


class _Errors:
    """Answers what no endpoint has answered."""

    def __init__(
        self, planner: Planner, methods: Mapping[str, tuple[str, ...]], control: tuple[str, ...]
    ) -> None:
        self._planner = planner
        self._methods = methods
        self._control = control
        served = [f"{provider.prefix}/v1" for provider in PROVIDERS] + ["/health", "/llmsim/stats", *control]
        self._served = f"{', '.join(served[:-1])} and {served[-1]}"

    async def http(
        self, req: Request, resp: Response, error: falcon.HTTPError, params: Mapping[str, Any], **_: Any
    ) -> None:
        """Answer one of Falcon's own errors: no route, no such method, a malformed request."""
        req.scope[KEY].outcome = Outcome.REFUSED
        provider = _provider_of(req.path)
        if provider is None:
            self._plain(req, resp, error)
            return
        path = req.path.removeprefix(provider.prefix)
        refusal: RefusedError
        match error:
            case falcon.HTTPNotFound():
                refusal = UnknownRouteError(req.method, path)
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
        self._send(req, resp, provider, provider.render_refusal(refusal))

    async def refused(
        self, req: Request, resp: Response, error: RefusedError, params: Mapping[str, Any], **_: Any
    ) -> None:
        """Answer a refusal that no endpoint has caught."""
        req.scope[KEY].outcome = Outcome.REFUSED
        provider = _provider_of(req.path)
        if provider is None:
            raise error
        self._send(req, resp, provider, provider.render_refusal(error))

    async def crashed(
        self, req: Request, resp: Response, error: Exception, params: Mapping[str, Any], **_: Any
    ) -> None:
        """Log a bug with its traceback and answer 500."""
        _log.error("%s %s failed", req.method, req.path, exc_info=error)
        req.scope[KEY].outcome = Outcome.FAILED
        provider = _provider_of(req.path)
        if provider is None:
            self._plain(req, resp, falcon.HTTPInternalServerError())
            return
        self._send(req, resp, provider, provider.render_crash())

    def _send(self, req: Request, resp: Response, provider: Provider, reply: Reply) -> None:
        visit: ActiveRequest = req.scope[KEY]
        send_error(resp, provider, reply, self._planner.new_id(), visit)

    def _plain(self, req: Request, resp: Response, error: falcon.HTTPError) -> None:
        allowed = dict(error.headers or ()).get("Allow")
        message = f"{error.title}: {req.method} {req.path}. " + (
            f"Allowed: {allowed}." if allowed else f"llmsim serves {self._served}."
        )
        resp.status = error.status
        resp.set_headers(dict(error.headers or ()))
        resp.content_type = "application/json"
        kind = _KINDS.get(error.status_code, "invalid_request")
        told: dict[str, Any] = {"message": message, "type": kind}
        # The control API has an envelope of its own.
        told |= (
            {"problems": [message]} if req.path.startswith(self._control) else {"param": None, "code": None}
        )
        resp.data = encode({"error": told})
