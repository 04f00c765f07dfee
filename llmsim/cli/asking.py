"""How commands ask a running simulator: where it is, and what it answers.

Decisions:
* Nothing is asked but the address that was given, and nothing that is no HTTP.
"""

import urllib.error
import urllib.request
from urllib.parse import urlsplit

import click
import msgspec

from llmsim.errors import AskError

_TIMEOUT = 5.0  # seconds
_LARGEST = 16 << 20  # bytes


class PortOption(click.Option):
    """A port whose variable may be a service link: Kubernetes sets LLMSIM_PORT=tcp://10.0.0.11:8080 itself."""

    def resolve_envvar_value(self, ctx: click.Context) -> str | None:
        """Read the variable; a service link is none."""
        text = super().resolve_envvar_value(ctx)
        return None if text is not None and "://" in text else text


port_option = click.option(
    "--port",
    cls=PortOption,
    type=click.IntRange(1, 65535),
    default=8080,
    show_default=True,
    envvar="LLMSIM_PORT",
    show_envvar=True,
    help="Port of the simulator on this machine.",
)
"""`--port`, of commands that ask a simulator on this machine."""


def address_of(url: str, path: str) -> str:
    """Tell where a path of a server is.

    Args:
        url: `HOST:PORT`, `http://HOST:PORT`, or the full address of the path.
        path: The path.

    Raises:
        AskError: It is no address of HTTP.
    """
    address = url if "://" in url else f"http://{url}"
    try:
        parts = urlsplit(address)
        usable = (
            parts.scheme in ("http", "https") and parts.hostname and (parts.port is None or parts.port > 0)
        )
    except ValueError:
        usable = False
    if not usable:
        raise AskError(f"--url {url}: wanted http://HOST:PORT")
    return f"{address.rstrip('/')}{path}" if parts.path in ("", "/") else address


class _Refusal(msgspec.Struct):
    """What the control API says of a call that it does not answer."""

    message: str
    problems: list[str]


class _Refused(msgspec.Struct):
    error: _Refusal


def ask(address: str, hint: str = "is an llmsim there?") -> bytes:
    """Ask a server for what is at an address.

    Args:
        address: By `address_of`.
        hint: Said of an answer that is none.

    Raises:
        AskError: It does not answer, or refuses to.
    """
    try:
        # The scheme was checked: no file is read.
        with urllib.request.urlopen(address, timeout=_TIMEOUT) as response:  # noqa: S310
            body: bytes = response.read(_LARGEST)
    except urllib.error.HTTPError as error:
        with error:
            raise AskError(_refusal(address, error, hint)) from error
    except urllib.error.URLError as error:
        raise AskError(f"cannot read {address}: {_reason(error.reason)}") from error
    except (OSError, ValueError) as error:
        raise AskError(f"cannot read {address}: {_reason(error)}") from error
    return body


def _refusal(address: str, error: urllib.error.HTTPError, hint: str) -> str:
    try:
        return msgspec.json.decode(error.read(_LARGEST), type=_Refused).error.message
    except (OSError, ValueError):
        return f"{address} answers {error.code} {error.reason}: {hint}"


def _reason(error: object) -> str:
    return (error.strerror if isinstance(error, OSError) else None) or str(error)
