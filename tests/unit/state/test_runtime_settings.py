"""What is changed at run time, in memory that processes share."""

import os
from pathlib import Path

import pytest
from support.driving import drive

from llmsim.state.runtime_settings import MOST_BYTES, SharedSettings
from llmsim.state.settings_port import NO_CHANGES, StoredChanges


@pytest.fixture
def shared(tmp_path: Path) -> SharedSettings:
    return SharedSettings(tmp_path / "1.settings")


def test_changes_are_read_as_written(shared: SharedSettings) -> None:
    """CTRL-2.1: What was written last is read, whatever its size."""
    assert drive(shared.read()) == NO_CHANGES
    for epoch, data in enumerate((b"a" * 5000, b"b", b"", b"c" * MOST_BYTES)):
        assert drive(shared.replace(data, epoch=epoch))
        assert shared.epoch == epoch + 1
        assert drive(shared.read()) == StoredChanges(epoch + 1, data)


def test_an_outdated_change_writes_nothing(shared: SharedSettings) -> None:
    """CTRL-2.5: Who has not read the last change cannot overwrite it."""
    drive(shared.replace(b"a", epoch=0))

    assert not drive(shared.replace(b"b", epoch=0))
    assert drive(shared.read()) == StoredChanges(1, b"a")


def test_too_large_changes(shared: SharedSettings) -> None:
    """CTRL-2.4: What has no room changes nothing."""
    with pytest.raises(ValueError, match="bytes"):
        drive(shared.replace(b"a" * (MOST_BYTES + 1), epoch=0))

    assert shared.epoch == 0


def test_a_process_sees_what_another_has_changed(shared: SharedSettings) -> None:
    """CTRL-2.1: Forked processes share the changes, whichever makes them."""
    child = os.fork()
    if child == 0:
        drive(shared.replace(b"child", epoch=0))
        os._exit(0)
    os.waitpid(child, 0)

    assert drive(shared.read()) == StoredChanges(1, b"child")
    assert drive(shared.replace(b"parent", epoch=1))


def test_a_half_written_change_is_not_read(shared: SharedSettings) -> None:
    """CTRL-2.2: A writer that is killed before it has finished has changed nothing."""
    drive(shared.replace(b"whole", epoch=0))
    shared._memory[-100:] = b"x" * 100
    shared._words[1] = 77

    assert drive(shared.read()) == StoredChanges(1, b"whole")
