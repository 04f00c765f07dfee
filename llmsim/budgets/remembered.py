"""A cache of results for texts of clients.

Decisions:
* A cache that counts entries is no bound on memory if clients choose the keys: a key of 20 MB would be kept as long as one of 20
  bytes. Long keys are passed through, and their results computed anew.
* PERF: for one and two arguments it takes 0.1 and 0.2 us more than `lru_cache`, for any number of them 0.4 us.
"""

import functools
import inspect
from collections.abc import Callable
from typing import Any, TypeVar

F = TypeVar("F", bound=Callable[..., Any])

_SIZED = (str, bytes, tuple)


def remembered(maxsize: int, max_chars: int = 1000) -> Callable[[F], F]:
    """Return a decorator that caches the results of a function of texts.

    Args:
        maxsize: Most entries; the least recently used is dropped first.
        max_chars: Length of all texts, bytes and tuples of a key together; a longer key is not cached. What is passed by name is a
            flag, and not counted.
    """

    def decorate(function: F) -> F:
        cached = functools.lru_cache(maxsize)(function)
        wrap = _WRAPPERS.get(len(inspect.signature(function).parameters), _of_any)
        call: Any = functools.wraps(function)(wrap(function, cached, max_chars))
        call.cache_info = cached.cache_info
        return call  # type: ignore[no-any-return] # it takes and returns what the function does

    return decorate


def _of_one(function: Callable[..., Any], cached: Callable[..., Any], max_chars: int) -> Callable[..., Any]:
    def call(text: Any) -> Any:
        return cached(text) if len(text) <= max_chars else function(text)

    return call


def _of_two(function: Callable[..., Any], cached: Callable[..., Any], max_chars: int) -> Callable[..., Any]:
    def call(text: Any, other: Any) -> Any:
        size = len(text) if isinstance(text, _SIZED) else 0
        if isinstance(other, _SIZED):
            size += len(other)
        return cached(text, other) if size <= max_chars else function(text, other)

    return call


def _of_any(function: Callable[..., Any], cached: Callable[..., Any], max_chars: int) -> Callable[..., Any]:
    def call(*args: Any, **flags: Any) -> Any:
        size = sum([len(arg) for arg in args if isinstance(arg, _SIZED)])
        return cached(*args, **flags) if size <= max_chars else function(*args, **flags)

    return call


_WRAPPERS = {1: _of_one, 2: _of_two}
