"""The process of a simulator: the server of `llmsim serve`, which ends with whoever started it.

`python -P serving.py DESCRIPTOR DIRECTORY` takes the settings from the environment, writes its port to the
descriptor once it listens, and takes the directory with it when it ends.

Decisions:
* Standard input is a pipe that whoever started it holds. The system itself signals when that is closed, so that also a
  killed test run leaves nothing: a thread that waits for it would be there when gunicorn forks, of which Python warns.
* It ends at once: what is under way is of no use to anybody.
* Nothing is collected while it loads: 0.03 s.
"""

import fcntl
import gc
import os
import shutil
import signal
import sys
from pathlib import Path
from typing import Any


def main(ready: int, directory: str) -> None:
    """Serve until a signal comes, or standard input ends.

    Args:
        ready: Descriptor that is told the port.
        directory: Goes when the server does.
    """
    gc.disable()
    owner = os.getpid()
    try:
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, _leave)
        _end_with_standard_input()
        _serve(ready)
    finally:
        _hear_no_more()
        # NOTE: workers come along here, too.
        if os.getpid() == owner:
            shutil.rmtree(directory, ignore_errors=True)


def _serve(ready: int) -> None:
    from llmsim.catalogue import load_catalogue
    from llmsim.cli.serve import run
    from llmsim.config import Settings, load
    from llmsim.errors import LlmsimError

    def announce(settings: Settings) -> None:
        gc.enable()
        os.write(ready, f"{settings.server.port}\n".encode())
        os.close(ready)

    try:
        run(load(profiles=load_catalogue().profiles).settings, announce)
    except LlmsimError as error:
        sys.exit(f"llmsim: {error}")


def _end_with_standard_input() -> None:
    os.set_blocking(0, False)
    signal.signal(signal.SIGIO, _look)
    fcntl.fcntl(0, fcntl.F_SETOWN, os.getpid())
    fcntl.fcntl(0, fcntl.F_SETFL, fcntl.fcntl(0, fcntl.F_GETFL) | os.O_ASYNC)
    # It may have ended before anybody was to be told.
    _look()


def _look(*_: Any) -> None:
    try:
        has_ended = os.read(0, 4096) == b""
    except BlockingIOError:
        return
    if has_ended:
        os.kill(os.getpid(), signal.SIGINT)


def _leave(*_: Any) -> None:
    _hear_no_more()
    sys.exit(0)


def _hear_no_more() -> None:
    """Ignore further signals: the end of standard input may be told twice, and must not break off the tidying up."""
    for number in (signal.SIGIO, signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)


if __name__ == "__main__":
    # The llmsim that the tests have imported, wherever they have it from.
    home = str(Path(__file__).parents[2])
    if home not in sys.path:
        sys.path.insert(0, home)
    main(int(sys.argv[1]), sys.argv[2])
