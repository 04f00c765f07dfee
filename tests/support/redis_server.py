"""A Redis server for tests, which keeps nothing on disk, and clients of it."""

import asyncio
import os
import shutil
import signal
import socket
import subprocess
import tempfile
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from itertools import count
from pathlib import Path
from typing import Any, TypeVar

import pytest

from llmsim.config import StateSettings
from llmsim.state.redis.client import RedisClient
from support.servers import eventually

_BINARIES = ("redis-server", "valkey-server")
_prefixes = count()

T = TypeVar("T")


class RedisServer:
    """A server on a socket of its own, which may be stopped and started again.

    Args:
        directory: Receives its socket; its path must be short.
        options: Options of its command line.
    """

    def __init__(self, directory: Path, *options: str) -> None:
        self._socket = directory / "redis.sock"
        self._options = options
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """Its address."""
        return f"unix://{self._socket}"

    def start(self) -> None:
        """Start it, and wait until it answers."""
        binary = next(filter(None, map(shutil.which, _BINARIES)))
        command = [
            binary,
            "--port",
            "0",
            "--unixsocket",
            str(self._socket),
            # Where a replica writes what it receives.
            "--dir",
            str(self._socket.parent),
            "--save",
            "",
            "--appendonly",
            "no",
        ]
        self.process = subprocess.Popen([*command, *self._options], stdout=subprocess.DEVNULL)
        eventually(self._answers)

    def _answers(self) -> bool:
        with socket.socket(socket.AF_UNIX) as one:
            try:
                one.connect(str(self._socket))
                one.sendall(b"PING\r\n")
                return one.recv(16).startswith(b"+PONG")
            except OSError:
                return False

    def kill(self) -> None:
        """End it at once; what it held is lost."""
        assert self.process is not None
        self.process.kill()
        self.process.wait()

    def pause(self) -> None:
        """Have it answer nothing, and keep its connections."""
        assert self.process is not None
        self.process.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Have it go on."""
        assert self.process is not None
        self.process.send_signal(signal.SIGCONT)

    def configure(self, name: str, value: str) -> None:
        """Change an option while it runs."""
        assert self.command(f"CONFIG SET {name} {value}").startswith("+OK")

    def command(self, line: str) -> str:
        """Run a command; return the beginning of its reply."""
        with socket.socket(socket.AF_UNIX) as one:
            one.connect(str(self._socket))
            one.sendall(f"{line}\r\n".encode())
            return one.recv(65_536).decode()

    def settings(self, **values: object) -> StateSettings:
        """Return settings with its address, and a prefix that no other test has."""
        prefix = f"test-{os.getpid()}-{next(_prefixes)}"
        return StateSettings(**({"url": self.url, "prefix": prefix, "timeout_ms": 10_000} | values))


class BlockingClient:
    """A client for tests that have no event loop.

    Args:
        settings: Address and prefix.
        clock: The time.
    """

    def __init__(self, settings: StateSettings, clock: Callable[[], float] | None = None) -> None:
        self.client = RedisClient(settings, clock)
        self._runner = asyncio.Runner()

    def run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """Run a coroutine to its end."""
        return self._runner.run(coroutine)

    def port(self, port: object) -> Any:
        """Return a port whose coroutines never suspend, as those of the embedded state."""
        return _BlockingPort(port, self)

    def close(self) -> None:
        """Close its connections."""
        self.run(self.client.close())
        self._runner.close()


class _BlockingPort:
    def __init__(self, port: object, blocking: BlockingClient) -> None:
        self._port, self.blocking = port, blocking

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._port, name)

        async def call(*args: Any, **kwargs: Any) -> Any:
            return self.blocking.run(method(*args, **kwargs))

        return call


def run_redis_server(*options: str) -> Iterator[RedisServer]:
    """Run a server with further options until the generator ends."""
    if not any(map(shutil.which, _BINARIES)):
        reason = "redis-server is not installed"
        if os.environ.get("CI") == "true":
            pytest.fail(reason)
        pytest.skip(reason)
    with tempfile.TemporaryDirectory(prefix="redis-") as directory:
        server = RedisServer(Path(directory), *options)
        server.start()
        try:
            yield server
        finally:
            server.resume()
            server.kill()


@pytest.fixture(scope="session")
def redis_server() -> Iterator[RedisServer]:
    """A server for all tests, which leave it running; each has a prefix of its own."""
    yield from run_redis_server()


@pytest.fixture
def own_redis_server() -> Iterator[RedisServer]:
    """A server for one test, which may do anything to it."""
    yield from run_redis_server()


ClientMaker = Callable[..., RedisClient]


@pytest.fixture
async def new_client(redis_server: RedisServer) -> AsyncIterator[ClientMaker]:
    """Makes clients of the server: several, with the same settings, are so many processes."""
    clients: list[RedisClient] = []

    def make(settings: StateSettings | None = None, clock: Callable[[], float] | None = None) -> RedisClient:
        clients.append(RedisClient(settings or redis_server.settings(), clock))
        return clients[-1]

    yield make
    for client in clients:
        await client.close()
