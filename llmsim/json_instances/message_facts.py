"""Facts in a message: its names, numbers, dates, addresses and quotations.

Decisions:
* Only patterns and capitals, English first. A wrong guess is still a plausible value.
* The first word of a sentence is always capitalized. It counts as a name only if nothing else does.
* PERF: each kind is extracted on first use, from the first 4000 characters; messages are cached, as several
  choices and calls use the same one.
"""

import datetime
import functools
import re

from llmsim.budgets import remembered
from llmsim.json_instances.kinds import SPOKEN_LANGUAGES

MOST_READ = 4000
"""Characters of a message that are read."""

_MOST_FOUND = 50
_LONGEST_NAME = 60

_QUOTED = re.compile(
    r"\"([^\"\n]{1,200})\"|\u201c([^\u201d\n]{1,200})\u201d|`([^`\n]{1,200})`|(?<!\w)'([^'\n]{1,200})'(?!\w)"
)
_EMAIL = re.compile(r"[\w.+-]{1,64}@[\w-]{1,63}(?:\.[\w-]{1,63})+", re.ASCII)
_LINK = re.compile(r"(?:https?://|\bwww\.)[^\s<>\"'`]+[^\s<>\"'`.,;:!?)\]]", re.ASCII)
_ISO_DATE = re.compile(r"\b\d{4}-\d{2}-\d{2}\b", re.ASCII)
_MONTHS = (
    "January February March April May June July August September October November December "
    "Jan Feb Mar Apr Jun Jul Aug Sep Sept Oct Nov Dec"
)
_DAYS = "Monday Tuesday Wednesday Thursday Friday Saturday Sunday"
_MONTH = "(?:" + "|".join(_MONTHS.split()) + ")"
_DAY = "(?:" + "|".join(_DAYS.split()) + ")"
_DATE = re.compile(
    rf"\b\d{{4}}-\d{{2}}-\d{{2}}\b|\b\d{{1,2}}[/.]\d{{1,2}}[/.]\d{{2,4}}\b"
    rf"|\b{_MONTH}\.? \d{{1,2}}(?:st|nd|rd|th)?(?:,? \d{{4}})?\b|\b\d{{1,2}}(?:st|nd|rd|th)? (?:of )?{_MONTH}(?: \d{{4}})?\b"
    rf"|\b(?:next |this |last )?{_DAY}\b|\b(?i:today|tomorrow|yesterday|tonight|(?:next|this|last) (?:week|month|year))\b",
    re.ASCII,
)
_TIME = re.compile(
    r"\b\d{1,2}:\d{2}(?::\d{2})?(?: ?[ap]\.?m\b)?|\b\d{1,2} ?[ap]m\b|\b(?:noon|midnight)\b",
    re.ASCII | re.IGNORECASE,
)
_NUMBER = re.compile(r"(?<![\w.])-?(?:\d{1,3}(?:,\d{3})+|\d{1,15})(?:\.\d{1,10})?(?![\d])", re.ASCII)
_CODE = re.compile(r"#?\b(?=[\w-]{0,40}\d)[A-Za-z]+[-_]?\d[\w-]*\b|#\d+\b", re.ASCII)
_FILE = re.compile(
    r"(?<![\w/.~-])(?:[\w.~-]*/)*[\w-]+\.[a-z][a-z0-9]{0,4}\b|(?<!\w)(?:~|\.{1,2})?(?:/[\w.-]+)+"
    r"|(?<![\w/.-])(?:[\w.-]+/)+(?![\w/])",
    re.ASCII,
)
_FORMULA = re.compile(r"[\d(][\d\s.+*/^%()-]{0,40}[+*/^%-][\d\s.+*/^%()-]{0,40}[\d)]", re.ASCII)
_TICKER = re.compile(r"\b[A-Z]{2,5}\b", re.ASCII)
_CALLED = re.compile(r"\b(?:named|called|titled)\s+([\w-]+)")
_AFTER_PREPOSITION = re.compile(
    r"\b(in|at|near|from|to|for)\s+"
    r"((?:(?:new|san|santa|los|las|st|hong|cape|tel|kuala|buenos|el|abu|sao|fort|mexico|salt lake) )?[a-z][a-z'-]{2,})",
    re.ASCII,
)
_NAME = re.compile(
    r"[^\W\d_a-z][\w'\u2019-]*(?:(?: (?:of|de|la|del|du|da|von|van|the))? [^\W\d_a-z][\w'\u2019-]*){0,5}",
)
_BEFORE = re.compile(r"([\w'\u2019-]+)\s+$")
_WORD = re.compile(r"[\w-]+")
_WORD_OR_SIGN = re.compile(r"[\w-]+|[$\u20ac\u00a3\u00a5]")
_A_MONTH = re.compile(_MONTH)
_FIGURES = re.compile(r"\d+", re.ASCII)
_MONTH_NUMBERS = {month[:3]: number for number, month in enumerate(_MONTHS.split()[:12], 1)}
_YEAR = "2026"

