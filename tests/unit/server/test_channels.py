"""Connections: the direct writer and plain ASGI, under the same tests, on a clock held by hand."""

import asyncio
import logging
import re
import sys
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any, ClassVar

import pytest
from llmsim.server.connections import (
    AsgiConnection,
    Connection,
    DirectConnection,
    connector,
    direct_writes_problem,
)
from llmsim.server.turns import Stream
from support.fakes import Counted, FakeClock, FakeLoop
from support.turns import choice, deviates, passage, turn
from uvicorn.protocols.http import httptools_impl
from uvicorn.protocols.http.flow_control import FlowControl
from uvicorn.protocols.http.httptools_impl import RequestResponseCycle

from llmsim.domain import Schedule, Turn
from llmsim.providers.openai.chat import ChatOptions
from llmsim.providers.openai.chat_rendering import render_stream
from llmsim.server.active_request import ActiveRequest
from llmsim.server.pacing import PacedStream, TimerWheel
from llmsim.stats import Outcome

ARRIVED = 1000.0
PLAIN = ChatOptions(include_obfuscation=False)
STEADY = Schedule(ttft=0.5, itl=0.25)


class FakeTransport:
    """A socket that remembers what was written, and when."""

    def __init__(self, clock: FakeClock) -> None:
        self._clock = clock
        self.writes: list[tuple[float, bytes]] = []
        self.closing = False

    def write(self, data: bytes) -> None:
        """Take bytes."""
        self.writes.append((self._clock.now, data))

    def is_closing(self) -> bool:
        """Tell whether it was closed."""
        return self.closing

    def close(self) -> None:
        """Close it."""
        self.closing = True

    def pause_reading(self) -> None:
        """Nothing is read anyway."""

    def resume_reading(self) -> None:
        """Nothing is read anyway."""


class Line:
    """One request's line, with clock, wheel and counters; the base of both kinds."""

    connection: Connection

    def __init__(self) -> None:
        self.clock = FakeClock(ARRIVED)
        self.loop = FakeLoop(self.clock)
        self.wheel = TimerWheel(self.loop, self.clock)  # type: ignore[arg-type]
        self.counted = Counted(self.clock)

    def hang_up(self) -> None:
        """Let the client go."""
        raise NotImplementedError

    def nudge(self) -> None:
        """Wake whoever waits, for no reason of theirs."""
        raise NotImplementedError

    async def begin(self) -> None:
        """Send the head of the response."""

    async def send(self, data: bytes) -> None:
        """Send a part of the body."""
        raise NotImplementedError

    def sent(self) -> list[tuple[float, bytes]]:
        """Give the parts of the body that left, and when."""
        raise NotImplementedError

    async def settle(self) -> None:
        """Let everything happen that can happen now."""
        for _ in range(10):
            await asyncio.sleep(0)

    async def run_to(self, instant: float) -> None:
        """Let time pass up to `instant`."""
        await self.settle()
        while (armed := self.loop.armed()) and armed[0].when <= instant:
            self.loop.run_to(armed[0].when)
            await self.settle()
        self.clock.now = max(self.clock.now, instant)
        await self.settle()

    async def stream(self, planned: Turn) -> Outcome | None:
        """Serve a streamed answer as the endpoint and Falcon do together."""
        recorder = self.counted.recorder
        visit = ActiveRequest(self.clock.now, self.connection, recorder, 0)
        row = recorder.accepted(planned.model, streaming=True, prompt_tokens=planned.usage.prompt)
        runs = render_stream(planned, PLAIN)
        flight = PacedStream(planned, runs, arrived=visit.arrived, recorder=recorder, row=row)
        error = None
        try:
            if await self.connection.until(flight.due):
                await self.begin()
                async for data in Stream(visit, flight):
                    await self.send(data)
            else:
                visit.outcome = Outcome.ABANDONED
        except RuntimeError as failure:
            error = failure
        visit.close(error)
        return visit.outcome


