"""The JSON of GET /llmsim/stats, byte for byte."""

from pathlib import Path
from typing import Any

import orjson

from llmsim.stats import Block, Gauges, Outcome, Recorder, snapshot

GOLDEN = Path(__file__).with_name("stats.json")
NOW = 1000.25
OUTCOMES = tuple(Outcome)[:11]  # those that the golden file has


def _fill(block: Block) -> None:
    """Count something of every kind: in a living worker, in a released slot, and in a claimed one without a process."""
    for pid in (1, 2):
        slot = block.claim(pid)
        recorder = Recorder(block, slot)
        gauges = Gauges(block, slot, NOW - 50.0)
        for second in range(51):
            gauges.record_pulse(
                NOW - 50.5 + second,
                cpu=0.31 * second,
                wait=0.0125 * second,
                lag_max=0.0042,
                lag_sum=0.0101,
                samples=10,
            )
            recorder.late(0.0001 * second, 3)
        for number, outcome in enumerate([*OUTCOMES, *[Outcome.FINISHED] * 7]):
            now = NOW - 2 * number
            recorder.began(number % 2, now)
            recorder.stream_opened()
            row = recorder.accepted(
                number % 2, f"model-{number % 4}", streaming=number % 3 > 0, prompt_tokens=11 + number
            )
            recorder.first_token(row, 0.1 * pid + 0.01 * number)
            recorder.gap(row, 0.0401 + 0.001 * number, 3)
            recorder.sent(row, 4 + number, now)
            recorder.ended(number % 2, outcome, 1.5 + 0.1 * number, now, row)
            recorder.stream_closed()
        recorder.began(pid - 1, NOW - 3)
        recorder.stream_opened()
        for _ in range(2 + pid):
            recorder.websocket_opened()
        recorder.websocket_closed()
        recorder.evicted(5 * pid)
        recorder.accepted(0, " ", streaming=False, prompt_tokens=1)
    block.release(1)
    block.claim(0)
    block.claim(0)


def _known(found: Any, golden: Any) -> Any:
    """Leave out the figures that the golden file does not know: counters may be added, and nothing else may change."""
    if isinstance(golden, dict):
        return {name: _known(value, golden[name]) for name, value in found.items() if name in golden}
    return found


def test_the_json_is_the_same_byte_for_byte(update_golden: bool) -> None:
    """STATS-7.1: Names, order and figures of a busy instance, of an idle one, and of one with a Responses API."""
    busy = Block.private(endpoints=("completions", "messages"), slots=5, now=900.0, wall=1.75e9)
    _fill(busy)
    idle = Block.private(endpoints=("completions",), slots=2, now=999.5, wall=1.75e9)
    other = Block.private(endpoints=("messages", "responses"), slots=4, now=990.5, wall=1.75e9)
    _fill(other)

    found = [orjson.dumps(snapshot(block, NOW, wall=1.75e9 + 1).as_dict()) for block in (busy, idle, other)]

    if update_golden:
        GOLDEN.write_bytes(b"\n".join(found) + b"\n")
    golden = GOLDEN.read_bytes().splitlines()
    assert [
        orjson.dumps(_known(orjson.loads(report), orjson.loads(line)))
        for report, line in zip(found, golden, strict=True)
    ] == golden
