"""Facts in a message: paths, URLs, numbers, dates, quotations, read-only commands and one proper noun.

Decisions:
* Only what is unmistakable is extracted. Everything else in a message is left to models.
* A sentence with a negation is negated as a whole, and so is a name that occurs in one. Too much is negated rather than
  too little, as what is not negated may be run or written.
* Words are separated at blanks and taken whole, so that a part of a hostile name is never taken for a harmless one.
* PERF: each kind is extracted on first use, from the first 4000 characters; messages are cached, as several
  choices and calls use the same one.
"""

import bisect
import datetime
import functools
import re

import msgspec

from llmsim.budgets import remembered

MOST_READ = 4000
"""Characters of a message that are read."""

_MOST_FOUND = 50
_LONGEST_NAME = 60

_QUOTED = re.compile(
    r"\"([^\"\n]{1,200})\"|\u201c([^\u201d\n]{1,200})\u201d|`([^`\n]{1,200})`|(?<!\w)'([^'\n]{1,200})'(?!\w)"
)
_TOKEN = re.compile(r"\S+")
_AROUND = "\"'`\u201c\u201d\u2018\u2019()[]{}<>,;:!?*"
_URL = re.compile(r"(?:https?://|www\.)[^\s<>\"'`]+", re.ASCII)
_FILE = re.compile(r"\S*[\w-]\.[a-z][a-z0-9]{0,7}", re.ASCII)
_NO_FILES = re.compile(r"(?:e\.g|i\.e|a\.k\.a|vs\.\w+|[^/\\]+\.(?:com|org|net|gov|edu))", re.IGNORECASE)
_BARE_FILES = frozenset(["README", "LICENSE", "Makefile", "Dockerfile", "Gemfile", "Rakefile"])

_MONTHS = "January February March April May June July August September October November December"
_DAYS = "Monday Tuesday Wednesday Thursday Friday Saturday Sunday"
_MONTH = "(?:" + "|".join(_MONTHS.split()) + ")"
_DATE = re.compile(
    rf"\b(?P<iso>\d{{4}}-\d{{2}}-\d{{2}})(?:[T ](?P<clock>\d{{2}}:\d{{2}})(?::\d{{2}})?Z?)?\b"
    rf"|\b(?P<month>{_MONTH}) (?P<day>\d{{1,2}})(?:st|nd|rd|th)?,? (?P<year>\d{{4}})\b"
    rf"|\b(?P<day2>\d{{1,2}})(?:st|nd|rd|th)? (?:of )?(?P<month2>{_MONTH}),? (?P<year2>\d{{4}})\b",
    re.ASCII,
)
_MONTH_NUMBERS = {month: number for number, month in enumerate(_MONTHS.split(), 1)}
_CLOCK = re.compile(r"\b\d{1,2}:\d{2}\b", re.ASCII)
_NUMBER = re.compile(r"(?<![\w.])-?(?:\d{1,3}(?:,\d{3})+|\d{1,15})(?:\.\d{1,10})?(?![\w]|\.\d)", re.ASCII)

_NAME_WORD = r"[^\W\d_a-z][\w'\u2019-]*"
_NAME = re.compile(rf"{_NAME_WORD}(?:(?: (?:of|de|la|del|du|da|von|van))? {_NAME_WORD}){{0,4}}")
_NO_NAMES = frozenset(
    f"{_MONTHS} {_DAYS} A An And At But For He How If In It On Or Please She That The These They This To We What "
    f"When Where Which Who Why You I I'm I'd I'll I've I\u2019m I\u2019ll OK".split()
)

_WORD = re.compile(r"[\w-]+")
_SENTENCE_END = re.compile(r"(?<=[.!?;])[\"'`)\u201d]*\s+|\n+")
_COLON = re.compile(r":\s+")
_NEGATION = re.compile(
    r"\b(?:no|not|nor|none|never|without|avoid\w*|don['\u2019]?t|cannot|\w+n['\u2019]t|stop|refus\w+|forb\w+|prohibit\w*|"
    r"instead of|rather than|except|unless|why|warn\w*|danger\w*|harm\w*|"
    r"nicht|kein\w*|nie|niemals|ne|n['\u2019]\w+|pas|jamais|sans|nunca|jam[a\u00e1]s|sin|n[a\u00e3]o|non|mai|niet|geen|nooit|"
    r"inte|aldrig|nie|bez|\u043d\u0435|\u043d\u0435\u043b\u044c\u0437\u044f)\b"
    r"|[\u4e0d\u522b\u5225\u52ff\u7981]|\u306a\u3044|\u3059\u308b\u306a|\ub9c8\uc138\uc694|\uc548 ",
    re.IGNORECASE,
)
_BEFORE_SOURCE = re.compile(r"\b(?:of|from|about|like) (?:the )?(?:file )?\Z", re.IGNORECASE)
_RUN = re.compile(
    r"\b[Rr]un (?:the |this )?(?:following )?(?:(?:bash|shell|terminal) )?(?:command:? )?(ls|pwd|git status|cat [^\s\"'`\u201d,;:!?]+)"
)
_PLAIN_END = re.compile(r"[.,!?:]*(?:\s+[^\W\d_]|\s*$)")
"""What may follow a command without quotes: another clause, but no option and no sign of a shell."""