class AsgiLine(Line):
    """A line over plain ASGI."""

    def __init__(self) -> None:
        super().__init__()
        self._events: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self._sent: list[tuple[float, bytes]] = []
        self.connection = AsgiConnection(self._events.get, self.wheel, self.clock)

    def hang_up(self) -> None:
        """See `Line`."""
        self._events.put_nowait({"type": "http.disconnect"})

    def nudge(self) -> None:
        """See `Line`."""
        self._events.put_nowait({"type": "http.request", "body": b"", "more_body": False})

    async def send(self, data: bytes) -> None:
        """See `Line`."""
        self._sent.append((self.clock.now, data))

    def sent(self) -> list[tuple[float, bytes]]:
        """See `Line`."""
        return self._sent


class DirectLine(Line):
    """A line over uvicorn's own protocol, with a transport of ours."""

    def __init__(self, http_version: str = "1.1") -> None:
        super().__init__()
        self.transport = FakeTransport(self.clock)
        self.flow = FlowControl(self.transport)  # type: ignore[arg-type]
        self.cycle = RequestResponseCycle(
            scope={"method": "POST", "http_version": http_version},  # type: ignore[typeddict-item]
            transport=self.transport,  # type: ignore[arg-type]
            flow=self.flow,
            logger=logging.getLogger("uvicorn"),
            access_logger=logging.getLogger("uvicorn"),
            access_log=False,
            default_headers=[],
            message_event=asyncio.Event(),
            expect_100_continue=False,
            keep_alive=True,
            on_response=lambda: None,
        )
        self.connection = DirectConnection(self.cycle, self.cycle.receive, self.wheel, self.clock)

    def hang_up(self) -> None:
        """See `Line`."""
        self.cycle.disconnected = True
        self.cycle.message_event.set()

    def nudge(self) -> None:
        """See `Line`."""
        self.cycle.message_event.set()

    async def begin(self) -> None:
        """See `Line`."""
        await self.cycle.send({"type": "http.response.start", "status": 200, "headers": []})

    async def send(self, data: bytes) -> None:
        """See `Line`."""
        await self.cycle.send({"type": "http.response.body", "body": data, "more_body": True})

    def sent(self) -> list[tuple[float, bytes]]:
        """See `Line`."""
        parts = [(at, data) for at, data in self.transport.writes if not data.startswith(b"HTTP/")]
        return [(at, _unchunked(data)) for at, data in parts]


def _unchunked(data: bytes) -> bytes:
    match = re.fullmatch(rb"([0-9a-f]+)\r\n(.*)\r\n", data, re.DOTALL)
    assert match is not None
    assert int(match[1], 16) == len(match[2])
    return match[2]


