"""The cache of prompts that are cached unmarked."""

import multiprocessing
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.driving import drive
from support.fakes import FakeClock
from support.prefix_caches import OpenCache, count_chains, opened_caches

from llmsim.config import StoreSettings
from llmsim.domain import PrefixChain
from llmsim.state.ports import PrefixCache
from llmsim.state.prefix_cache import SqlitePrefixCache

FORK = multiprocessing.get_context("fork")


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture(params=["file", "redis"])
def open_cache(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[OpenCache]:
    """Opens caches of each backend."""
    yield from opened_caches(request, tmp_path)


@pytest.fixture
def cache(open_cache: OpenCache, clock: FakeClock) -> PrefixCache:
    cache: PrefixCache = open_cache(clock)
    return cache


def chain(words: str, lifetime: int = 600) -> PrefixChain:
    """Return the prefixes of a prompt, one for each letter: `abc` is `a`, `ab`, `abc`."""
    ends = [words[: end + 1] for end in range(len(words))]
    digests = b"".join(hash(end).to_bytes(8, "big", signed=True) for end in ends)
    return PrefixChain(words[0], digests, tuple(1050 + 128 * end for end in range(len(words))), lifetime)


def read(cache: PrefixCache, words: str, owner: str = "", lifetime: int = 600) -> int:
    return drive(cache.follow(chain(words, lifetime), owner=owner))


def test_the_longest_common_prefix_is_read(cache: PrefixCache) -> None:
    """COST-2.1: Of all prompts that begin alike, in whole steps."""
    assert read(cache, "abcd") == 0
    assert read(cache, "abcd") == 1024 + 3 * 128
    assert read(cache, "abcx") == 1024 + 2 * 128
    assert read(cache, "abxy") == 1024 + 128
    assert read(cache, "abcxz") == 1024 + 3 * 128
    assert read(cache, "ab") == 1024 + 128
    assert read(cache, "xbcd") == 0


def test_owners_are_apart(cache: PrefixCache) -> None:
    """ACC-2.6: What one has cached is not read by another."""
    read(cache, "abcd", "one")

    assert (read(cache, "abcd", "two"), read(cache, "abcd")) == (0, 0)
    assert read(cache, "abcd", "one") > 0


def test_reading_renews(cache: PrefixCache, clock: FakeClock) -> None:
    """COST-2.5: A prompt is cached for its lifetime after its last use; a shorter lifetime takes nothing away."""
    read(cache, "abc")
    for _ in range(3):
        clock.now += 599
        assert read(cache, "abc") > 0
    read(cache, "abc", lifetime=86_400)
    read(cache, "abcd")
    clock.now += 80_000
    assert read(cache, "abc") > 0
    clock.now += 86_400
    assert read(cache, "abc") == 0


def test_a_conversation_is_one_row(cache: PrefixCache) -> None:
    """COST-2.7: A prompt takes the place of the one that it continues."""
    for length in range(1, 10):
        read(cache, "abcdefghij"[:length])

    assert count_chains(cache) == (1, 1, 9 * 8 + 256)


def test_the_last_of_prompts_that_begin_alike_are_kept(cache: PrefixCache) -> None:
    """COST-2.7: Of many prompts with one beginning some are enough to read it."""
    letters = [chr(code) for code in range(0x100, 0x180)]
    for letter in letters:
        assert (read(cache, f"ab{letter}c") > 0) is (letter != letters[0])

    assert count_chains(cache)[0] < 20
    assert read(cache, f"ab{letters[-1]}c") > read(cache, f"ab{letters[0]}c")


@pytest.mark.parametrize("limits", [{"max_records": 5}, {"max_bytes": 5 * (256 + 24)}])
def test_the_cache_is_bounded(open_cache: OpenCache, clock: FakeClock, limits: dict[str, int]) -> None:
    """COST-2.7: The prompts that were used last stay."""
    cache = open_cache(clock, **limits)
    for letter in "klmnopqrst":
        read(cache, f"{letter}bc")
        clock.now += 10
        assert read(cache, "kbc") > 0

    assert count_chains(cache)[0] <= 5
    assert [read(cache, f"{letter}bc") > 0 for letter in "lt"] == [False, True]


def test_nothing_is_kept_without_room(open_cache: OpenCache, clock: FakeClock) -> None:
    """COST-2.7: A store of no records caches nothing."""
    cache = open_cache(clock, max_records=0)

    assert [read(cache, "abc"), read(cache, "abc")] == [0, 0]


def test_processes_share_the_cache(tmp_path: Path, clock: FakeClock) -> None:
    """COST-2.1: What one process has cached another reads."""
    cache = SqlitePrefixCache(tmp_path / "prefixes", StoreSettings(), clock)
    cache.database.open()
    process = FORK.Process(target=read, args=(cache, "abc"))
    process.start()
    process.join()

    assert read(cache, "abc") == 1024 + 2 * 128
