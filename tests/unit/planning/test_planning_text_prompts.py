"""Prompts of texts: analyzed in fewer steps, to the same."""

from typing import Any

import pytest

from llmsim.catalogue import shipped_catalogue
from llmsim.config import Settings, load
from llmsim.domain import Image, Message, Prompt, ToolResult
from llmsim.planning.planner import Planner

CATALOGUE = shipped_catalogue()
PLANNER = Planner(Settings(), CATALOGUE, lambda: 0.0)
HELLO = (Message("system", ("Be kind.",), name="n"), Message("user", ("Hello", "there"), notes=("x",)))


def prompt(**fields: Any) -> Prompt:
    return Prompt(**{"model": "gpt-4o", "messages": HELLO} | fields)


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"limit": 5, "seed": 1, "stream": True},
        {"limit": 1_000_000},
        {"model": "unknown", "limit": 1_000_000, "effort": "high"},
        {"model": "claude-sonnet-4-5"},
        {"model": "o3", "effort": "none"},
        {"messages": (*HELLO, Message("tool", (), results=(ToolResult("c", "It rains."),), extra_tokens=3))},
    ],
)
def test_texts_are_analyzed_to_the_same(fields: dict[str, Any]) -> None:
    """ARCH-7.4: The facts are those of the general way."""
    facts = PLANNER.analyze_text(prompt(**fields))

    assert facts is not None
    assert facts.is_plain
    assert facts == PLANNER.analyze(prompt(**fields))


@pytest.mark.parametrize(
    "fields",
    [
        {"model": "gpt-5"},
        {"model": "text-embedding-3-small"},
        {"choices": 2},
        {"stop": ("x",)},
        {"logprobs": 0},
        {"silent": True},
        {"prediction": ""},
        {"images": (Image(("x",), "auto", 1, 1),)},
        {"reserves_limit": True},
        {"model": "gpt-4", "messages": (Message("user", ("a " * 9_000,)),)},
        {"messages": HELLO * 30},
    ],
)
def test_other_prompts_are_left_to_the_general_way(fields: dict[str, Any]) -> None:
    """ARCH-7.4: What needs more than its texts counted is not analyzed."""
    assert PLANNER.analyze_text(prompt(**fields)) is None


@pytest.mark.parametrize(
    "flags", [{"response.seed": 1}, {"errors.rate_limit_rate": 1.0}, {"latency.prefill_ms_per_token": 1.0}]
)
def test_settings_that_need_more_are_left_to_the_general_way(flags: dict[str, Any]) -> None:
    """ARCH-7.4: So are all prompts where faults, seeds or latencies have to be looked at."""
    settings = load(path=None, environ={}, flags=flags, profiles=CATALOGUE.profiles).settings

    assert PLANNER.adapted(settings).analyze_text(prompt()) is None or "response.seed" in flags
    assert Planner(settings, CATALOGUE, lambda: 0.0).analyze_text(prompt()) is None
