"""How a process reaches the Redis server: a bounded pool of connections, a deadline for each operation, and a pause after a failure.

Decisions:
* Connections belong to the event loop that made them, so they are made when they are first needed: after the fork, and anew in
  every loop. One that was closed by the server meanwhile is not used again.
* A connection whose operation was not completed is closed: its next reply would be that of the operation that was given up.
* After a failure operations fail at once until the server has answered again, which a task asks it after 250 ms, doubling to 2 s: a
  server that stalls costs the operations under way their deadline, and no later one.
* The library connects, authenticates and parses; its pool and its retries know no deadline of a whole operation. PERF: 20 us of the
  worker for a short one.
* An address that fails over is resolved anew with each connection, and all are closed when the server turns out to be a replica.
"""

import asyncio
import logging
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from redis.asyncio.connection import AbstractConnection, ConnectionPool, SSLConnection
from redis.exceptions import (
    ClusterDownError,
    ExecAbortError,
    NoPermissionError,
    OutOfMemoryError,
    ReadOnlyError,
    RedisError,
    ResponseError,
    TryAgainError,
)

from llmsim.config.state_settings import StateSettings
from llmsim.errors import ConfigError, StoreError
from llmsim.text import literal, mask_passwords

_log = logging.getLogger(__name__)

_FIRST_PAUSE = 0.25
_LONGEST_PAUSE = 2.0
_LOG_SECONDS = 60.0

_UNABLE_TYPES = (ClusterDownError, ExecAbortError, NoPermissionError, OutOfMemoryError, TryAgainError)
_UNABLE_WORDS = frozenset({"BUSY", "MISCONF", "NOREPLICAS"})
"""Errors of the server, not of the operation: by type, and by their first word where the library has none."""

Argument = bytes | str | int | float


