"""The gunicorn worker: uvicorn with uvloop and httptools, and a drain that ends in time.

Decisions:
* While uvicorn drains it stops telling gunicorn that it lives, and gunicorn would abort it at
  `timeout`; here a task of its own keeps telling, and the drain is bounded by `graceful_timeout`.
* uvicorn closes a connection that was accepted but has not asked yet at the very start of a drain,
  under the hands of a client that is just writing; here it is given a moment.
"""

import asyncio
import gc
import os
import signal
import sys
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn_worker import UvicornWorker

_BEAT = 1.0
"""Seconds between two signs of life."""

_MOMENT = 0.5
"""Seconds that a connection which has not asked yet is given when a drain begins."""

_SWITCH = 0.0005
"""Seconds for which a thread may keep the interpreter while the loop waits for it, several times for one token.

PERF: beside a thread that embeds 2,048 texts, nine of ten tokens are less than 4 ms late; 7 ms with Python's own 0.005.
"""

_COLLECTIONS = (700, 2, 500)
"""When the garbage collector looks at what is young, at what has survived that, and at everything.

Requests leave nothing for it to find, so its only effect on them is that they wait. PERF: an object is looked at as often as
with Python's own (700, 10, 10), in a third of the pause; everything once in a million objects that stay.
"""


class Protocol(HttpToolsProtocol):
    """uvicorn's protocol, patient with those who have only just connected."""

    def shutdown(self) -> None:
        """Begin to end the connection."""
        if self.cycle is None:
            self.loop.call_later(_MOMENT, super().shutdown)
        else:
            super().shutdown()


class Worker(UvicornWorker):  # type: ignore[misc]  # uvicorn-worker publishes no types
    """One worker process.

    Attributes:
        block: The counters of all workers; set by the master before the fork.
        slot: This worker's part of them; likewise.
    """

    CONFIG_KWARGS = {
        "loop": "uvloop",
        "http": Protocol,
        "ws": "websockets-sansio",
        "lifespan": "off",
        "server_header": False,
        # PERF: 1 us a request for addresses nobody reads.
        "proxy_headers": False,
    }

    block: Any
    slot: int

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.config.timeout_graceful_shutdown = max(1, self.cfg.graceful_timeout - 1)
        self.config.access_log = self.cfg.accesslog is not None
        # Beyond what is answered with an error event, so that there is someone to answer.
        self.config.ws_max_size = 2 * self.app.wsgi().settings.server.max_body_bytes

    def handle_exit(self, sig: int, frame: Any) -> None:
        """Stop at once: SIGQUIT, which the master sends when it was interrupted itself."""
        # uvicorn takes the first SIGINT as a wish to end, and the second as an order.
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGINT)

    async def _serve(self) -> None:
        sys.setswitchinterval(_SWITCH)
        self.block.set_pid(self.slot, os.getpid())
        self.wsgi.start(self.block, self.slot)
        # What was made until here stays for good.
        gc.freeze()
        gc.set_threshold(*_COLLECTIONS)
        beat = asyncio.create_task(self._beat())
        try:
            await super()._serve()
        finally:
            beat.cancel()

    async def _beat(self) -> None:
        while True:
            self.notify()
            await self.app.wsgi().state.sessions.renew()
            await asyncio.sleep(_BEAT)
