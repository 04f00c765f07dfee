"""Bursts over every API that streams."""

from typing import Any

from support.asgi import Exchange, Simulator, settings_of, simulator, twin
from support.endpoints import Endpoint
from support.planning import plan_turn
from support.turns import shown_text

from llmsim.domain import TextSegment, Turn

PACE = {"profile": "instant", "ttft_mean_ms": 8, "tbt_mean_ms": 1}
BURSTS = PACE | {"burst_tokens": 4}


def restarted(latency: dict[str, Any]) -> Simulator:
    """Start a worker whose numbers begin at 0."""
    worker = simulator(seed=7, latency=latency, target_tokens=22)
    worker.application.state.counters.restart()
    return worker


async def stream(latency: dict[str, Any], endpoint: Endpoint) -> Exchange:
    exchange = await restarted(latency).ask("POST", endpoint.path, endpoint.body(stream=True))
    assert (exchange.status, exchange.whole) == (200, True)
    return exchange


def planned(latency: dict[str, Any], endpoint: Endpoint) -> tuple[Turn, Any]:
    ask = endpoint.parse(endpoint.body(stream=True))
    return plan_turn(twin(settings_of(seed=7, latency=latency, target_tokens=22)), ask.prompt), ask.options


def pieces(turn: Turn) -> int:
    """Count the events that carry the tokens of a turn."""
    return sum(
        len(text.pieces)
        for choice in turn.choices
        for segment in choice.segments
        if (text := shown_text(segment))
    )


def events(exchange: Exchange) -> list[bytes]:
    return [event for event in exchange.body.replace(b"\r\n", b"\n").split(b"\n\n") if event]


async def test_an_event_carries_several_tokens(streamer: Endpoint) -> None:
    """LAT-5.1: The same text in fewer events, whatever the API; the bytes are what rendering gives."""
    plain, _ = planned(PACE, streamer)
    turn, options = planned(BURSTS, streamer)
    exchange = await stream(BURSTS, streamer)
    frames = streamer.generation.http.render_stream(turn, options)

    assert exchange.body == b"".join(batch.data(0, len(batch.required_tokens)) for batch in frames)
    assert [choice.tokens for choice in turn.choices] == [choice.tokens for choice in plain.choices]
    assert turn.usage == plain.usage
    assert pieces(turn) < 0.5 * pieces(plain)
    less = len(events(await stream(PACE, streamer))) - len(events(exchange))
    assert less == pieces(plain) - pieces(turn)
    for segment, other in zip(turn.choices[0].segments, plain.choices[0].segments, strict=True):
        if isinstance(segment, TextSegment) and isinstance(other, TextSegment):
            assert segment.text.text == other.text.text


async def test_a_stream_in_bursts_begins_and_ends_as_without(streamer: Endpoint) -> None:
    """LAT-5.2: The first and the last token are due at the same instants."""
    plain, _ = planned(PACE, streamer)
    turn, options = planned(BURSTS, streamer)
    frames = streamer.generation.http.render_stream(turn, options)
    carrying = [batch for batch in frames if any(batch.tokens)]
    required = [
        need
        for batch in carrying
        for need, sent in zip(batch.required_tokens, batch.tokens, strict=True)
        if sent
    ]

    assert turn.schedule == plain.schedule
    assert turn.due == plain.due
    assert required[-1] == plain.length
    assert sum(sum(batch.tokens) for batch in carrying) == plain.usage.completion


async def test_what_is_counted_is_exact(streamer: Endpoint) -> None:
    """LAT-5.1: Tokens, and one lateness for each event that carries any."""
    worker = restarted(BURSTS)
    before = worker.stats()
    exchange = await worker.ask("POST", streamer.path, streamer.body(stream=True))
    after = worker.stats()
    turn, _ = planned(BURSTS, streamer)

    assert exchange.whole
    assert after.completion_tokens - before.completion_tokens == turn.usage.completion
    assert after.latency.lateness_ms.count - before.latency.lateness_ms.count == pieces(turn)
