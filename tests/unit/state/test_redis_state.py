"""The state of several hosts: which backend is opened, and what starts and ends leave alone."""

import sys
import time
from pathlib import Path

import pytest
from support.redis_server import RedisServer

from llmsim.config import Settings, StateSettings
from llmsim.errors import ConfigError
from llmsim.state.embedded import EmbeddedState, open_state
from llmsim.state.redis.counters import RedisCounters


def test_without_an_address_the_state_is_embedded(tmp_path: Path) -> None:
    """MACH-1.1: Nothing changes."""
    assert type(open_state(Settings(), tmp_path, time.time)) is EmbeddedState


async def test_hosts_share_what_they_count(redis_server: RedisServer, tmp_path: Path) -> None:
    """MACH-1.1: Hosts of one address and prefix are one simulator."""
    settings = Settings(state=redis_server.settings())
    numbers = []
    for host in ("a", "b"):
        directory = tmp_path / host
        directory.mkdir()
        state = open_state(settings, directory, time.time)
        state.restart()
        assert isinstance(state.counters, RedisCounters)
        numbers.append(await state.counters.next("request"))
        state.remove()
        await state.close()

    assert numbers == [0, 1]


def test_a_client_that_is_not_installed_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """MACH-1.4: The start says what installs it."""
    for name in [name for name in sys.modules if name.startswith(("llmsim.state.redis", "redis"))]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "redis", None)
    with pytest.raises(ConfigError, match=r"pip install 'llmsim\[redis\]'"):
        open_state(Settings(state=StateSettings(url="redis://localhost")), tmp_path, time.time)
