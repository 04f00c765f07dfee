"""The server in this process, driven without sockets: laps of requests and of held streams, and counted calls.

Decisions:
* The worker's own protocol class gets a transport that only collects, so neither the kernel nor a client is measured.
* Requests are built, and replies are read, outside of the measured time.
* Streams start in steps that spread their tokens evenly over a gap; a lap of theirs has no first and no last events.
"""

import asyncio
import contextlib
import cProfile
import gc
import itertools
import json
import os
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from email.utils import formatdate
from pathlib import Path
from types import FrameType
from typing import Any

from uvicorn import Config
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.server import ServerState

from llmsim.catalogue import load_catalogue
from llmsim.config import load
from llmsim.providers.registry import endpoint_labels
from llmsim.server.asgi import Application
from llmsim.server.http import HttpGeneration
from llmsim.server.processes.worker import _COLLECTIONS, Worker
from llmsim.server.transport.protocol import Protocol
from llmsim.stats import Block

from . import yardsticks
from .cost_counters import WORKERS, count_crowd
from .endpoints import BenchError, Endpoint, build_page_request, build_request, find_tokens
from .rows import CHAT_PATH, TOKENS, Row

_CONNECTIONS = 32
_TIMEOUT = 10.0
_TTFT, _GAP = 0.200, 0.040
_STEP, _STEPS = 0.007, 40
"""Seconds between two starts of streams, and their number: 40 phases, all of those that a gap of 40 ms has."""
_SETTLE, _WINDOW = 0.350, 1.0
"""Seconds from the last start to a lap, and of a lap."""


def check_reply(row: Row, reply: bytes) -> None:
    """Check that the bytes of a reply are complete, and of the row's API.

    Raises:
        BenchError: They are not, or the status is not 200.
    """
    head, _, body = reply.partition(b"\r\n\r\n")
    good = head.startswith(b"HTTP/1.1 200 ")
    if good and row.stream:
        good = len(find_tokens(body, row.shows)) == TOKENS and body.endswith(b"0\r\n\r\n")
    elif good and not row.body:
        good = row.shows.encode() in body
    elif good:
        try:
            good = bool(json.loads(body)[row.shows])
        except (ValueError, KeyError, TypeError):
            good = False
    if not good:
        raise BenchError(f"{row.name}: not the expected reply: {reply[:600].decode(errors='replace')}")


class _Transport(asyncio.Transport):
    """A connection that collects what is written to it."""

    def __init__(self) -> None:
        super().__init__({"peername": ("127.0.0.1", 40_000), "sockname": ("127.0.0.1", 80)})
        self.written: list[bytes] = []
        self._closing = False

    def write(self, data: Any) -> None:
        self.written.append(data)

    def is_closing(self) -> bool:
        return self._closing

    def close(self) -> None:
        self._closing = True

    def pause_reading(self) -> None:
        """Do nothing: a request is sent when the last one is complete."""

    def resume_reading(self) -> None:
        """Do nothing."""

    def get_write_buffer_size(self) -> int:
        return 0


class _Reporting:
    """A protocol that reports the end of each response."""

    on_complete: Callable[[], None]

    def on_response_complete(self) -> None:
        super().on_response_complete()  # type: ignore[misc]  # of the protocol beside it
        self.on_complete()


class _PlainProtocol(_Reporting, HttpToolsProtocol):
    """uvicorn's own protocol, for the yardsticks."""


class _WorkerProtocol(_Reporting, Protocol):
    """llmsim's protocol."""


