"""How names of models are built: vendor prefixes, versions, dates and `-latest`; not which models exist."""

import re
from collections.abc import Iterable

# What may precede the model's own name: `openai/`, `models/`, `ft:` and Bedrock's `us.anthropic.`.
_VENDOR = re.compile(r"(?:.*/)?(?:ft:)?(?:[a-z]+\.)*", re.DOTALL)

# What may follow it: `-latest`, `-2025-08-07`, `-20250514` (Vertex: `@20250514`, Bedrock: `-v1:0` at the end),
# the `-0613` of early GPTs, and Gemini's `-001` and `-preview-06-05` or `-preview-09-2025`.
_SNAPSHOT = re.compile(
    r"""(?: -latest
          | [-@] 20\d\d (?:0[1-9]|1[0-2]) (?:[0-2]\d|3[01]) (?:-v\d+(?::\d+)?)?
          | -20\d\d - (?:0[1-9]|1[0-2]) - (?:[0-2]\d|3[01])
          | - (?:0[1-9]|1[0-2]) (?:[0-2]\d|3[01])
          | -0\d\d
          | -preview - (?:0[1-9]|1[0-2]) - (?:20)?\d\d
        )\Z""",
    re.VERBOSE,
)

_VERSION = r"\d+(?:[.-]\d+)*"
_BOUNDARY = r"(?![a-z0-9])"


class PrefixMatcher:
    """Finds the family prefix of a name.

    Args:
        prefixes: Prefixes as in `Family.prefix`.
    """

    def __init__(self, prefixes: Iterable[str]) -> None:
        self._ordered = sorted(filter(None, prefixes), key=lambda prefix: -len(prefix.replace("*", "")))
        versioned = (_VERSION.join(re.escape(part) for part in prefix.split("*")) for prefix in self._ordered)
        # PERF: 2 ms; with all letters of Unicode in two cases 11.
        self._pattern = re.compile(
            "|".join(f"({prefix}{_BOUNDARY})" for prefix in versioned), re.ASCII | re.IGNORECASE
        )

    def match(self, name: str) -> str:
        """Return the matching prefix with the most literal characters; empty if none matches."""
        found = self._pattern.match(name)
        return self._ordered[found.lastindex - 1] if found and found.lastindex else ""


def without_snapshot(name: str) -> str:
    """Strip the date or `-latest` from a model's own name; other names are returned unchanged."""
    return _SNAPSHOT.sub("", name)


def strip_vendor(model: str) -> str:
    """Strip what precedes a model's own name: `openai/`, `models/`, `ft:`, `us.anthropic.`."""
    found = _VENDOR.match(model)
    return model[found.end() :] if found else model
