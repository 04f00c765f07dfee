"""What is said: the text of an answer, as the pieces in which it is streamed.

Decisions:
* `lorem`, the default, is answered from a pool made once a vocabulary: the pieces and what
  renderers derive from them are shared by all requests.
* `lorem` and `random` are exact: words are chosen by their cost in tokens, so `target_tokens`
  is the number of tokens of the text under the model's own tokenizer.
"""

import functools
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from llmsim.config import ResponseSettings
from llmsim.domain import Prompt, TokenizedText
from llmsim.errors import ConfigError
from llmsim.json_instances.common_words import COMMON_WORDS
from llmsim.planning.rng import Random, seeded
from llmsim.planning.tokens import Tokenizer

GENERATED = ("lorem", "random")
"""Generators whose texts are made up, and nobody's own."""

_LOREM = [
    "lorem",
    "ipsum",
    "dolor",
    "sit",
    "amet",
    "consectetur",
    "adipiscing",
    "elit",
    "sed",
    "do",
    "eiusmod",
    "tempor",
    "incididunt",
    "ut",
    "labore",
    "et",
    "dolore",
    "magna",
    "aliqua",
    "enim",
    "ad",
    "minim",
    "veniam",
    "quis",
    "nostrud",
    "exercitation",
    "ullamco",
    "laboris",
    "nisi",
    "aliquip",
    "ex",
    "ea",
    "commodo",
    "consequat",
    "duis",
    "aute",
    "irure",
    "in",
    "reprehenderit",
    "voluptate",
    "velit",
    "esse",
    "cillum",
    "eu",
    "fugiat",
    "nulla",
    "pariatur",
    "excepteur",
    "sint",
    "occaecat",
    "cupidatat",
    "non",
    "proident",
    "sunt",
    "culpa",
    "qui",
    "officia",
    "deserunt",
    "mollit",
    "anim",
    "id",
    "est",
    "laborum",
]


_POOL = 64
_POOL_TOKENS = 200_000


class LineNumbers:
    """The numbers of the lines that one turn takes.

    Attributes:
        taken: How many it has taken.
    """

    def __init__(self, first: int | None) -> None:
        """Prepare to count.

        Args:
            first: The first number that was reserved for the turn; None to find out how many it takes.
        """
        self.taken = 0
        self._first = first or 0

    def take(self) -> int:
        """Return the next number."""
        number = self._first + self.taken
        self.taken += 1
        return number


class Generator(Protocol):
    """Makes the text of one choice.

    Attributes:
        takes_lines: Whether it takes lines of a file in turn.
    """

    takes_lines: bool

    def prepare(self, tokenizer: Tokenizer) -> None:
        """Make beforehand what all processes can share."""
        ...

    def __call__(
        self, prompt: Prompt, tokenizer: Tokenizer, dice: Random, lines: LineNumbers
    ) -> TokenizedText:
        """Answer `prompt` in tokens of `tokenizer`."""
        ...


def generator(settings: ResponseSettings) -> Generator:
    """Build the generator that `response.generator` names.

    Raises:
        ConfigError: The file of `sequence:FILE` cannot be played.
    """
    kind, _, argument = settings.generator.partition(":")
    match kind:
        case "lorem":
            return Pool(settings.target_tokens)
        case "random":
            return RandomWords(settings.target_tokens)
        case "echo":
            return Echo()
        case "fixed":
            return Fixed(argument)
        case "sequence":
            return Lines(_lines(argument))
    raise ConfigError(f"response.generator: unknown generator {kind!r}")