class _Connections:
    """Connections to an application, without sockets."""

    def __init__(self, app: Any, count: int) -> None:
        protocol_class = _WorkerProtocol if isinstance(app, Application) else _PlainProtocol
        options: dict[str, Any] = Worker.CONFIG_KWARGS | {"http": protocol_class, "timeout_keep_alive": 3600}
        config = Config(app, access_log=False, log_config=None, **options)
        config.load()
        self._state = ServerState()
        self._state.default_headers = [(b"date", formatdate(usegmt=True).encode()), *config.encoded_headers]
        self._loop = asyncio.get_running_loop()
        self._open, self._done = 0, self._loop.create_future()
        self._transports = [_Transport() for _ in range(count)]
        self._protocols: list[_PlainProtocol | _WorkerProtocol] = []
        for transport in self._transports:
            protocol = protocol_class(config, self._state, {}, self._loop)
            protocol.on_complete = self._on_complete
            protocol.connection_made(transport)
            self._protocols.append(protocol)

    def _on_complete(self) -> None:
        self._open -= 1
        if not self._open and not self._done.done():
            self._done.set_result(None)

    def send(self, connection: int, request: bytes) -> None:
        """Send a request."""
        self._open += 1
        self._protocols[connection].data_received(request)

    async def send_all(self, requests: list[bytes]) -> None:
        """Send requests over all connections; return when the last reply is complete."""
        for first in range(0, len(requests), len(self._protocols)):
            self._done = self._loop.create_future()
            for connection, request in enumerate(requests[first : first + len(self._protocols)]):
                self.send(connection, request)
            await self._done

    def take(self) -> bytes:
        """Return what was written since the last call."""
        data = b"".join(itertools.chain.from_iterable(one.written for one in self._transports))
        for transport in self._transports:
            transport.written.clear()
        return data

    async def disconnect(self) -> None:
        """Disconnect all clients; return when no request is open."""
        for protocol in self._protocols:
            protocol.connection_lost(ConnectionResetError())
        await asyncio.wait(self._state.tasks, timeout=_TIMEOUT)


_LIMITED = """
[limits]
default = "bench"
[limits.tiers.bench]
rpm = 100_000_000
tpm = 10_000_000_000
"""
"""Limits that no lap reaches, of requests and of tokens."""


_IGNORING = """
[server]
control_headers = false
"""
"""Requests that have no control headers need not be searched for them."""
_ENGINE = f"""
[latency.engine]
step_base_ms = {_GAP * 1000}
step_sequence_us = 0
step_prefill_token_us = 0
step_context_token_us = 0
max_num_seqs = 4096
max_num_batched_tokens = 100_000
"""
"""An engine whose steps take as long as the gaps of the other held streams."""


def _start_llmsim(
    folder: str, file: str = "", count: Callable[[Block], None] | None = None, **latency: Any
) -> Application:
    """Start the application as a worker does, with the defaults but for the latency and a configuration file.

    Args:
        folder: Directory for its files.
        file: The configuration file.
        count: Counts for the other workers; None if there are none.
        latency: Settings of the latency.
    """
    flags = {"server.run_dir": folder, "response.target_tokens": TOKENS}
    flags |= {f"latency.{name}": value for name, value in latency.items()}
    path = Path(folder) / "bench.toml"
    path.write_text(file)
    app = Application(load(path, environ={}, flags=flags, profiles=load_catalogue().profiles).settings)
    block = Block.private(endpoints=endpoint_labels(), slots=WORKERS, now=time.monotonic())
    if count is not None:
        count(block)
    slot = block.claim(os.getpid())
    block.set_pid(slot, os.getpid())
    app.start(block, slot)
    return app


