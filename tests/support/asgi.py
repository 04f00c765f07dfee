"""Run the application in this process: an ASGI client that decides what it sends and when it hangs up."""

import asyncio
import contextlib
import functools
import json
import socket
import tempfile
import time
from collections.abc import AsyncIterator, Iterable, Mapping
from typing import Any

import msgspec
import uvicorn

from llmsim.catalogue import load_catalogue
from llmsim.config import (
    AdminSettings,
    AuthSettings,
    ErrorSettings,
    FaultSettings,
    FileSettings,
    LatencySettings,
    LimitSettings,
    ModelSettings,
    ResponseSettings,
    ScriptSettings,
    ServerSettings,
    Settings,
    ToolSettings,
)
from llmsim.planning.planner import Planner
from llmsim.providers.registry import endpoint_labels
from llmsim.providers.resource_routes import resource_labels
from llmsim.server.asgi import Application
from llmsim.server.transport.protocol import Protocol
from llmsim.server.transport.websocket_protocol import WebSocketProtocol
from llmsim.stats import Block, Snapshot, snapshot
from support.gemini_dialect import routed

CREATED = 1_750_000_000
"""Unix time, in seconds, at which all turns are planned."""

WANTED = {"host": "127.0.0.1:8080", "anthropic-version": "2023-06-01"}
"""Headers that HTTP or a provider requires; the others ignore them."""


class Exchange:
    """One request and its response.

    Attributes:
        status: HTTP status; 0 while no head was sent.
        headers: By name, in lower case.
        started: `time.monotonic()` when the head arrived, in seconds.
        parts: Instant and bytes of each part of the body.
        whole: Whether the body is complete.
        hung_up: Set it to hang up.
        arrived: Set when the first part of the body arrives.
    """

    def __init__(self) -> None:
        self.status = 0
        self.headers: dict[str, str] = {}
        self.started = 0.0
        self.parts: list[tuple[float, bytes]] = []
        self.whole = False
        self.hung_up = asyncio.Event()
        self.arrived = asyncio.Event()

    @property
    def body(self) -> bytes:
        """All bytes of the body received so far."""
        return b"".join(data for _, data in self.parts)

    @property
    def json(self) -> Any:
        """The body as JSON."""
        return json.loads(self.body)

    async def send(self, message: Mapping[str, Any]) -> None:
        """Receive a message of the application; drop it silently once the client hung up."""
        if self.hung_up.is_set():
            return
        if message["type"] == "http.response.start":
            assert self.status == 0
            self.status = message["status"]
            self.headers = {name.decode(): value.decode("latin-1") for name, value in message["headers"]}
            self.started = time.monotonic()
            return
        assert message["type"] == "http.response.body"
        assert self.status
        assert not self.whole
        if data := message.get("body", b""):
            self.parts.append((time.monotonic(), bytes(data)))
            self.arrived.set()
        self.whole = not message.get("more_body", False)


class Simulator:
    """The application of one worker, with counters of its own."""

    def __init__(self, application: Application) -> None:
        self.application = application
        self.block = Block.private(
            endpoints=endpoint_labels(), resources=resource_labels(), slots=2, now=time.monotonic()
        )
        application.start(self.block, self.block.claim(1))

    @property
    def planner(self) -> Planner:
        """The planner of the application, for tests that break it."""
        return self.application._planner

    def stats(self) -> Snapshot:
        """Return the counters."""
        return snapshot(self.block, time.monotonic())

    def begin(
        self,
        method: str,
        path: str,
        body: Iterable[bytes] = (b"",),
        *,
        headers: Mapping[str, str] | None = None,
        query: str = "",
        complete: bool = True,
        client: tuple[str, int] | None = ("127.0.0.1", 50000),
    ) -> tuple["asyncio.Task[None]", Exchange]:
        """Send a request; return the running call and its exchange.

        Args:
            method: HTTP method.
            path: Decoded, as a server passes it on.
            body: Its parts, in order.
            headers: By name; `content-length` is not added. An empty value removes one of `WANTED`.
            query: Without the question mark.
            complete: Whether the body ends with its last part; if not, more is announced and never sent.
            client: Address of the peer.
        """
        exchange = Exchange()
        parts = list(body)
        if "{model}:" in path:
            path, query, whole = routed(path, b"".join(parts))
            parts = [whole] if complete and parts else parts
        events = [
            {"type": "http.request", "body": part, "more_body": index < len(parts) - 1 or not complete}
            for index, part in enumerate(parts)
        ]

        async def receive() -> dict[str, Any]:
            if events:
                return events.pop(0)
            await exchange.hung_up.wait()
            return {"type": "http.disconnect"}

        scope = {
            "type": "http",
            "asgi": {"version": "3.0", "spec_version": "2.4"},
            "http_version": "1.1",
            "method": method,
            "scheme": "http",
            "path": path,
            "raw_path": path.encode("utf-8", "surrogateescape"),
            "query_string": query.encode(),
            "root_path": "",
            "headers": [
                (name.encode(), value.encode())
                for name, value in (WANTED | dict(headers or {})).items()
                if value
            ],
            "server": ("127.0.0.1", 8080),
            "client": client,
        }
        call = self.application(scope, receive, exchange.send)
        return asyncio.ensure_future(call), exchange

    async def ask(self, method: str, path: str, body: bytes = b"", **options: Any) -> Exchange:
        """Send a complete request and wait for the complete response."""
        path, query, body = routed(path, body)
        if query:
            options["query"] = query
        headers = {"content-length": str(len(body))} if body else {}
        headers |= options.pop("headers", {})
        call, exchange = self.begin(method, path, [body], headers=headers, **options)
        await asyncio.wait_for(call, 20)
        # Let tasks that were cancelled at the end finish.
        await asyncio.sleep(0)
        return exchange

    async def post(self, path: str, request: Any) -> Exchange:
        """Post JSON."""
        return await self.ask("POST", path, json.dumps(request).encode())