class Pool:
    """Lorem ipsum of exactly `tokens` tokens, one of a few texts made beforehand."""

    takes_lines = False

    def __init__(self, tokens: int) -> None:
        self._tokens = tokens
        self._size = max(1, min(_POOL, _POOL_TOKENS // tokens))
        self._texts = functools.cache(self._make)

    def _make(self, tokenizer: Tokenizer) -> tuple[TokenizedText, ...]:
        prose = Prose(_LOREM, tokenizer)
        return tuple(prose.passage(self._tokens, seeded("lorem", number)) for number in range(self._size))

    def prepare(self, tokenizer: Tokenizer) -> None:
        """Make the texts."""
        self._texts(tokenizer)

    def __call__(
        self, prompt: Prompt, tokenizer: Tokenizer, dice: Random, lines: LineNumbers
    ) -> TokenizedText:
        """Pick a text."""
        texts = self._texts(tokenizer)
        return texts[int(dice.random() * len(texts))]


class RandomWords:
    """Everyday words in sentences, exactly `tokens` tokens, fresh for each request."""

    takes_lines = False

    def __init__(self, tokens: int) -> None:
        self._tokens = tokens
        self._prose = functools.cache(functools.partial(Prose, COMMON_WORDS))

    def prepare(self, tokenizer: Tokenizer) -> None:
        """Cut the words."""
        self._prose(tokenizer)

    def __call__(
        self, prompt: Prompt, tokenizer: Tokenizer, dice: Random, lines: LineNumbers
    ) -> TokenizedText:
        """Make a text."""
        return self._prose(tokenizer).passage(self._tokens, dice)


class Prose:
    """Sentences of given words, of an exact number of tokens.

    Each word is a form with its leading space, cut into pieces once; sentences are put together
    from these, which is right because tokenizers never merge across a word's leading space.
    """

    def __init__(self, words: Sequence[str], tokenizer: Tokenizer) -> None:
        cut = tokenizer.passage
        self._first = _by_cost([cut(word.capitalize()) for word in words])
        self._opening = _by_cost([cut(" " + word.capitalize()) for word in words])
        self._inner = _by_cost([cut(" " + word) for word in words])

    def passage(self, tokens: int, dice: Random) -> TokenizedText:
        """Make `tokens` tokens of text; it ends with a full stop if there is more than one."""
        pieces: list[str] = []
        ends: list[int] = []
        left = tokens
        words = 0
        forms = self._first
        while left > 0:
            # A word leaves room for the full stop that ends the text.
            word = _STOP if left == 1 and pieces else _pick(forms, max(left - 1, 1), dice)
            base = tokens - left
            pieces += word.pieces
            ends += [base + end for end in word.cumulative_tokens]
            left -= word.tokens
            words += 1
            forms = self._inner
            if words >= 8 and left > 4 and dice.random() < 0.25:
                pieces.append(".")
                left -= 1
                ends.append(tokens - left)
                words, forms = 0, self._opening
        return TokenizedText(tuple(pieces), tuple(ends))


_STOP = TokenizedText((".",), (1,))


def _by_cost(words: Sequence[TokenizedText]) -> tuple[tuple[TokenizedText, ...], ...]:
    """Index words by budget: entry `n` holds those of at most `n` tokens; the last entry holds all."""
    most = max(word.tokens for word in words)
    return tuple(tuple(word for word in words if word.tokens <= budget) for budget in range(most + 1))


def _pick(forms: tuple[tuple[TokenizedText, ...], ...], budget: int, dice: Random) -> TokenizedText:
    fitting = forms[min(budget, len(forms) - 1)]
    return fitting[int(dice.random() * len(fitting))]


class Echo:
    """The last user message; without one, the last message."""

    takes_lines = False

    def prepare(self, tokenizer: Tokenizer) -> None:
        """Nothing can be made beforehand."""

    def __call__(
        self, prompt: Prompt, tokenizer: Tokenizer, dice: Random, lines: LineNumbers
    ) -> TokenizedText:
        """Say it back."""
        said = [message for message in prompt.messages if message.role == "user"] or prompt.messages
        return tokenizer.passage("".join(said[-1].texts) if said else "")


class Fixed:
    """The same text always."""

    takes_lines = False

    def __init__(self, text: str) -> None:
        self._text = text
        self._passage = functools.cache(self._cut)

    def _cut(self, tokenizer: Tokenizer) -> TokenizedText:
        return tokenizer.passage(self._text)

    def prepare(self, tokenizer: Tokenizer) -> None:
        """Cut the text."""
        self._passage(tokenizer)

    def __call__(
        self, prompt: Prompt, tokenizer: Tokenizer, dice: Random, lines: LineNumbers
    ) -> TokenizedText:
        """Say it."""
        return self._passage(tokenizer)


class Lines:
    """The lines of a file in turn, over all workers; after the last the first again."""

    takes_lines = True

    def __init__(self, lines: Sequence[str]) -> None:
        self._lines = lines
        self._passage = functools.lru_cache(maxsize=1024)(self._cut)

    def _cut(self, tokenizer: Tokenizer, line: int) -> TokenizedText:
        return tokenizer.passage(self._lines[line])

    def prepare(self, tokenizer: Tokenizer) -> None:
        """Cut the first lines."""
        for line in range(min(len(self._lines), 64)):
            self._passage(tokenizer, line)

    def __call__(
        self, prompt: Prompt, tokenizer: Tokenizer, dice: Random, lines: LineNumbers
    ) -> TokenizedText:
        """Say the next line."""
        return self._passage(tokenizer, lines.take() % len(self._lines))


def _lines(path: str) -> tuple[str, ...]:
    try:
        text = Path(path).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"response.generator: cannot read the lines of {path!r}: {error}") from None
    lines = tuple(line for line in text.splitlines() if line.strip())
    if not lines:
        raise ConfigError(f"response.generator: {path!r} has no line to say")
    return lines
