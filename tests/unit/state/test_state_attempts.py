"""Attempts of the steps of scenarios, over all workers."""

from pathlib import Path

import pytest

from llmsim.state.attempts import LIFETIME, SqliteAttemptStore


class Clock:
    """A clock that stands still."""

    now = 1000.0

    def __call__(self) -> float:
        """Return the time."""
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def attempts(tmp_path: Path, clock: Clock) -> SqliteAttemptStore:
    return SqliteAttemptStore(tmp_path / "attempts", clock)


async def test_attempts_are_counted_over_processes(
    attempts: SqliteAttemptStore, tmp_path: Path, clock: Clock
) -> None:
    """SCEN-6.2: Each step for itself, and with one count for all who share the file."""
    other = SqliteAttemptStore(tmp_path / "attempts", clock)

    assert [await store.begin("a") for store in (attempts, other, attempts)] == [0, 1, 2]
    assert await other.begin("b") == 0


async def test_a_step_is_forgotten_after_its_last_attempt(attempts: SqliteAttemptStore, clock: Clock) -> None:
    """SCEN-6.2: Ten minutes after it; each attempt begins them anew."""
    await attempts.begin("a")
    clock.now += LIFETIME - 1
    assert await attempts.begin("a") == 1
    clock.now += LIFETIME - 1
    assert await attempts.begin("a") == 2
    clock.now += LIFETIME

    assert await attempts.begin("a") == 0


async def test_an_attempt_can_be_taken_back(attempts: SqliteAttemptStore) -> None:
    """SCEN-6.3: If it is the last one that began."""
    await attempts.begin("a")
    await attempts.release("a", 0)
    assert await attempts.begin("a") == 0
    await attempts.begin("a")
    await attempts.release("a", 0)
    await attempts.release("unknown", 0)

    assert await attempts.begin("a") == 2


async def test_the_number_of_steps_is_bounded(tmp_path: Path, clock: Clock) -> None:
    """SCEN-6.4: Those that were tried least recently go; those that expired go first."""
    attempts = SqliteAttemptStore(tmp_path / "attempts", clock, most_steps=10)
    for number in range(60):
        clock.now += 1
        await attempts.begin(f"{number}")

    def count() -> int:
        found: int = attempts.database.run(
            lambda connection: connection.execute("SELECT count(*) FROM attempts").fetchone()[0]
        )
        return found

    assert count() <= 19
    assert await attempts.begin("59") == 1
    assert await attempts.begin("0") == 0
    clock.now += LIFETIME
    await attempts.begin("new")
    assert count() == 1
