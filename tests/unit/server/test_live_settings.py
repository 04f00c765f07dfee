"""Settings that change at run time, as one worker sees them."""

import logging
from pathlib import Path

import pytest
from support.driving import drive

from llmsim.server.live_settings import RunningTimeline, begin_timeline
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
