"""Bounds in the description of a schema, for an API that does not accept them as keywords.

Decisions:
* Clients move bounds from schemas to descriptions, "so that the model might follow them", and validate the response
  with them: the Anthropic SDK as `{minimum: 1, minLength: 2}`, the AI SDK as `minimum: 1; min length: 2.`. A
  well-behaved model follows them.
  Source: anthropic SDK 2.12, lib/_parse/_transform.py; @ai-sdk/anthropic, sanitize-json-schema.ts.
* A keyword of the schema itself has precedence.
"""

import json
import math
import re
from typing import Any

from llmsim.budgets import json_problem, remembered
from llmsim.json_schema import keywords

_BOUNDS = re.compile(r"(?:\A|\n\n)\{([^\n]{1,2000})\}\Z|(?:\A|\n)((?!\{)[a-z ]{3,20}: [^\n]{1,2000})\.\Z")
_NEXT = re.compile(r"[,;] (?=[A-Za-z][A-Za-z ]{1,30}: )")
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


@remembered(maxsize=1024)
def parse_bounds(description: str) -> dict[str, Any]:
    """Parse the keywords at the end of a description. The result is cached and must not be changed."""
    found = _BOUNDS.search(description)
    pairs = (pair.partition(": ") for pair in _NEXT.split(found[1] or found[2])) if found else ()
    bounds = {_keyword(named): _value(_keyword(named), text) for named, _, text in pairs}
    return {
        keyword: value
        for keyword, value in bounds.items()
        if value is not None and not keywords.keyword_problem(keyword, value)
    }


def _keyword(named: str) -> str:
    first, *others = named.split(" ")
    return first + "".join(other.capitalize() for other in others)


def _value(keyword: str, text: str) -> Any:
    if keyword in _TEXTS:
        return text
    if keyword not in _NUMBERS:
        return None
    try:
        value = json.loads(text)
    except ValueError:
        return None
    if not isinstance(value, int | float) or json_problem(text.encode()) or not math.isfinite(value):
        return None
    return value
