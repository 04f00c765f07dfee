"""All providers, in the order in which they are shown."""

from llmsim.config import Settings
from llmsim.providers.anthropic.provider import anthropic
from llmsim.providers.contract import Provider
from llmsim.providers.openai.provider import OPENAI
from llmsim.providers.openresponses.provider import OPENRESPONSES


def providers(settings: Settings) -> tuple[Provider, ...]:
    """Give all providers as `settings` have them; the same settings give the same ones."""
    return (OPENAI, anthropic(settings.anthropic), OPENRESPONSES)


PROVIDERS = providers(Settings())
"""All providers by default: routes, labels and errors are the same whatever the settings."""


def endpoint_labels() -> tuple[str, ...]:
    """Give the stats label of every generating endpoint; its index is the endpoint's number in the stats."""
    return tuple(generation.label for provider in PROVIDERS for generation in provider.generations)


def endpoint_numbers() -> dict[str, int]:
    """Give the number of every generating endpoint by its full path."""
    paths = (
        provider.prefix + generation.path for provider in PROVIDERS for generation in provider.generations
    )
    return {path: number for number, path in enumerate(paths)}
