"""Channels: the direct writer and plain ASGI, under the same tests, on a clock of the test's."""

import asyncio
import logging
import sys
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any, ClassVar

import pytest
from support.fakes import Counted, FakeClock, FakeLoop
from support.turns import choice, deviates, tokenized, turn
from uvicorn.protocols.http.httptools_impl import RequestResponseCycle

from llmsim.domain import Schedule, Turn
from llmsim.providers.openai.chat import ChatOptions
from llmsim.providers.openai.chat_chunks import render_stream
from llmsim.server import direct_channel
from llmsim.server.active_request import ActiveRequest
from llmsim.server.channels import AsgiChannel, HttpChannel, channel_opener, direct_writes_problem
from llmsim.server.direct_channel import DirectChannel
from llmsim.server.pacing import PacedStream, TimerWheel
from llmsim.server.replies import EncodedReply
from llmsim.server.transport import cycle
from llmsim.server.transport.connection import Flow
from llmsim.server.transport.cycle import Cycle
from llmsim.stats import Outcome
from llmsim.wire.frames import join_frames, single

ARRIVED = 1000.0
PLAIN = ChatOptions(include_obfuscation=False)
STEADY = Schedule(ttft=0.5, itl=0.25)
STREAM_HEAD = EncodedReply(200, b"content-type: text/event-stream\r\n")


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
        """Return whether it was closed."""
        return self.closing

    def close(self) -> None:
        """Close it."""
        self.closing = True

    def pause_reading(self) -> None:
        """Nothing is read anyway."""

    def resume_reading(self) -> None:
        """Nothing is read anyway."""


class Driver:
    """One request's channel, with clock, wheel and counters; the base of both kinds."""

    channel: HttpChannel

    def __init__(self) -> None:
        self.clock = FakeClock(ARRIVED)
        self.loop = FakeLoop(self.clock)
        self.wheel = TimerWheel(self.loop, self.clock)  # type: ignore[arg-type]
        self.counted = Counted(self.clock)
        self.active = ActiveRequest(self.clock.now, self.counted.recorder, 0)

    def disconnect(self) -> None:
        """Disconnect the client."""
        raise NotImplementedError

    def wake(self) -> None:
        """Wake what waits, without a reason."""
        raise NotImplementedError

    def sent(self) -> list[tuple[float, bytes]]:
        """Return the parts of the body that were sent, and when."""
        raise NotImplementedError

    def ended(self) -> bool:
        """Return whether the response has come to its end."""
        raise NotImplementedError

    async def settle(self) -> None:
        """Run everything that can run now."""
        for _ in range(10):
            await asyncio.sleep(0)

    async def run_to(self, instant: float) -> None:
        """Advance the clock up to `instant`."""
        await self.settle()
        while (armed := self.loop.armed()) and armed[0].when <= instant:
            self.loop.run_to(armed[0].when)
            await self.settle()
        self.clock.now = max(self.clock.now, instant)
        await self.settle()

    def paced(self, planned: Turn, *, ends_abruptly: bool = False) -> PacedStream:
        """Return the stream of a turn."""
        recorder = self.counted.recorder
        row = recorder.accepted(0, planned.model, streaming=True, prompt_tokens=planned.usage.prompt)
        return PacedStream(
            planned,
            render_stream(planned, PLAIN),
            arrival=self.active.arrival,
            recorder=recorder,
            row=row,
            ends_abruptly=ends_abruptly,
        )

    async def stream(self, planned: Turn, *, ends_abruptly: bool = False) -> Outcome | None:
        """Answer with a stream, as `GenerationService` does."""
        active = self.active
        stream = self.paced(planned, ends_abruptly=ends_abruptly)
        error = None
        active.outcome = Outcome.ABANDONED
        try:
            if await self.channel.wait_until(stream.due):
                await self.channel.stream(stream, STREAM_HEAD)
            if stream.done:
                active.outcome = Outcome.FINISHED
        except RuntimeError as failure:
            active.outcome, error = None, failure
        active.finish(error)
        return active.outcome


