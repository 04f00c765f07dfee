"""Counts by words are those of the vocabulary, whatever stands beside a space, and memory stays flat."""

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from llmsim.planning import word_counts
from llmsim.planning.tokens import load_tokenizer

# What a split before a space could get wrong: white space of all kinds, signs and numbers at the ends of words, marks, surrogates.
_PARTS = st.sampled_from(
    "the Hello WORLD it's I'LL don'T 's 1 123 12345 1x x1 ² ½ ٣٤ , . ... ?! / // _ # ' \" é 日本語 한국 👩‍👧 \u0301 \u017f \ud800 <|endoftext|>".split(
        " "
    )
)
_GAPS = st.sampled_from(
    ["", " ", " ", " ", "  ", "\n", " \n", "\n ", "\r\n", "\t ", "\u00a0", " \u3000", "\x1c ", "\x85"]
)
TEXTS = st.lists(st.tuples(_PARTS, _GAPS), max_size=12).map(
    lambda pairs: "".join(part + gap for part, gap in pairs)
)


@settings(max_examples=500)
@given(TEXTS, st.sampled_from(["cl100k_base", "o200k_base"]))
@example("load test number 123456789, please", "o200k_base")
@example(" ", "o200k_base")
@example("a \n b", "cl100k_base")
@example("one\t ", "o200k_base")
def test_words_add_up_to_the_tokens_of_the_text(text: str, name: str) -> None:
    """COST-1.7: A text has as many tokens as the vocabulary encodes it to, also when its words are remembered."""
    tokenizer = load_tokenizer(name)
    encoded = len(tokenizer._encoding.encode_ordinary(text))

    assert [tokenizer.count(text) for _ in range(3)] == [encoded] * 3


def test_what_is_remembered_of_ever_new_words_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """ARCH-4.3: New words take the place of old ones; numbers, long words and other strings are not remembered."""
    monkeypatch.setattr(word_counts, "_MOST_WORDS", 20)
    counts = word_counts.WordCounts(list)
    for number in range(200):
        word = "".join(chr(ord("a") + int(digit)) for digit in str(number))
        counts.count(f"so {word}")
        counts.count(f"no {number} {number}a-b {word * 20}")

    assert 0 < len(counts._following) <= 20
    assert all(word.isalpha() and len(word) <= 24 for word in counts._following)


def test_a_text_of_unknown_words_is_encoded_as_a_whole() -> None:
    """COST-1.7: Of a text whose words have not come before only a few are encoded by themselves."""
    encoded: list[str] = []

    def encode(text: str) -> list[int]:
        encoded.append(text)
        return [0] * len(text)

    text = " ".join(f"{number}-a" for number in range(8))

    assert word_counts.WordCounts(encode).count(text) == len(text)
    assert encoded[-1] == text
    assert len(encoded) <= 5
