"""Request fields that chat completions and Responses have in common.

Source: openai/openai-openapi, `CreateChatCompletionRequest`; openresponses/openresponses, schema/responses.tsp.
"""

from typing import Annotated, Literal, Protocol

from msgspec import Meta, Raw, Struct

from llmsim.domain import AutomaticCache
from llmsim.providers.media import Media

# NOTE: bounded because it is repeated in a stream, in chat in every chunk: a request must not cost more than itself.
ModelId = Annotated[str, Meta(min_length=1, max_length=256)]
Name = Annotated[str, Meta(min_length=1, max_length=64, pattern="^[a-zA-Z0-9_-]+$")]
Metadata = Annotated[
    dict[Annotated[str, Meta(max_length=64)], Annotated[str, Meta(max_length=512)]], Meta(max_length=16)
]
Effort = Literal["none", "minimal", "low", "medium", "high", "xhigh", "max"]
Penalty = Annotated[float, Meta(ge=-2, le=2)]
Temperature = Annotated[float, Meta(ge=0, le=2)]
TopLogprobs = Annotated[int, Meta(ge=0, le=20)]
TopP = Annotated[float, Meta(ge=0, le=1)]
Verbosity = Literal["low", "medium", "high"]
CacheKey = Annotated[str, Meta(max_length=64)]
# Source: OpenAI SDKs before 2.0 have the value with a dash.
CacheRetention = Literal["in_memory", "in-memory", "24h"]

_LIFETIMES = {"in_memory": 600, "in-memory": 600, "24h": 86_400}
"""Seconds without use. Source: OpenAI, guides/prompt-caching: 5 to 10 minutes of inactivity, at most 24 hours."""

LEAST_CACHED_BYTES = 1024
"""A prompt of as many tokens has no shorter body, unless there is more in it than its body."""


class Function(Struct):
    """A function of the client. `parameters` is a JSON schema, kept as it was sent."""

    name: Name
    description: str | None = None
    parameters: Raw = Raw()
    strict: bool | None = None


class TextFormat(Struct, tag_field="type", tag="text"):
    """Any text."""


class JsonFormat(Struct, tag_field="type", tag="json_object"):
    """Any JSON object."""


class CacheOptions(Struct):
    """How to cache the prompt; explicit breakpoints are not simulated."""

    mode: Literal["implicit", "explicit"] | None = None


class CacheFields(Protocol):
    """The fields of a request that say how to cache its prompt."""

    prompt_cache_key: str | None
    prompt_cache_options: CacheOptions | None
    prompt_cache_retention: CacheRetention | None


_DEFAULT_CACHE = AutomaticCache()


def parse_cache(
    request: CacheFields, body: bytes, media: Media, *, continues: bool = False
) -> AutomaticCache | None:
    """Return how a prompt is cached automatically; None if it is too short, or is not to be.

    Args:
        request: The request.
        body: As it was sent.
        media: What is in it besides texts.
        continues: Whether a conversation comes before it.
    """
    if len(body) < LEAST_CACHED_BYTES and not media.attachments and not continues:
        return None
    options, key, retention = (
        request.prompt_cache_options,
        request.prompt_cache_key,
        request.prompt_cache_retention,
    )
    if options is not None and options.mode == "explicit":
        return None
    if key is None and retention is None:
        return _DEFAULT_CACHE
    return AutomaticCache(key or "", None if retention is None else _LIFETIMES[retention])
