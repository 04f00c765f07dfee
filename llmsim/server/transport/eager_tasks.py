"""Coroutines that run at once, and become a task only when they have to wait.

Decisions:
* Many requests wait for nothing, although they could: for the shared state, or for their time. PERF: 0.6 us; a task takes 1.7 us to be
  made, called by the loop and taken out of its set again. What is known to wait for nothing needs neither; see `Application.begin`.
* Python 3.12 has eager tasks of its own; this is what they do, for 3.11, too.
* Up to its first wait something stands for the task, because `asyncio.timeout` asks for it.
  Source: Python documentation, asyncio, "Extending": the functions that other implementations of tasks call.
"""

import asyncio
from asyncio.tasks import _enter_task, _leave_task
from collections.abc import Coroutine, Generator
from types import coroutine
from typing import Any, NoReturn


class _Beginning:
    """Stands for the task that a coroutine becomes when it waits."""

    __slots__ = ("__weakref__", "task")

    def __init__(self) -> None:
        self.task: asyncio.Task[None] | None = None

    def cancelling(self) -> int:
        """Return how often it was asked to end."""
        return 0 if self.task is None else self.task.cancelling()

    def __getattr__(self, name: str) -> Any:
        return getattr(self.task, name)


def start_eagerly(
    started: Coroutine[Any, Any, None], loop: asyncio.AbstractEventLoop, tasks: set[asyncio.Task[None]]
) -> None:
    """Run a coroutine until it waits for the first time; if it does, it is continued by a task.

    Args:
        started: The coroutine.
        loop: The running event loop.
        tasks: Holds the task until it has ended.
    """
    outer, beginning = asyncio.current_task(loop), _Beginning()
    if outer is not None:
        _leave_task(loop, outer)
    _enter_task(loop, beginning)  # type: ignore[arg-type] # what is asked of a task is passed on
    try:
        awaited = started.send(None)
    except StopIteration:
        return
    finally:
        _leave_task(loop, beginning)  # type: ignore[arg-type]
        if outer is not None:
            _enter_task(loop, outer)
    # PERF: a name for each is 0.06 kB of an open stream.
    beginning.task = task = loop.create_task(_continue(started, awaited), name="request")
    tasks.add(task)
    task.add_done_callback(tasks.discard)


@coroutine
def _continue(started: Coroutine[Any, Any, None], awaited: Any) -> Generator[Any, Any, None]:
    """Continue a coroutine that waits for `awaited`."""
    # NOTE: what was awaited is not referred to any longer when it is done: a future that has failed, its error, that error's
    # traceback and this frame would be a cycle, with the body of the request in it.
    following = [awaited]
    del awaited
    while True:
        try:
            try:
                value = yield following.pop()
            except BaseException as error:
                following.append(started.throw(error))
            else:
                following.append(started.send(value))
        except StopIteration:
            return


async def fail(errors: list[BaseException]) -> NoReturn:
    """Raise the one error where it is awaited; it is not referred to any longer then, as it would be a cycle."""
    raise errors.pop()
