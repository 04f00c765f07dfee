"""A client of the control API, with nothing but the standard library.

Decisions:
* `http_proxy` and other settings of the environment are ignored: the server is reached directly. Only the key of the control API
  is read there, `LLMSIM_ADMIN_KEY`, for servers that ask for it.
"""

import http.client
import json
import os
from typing import Any
from urllib.parse import quote, urlsplit

_KEY_VARIABLE = "LLMSIM_ADMIN_KEY"

_TIMEOUT = 30.0
"""Seconds to wait for a reply."""


class ControlError(Exception):
    """The control API rejected a call, or did not answer. The message says why.

    Attributes:
        status: HTTP status code; None if there was no answer.
    """

    def __init__(self, message: str, status: int | None = None) -> None:
        super().__init__(message)
        self.status = status


class ControlClient:
    """Calls the control API of one server; opens a connection for each call, so it may be used from any thread.

    Args:
        base_url: URL of the server.
    """

    def __init__(self, base_url: str) -> None:
        self._base_url = base_url
        parts = urlsplit(base_url)
        self._connection_type = (
            http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
        )
        self._host = parts.netloc
        self._root = parts.path.rstrip("/")

    def call(
        self, method: str, path: str, body: bytes | None = None, *, content_type: str = "application/json"
    ) -> Any:
        """Call the API, and return the decoded JSON of its response.

        Args:
            method: HTTP method.
            path: Path below `/llmsim/`.
            body: Request body; None for none.
            content_type: Content type of the body.

        Raises:
            ControlError: The response is an error, or there is none.
        """
        status, data = self.send(method, f"/llmsim/{path}", body, content_type)
        try:
            decoded = json.loads(data)
            if status < 400:
                return decoded
            message = decoded["error"]["message"]
        except (ValueError, LookupError, TypeError):
            raise ControlError(
                f"{method} {self._base_url}/llmsim/{path}: {status}, is this an llmsim server?"
            ) from None
        raise ControlError(message, status)

    def send(self, method: str, path: str, body: bytes | None, content_type: str) -> tuple[int, bytes]:
        """Send a request, and return the status and body of the response.

        Raises:
            ControlError: There is no response.
        """
        connection = self._connection_type(self._host, timeout=_TIMEOUT)
        try:
            headers = {"content-type": content_type}
            if key := os.environ.get(_KEY_VARIABLE):
                headers["authorization"] = f"Bearer {key}"
            connection.request(method, self._root + path, body, headers)
            response = connection.getresponse()
            return response.status, response.read()
        except (OSError, http.client.HTTPException) as error:
            raise ControlError(
                f"{self._base_url} does not answer: {error or type(error).__name__}"
            ) from error
        finally:
            connection.close()


def encode_path_part(name: str) -> str:
    """Percent-encode a name as one part of a path.

    Raises:
        ValueError: The name has a slash, which servers take for the end of the part even if it is encoded.
    """
    if "/" in name:
        raise ValueError(f"{name!r}: wanted a name without a slash")
    return quote(name, safe="")
