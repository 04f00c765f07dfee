"""What operators and their tools ask: whether the server answers, whether it is to get requests, and what it has counted.

Decisions:
* Counters are read and rendered in a thread: 1 to 4 ms for which tokens would wait.
* With `scope=all` they are the sums of all hosts that share their state. That is asked for: the sums take round trips.
"""

import time

import orjson
from falcon.asgi import Request, Response
from msgspec.structs import replace

from llmsim import __version__
from llmsim.server.host_publisher import read_fleet
from llmsim.server.worker_context import compute_in_thread
from llmsim.state.host_port import HostStore
from llmsim.stats import Block, render_metrics, snapshot
from llmsim.stats.hosts import Fleet
from llmsim.stats.prometheus import CONTENT_TYPE
from llmsim.stats.totals import read_totals
from llmsim.text import literal

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


def _is_for_all(req: Request, resp: Response, hosts: HostStore | None) -> bool | None:
    """Return whether all hosts are meant; None if the request is refused, with its response."""
    scope = req.get_param("scope")
    if scope in (None, "host"):
        return False
    if scope == "all" and hosts is not None:
        return True
    message = f"scope: {literal(scope or '')} is not one of: host, all"
    if scope == "all":
        message = "scope=all: this host shares its state with no other; the setting state.url names the server that several share"
    resp.status = 400
    resp.content_type = _JSON
    error = {"message": message, "type": "invalid_request", "param": "scope", "code": None}
    resp.data = orjson.dumps({"error": error})
    return None


class Stats:
    """`GET /llmsim/stats`: the counters of all workers, or of all hosts."""

    def __init__(self, block: Block, hosts: HostStore | None = None) -> None:
        self._block = block
        self._hosts = hosts

    async def on_get(self, req: Request, resp: Response) -> None:
        """Return their sums."""
        resp.content_type = _JSON
        resp.set_header("cache-control", "no-store")
        is_for_all = _is_for_all(req, resp, self._hosts)
        if is_for_all is None:
            return
        if is_for_all:
            assert self._hosts is not None
            fleet = await read_fleet(self._hosts)
            resp.data = orjson.dumps(fleet.stats.as_dict())
        else:
            resp.data = await compute_in_thread(self._render)

    def _render(self) -> bytes:
        stats = snapshot(self._block, time.monotonic(), wall=time.time())
        if self._hosts is not None:
            stats = replace(stats, host=self._hosts.host)
        return orjson.dumps(stats.as_dict())


class Metrics:
    """`GET /metrics`: the same counters for Prometheus."""

    def __init__(self, block: Block, hosts: HostStore | None = None, *, vllm_names: bool) -> None:
        self._block = block
        self._hosts = hosts
        self._vllm_names = vllm_names

    async def on_get(self, req: Request, resp: Response) -> None:
        """Return them in the text format."""
        resp.content_type = CONTENT_TYPE
        resp.set_header("cache-control", "no-store")
        is_for_all = _is_for_all(req, resp, self._hosts)
        if is_for_all is None:
            return
        if is_for_all:
            assert self._hosts is not None
            resp.data = await compute_in_thread(self._render_all, await read_fleet(self._hosts))
        else:
            resp.data = await compute_in_thread(self._render)

    on_head = on_get

    def _render(self) -> bytes:
        return render_metrics(
            read_totals(self._block, time.monotonic()),
            version=__version__,
            is_draining=self._block.is_draining,
            vllm_names=self._vllm_names,
        )

    def _render_all(self, fleet: Fleet) -> bytes:
        return render_metrics(
            fleet.totals,
            version=__version__,
            is_draining=not fleet.is_ready,
            vllm_names=self._vllm_names,
            state=fleet.stats.verdict.state,
            hosts=fleet.stats.hosts,
        )