@functools.cache
def _run_dir() -> "tempfile.TemporaryDirectory[str]":
    return tempfile.TemporaryDirectory(prefix="llmsim-tests-", ignore_cleanup_errors=True)


@functools.cache
def _application(settings: Settings) -> Application:
    application = Application(settings)
    application._planner._clock = lambda: CREATED + 0.5
    return application


def settings_of(
    *,
    server: Mapping[str, Any] | None = None,
    latency: Mapping[str, Any] | None = None,
    errors: Mapping[str, Any] | None = None,
    faults: Mapping[str, Any] | None = None,
    scripts: Mapping[str, Any] | None = None,
    admin: Mapping[str, Any] | None = None,
    auth: Mapping[str, Any] | None = None,
    limits: Mapping[str, Any] | None = None,
    files: Mapping[str, Any] | None = None,
    tools: Mapping[str, Any] | None = None,
    available: tuple[str, ...] = (),
    **response: Any,
) -> Settings:
    """Build settings: latency `instant` by default, and a run directory of this process."""
    return Settings(
        server=ServerSettings(**({"run_dir": _run_dir().name} | dict(server or {}))),
        latency=LatencySettings(**dict(latency or {"profile": "instant"})),
        response=ResponseSettings(**response),
        errors=ErrorSettings(**dict(errors or {})),
        faults=FaultSettings(**dict(faults or {})),
        models=ModelSettings(available=available),
        scripts=ScriptSettings(**dict(scripts or {})),
        admin=AdminSettings(**dict(admin or {})),
        auth=AuthSettings(**dict(auth or {})),
        limits=msgspec.convert(dict(limits or {}), LimitSettings),
        files=FileSettings(**dict(files or {})),
        tools=ToolSettings(**dict(tools or {})),
    )


def simulator(**tables: Any) -> Simulator:
    """Start a worker in the running loop, with settings as `settings_of` takes them.

    Workers of equal settings share what forked workers share; their counters continue from the last test.
    """
    return Simulator(_application(settings_of(**tables)))


def twin(settings: Settings) -> Planner:
    """Build a planner that plans the same turns as a worker of these settings."""
    return Planner(settings, load_catalogue(), lambda: CREATED + 0.5)


@contextlib.asynccontextmanager
async def served(worker: Simulator) -> AsyncIterator[int]:
    """Serve a worker on a port of this machine."""
    config = uvicorn.Config(
        worker.application,
        port=0,
        http=Protocol,
        loop="asyncio",
        lifespan="off",
        log_config=None,
        ws=WebSocketProtocol,
        ws_per_message_deflate=False,
        # As the worker has it: a wrapped application is called by uvicorn's way.
        proxy_headers=False,
    )
    config.load()
    server = uvicorn.Server(config)
    server.lifespan = config.lifespan_class(config)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        await server.startup(sockets=[listener])
        try:
            yield listener.getsockname()[1]
        finally:
            await server.shutdown(sockets=[listener])


@contextlib.contextmanager
def broken(owner: Any, name: str, error: BaseException) -> Any:
    """Make calls of `owner.name` raise `error`."""

    def fail(*_: Any, **__: Any) -> None:
        raise error

    if isinstance(owner, msgspec.Struct):
        whole = getattr(owner, name)
        msgspec.structs.force_setattr(owner, name, fail)
        try:
            yield
        finally:
            msgspec.structs.force_setattr(owner, name, whole)
        return
    whole, is_own = getattr(owner, name), name in vars(owner)
    setattr(owner, name, fail)
    try:
        yield
    finally:
        if is_own:
            setattr(owner, name, whole)
        else:
            # A method that stayed as an attribute would be the original's in all copies of its owner.
            delattr(owner, name)
