"""Texts of the formats of JSON Schema."""

import base64
from collections.abc import Callable
from random import Random

_WORDS = ("alpha", "bridge", "cedar", "delta", "ember", "forest", "garden", "harbor")


def text(name: str, rng: Random) -> str | None:
    """Generate a text of the format `name`; None for an unknown format."""
    make = _FORMATS.get(name)
    return make(rng) if make else None


def _word(rng: Random) -> str:
    return rng.choice(_WORDS)


def date(rng: Random) -> str:
    """Generate a day that exists in every month."""
    return f"202{rng.randint(4, 6)}-{rng.randint(1, 12):02}-{rng.randint(1, 28):02}"


def time(rng: Random) -> str:
    """Generate a time on the hour or half hour."""
    return f"{rng.randint(8, 20):02}:{rng.choice(('00', '30'))}"


def _full_time(rng: Random) -> str:
    return f"{time(rng)}:00Z"


def _uuid(rng: Random) -> str:
    digits = f"{rng.getrandbits(128):032x}"
    return f"{digits[:8]}-{digits[8:12]}-4{digits[13:16]}-{rng.choice('89ab')}{digits[17:20]}-{digits[20:]}"


def _path(rng: Random) -> str:
    return f"/{_word(rng)}/{rng.randint(1, 99)}"


def _link(rng: Random) -> str:
    return f"https://example.com{_path(rng)}"


def _host(rng: Random) -> str:
    return f"{_word(rng)}.example.com"


def _email(rng: Random) -> str:
    return f"{_word(rng)}@example.com"


def _base64(rng: Random) -> str:
    return base64.b64encode(f"{_word(rng)} {_word(rng)}".encode()).decode()


_FORMATS: dict[str, Callable[[Random], str]] = {
    "date-time": lambda rng: f"{date(rng)}T{_full_time(rng)}",
    "date": date,
    "time": _full_time,
    "duration": lambda rng: f"P{rng.randint(1, 6)}DT{rng.randint(1, 23)}H",
    "email": _email,
    "idn-email": _email,
    "hostname": _host,
    "idn-hostname": _host,
    "ipv4": lambda rng: f"192.0.2.{rng.randint(1, 254)}",
    "ipv6": lambda rng: f"2001:db8::{rng.randint(1, 0xFFFF):x}",
    "uri": _link,
    "url": _link,
    "iri": _link,
    "uri-reference": _path,
    "iri-reference": _path,
    "uri-template": lambda rng: f"https://example.com/{_word(rng)}/{{id}}",
    "uuid": _uuid,
    "json-pointer": _path,
    "relative-json-pointer": lambda rng: f"{rng.randint(0, 3)}{_path(rng)}",
    "regex": lambda rng: f"^{_word(rng)}[0-9]+$",
    "byte": _base64,
    "base64": _base64,
    "binary": _base64,
    "phone": lambda rng: f"+1-555-01{rng.randint(0, 99):02}",
    "color": lambda rng: f"#{rng.getrandbits(24):06x}",
}
