"""Words for what was written by others: a value as TOML has it, the name that was probably meant, text that prints."""

import difflib
import json
from collections.abc import Iterable
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


def printable(text: str, keep: str = "") -> str:
    """Replace what does not print, and could move the cursor of a terminal or colour it.

    Args:
        text: What somebody wrote.
        keep: Characters that are left as they are, e.g. the line feed.
    """
    return "".join(
        character if character.isprintable() or character in keep else "\ufffd" for character in text
    )


def nearest(word: str, names: Iterable[str]) -> str | None:
    """Find the name most like a misspelt word.

    Args:
        word: What was written.
        names: What there is.

    Returns:
        One of `names`, or None when none of them is much like the word. Case and the choice between
        `-` and `_` make no difference.
    """
    plain = {_plain(name): name for name in names}
    found = difflib.get_close_matches(_plain(word), plain, n=1)
    return plain[found[0]] if found else None


def _plain(name: str) -> str:
    return name.lower().replace("_", "-")
