"""Values as TOML writes them."""

import json
from typing import Any


def literal(value: Any) -> str:
    """Write a value as TOML does.

    Args:
        value: A value of a setting, or anything that was found instead.

    Returns:
        A TOML literal, except for what only occurs by mistake: `a table`, a date, …
    """
    match value:
        case bool():
            return "true" if value else "false"
        case str():
            # Of what JSON leaves bare, TOML bans DEL alone. Bytes that are not UTF-8 get into texts from the
            # environment, and could not be printed.
            text = json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
            return text.encode("utf-8", "backslashreplace").decode()
        case int() if abs(value) >= 100_000:
            return f"{value:_}"
        case list() | tuple():
            return f"[{', '.join(map(literal, value))}]"
        case dict():
            return "a table"
        case _:
            return str(value)
