"""The bytes of bodies that a worker holds."""

import asyncio

from llmsim.server.transport.body_budget import BodyBudget

PIECE = 262_144


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
    """TRAN-1.3: Bodies that fit are read side by side."""
    budget = BodyBudget(10 * PIECE)
    both = readers(2)
    for reader in both:
        budget.hold(reader, 4 * PIECE)

    assert not any(reader.paused for reader in both)
    assert budget.held == 8 * PIECE


def test_over_the_budget_all_but_one_wait_in_order() -> None:
    """TRAN-1.3: One goes on to its end; the one that has waited longest then takes its place."""
    budget = BodyBudget(4 * PIECE)
    first, second, third = three = readers(3)
    for reader in three:
        budget.hold(reader, 2 * PIECE)
    assert [reader.paused for reader in three] == [False, False, True]
    budget.hold(first, 3 * PIECE)
    budget.hold(second, 8 * PIECE)
    assert [reader.paused for reader in three] == [True, False, True]

    budget.release(second)

    assert [reader.paused for reader in three] == [True, False, False]
    budget.release(third)
    assert not first.paused
    budget.release(first)
    assert budget.held == 0


def test_a_complete_body_does_not_wait() -> None:
    """TRAN-1.3: A reader that wants nothing more is not paused, so that its disconnect is seen."""
    budget = BodyBudget(PIECE)
    one, other = readers(2)
    budget.hold(one, PIECE)
    budget.hold(other, PIECE)
    assert other.paused

    budget.hold(other, PIECE, 0)

    assert not other.paused


async def test_reservations_wait_for_their_whole_size() -> None:
    """TRAN-1.3, TRAN-3.4: Inflated bodies are held in one piece, and one that no longer wants it leaves nothing behind."""
    budget = BodyBudget(4 * PIECE)
    first = await budget.reserve(3 * PIECE)
    second = await budget.reserve(3 * PIECE)
    assert budget.held == 6 * PIECE
    waiting = [asyncio.ensure_future(budget.reserve(PIECE)) for _ in range(3)]
    await asyncio.sleep(0)
    waiting[1].cancel()
    await asyncio.gather(waiting[1], return_exceptions=True)
    assert not waiting[0].done()

    first.release()
    await asyncio.wait_for(waiting[0], 5)
    second.release()
    last = await asyncio.wait_for(waiting[2], 5)
    assert budget.held == 2 * PIECE
    last.release()
    waiting[0].result().release()
    assert budget.held == 0
