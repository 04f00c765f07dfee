"""llmsim's own endpoints: health and stats."""

import time

import orjson
from falcon.asgi import Request, Response

from llmsim import __version__
from llmsim.stats import Block, snapshot


class Health:
    """`GET /health`: the worker answers."""

    _body = orjson.dumps({"status": "ok", "version": __version__})

    async def on_get(self, req: Request, resp: Response) -> None:
        """Say so."""
        resp.content_type = "application/json"
        resp.data = self._body

    on_head = on_get


class Stats:
    """`GET /llmsim/stats`: the counters of all workers."""

    def __init__(self, block: Block) -> None:
        self._block = block

    async def on_get(self, req: Request, resp: Response) -> None:
        """Sum and show them."""
        resp.content_type = "application/json"
        resp.set_header("cache-control", "no-store")
        resp.data = orjson.dumps(snapshot(self._block, time.monotonic(), wall=time.time()).as_dict())
