"""The gunicorn worker: uvicorn with uvloop and httptools, and a drain that ends in time.

Decisions:
* While uvicorn drains it stops sending heartbeats to gunicorn, which would abort it at `timeout`; here a task of its own goes on
  sending them, and the drain is bounded by `graceful_timeout`.
"""

import asyncio
import contextlib
import gc
import logging
import os
import signal
import sys
from typing import Any

from uvicorn_worker import UvicornWorker

from llmsim.errors import StoreError
from llmsim.server.api_keys import hide_keys
from llmsim.server.budgets import choose_protocols

_HEARTBEAT = 1.0
"""Seconds between two heartbeats."""

_SWITCH_INTERVAL = 0.0005
"""Seconds for which a thread may keep the interpreter while the loop waits for it, several times for one token.

PERF: beside a thread that embeds 2,048 texts, nine of ten tokens are less than 4 ms late; 7 ms with Python's own 0.005.
"""

_COLLECTIONS = (700, 2, 500)
"""Thresholds of the garbage collector: when it looks at young objects, at survivors, and at everything.

Requests leave no garbage cycles, so its only effect on them is that they wait. PERF: an object is looked at as often as
with Python's own (700, 10, 10), in a third of the pause; everything once in a million objects that stay.
"""


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

    def handle_exit(self, sig: int, frame: Any) -> None:
        """Stop at once: SIGQUIT, which the master sends when it was interrupted itself."""
        # uvicorn takes the first SIGINT as a wish to end, and the second as an order.
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGINT)

    async def _serve(self) -> None:
        sys.setswitchinterval(_SWITCH_INTERVAL)
        self.block.set_pid(self.slot, os.getpid())
        self.wsgi.start(self.block, self.slot)
        # What was created until here is never collected.
        gc.freeze()
        gc.set_threshold(*_COLLECTIONS)
        heartbeats = asyncio.create_task(self._send_heartbeats())
        try:
            await super()._serve()
        finally:
            heartbeats.cancel()

    async def _send_heartbeats(self) -> None:
        while True:
            self.notify()
            with contextlib.suppress(StoreError):
                # Without storage requests fail one by one; the worker goes on.
                await self.app.wsgi().state.sessions.renew()
            await asyncio.sleep(_HEARTBEAT)
