"""How a setting is described: its range, unit, meaning and flag, as data on its annotation."""

from typing import Any

import msgspec

DAY_MS = 24 * 60 * 60 * 1000
DAY_SECS = 24 * 60 * 60


def about(meaning: str, *, unit: str = "", flag: str | None = None, **bounds: Any) -> msgspec.Meta:
    """Describe a setting.

    Args:
        meaning: What it does, in one or two sentences for a user; `code` in backticks.
        unit: Unit of the value; empty where it has none.
        flag: Command line flag, e.g. `--port`; None where there is none.
        bounds: Bounds of the value, by their names in `msgspec.Meta`; numbers need `ge` and `le`.
    """
    return msgspec.Meta(description=meaning, extra={"unit": unit, "flag": flag}, **bounds)
