"""Instants as the API writes them: RFC 3339, UTC, whole seconds."""

_DAY = 86_400


def rfc3339(unix: int) -> str:
    """Write a Unix time, in seconds from 1970 on, as `2026-11-23T03:33:24Z`."""
    days, seconds = divmod(unix, _DAY)
    year, month, day = _civil(days)
    hour, rest = divmod(seconds, 3600)
    minute, second = divmod(rest, 60)
    return f"{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z"


def _civil(days: int) -> tuple[int, int, int]:
    """Give the date of a day counted from 1970-01-01.

    Source: Howard Hinnant, "chrono-compatible low-level date algorithms", civil_from_days: years begin in March.
    """
    era, of_era = divmod(days + 719_468, 146_097)
    year = (of_era - of_era // 1_460 + of_era // 36_524 - of_era // 146_096) // 365
    of_year = of_era - (365 * year + year // 4 - year // 100)
    shifted = (5 * of_year + 2) // 153
    month = shifted + 3 if shifted < 10 else shifted - 9
    return year + era * 400 + (month <= 2), month, of_year - (153 * shifted + 2) // 5 + 1
