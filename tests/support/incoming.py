"""Requests as they arrive."""

from typing import Any

from llmsim.providers.contract import IncomingRequest


def incoming(body: bytes, **fields: Any) -> IncomingRequest:
    """Return a request with a body."""
    return IncomingRequest(body=body, **fields)
