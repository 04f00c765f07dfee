"""Kinds of members, by their names, and plausible values of each kind.

Decisions:
* The kind of a member follows from the words of its name, or else from those of its description.
* A kind is one word. A prefix says which of two is meant, `from` or `to`, and `coded` that a code is required.
"""

import re
from collections.abc import Callable
from random import Random

from llmsim.budgets import remembered
from llmsim.json_instances import formats
from llmsim.json_instances.common_words import COMMON_WORDS

_KINDS: dict[str, str] = {
    "recipient": "recipient recipients attendee attendees invitee invitees",
    "sql": "sql",
    "email": "email emails mail cc bcc",
    "link": "url uri link href website webpage site domain endpoint",
    "file": "file filename files filepath path paths directory folder",
    "given": "firstname forename",
    "family": "lastname surname",
    "origin": "origin source departure",
    "goal": "destination arrival",
    "place": "city cities location locations place town country capital region address venue airport where street",
    "date": "date day deadline birthday dob when due",
    "time": "time hour",
    "language": "language lang locale",
    "currency": "currency",
    "unit": "unit units",
    "color": "color colour",
    "phone": "phone telephone mobile",
    "formula": "expression formula equation calculation",
    "ticker": "symbol ticker",
    "command": "command commands cmd",
    "program": "script program snippet",
    "selector": "selector xpath",
    "text": "text message content body pattern regex query queries question q keyword keywords search term terms",
    "prompt": "input prompt sentence task request instruction instructions statement thought utterance problem",
    "glob": "glob",
    "branch": "branch",
    "table": "table",
    "database": "database",
    "status": "status state",
    "person": "person people author user username customer participant participants contact "
    "guest patient employee owner assignee sender artist",
    "code": "id identifier uuid key code number reference sku order ticket",
    "title": "title subject topic headline todo event product item project label tag category company",
    "name": "name",
    "phrase": "summary reason description explanation answer output note notes comment result response details reasoning "
    "step conclusion analysis",
    "start": "from",
    "end": "to",
}
_KIND_OF = {word: kind for kind, words in reversed(_KINDS.items()) for word in words.split()}
_VAGUE = frozenset(["from", "to", "when", "where", "day", "state", "due", "time", "mobile"])
"""Words without meaning in a description."""

_PROGRAMS = frozenset(
    ["execute", "executed", "javascript", "program", "python", "run", "script", "snippet", "source"]
)
_WAYS = dict.fromkeys(("from", "source", "origin", "base"), "from") | dict.fromkeys(
    ("to", "target", "destination", "into"), "to"
)
BEHIND = {"from": ("from",), "to": ("to", "into", "in", "as", "many", "much")}

SPOKEN_LANGUAGES = """english french german spanish italian portuguese dutch russian chinese mandarin japanese korean arabic hindi
    turkish polish swedish danish norwegian finnish greek czech ukrainian vietnamese thai indonesian hebrew"""
_SPOKEN_CODES = "en fr de es it pt nl ru zh zh ja ko ar hi tr pl sv da no fi el cs uk vi th id he"
CODES: dict[str, dict[str, str]] = {
    "language": dict(zip(SPOKEN_LANGUAGES.split(), _SPOKEN_CODES.split(), strict=True)),
    "currency": {
        **dict.fromkeys(("dollars", "dollar", "$"), "USD"),
        **dict.fromkeys(("euros", "euro", "\u20ac"), "EUR"),
    }
    | {**dict.fromkeys(("pounds", "\u00a3"), "GBP"), **dict.fromkeys(("yen", "\u00a5"), "JPY")}
    | {"francs": "CHF", "rupees": "INR", "bitcoin": "BTC"},
    "unit": {},
}
"""Codes of words."""

_ORDER = {kind: rank for rank, kind in enumerate(_KINDS)}

SPLIT = re.compile(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])")
_EXAMPLE = re.compile(
    r"(?:e\.g\.|for example|such as|like),?:? [\"'`]?([A-Z\d][^.;:()\"'`\n]{0,60}[^.,;:()\"'`\s])"
)