_COUNTED = "two three four five six seven eight nine ten eleven twelve"
_NUMBER_WORDS = {word: number for number, word in enumerate(_COUNTED.split(), 2)}

_OPENERS = """a about add after all am an and any are as ask at be before book but buy by calculate call can check compare
    compute convert cool could count create currently dear define delete describe did do does draft each either every
    explain extract fetch find first for from generate get give good great has have he hello help hey hi hola how i i'd
    i'll i'm i've if in is it its just let list load look make many may me multiply my no not now of ok okay on one open
    or order our plan play please put read remind run say schedule search see send set she should show so solve some
    charge commit copy divide download email grep insert list move pay post query refund remove rename reserve share
    transfer upload click close cancel assign book
    start stop subtract sum summarise summarize tell thank thanks that the their then there these they this those to
    translate try turn two update us use verify want was we were what what's whats when where which who who's whose why
    will with work would write yes you your celsius fahrenheit usd eur gbp json api ai"""
_NO_NAMES = frozenset(f"{_OPENERS} {_MONTHS} {_DAYS}".lower().split())

_DETERMINERS = (
    "a an all any each every her his it its me my our that the their them then this those two you your order case case "
    "example fun time today tomorrow total which what him us short general"
)
_NO_PLACES = _NO_NAMES | frozenset(_DETERMINERS.split())

_LISTS = {
    "language": f"{SPOKEN_LANGUAGES} python javascript typescript java rust go kotlin swift ruby",
    "currency": """usd eur gbp jpy chf cad aud cny inr krw brl mxn sek nok dkk pln dollars dollar euros euro pounds yen
        francs rupees bitcoin btc eth""",
    "unit": """celsius fahrenheit kelvin metric imperial km kilometers kilometres miles meters metres feet inches cm mm kg
        kilograms grams pounds ounces lbs liters litres gallons hours minutes seconds days weeks mph""",
    "color": "red green blue yellow orange purple pink black white gray grey brown cyan magenta teal violet",
}
_LISTS["currency"] += " $ \u20ac \u00a3 \u00a5"
_TICKERS = {
    "adobe": "ADBE",
    "alphabet": "GOOGL",
    "amazon": "AMZN",
    "amd": "AMD",
    "apple": "AAPL",
    "disney": "DIS",
    "google": "GOOGL",
    "ibm": "IBM",
    "intel": "INTC",
    "meta": "META",
    "microsoft": "MSFT",
    "netflix": "NFLX",
    "nvidia": "NVDA",
    "oracle": "ORCL",
    "salesforce": "CRM",
    "tesla": "TSLA",
}
_LISTED = {kind: frozenset(words.split()) for kind, words in _LISTS.items()}


class Name:
    """A proper noun of a message.

    Attributes:
        text: The noun.
        before: The word before it, in small letters; empty if there is none.
        is_firm: Whether it is capitalized as a name, not as the first word of a sentence.
    """

    __slots__ = ("before", "is_firm", "text")

    def __init__(self, text: str, before: str, *, is_firm: bool) -> None:
        self.text = text
        self.before = before
        self.is_firm = is_firm


