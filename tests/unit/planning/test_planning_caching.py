"""The prompt cache: what is read, what is written, and what that saves."""

from typing import Any

import pytest
from support.fakes import FakeClock, counting_tickets

from llmsim.catalogue import load_catalogue
from llmsim.config import LatencySettings, Settings, StoreSettings
from llmsim.domain import CacheMark, Message, Prompt, Turn
from llmsim.planning.caching import CacheUse, use_cache
from llmsim.planning.planner import Planner
from llmsim.state.prefixes import Prefixes
from llmsim.state.store import SqliteStore

CATALOGUE = load_catalogue()


class Kept:
    """A cache that is a dictionary, and remembers what was asked of it."""

    def __init__(self, *keys: str) -> None:
        self.kept: dict[str, int] = dict.fromkeys(keys, 300)
        self.recalled: list[str] = []

    def recall(self, key: str) -> bool:
        """Remember the question, and answer it."""
        self.recalled.append(key)
        return key in self.kept

    def keep(self, key: str, lifetime: int) -> None:
        """Keep it."""
        self.kept[key] = lifetime


def marks(**lifetimes: int | None) -> list[CacheMark]:
    """Make marks named by their length: `m1000=300`."""
    return [CacheMark(key=name, messages=0, lifetime=lifetime) for name, lifetime in lifetimes.items()]


def used(cache: Kept, minimum: int = 1000, **lifetimes: int | None) -> CacheUse:
    return use_cache(cache, marks(**lifetimes), lambda mark: int(mark.key[1:]), minimum)


def test_the_first_time_is_written() -> None:
    """ANTH-7.1: Each stretch is written for the lifetime of the mark that ends it."""
    cache = Kept()

    assert used(cache, m1000=3600, m1200=None, m1500=300, m1600=300) == CacheUse(0, {3600: 1000, 300: 600})
    assert cache.kept == {"m1000": 3600, "m1500": 300, "m1600": 300}


def test_the_longest_prefix_is_read() -> None:
    """ANTH-7.2: The longest prefix that is kept is read, marked or not; what comes behind it is written."""
    cache = Kept("m1000", "m1400")

    assert used(cache, m1000=300, m1400=None, m1700=300) == CacheUse(1400, {300: 300})
    assert "m1000" in cache.recalled


def test_short_prefixes_are_not_kept() -> None:
    """ANTH-7.4: Below the minimum nothing is written; what is above counts from the start."""
    assert used(Kept(), m500=300, m999=300) == CacheUse()
    assert used(Kept(), m500=300, m1500=300) == CacheUse(0, {300: 1500})


def test_reading_renews_the_lifetime(tmp_path: Any) -> None:
    """ANTH-7.3: A prefix lives on from its last reading, and is gone when its lifetime is over."""
    clock = FakeClock()
    prefixes = Prefixes(SqliteStore(tmp_path / "store", StoreSettings(), clock), clock)
    prefixes.keep("k", 300)
    for _ in range(3):
        clock.now += 299
        assert prefixes.recall("k")
    clock.now += 300

    assert not prefixes.recall("k")
    assert not prefixes.recall("other")


def test_the_store_bounds_what_is_kept(tmp_path: Any) -> None:
    """ANTH-7.8: No more prefixes are kept than the store holds records; those in use stay."""
    clock = FakeClock()
    prefixes = Prefixes(SqliteStore(tmp_path / "store", StoreSettings(max_records=5), clock), clock)
    for number in range(20):
        prefixes.keep(str(number), 300)
        assert prefixes.recall("0")

    assert sum(prefixes.recall(str(number)) for number in range(20)) <= 5


def planned(tmp_path: Any, model: str, words: int) -> list[Turn]:
    """Plan the same prompt twice, of which all but the question is marked."""
    settings = Settings(
        latency=LatencySettings(profile="instant", ttft_mean_ms=1000, cache_hit_ttft_factor=0.2)
    )
    clock = FakeClock()
    store = SqliteStore(tmp_path / "store", StoreSettings(), clock)
    planner = Planner(settings, CATALOGUE, counting_tickets(), clock, Prefixes(store, clock))
    marked, rest = Message("system", (" play" * words,)), Message("user", ("Hello",))
    mark = CacheMark(key="k", messages=1, lifetime=300)
    prompt = Prompt(model=model, messages=(marked, rest), cache_marks=(mark,))
    return [turn for turn in (planner.plan(prompt), planner.plan(prompt)) if isinstance(turn, Turn)]


def test_usage_tells_what_the_cache_did(tmp_path: Any) -> None:
    """ANTH-7.1: The first turn writes the prefix, the second reads it; both have the same prompt."""
    first, second = planned(tmp_path, "claude-opus-4-8", 2000)

    assert first.usage.cache_written == {300: second.usage.cached}
    assert (first.usage.cached, second.usage.cache_written) == (0, {})
    assert 2000 < second.usage.cached < first.usage.prompt == second.usage.prompt


@pytest.mark.parametrize(
    ("model", "minimum"),
    [("claude-opus-4-8", 1024), ("claude-haiku-4-5", 4096), ("claude-opus-5", 512), ("nobody", 1024)],
)
def test_the_minimum_is_the_models(model: str, minimum: int, tmp_path: Any) -> None:
    """ANTH-7.4: Each model keeps prefixes from its own minimum on."""
    for name in ("short", "long"):
        (tmp_path / name).mkdir()

    assert planned(tmp_path / "short", model, minimum - 50)[1].usage.cached == 0
    assert planned(tmp_path / "long", model, minimum + 50)[1].usage.cached > minimum


def test_reading_shortens_the_time_to_first_token(tmp_path: Any) -> None:
    """ANTH-7.7: A share s read from the cache leaves 1 - s (1 - factor) of the time."""
    first, second = planned(tmp_path, "claude-opus-4-8", 2000)

    share = second.usage.cached / second.usage.prompt
    assert first.schedule.ttft == pytest.approx(1.0)
    assert second.schedule.ttft == pytest.approx(1 - share * 0.8)