class RedisClient:
    """The connections of a process to the Redis server.

    Args:
        settings: Its address, and the bounds.
        clock: Returns the Unix time in seconds, in tests; otherwise the time is that of the Redis server.

    Attributes:
        clock: As given.
        ignores: Whether requests are answered without what they would store, book or count, while the server cannot be reached.

    Raises:
        ConfigError: The address or the password's file cannot be used.
    """

    def __init__(self, settings: StateSettings, clock: Callable[[], float] | None = None) -> None:
        self.clock = clock
        self.ignores = settings.unavailable == "ignore"
        self._root = f"{{{settings.prefix}}}:"
        self._timeout = settings.timeout_ms / 1000
        self._most = settings.max_connections
        self._address = _show(settings.url)
        self._source = _source(settings)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._idle: list[AbstractConnection] = []
        self._places = asyncio.Semaphore(self._most)
        self._probe: asyncio.Task[None] | None = None
        self._reason = ""
        self._logged_at = float("-inf")

    def key(self, *parts: str) -> bytes:
        """Return the key of a part of the state; any text may be in it."""
        return (self._root + ":".join(parts)).encode("utf-8", "surrogatepass")

    async def run(self, *command: Argument) -> Any:
        """Run a command; return its reply.

        Raises:
            StoreError: The server cannot be reached, or not within the deadline, or cannot do it now.
            ResponseError: The command is wrong.
        """
        self._enter_loop()
        if self._probe is not None:
            raise self._unusable()
        try:
            async with asyncio.timeout(self._timeout):
                try:
                    return await self._exchange(command)
                except ReadOnlyError:
                    # The address leads to another server by now. Nothing was done, so it may be done there.
                    self._close_idle()
                    return await self._exchange(command)
        except TimeoutError:
            raise self._failed(f"no answer within {self._timeout * 1000:.0f} ms") from None
        except ResponseError as error:
            if isinstance(error, ReadOnlyError):
                raise self._failed("it is a replica, and takes no writes") from None
            # It answers, so what only reads goes on.
            word = str(error).partition(" ")[0]
            if not isinstance(error, _UNABLE_TYPES) and word not in _UNABLE_WORDS:
                raise
            self._reason = f"{'it is full: ' if isinstance(error, OutOfMemoryError) else ''}{error}"
            raise self._unusable() from None
        except (RedisError, OSError) as error:
            raise self._failed(str(error) or type(error).__name__) from None

    def _enter_loop(self) -> None:
        loop = asyncio.get_running_loop()
        if self._loop is not loop:
            # What is of another loop was closed with it, or belongs to the parent of this process.
            self._loop, self._idle, self._probe = loop, [], None
            self._places = asyncio.Semaphore(self._most)

    async def _exchange(self, command: tuple[Argument, ...]) -> Any:
        async with self._places:
            connection = self._take()
            is_complete = False
            try:
                if not connection.is_connected:
                    await connection.connect()
                await connection.send_packed_command(connection.pack_command(*command), check_health=False)
                reply = await connection.read_response(disable_decoding=True)
                is_complete = True
            except ResponseError:
                is_complete = True
                raise
            finally:
                if is_complete:
                    self._idle.append(connection)
                else:
                    _abandon(connection)
            return reply

    def _take(self) -> AbstractConnection:
        while self._idle:
            connection = self._idle.pop()
            reader = connection._reader
            if reader is not None and not reader.at_eof() and reader.exception() is None:
                return connection
            _abandon(connection)
        return self.new_connection()

    def new_connection(self) -> AbstractConnection:
        """Return a connection that is not connected, and not counted; for those that listen."""
        connection: AbstractConnection = self._source.make_connection()
        return connection

    def _close_idle(self) -> None:
        for connection in self._idle:
            _abandon(connection)
        self._idle = []

    async def close(self) -> None:
        """Close all connections of this event loop; they are made anew when they are needed."""
        if self._loop is asyncio.get_running_loop():
            if self._probe is not None:
                self._probe.cancel()
            idle, self._loop, self._idle = self._idle, None, []
            for connection in idle:
                await connection.disconnect()

    def _failed(self, reason: str) -> StoreError:
        """Have operations fail at once until the server answers again."""
        self._reason = reason
        self._close_idle()
        if self._probe is None:
            self._probe = asyncio.create_task(self._wait_for_server())
        return self._unusable()

    async def _wait_for_server(self) -> None:
        """Ask the server until it answers, and takes writes."""
        pause = _FIRST_PAUSE
        try:
            while True:
                await asyncio.sleep(pause)
                try:
                    async with asyncio.timeout(self._timeout):
                        role, *_ = await self._exchange(("ROLE",))
                    if role == b"master":
                        return
                    self._close_idle()
                except ResponseError:
                    # It answers, and does not say.
                    return
                except (RedisError, OSError, TimeoutError):
                    pass
                pause = min(2 * pause, _LONGEST_PAUSE)
        finally:
            if self._probe is asyncio.current_task():
                self._probe = None

    def _unusable(self) -> StoreError:
        error = StoreError(f"{self._address}: the shared state cannot be used: {self._reason}")
        now = time.monotonic()
        if now >= self._logged_at + _LOG_SECONDS:
            self._logged_at = now
            _log.error("%s", error)
        return error


def _abandon(connection: AbstractConnection) -> None:
    """Close a connection without waiting for it."""
    connection._parser.on_disconnect()
    connection._close()


def _source(settings: StateSettings) -> Any:
    """Return what makes connections: a pool of the library's, of which nothing else is used."""
    password = settings.password
    if settings.password_file:
        try:
            lines = Path(settings.password_file).read_text(encoding="utf-8").splitlines()
        except (OSError, UnicodeDecodeError) as error:
            reason = error.strerror if isinstance(error, OSError) else "not UTF-8 text"
            raise ConfigError(
                f"state.password_file: cannot read {literal(settings.password_file)}: {reason}"
            ) from None
        password = lines[0].strip() if lines else ""
    options: dict[str, Any] = {"protocol": 2, "driver_info": None, "socket_timeout": None}
    options |= {"socket_connect_timeout": settings.timeout_ms / 1000}
    if password:
        options["password"] = password
    try:
        source: Any = ConnectionPool.from_url(settings.url, **options)
        if source.connection_class is SSLConnection:
            # Certificates are read here, not by the first request.
            source.make_connection()
    except (ValueError, TypeError, OSError, RedisError) as error:
        raise ConfigError(
            f"state.url: {literal(mask_passwords(settings.url))} cannot be used: {error}"
        ) from None
    return source


def _show(url: str) -> str:
    """Return an address without user, password and options."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return "state.url"
    place = parts.netloc.rpartition("@")[2]
    return f"{parts.scheme}://{place}{parts.path}"