_CONSTANTS: dict[str, tuple[str, ...]] = {
    "email": ("user@example.com", "alice@example.com"),
    "link": ("https://example.com", "https://example.com/docs"),
    "file": ("notes.txt", "report.md", "data.csv"),
    "place": ("Paris", "London", "Tokyo", "New York", "Berlin"),
    "language": ("English", "French", "Spanish"),
    "currency": ("USD", "EUR"),
    "unit": ("metric",),
    "color": ("blue", "green", "red"),
    "formula": ("2 + 2",),
    "ticker": ("ACME", "EXMP"),
    "command": ("ls -la", "pwd"),
    "program": ('print("Hello, world!")', "print(2 + 2)"),
    "sql": ("SELECT * FROM users LIMIT 10", "SELECT count(*) FROM orders"),
    "selector": ("#submit", "button.primary"),
    "glob": ("**/*.py", "*.md"),
    "branch": ("main",),
    "table": ("users", "orders"),
    "database": ("main", "analytics"),
    "status": ("active", "pending"),
    "person": ("Alice Martin", "Ben Carter", "Chloe Novak", "David Kim"),
    "name": ("Alice Martin", "Ben Carter", "Sample", "Example"),
}
_CONSTANTS |= dict.fromkeys(("origin", "goal", "start", "end"), _CONSTANTS["place"])
_CONSTANTS["recipient"] = _CONSTANTS["email"]
_CONSTANTS |= {
    "from unit": ("km",),
    "to unit": ("miles",),
    "from language": ("English",),
    "to language": ("French", "Spanish"),
}
_CONSTANTS |= {"from currency": ("USD",), "to currency": ("EUR",)}
_CONSTANTS |= {"given": ("Alice", "Ben", "Chloe", "David"), "family": ("Martin", "Carter", "Novak", "Kim")}

_MADE: dict[str, Callable[[Random], str]] = {
    "date": formats.date,
    "time": formats.time,
    "phone": lambda rng: f"+1-555-01{rng.randint(0, 99):02}",
    "code": lambda rng: f"{rng.getrandbits(32):08x}",
    "title": lambda rng: phrase(rng, 2, 3).title(),
    "phrase": lambda rng: phrase(rng, 5, 9).capitalize() + ".",
}


@remembered(maxsize=4096, max_chars=400)
def kind_of(name: str, description: str) -> str:
    """Return the kind of a member; empty if it is unknown.

    Args:
        name: Its name.
        description: The beginning of its description.
    """
    words = [word.lower() for word in SPLIT.findall(name)]
    described = [word.lower() for word in SPLIT.findall(description)[:12]]
    if words[1:] and words[-1] in ("id", "ids", "uuid", "sku"):
        return "code"
    if words == ["code"] and not _PROGRAMS.isdisjoint(described):
        return "program"
    found = [kind for word in [*words, "".join(words)] if (kind := _KIND_OF.get(word))]
    if len(name) != 1 and "text" in found and "sql" in described:
        return "sql"
    if len(name) != 1 and set(found) <= {"start", "end"}:
        # The description is more specific than these words.
        found = [kind for word in described if (kind := _KIND_OF.get(word)) and word not in _VAGUE][
            :1
        ] or found
    listed = next((kind for kind in found if kind in CODES), None)
    if listed is not None:
        way = next((_WAYS[word] for word in words if word in _WAYS), "")
        is_coded = listed == "currency" or "iso" in described or "code" in [*words, *described]
        return " ".join([*(["coded"] if is_coded else []), *([way] if way else []), listed])
    moment = next((kind for kind in ("date", "time") if kind in found), None)
    return moment or min(found, key=_ORDER.__getitem__, default="")


@remembered(maxsize=4096, max_chars=400)
def exemplified(description: str) -> str:
    """Return the example in a description; empty if there is none."""
    match = _EXAMPLE.search(description)
    return match[1] if match else ""


def phrase(rng: Random, least: int, most: int) -> str:
    """Generate some everyday words."""
    return " ".join(rng.choices(COMMON_WORDS, k=rng.randint(least, most)))


def plausible(kind: str, rng: Random) -> str:
    """Generate a plausible value for a member about `kind`."""
    plain = kind.removeprefix("coded ")
    if constants := _CONSTANTS.get(plain) or _CONSTANTS.get(plain.rpartition(" ")[2]):
        chosen = rng.choice(constants)
        return coded(plain.rpartition(" ")[2], chosen) if plain != kind else chosen
    make = _MADE.get(kind)
    return make(rng) if make else phrase(rng, 2, 4)


def is_known(kind: str) -> bool:
    """Return whether plausible values of a kind are more than random words."""
    return kind.rpartition(" ")[2] in CODES or kind in _CONSTANTS


def coded(kind: str, word: str) -> str:
    """Return the code of a word of a listed kind; the word itself if there is none."""
    return CODES[kind].get(word.lower(), word.upper() if kind == "currency" else word)
