"""What `scripts/bench cost` measures: one row for each kind of request, token event and page, with its target."""

from typing import Any

import msgspec

from .endpoints import Endpoint, build_body

CHAT_PATH = "/openai/v1/chat/completions"

TOKENS = 100
"""Length of a streamed reply."""

YARDSTICK, CHAT = "falcon", "chat"
"""Rows that others are compared with."""


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """What is measured.

    Attributes:
        name: Name on the command line.
        what: Description.
        path: Path of the endpoint.
        shows: Member that a reply must have; of a stream, the bytes before a token's text; of a page, what it must contain.
        body: Body of the request; empty for a page that is fetched.
        app: Application that replies.
        fresh: Whether each request has a new prompt.
        stream: Whether the reply is streamed.
        held: Streams that are open; 0 measures requests.
        lap: Requests of a lap.
        limit: Target of the ratio; None if there is no target.
        of: Row that the ratio is to.
        limit_us: Target in microseconds of CPU time, of held streams with the kernel's share; None if there is no target.
        more_us: Target of what it may cost more than the row `of`, in microseconds; None if there is no target.
    """

    name: str
    what: str
    path: str
    shows: str
    body: bytes = b""
    app: str = "llmsim"
    fresh: bool = False
    stream: bool = False
    held: int = 0
    lap: int = 128
    limit: float | None = None
    of: str = "falcon"
    limit_us: float | None = None
    more_us: float | None = None


def _row(name: str, what: str, path: str = CHAT_PATH, shows: str = "choices", **fields: Any) -> Row:
    model = "claude-haiku-4-5" if path.startswith("/anthropic/") else "gpt-4o-mini"
    stream = fields.get("stream", False)
    to = Endpoint("llmsim", "127.0.0.1", 80, path)
    body = build_body(to, model=model, stream=stream, tokens=TOKENS if stream else 16)
    return Row(name=name, what=what, path=path, body=body, shows=to.mark if stream else shows, **fields)


ROWS = (
    _row("raw", "raw ASGI, constant reply", app="raw"),
    _row(YARDSTICK, "Falcon, constant reply", app="falcon"),
    _row(CHAT, "chat, one body repeated", limit=1.3),
    _row("chat-new", "chat, a new body each time", fresh=True, limit=1.6),
    _row("chat-stream", f"chat, stream of {TOKENS} tokens at once", stream=True, limit=1.9),
    _row("responses", "Responses", "/openai/v1/responses", "output", limit=1.3, of=CHAT),
    _row("messages", "Messages", "/anthropic/v1/messages", "content", limit=1.3, of=CHAT),
    _row("chat-ignoring", "chat, control headers ignored", app="ignoring"),
    _row("chat-obeying", "chat, control headers looked for", more_us=0.5, of="chat-ignoring"),
    _row("chat-limits", "chat, with limits", app="limited", more_us=5, of=CHAT),
    _row(
        "messages-limits",
        "Messages, with limits",
        "/anthropic/v1/messages",
        "content",
        app="limited",
        more_us=5,
        of="messages",
    ),
    Row(
        name="embeddings",
        what="embeddings of one short text",
        path="/openai/v1/embeddings",
        body=b'{"model":"text-embedding-3-small","input":"What is the weather of tomorrow?"}',
        shows="data",
        lap=32,
    ),
    Row(
        name="metrics",
        what="/metrics, 4 workers of 64 models",
        path="/metrics",
        shows='llmsim_prompt_tokens_total{model="model-63"} ',
        app="crowded",
        lap=1,
        limit_us=5000,
    ),
    _row("event-200", "token event of 200 open streams", stream=True, held=200),
    _row("event-1000", "token event of 1,000 open streams", stream=True, held=1000, limit_us=16),
    _row(
        "engine-200",
        "token event, 200 streams, engine",
        app="engine",
        stream=True,
        held=200,
        limit=1.3,
        of="event-200",
    ),
    _row(
        "engine-1000",
        "token event, 1,000 streams, engine",
        app="engine",
        stream=True,
        held=1000,
        limit=1.3,
        of="event-1000",
    ),
)
