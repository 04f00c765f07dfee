"""`gunicorn -c gunicorn.conf.py` is the same server as `llmsim serve`: settings come from LLMSIM_CONFIG and LLMSIM_*."""

from llmsim.errors import LlmsimError
from llmsim.server.hosting import HOST

try:
    globals().update(HOST.configure())
except LlmsimError as error:
    raise SystemExit(f"llmsim: {error}") from None