class AsgiDriver(Driver):
    """A channel over plain ASGI."""

    def __init__(self) -> None:
        super().__init__()
        self.events: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self.messages: list[tuple[float, dict[str, Any]]] = []
        self.channel = AsgiChannel(self.events.get, self.send, self.wheel, self.active, self.clock)

    async def send(self, message: dict[str, Any]) -> None:
        """Receive a message of the application."""
        self.messages.append((self.clock.now, message))

    def disconnect(self) -> None:
        """See `Driver`."""
        self.events.put_nowait({"type": "http.disconnect"})

    def wake(self) -> None:
        """See `Driver`."""
        self.events.put_nowait({"type": "http.request", "body": b"", "more_body": False})

    def sent(self) -> list[tuple[float, bytes]]:
        """See `Driver`."""
        return [(at, message["body"]) for at, message in self.messages if message.get("body")]

    def ended(self) -> bool:
        """See `Driver`."""
        return bool(self.messages) and self.messages[-1][1].get("more_body") is False


class DirectDriver(Driver):
    """A channel over the server's protocol, with a transport of the test's."""

    def __init__(self, *, method: str = "POST", http_version: str = "1.1", keep_alive: bool = True) -> None:
        super().__init__()
        self.transport = FakeTransport(self.clock)
        loop = asyncio.get_running_loop()
        self.flow = Flow(self.transport, lambda: True, loop)  # type: ignore[arg-type]
        protocol = SimpleNamespace(
            loop=loop,
            scope={"method": method, "http_version": http_version},
            transport=self.transport,
            flow=self.flow,
            logger=logging.getLogger("uvicorn"),
            access_logger=logging.getLogger("uvicorn"),
            access_log=False,
            server_state=SimpleNamespace(default_headers=[(b"date", b"today")]),
            expect_100_continue=False,
            on_response_complete=lambda: None,
        )
        self.cycle = Cycle(protocol, keep_alive=keep_alive)
        self.cycle.more_body = False
        self.channel = DirectChannel(self.cycle, self.cycle.receive, self.wheel, self.active, self.clock)

    def disconnect(self) -> None:
        """See `Driver`."""
        self.cycle.disconnected = True
        self.cycle.message_event.set()

    def wake(self) -> None:
        """See `Driver`."""
        self.cycle.message_event.set()

    def bodies(self) -> list[tuple[float, bytes]]:
        """Return what was written of the body, as it was written, and when."""
        bodies = [
            (at, data.partition(b"\r\n\r\n")[2] if data.startswith(b"HTTP/") else data)
            for at, data in self.transport.writes
        ]
        return [(at, body) for at, body in bodies if body]

    def sent(self) -> list[tuple[float, bytes]]:
        """See `Driver`."""
        parts = [(at, _unchunked(body)) for at, body in self.bodies()]
        return [(at, data) for at, data in parts if data]

    def ended(self) -> bool:
        """See `Driver`."""
        return bool(self.cycle.response_complete)


def _unchunked(data: bytes) -> bytes:
    """Return the content of the chunks of one write."""
    parts = []
    while data:
        size, _, rest = data.partition(b"\r\n")
        length = int(size, 16)
        assert rest[length : length + 2] == b"\r\n"
        parts.append(rest[:length])
        data = rest[length + 2 :]
    return b"".join(parts)


