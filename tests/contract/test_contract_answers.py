"""Every generating endpoint: answers and streams, when they come and what is counted."""

import asyncio
import time
from typing import Any

import pytest
from support.asgi import Exchange, Simulator, settings_of, simulator, twin
from support.endpoints import Endpoint
from support.planning import plan_turn

from llmsim.domain import Turn
from llmsim.providers.contract import ParsedRequest

SLOW = {"profile": "instant", "ttft_mean_ms": 60_000}
STEPPED = {"profile": "instant", "ttft_mean_ms": 12, "tbt_mean_ms": 3}


def planned(endpoint: Endpoint, body: bytes, **tables: Any) -> tuple[ParsedRequest, Turn]:
    """Plan what a worker of these settings answers first, after a restart of its numbers."""
    ask = endpoint.parse(body)
    return ask, plan_turn(twin(settings_of(**tables)), ask.prompt)


def restarted(**tables: Any) -> Simulator:
    """Start a worker whose numbers begin at 0."""
    worker = simulator(**tables)
    worker.application.state.counters.restart()
    return worker


async def stream(worker: Simulator, endpoint: Endpoint, **fields: Any) -> Exchange:
    return await worker.ask("POST", endpoint.path, endpoint.body(stream=True, **fields))


class TestBytes:
    """What comes back is what rendering gives."""

    async def test_an_answer_is_what_rendering_gives(self, text_endpoint: Endpoint) -> None:
        """ARCH-1.1: An answer took the one path: parsed, planned and rendered by the text_endpoint's own functions."""
        ask, turn = planned(text_endpoint, text_endpoint.body(), seed=7)
        exchange = await restarted(seed=7).ask("POST", text_endpoint.path, text_endpoint.body())

        assert (exchange.status, exchange.whole) == (200, True)
        assert exchange.body == text_endpoint.generation.render_response(turn, ask.options)
        assert exchange.headers["content-type"] == "application/json"
        assert exchange.headers["content-length"] == str(len(exchange.body))

    @pytest.mark.parametrize("latency", [{"profile": "instant"}, STEPPED], ids=["instant", "stepped"])
    async def test_a_stream_is_what_rendering_gives(
        self, streamer: Endpoint, latency: dict[str, Any]
    ) -> None:
        """ARCH-1.2: The bytes of a stream are those that were rendered, however they are paced."""
        tables: dict[str, Any] = {"seed": 7, "latency": latency, "target_tokens": 12}
        ask, turn = planned(streamer, streamer.body(stream=True), **tables)
        exchange = await stream(restarted(**tables), streamer)

        runs = streamer.generation.http.render_stream(turn, ask.options)
        assert (exchange.status, exchange.whole) == (200, True)
        assert exchange.body == b"".join(run.data(0, len(run.required_tokens)) for run in runs)
        assert exchange.headers["content-type"].startswith("text/event-stream")
        assert exchange.headers["cache-control"] == "no-cache"
        assert exchange.headers["x-accel-buffering"] == "no"
        assert "content-length" not in exchange.headers

    async def test_writes_are_whole_events(self, streamer: Endpoint) -> None:
        """LAT-3.3: No write begins or ends inside an event."""
        exchange = await stream(simulator(latency=STEPPED, target_tokens=20), streamer)

        assert all(data.endswith((b"\n\n", b"\r\n\r\n")) for _, data in exchange.parts)
        assert all(data.startswith((b"data: ", b"event: ")) for _, data in exchange.parts)

    async def test_a_large_body_is_answered_alike(self, endpoint: Endpoint) -> None:
        """ARCH-4.4: A body that is parsed off the loop gets the answer that it would get on it."""
        filler = {"x-filler": "x" * 100_000}
        small = await restarted(seed=7).ask("POST", endpoint.path, endpoint.body())
        large = await restarted(seed=7).ask("POST", endpoint.path, endpoint.body(**filler))

        assert large.body == small.body

    async def test_the_same_seed_gives_the_same_text_on_any_worker(self, endpoint: Endpoint) -> None:
        """ARCH-3.7: Two workers of one server, whatever they answered before, give the same text."""
        tables: dict[str, Any] = {"seed": 7, "generator": "random"}
        bodies = []
        for before in (0, 3):
            worker = restarted(**tables)
            for number in range(before):
                await worker.ask("POST", endpoint.path, endpoint.body(model=f"other-{number}"))
            worker.application.state.counters.restart()
            bodies.append((await worker.ask("POST", endpoint.path, endpoint.body())).body)

        assert bodies[0] == bodies[1]

    async def test_without_a_seed_answers_differ(self, streamer: Endpoint) -> None:
        """CHAT-2.4: The same request twice is answered in two ways, with two ids."""
        worker = simulator(generator="random")
        bodies = {(await worker.ask("POST", streamer.path, streamer.body())).body for _ in range(5)}

        assert len(bodies) == 5


