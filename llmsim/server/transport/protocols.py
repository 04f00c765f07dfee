"""Which protocols uvicorn is to use: ours, which hold the budgets of what a client may send, where the installed uvicorn fits them."""

from typing import Any

BUDGETS = (
    *("max_head_bytes", "max_head_fields", "head_timeout_secs", "body_timeout_secs", "max_bodies_bytes"),
    "room_timeout_secs",
    *("max_pipelined", "max_pings_per_sec"),
)
"""Settings that only our protocols obey."""


def choose_protocols() -> tuple[Any, Any, str | None]:
    """Return uvicorn's settings `http` and `ws`, and what is lost by them; None if nothing is."""
    try:
        from llmsim.server.transport.connection import missing_attributes
        from llmsim.server.transport.protocol import Protocol
        from llmsim.server.transport.websocket_protocol import WebSocketProtocol

        missing = missing_attributes()
    except (AttributeError, ImportError, KeyError, TypeError) as error:
        reason = f"uvicorn's protocols have changed: {error}"
    else:
        if not missing:
            return Protocol, WebSocketProtocol, None
        reason = f"uvicorn's protocols have no {', '.join(missing)}"
    names = ", ".join(f"budgets.{name}" for name in BUDGETS)
    return "httptools", "websockets-sansio", f"these settings have no effect: {names}; {reason}"
