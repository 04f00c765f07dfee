"""The bytes of bodies that a worker holds."""

import asyncio

import pytest

from llmsim.errors import TransportError
from llmsim.server.transport.body_budget import BodyBudget


class Reader:
    """A reader that remembers whether it is paused."""

    def __init__(self) -> None:
        self.paused = False

    def pause(self) -> None:
        """Pause."""
        self.paused = True

    def resume(self) -> None:
        """Resume."""
        self.paused = False


def readers(count: int) -> list[Reader]:
    return [Reader() for _ in range(count)]


def test_within_the_budget_nothing_waits() -> None:
    """TRAN-1.3: Bodies that fit are read side by side, and count until they are released."""
    budget = BodyBudget(10, 60)
    both = readers(2)
    for reader in both:
        budget.hold(reader, 1, 5)

    assert not any(reader.paused for reader in both)
    assert budget.held == 10
    budget.hold(both[0], 3)
    budget.release(both[1])
    assert budget.held == 3


def test_what_does_not_fit_waits_in_order() -> None:
    """TRAN-1.11: A smaller body does not overtake a larger one, and what is reserved is enough to the end."""
    budget = BodyBudget(10, 60)
    first, over, large, small = readers(4)
    for reader, expected in ((first, 8), (over, 8), (large, 7), (small, 2)):
        budget.hold(reader, 1, expected)
    assert [reader.paused for reader in (first, over, large, small)] == [False, False, True, True]
    budget.hold(first, 5, 8)
    assert not first.paused

    budget.hold(over, 2)

    assert [large.paused, small.paused] == [True, True]
    budget.release(first)
    assert [large.paused, small.paused] == [False, True]
    budget.release(over)
    assert not small.paused
    assert budget.held == 9


def test_one_always_goes_on() -> None:
    """TRAN-1.3: A body that is larger than the budget is read, one at a time."""
    budget = BodyBudget(10, 60)
    three = readers(3)
    for reader in three:
        budget.hold(reader, 1, 20)
    assert [reader.paused for reader in three] == [False, True, True]
    budget.hold(three[0], 20, 30)
    assert not three[0].paused

    budget.release(three[0])

    assert [reader.paused for reader in three] == [False, False, True]
    assert budget.held == 21


def test_who_waits_and_leaves_makes_room() -> None:
    """TRAN-1.3: So does one that is larger than the others."""
    budget = BodyBudget(10, 60)
    first, over, large, small = readers(4)
    for reader, expected in ((first, 5), (over, 7), (large, 9), (small, 3)):
        budget.hold(reader, 1, expected)
    budget.release(over)
    assert not large.paused
    budget.release(large)

    assert not small.paused
    assert budget.held == 8


def test_a_complete_body_does_not_wait() -> None:
    """TRAN-1.3: A reader that wants nothing more is not paused, so that its disconnect is seen."""
    budget = BodyBudget(1, 60)
    one, two, other = readers(3)
    for reader in (one, two, other):
        budget.hold(reader, 1, 2)
    assert other.paused

    budget.hold(other, 2)

    assert not other.paused


async def test_reservations_wait_for_their_whole_size() -> None:
    """TRAN-1.3, TRAN-3.4: Inflated bodies are held in one piece, and one that no longer wants it leaves nothing behind."""
    budget = BodyBudget(4, 60)
    first = await budget.reserve(3)
    second = await budget.reserve(3)
    assert budget.held == 6
    waiting = [asyncio.ensure_future(budget.reserve(1)) for _ in range(3)]
    await asyncio.sleep(0)
    waiting[1].cancel()
    await asyncio.gather(waiting[1], return_exceptions=True)
    assert not waiting[0].done()

    first.release()
    await asyncio.wait_for(waiting[0], 5)
    second.release()
    last = await asyncio.wait_for(waiting[2], 5)
    assert budget.held == 2
    last.release()
    waiting[0].result().release()
    assert budget.held == 0


async def test_a_reservation_without_room_ends() -> None:
    """TRAN-1.12: With what says so, and without a trace."""
    budget = BodyBudget(4, 0.01)
    first, _ = await budget.reserve(3), await budget.reserve(3)
    with pytest.raises(TransportError, match="no room") as caught:
        await budget.reserve(1)
    first.release()

    assert caught.value.status == 503
    assert caught.value.is_temporary
    assert budget.held == 3
