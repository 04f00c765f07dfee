"""`gunicorn -c gunicorn.conf.py` is the same server as `llmsim serve`: settings come from LLMSIM_CONFIG and LLMSIM_*."""

import sys

from llmsim.errors import LlmsimError
from llmsim.server.processes.master import MASTER

try:
    globals().update(MASTER.configure())
except LlmsimError as error:
    print(f"llmsim: {error}", file=sys.stderr)  # noqa: T201
    raise SystemExit(2) from None