_FIXED_COMMANDS = frozenset(["ls", "pwd", "git status"])
_SAFE_NAME = re.compile(r"\w[\w-]*(?:\.[\w-]+|/\w[\w-]*)*/?")
_LONGEST_PATH = 200


def safe_name(name: str) -> bool:
    """Return whether a name is a plain relative one: no `..`, no leading dot or dash, no signs of a shell."""
    return len(name) <= _LONGEST_PATH and _SAFE_NAME.fullmatch(name) is not None and ".." not in name


class Number(msgspec.Struct, frozen=True):
    """A number of a message.

    Attributes:
        value: The number; an integer unless it is written with a fraction.
        words: The words around it, in lower case.
    """

    value: float
    words: tuple[str, ...]


class MessageFacts:
    """A message, and its facts.

    Attributes:
        text: The whole message.
        read: The part that is read.
    """

    def __init__(self, text: str) -> None:
        self.text = text.strip()
        # What follows a colon belongs to the sentence before it.
        self.read = _COLON.sub(": ", self.text[:MOST_READ])

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

    @functools.cached_property
    def quotes(self) -> list[str]:
        """Texts in quotation marks and back quotes."""
        found = ("".join(groups) for groups in _QUOTED.findall(self.read))
        return [one for one in found if one.strip()][:_MOST_FOUND]

    @functools.cached_property
    def urls(self) -> list[str]:
        """URLs."""
        found = [one.rstrip(".,;:!?)]") for one in _URL.findall(self.read)][:_MOST_FOUND]
        return [f"https://{one}" if one.startswith("www.") else one for one in found]

    @functools.cached_property
    def paths(self) -> list[str]:
        """Names and paths of files and directories."""
        return [path for _, path in self._located_paths][:_MOST_FOUND]

    @functools.cached_property
    def safe_names(self) -> list[str]:
        """Those of the paths that are plain relative names, and that no negated sentence contains; sources come last."""
        negated = {path.lower() for start, path in self._located_paths if self._is_negated(start)}
        sources = {
            path
            for start, path in self._located_paths
            if _BEFORE_SOURCE.search(self.read, max(0, start - 20), start)
        }
        found = [path for path in self.paths if safe_name(path) and path.lower() not in negated]
        return sorted(found, key=sources.__contains__)

    @functools.cached_property
    def command(self) -> str:
        """The read-only command that the message asks to run; empty if there is none.

        It is in quotes or back quotes, or the plain object of "run", and not negated.
        """
        for match in _QUOTED.finditer(self.read):
            quoted = "".join(one or "" for one in match.groups()).strip()
            if self._is_read_only(quoted) and not self._is_negated(match.start()):
                return quoted
        for match in _RUN.finditer(self.read):
            found = match[1].rstrip(".")
            # Without quotes, a word behind "cat" is a file only if it looks like one.
            is_plain = found in _FIXED_COMMANDS or _is_path(found[4:])
            if (
                is_plain
                and _PLAIN_END.match(self.read, match.end())
                and self._is_read_only(found)
                and not self._is_negated(match.start())
            ):
                return found
        return ""

    @functools.cached_property
    def dates(self) -> list[str]:
        """Dates with a year that exist, as ISO 8601 has them."""
        return [day for day, _ in self._moments]

    @functools.cached_property
    def moments(self) -> list[str]:
        """The same, each with its time of day; nine o'clock by default."""
        return [f"{day}T{clock or '09:00'}:00Z" for day, clock in self._moments]

    @functools.cached_property
    def numbers(self) -> list[Number]:
        """Numbers in figures, in their order; not those of dates, times, paths and URLs."""
        rest = _without(self.read, _URL, _DATE, _CLOCK)
        found = []
        for match in _NUMBER.finditer(rest):
            figures = match[0].replace(",", "")
            value = float(figures) if float(figures) != int(float(figures)) else int(float(figures))
            before = _WORD.findall(rest[max(0, match.start() - 40) : match.start()])[-2:]
            after = _WORD.findall(rest[match.end() : match.end() + 40])[:1]
            found.append(Number(value, tuple(word.lower() for word in (*before, *after))))
        return found[:_MOST_FOUND]

    @functools.cached_property
    def noun(self) -> str:
        """The first proper noun; empty if there is none.

        The first word of a sentence is always capitalized: it counts only if the message is nothing else.
        """
        rest = _without(self.read, _URL, _QUOTED)
        for match in _NAME.finditer(rest):
            is_opening = not (before := rest[: match.start()].rstrip(" \t\"'\u201c\u2018(*-")) or (
                before[-1] in ".!?\n_"
            )
            words = match[0].removesuffix("'s").removesuffix("\u2019s").split(" ")
            if is_opening and match[0] != rest.rstrip(" .!?"):
                words = words[1:]
            while words and not _is_name(words[0]):
                words.pop(0)
            while words and not _is_name(words[-1]):
                words.pop()
            noun = " ".join(words)
            if 2 <= len(noun) <= _LONGEST_NAME and not _is_part_of_path(rest, match.start(), match.end()):
                return noun
        return ""

    @functools.cached_property
    def _located_paths(self) -> list[tuple[int, str]]:
        found = []
        for match in _TOKEN.finditer(self.read):
            word = match[0].strip(_AROUND).rstrip(".").rstrip(_AROUND)
            if _is_path(word):
                found.append((match.start(), word))
        return found[:_MOST_FOUND]

    @functools.cached_property
    def _moments(self) -> list[tuple[str, str]]:
        found = []
        for match in _DATE.finditer(self.read):
            day = match["iso"]
            if not day:
                month = _MONTH_NUMBERS[match["month"] or match["month2"]]
                day = f"{match['year'] or match['year2']}-{month:02}-{int(match['day'] or match['day2']):02}"
            clock = match["clock"] or ""
            try:
                datetime.datetime.fromisoformat(f"{day}T{clock or '09:00'}")
            except ValueError:
                continue
            found.append((day, clock))
        return found[:_MOST_FOUND]

    @functools.cached_property
    def _sentences(self) -> tuple[list[int], list[bool]]:
        """The starts of its sentences, and whether each is negated."""
        starts = [0, *(match.end() for match in _SENTENCE_END.finditer(self.read))]
        ends = [*starts[1:], len(self.read)]
        spans = zip(starts, ends, strict=True)
        return starts, [_NEGATION.search(self.read, start, end) is not None for start, end in spans]

    def _is_negated(self, position: int) -> bool:
        starts, negated = self._sentences
        return negated[bisect.bisect_right(starts, position) - 1]

    def _is_read_only(self, command: str) -> bool:
        return command in _FIXED_COMMANDS or (
            command.startswith("cat ") and safe_name(command[4:]) and self._may_be_named(command[4:])
        )

    def _may_be_named(self, name: str) -> bool:
        return not _is_path(name) or name in self.safe_names


