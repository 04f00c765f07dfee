"""What of a prompt is read from the prompt cache, and what is written to it.

Decisions:
* The longest prefix that is kept is read; what is marked beyond it is written, each stretch for the
  lifetime of the mark that ends it. A prefix below the model's minimum is not written, silently.
* Reading a prefix renews its lifetime, and that of the marked prefixes inside it.

Source: Anthropic docs, build-with-claude/prompt-caching.
"""

from collections.abc import Callable, Sequence
from typing import Protocol

import msgspec

from llmsim.domain import CacheMark


class PromptCache(Protocol):
    """The prefixes that are kept, the same ones for all workers."""

    def recall(self, key: str) -> bool:
        """Tell whether a prefix is kept, and renew its lifetime if it is."""
        ...

    def keep(self, key: str, lifetime: int) -> None:
        """Keep a prefix for `lifetime` seconds."""
        ...


class NoCache:
    """A cache that keeps nothing."""

    def recall(self, key: str) -> bool:
        """See `PromptCache`."""
        return False

    def keep(self, key: str, lifetime: int) -> None:
        """See `PromptCache`."""


class CacheUse(msgspec.Struct, frozen=True):
    """What the cache did for one prompt.

    Attributes:
        read: Tokens read.
        written: Tokens written, by the seconds they are kept.
    """

    read: int = 0
    written: dict[int, int] = {}


UNUSED = CacheUse()


def use_cache(
    cache: PromptCache, marks: Sequence[CacheMark], length: Callable[[CacheMark], int], minimum: int
) -> CacheUse:
    """Read what is kept of a prompt, and keep what is marked.

    Args:
        cache: Where prefixes are kept.
        marks: Where prefixes end, the shortest first.
        length: Tells the tokens of the prefix that ends at a mark.
        minimum: Fewest tokens of a prefix that is kept.
    """
    hit = next((place for place in reversed(range(len(marks))) if cache.recall(marks[place].key)), -1)
    for mark in marks[: max(hit, 0)]:
        if mark.lifetime is not None:
            cache.recall(mark.key)
    done = read = length(marks[hit]) if hit >= 0 else 0
    written: dict[int, int] = {}
    for mark in marks[hit + 1 :]:
        if mark.lifetime is None or (tokens := length(mark)) < minimum:
            continue
        cache.keep(mark.key, mark.lifetime)
        written[mark.lifetime] = written.get(mark.lifetime, 0) + tokens - done
        done = tokens
    return CacheUse(read, written)
