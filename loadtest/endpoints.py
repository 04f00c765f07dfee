"""What is asked: one `Ask` for each endpoint, streamed and not.

Decisions:
* Bodies are written once for each model, so a request costs the load generator no JSON.
* Streams ask for usage, to know the tokens by the server's own count.
"""

import itertools
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import msgspec

from loadtest.answers import (
    ChatReader,
    MessagesReader,
    ResponsesReader,
    StreamReader,
    read_completion,
    read_embeddings,
    read_message,
    read_models,
    read_response,
)
from loadtest.settings import Settings, SettingsError

ENDPOINTS = ("chat", "responses", "openresponses", "messages", "embeddings", "models")
"""Names of all endpoints there are users for; those that are asked when none are named."""

GENERATING = ("chat", "responses", "openresponses", "messages")
"""Those that answer with tokens, so that end-to-end latency and tokens per second mean something."""

OPENAI_MODEL = "gpt-4o"
ANTHROPIC_MODEL = "claude-haiku-4-5"

# Required; the value is the one that all SDKs so far have understood.
ANTHROPIC_VERSION = "2023-06-01"
# Required by Anthropic.
MAX_TOKENS = 1024


class Ask(msgspec.Struct, frozen=True, kw_only=True):
    """One kind of request.

    Attributes:
        name: Name of its rows in the statistics.
        endpoint: Which of `ENDPOINTS` it asks.
        method: Of HTTP.
        path: With its prefix.
        headers: All that it needs.
        bodies: What is sent, one for each model, in turn; empty for GET.
        reader: Makes the reader of a streamed answer; None if the answer comes in one piece.
        whole: Checks an answer that comes in one piece, and gives its output tokens.
    """

    name: str
    endpoint: str
    method: str
    path: str
    headers: Mapping[str, str]
    bodies: tuple[bytes, ...]
    reader: Callable[[], StreamReader] | None = None
    whole: Callable[[bytes], int | None] | None = None

    @property
    def generates(self) -> bool:
        """Whether it is answered with tokens."""
        return self.endpoint in GENERATING


def asks(settings: Settings) -> tuple[Ask, ...]:
    """Give what is asked, by the settings.

    Raises:
        SettingsError: An endpoint is not known.
    """
    wanted = settings.endpoints or ENDPOINTS
    if strangers := [name for name in wanted if name not in ENDPOINTS]:
        raise SettingsError(f"no endpoint {strangers[0]!r}; one of: {', '.join(ENDPOINTS)}")
    return tuple(itertools.chain.from_iterable(_ASKS[name](settings) for name in wanted))


def _bearer(settings: Settings) -> dict[str, str]:
    return {"authorization": f"Bearer {settings.api_key}", **_JSON}


# A compressed stream arrives in the blocks of its compression.
_JSON = {"content-type": "application/json", "accept-encoding": "identity"}


def _bodies(settings: Settings, model: str, **fields: Any) -> tuple[bytes, ...]:
    return tuple(msgspec.json.encode({"model": name, **fields}) for name in settings.model or (model,))


def _chat(settings: Settings) -> Iterator[Ask]:
    fields: dict[str, Any] = {"messages": [{"role": "user", "content": settings.prompt}]}
    if settings.max_tokens:
        fields["max_tokens"] = settings.max_tokens
    common: dict[str, Any] = {
        "endpoint": "chat",
        "method": "POST",
        "path": f"{settings.openai_prefix}/v1/chat/completions",
        "headers": _bearer(settings),
    }
    streamed = {**fields, "stream": True, "stream_options": {"include_usage": True}}
    yield Ask(
        name="chat stream",
        bodies=_bodies(settings, OPENAI_MODEL, **streamed),
        reader=ChatReader,
        **common,
    )
    yield Ask(name="chat", bodies=_bodies(settings, OPENAI_MODEL, **fields), whole=read_completion, **common)


def _some_responses(
    settings: Settings, endpoint: str, prefix: str, reader: Callable[[], StreamReader]
) -> Iterator[Ask]:
    fields: dict[str, Any] = {"input": settings.prompt, "store": False}
    if settings.max_tokens:
        fields["max_output_tokens"] = settings.max_tokens
    common: dict[str, Any] = {
        "endpoint": endpoint,
        "method": "POST",
        "path": f"{prefix}/v1/responses",
        "headers": _bearer(settings),
    }
    yield Ask(
        name=f"{endpoint} stream",
        bodies=_bodies(settings, OPENAI_MODEL, **fields, stream=True),
        reader=reader,
        **common,
    )
    yield Ask(name=endpoint, bodies=_bodies(settings, OPENAI_MODEL, **fields), whole=read_response, **common)


def _responses(settings: Settings) -> Iterator[Ask]:
    return _some_responses(settings, "responses", settings.openai_prefix, ResponsesReader)


def _openresponses(settings: Settings) -> Iterator[Ask]:
    def reader() -> StreamReader:
        return ResponsesReader(needs_done=True)

    return _some_responses(settings, "openresponses", settings.openresponses_prefix, reader)


def _messages(settings: Settings) -> Iterator[Ask]:
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
    yield Ask(
        name="messages stream",
        bodies=_bodies(settings, ANTHROPIC_MODEL, **fields, stream=True),
        reader=MessagesReader,
        **common,
    )
    yield Ask(
        name="messages", bodies=_bodies(settings, ANTHROPIC_MODEL, **fields), whole=read_message, **common
    )


def _embeddings(settings: Settings) -> Iterator[Ask]:
    yield Ask(
        name="embeddings",
        endpoint="embeddings",
        method="POST",
        path=f"{settings.openai_prefix}/v1/embeddings",
        headers=_bearer(settings),
        bodies=(msgspec.json.encode({"model": settings.embedding_model, "input": settings.prompt}),),
        whole=read_embeddings,
    )


def _models(settings: Settings) -> Iterator[Ask]:
    yield Ask(
        name="models",
        endpoint="models",
        method="GET",
        path=f"{settings.openai_prefix}/v1/models",
        headers=_bearer(settings),
        bodies=(),
        whole=read_models,
    )


_ASKS: dict[str, Callable[[Settings], Iterator[Ask]]] = {
    "chat": _chat,
    "responses": _responses,
    "openresponses": _openresponses,
    "messages": _messages,
    "embeddings": _embeddings,
    "models": _models,
}
