"""All providers, in the order in which they are shown."""

import re
from collections.abc import Container, Sequence

from llmsim.config import Settings
from llmsim.providers.anthropic.provider import anthropic
from llmsim.providers.contract import Provider
from llmsim.providers.openai.provider import openai
from llmsim.providers.openresponses.provider import openresponses
from llmsim.providers.strict_fields import make_strict


def providers(settings: Settings) -> tuple[Provider, ...]:
    """Return all providers as configured; the same settings give the same ones."""
    checks_models = settings.server.model_rules
    configured = (
        openai(checks_models=checks_models, is_strict=settings.server.strict),
        anthropic(settings.anthropic, checks_models=checks_models, is_strict=settings.server.strict),
        openresponses(checks_models=checks_models),
    )
    return tuple(map(make_strict, configured)) if settings.server.strict else configured


PROVIDERS = providers(Settings())
"""All providers by default: routes, labels and errors are the same whatever the settings."""


def endpoint_labels() -> tuple[str, ...]:
    """Return the stats label of every generating endpoint; its index is the endpoint's number in the stats."""
    return tuple(endpoint.label for provider in PROVIDERS for endpoint in provider.generation_endpoints)


def request_id_formats() -> tuple[str, ...]:
    """Return how the API of each endpoint sends a request id: the header's value, with `{request_id}` in its place."""
    found = {
        provider.name: next(
            (value for _, value in provider.response_headers if "{request_id}" in value), "{request_id}"
        )
        for provider in PROVIDERS
    }
    return tuple(found[provider.name] for provider in PROVIDERS for _ in provider.generation_endpoints)


def endpoint_paths() -> tuple[str, ...]:
    """Return the full path of every generating endpoint, by its number in the stats."""
    return tuple(
        provider.prefix + endpoint.path
        for provider in PROVIDERS
        for endpoint in provider.generation_endpoints
    )


_NUMBERS = {path: number for number, path in enumerate(endpoint_paths())}

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
"""What the paths begin with that are served without a provider's prefix."""

_BARE = tuple(provider for provider in PROVIDERS if provider.is_bare)

_BARE_PATHS = {
    provider.name: tuple(
        _pattern(path)
        for path in (
            *(endpoint.path for endpoint in provider.generation_endpoints),
            *(endpoint.path for endpoint in provider.resource_endpoints),
        )
    )
    for provider in _BARE
}


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
    if path != BARE_PREFIX and not path.startswith(f"{BARE_PREFIX}/"):
        return None
    having = [one for one in _BARE if any(known.fullmatch(path) for known in _BARE_PATHS[one.name])]
    return choose(having or _BARE, headers)


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
