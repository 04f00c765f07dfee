"""Tokenizers: counts and pieces agree, pieces are real tokens, and no network is used."""

import subprocess
import sys
from importlib import resources
from pathlib import Path

import pytest
import tiktoken
from hypothesis import example, given, settings
from hypothesis import strategies as st

from llmsim.errors import CatalogueError
from llmsim.planning import tokens
from llmsim.planning.tokens import Tokenizer, load_tokenizer

NAMES = ["cl100k_base", "o200k_base"]

# What tokenizers trip over: astral and combining characters, joiners, rare scripts, line ends, runs of blanks.
TRICKY = st.text(st.sampled_from("aé日🦜👩‍👧\u0301\u200d\u2028\U000e0101𐍈ﷺ \t\r\n\0'\"\\<|>0٣"), max_size=40)


def original(name: str) -> tiktoken.Encoding:
    """Load a vocabulary with tiktoken itself, with the package's folder as its cache."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TIKTOKEN_CACHE_DIR", str(resources.files("llmsim") / "vocabularies"))
        return tiktoken.get_encoding(name)


@pytest.fixture(params=NAMES)
def tokenizer(request: pytest.FixtureRequest) -> Tokenizer:
    return load_tokenizer(request.param)


@given(st.text(max_size=60) | TRICKY, st.sampled_from(NAMES))
@example("👩‍👩‍👧‍👦 🇪🇺 e\u0301", "cl100k_base")
@example("<|endoftext|>", "o200k_base")
def test_pieces_join_to_the_text_and_count_its_tokens(text: str, name: str) -> None:
    """CHAT-3.5: Pieces join to the text, none is empty, and together they have as many tokens as are counted."""
    tokenizer = load_tokenizer(name)
    passage = tokenizer.tokenize(text)

    assert passage.text == text
    assert all(passage.pieces)
    assert passage.tokens == tokenizer.count(text)
    assert all(
        before < after
        for before, after in zip((0, *passage.cumulative_tokens), passage.cumulative_tokens, strict=False)
    )


@given(st.text(st.characters(max_codepoint=0x7E, min_codepoint=0x20), max_size=80), st.sampled_from(NAMES))
def test_ascii_pieces_are_single_tokens(text: str, name: str) -> None:
    """CHAT-3.5: In plain text every piece is one token of the real tokenizer."""
    passage = load_tokenizer(name).tokenize(text)
    encoding = original(name)

    assert list(passage.pieces) == [encoding.decode([token]) for token in encoding.encode_ordinary(text)]
    assert list(passage.cumulative_tokens) == list(range(1, len(passage.pieces) + 1))


def test_most_pieces_are_one_token(tokenizer: Tokenizer) -> None:
    """CHAT-3.5: Tokens are joined only where one alone is not whole UTF-8."""
    passage = tokenizer.tokenize("The quick brown fox says 日本語 and 🦜 to the lazy dog, naïvely.")

    lengths = [
        end - start
        for start, end in zip((0, *passage.cumulative_tokens), passage.cumulative_tokens, strict=False)
    ]
    assert lengths.count(1) >= len(lengths) - 3
    for piece, length in zip(passage.pieces, lengths, strict=True):
        if length > 1:
            assert not piece.isascii()


@pytest.mark.parametrize(
    "text",
    [" " * 1_000_000, "a" * 1_000_000, "\n" * 1_000_000, "^" * 1_000_000, "é" * 300_000, "👩‍👧" * 60_000],
    ids=["blanks", "letters", "line ends", "signs", "accents", "emoji"],
)
def test_long_runs_are_counted(tokenizer: Tokenizer, text: str) -> None:
    """ARCH-4.2: Runs on which tiktoken panics are counted and tokenized alike."""
    assert 0 < tokenizer.count(text) <= len(text.encode())


def test_a_text_longer_than_a_slice_is_tokenized_as_it_is_counted(tokenizer: Tokenizer) -> None:
    """CHAT-2.6: Where long texts are encoded in slices, pieces and count still agree."""
    text = "So long 🦜, and thanks for all the fish. " * 1200
    passage = tokenizer.tokenize(text)

    assert passage.text == text
    assert passage.tokens == tokenizer.count(text)


def test_the_cache_of_counts_is_bounded(tokenizer: Tokenizer) -> None:
    """ARCH-4.3: Counts are cached of texts that are neither short nor long, and of a bounded number of them."""
    tokenizer.count("not so short " * 20)
    kept = tokenizer._count_cached.cache_info()
    tokenizer.count("short")
    tokenizer.count("x" * 2_001)

    assert (kept.maxsize, kept.currsize > 0) == (2048, True)
    assert tokenizer._count_cached.cache_info().currsize == kept.currsize


@settings(max_examples=30)
@given(st.integers(20_001, 300_000))
def test_a_slice_boundary_costs_a_few_tokens_at_most(length: int) -> None:
    """CHAT-2.6: A text counted in slices is off by the word that a boundary cuts, and no more."""
    tokenizer = load_tokenizer("o200k_base")
    text = ("antidisestablishmentarianism " * (length // 29 + 1))[:length]
    whole = len(tokenizer._encoding.encode_ordinary(text))

    assert tokenizer.count(text) == pytest.approx(whole, abs=3 * (length // 20_000))


def test_vocabularies_are_loaded_without_network() -> None:
    """ARCH-3.10: A process that may open no socket loads both vocabularies and counts with them."""
    program = """
import os, socket
def refuse(*_, **__):
    raise AssertionError("a socket was opened")
socket.socket = socket.create_connection = socket.getaddrinfo = refuse
os.environ["HOME"] = os.environ["TMPDIR"] = "/nonexistent"
from llmsim.planning.tokens import load_tokenizer
print(load_tokenizer("cl100k_base").count("Hello world"), load_tokenizer("o200k_base").count("Hello world"))
"""
    output = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)

    assert (output.stdout.split(), output.stderr) == (["2", "2"], "")


def test_a_missing_vocabulary_is_an_error_and_no_download() -> None:
    """ARCH-3.10: A vocabulary that is not in the package is refused; the error names it."""
    with pytest.raises(CatalogueError, match="p50k_base"):
        Tokenizer("p50k_base")


@pytest.mark.parametrize("name", NAMES)
def test_vocabularies_are_those_of_tiktoken(name: str) -> None:
    """MAINT-2.3: Pattern, special tokens and all ranks are those of the installed tiktoken."""
    ours, theirs = load_tokenizer(name)._encoding, original(name)

    assert tokens._VOCABULARIES[name].pattern == theirs._pat_str
    assert tokens._VOCABULARIES[name].special == theirs._special_tokens
    assert ours.token_byte_values() == theirs.token_byte_values()
    assert all(
        ours._core_bpe.encode_single_token(token) == rank for token, rank in theirs._mergeable_ranks.items()
    )


def test_a_damaged_vocabulary_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    """ARCH-3.10: A file that differs from the published one is refused; the error has its path."""
    whole = Path.read_bytes
    monkeypatch.setattr(Path, "read_bytes", lambda path: whole(path)[:-1])

    with pytest.raises(CatalogueError, match=r"o200k_base.*vocabularies.*reinstall"):
        Tokenizer("o200k_base")
