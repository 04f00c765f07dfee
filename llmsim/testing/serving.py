"""`llmsim serve` for a test: it ends when whoever started it is gone, which closes its standard input."""

import os
import signal
import sys
import threading

from llmsim.cli import main


def _end_with_the_test() -> None:
    while os.read(0, 4096):
        pass
    os.kill(os.getpid(), signal.SIGTERM)


if __name__ == "__main__":
    threading.Thread(target=_end_with_the_test, daemon=True).start()
    sys.argv[1:] = ["serve"]
    main()