class TestTimes:
    """When it comes."""

    async def test_nothing_of_a_stream_is_early(self, streamer: Endpoint) -> None:
        """LAT-3.1: Head and events of a stream come no sooner than their tokens exist."""
        tables: dict[str, Any] = {"seed": 7, "latency": STEPPED, "target_tokens": 8}
        ask, turn = planned(streamer, streamer.body(stream=True), **tables)
        worker = restarted(**tables)
        sent = time.monotonic()
        exchange = await stream(worker, streamer)

        runs = streamer.generation.http.render_stream(turn, ask.options)
        ends = [(run.data(at, at + 1), end) for run in runs for at, end in enumerate(run.required_tokens)]
        assert exchange.started - sent >= turn.schedule.due(ends[0][1])
        for at, data in exchange.parts:
            while data:
                frame, end = ends.pop(0)
                assert data.startswith(frame)
                assert at - sent >= turn.schedule.due(end)
                data = data[len(frame) :]
        assert ends == []

    async def test_the_head_comes_with_the_first_event(self, streamer: Endpoint) -> None:
        """CHAT-3.6: The head of a response leaves with its first event, which may have to wait for a token."""
        body = streamer.body(stream=True)
        ask, turn = planned(streamer, body)
        waits = streamer.generation.http.render_stream(turn, ask.options)[0].required_tokens[0] > 0
        call, exchange = simulator(latency=SLOW).begin("POST", streamer.path, [body])
        if waits:
            await asyncio.sleep(0.02)
        else:
            await exchange.arrived.wait()
        assert exchange.status == (0 if waits else 200)
        assert not exchange.whole

        exchange.hung_up.set()
        await call

    async def test_an_answer_comes_when_its_stream_would_have_ended(self, text_endpoint: Endpoint) -> None:
        """LAT-2.3: An unstreamed answer leaves no sooner than its last token exists."""
        tables: dict[str, Any] = {"seed": 7, "latency": STEPPED, "target_tokens": 8}
        _, turn = planned(text_endpoint, text_endpoint.body(), **tables)
        worker = restarted(**tables)
        sent = time.monotonic()
        exchange = await worker.ask("POST", text_endpoint.path, text_endpoint.body())

        # A turn that says nothing takes the time until its first token would have been there.
        assert turn.length == (8 if text_endpoint.streams else 0)
        assert turn.due == pytest.approx(0.012 + (7 * 0.003 if text_endpoint.streams else 0))
        assert exchange.started - sent >= turn.due

    async def test_what_is_observed_is_counted(self, streamer: Endpoint) -> None:
        """LAT-3.7: A stream's TTFT, gaps, end-to-end latency and lateness stand in the stats."""
        worker = simulator(latency=STEPPED, target_tokens=8)
        await stream(worker, streamer)

        latency = worker.stats().latency
        assert (latency.ttft_ms.count, latency.end_to_end_ms.count, latency.inter_token_ms.count) == (1, 1, 7)
        assert latency.lateness_ms.count == 8
        assert latency.ttft_ms.min >= 12  # type: ignore[operator]
        assert latency.end_to_end_ms.min >= 12 + 7 * 3  # type: ignore[operator]

    async def test_streams_run_side_by_side(self, streamer: Endpoint) -> None:
        """LAT-3.2: Many streams of one worker take the time of one."""
        worker = simulator(latency={"profile": "instant", "ttft_mean_ms": 200}, target_tokens=5)
        began = time.monotonic()
        await asyncio.gather(*(stream(worker, streamer) for _ in range(20)))

        assert time.monotonic() - began < 20 * 0.200
        assert worker.stats().finished_requests == 20


class TestCounts:
    """What is counted."""

    async def test_answers_and_streams_are_counted(self, text_endpoint: Endpoint) -> None:
        """ARCH-1.4: Each request is finished once, at its text_endpoint, for its model, with the tokens of its usage."""
        worker = simulator(target_tokens=10)
        for number in range(3):
            await worker.ask("POST", text_endpoint.path, text_endpoint.body(stream=number == 0))

        stats = worker.stats()
        counts = stats.endpoints[text_endpoint.generation.label]
        assert (stats.total_requests, stats.active_requests) == (3, 0)
        assert (counts["requests"], counts["finished"]) == (3, 3)
        assert (stats.streaming_requests, stats.non_streaming_requests) == (
            (1, 2) if text_endpoint.streams else (0, 3)
        )
        assert stats.completion_tokens == (30 if text_endpoint.streams else 0)
        assert list(stats.models) == [text_endpoint.request["model"]]
        ask = text_endpoint.parse(text_endpoint.body())
        assert stats.prompt_tokens == 3 * plan_turn(twin(settings_of()), ask.prompt).usage.prompt

    async def test_ever_new_models_are_counted_in_bounds(self, endpoint: Endpoint) -> None:
        """ARCH-4.3: Requests for ever new model names take no more rows than there are."""
        worker = simulator(target_tokens=1)
        for number in range(100):
            await worker.ask("POST", endpoint.path, endpoint.body(model=f"model-{number}"))

        stats = worker.stats()
        assert stats.finished_requests == 100
        assert sum(model["requests"] for model in stats.models.values()) == 100
        assert len(stats.models) < 100


