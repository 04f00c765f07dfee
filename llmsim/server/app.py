"""The routes: every provider's endpoints from the registry, llmsim's own, and an answer for all other paths.

Decisions:
* Whatever goes wrong under a provider's prefix is answered in that provider's envelope: the
  handlers of Falcon's own HTTP errors and of bugs look the provider up by path.
* A bug of llmsim's is a 500 with a traceback in the log, never a silent one.
"""

import logging
import time
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
from llmsim.providers.registry import PROVIDERS
from llmsim.server.lookups import Lookups
from llmsim.server.system import Health, Stats
from llmsim.server.turns import Turns, send_reply
from llmsim.server.visits import KEY, Visit
from llmsim.stats import Block, Outcome
from llmsim.wire.codec import encode

_log = logging.getLogger(__name__)


def create_app(
    settings: Settings, catalogue: Catalogue, planner: Planner, block: Block
) -> falcon.asgi.App[Any, Any]:
    """Build the Falcon app of one worker.

    Every request's scope must carry its `Visit`.
    """
    app = falcon.asgi.App()
    models = served_models(settings, catalogue)
    for provider in PROVIDERS:
        for generation in provider.generations:
            turns = Turns(provider, generation, planner, settings.server.max_body_bytes)
            app.add_route(provider.prefix + generation.path, turns)
        for lookup in provider.lookups:
            app.add_route(provider.prefix + lookup.path, Lookups(provider, lookup, models, planner))
    app.add_route("/health", Health())
    app.add_route("/llmsim/stats", Stats(block))

    errors = _Errors(planner)
    app.add_error_handler(falcon.HTTPError, errors.http)
    app.add_error_handler(RefusedError, errors.refused)
    app.add_error_handler(Exception, errors.crashed)
    return app


def served_models(settings: Settings, catalogue: Catalogue) -> Mapping[str, Model]:
    """Give the models that are listed: those of `models.available`, else the whole catalogue."""
    if not settings.models.available:
        return catalogue.models
    return {name: catalogue.facts(name) for name in settings.models.available}


def _provider_of(path: str) -> Provider | None:
    return next((one for one in PROVIDERS if path == one.prefix or path.startswith(one.prefix + "/")), None)


class _Errors:
    """Answers what no endpoint has answered."""

    def __init__(self, planner: Planner) -> None:
        self._planner = planner

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
        visit: Visit = req.scope[KEY]
        send_reply(resp, reply, provider.headers(self._planner.new_id(), time.monotonic() - visit.arrived))

    def _plain(self, req: Request, resp: Response, error: falcon.HTTPError) -> None:
        prefixes = ", ".join(f"{provider.prefix}/v1" for provider in PROVIDERS)
        message = (
            f"{error.title}: {req.method} {req.path}. llmsim serves {prefixes}, /health and /llmsim/stats."
        )
        resp.status = error.status
        resp.set_headers(dict(error.headers or ()))
        resp.content_type = "application/json"
        resp.data = encode({"error": {"message": message, "type": "not_found", "param": None, "code": None}})
