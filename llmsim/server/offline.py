"""Answers one call of the control API without a server: with the settings, in this process, from a run directory of its own."""

import asyncio
import tempfile
import time
from typing import Any

import msgspec

from llmsim.config import AdminSettings, Settings, StateSettings
from llmsim.providers.registry import endpoint_labels
from llmsim.server.asgi import Application
from llmsim.stats import Block


def call_offline(settings: Settings, path: str, body: bytes) -> tuple[int, bytes]:
    """Call the control API of a server that would be started with these settings.

    Args:
        settings: The settings.
        path: The path, for a POST.
        body: The body, JSON.

    Returns:
        Status and body of the response.

    Raises:
        ConfigError: A setting cannot be carried out.
        ScriptError: A script, scenario or rule has mistakes.
    """
    with tempfile.TemporaryDirectory(prefix="llmsim-") as directory:
        server = msgspec.structs.replace(settings.server, run_dir=directory)
        # What is tried here concerns no other host.
        own = msgspec.structs.replace(settings, server=server, admin=AdminSettings(), state=StateSettings())
        application = Application(own)
        try:
            return asyncio.run(_call(application, path, body))
        finally:
            application.state.remove()


async def _call(application: Application, path: str, body: bytes) -> tuple[int, bytes]:
    application.state.restart()
    await application.publish_scripts()
    application.start(Block.private(endpoints=endpoint_labels(), now=time.monotonic()), 0)
    status, parts = 0, []

    async def receive() -> Any:
        return {"type": "http.request", "body": body, "more_body": False}

    async def send(message: Any) -> None:
        nonlocal status
        if message["type"] == "http.response.start":
            status = message["status"]
        else:
            parts.append(message.get("body", b""))

    headers = [
        (b"host", b"localhost"),
        (b"content-type", b"application/json"),
        (b"content-length", b"%d" % len(body)),
    ]
    scope = {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.4"},
        "http_version": "1.1",
        "method": "POST",
        "scheme": "http",
        "path": path,
        "raw_path": path.encode(),
        "query_string": b"",
        "root_path": "",
        "headers": headers,
        "client": ("127.0.0.1", 1),
        "server": ("localhost", 8080),
    }
    await application(scope, receive, send)
    application.close()
    return status, b"".join(parts)