@pytest.fixture(params=[AsgiLine, DirectLine], ids=["asgi", "direct"])
async def line(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Line:
    made: Line = request.param()
    hold_time(made, monkeypatch)
    return made


def hold_time(made: Line, monkeypatch: pytest.MonkeyPatch) -> None:
    for room in ("turns", "active_request"):
        monkeypatch.setattr(f"llmsim.server.{room}.time", SimpleNamespace(monotonic=made.clock))


def planned(*pieces: str, schedule: Schedule = STEADY) -> Turn:
    return turn(choice(passage(*pieces)), schedule=schedule)


class TestUntil:
    """Waiting for an instant."""

    async def test_the_instant_is_waited_for(self, line: Line) -> None:
        """LAT-3.1: Waiting ends at the instant, not before, with the client still there."""
        waiting = asyncio.ensure_future(line.connection.until(ARRIVED + 0.5))
        await line.run_to(ARRIVED + 0.499)
        assert not waiting.done()

        await line.run_to(ARRIVED + 0.502)
        assert await waiting is True
        line.connection.close()

    async def test_a_past_instant_is_not_waited_for(self, line: Line) -> None:
        """LAT-3.1: What is due already is not waited for."""
        assert await line.connection.until(ARRIVED) is True
        assert await line.connection.until(ARRIVED - 1) is True

    async def test_a_hang_up_ends_the_wait_at_once(self, line: Line) -> None:
        """LAT-3.4: A hang-up before the instant is told when it happens, without waiting on."""
        waiting = asyncio.ensure_future(line.connection.until(ARRIVED + 600))
        await line.run_to(ARRIVED + 0.01)
        line.hang_up()
        await line.settle()

        assert waiting.done()
        assert await waiting is False
        assert line.connection.gone
        line.connection.close()

    async def test_who_was_gone_before_is_not_waited_for(self, line: Line) -> None:
        """LAT-3.4: A client that hung up before anyone waited is noticed all the same."""
        line.hang_up()
        waiting = asyncio.ensure_future(line.connection.until(ARRIVED + 600))
        await line.settle()

        assert await waiting is False
        line.connection.close()

    async def test_other_events_do_not_end_the_wait(self, line: Line) -> None:
        """LAT-3.1: Whatever else wakes the waiting, it goes on until the instant."""
        waiting = asyncio.ensure_future(line.connection.until(ARRIVED + 0.5))
        for _ in range(3):
            await line.settle()
            line.nudge()
        await line.settle()
        assert not waiting.done()

        await line.run_to(ARRIVED + 0.502)
        assert await waiting is True
        line.connection.close()

    async def test_waits_may_follow_each_other(self, line: Line) -> None:
        """LAT-3.2: One line waits for many instants, and none is mistaken for another."""
        for millis in (100, 250, 300, 700):
            waiting = asyncio.ensure_future(line.connection.until(ARRIVED + millis / 1000))
            await line.run_to(ARRIVED + millis / 1000 - 0.001)
            assert not waiting.done()
            await line.run_to(ARRIVED + millis / 1000 + 0.001)
            assert await waiting is True
        line.connection.close()


class TestStreams:
    """Streams from end to end."""

    async def test_every_event_leaves_when_it_is_due(self, line: Line) -> None:
        """LAT-3.5: Over either line, events leave at their instants, each in one write with its neighbours."""
        streaming = asyncio.ensure_future(line.stream(planned("a", "b", "c")))
        await line.run_to(ARRIVED + 2.0)

        assert await streaming is Outcome.FINISHED
        assert [round(at - ARRIVED, 2) for at, _ in line.sent()] == [0.5, 0.75, 1.0]
        assert all(at >= ARRIVED + due for (at, _), due in zip(line.sent(), (0.5, 0.75, 1.0), strict=True))
        assert [data.count(b"data: ") for _, data in line.sent()] == [2, 1, 3]

    async def test_both_lines_send_the_same_bytes(self, line: Line) -> None:
        """LAT-3.5: What arrives is what was rendered, whichever line it takes."""
        spoken = planned(*"Hello!", schedule=Schedule(0.1, 0.01, 0.01, deviates(0.5, -2.0, 1.0, 0.0), 1, 3))
        streaming = asyncio.ensure_future(line.stream(spoken))
        await line.run_to(ARRIVED + 1.0)
        await streaming

        rendered = b"".join(run.data(0, len(run.required_tokens)) for run in render_stream(spoken, PLAIN))
        assert b"".join(data for _, data in line.sent()) == rendered

    async def test_what_exists_at_once_leaves_at_once(self, line: Line) -> None:
        """LAT-3.3: Without latency the whole answer leaves without any timer, in writes of at most 256 frames."""
        streaming = asyncio.ensure_future(line.stream(planned(*["w"] * 1000, schedule=Schedule(0.0, 0.0))))
        await line.run_to(ARRIVED + 0.01)

        assert await streaming is Outcome.FINISHED
        assert [data.count(b'"content":"w"') for _, data in line.sent()] == [256, 256, 256, 232]

    async def test_a_stall_sends_everything_due_together(self, line: Line) -> None:
        """LAT-3.2: After a stall of the worker everything due leaves in one write, and the rest on time."""
        streaming = asyncio.ensure_future(line.stream(planned("a", "b", "c", "d", "e")))
        await line.run_to(ARRIVED + 0.51)
        line.clock.now = ARRIVED + 1.3
        await line.run_to(ARRIVED + 3.0)

        assert await streaming is Outcome.FINISHED
        assert [(round(at - ARRIVED, 2), data.count(b'"content":"')) for at, data in line.sent()] == [
            (0.5, 2),
            (1.3, 3),
            (1.5, 1),
        ]

    async def test_a_hang_up_before_the_first_token_sends_nothing(self, line: Line) -> None:
        """LAT-3.4: The request ends at once, abandoned, and nothing is left in flight."""
        streaming = asyncio.ensure_future(line.stream(planned("a", "b")))
        await line.run_to(ARRIVED + 0.2)
        line.hang_up()
        await line.settle()

        assert streaming.done()
        assert await streaming is Outcome.ABANDONED
        stats = line.counted.read()
        assert (stats.abandoned_requests, stats.active_requests, stats.completion_tokens) == (1, 0, 0)
        assert line.sent() == []

    async def test_a_hang_up_in_mid_stream_ends_it(self, line: Line) -> None:
        """LAT-3.4: So it does between two tokens; what had left is counted and nothing more is sent."""
        streaming = asyncio.ensure_future(line.stream(planned("a", "b", "c", "d")))
        await line.run_to(ARRIVED + 0.8)
        line.hang_up()
        await line.settle()
        assert streaming.done()
        assert await streaming is Outcome.ABANDONED

        await line.run_to(ARRIVED + 5.0)
        stats = line.counted.read()
        assert (stats.abandoned_requests, stats.active_requests, stats.completion_tokens) == (1, 0, 2)
        assert len(line.sent()) == 2

    async def test_a_finished_stream_is_counted_as_sent(self, line: Line) -> None:
        """LAT-3.7: TTFT, gaps and lateness are counted over either line."""
        streaming = asyncio.ensure_future(line.stream(planned("a", "b", "c")))
        await line.run_to(ARRIVED + 2.0)
        await streaming

        stats = line.counted.read()
        assert (stats.finished_requests, stats.active_requests, stats.completion_tokens) == (1, 0, 3)
        assert stats.latency.ttft_ms.mean == pytest.approx(500, abs=2.1)
        assert stats.latency.inter_token_ms.count == 2
        assert stats.latency.lateness_ms.max <= 2.1  # type: ignore[operator]
        assert stats.latency.end_to_end_ms.mean == pytest.approx(1000, abs=2.1)

    async def test_a_bug_in_mid_stream_ends_the_stream(
        self, line: Line, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """ARCH-1.5: A bug while a token is due costs the stream its end, once, and no other stream anything."""
        take = PacedStream.take

        def failing(flight: PacedStream, now: float) -> bytes:
            if now > ARRIVED + 0.6:
                raise RuntimeError("boom")
            return take(flight, now)

        monkeypatch.setattr(PacedStream, "take", failing)
        streaming = asyncio.ensure_future(line.stream(planned("a", "b", "c")))
        await line.run_to(ARRIVED + 2.0)
        if not streaming.done():
            streaming.cancel()
            pytest.fail("the stream hangs")

        stats = line.counted.read()
        assert (stats.failed_requests, stats.active_requests) == (1, 0)

    async def test_a_closed_line_is_left_alone(self, line: Line) -> None:
        """ARCH-1.4: What the wheel still holds for a request that has ended does nothing."""
        waiting = asyncio.ensure_future(line.connection.until(ARRIVED + 0.5))
        await line.run_to(ARRIVED + 0.1)
        waiting.cancel()
        line.connection.close()
        await line.run_to(ARRIVED + 1.0)

        assert line.sent() == []
        assert line.loop.armed() == []


class TestDirect:
    """What only the direct writer does."""

    async def test_a_slow_reader_is_sent_what_fell_due_together(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """LAT-3.6: While the reader does not read nothing is written; then all that fell due, together."""
        line = DirectLine()
        hold_time(line, monkeypatch)
        streaming = asyncio.ensure_future(line.stream(planned("a", "b", "c", "d", "e", "f")))
        await line.run_to(ARRIVED + 0.8)
        line.flow.pause_writing()
        await line.run_to(ARRIVED + 1.6)
        assert len(line.sent()) == 2

        line.flow.resume_writing()
        await line.run_to(ARRIVED + 3.0)
        assert await streaming is Outcome.FINISHED
        assert [data.count(b'"content":"') for _, data in line.sent()] == [2, 1, 3, 1]
        assert line.sent()[2][0] <= ARRIVED + 1.6 + 0.022

    async def test_a_reader_that_never_reads_is_never_buffered_for(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """ARCH-4.5: However long it does not read, the server holds no further write for it."""
        line = DirectLine()
        hold_time(line, monkeypatch)
        streaming = asyncio.ensure_future(line.stream(planned(*["w"] * 50)))
        await line.run_to(ARRIVED + 0.51)
        line.flow.pause_writing()
        await line.run_to(ARRIVED + 60.0)
        assert len(line.sent()) == 1

        line.hang_up()
        await line.settle()
        assert await streaming is Outcome.ABANDONED

    async def test_without_chunks_the_server_writes(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """LAT-3.5: Where the response is not chunked, the events take the plain way, as punctually."""
        line = DirectLine()
        hold_time(line, monkeypatch)
        length = sum(
            len(run.data(0, len(run.required_tokens))) for run in render_stream(planned("a", "b"), PLAIN)
        )

        async def begin() -> None:
            headers = [(b"content-length", b"%d" % length)]
            await line.cycle.send({"type": "http.response.start", "status": 200, "headers": headers})

        monkeypatch.setattr(line, "begin", begin)
        streaming = asyncio.ensure_future(line.stream(planned("a", "b")))
        await line.run_to(ARRIVED + 2.0)

        assert await streaming is Outcome.FINISHED
        body = [(at, data) for at, data in line.transport.writes if not data.startswith(b"HTTP/")]
        assert [round(at - ARRIVED, 2) for at, _ in body] == [0.5, 0.75]
        assert sum(len(data) for _, data in body) == length

    async def test_a_closing_transport_is_a_hang_up(self) -> None:
        """LAT-3.4: A transport that is closing, for whatever reason, has no client any more."""
        line = DirectLine()
        line.transport.close()

        assert line.connection.gone
        assert await line.connection.until(ARRIVED) is False

    async def test_dropping_hangs_up(self) -> None:
        """ARCH-3.4: When the drain runs out, the line is cut, and uvicorn is told that it is."""
        line = DirectLine()

        assert line.connection.drop() is True
        assert line.transport.closing
        assert line.connection.gone

    async def test_plain_asgi_leaves_dropping_to_the_server(self) -> None:
        """ARCH-3.4: Plain ASGI has no way to hang up but to raise."""
        assert AsgiLine().connection.drop() is False


class TestFeatureTest:
    """Whether the installed uvicorn will do."""

    def test_the_installed_uvicorn_will_do(self) -> None:
        """LAT-3.5: With the uvicorn that is installed, direct writes work."""
        assert direct_writes_problem() is None

    @pytest.mark.parametrize(
        "name", ["transport", "disconnected", "message_event", "chunked_encoding", "flow"]
    )
    def test_a_missing_attribute_is_named(self, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
        """LAT-3.5: Where an attribute is gone, the problem names it."""

        class Changed(RequestResponseCycle):
            def __init__(self, **arguments: Any) -> None:
                super().__init__(**arguments)
                delattr(self, name)

        monkeypatch.setattr(httptools_impl, "RequestResponseCycle", Changed)
        problem = direct_writes_problem()

        assert problem is not None
        assert name in problem

    def test_a_changed_flow_control_is_named(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """LAT-3.5: So it does when the flow control has changed."""
        from uvicorn.protocols.http import flow_control

        monkeypatch.setattr(flow_control, "FlowControl", lambda transport: SimpleNamespace())

        assert "flow.write_paused" in (direct_writes_problem() or "")

    def test_a_changed_constructor_is_a_problem(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """LAT-3.5: So it does when a cycle is made in another way."""
        monkeypatch.setattr(httptools_impl, "RequestResponseCycle", lambda scope: None)

        assert "has changed" in (direct_writes_problem() or "")

    def test_a_missing_module_is_a_problem(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """LAT-3.5: And when there is no such protocol at all."""
        monkeypatch.setitem(sys.modules, "uvicorn.protocols.http.httptools_impl", None)

        assert "has changed" in (direct_writes_problem() or "")


class TestSending:
    """What Falcon sends, and in how many writes it leaves."""

    HEAD: ClassVar[dict[str, Any]] = {"type": "http.response.start", "status": 200, "headers": []}

    @staticmethod
    def body(data: bytes, *, more: bool = False) -> dict[str, Any]:
        """Give a part of the body, as Falcon sends it."""
        return {"type": "http.response.body", "body": data, "more_body": more}

    async def writes(self, line: DirectLine, *messages: dict[str, Any]) -> list[bytes]:
        """Send, and give all that was written so far."""
        send = line.connection.sender(line.cycle.send)
        for message in messages:
            await send(message)
        return [data for _, data in line.transport.writes]

    async def test_head_and_body_leave_together(self) -> None:
        """LAT-3.3: An answer that is whole leaves in one write, and its connection stays open."""
        line = DirectLine()
        (data,) = await self.writes(line, self.HEAD, self.body(b"abc"))

        assert data.startswith(b"HTTP/1.1 200 OK\r\n")
        assert data.endswith(b"\r\n\r\n3\r\nabc\r\n0\r\n\r\n")
        assert not line.transport.closing
        assert line.cycle.transport is line.transport
        assert line.cycle.response_complete

    async def test_a_stream_that_ends_at_once_leaves_together(self) -> None:
        """LAT-3.3: So does a stream of which everything is due."""
        line = DirectLine()
        line.connection.ending()
        (data,) = await self.writes(line, self.HEAD, self.body(b"abc", more=True), self.body(b""))

        assert data.endswith(b"\r\n\r\n3\r\nabc\r\n0\r\n\r\n")

    async def test_a_stream_that_goes_on_does_not_wait(self) -> None:
        """LAT-3.3: What is followed by something later leaves with the head, and does not wait for it."""
        line = DirectLine()
        (data,) = await self.writes(line, self.HEAD, self.body(b"abc", more=True))
        assert data.endswith(b"\r\n\r\n3\r\nabc\r\n")

        later = await self.writes(line, self.body(b"d", more=True), self.body(b""))
        assert later[1:] == [b"1\r\nd\r\n", b"0\r\n\r\n"]

    async def test_a_last_answer_leaves_before_the_connection_closes(self) -> None:
        """LAT-3.5: A connection that is not kept is closed, and the answer is written before."""
        line = DirectLine()
        line.cycle.keep_alive = False
        closed_at: list[int] = []
        close = line.transport.close

        def closes() -> None:
            closed_at.append(len(line.transport.writes))
            close()

        line.transport.close = closes  # type: ignore[method-assign]
        await self.writes(line, self.HEAD, self.body(b"abc"))

        assert closed_at == [1]

    async def test_nothing_is_written_to_who_is_gone(self) -> None:
        """LAT-3.4: Who hung up before the answer gets none."""
        line = DirectLine()
        line.hang_up()

        assert await self.writes(line, self.HEAD, self.body(b"abc")) == []

    async def test_a_slow_reader_is_waited_for(self) -> None:
        """ARCH-4.5: Who does not read is sent nothing until the reader goes on."""
        line = DirectLine()
        line.flow.pause_writing()
        sending = asyncio.ensure_future(self.writes(line, self.HEAD, self.body(b"abc")))
        await line.settle()
        assert line.transport.writes == []

        line.flow.resume_writing()
        assert b"".join(await sending).endswith(b"3\r\nabc\r\n0\r\n\r\n")

    async def test_what_is_held_back_can_be_let_go(self) -> None:
        """LAT-3.5: A head that was sent leaves, also where nothing is to follow it."""
        line = DirectLine()
        await self.writes(line, self.HEAD)
        assert line.transport.writes == []

        await line.connection.flush()
        assert [data.startswith(b"HTTP/1.1 200 ") for _, data in line.transport.writes] == [True]


class TestConnector:
    """Which line a request gets."""

    async def test_requests_of_uvicorn_are_written_to_directly(self) -> None:
        """LAT-3.5: Where the request came by uvicorn's httptools protocol, it gets the direct writer."""
        line = DirectLine()

        assert isinstance(
            connector(line.wheel, direct=True)(line.cycle.receive, line.cycle.send), DirectConnection
        )

    async def test_switched_off_everything_is_plain(self) -> None:
        """LAT-3.5: With direct writes off, requests of uvicorn take the plain way, too."""
        line = DirectLine()

        assert isinstance(
            connector(line.wheel, direct=False)(line.cycle.receive, line.cycle.send), AsgiConnection
        )

    @pytest.mark.parametrize("bound", [True, False])
    async def test_other_servers_are_plain(self, bound: bool) -> None:
        """LAT-3.5: Any other server's requests take the plain way."""
        line = AsgiLine()

        async def send(message: Any) -> None:
            """Be no method of anything."""

        way: Callable[[Any], Any] = line.send if bound else send

        assert isinstance(connector(line.wheel, direct=True)(line._events.get, way), AsgiConnection)
