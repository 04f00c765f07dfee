"""Calls the embedded state from synchronous tests: its coroutines never suspend."""

import inspect
from collections.abc import Coroutine
from functools import wraps
from typing import Any, TypeVar

T = TypeVar("T")


def drive(coroutine: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine to its end; fail if it suspends."""
    try:
        coroutine.send(None)
    except StopIteration as stop:
        result: T = stop.value
        return result
    coroutine.close()
    raise AssertionError("the coroutine suspended")


class Driven:
    """A port whose coroutine methods are called like functions.

    Args:
        port: The port.
    """

    def __init__(self, port: Any) -> None:
        self.port = port

    def __getattr__(self, name: str) -> Any:
        """Return a method that drives the port's, or another attribute as it is."""
        value = getattr(self.port, name)
        if not inspect.iscoroutinefunction(value):
            return value

        @wraps(value)
        def call(*args: Any, **kwargs: Any) -> Any:
            return drive(value(*args, **kwargs))

        return call
