"""The prompt cache: what is read, what is written, and for how long."""

import multiprocessing
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.driving import drive
from support.fakes import FakeClock
from support.prefix_caches import OpenCache, opened_caches

from llmsim.config import StoreSettings
from llmsim.domain import CacheUse, PrefixMark
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


def use(cache: PrefixCache, minimum: int = 1000, **lifetimes: int | None) -> CacheUse:
    """Use the cache for marks that are named by their tokens: `m1000=300`."""
    marks = [PrefixMark(name, int(name[1:]), lifetime) for name, lifetime in lifetimes.items()]
    return drive(cache.use(marks, minimum))


def is_cached(cache: PrefixCache, key: str) -> bool:
    """Return whether a prefix is cached, and renew it if so."""
    return drive(cache.use([PrefixMark(key, 1)], 1)).read > 0


def test_the_first_time_is_written(cache: PrefixCache, clock: FakeClock) -> None:
    """ANTH-7.1: Each stretch is written for the lifetime of the mark that ends it."""
    assert use(cache, m1000=3600, m1200=None, m1500=300, m1600=300) == CacheUse(0, {3600: 1000, 300: 600})
    assert not is_cached(cache, "m1200")
    clock.now += 300
    assert [is_cached(cache, key) for key in ("m1000", "m1500", "m1600")] == [True, False, False]


def test_the_longest_prefix_is_read(cache: PrefixCache) -> None:
    """ANTH-7.2: The longest cached prefix is read, marked or not; what comes after it is written."""
    use(cache, m1000=300, m1400=300)

    assert use(cache, m1000=300, m1400=None, m1700=300) == CacheUse(1400, {300: 300})


def test_short_prefixes_are_not_written(cache: PrefixCache) -> None:
    """ANTH-7.4: Below the minimum nothing is written; what is above counts from the start."""
    assert use(cache, m500=300, m999=300) == CacheUse()
    assert use(cache, m500=300, m1500=300) == CacheUse(0, {300: 1500})


def test_reading_renews_the_lifetime(cache: PrefixCache, clock: FakeClock) -> None:
    """ANTH-7.3: A prefix stays cached for its lifetime after it was last read, and is written anew later."""
    use(cache, m1000=300)
    for _ in range(3):
        clock.now += 299
        assert use(cache, m1000=300) == CacheUse(1000)
    clock.now += 300

    assert use(cache, m1000=300) == CacheUse(0, {300: 1000})
    assert use(cache, m1000=300) == CacheUse(1000)


def test_marked_prefixes_inside_are_renewed(cache: PrefixCache, clock: FakeClock) -> None:
    """ANTH-7.3: Reading a prefix renews those marked inside it, each for its own lifetime, and no others."""
    use(cache, m1000=300, m1100=300, m1200=300)
    clock.now += 200
    use(cache, m1000=3600, m1100=None, m1200=300)
    clock.now += 200

    assert not is_cached(cache, "m1100")
    assert is_cached(cache, "m1000")
    clock.now += 300
    assert not is_cached(cache, "m1000")


@pytest.mark.parametrize("limits", [{"max_records": 5}, {"max_bytes": 5 * 512}])
def test_the_cache_is_bounded(open_cache: OpenCache, clock: FakeClock, limits: dict[str, int]) -> None:
    """ANTH-7.8: The bounds of the store hold for prefixes; those in use stay."""
    cache = open_cache(clock, **limits)
    for number in range(20):
        drive(cache.use([PrefixMark(str(number), 1, 300)], 1))
        assert is_cached(cache, "0")

    assert sum(is_cached(cache, str(number)) for number in range(20)) == 5


def test_a_cache_of_nothing_holds_nothing(open_cache: OpenCache, clock: FakeClock) -> None:
    """ANTH-7.8: With room for no record no prefix is cached, although it counts as written."""
    cache = open_cache(clock, max_records=0)

    assert [use(cache, m1000=300) for _ in range(2)] == [CacheUse(0, {300: 1000})] * 2


def plain_use(cached: dict[str, tuple[int, float]], marks: Sequence[PrefixMark], now: float) -> CacheUse:
    """Use a cache that is a dictionary of lifetimes and ends, a mark after the other."""

    def renew(key: str) -> bool:
        lifetime, end = cached.get(key, (0, 0.0))
        if now >= end:
            return False
        cached[key] = lifetime, now + lifetime
        return True

    hit = next((index for index in reversed(range(len(marks))) if renew(marks[index].key)), -1)
    for mark in marks[: max(hit, 0)]:
        if mark.lifetime is not None:
            renew(mark.key)
    end = read = marks[hit].tokens if hit >= 0 else 0
    written: dict[int, int] = {}
    for mark in marks[hit + 1 :]:
        if mark.lifetime is not None and mark.tokens >= 3:
            cached[mark.key] = mark.lifetime, now + mark.lifetime
            written[mark.lifetime] = written.get(mark.lifetime, 0) + mark.tokens - end
            end = mark.tokens
    return CacheUse(read, written)


@pytest.fixture(scope="module", params=["file", "redis"])
def open_caches(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[OpenCache]:
    """Opens caches of each backend for all examples of a property."""
    yield from opened_caches(request, tmp_path_factory.mktemp("cache"))


@given(
    requests=st.lists(
        st.tuples(
            st.integers(0, 400),
            st.dictionaries(st.integers(1, 8), st.sampled_from([None, 300, 3600]), max_size=6),
        ),
        max_size=12,
    )
)
def test_it_does_what_a_dictionary_does(
    open_caches: OpenCache, requests: list[tuple[int, dict[int, int | None]]]
) -> None:
    """ANTH-7.2, ANTH-7.3: Whatever is marked and whatever time passes, reads, writes and renewals are those of the model."""
    clock = FakeClock()
    cache = open_caches(clock)
    cached: dict[str, tuple[int, float]] = {}
    for seconds, lifetimes in requests:
        clock.now += seconds
        marks = [PrefixMark(str(tokens), tokens, lifetimes[tokens]) for tokens in sorted(lifetimes)]

        assert drive(cache.use(marks, 3)) == plain_use(cached, marks, clock.now)


def test_a_prefix_is_written_by_one_process(tmp_path: Path, clock: FakeClock) -> None:
    """ANTH-7.1: Of several processes that use a prefix at once, one writes it and the others read it."""
    cache = SqlitePrefixCache(tmp_path / "prefixes", StoreSettings(), clock)
    queue = FORK.SimpleQueue()
    processes = [FORK.Process(target=lambda: queue.put(use(cache, m1000=300))) for _ in range(4)]
    for process in processes:
        process.start()
    uses = [queue.get() for _ in processes]
    for process in processes:
        process.join()

    assert sorted(one.read for one in uses) == [0, 1000, 1000, 1000]
