"""Which pages may call from a browser, and the headers for the browser (CORS).

Decisions:
* As the real APIs: every page may call, and reads answers and errors alike. They are safe with that because a page needs a secret key.
  Here any key will do unless keys are configured, so what others have stored is not shown to pages of any origin.

Source: WHATWG Fetch, "CORS protocol"; api.openai.com answers preflights with the methods and headers that they ask for.
"""

import re

from llmsim.config import Settings
from llmsim.errors import ConfigError
from llmsim.text import literal

_ORIGIN = re.compile(r"null|[a-z][a-z0-9+.-]*://([a-z0-9._-]*|\[[0-9a-f:.]+\])(:[0-9]{1,5})?")

_LIMITS = ("limit", "remaining", "reset")

_EXPOSED = ", ".join(
    (
        "x-request-id",
        "request-id",
        "retry-after",
        "retry-after-ms",
        "openai-processing-ms",
        "x-llmsim-scenario",
        "x-llmsim-step",
        "x-llmsim-attempt",
        *(f"x-ratelimit-{fact}-{unit}" for unit in ("requests", "tokens") for fact in _LIMITS),
        *(
            f"anthropic-ratelimit-{unit}-{fact}"
            for unit in ("requests", "tokens", "input-tokens", "output-tokens")
            for fact in _LIMITS
        ),
    )
)
"""Response headers that a page may read."""

_MAX_ECHO = 8_192
"""Bytes of a preflight's lists that are echoed."""


class CorsPolicy:
    """The origins whose pages may call.

    Attributes:
        is_off: Whether responses have no CORS headers.
    """

    def __init__(self, settings: Settings, *, has_keys: bool) -> None:
        """Check the origins.

        Args:
            settings: Those of the server.
            has_keys: Whether requests need one of the configured API keys.

        Raises:
            ConfigError: One is not an origin.
        """
        cors = settings.server.cors
        self.is_off = cors == "off"
        self._is_open = "*" in cors
        self._has_keys = has_keys
        origins = () if isinstance(cors, str) else (origin.lower().removesuffix("/") for origin in cors)
        self._named = frozenset(origin.encode() for origin in origins if origin != "*")
        for origin in self._named:
            if not _ORIGIN.fullmatch(origin.decode()):
                raise ConfigError(
                    f"server.cors: wanted origins such as http://localhost:5173, found {literal(origin.decode())}"
                )

    def names(self, origin: bytes) -> bool:
        """Return whether the settings name an origin."""
        return origin.lower() in self._named

    def allows(self, origin: bytes, *, is_protected: bool = False) -> bool:
        """Return whether a page of that origin may call, and read what is returned.

        Args:
            origin: The origin.
            is_protected: Whether what is returned is shown only to pages that need a key, or are named.
        """
        return self.names(origin) or (self._is_open and (self._has_keys or not is_protected))

    def response_lines(self, origin: bytes) -> bytes:
        """Return the header lines of a response to a page that may read it."""
        return self._allowed(origin) + b"access-control-expose-headers: %b\r\n" % _EXPOSED.encode()

    def preflight_lines(self, origin: bytes | None, method: bytes, headers: bytes) -> bytes:
        """Return the header lines of the answer to a preflight.

        Args:
            origin: The origin; None if its pages may not send the request.
            method: The method that the page asks for.
            headers: The headers that it asks for; empty for none.
        """
        lines = b"" if origin is None else self._allowed(origin)
        for name, value in ((b"methods", method), (b"headers", headers)):
            if value and len(value) <= _MAX_ECHO:
                lines += b"access-control-allow-%b: %b\r\n" % (name, value)
        return lines

    def _allowed(self, origin: bytes) -> bytes:
        if self._is_open:
            return b"access-control-allow-origin: *\r\n"
        return b"access-control-allow-origin: %b\r\nvary: origin\r\n" % origin
