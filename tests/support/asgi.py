"""llmsim driven in this process: an ASGI client with a script for what it sends and when it hangs up."""

import asyncio
import contextlib
import functools
import json
import tempfile
import time
from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

from llmsim.catalogue import load_catalogue
from llmsim.config import (
    AdminSettings,
    ErrorSettings,
    LatencySettings,
    ModelSettings,
    ResponseSettings,
    ScriptSettings,
    ServerSettings,
    Settings,
)
from llmsim.planning.planner import Planner
from llmsim.providers.registry import endpoint_labels
from llmsim.server.asgi import Application
from llmsim.stats import Block, Snapshot, snapshot

CREATED = 1_750_000_000
"""Unix time, in seconds, at which all turns are planned."""

WANTED = {"anthropic-version": "2023-06-01"}
"""Headers that some provider asks for; the others ignore them."""


class Exchange:
    """One request and what came back.

    Attributes:
        status: HTTP status; 0 while no head was sent.
        headers: By name, in lower case.
        started: `time.monotonic()` when the head came, in seconds.
        parts: What came of the body, and when.
        whole: Whether the body came to its end.
        hung_up: Set it to hang up.
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
        """All that came of the body."""
        return b"".join(data for _, data in self.parts)

    @property
    def json(self) -> Any:
        """The body as JSON."""
        return json.loads(self.body)

    async def send(self, message: Mapping[str, Any]) -> None:
        """Take what the application sends; nothing more once the client is gone, and nobody is told."""
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
    """An application as one worker has it, with counters of its own."""

    def __init__(self, application: Application) -> None:
        self.application = application
        self.block = Block.private(endpoints=endpoint_labels(), slots=2, now=time.monotonic())
        application.start(self.block, self.block.claim(1))

    @property
    def planner(self) -> Planner:
        """The planner of the application, for tests that break it."""
        return self.application._planner

    def stats(self) -> Snapshot:
        """Tell what was counted."""
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
    ) -> tuple["asyncio.Task[None]", Exchange]:
        """Send a request, and give the running call and what comes back.

        Args:
            method: HTTP method.
            path: As the server decodes it.
            body: Its parts, as they come in.
            headers: By name; `content-length` is not made up. An empty value takes one of `WANTED` away.
            query: Without the question mark.
            complete: Whether the last part of the body is the last; if not, more is announced and never comes.
        """
        exchange = Exchange()
        parts = list(body)
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
            "client": ("127.0.0.1", 50000),
        }
        call = self.application(scope, receive, exchange.send)
        return asyncio.ensure_future(call), exchange

    async def ask(self, method: str, path: str, body: bytes = b"", **options: Any) -> Exchange:
        """Send a whole request, and wait for all of the response."""
        headers = {"content-length": str(len(body))} if body else {}
        headers |= options.pop("headers", {})
        call, exchange = self.begin(method, path, [body], headers=headers, **options)
        await asyncio.wait_for(call, 20)
        # What was cancelled at the end is let go of.
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
    scripts: Mapping[str, Any] | None = None,
    admin: Mapping[str, Any] | None = None,
    available: tuple[str, ...] = (),
    **response: Any,
) -> Settings:
    """Make settings: `instant` where nothing is said of latency, and files in a directory of the tests' own."""
    return Settings(
        server=ServerSettings(**({"run_dir": _run_dir().name} | dict(server or {}))),
        latency=LatencySettings(**dict(latency or {"profile": "instant"})),
        response=ResponseSettings(**response),
        errors=ErrorSettings(**dict(errors or {})),
        models=ModelSettings(available=available),
        scripts=ScriptSettings(**dict(scripts or {})),
        admin=AdminSettings(**dict(admin or {})),
    )


def simulator(**tables: Any) -> Simulator:
    """Start a worker inside the running loop, by settings as `settings_of` takes them.

    Workers of the same settings share what a fork shares; their numbers go on where the last test left them.
    """
    return Simulator(_application(settings_of(**tables)))


def twin(settings: Settings, tickets: Any) -> Planner:
    """Make a planner that plans what a worker of these settings plans."""
    return Planner(settings, load_catalogue(), tickets, lambda: CREATED + 0.5)


@contextlib.contextmanager
def broken(owner: Any, name: str, error: BaseException) -> Any:
    """Have `owner.name` raise `error` when it is called."""
    whole = getattr(owner, name)

    def fail(*_: Any, **__: Any) -> None:
        raise error

    if isinstance(owner, msgspec.Struct):
        msgspec.structs.force_setattr(owner, name, fail)
    else:
        setattr(owner, name, fail)
    try:
        yield
    finally:
        if isinstance(owner, msgspec.Struct):
            msgspec.structs.force_setattr(owner, name, whole)
        else:
            setattr(owner, name, whole)
