"""Faults on the wire are drawn by rate, and put into turns."""

import random
from collections import Counter
from typing import Any

import pytest
from support.tool_turns import text_segment, tool_call
from support.turns import choice, tokenized, turn

from llmsim.config import FaultSettings
from llmsim.domain import Choice, FinishReason, WireFault, WireFaultKind
from llmsim.planning.wire_faults import WireFaults, with_wire_fault

TURN = turn(choice(tokenized("One", " two", " three", " four")))


def drawn(settings: FaultSettings, model: str = "gpt-4o", key: str = "") -> Counter[WireFaultKind | None]:
    faults, rng = WireFaults(settings), random.Random(7)
    found = (faults.draw(rng, model, key) for _ in range(4000))
    return Counter(None if fault is None else fault.kind for fault in found)


@pytest.mark.parametrize("kind", WireFaultKind)
def test_every_kind_has_a_rate(kind: WireFaultKind) -> None:
    """FAULT-1.1: At the rate 1 every response has the fault; without rates none has one."""
    assert set(drawn(FaultSettings(**{f"{kind.value}_rate": 1.0}))) == {kind}
    assert set(drawn(FaultSettings())) == {None}


def test_rates_add_up() -> None:
    """FAULT-1.1: Rates are shares of all responses, each by itself."""
    found = drawn(FaultSettings(reset_rate=0.25, crlf_rate=0.5))

    assert found[WireFaultKind.RESET] == pytest.approx(1000, abs=120)
    assert found[WireFaultKind.CRLF] == pytest.approx(2000, abs=140)


def test_models_and_keys_limit_the_rates() -> None:
    """FAULT-1.2: Both must match, and what does not match draws all the same: later requests keep their faults."""
    settings = FaultSettings(reset_rate=1.0, models=("gpt-5*", "o3"), keys=("sk-chaos-*",))

    assert set(drawn(settings, "gpt-5-mini", "sk-chaos-1")) == {WireFaultKind.RESET}
    assert set(drawn(settings, "gpt-4o", "sk-chaos-1")) == {None}
    assert set(drawn(settings, "o3", "")) == {None}
    snapshot = WireFaults(settings).draw(random.Random(7), "o3-2025-04-16", "sk-chaos-1", "o3")
    assert snapshot is not None
    assert WireFaults(settings).needs_key
    rng, other = random.Random(7), random.Random(7)
    WireFaults(settings).draw(rng, "gpt-4o", "")
    WireFaults(settings).draw(other, "o3", "sk-chaos-1")
    assert rng.random() == other.random()


def test_the_place_is_a_token_or_a_share() -> None:
    """FAULT-1.5: Each gives the other: streams break at tokens, bodies at shares."""
    assert with_wire_fault(TURN, WireFault(WireFaultKind.RESET)).wire_fault == WireFault(
        WireFaultKind.RESET, 2, 0.5
    )
    assert with_wire_fault(TURN, WireFault(WireFaultKind.RESET, 1)).wire_fault == WireFault(
        WireFaultKind.RESET, 1, 0.25
    )
    found = with_wire_fault(TURN, WireFault(WireFaultKind.RESET, 99)).wire_fault
    assert found is not None
    assert found.share == 1.0


def test_a_stall_is_part_of_the_schedule() -> None:
    """FAULT-2.4: Tokens behind it are later by its time, those before it are not."""
    stalled = with_wire_fault(TURN, WireFault(WireFaultKind.STALL, 2, pause=5.0)).schedule

    assert stalled.due(2) == TURN.schedule.due(2)
    assert stalled.due(3) == TURN.schedule.due(3) + 5.0


@pytest.mark.parametrize("fault", [{"after": 99}, {"share": 1.0}])
def test_a_stall_is_never_behind_the_end(fault: dict[str, Any]) -> None:
    """FAULT-1.5: A response with fewer tokens waits for its last one."""
    stalled = with_wire_fault(TURN, WireFault(WireFaultKind.STALL, pause=5.0, **fault))

    assert stalled.due == TURN.due + 5.0


def test_errors_and_disconnects_end_the_turn() -> None:
    """FAULT-3.4: They are the faults that turns have had for themselves: rendered by the API."""
    for kind in (WireFaultKind.ERROR, WireFaultKind.DISCONNECT):
        found = with_wire_fault(TURN, WireFault(kind, 1)).stream_fault
        assert found is not None
        assert (found.after, found.disconnect) == (1, kind is WireFaultKind.DISCONNECT)


def test_arguments_are_truncated() -> None:
    """FAULT-3.5: The last call loses the end of its arguments, and their tokens; a turn without a call is unchanged."""
    segments = (
        text_segment("Hi"),
        tool_call("a", "{", '"b"', ":1", "}"),
        tool_call("c", "{", '"d"', ":2", "}"),
    )
    called = turn(Choice(segments, FinishReason.TOOL_CALLS))
    cut = with_wire_fault(called, WireFault(WireFaultKind.TRUNCATED_ARGUMENTS))

    arguments = [segment.arguments.text for segment in cut.choices[0].segments[1:]]  # type: ignore[union-attr]
    assert arguments == ['{"b":1}', '{"d"']
    assert cut.choices[0].tokens == called.choices[0].tokens - 2
    assert with_wire_fault(TURN, WireFault(WireFaultKind.TRUNCATED_ARGUMENTS)) == TURN
