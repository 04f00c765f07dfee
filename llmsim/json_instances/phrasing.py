"""Requests in a message: a topic, a command, code or a calculation, found by phrasing.

Decisions:
* Patterns of a few everyday sentences, English first.
* PERF: words are separated by one blank. Repeats of what overlaps would try a message of blanks in billions of ways.
"""

import re

from llmsim.budgets import remembered

_TOPICS = (
    re.compile(
        r"\btranslate (?!this\b|the\b|it\b)(.{1,200}?) (?:from \w+ )?(?:in)?to [A-Za-z]+", re.IGNORECASE
    ),
    re.compile(
        r"\b(?:grep|search|look)(?: \w+)? for ([^\n]{2,100}?)(?: in\b|[,.?!]|$)",
        re.IGNORECASE | re.MULTILINE,
    ),
    re.compile(r"\b(?:remind (?:me|us|him|her|them) to) ([^\n.?!]{3,120})", re.IGNORECASE),
    re.compile(r"\badd ([^\n]{2,80}?) to (?:my|the|our)\b", re.IGNORECASE),
    re.compile(
        r"\b(?:saying|about|regarding|stating|(?:tell|telling) (?:him|her|them)) (?:that )?([^\n.?!]{3,120})",
        re.IGNORECASE,
    ),
    re.compile(r"[a-z]: ([^\n]{3,120})"),
)
_MOST_WORDS = 8

_FENCED = re.compile(r"```[a-z]*\n(.{1,2000}?)\n?```", re.DOTALL)
_PROGRAM = re.compile(r"\b(?:code|script|this|run|execute):\s*(\S[^\n]{0,300})", re.IGNORECASE)
_TOOLS = "ls cat cd cp mv rm mkdir pwd echo grep find git npm npx pip python pytest make docker kubectl curl cargo go node uv"
_COMMAND = re.compile(
    rf"\bcommand:? ([a-z.][^\n]{{1,200}}?)[.?!]?$|\b(?:run|execute) ((?:{'|'.join(_TOOLS.split())})\b[^\n]{{0,200}}?)"
    r"(?: (?:in|on) (?:the|a|my)\b[^\n]*)?[.?!]?$",
    re.IGNORECASE | re.MULTILINE,
)
_SQL = re.compile(
    r"\b((?:SELECT|INSERT INTO|UPDATE|DELETE FROM|WITH|CREATE TABLE|select (?=[^\n]{1,80} from ))\b[^\n;]{3,500}?)"
    r"(?: (?:on|in|against) (?:the|my|our) [^\n]*)?[.;?]?$",
    re.MULTILINE,
)
_SELECTOR = re.compile(r"(?<![\w#.])[#.][A-Za-z][\w-]{0,60}")

_FIGURE = r"(-?\d[\d,]{0,15}(?:\.\d{1,9})?)"
_PERCENT = re.compile(rf"{_FIGURE} ?(?:%|percent) of {_FIGURE}", re.IGNORECASE)
_SUM = re.compile(
    rf"(?:\b(add|multiply|divide) )?{_FIGURE} (plus|and|minus|times|multiplied by|by|divided by|over) {_FIGURE}",
    re.IGNORECASE,
)
_SIGNS = {
    "add": "+",
    "plus": "+",
    "minus": "-",
    "times": "*",
    "multiply": "*",
    "multiplied by": "*",
    "divide": "/",
    "divided by": "/",
    "over": "/",
}

_NO_LABELS = frozenset(
    """
    a an and are at by for from in is it my of on or our please that the then this to was with your
    """.split()
)


@remembered(maxsize=64, max_chars=4000)
def topic(text: str) -> str:
    """Return the topic of a message; empty if none is found."""
    for pattern in _TOPICS:
        if match := pattern.search(text):
            return match[1].strip(" ,;\"'")
    return ""


def headline(text: str) -> str:
    """Return the topic of a message in a few words, capitalized; empty if none is found."""
    words = topic(text).partition(",")[0].split()[:_MOST_WORDS]
    line = " ".join(words)
    return line[:1].upper() + line[1:]


@remembered(maxsize=64, max_chars=4000)
def program(text: str) -> str:
    """Return the code in a message; empty if there is none."""
    match = _FENCED.search(text) or _PROGRAM.search(text)
    return match[1].strip() if match else ""


@remembered(maxsize=64, max_chars=4000)
def command(text: str) -> str:
    """Return the command that a message asks to run; empty if there is none."""
    match = _COMMAND.search(text)
    return (match[1] or match[2]).strip(" `'\"") if match else ""


@remembered(maxsize=64, max_chars=4000)
def statement(text: str) -> str:
    """Return the SQL in a message; empty if there is none."""
    match = _SQL.search(text)
    return match[1].strip() if match else ""


def selectors(text: str) -> list[str]:
    """Return the CSS ids and classes of a message."""
    return _SELECTOR.findall(text)


@remembered(maxsize=64, max_chars=4000)
def sum_in_words(text: str) -> str:
    """Return a calculation in words as a formula; empty if there is none."""
    if match := _PERCENT.search(text):
        return f"{match[1]} / 100 * {match[2]}".replace(",", "")
    if match := _SUM.search(text):
        sign = _SIGNS.get(match[3].lower()) or _SIGNS.get((match[1] or "").lower())
        return f"{match[2]} {sign} {match[4]}".replace(",", "") if sign else ""
    return ""


def labelled(text: str, label: str) -> str:
    """Return the word after `label`, as in "branch main" and "set the status to open"; empty if there is none."""
    for match in _behind(label).finditer(text):
        if match[1].lower() not in _NO_LABELS:
            return match[1]
    return ""


@remembered(maxsize=256, max_chars=100)
def _behind(label: str) -> re.Pattern[str]:
    connected = r"(?: ?[:=]| (?:is|to|named|called|as))? "
    return re.compile(
        rf"(?<![\w.]){re.escape(label)}{connected}[\"'`]?(\w[\w./@-]{{0,60}}\w|\w)", re.IGNORECASE
    )
