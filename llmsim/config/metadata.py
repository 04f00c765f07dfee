"""Metadata of a setting's annotation: description, unit, flag and range."""

from typing import Any

import msgspec

DAY_SECS = 24 * 60 * 60
DAY_MS = DAY_SECS * 1000


def setting(description: str, *, unit: str = "", flag: str | None = None, **bounds: Any) -> msgspec.Meta:
    """Return the metadata of a setting.

    Args:
        description: What it does, in one or two sentences for a user; `code` in backticks.
        unit: Unit of the value; empty if it has none.
        flag: Command line flag, e.g. `--port`; None if there is none.
        bounds: Bounds of the value, named as in `msgspec.Meta`; numbers need `ge` and `le`.
    """
    return msgspec.Meta(description=description, extra={"unit": unit, "flag": flag}, **bounds)


def share(description: str, unit: str = "of requests") -> msgspec.Meta:
    """Return the metadata of a setting between 0 and 1."""
    return setting(description, unit=unit, ge=0, le=1)


def seconds(description: str, *, maximum: int = DAY_SECS) -> msgspec.Meta:
    """Return the metadata of a duration in seconds."""
    return setting(description, unit="s", ge=1, le=maximum)


def milliseconds(description: str, *, maximum: int = DAY_MS) -> msgspec.Meta:
    """Return the metadata of a duration in milliseconds."""
    return setting(description, unit="ms", ge=0, le=maximum)
