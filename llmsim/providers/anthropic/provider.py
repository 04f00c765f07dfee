"""The Anthropic API behind `/anthropic`."""

import functools
from collections.abc import Mapping

from llmsim.config import AnthropicSettings
from llmsim.errors import InvalidFieldError
from llmsim.providers.anthropic.batches import batch_endpoints
from llmsim.providers.anthropic.errors import add_request_id, render_crash, render_fault, render_refusal
from llmsim.providers.anthropic.files import FILES, load_files
from llmsim.providers.anthropic.messages import COUNT_TOKENS, parse
from llmsim.providers.anthropic.models import LIST_MODELS, RETRIEVE_MODEL
from llmsim.providers.anthropic.rate_limits import LIMIT_HEADERS
from llmsim.providers.anthropic.rendering import (
    render_padded,
    render_plain,
    render_response,
    render_stream_fault,
)
from llmsim.providers.contract import ChannelFormat, GenerationEndpoint, Headers, Provider
from llmsim.providers.strict_fields import strict_parse
from llmsim.wire.frames import SSE_HEADERS


def check_headers(headers: Mapping[str, str]) -> None:
    """Check that a version is given; any version is accepted, and no key is needed.

    Source: Anthropic docs, api/versioning; anthropic SDK 2.14 sends 2026-10-21, older ones 2023-06-01.

    Raises:
        InvalidFieldError: There is no version.
    """
    if not headers.get("anthropic-version"):
        raise InvalidFieldError(("anthropic-version",), "conflict", "anthropic-version: header is required")


RESPONSE_HEADERS: Headers = (("anthropic-organization-id", "llmsim"), ("request-id", "req_{request_id}"))
"""Headers of every response.

Source: anthropic SDK 2.14, _exceptions.py reads request-id; Anthropic docs, api/overview.
"""


@functools.cache
def anthropic(settings: AnthropicSettings, *, checks_models: bool, is_strict: bool) -> Provider:
    """Return the provider as configured; the same settings give the same one.

    Args:
        settings: Its own.
        checks_models: Whether parameters that a model does not take are refused.
        is_strict: Whether unknown fields in the requests of a batch are refused, too.
    """
    parse_body = functools.partial(parse, checks_models=checks_models)
    messages = GenerationEndpoint(
        path="/v1/messages",
        label="messages",
        http=ChannelFormat(
            parse=parse_body,
            render_refusal=render_refusal,
            render_fault=render_fault,
            render_stream=render_padded if settings.pad_events else render_plain,
            render_stream_fault=render_stream_fault,
            stream_headers=SSE_HEADERS,
        ),
        render_response=render_response,
        load_files=load_files,
    )
    batches = batch_endpoints(strict_parse(parse_body, messages.label) if is_strict else parse_body)
    return Provider(
        name="anthropic",
        prefix="/anthropic",
        base_path="/anthropic",
        generation_endpoints=(messages,),
        resource_endpoints=(COUNT_TOKENS, LIST_MODELS, RETRIEVE_MODEL, *batches, *FILES),
        render_refusal=render_refusal,
        render_fault=render_fault,
        render_crash=render_crash,
        response_headers=RESPONSE_HEADERS,
        limit_headers=LIMIT_HEADERS,
        books_output_as_generated=True,
        check_headers=check_headers,
        is_bare=True,
        own_header="anthropic-version",
        add_request_id=add_request_id,
        key_headers=("x-api-key", "authorization"),
        # Source: anthropic SDK for TypeScript, `dangerouslyAllowBrowser`.
        browser_header="anthropic-dangerous-direct-browser-access",
    )
