"""The name that was probably meant."""

import difflib
from collections.abc import Iterable


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
