"""What is said: the text of an answer, as the pieces in which it is streamed.

Decisions:
* `lorem`, the default, is answered from a pool made once a vocabulary: the pieces and what
  renderers derive from them are shared by all requests.
* `lorem` and `random` are exact: words are chosen by their cost in tokens, so `target_tokens`
  is the number of tokens of the text under the model's own tokenizer.
"""

import functools
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Protocol

from llmsim.config import ResponseSettings
from llmsim.errors import ConfigError
from llmsim.exchange import Passage, Prompt
from llmsim.planning.dice import Dice, seeded
from llmsim.planning.tokens import Tokenizer

GENERATED = ("lorem", "random")
"""Generators whose texts are made up, and nobody's own."""

Tickets = Callable[[str], int]
"""Gives the next number of a named sequence that all workers share, from 0."""

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

COMMON_WORDS = [
    "time",
    "year",
    "people",
    "way",
    "day",
    "man",
    "thing",
    "woman",
    "life",
    "child",
    "world",
    "school",
    "state",
    "family",
    "student",
    "group",
    "country",
    "problem",
    "hand",
    "part",
    "place",
    "case",
    "week",
    "company",
    "system",
    "program",
    "question",
    "work",
    "government",
    "number",
    "night",
    "point",
    "home",
    "water",
    "room",
    "mother",
    "area",
    "money",
    "story",
    "fact",
    "month",
    "lot",
    "right",
    "study",
    "book",
    "eye",
    "job",
    "word",
    "business",
    "issue",
    "side",
    "kind",
    "head",
    "house",
    "service",
    "friend",
    "father",
    "power",
    "hour",
    "game",
    "line",
    "end",
    "member",
    "law",
    "car",
    "city",
    "community",
    "name",
    "president",
    "team",
    "minute",
    "idea",
    "body",
    "information",
    "back",
    "parent",
    "face",
    "others",
    "level",
    "office",
    "door",
    "health",
    "person",
    "art",
    "war",
    "history",
    "party",
    "result",
    "change",
    "morning",
    "reason",
    "research",
    "girl",
    "guy",
    "moment",
    "air",
    "teacher",
    "force",
    "education",
]

_POOL = 64
_POOL_TOKENS = 200_000


class Generator(Protocol):
    """Makes the text of one choice."""

    def prepare(self, tokenizer: Tokenizer) -> None:
        """Make beforehand what all processes can share."""
        ...

    def __call__(self, prompt: Prompt, tokenizer: Tokenizer, dice: Dice) -> Passage:
        """Answer `prompt` in tokens of `tokenizer`."""
        ...


def generator(settings: ResponseSettings, tickets: Tickets) -> Generator:
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
            return Lines(_lines(argument), tickets)
    raise ConfigError(f"response.generator: unknown generator {kind!r}")


class Pool:
    """Lorem ipsum of exactly `tokens` tokens, one of a few texts made beforehand."""

    def __init__(self, tokens: int) -> None:
        self._tokens = tokens
        self._size = max(1, min(_POOL, _POOL_TOKENS // tokens))
        self._texts = functools.cache(self._make)

    def _make(self, tokenizer: Tokenizer) -> tuple[Passage, ...]:
        prose = Prose(_LOREM, tokenizer)
        return tuple(prose.passage(self._tokens, seeded("lorem", number)) for number in range(self._size))

    def prepare(self, tokenizer: Tokenizer) -> None:
        """Make the texts."""
        self._texts(tokenizer)

    def __call__(self, prompt: Prompt, tokenizer: Tokenizer, dice: Dice) -> Passage:
        """Pick a text."""
        texts = self._texts(tokenizer)
        return texts[int(dice.random() * len(texts))]


class RandomWords:
    """Everyday words in sentences, exactly `tokens` tokens, fresh for each request."""

    def __init__(self, tokens: int) -> None:
        self._tokens = tokens
        self._prose = functools.cache(functools.partial(Prose, COMMON_WORDS))

    def prepare(self, tokenizer: Tokenizer) -> None:
        """Cut the words."""
        self._prose(tokenizer)

    def __call__(self, prompt: Prompt, tokenizer: Tokenizer, dice: Dice) -> Passage:
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

    def passage(self, tokens: int, dice: Dice) -> Passage:
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
            ends += [base + end for end in word.ends]
            left -= word.tokens
            words += 1
            forms = self._inner
            if words >= 8 and left > 4 and dice.random() < 0.25:
                pieces.append(".")
                left -= 1
                ends.append(tokens - left)
                words, forms = 0, self._opening
        return Passage(tuple(pieces), tuple(ends))


_STOP = Passage((".",), (1,))


def _by_cost(words: Sequence[Passage]) -> tuple[tuple[Passage, ...], ...]:
    """Index words by budget: entry `n` holds those of at most `n` tokens; the last entry holds all."""
    most = max(word.tokens for word in words)
    return tuple(tuple(word for word in words if word.tokens <= budget) for budget in range(most + 1))


def _pick(forms: tuple[tuple[Passage, ...], ...], budget: int, dice: Dice) -> Passage:
    fitting = forms[min(budget, len(forms) - 1)]
    return fitting[int(dice.random() * len(fitting))]


class Echo:
    """The last user message; without one, the last message."""

    def prepare(self, tokenizer: Tokenizer) -> None:
        """Nothing can be made beforehand."""

    def __call__(self, prompt: Prompt, tokenizer: Tokenizer, dice: Dice) -> Passage:
        """Say it back."""
        said = [message for message in prompt.messages if message.role == "user"] or prompt.messages
        return tokenizer.passage("".join(said[-1].texts) if said else "")


class Fixed:
    """The same text always."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._passage = functools.cache(self._cut)

    def _cut(self, tokenizer: Tokenizer) -> Passage:
        return tokenizer.passage(self._text)

    def prepare(self, tokenizer: Tokenizer) -> None:
        """Cut the text."""
        self._passage(tokenizer)

    def __call__(self, prompt: Prompt, tokenizer: Tokenizer, dice: Dice) -> Passage:
        """Say it."""
        return self._passage(tokenizer)


class Lines:
    """The lines of a file in turn, over all workers; after the last the first again."""

    def __init__(self, lines: Sequence[str], tickets: Tickets) -> None:
        self._lines = lines
        self._tickets = tickets
        self._passage = functools.lru_cache(maxsize=1024)(self._cut)

    def _cut(self, tokenizer: Tokenizer, line: int) -> Passage:
        return tokenizer.passage(self._lines[line])

    def prepare(self, tokenizer: Tokenizer) -> None:
        """Cut the first lines."""
        for line in range(min(len(self._lines), 64)):
            self._passage(tokenizer, line)

    def __call__(self, prompt: Prompt, tokenizer: Tokenizer, dice: Dice) -> Passage:
        """Say the next line."""
        return self._passage(tokenizer, self._tickets("sequence") % len(self._lines))


def _lines(path: str) -> tuple[str, ...]:
    try:
        text = Path(path).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"response.generator: cannot read the lines of {path!r}: {error}") from None
    lines = tuple(line for line in text.splitlines() if line.strip())
    if not lines:
        raise ConfigError(f"response.generator: {path!r} has no line to say")
    return lines
