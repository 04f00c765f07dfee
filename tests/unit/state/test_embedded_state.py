"""The state of one machine, in files of the run directory."""

import os
import time
from pathlib import Path

from llmsim.config import Settings
from llmsim.state.embedded import open_state


def test_what_cannot_be_removed_does_not_keep_the_rest(tmp_path: Path) -> None:
    """STATE-5.2: A directory in the place of a file is left, and the other files are removed."""
    state = open_state(Settings(), tmp_path, time.time)
    state.open()
    (tmp_path / f"{os.getpid()}.settings").mkdir()

    state.remove()

    assert [path for path in tmp_path.iterdir() if path.is_file()] == []
