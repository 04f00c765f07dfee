"""Texts of the formats that schemas name."""

import base64
from collections.abc import Callable
from random import Random

_WORDS = ("alpha", "bridge", "cedar", "delta", "ember", "forest", "garden", "harbor")


def text(name: str, dice: Random) -> str | None:
    """Make a text of the format `name`; None for a format that is not known."""
    make = _FORMATS.get(name)
    return make(dice) if make else None


def _word(dice: Random) -> str:
    return dice.choice(_WORDS)


def date(dice: Random) -> str:
    """Give a day of a year that every calendar knows."""
    return f"202{dice.randint(4, 6)}-{dice.randint(1, 12):02}-{dice.randint(1, 28):02}"


def time(dice: Random) -> str:
    """Give a full hour or half of one, as a person says it."""
    return f"{dice.randint(8, 20):02}:{dice.choice(('00', '30'))}"


def _full_time(dice: Random) -> str:
    return f"{time(dice)}:00Z"


def _uuid(dice: Random) -> str:
    digits = f"{dice.getrandbits(128):032x}"
    return f"{digits[:8]}-{digits[8:12]}-4{digits[13:16]}-{dice.choice('89ab')}{digits[17:20]}-{digits[20:]}"


def _path(dice: Random) -> str:
    return f"/{_word(dice)}/{dice.randint(1, 99)}"


def _link(dice: Random) -> str:
    return f"https://example.com{_path(dice)}"


def _host(dice: Random) -> str:
    return f"{_word(dice)}.example.com"


def _email(dice: Random) -> str:
    return f"{_word(dice)}@example.com"


def _base64(dice: Random) -> str:
    return base64.b64encode(f"{_word(dice)} {_word(dice)}".encode()).decode()


_FORMATS: dict[str, Callable[[Random], str]] = {
    "date-time": lambda dice: f"{date(dice)}T{_full_time(dice)}",
    "date": date,
    "time": _full_time,
    "duration": lambda dice: f"P{dice.randint(1, 6)}DT{dice.randint(1, 23)}H",
    "email": _email,
    "idn-email": _email,
    "hostname": _host,
    "idn-hostname": _host,
    "ipv4": lambda dice: f"192.0.2.{dice.randint(1, 254)}",
    "ipv6": lambda dice: f"2001:db8::{dice.randint(1, 0xFFFF):x}",
    "uri": _link,
    "url": _link,
    "iri": _link,
    "uri-reference": _path,
    "iri-reference": _path,
    "uri-template": lambda dice: f"https://example.com/{_word(dice)}/{{id}}",
    "uuid": _uuid,
    "json-pointer": _path,
    "relative-json-pointer": lambda dice: f"{dice.randint(0, 3)}{_path(dice)}",
    "regex": lambda dice: f"^{_word(dice)}[0-9]+$",
    "byte": _base64,
    "base64": _base64,
    "binary": _base64,
    "phone": lambda dice: f"+1-555-01{dice.randint(0, 99):02}",
    "color": lambda dice: f"#{dice.getrandbits(24):06x}",
}
