"""What hosts learn from each other at once: messages on channels of the Redis server.

Decisions:
* A message says only that something has changed; who receives it reads it anew. So what was missed while there was no connection costs
  nothing: after each connect every receiver is called as if there had been a message.
* A connection that brings nothing for two seconds is asked for a sign of life, and closed two seconds later without one.
"""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable

from redis.asyncio.connection import AbstractConnection
from redis.exceptions import RedisError

from llmsim.errors import StoreError
from llmsim.state.redis.client import RedisClient

Receiver = Callable[[], Awaitable[None]]

_SILENCE = 2.0
_RETRY = 0.5


class Pushes:
    """The channels that a process follows.

    Args:
        client: How the server is reached.
    """

    def __init__(self, client: RedisClient) -> None:
        self._client = client
        self._receivers: dict[bytes, Receiver] = {}

    def receive(self, channel: bytes, receiver: Receiver) -> None:
        """Have a receiver called whenever there is a message on a channel; to be called before `follow`."""
        self._receivers[channel] = receiver

    async def follow(self) -> None:
        """Receive messages until cancelled."""
        while self._receivers:
            connection = self._client.new_connection()
            try:
                with contextlib.suppress(RedisError, OSError, TimeoutError):
                    await self._listen(connection)
            finally:
                with contextlib.suppress(RedisError, OSError):
                    await connection.disconnect(nowait=True)
            await asyncio.sleep(_RETRY)

    async def _listen(self, connection: AbstractConnection) -> None:
        await connection.connect()
        await connection.send_command("SUBSCRIBE", *self._receivers)
        is_asked = False
        while True:
            reply = await connection.read_response(disable_decoding=True, timeout=_SILENCE)
            if reply is None:
                if is_asked:
                    return
                is_asked = True
                await connection.send_command("PING")
                continue
            is_asked = False
            if isinstance(reply, list) and reply[0] in (b"message", b"subscribe"):
                # A failure is that of the state: it was logged, and what has changed is read with the next message.
                with contextlib.suppress(StoreError):
                    await self._receivers[reply[1]]()
