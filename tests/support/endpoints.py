"""The endpoints of the registry, each with a valid request."""

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from llmsim.errors import InvalidJsonError
from llmsim.providers.contract import (
    GenerationEndpoint,
    IncomingRequest,
    ParsedRequest,
    Provider,
    Reply,
)
from llmsim.providers.registry import PROVIDERS
from support.gemini_dialect import routed

GOLDEN = Path(__file__).parents[1] / "golden"


def golden_folder(provider: Provider, generation: GenerationEndpoint) -> Path:
    """Return the folder of an endpoint's golden files, such as `golden/openai/chat_completions`."""
    name = re.sub(r"^/(openai/(v1/|deployments/{deployment}/)?|v\w+/)", "", generation.path).replace("/", "_")
    if "{" in name:
        name = generation.label
    return GOLDEN / provider.name / name


_MEDIA = {"images", "speech", "image_edits", "image_variations", "transcriptions", "translations"}


def kind_of(generation: GenerationEndpoint) -> str:
    """Return the label of an endpoint, or of the one of the OpenAI API that Azure serves."""
    return generation.label.removeprefix("azure_")


def streams_text(generation: GenerationEndpoint) -> bool:
    """Return whether an endpoint streams text; what streams pictures or sound has tests of its own."""
    return generation.http.render_stream is not None and kind_of(generation) not in _MEDIA


class Endpoint:
    """One generation endpoint of the registry, with a valid request.

    Attributes:
        provider: Its provider.
        generation: Its definition.
        path: Its path, with the provider's prefix.
        request: The basic request of its golden files.
        streams: Whether it can stream text.
    """

    def __init__(self, provider: Provider, generation: GenerationEndpoint) -> None:
        self.provider = provider
        self.generation = generation
        self.path = provider.prefix + generation.path
        self.streams = streams_text(generation)
        folder = golden_folder(provider, generation)
        # Azure has the requests of the OpenAI API.
        basic = (folder if folder.exists() else GOLDEN / "openai" / folder.name) / "basic" / "request.json"
        self.request: dict[str, Any] = json.loads(basic.read_bytes())

    def incoming(self, body: bytes) -> IncomingRequest:
        """Return a request as the endpoint gets it."""
        sent = routed(self.path, body)
        model = sent.path.rpartition("/")[2].partition(":")[0]
        return IncomingRequest(
            path=sent.path.removeprefix(self.provider.prefix),
            path_params={"model": model} if "{model}:" in self.path else {},
            query=dict([sent.query.split("=")]) if sent.query else {},
            body=sent.body,
        )

    def parse(self, body: bytes) -> ParsedRequest[Any]:
        """Parse a request to the endpoint, or to its sibling that streams."""
        return self.generation.http.parse(self.incoming(body))

    def body(self, **fields: Any) -> bytes:
        """Encode the request, with `fields` added."""
        return json.dumps(self.request | fields).encode()


def id_header(provider: Provider) -> tuple[str, str]:
    """Return the name of the header that carries the request id, and the prefix of its value."""
    return next(
        (name, value.partition("{request_id}")[0])
        for name, value in provider.response_headers
        if "{request_id}" in value
    )


def signed(provider: Provider, reply: Reply, headers: Mapping[str, str]) -> Reply:
    """Return an error with the request id of these headers, as it is sent."""
    name, before = id_header(provider)
    return provider.add_request_id(reply, headers[name].removeprefix(before))


def timeout_status(provider: Provider) -> int:
    """Return the status of a time-out."""
    return 408 if provider.name == "azure" else 504


def likeness(provider: Provider) -> Any:
    """Return some error of the provider, as JSON."""
    return json.loads(provider.add_request_id(provider.render_refusal(InvalidJsonError("x")), "x").body)


def _by_label(provider: Provider) -> list[GenerationEndpoint[Any]]:
    """Return the first endpoint of each label: the others are the same with another verb or version in their paths."""
    found: dict[str, GenerationEndpoint[Any]] = {}
    for generation in provider.generation_endpoints:
        if not generation.takes_forms:
            found.setdefault(generation.label, generation)
    return list(found.values())


RENDERED = [(provider, generation) for provider in PROVIDERS for generation in _by_label(provider)]
"""Those that take JSON; what takes forms has tests of its own."""

ENDPOINTS = [
    (provider, generation)
    for provider, generation in RENDERED
    if provider.name != "azure" or kind_of(generation) in ("completions", "embeddings")
]
"""Those that are tested as a whole: Azure's are OpenAI's behind other paths, heads and errors, of which two show what differs."""

STREAMING = [(provider, one) for provider, one in ENDPOINTS if streams_text(one)]

_WITHOUT_TOOLS = {"text_completions"}

CONVERSING = [(provider, one) for provider, one in STREAMING if kind_of(one) not in _WITHOUT_TOOLS]
"""Those that take conversations with tools."""

TEXTS = [(provider, one) for provider, one in ENDPOINTS if kind_of(one) not in (*_MEDIA, "moderations")]
"""Those that answer with texts or their vectors."""
