"""Bounds that a schema tells in the words of a description, for an API that does not take them as keywords.

Decisions:
* The Anthropic SDK takes bounds out of a client's models and appends them as `{minimum: 1, pattern: ^a}`, "so that the
  model might follow them", and judges the answer by them. A well-behaved model does follow them.
  Source: anthropic SDK 2.12, lib/_parse/_transform.py.
* A keyword of the schema itself outweighs what is told.
"""

import functools
import json
import re
from typing import Any

from llmsim.schema import keywords

_TOLD = re.compile(r"(?:\A|\n\n)\{([^\n]{1,2000})\}\Z")
_NEXT = re.compile(r", (?=[A-Za-z]{2,30}: )")
_TEXTS = frozenset({"pattern"})
_NUMBERS = frozenset(
    {
        "minimum",
        "maximum",
        "exclusiveMinimum",
        "exclusiveMaximum",
        "multipleOf",
        "minLength",
        "maxLength",
        "minItems",
        "maxItems",
    }
)


@functools.lru_cache(maxsize=4096)
def told_bounds(description: str) -> dict[str, Any]:
    """Give the keywords that a description ends with; none for most. They are not to be changed."""
    told = _TOLD.search(description)
    pairs = (pair.partition(": ") for pair in _NEXT.split(told[1])) if told else ()
    bounds = {keyword: _value(keyword, text) for keyword, _, text in pairs}
    return {
        keyword: value
        for keyword, value in bounds.items()
        if value is not None and not keywords.complaint(keyword, value)
    }


def _value(keyword: str, text: str) -> Any:
    if keyword in _TEXTS:
        return text
    if keyword not in _NUMBERS:
        return None
    try:
        value = json.loads(text)
    except ValueError:
        return None
    return value if isinstance(value, int | float) else None
