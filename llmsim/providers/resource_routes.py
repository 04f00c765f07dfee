"""Which resource a request is for: the stats labels of the endpoints that do not generate, and how one is found by method and path.

Decisions:
* Endpoints of one kind of object are counted together, so that labels are few: a label is bounded, a path is not. Those of OpenAI's API
  have the plain name, those of others that of the API before it: `files`, `azure_files`, `anthropic_files`.
* A request counts where a route answers it: a method that a path does not have, or a path that no API has, is no resource.
* PERF: a tree of the parts of the paths, built when the first such request comes. Patterns for all routes take 20 ms to compile.
"""

import functools
from collections.abc import Container

from llmsim.providers.contract import Provider, ResourceEndpoint
from llmsim.providers.registry import PROVIDERS, choose

_ANY = "{}"
"""Key of a variable part in a tree; no part of a path is called so, as a brace in one is found to be any part, too."""

_Tree = dict[str, "_Tree | int"]
"""Parts of paths, and at the end of a path the number of the label by `METHOD /`."""


def _label(provider: Provider, endpoint: ResourceEndpoint) -> str:
    name = endpoint.label or endpoint.path.split("/")[2]
    return name if provider is PROVIDERS[0] else f"{provider.name}_{name}"


_LABELS = {
    _label(provider, endpoint): provider for provider in PROVIDERS for endpoint in provider.resource_endpoints
}
"""The labels, each with its API."""


def resource_labels() -> tuple[str, ...]:
    """Return the stats labels; the index of one is the number of the resource in the stats."""
    return tuple(_LABELS)


def resource_id_formats() -> tuple[str, ...]:
    """Return how the API of each resource sends a request id, as `request_id_formats` does for endpoints."""
    return tuple(
        next((value for _, value in provider.response_headers if "{request_id}" in value), "{request_id}")
        for provider in _LABELS.values()
    )


@functools.cache
def _trees() -> dict[str, _Tree]:
    """Return the tree of each API by its prefix."""
    numbers = {label: number for number, label in enumerate(_LABELS)}
    trees: dict[str, _Tree] = {}
    for provider in PROVIDERS:
        tree = trees[provider.prefix] = {}
        for endpoint in provider.resource_endpoints:
            node = tree
            for part in endpoint.path.split("/")[1:]:
                child = node.setdefault(_key(part), {})
                assert isinstance(child, dict), "a part has a slash nowhere"
                node = child
            node[f"{endpoint.method} /"] = numbers[_label(provider, endpoint)]
    return trees


def _key(part: str) -> str:
    """Return the key of a part of a template; of a variable with a verb behind it, that verb: `:countTokens`."""
    return part.rpartition("}")[2] or _ANY if part.startswith("{") else part


def _find(tree: _Tree, method: str, parts: list[str]) -> int | None:
    node: _Tree | int | None = tree
    for part in parts:
        assert isinstance(node, dict), "a part has a slash nowhere"
        found = node.get(part) or node.get(f":{part.rpartition(':')[2]}") or node.get(_ANY)
        if found is None:
            return None
        node = found
    assert isinstance(node, dict), "a part has a slash nowhere"
    number = node.get(f"{method} /")
    return number if isinstance(number, int) else None


def find_resource(method: str, path: str, headers: Container[str]) -> int | None:
    """Return the number of the resource that a request is for; None if it is for none.

    Args:
        method: Its HTTP method.
        path: Its path; the router ignores further slashes at the beginning.
        headers: The names of its headers: they choose the API where several serve a path without prefix.
    """
    parts = path.lstrip("/").split("/")
    trees = _trees()
    tree = trees.get(f"/{parts[0]}")
    if tree is not None:
        return _find(tree, method, parts[1:])
    found = {
        provider.prefix: (provider, number)
        for provider in PROVIDERS
        if provider.is_bare and (number := _find(trees[provider.prefix], method, parts)) is not None
    }
    if not found:
        return None
    chosen = choose([provider for provider, _ in found.values()], headers)
    return found[chosen.prefix][1]
