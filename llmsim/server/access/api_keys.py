"""The API keys that requests need, if any are configured.

Decisions:
* A key is looked up by its hash, which the interpreter salts for each run, and then compared with `hmac.compare_digest`: how long a
  check takes says nothing about the keys, however many there are.
* What is stored belongs to an owner, a digest of the key. No key is stored or logged.
"""

import hashlib
import hmac
import logging
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from urllib.parse import parse_qs

from llmsim.config import AuthSettings
from llmsim.errors import ConfigError
from llmsim.text import literal

RawHeaders = Sequence[tuple[bytes, bytes]]
"""Headers as ASGI has them, names in lower case."""

_NO_KEY = (b"", "")


class ApiKeys:
    """The accepted keys, as one header holds them.

    Args:
        keys: At least one.
        before: What the header has before the key.
    """

    def __init__(self, keys: Iterable[str], before: bytes = b"") -> None:
        self._keys = tuple(keys)
        encoded = [(key.encode(), hashlib.sha256(key.encode()).hexdigest()[:32]) for key in self._keys]
        self._known = {hash(before + key): (before + key, owner) for key, owner in encoded}

    def after(self, before: bytes) -> "ApiKeys":
        """Return the same keys for a header that has something before the key."""
        return ApiKeys(self._keys, before)

    def owner(self, value: bytes) -> str:
        """Return the owner of what is stored under the key in a header; empty if the key is not accepted."""
        known, owner = self._known.get(hash(value), _NO_KEY)
        return owner if hmac.compare_digest(known, value) else ""


def find_key(headers: RawHeaders, names: Sequence[bytes]) -> tuple[str | None, bytes]:
    """Return the header that holds the key of a request, None if there is none, and the key.

    Args:
        headers: The request's headers.
        names: Headers that may hold it; the first one that was sent counts.
    """
    for wanted in names:
        for name, value in headers:
            if name == wanted:
                key = value if wanted != b"authorization" else bearer_token(value)
                return wanted.decode(), key
    return None, b""


def find_header_key(headers: Mapping[str, str], names: Sequence[str]) -> str:
    """Return the key of a request; empty if there is none, or if no names are given.

    Args:
        headers: The request's headers, by name in lower case.
        names: Headers that may hold it; the first one that was sent counts.
    """
    for name in names:
        if (value := headers.get(name)) is not None:
            sent = value.encode("latin-1", "replace")
            return decode_key(sent if name != "authorization" else bearer_token(sent))
    return ""


def decode_key(value: bytes) -> str:
    """Return a key as text: it may be sent as UTF-8, as curl does, or as Latin-1, as `fetch` does."""
    try:
        return value.decode()
    except UnicodeDecodeError:
        return value.decode("latin-1")


def with_param_key(headers: RawHeaders, query: bytes, param: str | None, name: str) -> RawHeaders:
    """Return the headers of a request with the API key that its query holds, as if the header had brought it.

    Args:
        headers: The request's headers; one of that name counts before the query.
        query: The query as it was sent.
        param: The variable that may hold the key; None if none may.
        name: The header that holds keys.
    """
    if param is None or not query:
        return headers
    try:
        found = parse_qs(query.decode("latin-1"), max_num_fields=_MOST_VARIABLES).get(param)
    except ValueError:
        return headers
    return [*headers, (name.encode(), found[-1].encode())] if found else headers


_MOST_VARIABLES = 100
"""Variables of a query among which a key is looked for."""


def bearer_token(value: bytes) -> bytes:
    """Return the token of an `authorization` header; empty if it holds none."""
    return value[7:].strip() if value[:7].lower() == b"bearer " else b""


def check_key(name: str, key: str) -> str:
    """Return a configured key.

    Args:
        name: The setting, for the message.
        key: The key.

    Raises:
        ConfigError: No header can hold it.
    """
    if not key or any(not "!" <= character <= "~" for character in key):
        raise ConfigError(f"{name}: wanted printable ASCII characters without spaces in a key")
    return key


def load_api_keys(settings: AuthSettings) -> ApiKeys | None:
    """Return the configured keys; None if any key is accepted.

    Raises:
        ConfigError: A key cannot be sent in a header, or the file cannot be read or holds none.
    """
    keys = [check_key("auth.keys", key) for key in settings.keys]
    if settings.keys_file:
        keys += _read_keys(settings.keys_file)
    return ApiKeys(keys) if keys else None


def _read_keys(path: str) -> list[str]:
    try:
        lines = Path(path).read_text(encoding="utf-8").splitlines()
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not UTF-8 text"
        raise ConfigError(f"auth.keys_file: cannot read {literal(path)}: {reason}") from None
    keys = [line.strip() for line in lines if line.strip() and not line.lstrip().startswith("#")]
    if not keys:
        raise ConfigError(f"auth.keys_file: {literal(path)} holds no key")
    return [check_key(f"auth.keys_file: {literal(path)}", key) for key in keys]


_SECRET_HEADERS = frozenset(
    {"authorization", "proxy-authorization", "x-api-key", "api-key", "x-goog-api-key", "cookie"}
)


def hide_keys(record: logging.LogRecord) -> bool:
    """Replace keys in a line of the log: with `log_level = "debug"` the headers of WebSocket handshakes are logged."""
    args = record.args
    if isinstance(args, tuple) and len(args) == 2 and str(args[0]).lower() in _SECRET_HEADERS:
        record.args = (args[0], "…")
    return True
