"""What moderation finds in a text: scores by category, of the words that are in it.

Decisions:
* There is no model: a text is flagged for the words that it holds, so a test can say what is flagged. The name of a category counts as
  one of its words.
* A category with a slash is a worse case of the one before the slash: it takes a word of each.
* Texts without such words have small scores, which depend on the text alone.
"""

import re
import zlib
from collections.abc import Iterable, Mapping

THRESHOLD = 0.5
"""The least score that is flagged."""

# Stems; each stands for all words that begin with it.
_STEMS: Mapping[str, str] = {
    "harassment": "harass idiot stupid moron loser insult bully shut",
    "hate": "hate racis bigot vermin subhuman",
    "illicit": "shoplift counterfeit forge launder smuggl drugs meth heroin cocaine bomb explosive",
    "self-harm": "suicid self-harm overdos starv cutting",
    "sexual": "sexual sex nude naked porn erotic",
    "violence": "violen kill murder stab shoot shot punch attack blood behead massacre",
}

_TOGETHER: Mapping[str, tuple[str, str]] = {
    "harassment/threatening": ("harassment", "kill murder stab shoot hurt threat"),
    "hate/threatening": ("hate", "kill murder stab shoot hurt threat"),
    "illicit/violent": ("illicit", "bomb explosive gun weapon kill"),
    "self-harm/instructions": ("self-harm", "how method steps instruct"),
    "self-harm/intent": ("self-harm", "i my me"),
    "sexual/minors": ("sexual", "child minor teen underage"),
    "violence/graphic": ("violence", "blood gore behead guts massacre graphic"),
}
"""The category that must be found, too, and the words that make it worse."""

CATEGORIES = tuple(sorted((*_STEMS, *_TOGETHER)))

SEEN = frozenset(
    {"self-harm", "self-harm/instructions", "self-harm/intent", "sexual", "violence", "violence/graphic"}
)
"""Categories that are looked for in pictures, too. Source: openai SDK 3.54, types/moderation.py."""

_SHORT = 3
"""Letters of a stem that is a whole word."""


def _pattern(stems: str) -> re.Pattern[str]:
    words = [re.escape(stem) + (r"\b" if len(stem) <= _SHORT else "") for stem in stems.split()]
    return re.compile(rf"\b(?:{'|'.join(words)})", re.IGNORECASE)


_PATTERNS = {category: _pattern(stems) for category, stems in _STEMS.items()}
_WORSE = {category: (of, _pattern(stems)) for category, (of, stems) in _TOGETHER.items()}


def score(texts: Iterable[str]) -> dict[str, float]:
    """Return the score of each category for texts that belong together, in the order of `CATEGORIES`."""
    text = "\n".join(texts)
    found = {category for category, pattern in _PATTERNS.items() if pattern.search(text)}
    lower = text.casefold()
    found |= {
        category
        for category, (of, pattern) in _WORSE.items()
        if category in lower or (of in found and pattern.search(text))
    }
    digest = zlib.crc32(text.encode("utf-8", "surrogatepass"))
    return {category: _number(category, digest, is_found=category in found) for category in CATEGORIES}


def _number(category: str, digest: int, *, is_found: bool) -> float:
    share = zlib.crc32(category.encode(), digest) / 2**32
    return round(0.55 + 0.44 * share, 6) if is_found else round(1e-6 + 0.004 * share**4, 9)