@pytest.fixture(params=[AsgiDriver, DirectDriver], ids=["asgi", "direct"])
async def driver(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Driver:
    made: Driver = request.param()
    hold_time(made, monkeypatch)
    return made


@pytest.fixture
async def direct(monkeypatch: pytest.MonkeyPatch) -> DirectDriver:
    made = DirectDriver()
    hold_time(made, monkeypatch)
    return made


def hold_time(made: Driver, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("llmsim.server.active_request.time", SimpleNamespace(monotonic=made.clock))


def planned(*pieces: str, schedule: Schedule = STEADY) -> Turn:
    return turn(choice(tokenized(*pieces)), schedule=schedule)


class TestWaitUntil:
    """Waiting for an instant."""

    async def test_the_instant_is_waited_for(self, driver: Driver) -> None:
        """LAT-3.1: Waiting ends at the instant, not before, with the client still there."""
        waiting = asyncio.ensure_future(driver.channel.wait_until(ARRIVED + 0.5))
        await driver.run_to(ARRIVED + 0.499)
        assert not waiting.done()

        await driver.run_to(ARRIVED + 0.502)
        assert await waiting is True
        driver.channel.close()

    async def test_a_past_instant_is_not_waited_for(self, driver: Driver) -> None:
        """LAT-3.1: What is due already is not waited for."""
        assert await driver.channel.wait_until(ARRIVED) is True
        assert await driver.channel.wait_until(ARRIVED - 1) is True

    async def test_a_disconnect_ends_the_wait_at_once(self, driver: Driver) -> None:
        """LAT-3.4: A disconnect before the instant is noticed when it happens, without waiting on."""
        waiting = asyncio.ensure_future(driver.channel.wait_until(ARRIVED + 600))
        await driver.run_to(ARRIVED + 0.01)
        driver.disconnect()
        await driver.settle()

        assert waiting.done()
        assert await waiting is False
        assert driver.channel.disconnected
        driver.channel.close()

    async def test_an_earlier_disconnect_is_noticed(self, driver: Driver) -> None:
        """LAT-3.4: A client that disconnected before the wait began is noticed all the same."""
        driver.disconnect()
        waiting = asyncio.ensure_future(driver.channel.wait_until(ARRIVED + 600))
        await driver.settle()

        assert await waiting is False
        driver.channel.close()

    async def test_other_events_do_not_end_the_wait(self, driver: Driver) -> None:
        """LAT-3.1: Whatever else wakes the waiting, it goes on until the instant."""
        waiting = asyncio.ensure_future(driver.channel.wait_until(ARRIVED + 0.5))
        for _ in range(3):
            await driver.settle()
            driver.wake()
        await driver.settle()
        assert not waiting.done()

        await driver.run_to(ARRIVED + 0.502)
        assert await waiting is True
        driver.channel.close()

    async def test_waits_may_follow_each_other(self, driver: Driver) -> None:
        """LAT-3.2: One channel waits for many instants, and none is mistaken for another."""
        for millis in (100, 250, 300, 700):
            waiting = asyncio.ensure_future(driver.channel.wait_until(ARRIVED + millis / 1000))
            await driver.run_to(ARRIVED + millis / 1000 - 0.001)
            assert not waiting.done()
            await driver.run_to(ARRIVED + millis / 1000 + 0.001)
            assert await waiting is True
        driver.channel.close()


class TestStreams:
    """Streams from end to end."""

    async def test_every_event_leaves_when_it_is_due(self, driver: Driver) -> None:
        """LAT-3.5: Over either channel, events leave at their instants, each in one write with its neighbours."""
        streaming = asyncio.ensure_future(driver.stream(planned("a", "b", "c")))
        await driver.run_to(ARRIVED + 2.0)

        assert await streaming is Outcome.FINISHED
        assert [round(at - ARRIVED, 2) for at, _ in driver.sent()] == [0.5, 0.75, 1.0]
        assert all(at >= ARRIVED + due for (at, _), due in zip(driver.sent(), (0.5, 0.75, 1.0), strict=True))
        assert [data.count(b"data: ") for _, data in driver.sent()] == [2, 1, 3]

    async def test_both_channels_send_the_same_bytes(self, driver: Driver) -> None:
        """LAT-3.5: What arrives is what was rendered, whichever channel it takes."""
        answer = planned(*"Hello!", schedule=Schedule(0.1, 0.01, 0.01, deviates(0.5, -2.0, 1.0, 0.0), 1, 3))
        streaming = asyncio.ensure_future(driver.stream(answer))
        await driver.run_to(ARRIVED + 1.0)
        await streaming

        rendered = b"".join(run.data(0, len(run.required_tokens)) for run in render_stream(answer, PLAIN))
        assert b"".join(data for _, data in driver.sent()) == rendered

    async def test_what_exists_at_once_leaves_at_once(self, driver: Driver) -> None:
        """LAT-3.3: Without latency the whole answer leaves without any timer, in writes of at most 256 frames."""
        streaming = asyncio.ensure_future(driver.stream(planned(*["w"] * 1000, schedule=Schedule(0.0, 0.0))))
        await driver.run_to(ARRIVED + 0.01)

        assert await streaming is Outcome.FINISHED
        assert [data.count(b'"content":"w"') for _, data in driver.sent()] == [256, 256, 256, 232]

    async def test_a_stall_sends_everything_due_together(self, driver: Driver) -> None:
        """LAT-3.2: After a stall of the worker everything due leaves in one write, and the rest on time."""
        streaming = asyncio.ensure_future(driver.stream(planned("a", "b", "c", "d", "e")))
        await driver.run_to(ARRIVED + 0.51)
        driver.clock.now = ARRIVED + 1.3
        await driver.run_to(ARRIVED + 3.0)

        assert await streaming is Outcome.FINISHED
        assert [(round(at - ARRIVED, 2), data.count(b'"content":"')) for at, data in driver.sent()] == [
            (0.5, 2),
            (1.3, 3),
            (1.5, 1),
        ]

    async def test_a_disconnect_before_the_first_token_sends_nothing(self, driver: Driver) -> None:
        """LAT-3.4: The request ends at once, abandoned, and nothing is left in flight."""
        streaming = asyncio.ensure_future(driver.stream(planned("a", "b")))
        await driver.run_to(ARRIVED + 0.2)
        driver.disconnect()
        await driver.settle()

        assert streaming.done()
        assert await streaming is Outcome.ABANDONED
        stats = driver.counted.read()
        assert (stats.abandoned_requests, stats.active_requests, stats.completion_tokens) == (1, 0, 0)
        assert driver.sent() == []

    async def test_a_disconnect_in_mid_stream_ends_it(self, driver: Driver) -> None:
        """LAT-3.4: So it does between two tokens; what had left is counted and nothing more is sent."""
        streaming = asyncio.ensure_future(driver.stream(planned("a", "b", "c", "d")))
        await driver.run_to(ARRIVED + 0.8)
        driver.disconnect()
        await driver.settle()
        assert streaming.done()
        assert await streaming is Outcome.ABANDONED

        await driver.run_to(ARRIVED + 5.0)
        stats = driver.counted.read()
        assert (stats.abandoned_requests, stats.active_requests, stats.completion_tokens) == (1, 0, 2)
        assert len(driver.sent()) == 2

    async def test_a_finished_stream_is_counted_as_sent(self, driver: Driver) -> None:
        """LAT-3.7: TTFT, gaps and lateness are counted over either channel."""
        streaming = asyncio.ensure_future(driver.stream(planned("a", "b", "c")))
        await driver.run_to(ARRIVED + 2.0)
        await streaming

        stats = driver.counted.read()
        assert (stats.finished_requests, stats.active_requests, stats.completion_tokens) == (1, 0, 3)
        assert stats.latency.ttft_ms.mean == pytest.approx(500, abs=2.1)
        assert stats.latency.inter_token_ms.count == 2
        assert stats.latency.lateness_ms.max <= 2.1  # type: ignore[operator]
        assert stats.latency.end_to_end_ms.mean == pytest.approx(1000, abs=2.1)

    async def test_a_bug_in_mid_stream_ends_the_stream(
        self, driver: Driver, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """ARCH-1.5: A bug while a token is due costs the stream its end, once, and no other stream anything."""
        take = PacedStream.take

        def failing(stream: PacedStream, now: float) -> bytes:
            if now > ARRIVED + 0.6:
                raise RuntimeError("boom")
            return take(stream, now)

        monkeypatch.setattr(PacedStream, "take", failing)
        streaming = asyncio.ensure_future(driver.stream(planned("a", "b", "c")))
        await driver.run_to(ARRIVED + 2.0)
        if not streaming.done():
            streaming.cancel()
            pytest.fail("the stream hangs")

        stats = driver.counted.read()
        assert (stats.failed_requests, stats.active_requests) == (1, 0)

    async def test_a_closed_channel_is_left_alone(self, driver: Driver) -> None:
        """ARCH-1.4: What the wheel still holds for a request that has ended does nothing."""
        waiting = asyncio.ensure_future(driver.channel.wait_until(ARRIVED + 0.5))
        await driver.run_to(ARRIVED + 0.1)
        waiting.cancel()
        driver.channel.close()
        await driver.run_to(ARRIVED + 1.0)

        assert driver.sent() == []
        assert driver.loop.armed() == []


class TestDirect:
    """What only the direct writer does."""

    async def test_a_slow_reader_is_sent_what_fell_due_together(self, direct: DirectDriver) -> None:
        """LAT-3.6: While the reader does not read nothing is written; then all that fell due, together."""
        streaming = asyncio.ensure_future(direct.stream(planned("a", "b", "c", "d", "e", "f")))
        await direct.run_to(ARRIVED + 0.8)
        direct.flow.pause_writing()
        await direct.run_to(ARRIVED + 1.6)
        assert len(direct.sent()) == 2

        direct.flow.resume_writing()
        await direct.run_to(ARRIVED + 3.0)
        assert await streaming is Outcome.FINISHED
        assert [data.count(b'"content":"') for _, data in direct.sent()] == [2, 1, 3, 1]
        assert direct.sent()[2][0] <= ARRIVED + 1.6 + 0.022

    async def test_a_reader_that_never_reads_is_never_buffered_for(self, direct: DirectDriver) -> None:
        """ARCH-4.5: However long it does not read, the server holds no further write for it."""
        streaming = asyncio.ensure_future(direct.stream(planned(*["w"] * 50)))
        await direct.run_to(ARRIVED + 0.51)
        direct.flow.pause_writing()
        await direct.run_to(ARRIVED + 60.0)
        assert len(direct.sent()) == 1

        direct.disconnect()
        await direct.settle()
        assert await streaming is Outcome.ABANDONED

    async def test_a_client_of_http_1_0_gets_no_chunks(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """LAT-3.5: Where the response is not chunked, events leave as punctually; the end of the connection is their end."""
        direct = DirectDriver(http_version="1.0", keep_alive=False)
        hold_time(direct, monkeypatch)
        streaming = asyncio.ensure_future(direct.stream(planned("a", "b")))
        await direct.run_to(ARRIVED + 2.0)

        assert await streaming is Outcome.FINISHED
        assert [round(at - ARRIVED, 2) for at, _ in direct.bodies()] == [0.5, 0.75]
        rendered = [
            batch.data(0, len(batch.required_tokens)) for batch in render_stream(planned("a", "b"), PLAIN)
        ]
        assert b"".join(data for _, data in direct.bodies()) == b"".join(rendered)
        assert b"transfer-encoding" not in direct.transport.writes[0][1]
        assert direct.transport.closing

    async def test_a_closing_transport_is_a_disconnect(self, direct: DirectDriver) -> None:
        """LAT-3.4: A transport that is closing, for whatever reason, has no client any more."""
        direct.transport.close()

        assert direct.channel.disconnected
        assert await direct.channel.wait_until(ARRIVED) is False

    async def test_the_server_disconnects(self, direct: DirectDriver) -> None:
        """ARCH-3.4: When the drain runs out, the connection is closed, and uvicorn expects nothing more."""
        assert direct.channel.disconnect() is True
        assert direct.transport.closing
        assert direct.channel.disconnected

    async def test_plain_asgi_leaves_disconnecting_to_the_server(self) -> None:
        """ARCH-3.4: Plain ASGI can disconnect a client only by raising."""
        assert AsgiDriver().channel.disconnect() is False


class TestFeatureTest:
    """Whether the installed uvicorn will do."""

    def test_the_installed_uvicorn_will_do(self) -> None:
        """LAT-3.5: With the uvicorn that is installed, direct writes work."""
        assert direct_writes_problem() is None

    @pytest.mark.parametrize("name", direct_channel._REQUIRED)
    def test_a_missing_attribute_is_named(self, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
        """LAT-3.5: Where an attribute is missing, the problem names it."""

        class Changed(RequestResponseCycle):
            def __init__(self, **arguments: Any) -> None:
                super().__init__(**arguments)
                delattr(self, name)

        monkeypatch.setattr(cycle, "RequestResponseCycle", Changed)
        problem = direct_writes_problem()

        assert problem is not None
        assert name in problem

    def test_a_changed_flow_control_is_named(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """LAT-3.5: So it does when the flow control has changed."""
        monkeypatch.setattr(cycle, "FlowControl", lambda transport: SimpleNamespace())

        assert "flow.write_paused" in (direct_writes_problem() or "")

    def test_a_changed_constructor_is_a_problem(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """LAT-3.5: So it does when a cycle is built otherwise."""
        monkeypatch.setattr(cycle, "RequestResponseCycle", lambda scope: None)

        assert "has changed" in (direct_writes_problem() or "")

    def test_a_missing_module_is_a_problem(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """LAT-3.5: And when there is no such protocol at all."""
        monkeypatch.delitem(sys.modules, "llmsim.server.direct_channel")
        monkeypatch.delitem(sys.modules, "llmsim.server.transport.cycle")
        monkeypatch.setitem(sys.modules, "uvicorn.protocols.http.httptools_impl", None)

        assert "has changed" in (direct_writes_problem() or "")


class TestReplies:
    """Whole responses, and what Falcon sends in their place."""

    REPLY = EncodedReply(429, b"content-type: application/json\r\nx-a: b: c\r\n", b'{"a":1}')

    async def test_a_reply_has_its_length(self, driver: Driver) -> None:
        """LAT-3.3: Status, headers and body are those of the reply, with the length of the body."""
        await driver.channel.reply(self.REPLY)

        assert driver.channel.responded
        assert driver.ended()
        if isinstance(driver, DirectDriver):
            [(_, data)] = driver.transport.writes
            assert data == (
                b"HTTP/1.1 429 Too Many Requests\r\ndate: today\r\ncontent-type: application/json\r\nx-a: b: c\r\n"
                b'content-length: 7\r\n\r\n{"a":1}'
            )
        elif isinstance(driver, AsgiDriver):
            assert [message for _, message in driver.messages] == [
                {
                    "type": "http.response.start",
                    "status": 429,
                    "headers": [
                        (b"content-type", b"application/json"),
                        (b"x-a", b"b: c"),
                        (b"content-length", b"7"),
                    ],
                },
                {"type": "http.response.body", "body": b'{"a":1}', "more_body": False},
            ]

    async def test_what_follows_a_response_is_dropped(self, driver: Driver) -> None:
        """ARCH-1.6: Once the channel has sent a response, Falcon's own does not leave."""
        await driver.channel.reply(self.REPLY)
        before = _all_written(driver)
        await driver.channel.send({"type": "http.response.start", "status": 200, "headers": []})
        await driver.channel.send({"type": "http.response.body", "body": b"falcon", "more_body": False})

        assert _all_written(driver) == before
        assert driver.ended()

    async def test_a_stream_that_ends_abruptly_has_no_end(self, driver: Driver) -> None:
        """SCRIPT-7.3: What exists is sent, and then no end of the response."""
        streaming = asyncio.ensure_future(driver.stream(planned("a", "b"), ends_abruptly=True))
        await driver.run_to(ARRIVED + 2.0)
        await streaming

        assert b"".join(data for _, data in driver.sent()).count(b'"content":"') == 3
        assert not driver.ended()
        if isinstance(driver, DirectDriver):
            assert driver.transport.closing

    async def test_an_aborted_response_has_no_end(self, driver: Driver) -> None:
        """SCRIPT-7.4: The client is disconnected, or, where only the server can do that, given a response without a body."""
        await driver.channel.abort()
        await driver.channel.send({"type": "http.response.start", "status": 200, "headers": []})

        assert (driver.sent(), driver.ended(), driver.channel.responded) == ([], False, True)
        if isinstance(driver, DirectDriver):
            assert (driver.transport.writes, driver.transport.closing) == ([], True)

    async def test_http_remembers_no_responses(self, driver: Driver) -> None:
        """SOCK-1.3: Only a WebSocket connection remembers what is not stored."""
        driver.channel.remember("resp_1", object())  # type: ignore[arg-type]

        assert driver.channel.recall("resp_1") is None


def _all_written(driver: Driver) -> list[bytes]:
    if isinstance(driver, DirectDriver):
        return [data for _, data in driver.transport.writes]
    assert isinstance(driver, AsgiDriver)
    return [message.get("body", b"") for _, message in driver.messages]


class TestWrites:
    """In how many writes responses leave, and how connections go on."""

    REPLY = EncodedReply(200, b"content-type: application/json\r\n", b"abc")
    MESSAGES: ClassVar[list[dict[str, Any]]] = [
        {
            "type": "http.response.start",
            "status": 200,
            "headers": [(b"content-type", b"application/json"), (b"content-length", b"3")],
        },
        {"type": "http.response.body", "body": b"abc", "more_body": False},
    ]
    """The same as `REPLY`, as Falcon sends it."""

    async def test_head_and_body_leave_together(self, direct: DirectDriver) -> None:
        """LAT-3.3: A whole response leaves in one write, and its connection stays open."""
        await direct.channel.reply(self.REPLY)
        (data,) = _all_written(direct)

        assert data.startswith(b"HTTP/1.1 200 OK\r\n")
        assert data.endswith(b"\r\n\r\nabc")
        assert not direct.transport.closing
        assert direct.cycle.response_complete

    @pytest.mark.parametrize("method", ["POST", "HEAD"])
    @pytest.mark.parametrize("keep_alive", [True, False])
    async def test_a_reply_has_the_bytes_of_uvicorn(self, method: str, keep_alive: bool) -> None:
        """LAT-3.5: Written directly, a response has the bytes that uvicorn would write, and ends as it would."""
        direct, other = (DirectDriver(method=method, keep_alive=keep_alive) for _ in range(2))
        await direct.channel.reply(self.REPLY)
        for message in self.MESSAGES:
            await other.channel.send(message)

        assert b"".join(_all_written(direct)) == b"".join(_all_written(other))
        assert direct.transport.closing == other.transport.closing == (not keep_alive)
        assert direct.cycle.response_complete
        assert other.cycle.response_complete

    async def test_falcons_response_leaves(self, driver: Driver) -> None:
        """ARCH-1.6: Where the channel sends no response itself, Falcon's leaves."""
        for message in self.MESSAGES:
            await driver.channel.send(message)

        assert b"".join(_all_written(driver)).endswith(b"abc")
        assert driver.ended()
        assert not driver.channel.responded

    async def test_a_stream_that_ends_at_once_leaves_together(self, direct: DirectDriver) -> None:
        """LAT-3.3: So does a stream of which everything is due."""
        await direct.stream(planned("a", "b", schedule=Schedule(0.0, 0.0)))
        (data,) = _all_written(direct)

        assert data.startswith(b"HTTP/1.1 200 OK\r\n")
        assert data.endswith(b"\r\n0\r\n\r\n")
        assert direct.sent()[0][1].endswith(b"data: [DONE]\n\n")
        assert direct.cycle.transport is direct.transport

    @pytest.mark.parametrize("http_version", ["1.0", "1.1"])
    @pytest.mark.parametrize("keep_alive", [True, False])
    async def test_a_stream_without_a_pace_has_the_same_bytes(
        self, http_version: str, keep_alive: bool, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """ARCH-7.3: Sent without a pace, a stream leaves in one write of the same bytes, and its connection goes on alike."""
        paced, other = (DirectDriver(http_version=http_version, keep_alive=keep_alive) for _ in range(2))
        hold_time(paced, monkeypatch)
        response = planned("a", "b", schedule=Schedule(0.0, 0.0))
        await paced.stream(response)
        assert other.channel.is_writable
        other.channel.stream_at_once(join_frames(render_stream(response, PLAIN))[0], STREAM_HEAD)

        assert _all_written(other) == _all_written(paced)
        assert other.transport.closing == paced.transport.closing
        assert other.ended()

    async def test_a_channel_that_has_to_wait_is_not_writable(self, driver: Driver) -> None:
        """ARCH-7.3: A client that is gone or does not read, and plain ASGI, are left to what waits."""
        if isinstance(driver, DirectDriver):
            driver.flow.pause_writing()
            assert not driver.channel.is_writable
            driver.flow.resume_writing()
            assert driver.channel.is_writable
            driver.disconnect()
        assert not driver.channel.is_writable

    async def test_head_and_first_events_leave_together(self, direct: DirectDriver) -> None:
        """CHAT-3.6: The head of a paced stream leaves in one write with its first events."""
        streaming = asyncio.ensure_future(direct.stream(planned("a", "b")))
        await direct.run_to(ARRIVED + 0.502)
        (data,) = _all_written(direct)
        await direct.run_to(ARRIVED + 2.0)
        await streaming

        assert data.startswith(b"HTTP/1.1 200 OK\r\n")
        assert data.count(b"data: ") == 2

    async def test_a_stream_that_goes_on_does_not_wait(self, direct: DirectDriver) -> None:
        """LAT-3.3: What is followed by something later leaves with the head, and does not wait for it."""
        streaming = asyncio.ensure_future(direct.stream(planned("a", "b", schedule=Schedule(0.0, 60.0))))
        await direct.run_to(ARRIVED + 0.002)
        (data,) = _all_written(direct)
        assert data.count(b'"content":"a"') == 1

        await direct.run_to(ARRIVED + 61.0)
        assert await streaming is Outcome.FINISHED
        assert b'"content":"b"' in _all_written(direct)[1]
        assert b"".join(_all_written(direct)).endswith(b"\r\n0\r\n\r\n")

    async def test_a_last_response_leaves_before_the_connection_closes(self) -> None:
        """LAT-3.5: A connection that is not kept is closed, and the response is written before."""
        direct = DirectDriver(keep_alive=False)
        closed_at: list[int] = []
        close = direct.transport.close

        def note_close() -> None:
            closed_at.append(len(direct.transport.writes))
            close()

        direct.transport.close = note_close  # type: ignore[method-assign]
        await direct.channel.reply(self.REPLY)

        assert closed_at == [1]

    async def test_a_closing_connection_is_known_to_uvicorn(self, direct: DirectDriver) -> None:
        """TRAN-1.16: uvicorn takes a response without an end for a bug unless it knows that the client has gone."""
        direct.transport.close()

        assert direct.channel.disconnected
        assert direct.cycle.disconnected

    async def test_nothing_is_written_to_a_client_that_disconnected(self, direct: DirectDriver) -> None:
        """LAT-3.4: A client that disconnected before the response is sent nothing."""
        direct.disconnect()
        await direct.channel.reply(self.REPLY)

        assert _all_written(direct) == []

    async def test_a_slow_reader_is_waited_for(self, direct: DirectDriver) -> None:
        """ARCH-4.5: A client that does not read is sent nothing until it does."""
        direct.flow.pause_writing()
        sending = asyncio.ensure_future(direct.channel.reply(self.REPLY))
        await direct.settle()
        assert _all_written(direct) == []

        direct.flow.resume_writing()
        await sending
        assert b"".join(_all_written(direct)).endswith(b"abc")

    async def test_a_head_without_a_body_leaves(self, direct: DirectDriver) -> None:
        """SCRIPT-7.3: The head of a stream that fails before its first frame leaves, and then the connection is closed."""
        empty = PacedStream(
            planned("a"),
            (single(b"", 0),),
            arrival=ARRIVED,
            recorder=direct.counted.recorder,
            row=direct.counted.recorder.accepted(0, "m", streaming=True, prompt_tokens=0),
            ends_abruptly=True,
        )
        await direct.channel.stream(empty, STREAM_HEAD)

        assert [data.startswith(b"HTTP/1.1 200 ") for data in _all_written(direct)] == [True]
        assert direct.transport.closing


class TestOpener:
    """Which channel a request gets."""

    async def test_requests_of_uvicorn_are_written_to_directly(self, direct: DirectDriver) -> None:
        """LAT-3.5: Where the request came by uvicorn's httptools protocol, it gets the direct writer."""
        opened = channel_opener(direct.wheel, direct=True)(
            direct.cycle.receive, direct.cycle.send, direct.active
        )

        assert isinstance(opened, DirectChannel)

    async def test_switched_off_everything_is_plain(self, direct: DirectDriver) -> None:
        """LAT-3.5: With direct writes off, requests of uvicorn get plain ASGI, too."""
        opened = channel_opener(direct.wheel, direct=False)(
            direct.cycle.receive, direct.cycle.send, direct.active
        )

        assert isinstance(opened, AsgiChannel)

    @pytest.mark.parametrize("bound", [True, False])
    async def test_other_servers_are_plain(self, bound: bool) -> None:
        """LAT-3.5: Requests of any other server get plain ASGI."""
        driver = AsgiDriver()

        async def send(message: Any) -> None:
            """Be no method of anything."""

        way: Callable[[Any], Any] = driver.send if bound else send
        opened = channel_opener(driver.wheel, direct=True)(driver.events.get, way, driver.active)

        assert isinstance(opened, AsgiChannel)
