"""Instants and durations as the API writes them: RFC 3339 with a `Z`, and seconds with an `s`.

Source: protobuf, JSON mapping of `Timestamp` and `Duration`.
"""

import re
from datetime import UTC, datetime

from llmsim.errors import ApiRuleError

_TYPE = "type.googleapis.com/google.protobuf."
_DURATION = re.compile(r"(\d{1,12})(?:\.\d{1,9})?s")


def render_time(instant: float) -> str:
    """Return a Unix time as the API writes it."""
    return datetime.fromtimestamp(instant, UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


def parse_duration(text: str, field: str) -> int:
    """Parse a duration, in whole seconds.

    Raises:
        ApiRuleError: It is not a duration.
    """
    found = _DURATION.fullmatch(text)
    if found is None:
        raise ApiRuleError(
            f"Invalid value at '{field}' ({_TYPE}Duration), Illegal duration format; duration must end with 's'"
        )
    return int(found[1])


def parse_time(text: str, field: str) -> float:
    """Parse an instant, as a Unix time.

    Raises:
        ApiRuleError: It is not an instant.
    """
    try:
        instant = datetime.fromisoformat(text)
    except ValueError:
        instant = datetime.min.replace(tzinfo=UTC)
    if instant.tzinfo is None or instant.year < 1970:
        raise ApiRuleError(
            f"Invalid value at '{field}' ({_TYPE}Timestamp), Illegal timestamp format; timestamps must end with 'Z' or have a valid "
            "timezone offset."
        )
    return instant.timestamp()
