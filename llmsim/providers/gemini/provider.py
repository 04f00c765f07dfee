"""The Gemini API behind `/gemini`, under `/v1beta` and `/v1`.

Decisions:
* Model and verb are in the path (`/v1beta/models/gemini-2.5-pro:generateContent`), so each verb is an endpoint of its own. Whatever
  verb and version, generated contents are one row of the stats, and embeddings another.
* Fields that are unknown are refused with and without strict mode, as the API reads protocol buffers.
"""

import functools
from collections.abc import Awaitable, Callable

import msgspec

from llmsim.domain.quota import QuotaStatus
from llmsim.providers.contract import (
    ChannelFormat,
    EndpointContext,
    GenerationEndpoint,
    Headers,
    IncomingRequest,
    LimitHeaders,
    ParsedRequest,
    Provider,
    Reply,
    ResourceEndpoint,
)
from llmsim.providers.gemini.batches import batch_endpoints
from llmsim.providers.gemini.cached_contents import cache_endpoints
from llmsim.providers.gemini.embeddings import EmbedOptions, parse_batch, parse_single, render_batched
from llmsim.providers.gemini.embeddings import render_response as render_embeddings
from llmsim.providers.gemini.errors import render_crash, render_fault, render_refusal
from llmsim.providers.gemini.file_search_stores import store_endpoints
from llmsim.providers.gemini.files import file_endpoints
from llmsim.providers.gemini.models import list_models, retrieve_model
from llmsim.providers.gemini.rendering import (
    render_response,
    render_stream,
    render_stream_fault,
    stream_headers,
)
from llmsim.providers.gemini.request import GenerateOptions, count_tokens, load_files, parse

LoadFiles = Callable[
    [EndpointContext, ParsedRequest[GenerateOptions]], Awaitable[ParsedRequest[GenerateOptions]]
]
"""Checks and reads what a request refers to."""

VERSIONS = ("v1beta", "v1")

RESPONSE_HEADERS: Headers = (
    ("server-timing", "gfet4t7; dur={elapsed_ms}"),
    ("x-llmsim-request-id", "{request_id}"),
)
"""Headers of every response; the API has none for the id of a request."""


def _render_nothing(_status: QuotaStatus) -> bytes:
    return b""


_NO_LIMITS = LimitHeaders(nominal=(), prepare=lambda _: _render_nothing)
"""The API says nothing of limits in headers."""


@functools.cache
def gemini(*, checks_models: bool) -> Provider:
    """Return the provider as configured; the same settings give the same one.

    Args:
        checks_models: Whether parameters that a model does not take are refused.
    """
    content = ChannelFormat(
        parse=functools.partial(parse, checks_models=checks_models),
        render_refusal=render_refusal,
        render_fault=render_fault,
        render_stream=render_stream,
        render_stream_fault=render_stream_fault,
        choose_stream_headers=stream_headers,
    )
    load = functools.partial(load_files, checks_models=checks_models)
    return Provider(
        name="gemini",
        prefix="/gemini",
        base_path="/gemini",
        generation_endpoints=tuple(
            endpoint for version in VERSIONS for endpoint in _generation_endpoints(version, content, load)
        ),
        resource_endpoints=tuple(
            endpoint
            for version in VERSIONS
            for endpoint in (
                *_resource_endpoints(version, checks_models),
                *_batch_endpoints(version, content, load),
            )
        ),
        render_refusal=render_refusal,
        render_fault=render_fault,
        render_crash=render_crash,
        response_headers=RESPONSE_HEADERS,
        limit_headers=_NO_LIMITS,
        is_bare=True,
        own_header="x-goog-api-key",
        key_headers=("x-goog-api-key", "authorization"),
        key_param="key",
    )


def _generation_endpoints(
    version: str, content: ChannelFormat[GenerateOptions], load: LoadFiles
) -> tuple[GenerationEndpoint[GenerateOptions] | GenerationEndpoint[EmbedOptions], ...]:
    models = f"/{version}/models/{{model}}"
    return (
        _content_endpoint(f"{models}:generateContent", content, load),
        _content_endpoint(f"{models}:streamGenerateContent", content, load),
        _embedding_endpoint(f"{models}:embedContent", parse_single),
        _embedding_endpoint(f"{models}:batchEmbedContents", parse_batch),
    )


def _content_endpoint(
    path: str, content: ChannelFormat[GenerateOptions], load: LoadFiles
) -> GenerationEndpoint[GenerateOptions]:
    return GenerationEndpoint(
        path=path, label="generate_content", http=content, render_response=render_response, load_files=load
    )


def _embedding_endpoint(
    path: str, parse_request: Callable[[IncomingRequest], ParsedRequest[EmbedOptions]]
) -> GenerationEndpoint[EmbedOptions]:
    return GenerationEndpoint(
        path=path,
        label="embed_content",
        http=ChannelFormat(parse=parse_request, render_refusal=render_refusal, render_fault=render_fault),
        render_response=render_embeddings,
    )


def _resource_endpoints(version: str, checks_models: bool) -> tuple[ResourceEndpoint, ...]:
    async def count(context: EndpointContext, request: IncomingRequest) -> Reply:
        return await count_tokens(context, request, checks_models=checks_models)

    models = f"/{version}/models"
    return (
        ResourceEndpoint(
            method="POST",
            label="count_tokens",
            path=f"{models}/{{model}}:countTokens",
            run=count,
            is_public=True,
        ),
        ResourceEndpoint(method="GET", path=models, run=list_models, is_public=True),
        ResourceEndpoint(method="GET", path=f"{models}/{{model}}", run=retrieve_model, is_public=True),
        *file_endpoints(version),
        *cache_endpoints(version),
        *store_endpoints(version),
    )


def _batch_endpoints(
    version: str, content: ChannelFormat[GenerateOptions], load: LoadFiles
) -> tuple[ResourceEndpoint, ...]:
    models = f"/{version}/models/{{model}}"
    embeddings = _embedding_endpoint(f"{models}:embedContent", parse_single)
    return batch_endpoints(
        version,
        _content_endpoint(f"{models}:generateContent", content, load),
        msgspec.structs.replace(embeddings, render_response=render_batched),
    )