class MessageFacts:
    """A message, and its facts.

    Attributes:
        text: The whole message.
        read: The part that is read.
    """

    def __init__(self, text: str) -> None:
        self.text = text.strip()
        self.read = self.text[:MOST_READ]

    @functools.cached_property
    def lowered(self) -> str:
        """What is read of it, in small letters, words parted by single spaces and framed by them."""
        return f" {' '.join(_WORD.findall(self.read.lower().replace('_', ' ')))} "

    def mentions(self, value: str) -> bool:
        """Return whether `value` occurs in it as a word or as several; a single letter only as it is written."""
        if len(value) > 2 * MOST_READ:
            return False
        if len(value) < 2:
            return value.isalnum() and re.search(rf"(?<!\w){re.escape(value)}(?!\w)", self.read) is not None
        words = " ".join(_WORD.findall(value.lower().replace("_", " ")))
        return bool(words) and (
            f" {words} " in self.lowered or f" {words.replace('-', ' ')} " in self.lowered
        )

    def mentions_form_of(self, value: str) -> bool:
        """Return whether a word occurs in it that begins as `value` does: "divided" for `divide`."""
        stem = value.lower()[: max(5, len(value) - 2)]
        return len(stem) > 4 and stem.isalpha() and f" {stem}" in self.lowered

    @functools.cached_property
    def quotes(self) -> list[str]:
        """Texts in quotation marks."""
        found = ("".join(groups) for groups in _QUOTED.findall(self.read))
        return [one for one in found if one.strip()][:_MOST_FOUND]

    @functools.cached_property
    def emails(self) -> list[str]:
        """Email addresses."""
        return _EMAIL.findall(self.read)[:_MOST_FOUND]

    @functools.cached_property
    def links(self) -> list[str]:
        """URLs."""
        found = _LINK.findall(self.read)[:_MOST_FOUND]
        return [f"https://{one}" if one.startswith("www.") else one for one in found]

    @functools.cached_property
    def dates(self) -> list[str]:
        """Dates as they are written."""
        return _DATE.findall(self.read)[:_MOST_FOUND]

    @functools.cached_property
    def iso_dates(self) -> list[str]:
        """Dates that exist, as ISO 8601 has them; one without a year is in 2026."""
        return [iso for one in self.dates if (iso := _iso(one))]

    @functools.cached_property
    def moments(self) -> list[str]:
        """Days and times of day together, as ISO 8601 has them: nine o'clock by default."""
        days, clocks = self.iso_dates, [clock for one in self.times if (clock := _clock(one))]
        if not days:
            return []
        return [
            f"{days[min(place, len(days) - 1)]}T{clocks[place] if place < len(clocks) else '09:00:00'}Z"
            for place in range(max(len(days), len(clocks)))
        ]

    @functools.cached_property
    def times(self) -> list[str]:
        """Times of day as they are written."""
        return _TIME.findall(self.read)[:_MOST_FOUND]

    @functools.cached_property
    def codes(self) -> list[str]:
        """Identifiers such as `#42` and `ORD-1234`."""
        return _CODE.findall(_without(self.read, _LINK, _EMAIL, _ISO_DATE, _FILE))[:_MOST_FOUND]

    @functools.cached_property
    def files(self) -> list[str]:
        """Names and paths of files."""
        return _FILE.findall(_without(self.read, _LINK, _EMAIL))[:_MOST_FOUND]

    @functools.cached_property
    def formulas(self) -> list[str]:
        """Sums and products."""
        return [one.strip() for one in _FORMULA.findall(_without(self.read, _ISO_DATE))][:_MOST_FOUND]

    @functools.cached_property
    def tickers(self) -> list[str]:
        """Words in capitals, and the symbols of well-known companies."""
        known = [_TICKERS[name] for name in _WORD.findall(self.read.lower()) if name in _TICKERS]
        return [*_TICKER.findall(self.read), *known][:_MOST_FOUND]

    @functools.cached_property
    def called(self) -> list[str]:
        """Names given with "named", "called" or "titled"."""
        return _CALLED.findall(self.read)[:_MOST_FOUND]

    @functools.cached_property
    def numbers(self) -> list[float]:
        """Numbers, in figures or as words up to twelve, in their order; not those of dates, times and addresses."""
        rest = _without(self.read, _LINK, _EMAIL, _DATE, _TIME)
        found: list[tuple[int, float]] = []
        for match in _NUMBER.finditer(rest):
            figures = match[0].replace(",", "")
            found.append((match.start(), float(figures) if "." in figures else int(figures)))
        words = ((match.start(), _NUMBER_WORDS.get(match[0])) for match in _WORD.finditer(rest.lower()))
        found += [(start, number) for start, number in words if number is not None]
        return [number for _, number in sorted(found)][:_MOST_FOUND]

    @functools.cached_property
    def names(self) -> list[Name]:
        """Proper nouns, in their order."""
        found = []
        rest = _without(self.read, _LINK, _EMAIL, _FILE)
        for match in _NAME.finditer(rest):
            start, words = match.start(), match[0].removesuffix("'s").removesuffix("\u2019s").split(" ")
            is_firm = not _opens_sentence(rest, start)
            while words and words[0].lower() in _NO_NAMES:
                start += len(words.pop(0)) + 1
                is_firm = True
            while words and words[-1].lower() in _NO_NAMES:
                words.pop()
            if not words or not 2 <= len(" ".join(words)) <= _LONGEST_NAME:
                continue
            before = _BEFORE.search(rest, max(0, start - 40), start)
            found.append(Name(" ".join(words), before[1].lower() if before else "", is_firm=is_firm))
        return found[:_MOST_FOUND]

    @functools.cached_property
    def places(self) -> list[Name]:
        """Words in small letters that stand where a place might, for messages that know no capitals."""
        found = _AFTER_PREPOSITION.findall(self.read)
        return [
            Name(word.title(), before, is_firm=False) for before, word in found if word not in _NO_PLACES
        ][:_MOST_FOUND]

    def listed(self, kind: str) -> list[tuple[str, str]]:
        """Return the words that are a `language`, a `currency`, a `unit` or a `color`, as they are written, behind those before them."""
        known, words = _LISTED[kind], _WORD_OR_SIGN.findall(self.read)
        pairs = zip(["", *words], words, strict=False)
        return [(before.lower(), word) for before, word in pairs if word.lower() in known][:_MOST_FOUND]


