"""Fetches from the control API of a running simulator.

Decisions:
* Only HTTP, and only the given address is contacted: a key is not sent on to where it redirects.
* PERF: the client is imported when something is fetched, 0.02 s: `llmsim stats` reads shared memory.
"""

import os
from typing import Any
from urllib.parse import urlsplit

import msgspec

from llmsim.errors import ControlApiError

_KEY_VARIABLE = "LLMSIM_ADMIN_KEY"
"""Variable of the setting `admin.key`."""

_TIMEOUT = 5.0  # seconds
_WITH_REASON = (400, 503)
_MAX_BYTES = 16 << 20


def resolve_address(url: str, path: str) -> str:
    """Return the address of a path on a server.

    Args:
        url: `HOST:PORT`, `http://HOST:PORT`, or the full address of the path.
        path: The path.

    Raises:
        ControlApiError: The URL is not an HTTP address.
    """
    address = url if "://" in url else f"http://{url}"
    try:
        parts = urlsplit(address)
        usable = (
            parts.scheme in ("http", "https") and parts.hostname and (parts.port is None or parts.port > 0)
        )
    except ValueError:
        usable = False
    if not usable:
        raise ControlApiError(f"--url {url}: wanted http://HOST:PORT")
    return f"{address.rstrip('/')}{path}" if parts.path in ("", "/") else address


class _Error(msgspec.Struct):
    message: str
    problems: list[str] | None = None


class _ErrorBody(msgspec.Struct):
    error: _Error


def fetch_bytes(
    address: str,
    hint: str = "is this an llmsim server?",
    *,
    with_key: bool = False,
    body: bytes | None = None,
    method: str = "GET",
) -> bytes:
    """Fetch the body at an address.

    Args:
        address: By `resolve_address`.
        hint: Appended to the error when the reply is not llmsim's.
        with_key: Whether to send the key of the control API, if the environment has it.
        body: JSON to send; None for nothing.
        method: HTTP method.

    Raises:
        ControlApiError: There is no reply, or it is an error.
    """
    import urllib.error
    import urllib.request

    try:
        # The scheme was checked: no file is read.
        request = urllib.request.Request(address, data=body, method=method)  # noqa: S310
        if body is not None:
            request.add_header("content-type", "application/json")
        if with_key and (key := os.environ.get(_KEY_VARIABLE)):
            request.add_unredirected_header("authorization", f"Bearer {key}")
        with urllib.request.urlopen(request, timeout=_TIMEOUT) as response:  # noqa: S310
            found: bytes = response.read(_MAX_BYTES)
    except urllib.error.HTTPError as error:
        with error:
            raise ControlApiError(_error_message(address, error, hint)) from error
    except urllib.error.URLError as error:
        raise ControlApiError(f"cannot read {address}: {_reason(error.reason)}") from error
    except (OSError, ValueError) as error:
        raise ControlApiError(f"cannot read {address}: {_reason(error)}") from error
    return found


def _error_message(address: str, error: Any, hint: str) -> str:
    try:
        found = msgspec.json.decode(error.read(_MAX_BYTES), type=_ErrorBody).error
    except (OSError, ValueError):
        found = _Error("")
    if found.problems is not None:
        return found.message
    # Stats have the reason in another envelope than the control API: no state is shared, or it cannot be reached.
    reason = found.message if error.code in _WITH_REASON else ""
    return f"{address} answers {error.code} {error.reason}: {reason or hint}"


def _reason(error: object) -> str:
    return (error.strerror if isinstance(error, OSError) else None) or str(error)
