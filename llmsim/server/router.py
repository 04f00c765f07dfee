"""The router of a worker: Falcon's, with the tree of templates apart from what answers them.

Decisions:
* Falcon takes 0.2 ms to add a route to its tree, and 20 ms to compile the tree when the first request comes. Which templates there are
  depends on few settings, so a tree is remembered by its templates, and what answers is looked up by the template that was found.
"""

import functools
from typing import Any

from falcon._typing import MethodDict
from falcon.routing import CompiledRouter, map_http_methods, set_default_responders


class _Nothing:
    """The resource of every template in a remembered tree."""


@functools.lru_cache(maxsize=8)  # templates are the program's own, not texts of clients
def compile_templates(templates: tuple[str, ...]) -> CompiledRouter:
    """Compile the tree of some templates."""
    tree = CompiledRouter()
    nothing = _Nothing()
    for template in templates:
        tree.add_route(template, nothing, _asgi=True)
    tree.find("/")
    return tree


@functools.lru_cache(maxsize=64)  # the program's own methods, too
def _refusals(methods: frozenset[str]) -> dict[str, Any]:
    """Return what refuses all methods but these."""
    responders: dict[str, Any] = dict.fromkeys(methods)
    set_default_responders(responders, asgi=True)
    return {method: refuse for method, refuse in responders.items() if method not in methods}


class Router(CompiledRouter):
    """The routes of one worker, as `falcon.asgi.App` uses a router."""

    def __init__(self) -> None:
        super().__init__()
        self._routes: dict[str, tuple[object, MethodDict]] = {}
        self._tree: CompiledRouter | None = None

    def add_route(self, uri_template: str, resource: object, **_: Any) -> None:
        """Add a route as Falcon does; methods that `resource` lacks are refused."""
        self.add(uri_template, resource, map_http_methods(resource))

    def add(self, template: str, resource: object, responders: MethodDict) -> None:
        """Add a route that is answered by functions.

        PERF: 0.02 ms; a class with methods for Falcon to find takes 0.12.

        Args:
            template: Its path, with `{name}` for a parameter.
            resource: What the responders belong to.
            responders: By method, and `WEBSOCKET`; other methods are refused.
        """
        self._routes[template] = (resource, {**_refusals(frozenset(responders)), **responders})
        self._tree = None

    def find(
        self, uri: str, req: object = None
    ) -> tuple[object, MethodDict, dict[str, Any], str | None] | None:
        """Return the route of a path; None if there is none."""
        tree = self._tree
        if tree is None:
            tree = self._tree = compile_templates(tuple(self._routes))
        found = tree.find(uri)
        if found is None:
            return None
        _, _, parameters, template = found
        assert template is not None, "each route has a template"
        return *self._routes[template], parameters, template
