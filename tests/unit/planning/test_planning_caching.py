"""The prompt cache in planning: usage, and the time that it saves."""

from typing import Any

import pytest
from support.fakes import FakeClock
from support.planning import plan_turn

from llmsim.catalogue import load_catalogue
from llmsim.config import LatencySettings, Settings, StoreSettings
from llmsim.domain import CacheMark, Message, Prompt, Turn
from llmsim.planning.planner import Planner
from llmsim.state.prefix_cache import SqlitePrefixCache

CATALOGUE = load_catalogue()


def planned(tmp_path: Any, model: str, words: int) -> list[Turn]:
    """Plan the same prompt twice, of which all but the question is marked."""
    settings = Settings(
        latency=LatencySettings(profile="instant", ttft_mean_ms=1000, cache_hit_ttft_factor=0.2)
    )
    clock = FakeClock()
    cache = SqlitePrefixCache(tmp_path / "prefixes", StoreSettings(), clock)
    planner = Planner(settings, CATALOGUE, clock)
    marked, rest = Message("system", (" play" * words,)), Message("user", ("Hello",))
    mark = CacheMark(key="k", messages=1, lifetime=300)
    prompt = Prompt(model=model, messages=(marked, rest), cache_marks=(mark,))
    return [plan_turn(planner, prompt, cache=cache) for _ in range(2)]


def test_usage_reports_what_the_cache_did(tmp_path: Any) -> None:
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
