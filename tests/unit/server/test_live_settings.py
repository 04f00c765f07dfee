"""Settings that change at run time, as one worker sees them."""

import asyncio
import logging
import time
from pathlib import Path

import pytest
from support.driving import drive

from llmsim.config import Settings
from llmsim.errors import StoreError
from llmsim.server.live_settings import LiveSettings, RunningTimeline, begin_timeline
from llmsim.state.runtime_settings import SharedSettings


def test_a_host_that_joins_follows_what_is_in_force(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """MACH-12.8: The timeline of its files begins where nothing is changed; another one does not, and the log says so."""
    shared = SharedSettings(tmp_path / "1.settings")
    first, same, other = (
        RunningTimeline(f"[[step]]\nat_secs = {number}", "toml", f"{number}.toml", started)
        for number, started in ((0, 1.0), (0, 2.0), (5, 3.0))
    )
    with caplog.at_level(logging.WARNING):
        drive(begin_timeline(shared, first))
        drive(begin_timeline(shared, same))
        assert caplog.messages == []
        drive(begin_timeline(shared, other))

    assert caplog.messages[0].startswith("5.toml does not begin: ")
    assert b'"started":1.0' in drive(shared.read()).data


async def test_requests_wait_for_a_change_that_takes_a_while(tmp_path: Path) -> None:
    """CTRL-2.1, CTRL-2.2: While a change is put in force no request goes on by what was before it; one that fails is no news again."""
    live = LiveSettings(Settings(), {}, SharedSettings(tmp_path / "1.settings"), ())
    begun, done, applied = asyncio.Event(), asyncio.Event(), []

    async def apply(settings: Settings) -> None:
        begun.set()
        await done.wait()
        applied.append(settings.latency.ttft_mean_ms)
        if len(applied) > 1:
            raise StoreError("the disk is full")

    live.start(apply, lambda *_: None)
    changing = asyncio.create_task(live.change({"latency.ttft_mean_ms": 7}))
    await begun.wait()
    during = live.is_current(time.monotonic())
    waiting = asyncio.create_task(live.take_changes(time.monotonic()))
    await asyncio.sleep(0)
    waits = not waiting.done()
    done.set()
    await asyncio.gather(changing, waiting)
    after = live.is_current(time.monotonic())
    await live.change({"latency.ttft_mean_ms": 8})

    assert (during, waits, after) == (False, True, True)
    assert applied == [7, 8]
    assert live.settings.latency.ttft_mean_ms == 7
    assert live.is_current(time.monotonic())


async def test_nothing_is_followed_that_is_not_needed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """ENG-5.3: A worker looks for changes on its own while it has an engine; afterwards no timer is left, until it has one again."""
    monkeypatch.setattr("llmsim.server.live_settings._FOLLOW", 0.001)
    shared = SharedSettings(tmp_path / "1.settings")
    live, other = (LiveSettings(Settings(), {}, shared, ()) for _ in range(2))
    looks = iter([True, True, False, True, False])
    asked: list[bool] = []
    ended = asyncio.Event()

    def is_needed() -> bool:
        asked.append(next(looks))
        if not asked[-1]:
            asyncio.get_running_loop().call_soon(ended.set)
        return asked[-1]

    await other.change({"latency.ttft_mean_ms": 7})
    live.follow(is_needed)
    live.follow(is_needed)
    await ended.wait()
    await asyncio.sleep(0.01)
    first = list(asked)
    ended.clear()
    live.follow(is_needed)
    await ended.wait()

    assert first == [True, True, False]
    assert asked == [True, True, False, True, False]
    assert live.settings.latency.ttft_mean_ms == 7
