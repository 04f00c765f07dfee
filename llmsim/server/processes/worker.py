"""The gunicorn worker: uvicorn with uvloop and httptools, and a drain that ends in time.

Decisions:
* While uvicorn drains it stops sending heartbeats to gunicorn, which would abort it at `timeout`; here a task of its own goes on
  sending them, and the drain is bounded by `graceful_timeout`.
* A worker whose master is gone, however it ended, drains: the kernel reports the end of the parent with SIGTERM, and where it does
  not, the next heartbeat notices.
* uvicorn raises the signal that stopped it again at the end, so that gunicorn warns of a worker that was killed; here a worker
  that was stopped exits with 0.
"""

import asyncio
import contextlib
import ctypes
import gc
import logging
import os
import signal
import sys
import time
from collections.abc import Callable, Coroutine, Iterator
from concurrent.futures import ThreadPoolExecutor
from types import FrameType
from typing import Any

# PERF: what uvicorn would import in each worker is imported before the fork, and shared: 1 MB of a worker.
import uvicorn.lifespan.off
import uvicorn.loops.uvloop  # noqa: F401
from gunicorn.arbiter import Arbiter
from uvicorn import Server
from uvicorn_worker import UvicornWorker

from llmsim.errors import StoreError
from llmsim.server.access.api_keys import hide_keys
from llmsim.server.host_publisher import HostPublisher
from llmsim.server.processes.heap import Heap
from llmsim.server.transport.protocols import choose_protocols

STOP_SIGNALS = frozenset({signal.SIGTERM, signal.SIGINT, signal.SIGQUIT})
"""The signals that stop a server."""

_PR_SET_PDEATHSIG = 1
"""Source: Linux, include/uapi/linux/prctl.h."""

_HEARTBEAT = 1.0
"""Seconds between two heartbeats."""

_SWITCH_INTERVAL = 0.0005
"""Seconds for which a thread may keep the interpreter while the loop waits for it, several times for one token.

PERF: beside a thread that embeds 2,048 texts, nine of ten tokens are less than 4 ms late; 7 ms with Python's own 0.005.
"""

_THREADS = 1
"""Threads for laborious requests: they take turns.

More would share one interpreter, and be no faster; each has its parsed body in memory, and competes with the event loop. PERF: after 30,000
hostile requests a worker keeps 14 MB more than after 3,000, with two threads 28.
"""

_COLLECTIONS = (700, 2, 500)
"""Thresholds of the garbage collector: when it looks at young objects, at survivors, and at everything.

Requests leave no garbage cycles, so its only effect on them is that they wait. PERF: an object is looked at as often as
with Python's own (700, 10, 10), in a third of the pause; everything once in a million objects that stay.
"""


class _Server(Server):
    """uvicorn's server, which exits in silence after a signal.

    Attributes:
        is_draining: Returns whether the server is about to stop.
    """

    is_draining: Callable[[], bool]
    _closes = False

    async def on_tick(self, counter: int) -> bool:
        """Have every response close its connection once the server is about to stop; uvicorn calls this ten times a second."""
        if not self._closes and self.is_draining():
            self._closes = True
            protocol: Any = self.config.http_protocol_class
            protocol.closes = True
            for connection in list(self.server_state.connections):
                cycle = getattr(connection, "cycle", None)
                if cycle is not None and not cycle.response_complete:
                    cycle.keep_alive = False
        return await super().on_tick(counter)

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Obey stop signals, those too that have been pending since the fork."""
        for number in STOP_SIGNALS:
            signal.signal(number, self.handle_exit)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, STOP_SIGNALS)
        try:
            yield
        finally:
            for number in STOP_SIGNALS:
                signal.signal(number, signal.SIG_IGN)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Begin a drain, or end it: SIGQUIT, which the master sends when it was interrupted itself, does both."""
        if sig == signal.SIGQUIT or (self.should_exit and sig == signal.SIGINT):
            self.force_exit = True
        self.should_exit = True


class Worker(UvicornWorker):  # type: ignore[misc]  # uvicorn-worker publishes no types
    """One worker process.

    Attributes:
        block: The counters of all workers; set by the master before the fork.
        slot: This worker's slot of the stats block; likewise.
    """

    CONFIG_KWARGS = {
        "loop": "uvloop",
        "ws_per_message_deflate": False,
        "lifespan": "off",
        "server_header": False,
        # PERF: 1 us a request for addresses that are not used.
        "proxy_headers": False,
    }

    block: Any
    slot: int

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.config.timeout_graceful_shutdown = max(1, self.cfg.graceful_timeout - 1)
        self.config.access_log = self.cfg.accesslog is not None
        logging.getLogger("uvicorn.error").addFilter(hide_keys)
        self.config.http, self.config.ws, problem = choose_protocols()
        if problem is not None:
            self.log.warning("%s", problem)
        # Above the limit that is answered with an error event, so that the connection stays open for it.
        self.config.ws_max_size = 2 * self.app.wsgi().settings.server.max_body_bytes

    def init_signals(self) -> None:
        """Set the signal handlers of the process; those of stop signals are the server's, and blocked until then."""
        for number in self.SIGNALS:
            if number not in STOP_SIGNALS:
                signal.signal(number, signal.SIG_DFL)
        # A hangup of the terminal is for the master: it lets the workers drain.
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
        signal.signal(signal.SIGUSR1, self.handle_usr1)
        signal.siginterrupt(signal.SIGUSR1, False)
        if sys.platform == "linux":
            ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)

    def run(self) -> None:
        """Serve, then exit.

        PERF: at once. The interpreter would release, and thereby copy, all that is shared with the master: 0.2 s of four workers.
        """
        super().run()
        self.wsgi.close()
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(0)

    async def _serve(self) -> None:
        sys.setswitchinterval(_SWITCH_INTERVAL)
        asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(_THREADS))
        self._heap = Heap()
        self.block.set_pid(self.slot, os.getpid())
        self.wsgi.start(self.block, self.slot)
        # What was created until here is never collected.
        gc.freeze()
        gc.set_threshold(*_COLLECTIONS)
        self.config.app = self.wsgi
        server = _Server(config=self.config)
        server.is_draining = lambda: self.block.is_draining
        state = self.wsgi.state
        works: list[Coroutine[Any, Any, None]] = [self._send_heartbeats(server), self._renew()]
        if state.hosts is not None:
            port = self.cfg.address[0][1]
            works.append(HostPublisher(self.block, self.slot, port, state.hosts).run())
        works.append(state.follow())
        tasks = [asyncio.create_task(work) for work in works]
        with contextlib.suppress(StoreError):
            # What other hosts have changed at run time holds from the first request on.
            await state.renew()
        try:
            # NOTE: uvloop closes the socket itself, which gunicorn's object around it would report as an error.
            await server.serve(sockets=[listener.sock for listener in self.sockets])
        finally:
            for task in tasks:
                task.cancel()
        if not server.started:
            sys.exit(Arbiter.WORKER_BOOT_ERROR)

    async def _send_heartbeats(self, server: Server) -> None:
        while True:
            self.notify()
            self._heap.trim()
            if os.getppid() != self.ppid:
                server.should_exit = True
            # A worker that gets no requests shows the timeline too.
            await self.wsgi.live.take_changes(time.monotonic())
            await asyncio.sleep(_HEARTBEAT)

    async def _renew(self) -> None:
        """Renew what this process holds; apart from the heartbeats, as it may wait for another machine."""
        while True:
            with contextlib.suppress(StoreError):
                # Without storage requests fail one by one; the worker goes on.
                await self.wsgi.state.renew()
            await asyncio.sleep(_HEARTBEAT)
