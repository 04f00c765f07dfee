"""Text generators: the text of a response, as the pieces in which it is streamed.

Decisions:
* `lorem`, the default, picks from a pool made once a vocabulary: the pieces and what
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
from llmsim.planning.rng import Random, seeded_rng
from llmsim.planning.tokens import Tokenizer

GENERATED = ("lorem", "random")
"""Generators whose texts are made up; others return a text of the user."""

LOREM = """
    lorem ipsum dolor sit amet consectetur adipiscing elit sed do eiusmod tempor incididunt ut labore et
    dolore magna aliqua enim ad minim veniam quis nostrud exercitation ullamco laboris nisi aliquip ex
    ea commodo consequat duis aute irure in reprehenderit voluptate velit esse cillum eu fugiat nulla
    pariatur excepteur sint occaecat cupidatat non proident sunt culpa qui officia deserunt mollit anim
    id est laborum
""".split()
"""The words of lorem ipsum."""

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

    def next(self) -> int:
        """Return the next number."""
        number = self._first + self.taken
        self.taken += 1
        return number


NO_LINES = LineNumbers(None)
"""For generators that take no lines."""


class Generator(Protocol):
    """Generates the text of one choice.

    Attributes:
        takes_lines: Whether it takes lines of a file in turn.
    """

    takes_lines: bool

    def prepare(self, tokenizer: Tokenizer) -> None:
        """Prepare what all processes can share."""
        ...

    def __call__(
        self, prompt: Prompt, tokenizer: Tokenizer, rng: Random, lines: LineNumbers
    ) -> TokenizedText:
        """Return the text for `prompt` in tokens of `tokenizer`."""
        ...


def build_generator(settings: ResponseSettings) -> Generator:
    """Build the generator that `response.generator` names.

    Raises:
        ConfigError: The file of `sequence:FILE` cannot be read.
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
            return Lines(_read_lines(argument))
    raise ConfigError(f"response.generator: unknown generator {kind!r}")


class Pool:
    """Lorem ipsum of exactly `tokens` tokens, one of a few prepared texts."""

    takes_lines = False

    def __init__(self, tokens: int) -> None:
        self._tokens = tokens
        self._size = max(1, min(_POOL, _POOL_TOKENS // tokens))
        self._texts = functools.cache(self._make)

    def _make(self, tokenizer: Tokenizer) -> tuple[TokenizedText, ...]:
        prose = Prose(LOREM, tokenizer)
        return tuple(prose.compose(self._tokens, seeded_rng("lorem", number)) for number in range(self._size))

    def prepare(self, tokenizer: Tokenizer) -> None:
        """Generate the texts."""
        self._texts(tokenizer)

    def __call__(
        self, prompt: Prompt, tokenizer: Tokenizer, rng: Random, lines: LineNumbers
    ) -> TokenizedText:
        """Pick a text."""
        texts = self._texts(tokenizer)
        return texts[int(rng.random() * len(texts))]


class RandomWords:
    """Everyday words in sentences, exactly `tokens` tokens, fresh for each request."""

    takes_lines = False

    def __init__(self, tokens: int) -> None:
        self._tokens = tokens
        self._prose = functools.cache(functools.partial(Prose, COMMON_WORDS))

    def prepare(self, tokenizer: Tokenizer) -> None:
        """Tokenize the words."""
        self._prose(tokenizer)

    def __call__(
        self, prompt: Prompt, tokenizer: Tokenizer, rng: Random, lines: LineNumbers
    ) -> TokenizedText:
        """Generate a text."""
        return self._prose(tokenizer).compose(self._tokens, rng)


class Prose:
    """Sentences of given words, of an exact number of tokens.

    Each word is tokenized once with its leading space; sentences are concatenated from these, which is right because
    tokenizers never merge across a word's leading space.
    """

    def __init__(self, words: Sequence[str], tokenizer: Tokenizer) -> None:
        tokenize = tokenizer.tokenize
        self._first = _by_cost([tokenize(word.capitalize()) for word in words])
        self._opening = _by_cost([tokenize(" " + word.capitalize()) for word in words])
        self._inner = _by_cost([tokenize(" " + word) for word in words])

    def compose(self, tokens: int, rng: Random) -> TokenizedText:
        """Generate `tokens` tokens of text; it ends with a full stop if there is more than one."""
        pieces: list[str] = []
        ends: list[int] = []
        left = tokens
        words = 0
        forms = self._first
        while left > 0:
            # A word leaves one token for the full stop that ends the text.
            word = _STOP if left == 1 and pieces else _pick(forms, max(left - 1, 1), rng)
            base = tokens - left
            pieces += word.pieces
            ends += [base + end for end in word.cumulative_tokens]
            left -= word.tokens
            words += 1
            forms = self._inner
            if words >= 8 and left > 4 and rng.random() < 0.25:
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


def _pick(forms: tuple[tuple[TokenizedText, ...], ...], budget: int, rng: Random) -> TokenizedText:
    fitting = forms[min(budget, len(forms) - 1)]
    return fitting[int(rng.random() * len(fitting))]


class Echo:
    """The last user message; without one, the last message."""

    takes_lines = False

    def prepare(self, tokenizer: Tokenizer) -> None:
        """Prepare nothing: the text depends on the prompt."""

    def __call__(
        self, prompt: Prompt, tokenizer: Tokenizer, rng: Random, lines: LineNumbers
    ) -> TokenizedText:
        """Return its text."""
        messages = [message for message in prompt.messages if message.role == "user"] or prompt.messages
        return tokenizer.tokenize("".join(messages[-1].texts) if messages else "")


class Fixed:
    """The same text always."""

    takes_lines = False

    def __init__(self, text: str) -> None:
        self._text = text
        self._tokenize = functools.cache(self._uncached)

    def _uncached(self, tokenizer: Tokenizer) -> TokenizedText:
        return tokenizer.tokenize(self._text)

    def prepare(self, tokenizer: Tokenizer) -> None:
        """Tokenize the text."""
        self._tokenize(tokenizer)

    def __call__(
        self, prompt: Prompt, tokenizer: Tokenizer, rng: Random, lines: LineNumbers
    ) -> TokenizedText:
        """Return it."""
        return self._tokenize(tokenizer)


class Lines:
    """The lines of a file in turn, over all workers; after the last the first again."""

    takes_lines = True

    def __init__(self, lines: Sequence[str]) -> None:
        self._lines = lines
        self._tokenize = functools.lru_cache(maxsize=1024)(self._uncached)

    def _uncached(self, tokenizer: Tokenizer, line: int) -> TokenizedText:
        return tokenizer.tokenize(self._lines[line])

    def prepare(self, tokenizer: Tokenizer) -> None:
        """Tokenize the first lines."""
        for line in range(min(len(self._lines), 64)):
            self._tokenize(tokenizer, line)

    def __call__(
        self, prompt: Prompt, tokenizer: Tokenizer, rng: Random, lines: LineNumbers
    ) -> TokenizedText:
        """Return the next line."""
        return self._tokenize(tokenizer, lines.next() % len(self._lines))


def _read_lines(path: str) -> tuple[str, ...]:
    try:
        text = Path(path).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"response.generator: cannot read the lines of {path!r}: {error}") from None
    lines = tuple(line for line in text.splitlines() if line.strip())
    if not lines:
        raise ConfigError(f"response.generator: {path!r} has no line")
    return lines
