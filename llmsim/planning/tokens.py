"""Tokenizers: counting prompts and cutting responses into the pieces a model would stream.

Decisions:
* The vocabularies ship in the package and are read here, not by tiktoken, which would download what it misses: no
  network is ever used, a missing or damaged file is an error.
* tiktoken is configured as in its own definitions: pattern, special tokens, and the published ranks.
* Long texts are encoded in slices. tiktoken panics on some very long runs (a million
  spaces overflow its regex stack); a slice boundary may cost a token or two more.
"""

import functools
import hashlib
from array import array
from collections.abc import Callable, Mapping, Sequence
from importlib import resources
from pathlib import Path

import msgspec
import tiktoken
from tiktoken._tiktoken import CoreBPE  # type: ignore[import-not-found]  # tiktoken publishes no types of it

from llmsim.budgets import remembered
from llmsim.domain import TokenizedText
from llmsim.errors import CatalogueError, InputError
from llmsim.planning.word_counts import WordCounts

_SLICE = 20_000
"""Characters encoded at once."""

_UNCACHED, _CACHED = 200, 2_000
"""Characters of a text from which, and up to which, its token count is cached."""

_ADDRESS = "https://openaipublic.blob.core.windows.net/encodings/{}.tiktoken"
"""tiktoken's address of a vocabulary; only its SHA-1 is used, as the file's name.

Source: tiktoken_ext/openai_public.py and tiktoken/load.py.
"""


class _Vocabulary(msgspec.Struct, frozen=True):
    """The definition of a vocabulary, beside its tokens.

    Attributes:
        sha256: Of its file.
        pattern: Regular expression that splits a text into words.
        special: Numbers of the tokens that are not text.
    """

    sha256: str
    pattern: str
    special: Mapping[str, int]


# Source: tiktoken_ext/openai_public.py, cl100k_base and o200k_base; a test compares them with those installed.
_VOCABULARIES = {
    "cl100k_base": _Vocabulary(
        "223921b76ee99bde995b7ff738513eef100fb51d18c93597a113bcffe865b2a7",
        r"'(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?+\p{L}++|\p{N}{1,3}+| ?[^\s\p{L}\p{N}]++[\r\n]*+|\s++$"
        r"|\s*[\r\n]|\s+(?!\S)|\s",
        {
            "<|endoftext|>": 100257,
            "<|fim_prefix|>": 100258,
            "<|fim_middle|>": 100259,
            "<|fim_suffix|>": 100260,
            "<|endofprompt|>": 100276,
        },
    ),
    "o200k_base": _Vocabulary(
        "446a9538cb6c348e3516120d7c08b09f57c36495e2acfffe59a5bf8b0cfb1a2d",
        r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?"
        r"|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?"
        r"|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+",
        {"<|endoftext|>": 199999, "<|endofprompt|>": 200018},
    ),
}


_decode_ranks = msgspec.json.Decoder(dict[bytes, int]).decode


class _Encoding(tiktoken.Encoding):
    """tiktoken's encoding without its second copy of the ranks.

    PERF: 0.02 s of a start, and 30 MB.
    """

    def __init__(self, vocabulary: _Vocabulary, ranks: dict[bytes, int]) -> None:
        self._core_bpe = CoreBPE(ranks, dict(vocabulary.special), vocabulary.pattern)


