"""The endpoints of the registry, each with a request that it takes."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from llmsim.errors import InvalidJsonError
from llmsim.providers.contract import GenerationEndpoint, Provider, Reply
from llmsim.providers.registry import PROVIDERS

GOLDEN = Path(__file__).parents[1] / "golden"


def golden_folder(provider: Provider, generation: GenerationEndpoint) -> Path:
    """Tell where the golden files of an endpoint are: `golden/openai/chat_completions`."""
    name = generation.path.strip("/").partition("/")[2].replace("/", "_")
    return GOLDEN / provider.name / name


class Endpoint:
    """One generating endpoint of the registry, with a request that it takes.

    Attributes:
        provider: Whose it is.
        generation: What it is.
        path: Its whole path.
        request: The golden files' basic request.
        streams: Whether it streams when it is asked to.
    """

    def __init__(self, provider: Provider, generation: GenerationEndpoint) -> None:
        self.provider = provider
        self.generation = generation
        self.path = provider.prefix + generation.path
        self.streams = generation.render_stream is not None
        basic = golden_folder(provider, generation) / "basic" / "request.json"
        self.request: dict[str, Any] = json.loads(basic.read_bytes())

    def body(self, **fields: Any) -> bytes:
        """Write the request, with `fields` on top."""
        return json.dumps(self.request | fields).encode()


def id_header(provider: Provider) -> tuple[str, str]:
    """Give the name of the header that carries the request id, and what stands before the id in it."""
    (found,) = [
        (name, value.partition("marker")[0])
        for name, value in provider.headers("marker", 0.0)
        if "marker" in value
    ]
    return found


def signed(provider: Provider, reply: Reply, headers: Mapping[str, str]) -> Reply:
    """Give an error as it goes out with these headers."""
    name, before = id_header(provider)
    return provider.sign(reply, headers[name].removeprefix(before))


def likeness(provider: Provider) -> Any:
    """Give an error of the provider's as JSON."""
    return json.loads(provider.sign(provider.render_refusal(InvalidJsonError("x")), "x").body)


ENDPOINTS = [(provider, generation) for provider in PROVIDERS for generation in provider.generations]

STREAMING = [(provider, one) for provider, one in ENDPOINTS if one.render_stream is not None]
