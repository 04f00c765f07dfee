"""The server process of a simulator: `llmsim serve`, but it exits with the process that started it.

`python -P server.py DESCRIPTOR DIRECTORY` reads the settings from the environment, writes its port to the descriptor
once it listens, and removes the directory when it exits.

Decisions:
* Standard input is a pipe that the starting process holds. The kernel signals when it is closed, so that even a killed
  test run leaves nothing behind. A thread that waits for it would exist when gunicorn forks, of which Python warns.
* It exits at once: no one needs the requests in progress.
* The garbage collector is off while it starts: saves 0.03 s.
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
    """Serve until a signal arrives, or standard input is closed.

    Args:
        ready: Descriptor to which the port is written.
        directory: Directory that is removed on exit.
    """
    gc.disable()
    owner = os.getpid()
    try:
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, _exit)
        _exit_with_standard_input()
        _serve(ready)
    finally:
        _ignore_signals()
        # NOTE: workers run this, too.
        if os.getpid() == owner:
            shutil.rmtree(directory, ignore_errors=True)


def _serve(ready: int) -> None:
    from llmsim.catalogue import shipped_catalogue
    from llmsim.cli.serve import run
    from llmsim.config import Settings, load
    from llmsim.errors import LlmsimError

    def announce(settings: Settings) -> None:
        gc.enable()
        os.write(ready, f"{settings.server.port}\n".encode())
        os.close(ready)

    try:
        run(load(profiles=shipped_catalogue().profiles).settings, announce)
    except LlmsimError as error:
        sys.exit(f"llmsim: {error}")


def _exit_with_standard_input() -> None:
    os.set_blocking(0, False)
    signal.signal(signal.SIGIO, _check_standard_input)
    fcntl.fcntl(0, fcntl.F_SETOWN, os.getpid())
    fcntl.fcntl(0, fcntl.F_SETFL, fcntl.fcntl(0, fcntl.F_GETFL) | os.O_ASYNC)
    # It may have been closed before the signal handler was set.
    _check_standard_input()


def _check_standard_input(*_: Any) -> None:
    try:
        is_closed = os.read(0, 4096) == b""
    except BlockingIOError:
        return
    if is_closed:
        os.kill(os.getpid(), signal.SIGINT)


def _exit(*_: Any) -> None:
    _ignore_signals()
    sys.exit(0)


def _ignore_signals() -> None:
    """Ignore further signals: the end of standard input may be signalled twice, and must not interrupt the cleanup."""
    for number in (signal.SIGIO, signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)


if __name__ == "__main__":
    # The llmsim that the tests have imported, wherever it is installed.
    root = str(Path(__file__).parents[2])
    if root not in sys.path:
        sys.path.insert(0, root)
    main(int(sys.argv[1]), sys.argv[2])