class Tokenizer:
    """One vocabulary.

    Attributes:
        name: `o200k_base` or `cl100k_base`.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self._encoding = _load(name)
        self._count_words = WordCounts(self._encoding.encode_ordinary).count
        # PERF: 0.1 us for a cached text against 7 us for one of 100 words. Bounded by 2,048 texts of _CACHED.
        self._count_cached: Callable[[str], int] = remembered(2048, _CACHED)(self._count)

    def count(self, text: str) -> int:
        """Count the tokens of `text`."""
        return self._count_words(text) if len(text) <= _UNCACHED else self._count_cached(text)

    def _count(self, text: str) -> int:
        if len(text) <= _CACHED:
            return self._count_words(text)
        return sum([len(self._encoding.encode_ordinary(part)) for part in _slices(text)])

    def encode_ids(self, text: str) -> "array[int]":
        """Return the ids of the tokens of `text`."""
        ids = array("I")
        for part in _slices(text):
            ids.fromlist(self._encoding.encode_ordinary(part))
        return ids

    def encode(self, text: str) -> list[bytes]:
        """Return the tokens of `text`, whole UTF-8 or not."""
        encoding = self._encoding
        return [
            token
            for part in _slices(text)
            for token in encoding.decode_tokens_bytes(encoding.encode_ordinary(part))
        ]

    def decode(self, ids: Sequence[int]) -> str:
        """Return the text of token ids; incomplete characters become U+FFFD.

        Raises:
            InputError: The vocabulary has no such token.
        """
        try:
            return self._encoding.decode_bytes(ids).decode(errors="replace")
        except (KeyError, OverflowError):
            raise InputError(f"{self.name} lacks one of these tokens") from None

    def tokenize(self, text: str) -> TokenizedText:
        """Cut `text` into pieces of one token, or of several where one alone is not whole UTF-8."""
        pieces: list[str] = []
        cumulative_tokens: list[int] = []
        tokens = 0
        for part in _slices(text):
            pending = b""
            for token in self._encoding.decode_tokens_bytes(self._encoding.encode_ordinary(part)):
                tokens += 1
                pending += token
                try:
                    piece = pending.decode()
                except UnicodeDecodeError:
                    continue
                pieces.append(piece)
                cumulative_tokens.append(tokens)
                pending = b""
        return TokenizedText(tuple(pieces), tuple(cumulative_tokens))


class TokenReader:
    """Counts the texts of one prompt, and keeps the tokens of the long ones for their prefixes.

    PERF: to encode a long text takes 0.2 us a token, and is what counting it takes, too.
    """

    def __init__(self, tokenizer: Tokenizer) -> None:
        self._tokenizer = tokenizer
        self._long: dict[str, array[int]] = {}

    def count(self, text: str) -> int:
        """Count the tokens of `text`."""
        ids = self.long_ids(text)
        return self._tokenizer.count(text) if ids is None else len(ids)

    def long_ids(self, text: str) -> "array[int] | None":
        """Return the ids of the tokens of a long text; None for a short one."""
        if len(text) <= _CACHED:
            return None
        ids = self._long.get(text)
        if ids is None:
            ids = self._long[text] = self._tokenizer.encode_ids(text)
        return ids


def _slices(text: str) -> tuple[str, ...]:
    if len(text) <= _SLICE:
        return (text,)
    return tuple(text[start : start + _SLICE] for start in range(0, len(text), _SLICE))


@functools.cache
def load_tokenizer(name: str) -> Tokenizer:
    """Load a vocabulary once a process.

    Args:
        name: `o200k_base` or `cl100k_base`.

    Raises:
        CatalogueError: The package does not hold the vocabulary.
    """
    return Tokenizer(name)


def _load(name: str) -> tiktoken.Encoding:
    directory = Path(str(resources.files("llmsim") / "vocabularies"))
    path = directory / hashlib.sha1(_ADDRESS.format(name).encode(), usedforsecurity=False).hexdigest()
    vocabulary = _VOCABULARIES.get(name)
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        data = b""
    if vocabulary is None or hashlib.sha256(data).hexdigest() != vocabulary.sha256:
        raise CatalogueError(f"tokenizer {name!r}: no intact vocabulary at {path}; reinstall llmsim")
    return _Encoding(vocabulary, _ranks(data))


def _ranks(data: bytes) -> dict[bytes, int]:
    """Parse a vocabulary: a line for each token, its text in base64 and its number, which is that of the line.

    PERF: as JSON, whose texts msgspec decodes from base64: 0.05 s of processor time for o200k_base, 0.22 s with tiktoken's own reader.
    """
    return _decode_ranks(b'{"%b}' % data.removesuffix(b"\n").replace(b" ", b'":').replace(b"\n", b',"'))
