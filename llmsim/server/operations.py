"""What operators and their tools ask: whether the server answers, whether it is to get requests, and what it has counted.

Decisions:
* Counters are read and rendered in a thread: 1 to 4 ms for which tokens would wait.
"""

import time

import orjson
from falcon.asgi import Request, Response

from llmsim import __version__
from llmsim.server.worker_context import compute_in_thread
from llmsim.stats import Block, render_metrics, snapshot
from llmsim.stats.prometheus import CONTENT_TYPE
from llmsim.stats.totals import read_totals

_JSON = "application/json"


class Health:
    """`GET /health`: the worker answers."""

    _body = orjson.dumps({"status": "ok", "version": __version__})

    async def on_get(self, req: Request, resp: Response) -> None:
        """Return status and version."""
        resp.content_type = _JSON
        resp.data = self._body

    on_head = on_get


class Ready:
    """`GET /ready`: the server is to get requests; 503 from the signal that stops it."""

    def __init__(self, block: Block) -> None:
        self._block = block

    async def on_get(self, req: Request, resp: Response) -> None:
        """Return the status."""
        is_draining = self._block.is_draining
        resp.status = 503 if is_draining else 200
        resp.content_type = _JSON
        resp.set_header("cache-control", "no-store")
        resp.data = orjson.dumps({"status": "draining" if is_draining else "ready", "version": __version__})

    on_head = on_get


class Stats:
    """`GET /llmsim/stats`: the counters of all workers."""

    def __init__(self, block: Block) -> None:
        self._block = block

    async def on_get(self, req: Request, resp: Response) -> None:
        """Return their sums."""
        resp.content_type = _JSON
        resp.set_header("cache-control", "no-store")
        resp.data = await compute_in_thread(self._render)

    def _render(self) -> bytes:
        return orjson.dumps(snapshot(self._block, time.monotonic(), wall=time.time()).as_dict())


class Metrics:
    """`GET /metrics`: the same counters for Prometheus."""

    def __init__(self, block: Block, *, vllm_names: bool) -> None:
        self._block = block
        self._vllm_names = vllm_names

    async def on_get(self, req: Request, resp: Response) -> None:
        """Return them in the text format."""
        resp.content_type = CONTENT_TYPE
        resp.set_header("cache-control", "no-store")
        resp.data = await compute_in_thread(self._render)

    on_head = on_get

    def _render(self) -> bytes:
        return render_metrics(
            read_totals(self._block, time.monotonic()),
            version=__version__,
            is_draining=self._block.is_draining,
            vllm_names=self._vllm_names,
        )
