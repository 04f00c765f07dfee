"""A parser of Python's regular expressions, in linear time.

Decisions:
* What it refuses, `re` refuses, too; tests compare them. It may accept what `re` does not, e.g. a group that is referred to
  before it is closed.
"""

import string
import unicodedata
from typing import Any, NoReturn

Node = tuple[Any, ...]
"""An operator and its arguments.

* `("literal", character)`, `("any",)`, `("set", is_negated, items)` with items of the same kind, and
  `("range", first, last)`, `("category", letter)`
* `("branch", sequences)`, `("repeat", least, most, sequence)`, `("group", number or None, sequence)`
* `("reference", number)`, `("conditional", number, sequence, sequence)`
* `("position",)` and `("look", sequence)` match no character of their own.
"""

Sequence = list[Node]

UNLIMITED = 1 << 32
"""Most repeats, where a pattern has no bound."""

_MOST_LEVELS = 40

_FLAGS = frozenset("aiLmsux")
_SCOPED_OFF = frozenset("imsx")
_TYPE_FLAGS = frozenset("auL")
_CONTROLS = {"a": "\a", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v", "\\": "\\"}
_HEX_DIGITS = {"x": 2, "u": 4, "U": 8}
_HEX, _OCTAL, _DIGITS = frozenset(string.hexdigits), frozenset(string.octdigits), frozenset(string.digits)
_LETTERS = frozenset(string.ascii_letters)
_REPEATS = {"*": (0, UNLIMITED), "+": (1, UNLIMITED), "?": (0, 1)}
_NO_REPEAT = frozenset({"position"})


class InvalidPatternError(Exception):
    """The pattern is invalid, as far as this parser knows."""


class PatternTooDeepError(Exception):
    """The pattern is nested too deep to be parsed."""


class PatternParser:
    """Parses one pattern."""

    def __init__(self, pattern: str) -> None:
        self._text = pattern
        self._at = 0
        self._level = 0
        self._groups = 1
        self._names: dict[str, int] = {}
        self._widths: dict[int, tuple[int, int]] = {}
        self._needed = 0
        self._flags: set[str] = set()
        self._is_verbose = False
        self._sealed = UNLIMITED
        """Number of the first group that is inside of the look-behind that is parsed."""

    def parse(self) -> Sequence:
        """Return the syntax tree.

        Raises:
            InvalidPatternError: The pattern is invalid.
            PatternTooDeepError: It is nested too deep to be parsed.
        """
        tree = self._branches(is_first=True)
        if self._at < len(self._text) or self._needed >= self._groups:
            self._fail()
        if {"a", "u"} <= self._flags or "L" in self._flags:
            self._fail()
        return tree

    def _fail(self) -> NoReturn:
        raise InvalidPatternError

    def _peek(self) -> str:
        return self._text[self._at : self._at + 1]

    def _next(self) -> str:
        if self._at >= len(self._text):
            self._fail()
        self._at += 1
        return self._text[self._at - 1]

    def _accept(self, text: str) -> bool:
        if not self._text.startswith(text, self._at):
            return False
        self._at += len(text)
        return True

    def _while(self, characters: frozenset[str], most: int = UNLIMITED) -> str:
        start = self._at
        while self._at - start < most and self._peek() in characters and self._peek():
            self._at += 1
        return self._text[start : self._at]

    def _until(self, end: str) -> str:
        stop = self._text.find(end, self._at)
        if stop <= self._at:
            self._fail()
        found, self._at = self._text[self._at : stop], stop + len(end)
        return found

    def _branches(self, *, is_first: bool = False) -> Sequence:
        self._level += 1
        if self._level > _MOST_LEVELS:
            raise PatternTooDeepError
        branches = [self._sequence(is_first=is_first)]
        while self._accept("|"):
            branches.append(self._sequence())
        self._level -= 1
        return branches[0] if len(branches) == 1 else [("branch", branches)]

    def _sequence(self, *, is_first: bool = False) -> Sequence:
        found: Sequence = []
        while (sign := self._peek()) and sign not in "|)":
            self._at += 1
            if self._is_verbose and sign in string.whitespace:
                continue
            if self._is_verbose and sign == "#":
                end = self._text.find("\n", self._at)
                self._at = len(self._text) if end < 0 else end + 1
                continue
            match sign:
                case "\\":
                    found.append(self._escape())
                case "[":
                    found.append(self._set())
                case ".":
                    found.append(("any",))
                case "^" | "$":
                    found.append(("position",))
                case "(":
                    node = self._group(is_first=is_first and not found)
                    if node is not None:
                        found.append(node)
                case "*" | "+" | "?" | "{":
                    self._repeat(sign, found)
                case _:
                    found.append(("literal", sign))
        return found

    def _repeat(self, sign: str, found: Sequence) -> None:
        if sign == "{":
            bounds = self._bounds()
            if bounds is None:
                found.append(("literal", "{"))
                return
        else:
            bounds = _REPEATS[sign]
        if not found or found[-1][0] in _NO_REPEAT or found[-1][0] == "repeat":
            self._fail()
        if not self._accept("?"):
            self._accept("+")
        body: Sequence = [found[-1]]
        if body[0][0] == "group" and body[0][1] is None:
            body = body[0][2]
        found[-1] = ("repeat", *bounds, body)

    def _bounds(self) -> tuple[int, int] | None:
        """Parse the bounds after a brace; None if it is a literal one."""
        start = self._at
        if self._peek() == "}":
            return None
        least = self._while(_DIGITS)
        most = self._while(_DIGITS) if self._accept(",") else least
        if not self._accept("}"):
            self._at = start
            return None
        bounds = int(least or 0), int(most) if most else UNLIMITED
        if bounds[1] < bounds[0] or bounds[0] >= UNLIMITED or bounds[1] > UNLIMITED:
            self._fail()
        return bounds

    def _group(self, *, is_first: bool) -> Node | None:
        """Parse a group behind its bracket; None for a comment or for flags."""
        if not self._accept("?"):
            return self._capture(None)
        match sign := self._next():
            case "P":
                if self._accept("<"):
                    return self._capture(self._until(">"))
                if self._accept("="):
                    return self._reference(self._named(self._until(")")))
                self._fail()
            case ":" | ">":
                return ("group", None if sign == ":" else 0, self._closed())
            case "#":
                self._at = self._text.find(")", self._at) + 1 or self._fail()
                return None
            case "=" | "!":
                return ("look", self._closed())
            case "<":
                return self._look_behind()
            case "(":
                return self._conditional()
        self._at -= 1
        return self._flagged(is_first=is_first)

    def _capture(self, name: str | None) -> Node:
        number = self._groups
        self._groups += 1
        if name is not None:
            if not name.isidentifier() or name in self._names:
                self._fail()
            self._names[name] = number
        body = self._closed()
        self._widths[number] = self._width(body)
        return ("group", number, body)

    def _closed(self) -> Sequence:
        """Parse the rest of a group; flags inside of it end with it."""
        was_verbose = self._is_verbose
        body = self._branches()
        self._is_verbose = was_verbose
        if not self._accept(")"):
            self._fail()
        return body

    def _look_behind(self) -> Node:
        if self._next() not in "=!":
            self._fail()
        sealed, self._sealed = self._sealed, min(self._sealed, self._groups)
        body = self._closed()
        self._sealed = sealed
        least, most = self._width(body)
        if least != most:
            self._fail()
        return ("look", body)

    def _conditional(self) -> Node:
        name = self._until(")")
        if name.isidentifier():
            number = self._named(name)
        else:
            if not (name.isascii() and name.isdigit()) or int(name) == 0:
                self._fail()
            number = int(name)
            # It may be defined later.
            self._needed = max(self._needed, number)
        if number >= self._sealed:
            self._fail()
        self._level += 1
        if self._level > _MOST_LEVELS:
            raise PatternTooDeepError
        yes = self._sequence()
        no = self._sequence() if self._accept("|") else []
        self._level -= 1
        if not self._accept(")"):
            self._fail()
        return ("conditional", number, yes, no)

    def _flagged(self, *, is_first: bool) -> Node | None:
        on = self._while(_FLAGS)
        off = ""
        if self._accept("-"):
            off = self._while(_SCOPED_OFF)
            if not off or self._peek() != ":":
                self._fail()
        elif not on:
            self._fail()
        if "L" in on or {"a", "u"} <= set(on) or set(on) & set(off):
            self._fail()
        if self._accept(")"):
            if not is_first:
                self._fail()
            self._flags.update(on)
            if "x" in on and not self._is_verbose:
                self._is_verbose = True
                # What comes before may be white space.
            return None
        if not self._accept(":"):
            self._fail()
        was_verbose = self._is_verbose
        self._is_verbose = (was_verbose or "x" in on) and "x" not in off
        body = self._branches()
        self._is_verbose = was_verbose
        if not self._accept(")"):
            self._fail()
        # Unlike a group without flags, it is one item of a repeat.
        return ("group", 0, body)

    def _named(self, name: str) -> int:
        number = self._names.get(name)
        if number is None:
            self._fail()
        return number

    def _reference(self, number: int) -> Node:
        if number >= self._groups or number not in self._widths or number >= self._sealed:
            self._fail()
        return ("reference", number)

    def _escape(self) -> Node:
        sign = self._next()
        if sign in "AbBZ":
            return ("position",)
        if sign in "dDsSwW":
            return ("set", False, (("category", sign),))
        if sign == "0":
            return ("literal", chr(int("0" + self._while(_OCTAL, 2), 8)))
        if sign in _DIGITS:
            digits = sign + self._while(_DIGITS, 1)
            if len(digits) == 2 and set(digits) <= _OCTAL and self._peek() and self._peek() in _OCTAL:
                return self._octal(digits + self._next())
            return self._reference(int(digits))
        return self._escaped_character(sign)

    def _octal(self, digits: str) -> Node:
        if int(digits, 8) > 0o377:
            self._fail()
        return ("literal", chr(int(digits, 8)))

    def _escaped_character(self, sign: str) -> Node:
        if sign in _CONTROLS:
            return ("literal", _CONTROLS[sign])
        if sign in _HEX_DIGITS:
            digits = self._while(_HEX, _HEX_DIGITS[sign])
            if len(digits) != _HEX_DIGITS[sign] or int(digits, 16) > 0x10FFFF:
                self._fail()
            return ("literal", chr(int(digits, 16)))
        if sign == "N" and self._accept("{"):
            try:
                return ("literal", unicodedata.lookup(self._until("}")))
            except KeyError:
                self._fail()
        if sign in _LETTERS:
            self._fail()
        return ("literal", sign)

    def _set(self) -> Node:
        is_negated = self._accept("^")
        items: Sequence = []
        start = self._at
        while True:
            if self._peek() == "]" and self._at > start:
                self._at += 1
                break
            first = self._set_item()
            if self._peek() != "-" or self._text[self._at + 1 : self._at + 2] == "]":
                items.append(first)
                continue
            self._at += 1
            last = self._set_item()
            if first[0] != "literal" or last[0] != "literal" or last[1] < first[1]:
                self._fail()
            items.append(("range", first[1], last[1]))
        if len(items) == 1 and items[0][0] == "literal" and not is_negated:
            return items[0]
        return ("set", is_negated, tuple(items))

    def _set_item(self) -> Node:
        sign = self._next()
        if sign != "\\":
            return ("literal", sign)
        sign = self._next()
        if sign in "dDsSwW":
            return ("category", sign)
        if sign == "b":
            return ("literal", "\b")
        if sign in _OCTAL:
            return self._octal(sign + self._while(_OCTAL, 2))
        if sign in _DIGITS:
            self._fail()
        return self._escaped_character(sign)

    def _width(self, sequence: Sequence) -> tuple[int, int]:
        """Return the least and the largest number of characters that a sequence matches."""
        least = most = 0
        for node in sequence:
            low, high = self._node_width(node)
            least += low
            most += high
        return min(least, UNLIMITED), min(most, UNLIMITED)

    def _node_width(self, node: Node) -> tuple[int, int]:
        match node:
            case ("branch", branches):
                widths = [self._width(branch) for branch in branches]
                return min(low for low, _ in widths), max(high for _, high in widths)
            case ("repeat", least, most, body):
                low, high = self._width(body)
                return low * least, high * most
            case ("group", _, body):
                return self._width(body)
            case ("reference", number):
                return self._widths[number]
            case ("conditional", _, yes, no):
                widths = [self._width(yes), self._width(no)]
                return min(low for low, _ in widths), max(high for _, high in widths)
            case ("position",) | ("look", _):
                return 0, 0
        return 1, 1
