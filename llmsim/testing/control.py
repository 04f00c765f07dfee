"""Speaks to the control API of a simulator, with nothing but the standard library."""

import http.client
import json
from typing import Any
from urllib.parse import quote, urlsplit

_TIMEOUT = 30.0


class ControlError(Exception):
    """The control API refused a call. The message says why."""


class Control:
    """One server's control API; a connection for each call, so that any thread may call.

    Args:
        base_url: Where the server is.
    """

    def __init__(self, base_url: str) -> None:
        self._host = urlsplit(base_url).netloc

    def ask(self, method: str, path: str, body: Any = None, *, kind: str = "application/json") -> Any:
        """Call the API.

        Args:
            method: HTTP method.
            path: Below `/llmsim/`.
            body: Bytes as they are, anything else as JSON.
            kind: Content type of `body`.

        Raises:
            ControlError: It is refused.
        """
        data = body if isinstance(body, bytes) else None if body is None else json.dumps(body).encode()
        connection = http.client.HTTPConnection(self._host, timeout=_TIMEOUT)
        try:
            connection.request(method, f"/llmsim/{path}", data, {"content-type": kind})
            answer = connection.getresponse()
            told = json.loads(answer.read())
        finally:
            connection.close()
        if answer.status >= 400:
            raise ControlError(told["error"]["message"])
        return told


def escaped(name: str) -> str:
    """Write a name as a part of a path."""
    return quote(name, safe="")
