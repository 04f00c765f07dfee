"""The Anthropic API behind `/anthropic`."""

import functools
from collections.abc import Mapping

from llmsim.config import AnthropicSettings
from llmsim.errors import InvalidFieldError
from llmsim.providers.anthropic.batches import BATCH_OPERATIONS
from llmsim.providers.anthropic.errors import render_crash, render_fault, render_refusal, sign
from llmsim.providers.anthropic.messages import COUNT_TOKENS, parse
from llmsim.providers.anthropic.models import LIST_MODELS, RETRIEVE_MODEL
from llmsim.providers.anthropic.rendering import render_answer, render_broken, render_padded, render_plain
from llmsim.providers.contract import GenerationEndpoint, Provider


def admit(headers: Mapping[str, str]) -> None:
    """Ask for a version, whichever it is; and for no key.

    Source: Anthropic docs, api/versioning; anthropic SDK 2.12 sends 2026-10-21, older ones 2023-06-01.

    Raises:
        InvalidFieldError: There is none.
    """
    if not headers.get("anthropic-version"):
        raise InvalidFieldError(("anthropic-version",), "conflict", "anthropic-version: header is required")


def headers(request_id: str, seconds: float) -> tuple[tuple[str, str], ...]:  # noqa: ARG001 - the shape of headers
    """Give the headers of every response.

    Source: anthropic SDK 2.12, _exceptions.py reads request-id; Anthropic docs, api/overview.
    """
    return (("anthropic-organization-id", "llmsim"), ("request-id", f"req_{request_id}"))


@functools.cache
def anthropic(settings: AnthropicSettings) -> Provider:
    """Give the provider as `settings` have it."""
    messages = GenerationEndpoint(
        path="/v1/messages",
        label="messages",
        parse=parse,
        render_answer=render_answer,
        render_stream=render_padded if settings.pad_events else render_plain,
        render_broken=render_broken,
    )
    return Provider(
        name="anthropic",
        prefix="/anthropic",
        generations=(messages,),
        operations=(COUNT_TOKENS, LIST_MODELS, RETRIEVE_MODEL, *BATCH_OPERATIONS),
        render_refusal=render_refusal,
        render_fault=render_fault,
        render_crash=render_crash,
        headers=headers,
        admit=admit,
        sign=sign,
    )
