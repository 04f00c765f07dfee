"""Chunks of texts, filters, and scores."""

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmsim.providers.openai.vector_search import (
    ChunkingStrategy,
    Filter,
    SearchedFile,
    chunks,
    holds,
    search,
    text_of,
)

FILE = SearchedFile("file-1", "a.txt", {"n": 2, "s": "x", "b": True}, b"Zebras live in Africa")


@given(st.text(), st.integers(100, 200), st.integers(0, 50))
def test_chunks_hold_the_whole_text(text: str, size: int, overlap: int) -> None:
    """VEC-2.1: Each begins where the one before ends, but for the overlap."""
    cut = chunks(text, ChunkingStrategy(size, overlap))

    assert "".join([*(cut[:1]), *(chunk[overlap * 4 :] for chunk in cut[1:])]) == text
    assert all(0 < len(chunk) <= size * 4 for chunk in cut)


@pytest.mark.parametrize("content", [b"", b"\xff\xfe", b"a\0b"])
def test_what_is_no_text_has_no_chunks(content: bytes) -> None:
    """VEC-2.3: Nothing is converted."""
    assert chunks(text_of(content), ChunkingStrategy()) == []


@pytest.mark.parametrize(
    ("sent", "expected"),
    [
        ({"type": "eq", "key": "n", "value": 2}, True),
        ({"type": "ne", "key": "n", "value": 2}, False),
        ({"type": "gt", "key": "n", "value": 1}, True),
        ({"type": "gte", "key": "n", "value": 3}, False),
        ({"type": "lt", "key": "s", "value": 3}, False),
        ({"type": "lte", "key": "missing", "value": 3}, False),
        ({"type": "in", "key": "s", "value": ["x", "y"]}, True),
        ({"type": "nin", "key": "s", "value": ["x"]}, False),
        ({"type": "in", "key": "s", "value": "x"}, False),
        ({"type": "or", "filters": []}, False),
        ({"type": "and", "filters": []}, True),
    ],
)
def test_filters(sent: Any, expected: bool) -> None:
    """VEC-2.1: Comparisons of what cannot be compared do not hold."""
    assert holds(msgspec.convert(sent, Filter), FILE.attributes) is expected


def test_scores() -> None:
    """VEC-2.1: The share of the query's words, of the query that fits best."""
    assert [one.score for one in search([FILE], ["zebras fly"], most=9)] == [0.5]
    assert [one.score for one in search([FILE], ["fly", "AFRICA"], most=9)] == [1.0]
    assert [one.score for one in search([FILE], [""], most=9)] == [0.0]
    assert search([FILE], ["zebras fly"], most=9, least_score=0.6) == []