class Driver:
    """Measures laps of rows; create it inside the event loop.

    Args:
        folder: Directory for the server's files.

    Attributes:
        profiler: Profiles the laps; None for no profile.
    """

    def __init__(self, folder: str) -> None:
        self.profiler: cProfile.Profile | None = None
        self._seconds = 0.0
        self._numbers = itertools.count()
        self._held = {
            "llmsim": _start_llmsim(
                folder,
                ttft_mean_ms=_TTFT * 1000,
                ttft_stddev_ms=0,
                tbt_mean_ms=_GAP * 1000,
                tbt_stddev_ms=0,
            ),
            "engine": _start_llmsim(folder, _ENGINE),
        }
        self._apps = {
            "llmsim": _start_llmsim(folder, profile="instant"),
            "limited": _start_llmsim(folder, _LIMITED, profile="instant"),
            "ignoring": _start_llmsim(folder, _IGNORING, profile="instant"),
            "crowded": _start_llmsim(folder, profile="instant", count=count_crowd),
            "raw": yardsticks.raw,
            "falcon": yardsticks.build_falcon(CHAT_PATH),
        }
        self._connections: dict[str, _Connections] = {}

    async def prepare(self, rows: Iterable[Row]) -> None:
        """Check the reply to one request of each row and warm it up; held streams warm up in each lap.

        Raises:
            BenchError: A reply is not as expected.
        """
        for row in rows:
            if row.held:
                continue
            self._connections[row.name] = _Connections(self._apps[row.app], _CONNECTIONS)
            try:
                async with asyncio.timeout(_TIMEOUT):
                    reply = await self._fetch(row, 1)
            except TimeoutError:
                raise BenchError(f"{row.name}: no complete reply within {_TIMEOUT:g} s") from None
            check_reply(row, reply)
            await self._fetch(row, 4 * row.lap)
        gc.collect()
        gc.freeze()
        gc.set_threshold(*_COLLECTIONS)

    async def lap(self, row: Row) -> float:
        """Measure one lap of a row; return its microseconds of CPU time for a request or a token event."""
        if row.held:
            return await self._held_lap(row)
        await self._fetch(row, row.lap)
        return self._seconds / row.lap * 1e6

    async def count_calls(self, row: Row) -> "Calls":
        """Count the calls that one request takes."""
        calls = Calls()
        await self._fetch(row, 1, calls)
        return calls

    @contextlib.contextmanager
    def _measured(self) -> Iterator[None]:
        """Measure the CPU time of this process within the block."""
        if self.profiler:
            self.profiler.enable()
        began = time.process_time()
        yield
        self._seconds = time.process_time() - began
        if self.profiler:
            self.profiler.disable()

    def _requests(self, row: Row, count: int) -> list[bytes]:
        to = Endpoint("llmsim", "127.0.0.1", 80, row.path)
        if not row.body:
            return [build_page_request(to)] * count
        if not row.fresh:
            return [build_request(to, row.body)] * count
        bodies = (row.body.replace(b"tomorrow", b"day %d" % next(self._numbers)) for _ in range(count))
        return [build_request(to, body) for body in bodies]

    async def _fetch(self, row: Row, count: int, calls: "Calls | None" = None) -> bytes:
        """Send requests of a row; return what was written."""
        requests, connections = self._requests(row, count), self._connections[row.name]
        if calls is not None:
            sys.setprofile(calls)
        with self._measured():
            await connections.send_all(requests)
        sys.setprofile(None)
        return connections.take()

    async def _held_lap(self, row: Row) -> float:
        connections = _Connections(self._held[row.app], row.held)
        requests, began = self._requests(row, row.held), time.monotonic()
        for step in range(_STEPS):
            for connection in range(step, row.held, _STEPS):
                connections.send(connection, requests[connection])
            await asyncio.sleep(began + (step + 1) * _STEP - time.monotonic())
        await asyncio.sleep(_SETTLE)
        connections.take()
        with self._measured():
            await asyncio.sleep(_WINDOW)
        tokens = len(find_tokens(connections.take(), row.shows))
        await connections.disconnect()
        if not tokens:
            raise BenchError(f"{row.name}: no token within {_WINDOW:g} s")
        return self._seconds / tokens * 1e6


class Calls:
    """Python calls into llmsim between the route and the end of the response; a function for `sys.setprofile`.

    Comprehensions are not counted: newer versions of Python do not call them.

    Attributes:
        made: Depth, module and name of each call, in order.
        classes: Names of the classes whose methods were called, with their modules.
    """

    def __init__(self) -> None:
        self.made: list[tuple[int, str, str]] = []
        self.classes: set[str] = set()
        self._open: list[FrameType] = []
        self._seen: set[FrameType] = set()

    def __call__(self, frame: FrameType, event: str, _arg: object) -> None:
        """Count a call; a coroutine that is resumed is not called again."""
        code, module = frame.f_code, str(frame.f_globals.get("__name__"))
        if not module.startswith("llmsim.") or code.co_name in _COMPREHENSIONS:
            return
        if event == "return" and self._open:
            self._open.pop()
        elif event == "call" and (self._open or frame in self._seen or code in _ENTRIES):
            if frame not in self._seen:
                self._seen.add(frame)
                self.made.append((len(self._open), module, code.co_qualname))
                owner = type(frame.f_locals.get("self"))
                if owner.__module__.startswith("llmsim."):
                    self.classes.add(f"{owner.__module__}.{owner.__qualname__}")
            self._open.append(frame)


_ENTRIES = {HttpGeneration.take.__code__, HttpGeneration.answer.__code__}
_COMPREHENSIONS = {"<listcomp>", "<dictcomp>", "<setcomp>", "<genexpr>"}
