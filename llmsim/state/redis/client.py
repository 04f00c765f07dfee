"""How a process reaches the Redis server: a bounded pool of connections, a deadline for each operation, and a pause after a failure.

Decisions:
* Connections belong to the event loop that made them, so they are made when they are first needed: after the fork, and anew in
  every loop. One that was closed by the server meanwhile is not used again.
* Operations share a connection, and do not wait for each other; another is made when there are many under way.
* After a failure operations fail at once until the server has answered again, which a task asks it after 250 ms, doubling to 2 s: a
  server that stalls costs the operations under way their deadline, and no later one.
* An address that fails over is resolved anew with each connection, and all are closed when the server turns out to be a replica.
"""

import asyncio
import contextlib
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
from llmsim.state.redis.pipeline import Argument, Pipeline, abandon
from llmsim.text import literal, mask_passwords

_log = logging.getLogger(__name__)

_FIRST_PAUSE = 0.25
_LONGEST_PAUSE = 2.0
_LOG_SECONDS = 60.0

_UNABLE_TYPES = (ClusterDownError, ExecAbortError, NoPermissionError, OutOfMemoryError, TryAgainError)
_UNABLE_WORDS = frozenset({"BUSY", "LATE", "MISCONF", "NOREPLICAS"})
"""Errors of the server, not of the operation: by type, and by their first word where the library has none."""

_MANY = 32
"""Operations under way on each connection from which another is made."""


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
        self._pipelines: list[Pipeline] = []
        self._opening = asyncio.Lock()
        self._offset: float | None = None
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
        loop = self._enter_loop()
        if self._probe is not None:
            raise self._unusable()
        deadline = loop.time() + self._timeout
        try:
            pipeline = self._choose()
            if pipeline is not None:
                try:
                    return await pipeline.send(command, deadline)
                except ReadOnlyError:
                    # The address leads to another server by now. Nothing was done, so it may be done there.
                    if pipeline in self._pipelines:
                        self._retire()
            async with asyncio.timeout_at(deadline):
                pipeline = await self._open()
                return await pipeline.send(command, deadline)
        except TimeoutError:
            raise self._failed(f"no answer within {self._timeout * 1000:.0f} ms") from None
        except ResponseError as error:
            if isinstance(error, ReadOnlyError):
                raise self._failed("it is a replica, and takes no writes") from None
            # It answers, so what only reads goes on.
            word = str(error).partition(" ")[0]
            if not isinstance(error, _UNABLE_TYPES) and word not in _UNABLE_WORDS:
                raise
            if word == "LATE":
                # Its answer came in time, so its clock has changed.
                self._offset = None
            self._reason = f"{'it is full: ' if isinstance(error, OutOfMemoryError) else ''}{error}"
            raise self._unusable() from None
        except (RedisError, OSError) as error:
            raise self._failed(str(error) or type(error).__name__) from None

    def _enter_loop(self) -> asyncio.AbstractEventLoop:
        loop = asyncio.get_running_loop()
        if self._loop is not loop:
            # What is of another loop was closed with it, or belongs to the parent of this process.
            self._loop, self._pipelines, self._probe = loop, [], None
            self._opening = asyncio.Lock()
        return loop

    def _choose(self) -> Pipeline | None:
        """Return the connection with the fewest operations under way; None if another is to be made."""
        found = min(self._pipelines, key=len, default=None)
        return None if found is None or (len(found) >= _MANY and len(self._pipelines) < self._most) else found

    async def _open(self) -> Pipeline:
        """Make a connection, unless another operation has made one meanwhile."""
        async with self._opening:
            pipeline = self._choose()
            if pipeline is None:
                if self._probe is not None and self._probe is not asyncio.current_task():
                    raise self._unusable()
                link = self.new_connection()
                try:
                    await link.connect()
                except BaseException:
                    abandon(link)
                    raise
                pipeline = Pipeline(link, self._forget)
                self._pipelines.append(pipeline)
                await self._read_time(pipeline)
            return pipeline

    async def _read_time(self, pipeline: Pipeline) -> None:
        """Read the server's clock: as if it was read when it was asked, so that no operation ends too early."""
        now = asyncio.get_running_loop().time()
        seconds, microseconds = await pipeline.send(("TIME",), now + self._timeout)
        self._offset = int(seconds) + int(microseconds) / 1e6 - now

    def time_limit(self) -> bytes | str:
        """Return what scripts get as their time: the clock's in tests, else the negative of the last instant at which they may begin."""
        if self.clock is not None:
            return repr(self.clock())
        if self._offset is None or self._loop is None:
            return b""
        return repr(-(self._loop.time() + self._timeout + self._offset))

    async def renew(self) -> None:
        """Compare the clocks; every worker calls it each second."""
        if self._pipelines and self._probe is None:
            with contextlib.suppress(RedisError, OSError):
                await self._read_time(self._pipelines[0])

    def _forget(self, pipeline: Pipeline) -> None:
        if pipeline in self._pipelines:
            self._pipelines.remove(pipeline)

    def new_connection(self) -> AbstractConnection:
        """Return a connection that is not connected, and not counted; for those that listen."""
        connection: AbstractConnection = self._source.make_connection()
        return connection

    def _retire(self) -> list[Pipeline]:
        """Close all connections as soon as nothing is under way on them; return them."""
        retired, self._pipelines = self._pipelines, []
        for pipeline in retired:
            pipeline.retire()
        return retired

    async def close(self) -> None:
        """Close all connections of this event loop; they are made anew when they are needed."""
        if self._loop is asyncio.get_running_loop():
            if self._probe is not None:
                self._probe.cancel()
            self._loop = None
            for pipeline in self._retire():
                await pipeline.ended

    def _failed(self, reason: str) -> StoreError:
        """Have operations fail at once until the server answers again."""
        self._reason = reason
        self._retire()
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
                    async with asyncio.timeout(self._timeout) as limit:
                        pipeline = await self._open()
                        role, *_ = await pipeline.send(("ROLE",), limit.when() or 0.0)
                    if role == b"master":
                        return
                except ResponseError:
                    # It answers, and does not say.
                    return
                except (RedisError, OSError, TimeoutError):
                    pass
                self._retire()
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