@remembered(maxsize=64, max_chars=MOST_READ)
def extract_facts(text: str) -> MessageFacts:
    """Return the facts of a message."""
    return MessageFacts(text)


def _is_path(word: str) -> bool:
    if not word or "://" in word or "@" in word or word.startswith("www.") or _NO_FILES.fullmatch(word):
        return False
    if word.startswith(("/", "./", "../", "~/", "..\\")) or word.endswith("/") or "\\" in word:
        return any(character.isalnum() for character in word) or word in ("./", "../", "~/")
    is_hidden = word[0] == "." and word[1:2].isalpha()
    return is_hidden or word in _BARE_FILES or _FILE.fullmatch(word) is not None


def _is_name(word: str) -> bool:
    """Return whether a capitalized word may be part of a name: no acronym, no identifier, no day."""
    return (
        word not in _NO_NAMES
        and not word[1:].isupper()
        and (word[1:].islower() or "-" in word or "'" in word)
    )


def _is_part_of_path(text: str, start: int, end: int) -> bool:
    return text[start - 1 : start] in ("/", ".", "_", "\\", "~") or (
        text[end : end + 1] in ("/", "\\", "_") or re.match(r"\.\w", text[end : end + 2]) is not None
    )


def _without(text: str, *patterns: re.Pattern[str]) -> str:
    for pattern in patterns:
        text = pattern.sub(lambda match: "_" * len(match[0]), text)
    return text
