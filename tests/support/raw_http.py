"""HTTP clients on raw sockets, which control how much they read and when they hang up."""

import asyncio
import contextlib
import json
from typing import Any


def request(body: dict[str, Any], path: str = "/openai/v1/chat/completions") -> bytes:
    """Build a POST request with `body` as JSON."""
    data = json.dumps(body).encode()
    head = f"POST {path} HTTP/1.1\r\nhost: llmsim\r\ncontent-type: application/json\r\ncontent-length: {len(data)}\r\n\r\n"
    return head.encode() + data


def chat(**fields: Any) -> dict[str, Any]:
    """Build a small chat request."""
    return {"model": "gpt-4o", "messages": [{"role": "user", "content": "Hello"}], **fields}


class Client:
    """One connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    @classmethod
    async def open(cls, port: int) -> "Client":
        """Connect."""
        return cls(*await asyncio.open_connection("127.0.0.1", port))

    async def send(self, body: dict[str, Any]) -> None:
        """Send a chat request."""
        self.writer.write(request(body))
        await self.writer.drain()

    async def read_until(self, mark: bytes) -> bytes:
        """Read up to and including `mark`."""
        return await self.reader.readuntil(mark)

    async def hang_up(self) -> None:
        """Abort the connection."""
        self.writer.transport.abort()
        with contextlib.suppress(ConnectionError):
            await self.writer.wait_closed()
