"""Tokens of texts, counted by their words: most prompts are made of words that have come before, and of a number that has not.

Decisions:
* The patterns of the vocabularies split a text before each space that follows and precedes no other white space, and no token goes
  across a split. So the tokens of a text are those of its words, each with the space before it. A text that has other white space
  beside a space is counted as a whole, and so is one with many unknown words.
* A number has a token for each three digits, and one for the space before it. It is not remembered: the next prompt has another.
* PERF: 1 us for a prompt of eight words; to encode it takes 2, and 5 between requests, because the vocabulary is out of the
  processor's caches. To remember whole prompts costs another 4 if they never come again.
"""

from collections.abc import Callable, Sequence

_MOST_WORDS = 8_192
"""Words that are remembered; then all are forgotten."""

_LONGEST = 24
"""Characters of a word that is remembered."""

_SIGNS = ".,:;!?)]}'\""
"""Signs that may follow a word or a number."""

_UNKNOWN, _WORDS_OF_ONE = 1, 16
"""Words that a text may have unremembered, and words for which it may have one more: one by itself costs as much as eight together.

PERF: English takes half the time that encoding it takes, a text of random words half as much again."""


class _WholeError(Exception):
    """The text has to be counted as a whole."""


class _Words(dict[str, int]):
    """Tokens of words, by the word without what comes before it.

    Args:
        encode: Encodes a text.
        before: What comes before each word: a space, or nothing.

    Attributes:
        left: How many more words of a text may be counted that are not remembered.
    """

    __slots__ = ("_before", "_encode", "left")

    def __init__(self, encode: Callable[[str], Sequence[int]], before: str) -> None:
        super().__init__()
        self._encode = encode
        self._before = before
        self.left = 0

    def __missing__(self, word: str) -> int:
        """Count a word.

        Raises:
            _WholeError: What comes next may belong to it, or too many are not remembered.
        """
        stem = word.rstrip(_SIGNS)
        if stem.isdecimal() and stem.isascii():
            signs = len(word) - len(stem)
            return (
                len(self._before)
                + (len(stem) + 2) // 3
                + (signs if signs < 2 else len(self._encode(word[-signs:])))
            )
        self.left -= 1
        if self.left < 0 or not word or word[-1].isspace():
            raise _WholeError
        tokens = len(self._encode(self._before + word))
        if stem.isalpha() and len(word) <= _LONGEST:
            if len(self) >= _MOST_WORDS:
                self.clear()
            self[word] = tokens
        return tokens


class WordCounts:
    """Counts texts by a vocabulary whose pattern is one of OpenAI's.

    Args:
        encode: Encodes a text.
    """

    def __init__(self, encode: Callable[[str], Sequence[int]]) -> None:
        self._encode = encode
        self._first = _Words(encode, "")
        self._following = _Words(encode, " ")

    def count(self, text: str) -> int:
        """Count the tokens of a text."""
        words = text.split(" ")
        first, following = self._first, self._following
        first.left = 1
        following.left = _UNKNOWN + len(words) // _WORDS_OF_ONE
        try:
            return first[words.pop(0)] + sum(map(following.__getitem__, words))
        except _WholeError:
            return len(self._encode(text))
