"""The table of routes: which method of which path is answered by what, with and without a prefix."""

import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

import falcon
from falcon.asgi import Request, Response

from llmsim.providers.contract import Provider
from llmsim.providers.registry import PROVIDERS, choose
from llmsim.server.http import Responder
from llmsim.server.request_headers import RequestHeaders
from llmsim.server.router import Router


class RouteTable:
    """The routes of all providers, with and without their prefix.

    Attributes:
        methods: The methods of each path template.
    """

    def __init__(self, router: Router) -> None:
        self.methods: dict[str, tuple[str, ...]] = {}
        self._router = router
        self._bare: dict[str, list[tuple[Provider, str, Mapping[str, Responder]]]] = defaultdict(list)

    def add(self, path: str, responders: Mapping[str, Responder]) -> None:
        """Add a path with its responders by method; all others are refused, OPTIONS too."""
        methods = _methods(responders)

        async def refuse(*_: Any, **__: Any) -> None:
            raise falcon.HTTPMethodNotAllowed(methods)

        answers: dict[str, Any] = {method.upper(): answer for method, answer in responders.items()}
        self._router.add(path, self, {"OPTIONS": refuse} | answers)
        self.methods[path] = methods

    def add_provider(self, provider: Provider, routes: Mapping[str, Mapping[str, Responder]]) -> None:
        """Add a provider's paths behind its prefix, and note those that are served without it."""
        for path, responders in routes.items():
            self.add(provider.prefix + path, responders)
            if provider.is_bare:
                self._bare[re.sub(r"\{.+?\}", "{}", path)].append((provider, path, responders))

    def add_bare(self) -> None:
        """Add the paths without prefix."""
        for owners in self._bare.values():
            methods = {method for _, _, responders in owners for method in responders}
            template = owners[0][1]
            self.add(template, {method: _chosen(owners, method, template) for method in methods})

    def add_operational(self, path: str, resource: object) -> None:
        """Add a path of llmsim's own, at the root and behind each prefix, where load tools ask for it."""
        self._router.add_route(path, resource)
        for provider in PROVIDERS:
            self._router.add_route(provider.prefix + path, resource)
            self.methods[provider.prefix + path] = ("GET", "HEAD")


def _chosen(
    owners: Sequence[tuple[Provider, str, Mapping[str, Responder]]], method: str, template: str
) -> Responder:
    """Return the responder of a path without prefix: its owner's, or that of the owner whom a request means.

    Args:
        owners: Who have the path, each with the path as it names its variables, and its responders.
        method: The method.
        template: The path as it is added; its names of the variables are those of one owner.
    """
    having = {provider: (path, known[method]) for provider, path, known in owners if method in known}
    if len(having) == 1:
        ((path, only),) = having.values()
        if path == template:
            return only
    candidates = tuple(having)

    async def respond(req: Request, resp: Response, **path_params: str) -> None:
        path, responder = having[choose(candidates, RequestHeaders(req.scope["headers"]))]
        names = re.findall(r"\{(.+?)\}", path)
        await responder(req, resp, **dict(zip(names, path_params.values(), strict=True)))

    return respond


def _methods(responders: Mapping[str, Responder]) -> tuple[str, ...]:
    return tuple(sorted(method.upper() for method in responders if method != "websocket"))
