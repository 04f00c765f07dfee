"""Connections that change to WebSocket, on sockets: what is left of them, and what a drain does to them."""

import asyncio
import gc

import pytest
from support.asgi import served, simulator

from llmsim.server.transport.protocol import Protocol

HANDSHAKE = (
    b"GET /v1/responses HTTP/1.1\r\nhost: x\r\nupgrade: websocket\r\nconnection: upgrade\r\n"
    b"sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\nsec-websocket-version: 13\r\n\r\n"
)


def count_protocols() -> int:
    """Return how many connections over HTTP are in memory."""
    return sum(type(one) is Protocol for one in gc.get_objects())


@pytest.mark.parametrize("before", [b"", b"GET /health HTTP/1.1\r\nhost: x\r\n\r\n"], ids=["first", "second"])
async def test_nothing_is_left_of_the_http_connection(before: bytes) -> None:
    """TRAN-1.14: What a WebSocket connection was before is freed without a collection of garbage."""
    async with served(simulator()) as port:
        gc.collect()
        others = count_protocols()
        gc.disable()
        try:
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            if before:
                writer.write(before)
                assert b"200" in await reader.readuntil(b"\r\n")
                await reader.read(1000)
            writer.write(HANDSHAKE)
            assert b"101" in await reader.readuntil(b"\r\n\r\n")

            assert count_protocols() == others
            writer.close()
        finally:
            gc.enable()


async def test_a_handshake_during_a_drain_has_an_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    """ARCH-3.4: A client that connects while the server drains is answered like any other, and not with a closed connection."""
    monkeypatch.setattr(Protocol, "closes", True)
    async with served(simulator()) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(HANDSHAKE)

        assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 101")
        writer.close()
