"""The HTTP protocol on a transport of the test's: input in any pieces, and when it reads on."""

import asyncio
import gc
import weakref
from types import SimpleNamespace
from typing import Any

import pytest
import uvicorn
from uvicorn.server import ServerState

from llmsim.config import Settings
from llmsim.server.replies import EncodedReply
from llmsim.server.transport import connection, protocols
from llmsim.server.transport.bodies import PROBLEM
from llmsim.server.transport.body_budget import BodyBudget
from llmsim.server.transport.cycle import Cycle
from llmsim.server.transport.protocol import Protocol
from llmsim.server.transport.websocket_protocol import WebSocketProtocol

BODY = b'{"a": "GET /smuggled HTTP/1.1\\r\\n\\r\\n"}'
HEAD = b"POST /a?b=c HTTP/1.1\r\nhost: x\r\n%bcontent-length: %d\r\n\r\n"
OFFER = b"connection: Upgrade, HTTP2-Settings\r\nupgrade: h2c\r\nhttp2-settings: AA\r\n"


class Transport:
    """A connection that remembers what is done to it."""

    def __init__(self) -> None:
        self.written = b""
        self.reads = True
        self.closed = False

    def write(self, data: bytes) -> None:
        """Remember."""
        self.written += data

    def close(self) -> None:
        """Close."""
        self.closed = True

    def is_closing(self) -> bool:
        """Return whether it is closed."""
        return self.closed

    def pause_reading(self) -> None:
        """Read no more."""
        self.reads = False

    def resume_reading(self) -> None:
        """Read on."""
        self.reads = True

    def can_write_eof(self) -> bool:
        """Return that it cannot."""
        return False

    def get_extra_info(self, _: str, default: Any = None) -> Any:
        """Return nothing."""
        return default