class TestHangUps:
    """Clients that do not wait."""

    @pytest.mark.parametrize("streamed", [True, False])
    async def test_before_the_first_token(self, endpoint: Endpoint, streamed: bool) -> None:
        """LAT-3.4: The request ends at once and is counted as abandoned; no token was sent."""
        worker = simulator(latency=SLOW)
        call, exchange = worker.begin("POST", endpoint.path, [endpoint.body(stream=streamed)])
        await asyncio.sleep(0.005)
        assert worker.stats().active_requests == 1
        exchange.hung_up.set()
        await asyncio.wait_for(call, 5)

        stats = worker.stats()
        assert (stats.abandoned_requests, stats.active_requests, stats.completion_tokens) == (1, 0, 0)
        assert not exchange.whole

    async def test_in_mid_stream(self, streamer: Endpoint) -> None:
        """LAT-3.4: What had come is counted, what had not does not come, and the request ends at once."""
        latency = {"profile": "instant", "tbt_mean_ms": 60_000}
        worker = simulator(latency=latency, target_tokens=50)
        call, exchange = worker.begin("POST", streamer.path, [streamer.body(stream=True)])
        await asyncio.wait_for(exchange.arrived.wait(), 5)
        exchange.hung_up.set()
        await asyncio.wait_for(call, 5)

        stats = worker.stats()
        assert (stats.abandoned_requests, stats.active_requests, stats.completion_tokens) == (1, 0, 1)
        assert not exchange.whole

    @pytest.mark.parametrize("streamed", [True, False])
    async def test_streams_are_open_until_their_end(self, streamer: Endpoint, streamed: bool) -> None:
        """STATS-9.6: A stream is open from its planning to its last byte or a hang-up; other answers never are."""
        worker = simulator(latency=SLOW)
        call, exchange = worker.begin("POST", streamer.path, [streamer.body(stream=streamed)])
        await asyncio.sleep(0.005)
        [open_then] = [one.open_streams for one in worker.stats().workers]
        exchange.hung_up.set()
        await asyncio.wait_for(call, 5)
        [open_after] = [one.open_streams for one in worker.stats().workers]
        swift = simulator()
        await swift.ask("POST", streamer.path, streamer.body(stream=streamed))

        assert (open_then, open_after) == (int(streamed), 0)
        assert [one.open_streams for one in swift.stats().workers] == [0]

    async def test_while_the_body_is_sent(self, endpoint: Endpoint) -> None:
        """ARCH-1.4: A client that hangs up before its announced body is complete has abandoned the request."""
        worker = simulator()
        body = endpoint.body()
        headers = {"content-length": str(len(body))}
        call, exchange = worker.begin("POST", endpoint.path, [body[:20]], headers=headers, complete=False)
        exchange.hung_up.set()
        await asyncio.wait_for(call, 5)

        stats = worker.stats()
        assert (stats.abandoned_requests, stats.refused_requests, stats.active_requests) == (1, 0, 0)

    async def test_before_anyone_looked(self, endpoint: Endpoint) -> None:
        """ARCH-1.4: A client that was gone before its request was looked at has abandoned it."""
        worker = simulator()
        call, exchange = worker.begin("POST", endpoint.path, [])
        exchange.hung_up.set()
        await asyncio.wait_for(call, 5)

        assert (worker.stats().abandoned_requests, worker.stats().active_requests) == (1, 0)


class TestDrain:
    """A worker that gives up."""

    @pytest.mark.parametrize("streamed", [True, False])
    @pytest.mark.parametrize(
        "latency", [SLOW, {"profile": "instant", "tbt_mean_ms": 60_000}], ids=["waiting", "in mid stream"]
    )
    async def test_what_is_cut_off_is_aborted(
        self, streamer: Endpoint, streamed: bool, latency: dict[str, Any]
    ) -> None:
        """ARCH-1.4: A request that the server cuts off is counted as aborted, once, and nothing stays in flight."""
        worker = simulator(latency=latency)
        call, _ = worker.begin("POST", streamer.path, [streamer.body(stream=streamed)])
        await asyncio.sleep(0.005)
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call

        stats = worker.stats()
        assert (stats.aborted_requests, stats.active_requests) == (1, 0)
