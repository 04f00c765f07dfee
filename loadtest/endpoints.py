"""Endpoints, and the requests that are sent to each, streamed and not.

Decisions:
* Bodies are encoded once for each model, so that sending a request encodes no JSON.
* Streams request usage, to know the tokens by the server's own count.
"""

import functools
import itertools
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import msgspec

from loadtest.response_checks import (
    ChatCheck,
    MessagesCheck,
    ResponsesCheck,
    StreamCheck,
    check_completion,
    check_embeddings,
    check_message,
    check_models,
    check_response,
)
from loadtest.settings import Settings, SettingsError

ENDPOINTS = ("chat", "responses", "openresponses", "messages", "embeddings", "models")
"""Names of all endpoints; the default is to send requests to all of them."""

GENERATING = ("chat", "responses", "openresponses", "messages")
"""Endpoints that generate tokens, so that end-to-end latency and tokens per second are meaningful."""

OPENAI_MODEL = "gpt-4o"
ANTHROPIC_MODEL = "claude-haiku-4-5"

# Required by the API; all SDKs so far send this value.
ANTHROPIC_VERSION = "2023-06-01"
# Required by Anthropic.
MAX_TOKENS = 1024


class RequestTemplate(msgspec.Struct, frozen=True, kw_only=True):
    """One kind of request.

    Attributes:
        name: Name of its rows in the statistics.
        endpoint: One of `ENDPOINTS`.
        method: HTTP method.
        path: URL path, with its prefix.
        headers: All headers.
        bodies: One body for each model, sent in turn; empty for GET.
        stream_check: Creates the check of a streamed response; None if the response is not streamed.
        body_check: Checks a response that is not streamed, and returns its output tokens.
    """

    name: str
    endpoint: str
    method: str
    path: str
    headers: Mapping[str, str]
    bodies: tuple[bytes, ...]
    stream_check: Callable[[], StreamCheck] | None = None
    body_check: Callable[[bytes], int | None] | None = None

    @property
    def generates(self) -> bool:
        """Whether the endpoint generates tokens."""
        return self.endpoint in GENERATING


def build_requests(settings: Settings) -> tuple[RequestTemplate, ...]:
    """Return the requests to send, by the settings.

    Raises:
        SettingsError: An endpoint is unknown.
    """
    names = settings.endpoints or ENDPOINTS
    if unknown := [name for name in names if name not in ENDPOINTS]:
        raise SettingsError(f"no endpoint {unknown[0]!r}; one of: {', '.join(ENDPOINTS)}")
    return tuple(itertools.chain.from_iterable(_BUILDERS[name](settings) for name in names))


def _bearer_headers(settings: Settings) -> dict[str, str]:
    return {"authorization": f"Bearer {settings.api_key}", **_JSON}


# A compressed stream would arrive in compression blocks.
_JSON = {"content-type": "application/json", "accept-encoding": "identity"}


def _bodies(settings: Settings, model: str, **fields: Any) -> tuple[bytes, ...]:
    return tuple(msgspec.json.encode({"model": name, **fields}) for name in settings.model or (model,))


def _chat(settings: Settings) -> Iterator[RequestTemplate]:
    fields: dict[str, Any] = {"messages": [{"role": "user", "content": settings.prompt}]}
    if settings.max_tokens:
        fields["max_completion_tokens"] = settings.max_tokens
    common: dict[str, Any] = {
        "endpoint": "chat",
        "method": "POST",
        "path": f"{settings.openai_prefix}/v1/chat/completions",
        "headers": _bearer_headers(settings),
    }
    streamed = {**fields, "stream": True, "stream_options": {"include_usage": True}}
    yield RequestTemplate(
        name="chat stream",
        bodies=_bodies(settings, OPENAI_MODEL, **streamed),
        stream_check=ChatCheck,
        **common,
    )
    yield RequestTemplate(
        name="chat", bodies=_bodies(settings, OPENAI_MODEL, **fields), body_check=check_completion, **common
    )


def _responses_requests(
    settings: Settings, endpoint: str, prefix: str, check: Callable[[], StreamCheck]
) -> Iterator[RequestTemplate]:
    fields: dict[str, Any] = {"input": settings.prompt, "store": False}
    if settings.max_tokens:
        fields["max_output_tokens"] = settings.max_tokens
    common: dict[str, Any] = {
        "endpoint": endpoint,
        "method": "POST",
        "path": f"{prefix}/v1/responses",
        "headers": _bearer_headers(settings),
    }
    yield RequestTemplate(
        name=f"{endpoint} stream",
        bodies=_bodies(settings, OPENAI_MODEL, **fields, stream=True),
        stream_check=check,
        **common,
    )
    yield RequestTemplate(
        name=endpoint, bodies=_bodies(settings, OPENAI_MODEL, **fields), body_check=check_response, **common
    )


def _responses(settings: Settings) -> Iterator[RequestTemplate]:
    return _responses_requests(settings, "responses", settings.openai_prefix, ResponsesCheck)


def _openresponses(settings: Settings) -> Iterator[RequestTemplate]:
    check = functools.partial(ResponsesCheck, needs_done=True)
    return _responses_requests(settings, "openresponses", settings.openresponses_prefix, check)


def _messages(settings: Settings) -> Iterator[RequestTemplate]:
    fields: dict[str, Any] = {
        "max_tokens": settings.max_tokens or MAX_TOKENS,
        "messages": [{"role": "user", "content": settings.prompt}],
    }
    common: dict[str, Any] = {
        "endpoint": "messages",
        "method": "POST",
        "path": f"{settings.anthropic_prefix}/v1/messages",
        "headers": {"x-api-key": settings.api_key, "anthropic-version": ANTHROPIC_VERSION, **_JSON},
    }
    yield RequestTemplate(
        name="messages stream",
        bodies=_bodies(settings, ANTHROPIC_MODEL, **fields, stream=True),
        stream_check=MessagesCheck,
        **common,
    )
    yield RequestTemplate(
        name="messages",
        bodies=_bodies(settings, ANTHROPIC_MODEL, **fields),
        body_check=check_message,
        **common,
    )


def _embeddings(settings: Settings) -> Iterator[RequestTemplate]:
    yield RequestTemplate(
        name="embeddings",
        endpoint="embeddings",
        method="POST",
        path=f"{settings.openai_prefix}/v1/embeddings",
        headers=_bearer_headers(settings),
        bodies=(msgspec.json.encode({"model": settings.embedding_model, "input": settings.prompt}),),
        body_check=check_embeddings,
    )


def _models(settings: Settings) -> Iterator[RequestTemplate]:
    yield RequestTemplate(
        name="models",
        endpoint="models",
        method="GET",
        path=f"{settings.openai_prefix}/v1/models",
        headers=_bearer_headers(settings),
        bodies=(),
        body_check=check_models,
    )


_BUILDERS: dict[str, Callable[[Settings], Iterator[RequestTemplate]]] = {
    "chat": _chat,
    "responses": _responses,
    "openresponses": _openresponses,
    "messages": _messages,
    "embeddings": _embeddings,
    "models": _models,
}
