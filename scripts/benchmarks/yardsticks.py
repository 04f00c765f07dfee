"""Applications that reply with constant bytes: what the server and the framework cost without llmsim."""

from collections.abc import Awaitable, Callable
from typing import Any

import falcon.asgi

REPLY = (
    b'{"id":"chatcmpl-0","object":"chat.completion","created":1795705070,"model":"gpt-4o-mini","choices":[{"index":0,'
    b'"message":{"role":"assistant","content":"one two three four five six seven eight nine ten eleven","refusal":null},'
    b'"finish_reason":"stop"}],"usage":{"prompt_tokens":9,"completion_tokens":16,"total_tokens":25}}'
).ljust(800)
"""About as long as a chat completion of 16 tokens."""

_HEADERS = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(REPLY))]


async def raw(
    _scope: dict[str, Any],
    receive: Callable[[], Awaitable[dict[str, Any]]],
    send: Callable[[dict[str, Any]], Awaitable[None]],
) -> None:
    """Reply to a request whose body came at once, in plain ASGI."""
    await receive()
    await send({"type": "http.response.start", "status": 200, "headers": _HEADERS})
    await send({"type": "http.response.body", "body": REPLY})


class _Constant:
    async def on_post(self, req: falcon.asgi.Request, resp: falcon.asgi.Response) -> None:
        """Read the request, and reply."""
        await req.stream.read()
        resp.content_type = "application/json"
        resp.data = REPLY


def build_falcon(path: str) -> falcon.asgi.App[Any, Any]:
    """Build a Falcon application with one route."""
    app = falcon.asgi.App()
    app.add_route(path, _Constant())
    return app
