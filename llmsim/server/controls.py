"""What the `x-llmsim-*` headers of a request ask for.

Decisions:
* They are read once, where a request enters, and passed on as a value.
* The names of sessions and scripts are UTF-8 where they can be: HTTP defines header values as Latin-1, and no client sends that.
"""

import contextlib
from collections.abc import Mapping

import msgspec

from llmsim.errors import InvalidFieldError

SCRIPT_HEADER = "x-llmsim-script"
SESSION_HEADER = "x-llmsim-session"

_MAX_NAME = 200

NAMES = f"wanted a name of 1 to {_MAX_NAME} printable characters"
"""Message about an invalid name of a session or script."""


class RequestControls(msgspec.Struct, frozen=True):
    """What a request's headers ask for.

    Attributes:
        session: Name of its session; None if it names none.
        script: Name of the script to play; None if it names none.
    """

    session: str | None = None
    script: str | None = None


NO_CONTROLS = RequestControls()
"""What most requests ask for."""


def read_controls(headers: Mapping[str, str]) -> RequestControls:
    """Read the controls of a request.

    Args:
        headers: By name in lower case.

    Raises:
        InvalidFieldError: A name is too long or not printable.
    """
    session, script = headers.get(SESSION_HEADER), headers.get(SCRIPT_HEADER)
    if session is None and script is None:
        return NO_CONTROLS
    return RequestControls(_parse_name(SESSION_HEADER, session), _parse_name(SCRIPT_HEADER, script))


def is_name(name: str) -> bool:
    """Return whether a session or script can have this name."""
    return 0 < len(name) <= _MAX_NAME and name.isprintable()


def _parse_name(header: str, value: str | None) -> str | None:
    if value is None:
        return None
    if not value.isascii():
        with contextlib.suppress(UnicodeError):
            value = value.encode("latin-1").decode()
    if not is_name(value):
        raise InvalidFieldError((header,), "conflict", f"{header}: {NAMES}")
    return value
