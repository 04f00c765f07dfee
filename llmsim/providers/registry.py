"""All providers, in the order in which they are shown."""

import re

from llmsim.config import Settings
from llmsim.providers.anthropic.provider import anthropic
from llmsim.providers.contract import Provider
from llmsim.providers.openai.provider import OPENAI
from llmsim.providers.openresponses.provider import OPENRESPONSES


def providers(settings: Settings) -> tuple[Provider, ...]:
    """Return all providers as configured; the same settings give the same ones."""
    return (OPENAI, anthropic(settings.anthropic), OPENRESPONSES)


PROVIDERS = providers(Settings())
"""All providers by default: routes, labels and errors are the same whatever the settings."""


def endpoint_labels() -> tuple[str, ...]:
    """Return the stats label of every generating endpoint; its index is the endpoint's number in the stats."""
    return tuple(endpoint.label for provider in PROVIDERS for endpoint in provider.generation_endpoints)


def endpoint_paths() -> tuple[str, ...]:
    """Return the full path of every generating endpoint, by its number in the stats."""
    return tuple(
        provider.prefix + endpoint.path
        for provider in PROVIDERS
        for endpoint in provider.generation_endpoints
    )


_NUMBERS = {path: number for number, path in enumerate(endpoint_paths())}

_PATTERNS = tuple(
    (re.compile(re.sub(r"\\\{.+?\\\}", "[^/]+", re.escape(path))), number)
    for path, number in _NUMBERS.items()
    if "{" in path
)
"""Paths with variables."""


def find_endpoint(path: str) -> int | None:
    """Return the number of the generating endpoint at a path; None if there is no such endpoint."""
    number = _NUMBERS.get(path)
    if number is not None or not _PATTERNS:
        return number
    return next((number for pattern, number in _PATTERNS if pattern.fullmatch(path)), None)