@remembered(maxsize=64, max_chars=MOST_READ)
def extract_facts(text: str) -> MessageFacts:
    """Return the facts of a message."""
    return MessageFacts(text)


def _without(text: str, *patterns: re.Pattern[str]) -> str:
    for pattern in patterns:
        text = pattern.sub(lambda match: "_" * len(match[0]), text)
    return text


def _opens_sentence(text: str, start: int) -> bool:
    before = text[:start].rstrip(" \t\"'\u201c\u2018(*-")
    return not before or before[-1] in ".!?:\n"


def _iso(text: str) -> str:
    """Return a date as ISO 8601 has it; empty if it names no day of a month, or none that exists."""
    if not _ISO_DATE.fullmatch(text):
        month = _A_MONTH.search(text)
        figures = _FIGURES.findall(text)
        if month is None or not figures:
            return ""
        year = figures[1] if len(figures) > 1 else _YEAR
        text = f"{year}-{_MONTH_NUMBERS[month[0][:3]]:02}-{int(figures[0]):02}"
    try:
        datetime.date.fromisoformat(text)
    except ValueError:
        return ""
    return text


def _clock(text: str) -> str:
    """Return a time of day as ISO 8601 has it; empty if there is none."""
    if text.lower() in ("noon", "midnight"):
        return "12:00:00" if text.lower() == "noon" else "00:00:00"
    hour, *rest = (int(figures) for figures in _FIGURES.findall(text))
    half = text.lower().replace(".", "")[-2:]
    if half in ("am", "pm"):
        hour = hour % 12 + (12 if half == "pm" else 0)
    minute, second = (*rest, 0, 0)[:2]
    return f"{hour:02}:{minute:02}:{second:02}" if hour < 24 and minute < 60 and second < 60 else ""
