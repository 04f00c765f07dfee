"""Prompt caches of each backend, for tests that have no event loop."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from llmsim.config import StoreSettings
from llmsim.state.prefix_cache import SqlitePrefixCache
from llmsim.state.redis.prefixes import RedisPrefixCache
from support.redis_server import BlockingClient

OpenCache = Callable[..., Any]

_numbers = count()


def opened_caches(request: pytest.FixtureRequest, path: Path) -> Iterator[OpenCache]:
    """Yield what opens caches of the backend `request.param`, each with a content of its own.

    Args:
        request: That of a fixture with the parameters `file` and `redis`.
        path: A directory.
    """
    server = request.getfixturevalue("redis_server") if request.param == "redis" else None
    with ExitStack() as stack:

        def open_cache(clock: Callable[[], float], **limits: int) -> Any:
            bounds = StoreSettings(**limits)
            if server is None:
                file = SqlitePrefixCache(path / f"{next(_numbers)}.prefixes", bounds, clock)
                stack.callback(file.database.close)
                return file
            blocking = BlockingClient(server.settings(), clock)
            stack.callback(blocking.close)
            return blocking.port(RedisPrefixCache(blocking.client, bounds))

        yield open_cache


def count_chains(cache: Any) -> tuple[int, int, int]:
    """Return the number of prompts that are cached unmarked, and both totals."""
    if isinstance(cache, SqlitePrefixCache):
        query = "SELECT (SELECT count(*) FROM chain), chains, bytes FROM chain_total"
        found: tuple[int, int, int] = cache.database.run(
            lambda connection: connection.execute(query).fetchone()
        )
        return found
    blocking: BlockingClient = cache.blocking
    root = blocking.client.key("chains")
    keys = [key for key in blocking.run(blocking.client.run("KEYS", "*")) if key.startswith(root + b":row:")]
    ordered = blocking.run(blocking.client.run("ZCARD", root + b":order"))
    return len(keys), ordered, int(blocking.run(blocking.client.run("GET", root + b":bytes")))
