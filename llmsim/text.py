"""Text helpers for messages: TOML literals, the nearest name, and safe terminal output."""

import difflib
import json
import re
from collections.abc import Iterable
from typing import Any

_PASSWORD = re.compile(r"(://[^/@\s]*?:)[^/\s]*(@)")


def literal(value: Any) -> str:
    """Format a value as TOML does.

    Args:
        value: A value of a setting, or anything that was found instead.

    Returns:
        A TOML literal, except for values that only occur by mistake: `a table`, a date, ...
    """
    match value:
        case bool():
            return "true" if value else "false"
        case str():
            # Of what JSON leaves unescaped, TOML bans only DEL. Texts from the environment may hold bytes that are not
            # UTF-8, which could not be printed.
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


def mask_passwords(value: Any) -> Any:
    """Return a value of a setting without the passwords of the URLs in it."""
    match value:
        case str():
            return _PASSWORD.sub(r"\1***\2", value)
        case list() | tuple():
            return [mask_passwords(one) for one in value]
        case _:
            return value


def printable(text: str, keep: str = "") -> str:
    """Replace unprintable characters, which could control the terminal.

    Args:
        text: Text from outside.
        keep: Characters that are left as they are, e.g. the line feed.
    """
    return "".join(
        character if character.isprintable() or character in keep else "\ufffd" for character in text
    )


def nearest(word: str, names: Iterable[str]) -> str | None:
    """Return the name most similar to a misspelt word, or None if none is similar.

    Case and the choice between `-` and `_` make no difference.
    """
    plain = {_plain(name): name for name in names}
    found = difflib.get_close_matches(_plain(word), plain, n=1)
    return plain[found[0]] if found else None


def _plain(name: str) -> str:
    return name.lower().replace("_", "-")
