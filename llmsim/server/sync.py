"""Runs coroutines of the embedded state where there is no event loop: they never suspend."""

import inspect
from collections.abc import Coroutine
from functools import wraps
from typing import Any, TypeVar

T = TypeVar("T")


def run_sync(coroutine: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine that never suspends; return its result."""
    try:
        coroutine.send(None)
    except StopIteration as stop:
        result: T = stop.value
        return result
    coroutine.close()
    raise RuntimeError("the coroutine suspended")


class Synchronous:
    """An object whose coroutine methods are called like functions."""

    def __init__(self, target: Any) -> None:
        self._target = target

    def __getattr__(self, name: str) -> Any:
        value = getattr(self._target, name)
        if not inspect.iscoroutinefunction(value):
            return value

        @wraps(value)
        def call(*args: Any, **kwargs: Any) -> Any:
            return run_sync(value(*args, **kwargs))

        return call
