"""All providers, in the order in which they are shown."""

import functools
import re
from collections.abc import Container, Sequence

from llmsim.config import Settings
from llmsim.providers.anthropic.provider import anthropic
from llmsim.providers.azure.provider import azure
from llmsim.providers.contract import Provider
from llmsim.providers.gemini.provider import gemini
from llmsim.providers.openai.provider import openai
from llmsim.providers.openresponses.provider import openresponses
from llmsim.providers.strict_fields import make_strict


def providers(settings: Settings) -> tuple[Provider, ...]:
    """Return all providers as configured; the same settings give the same ones."""
    checks_models = settings.server.model_rules
    configured: tuple[Provider, ...] = (
        openai(checks_models=checks_models, is_strict=settings.server.strict),
        anthropic(settings.anthropic, checks_models=checks_models, is_strict=settings.server.strict),
        openresponses(checks_models=checks_models),
        gemini(checks_models=checks_models),
    )
    if settings.server.strict:
        configured = tuple(map(make_strict, configured))
    return *configured, azure(configured[0], frozenset(settings.models.available))


PROVIDERS = providers(Settings())
"""All providers by default: routes, labels and errors are the same whatever the settings."""


_LABELS = {endpoint.label: provider for provider in PROVIDERS for endpoint in provider.generation_endpoints}
"""The labels of all generating endpoints, each with its provider."""

_LABEL_NUMBERS = {label: number for number, label in enumerate(_LABELS)}


def endpoint_labels() -> tuple[str, ...]:
    """Return the stats labels of the generating endpoints; the index of one is the endpoint's number in the stats."""
    return tuple(_LABELS)


def endpoint_number(label: str) -> int:
    """Return the number in the stats of the generating endpoints with a label."""
    return _LABEL_NUMBERS[label]


def request_id_formats() -> tuple[str, ...]:
    """Return how the API of each endpoint sends a request id: the header's value, with `{request_id}` in its place."""
    found = {
        provider.name: next(
            (value for _, value in provider.response_headers if "{request_id}" in value), "{request_id}"
        )
        for provider in PROVIDERS
    }
    return tuple(found[provider.name] for provider in _LABELS.values())


_NUMBERS = {
    provider.prefix + endpoint.path: endpoint_number(endpoint.label)
    for provider in PROVIDERS
    for endpoint in provider.generation_endpoints
}
"""The number in the stats of each path."""

_NUMBERS |= {
    path.removeprefix(provider.prefix): number
    for path, number in _NUMBERS.items()
    for provider in PROVIDERS
    if provider.is_bare and path.startswith(f"{provider.prefix}/")
}


def _pattern(path: str) -> re.Pattern[str]:
    """Return the pattern of a path with variables."""
    return re.compile(re.sub(r"\\\{.+?\\\}", "[^/]+", re.escape(path)))


_PATTERNS = tuple((_pattern(path), number) for path, number in _NUMBERS.items() if "{" in path)
"""Paths with variables."""


def find_endpoint(path: str) -> int | None:
    """Return the number of the generating endpoint at a path; None if there is no such endpoint."""
    number = _NUMBERS.get(path)
    if number is None and path.startswith("//"):
        # The router ignores slashes at the beginning of a path.
        return find_endpoint(f"/{path.lstrip('/')}")
    if number is not None or not _PATTERNS:
        return number
    return next((number for pattern, number in _PATTERNS if pattern.fullmatch(path)), None)


BARE_PREFIX = "/v1"
"""What most paths begin with that are served without a provider's prefix."""

_BARE = tuple(provider for provider in PROVIDERS if provider.is_bare)


@functools.cache
def _bare_paths(name: str) -> tuple[re.Pattern[str], ...]:
    """Return the paths that the provider of a name serves without its prefix. PERF: 3 ms, which no start has to wait for."""
    provider = next(one for one in _BARE if one.name == name)
    return tuple(
        _pattern(path)
        for path in (
            *(endpoint.path for endpoint in provider.generation_endpoints),
            *(endpoint.path for endpoint in provider.resource_endpoints),
        )
    )


def _versions(provider: Provider) -> set[str]:
    """Return what the paths of a provider begin with."""
    paths = [endpoint.path for endpoint in provider.generation_endpoints]
    paths += [endpoint.path for endpoint in provider.resource_endpoints]
    return {path.split("/")[1] for path in paths}


_BARE_VERSIONS = {
    version: tuple(one for one in _BARE if version in _versions(one))
    for version in {version for provider in _BARE for version in _versions(provider)}
}
"""The providers that serve paths without their prefix, by what those begin with: `v1`."""


def choose(candidates: Sequence[Provider], headers: Container[str]) -> Provider:
    """Return the provider of a request to a path that several serve: the one whose own header it has, else the first."""
    known = (one for one in candidates if one.own_header is not None and one.own_header in headers)
    return next(known, candidates[0])


def find_provider(path: str, headers: Container[str]) -> Provider | None:
    """Return the provider that answers at a path, whether it has such an endpoint or not; None for llmsim's own paths.

    Args:
        path: The path of a request.
        headers: The names of its headers.
    """
    for provider in PROVIDERS:
        if path == provider.prefix or path.startswith(f"{provider.prefix}/"):
            return provider
    candidates = _BARE_VERSIONS.get(path.removeprefix("/").partition("/")[0])
    if candidates is None:
        return None
    having = [one for one in candidates if any(known.fullmatch(path) for known in _bare_paths(one.name))]
    return choose(having or candidates, headers)


_WEBSOCKETS = {
    prefix + endpoint.path
    for provider in PROVIDERS
    for endpoint in provider.generation_endpoints
    if endpoint.websocket is not None
    for prefix in (provider.prefix, *([""] if provider.is_bare else []))
}


def has_websocket(path: str) -> bool:
    """Return whether an endpoint is served over WebSocket at a path."""
    # Falcon's router ignores further slashes at the beginning.
    return "/" + path.lstrip("/") in _WEBSOCKETS