class Connection:
    """One connection to an application that keeps the bodies of its requests, and answers when it may."""

    def __init__(self, max_bodies: int = 2**20) -> None:
        self.reads_body = True
        self.requests: list[tuple[str, dict[bytes, bytes], bytes]] = []
        self.may_answer = asyncio.Event()
        self.bodies = BodyBudget(max_bodies, 60)
        settings = Settings()
        application = self.answer
        holder = SimpleNamespace(
            settings=settings,
            bodies=self.bodies,
            reject=lambda error, path, headers: EncodedReply(error.status, b"", path),
        )
        config = uvicorn.Config(application, log_config=None, lifespan="off", interface="asgi3")
        config.load()
        config.app = holder  # type: ignore[assignment]
        self.transport = Transport()
        self.protocol = Protocol(config, ServerState(), {}, asyncio.get_running_loop())
        self.protocol.connection_made(self.transport)  # type: ignore[arg-type]

    async def answer(self, scope: Any, receive: Any, send: Any) -> None:
        """Read a request to its end, and answer."""
        body = b""
        while self.reads_body and (event := await receive())["type"] == "http.request":
            body += event["body"]
            if not event["more_body"]:
                break
        self.requests.append((scope["path"], dict(scope["headers"]), body))
        await self.may_answer.wait()
        await send({"type": "http.response.start", "status": 204, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    async def settle(self) -> None:
        """Let all tasks go on as far as they can."""
        for _ in range(20):
            await asyncio.sleep(0)


@pytest.mark.parametrize("offer", [b"", OFFER, b"connection: upgrade, close\r\nupgrade: x\r\n"])
async def test_a_request_may_be_cut_anywhere(offer: bytes) -> None:
    """TRAN-3.1: Two requests in two pieces, cut at every place, are the same two requests."""
    whole = HEAD % (b"", len(BODY)) + BODY + HEAD % (offer, len(BODY)) + BODY
    for cut in range(len(whole)):
        line = Connection()
        line.may_answer.set()
        for piece in (whole[:cut], whole[cut:]):
            if piece:
                line.protocol.data_received(piece)
            await line.settle()

        assert [(path, body) for path, _, body in line.requests] == [("/a", BODY)] * 2, cut
        assert b"upgrade" not in line.requests[1][1]
        assert line.transport.written.count(b"HTTP/1.1 204") == 2
        assert line.transport.closed == (b"close" in offer)
        line.protocol.connection_lost(None)


async def test_a_request_in_progress_holds_what_it_uses() -> None:
    """TRAN-1.18: A connection has no more attributes than Python keeps without a dict of its own, and no queue; a request has slots."""
    line = Connection()
    line.protocol.data_received(HEAD % (b"", len(BODY)) + BODY)
    await line.settle()

    assert len(vars(line.protocol)) <= 30
    assert len(line.protocol.pipeline) == 0
    assert type(line.protocol.cycle) is Cycle
    assert vars(line.protocol.cycle) == {}
    line.protocol.connection_lost(None)


async def test_a_waiting_request_stops_reading() -> None:
    """TRAN-1.4: Nothing is read while a request waits for the response before it, whatever the first one does."""
    line = Connection()
    line.protocol.data_received((HEAD % (b"", len(BODY)) + BODY) * 2)
    await line.settle()
    assert not line.transport.reads
    line.protocol.flow.resume_reading()
    assert not line.transport.reads

    line.may_answer.set()
    await line.settle()

    assert line.transport.reads
    assert len(line.requests) == 2
    line.protocol.connection_lost(None)


async def test_a_client_that_does_not_read_stops_reading() -> None:
    """TRAN-1.4: What was paused stays so while writing is paused."""
    line = Connection()
    line.protocol.pause_writing()
    line.protocol.flow.pause_reading()
    line.protocol.flow.resume_reading()
    assert not line.transport.reads

    line.protocol.resume_writing()

    assert line.transport.reads
    line.protocol.connection_lost(None)


async def test_more_waiting_requests_than_allowed_are_not_read() -> None:
    """TRAN-1.4: The first and as many as may wait are kept; after one more nothing is read, and those kept go on."""
    one = HEAD % (b"", len(BODY)) + BODY
    line = Connection()
    most = Settings().budgets.max_pipelined
    line.protocol.data_received(one * (most + 1))
    line.protocol.data_received(one * 3)

    assert len(line.protocol.pipeline) == most
    assert not line.transport.closed
    line.protocol.connection_lost(None)


async def test_a_disconnect_reaches_the_request_that_is_answered() -> None:
    """TRAN-1.4: Also while others wait behind it, of which uvicorn marks only the last."""
    one = HEAD % (b"", len(BODY)) + BODY
    line = Connection()
    line.protocol.data_received(one * 3)
    first = line.protocol.pipeline[-1][0]
    await line.settle()
    line.may_answer.set()
    await line.settle()
    assert first.response_complete

    line.may_answer.clear()
    line.protocol.data_received(one * 3)
    await line.settle()
    running = line.protocol._earlier
    assert not running.response_complete
    line.protocol.connection_lost(None)

    assert running.disconnected


async def test_large_bodies_are_held_until_the_answer() -> None:
    """TRAN-1.3: A large body counts from its first byte to its answer; a small one does not."""
    line = Connection()
    line.protocol.data_received(HEAD % (b"", 100_000) + b"x" * 60_000)
    assert line.bodies.held == 0
    line.protocol.data_received(b"x" * 40_000)
    await line.settle()
    assert line.bodies.held == 100_000

    line.may_answer.set()
    await line.settle()

    assert line.bodies.held == 0
    assert len(line.requests[0][2]) == 100_000
    line.protocol.data_received(HEAD % (b"", 100_000) + b"x" * 80_000)
    assert line.bodies.held == 100_000
    line.protocol.connection_lost(None)
    assert line.bodies.held == 0


async def test_a_body_without_length_reserves_the_largest() -> None:
    """TRAN-1.11: Until it is complete."""
    line = Connection(max_bodies=100 * 2**20)
    line.protocol.data_received(b"POST / HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n")
    chunk = b"11170\r\n" + b"x" * 70_000 + b"\r\n"
    line.protocol.data_received(chunk)
    assert line.bodies.held == Settings().server.max_body_bytes
    line.protocol.data_received(chunk + b"0\r\n\r\n")

    assert line.bodies.held == 140_000
    line.protocol.connection_lost(None)


async def test_an_early_answer_releases_the_body() -> None:
    """TRAN-1.3: A request that is refused before its body is read holds nothing, and the rest of it is read on."""
    line = Connection(max_bodies=100)
    line.reads_body = False
    line.bodies.hold(object(), 1, 1000)  # type: ignore[arg-type]
    line.protocol.data_received(HEAD % (b"", 100_000) + b"x" * 80_000)
    await line.settle()
    assert line.bodies.held == 1000 + 80_000
    assert not line.transport.reads

    line.may_answer.set()
    await line.settle()

    assert line.bodies.held == 1000
    assert line.transport.reads
    line.protocol.data_received(b"x" * 20_000)
    assert line.bodies.held == 1000
    line.protocol.connection_lost(None)


async def test_an_early_answer_is_read_before_the_connection_closes() -> None:
    """TRAN-1.17: What is left of the request is read and discarded, so that the answer is not lost by a reset."""
    line = Connection()
    line.reads_body = False
    line.protocol.data_received(HEAD % (b"connection: close\r\n", 100_000) + b"x" * 80_000)
    line.may_answer.set()
    await line.settle()

    assert line.transport.written.count(b"connection: close") == 1
    assert not line.transport.closed
    assert line.transport.reads
    line.protocol.data_received(b"x" * 30_000)
    await line.settle()
    assert len(line.requests) == 1
    line.protocol.connection_lost(None)


async def test_trailers_are_no_headers() -> None:
    """TRAN-1.15: What follows a chunked body is in no request's headers, in one piece or in two."""
    head = b"POST /a HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n"
    whole = head + b"2\r\n{}\r\n0\r\nx-llmsim-fault: 500\r\nauthorization: Bearer x\r\n\r\n"
    for cut in (len(head), len(head) + 9, len(whole)):
        line = Connection()
        line.may_answer.set()
        for piece in filter(None, (whole[:cut], whole[cut:])):
            line.protocol.data_received(piece)
            await line.settle()

        assert line.requests == [("/a", {b"host": b"x", b"transfer-encoding": b"chunked"}, b"{}")]
        line.protocol.connection_lost(None)


async def test_an_error_in_a_target_has_its_path() -> None:
    """TRAN-1.8: The path is known even if its characters are not those of a path."""
    line = Connection()
    line.protocol.data_received(b"GET /anthropic/v1/\xf0\x9f HTTP/1.1\r\n\r\n")

    assert line.transport.written.endswith(b"/anthropic/v1/\xf0\x9f")
    line.protocol.connection_lost(None)


async def test_the_last_answer_closes_the_connection() -> None:
    """TRAN-1.17: Once the request was read to its end, the connection is closed at once."""
    line = Connection()
    line.may_answer.set()
    whole = HEAD % (b"connection: close\r\n", len(BODY)) + BODY
    for piece in (whole[:-9], whole[-9:]):
        line.protocol.data_received(piece)
        await line.settle()

    assert line.requests[0][2] == BODY
    assert line.transport.written.count(b"connection: close") == 1
    assert line.transport.closed
    line.protocol.connection_lost(None)


async def test_the_deadline_counts_what_the_client_may_use(monkeypatch: pytest.MonkeyPatch) -> None:
    """TRAN-1.6, TRAN-1.12: The time of a wait is not the client's; the wait itself ends with 503."""
    now = 1000.0
    line = Connection(max_bodies=100)
    other: Any = object()
    line.bodies.hold(other, 1, 1000)
    monkeypatch.setattr(line.protocol.loop, "time", lambda: now)
    line.protocol.data_received(HEAD % (b"", 100_000) + b"x" * 80_000)
    await line.settle()
    scope = line.protocol.cycle.scope
    now += 100
    line.protocol._expire_body()
    assert PROBLEM not in scope

    line.bodies.release(other)
    assert line.transport.reads
    now += 50
    line.protocol._expire_body()
    assert PROBLEM not in scope
    now += 11
    line.protocol._expire_body()

    assert scope[PROBLEM][0] == 408
    line.protocol.connection_lost(None)

    line = Connection(max_bodies=100)
    line.bodies.hold(other, 1, 1000)
    monkeypatch.setattr(line.protocol.loop, "time", lambda: now)
    line.protocol.data_received(HEAD % (b"", 100_000) + b"x" * 80_000)
    await line.settle()
    scope = line.protocol.cycle.scope
    now += 121
    line.protocol._expire_body()

    assert scope[PROBLEM][0] == 503
    line.protocol.connection_lost(None)


@pytest.mark.parametrize("is_trailer", [False, True])
async def test_headers_that_come_at_once_are_bounded(is_trailer: bool) -> None:
    """TRAN-1.1, TRAN-1.2: Of twenty thousand headers of one piece, those are kept that show that they are too many."""
    line = Connection()
    line.may_answer.set()
    begun = b"POST /a HTTP/1.1\r\ntransfer-encoding: chunked\r\n" + b"\r\n0\r\n" * is_trailer
    line.protocol.data_received(begun + b"".join(b"x%d: a\r\n" % number for number in range(20_000)))
    await line.settle()

    assert len(line.protocol.headers) == 401
    problem = line.protocol.cycle.scope[PROBLEM] if is_trailer else (431, line.transport.written)
    assert problem[0] == 431
    assert is_trailer or line.transport.written.startswith(b"HTTP/1.1 431")


@pytest.mark.parametrize("sent", [HEAD % (b"", len(BODY)) + BODY, HEAD % (b"", 9), b"G", b"\x00"])
async def test_a_connection_is_freed_at_its_end(sent: bytes) -> None:
    """TRAN-1.14: Without a collection of garbage, whatever came over it."""
    line = Connection()
    line.may_answer.set()
    line.protocol.data_received(sent)
    await line.settle()
    freed = weakref.ref(line.protocol)
    gc.disable()
    try:
        line.protocol.connection_lost(None)
        await line.settle()
        del line.protocol
        assert freed() is None
    finally:
        gc.enable()


async def test_a_connection_whose_requests_wait_is_freed_at_its_end() -> None:
    """TRAN-1.14: Those that were never begun lead to the connection no longer."""
    line = Connection()
    line.protocol.data_received((HEAD % (b"", len(BODY)) + BODY) * 4)
    await line.settle()
    assert len(line.protocol.pipeline) == 3
    freed = weakref.ref(line.protocol)
    gc.disable()
    try:
        line.protocol.connection_lost(None)
        line.may_answer.set()
        await line.settle()
        del line.protocol
        assert freed() is None
    finally:
        gc.enable()
    assert len(line.requests) == 1


async def test_a_request_that_is_under_way_when_a_drain_begins_is_answered() -> None:
    """ARCH-3.4: Its client could not know that its idle connection would be closed."""
    line = Connection()
    line.may_answer.set()
    request = HEAD % (b"", len(BODY)) + BODY
    line.protocol.data_received(request)
    await line.settle()
    line.protocol.shutdown()
    assert not line.transport.closed

    line.protocol.data_received(request)
    await line.settle()

    assert line.transport.written.count(b"HTTP/1.1 204") == 2
    assert b"connection: close" in line.transport.written
    assert line.transport.closed
    line.protocol.connection_lost(None)


def test_the_installed_uvicorn_fits() -> None:
    """TRAN-1.10: The budgets hold on the uvicorn of this environment."""
    assert protocols.choose_protocols() == (Protocol, WebSocketProtocol, None)


@pytest.mark.parametrize("reason", [["pipeline"], TypeError("no such argument")])
def test_a_uvicorn_that_does_not_fit_is_named(reason: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """TRAN-1.10: Plain uvicorn serves, and the settings without effect are named."""

    def missing() -> list[str]:
        if isinstance(reason, Exception):
            raise reason
        return reason  # type: ignore[no-any-return]

    monkeypatch.setattr(connection, "missing_attributes", missing)
    http, websocket, problem = protocols.choose_protocols()

    assert (http, websocket) == ("httptools", "websockets-sansio")
    assert problem is not None
    assert set(protocols.BUDGETS) < set(Settings().budgets.__struct_fields__)
    assert all(f"budgets.{name}" in problem for name in protocols.BUDGETS)
    assert str(reason).strip("[]'") in problem
