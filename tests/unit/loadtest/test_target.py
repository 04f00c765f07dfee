"""What the server under test says about itself before the load."""

from typing import Any

import pytest

import loadtest.target as target_module
from loadtest.target import Target, describe_latency, describe_target, fetch_json, inspect_target

HEALTH = {"status": "ok", "version": "1.2.3"}
STATS = {
    "verdict": {"state": "idle"},
    "active_requests": 0,
    "workers": [{"alive": True}, {"alive": True}, {"alive": False}],
    "last_60_seconds": {"requests": [9] * 50 + [0] * 10},
}


def settings(**changed: str) -> dict[str, Any]:
    values = {"latency.profile": '""', "latency.ttft_mean_ms": "unset"}
    return {
        "settings": [
            {"name": name, "value": changed.get(name.partition(".")[2], value), "origin": origin}
            for name, value in values.items()
            for origin in ["flag" if name.partition(".")[2] in changed else "default"]
        ]
    }


def inspect(monkeypatch: pytest.MonkeyPatch, **documents: dict[str, Any]) -> Target:
    """Ask a server that has the given documents."""
    monkeypatch.setattr(target_module, "fetch_json", lambda url: documents.get(url.rpartition("/")[2], {}))
    return inspect_target("http://example.test")


def test_an_llmsim_says_what_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    """LOAD-6.6: Version, living workers and latency are shown; requests of a minute ago do not count."""
    found = inspect(monkeypatch, health=HEALTH, stats=STATS, settings=settings(profile='"fast"'))

    assert found.is_idle
    assert describe_target(found) == ["llmsim 1.2.3, 2 workers, latency: fast"]


@pytest.mark.parametrize(
    "stats",
    [{"active_requests": 3}, {"last_60_seconds": {"requests": [0] * 59 + [7]}}],
    ids=["busy", "recent"],
)
def test_a_server_in_use_is_a_warning(monkeypatch: pytest.MonkeyPatch, stats: dict[str, Any]) -> None:
    """LOAD-6.6: Requests in flight, and those of the last seconds, are other clients'."""
    found = inspect(monkeypatch, health=HEALTH, stats=STATS | stats)

    assert not found.is_idle
    assert "warning: it is not idle" in describe_target(found)[1]
    assert "latency: not shown to this machine" in describe_target(found)[0]


@pytest.mark.parametrize(
    "documents",
    [{}, {"health": HEALTH}, {"health": {"version": 7}, "stats": STATS}, {"stats": STATS}],
    ids=["nothing", "health only", "no version", "no health"],
)
def test_another_server_is_named_as_such(monkeypatch: pytest.MonkeyPatch, documents: dict[str, Any]) -> None:
    """LOAD-6.6: It is no reason not to offer load."""
    found = inspect(monkeypatch, **documents)

    assert found == Target()
    assert found.is_idle
    assert "not an llmsim" in describe_target(found)[0]


def test_figures_that_replace_those_of_a_profile_are_shown() -> None:
    """LOAD-6.6: The latency in force is profile and overrides."""
    assert describe_latency(settings()) == "each model's own"
    assert describe_latency(settings(ttft_mean_ms="120")) == "each model's own, ttft_mean_ms 120"
    assert describe_latency({}) is None
    assert describe_latency({"settings": [{"name": "x", "value": 1, "origin": "default"}]}) is None


def test_no_server_is_no_document() -> None:
    """LOAD-6.6: A server that is gone has said nothing."""
    assert fetch_json("http://127.0.0.1:9/health") == {}
