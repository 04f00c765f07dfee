"""Uploaded contents as responses.

Decisions:
* What was uploaded may be a web page with scripts of its own: a browser saves it, and neither guesses its type nor runs it, even if
  it is opened in a frame.
"""

from urllib.parse import quote

from llmsim.providers.contract import Download, Reply
from llmsim.server.active_request import ActiveRequest
from llmsim.server.transport.body_budget import UNCOUNTED
from llmsim.server.worker_context import WorkerContext

_UNSAFE = frozenset(map(chr, range(32))) | {'"', "\\", "\x7f"}


async def read_download(download: Download, context: WorkerContext, active: ActiveRequest) -> Reply:
    """Read a content, once there is room for it.

    Raises:
        TransportError: There was none in time.
    """
    if download.size > UNCOUNTED:
        await context.reserve(download.size, active)
    return Reply(
        200,
        await context.contents.read(download.content_id),
        (
            ("content-type", download.content_type),
            ("content-disposition", disposition(download.filename)),
            ("x-content-type-options", "nosniff"),
            ("content-security-policy", "sandbox"),
        ),
    )


def disposition(filename: str) -> str:
    """Return the header that makes a browser save a response, under a name if there is one."""
    if not filename:
        return "attachment"
    plain = "".join("_" if letter in _UNSAFE or not letter.isascii() else letter for letter in filename)
    # Source: RFC 6266, 4.3: `filename*` for what is not ASCII.
    encoded = quote(filename.encode("utf-8", "replace"), safe="")
    return f"attachment; filename=\"{plain}\"; filename*=UTF-8''{encoded}"
