"""Coroutines that run at once."""

import asyncio
import gc
import weakref
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from llmsim.server.transport.eager_tasks import start_eagerly

Tasks = set[asyncio.Task[None]]


def start(work: Coroutine[Any, Any, None]) -> Tasks:
    tasks: Tasks = set()
    start_eagerly(work, asyncio.get_running_loop(), tasks)
    return tasks


async def test_what_waits_for_nothing_needs_no_task() -> None:
    """ARCH-7.3: It has run to its end when it is started."""
    steps: list[str] = []

    async def work() -> None:
        steps.append("done")

    assert start(work()) == set()
    assert steps == ["done"]


async def test_what_waits_goes_on_in_a_task() -> None:
    """ARCH-7.3: What is waited for is received, values and errors, and the task leaves the set at its end."""
    loop = asyncio.get_running_loop()
    first: asyncio.Future[str] = loop.create_future()
    second: asyncio.Future[str] = loop.create_future()
    steps: list[Any] = []

    async def work() -> None:
        steps.append(await first)
        try:
            await second
        except ValueError as error:
            steps.append(error)
        async with asyncio.timeout(60):
            await asyncio.sleep(0)

    tasks = start(work())
    first.set_result("value")
    problem = ValueError()
    second.set_exception(problem)
    (task,) = tasks
    await task
    await asyncio.sleep(0)

    assert steps == ["value", problem]
    assert tasks == set()


@pytest.mark.parametrize(
    "wait", [lambda: asyncio.sleep(60), lambda: asyncio.get_running_loop().create_future()]
)
async def test_it_is_cancelled_with_its_task(wait: Callable[[], Any]) -> None:
    """ARCH-7.3: A task that is cancelled cancels the coroutine where it waits."""
    ends: list[BaseException] = []

    async def work() -> None:
        try:
            await wait()
        except asyncio.CancelledError as error:
            ends.append(error)
            raise

    (task,) = start(work())
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task

    assert len(ends) == 1


async def test_a_task_that_is_cancelled_before_it_runs_leaves_nothing() -> None:
    """ARCH-7.3: The coroutine is closed then, so that what it holds is released."""
    ends: list[str] = []

    async def work() -> None:
        try:
            await asyncio.sleep(60)
        finally:
            ends.append("closed")

    tasks = start(work())
    tasks.pop().cancel()
    await asyncio.sleep(0)
    await asyncio.sleep(0)

    assert ends == ["closed"]


async def test_a_timeout_that_begins_before_the_first_wait_ends_it() -> None:
    """ARCH-7.3: A time that is bounded from the beginning is bounded in the task, too."""
    ends: list[str] = []

    async def work() -> None:
        try:
            async with asyncio.timeout(0.01):
                await asyncio.sleep(60)
        except TimeoutError:
            ends.append("timeout")
        async with asyncio.timeout(60):
            await asyncio.sleep(0)
        ends.append("goes on")

    (task,) = start(work())
    await task

    assert ends == ["timeout", "goes on"]
    assert asyncio.current_task() is not None


async def test_an_error_that_was_awaited_leaves_no_cycle() -> None:
    """ARCH-7.3: What failed is freed at the end of the request, not when garbage is collected."""

    class ProblemError(Exception):
        """A problem that can be watched."""

    failing: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    watched: list[weakref.ref[ProblemError]] = []

    async def work(failing: asyncio.Future[None]) -> None:
        try:
            await failing
        except ProblemError as problem:
            del failing
            watched.append(weakref.ref(problem))

    gc.disable()
    try:
        (task,) = start(work(failing))
        failing.set_exception(ProblemError())
        await task
        del failing, task
        await asyncio.sleep(0)

        assert watched[0]() is None
    finally:
        gc.enable()
