"""Answers to requests that reach no endpoint: their HTTP is broken, they are over a budget, or there is no WebSocket at their path."""

import time
from collections.abc import Awaitable, Callable, Container
from typing import Any

from llmsim.errors import RefusedError, TransportError, UnknownRouteError
from llmsim.providers.registry import PROVIDERS, find_provider
from llmsim.providers.route_suggestions import suggest_route
from llmsim.server.active_request import ActiveRequest
from llmsim.server.replies import EncodedReply, ReplyBuilder
from llmsim.server.transport.heads import RawHeaders
from llmsim.stats import Recorder
from llmsim.wire.codec import encode

_JSON = b"content-type: application/json\r\n"


class Rejections:
    """Renders them, in the envelope of the API that the path belongs to.

    Args:
        new_id: Returns a new request id.
        recorder: The worker's counters.
    """

    def __init__(self, new_id: Callable[[], str], recorder: Recorder) -> None:
        self._recorder = recorder
        self._replies = {provider.name: ReplyBuilder(provider, new_id) for provider in PROVIDERS}

    def render(self, error: RefusedError, path: str, headers: Container[str]) -> EncodedReply:
        """Render the answer to a request.

        Args:
            error: The problem.
            path: Its path, as far as it is known.
            headers: The names of its headers, as far as they are known.
        """
        provider = find_provider(path, headers)
        if provider is None:
            status = error.status if isinstance(error, TransportError) else 404
            body = {"message": f"{error}.", "type": "invalid_request", "param": None, "code": None}
            return EncodedReply(status, _JSON, encode({"error": body}))
        active = ActiveRequest(time.monotonic(), self._recorder)
        return self._replies[provider.name].build_error(provider.render_refusal(error), active)

    def render_unrouted(self, error: TransportError, url: bytes, headers: RawHeaders) -> EncodedReply:
        """Render the answer to a request by the raw parts of its head, as far as they are known."""
        path = url.partition(b"?")[0].decode("latin-1")
        return self.render(error, path, {name.decode("latin-1") for name, _ in headers})

    async def refuse_websocket(self, scope: dict[str, Any], send: Callable[[Any], Awaitable[None]]) -> None:
        """Refuse a handshake at a path without a WebSocket."""
        if "websocket.http.response" not in (scope.get("extensions") or {}):
            # The server then answers 403.
            await send({"type": "websocket.close", "code": 1000})
            return
        path = scope["path"]
        names = {name.decode("latin-1") for name, _ in scope["headers"]}
        provider = find_provider(path, names)
        shown = path if provider is None else path.removeprefix(provider.prefix)
        error = UnknownRouteError("GET", f"{shown} (WebSocket)", suggest_route(path))
        reply = self.render(error, path, names)
        lines = [tuple(line.split(b": ", 1)) for line in reply.head.split(b"\r\n")[:-1]]
        lines += [(b"content-length", b"%d" % len(reply.body)), (b"connection", b"close")]
        await send({"type": "websocket.http.response.start", "status": reply.status, "headers": lines})
        await send({"type": "websocket.http.response.body", "body": reply.body, "more_body": False})
