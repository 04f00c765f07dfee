"""Speaks to the control API of a server, with nothing but the standard library.

Decisions:
* Neither `http_proxy` nor any other setting of the environment is heard: the server is in reach.
"""

import http.client
import json
from typing import Any
from urllib.parse import quote, urlsplit

_PATIENCE = 30.0
"""Seconds until a server that does not answer is given up."""


class ControlError(Exception):
    """The server refused a call of its control API, or did not answer. The message says why.

    Attributes:
        status: HTTP status code; None if there was no answer.
    """

    def __init__(self, message: str, status: int | None = None) -> None:
        super().__init__(message)
        self.status = status


class Control:
    """One server's control API; a connection for each call, so that any thread may call.

    Args:
        base_url: Where the server is.
    """

    def __init__(self, base_url: str) -> None:
        self._base_url = base_url
        parts = urlsplit(base_url)
        self._kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
        self._host = parts.netloc
        self._root = parts.path.rstrip("/")

    def ask(
        self, method: str, path: str, body: bytes | None = None, *, kind: str = "application/json"
    ) -> Any:
        """Call the API.

        Args:
            method: HTTP method.
            path: Below `/llmsim/`.
            body: What is sent; None for nothing.
            kind: Its content type.

        Raises:
            ControlError: It is refused, or there is no answer.
        """
        status, data = self.fetch(method, f"/llmsim/{path}", body, kind)
        try:
            told = json.loads(data)
            if status < 400:
                return told
            why = told["error"]["message"]
        except (ValueError, LookupError, TypeError):
            raise ControlError(
                f"{method} {self._base_url}/llmsim/{path}: {status}, is that llmsim?"
            ) from None
        raise ControlError(why, status)

    def fetch(self, method: str, path: str, body: bytes | None, kind: str) -> tuple[int, bytes]:
        """Send a request; give the status and body of its answer.

        Raises:
            ControlError: There is no answer.
        """
        connection = self._kind(self._host, timeout=_PATIENCE)
        try:
            connection.request(method, self._root + path, body, {"content-type": kind})
            answer = connection.getresponse()
            return answer.status, answer.read()
        except (OSError, http.client.HTTPException) as error:
            raise ControlError(
                f"{self._base_url} does not answer: {error or type(error).__name__}"
            ) from error
        finally:
            connection.close()


def escaped(name: str) -> str:
    """Write a name as a part of a path.

    Raises:
        ValueError: It has a slash, which servers take for the end of the part however it is written.
    """
    if "/" in name:
        raise ValueError(f"{name!r}: wanted a name without a slash")
    return quote(name, safe="")
