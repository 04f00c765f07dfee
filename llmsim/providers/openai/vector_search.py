"""Searches in the texts of uploaded files: chunks, filters, and how well a chunk fits a query.

Decisions:
* There is no model, so a chunk's score is the share of the query's words that it has. Equal scores go in the order of the files.
* A file that is not text has no chunks: nothing is converted.
* A search reads a bounded number of bytes, whatever is in a store.
"""

import operator
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal

import msgspec

Attributes = dict[str, str | float | bool]

_CHARACTERS_PER_TOKEN = 4
_WORD = re.compile(r"\w+")
_MOST_WORDS = 200
"""Words of a query that are looked for."""

MOST_BYTES = 4 * 2**20
"""Bytes of files that one search reads."""


class Comparison(msgspec.Struct, tag_field="type"):
    """Compares an attribute with a value."""

    key: str
    value: str | float | bool | list[str | float]


class Eq(Comparison, tag="eq"):
    """The attribute equals the value."""


class Ne(Comparison, tag="ne"):
    """The attribute does not equal the value."""


class Gt(Comparison, tag="gt"):
    """The attribute is greater."""


class Gte(Comparison, tag="gte"):
    """The attribute is greater or equal."""


class Lt(Comparison, tag="lt"):
    """The attribute is less."""


class Lte(Comparison, tag="lte"):
    """The attribute is less or equal."""


class In(Comparison, tag="in"):
    """The attribute is one of the values."""


class Nin(Comparison, tag="nin"):
    """The attribute is not one of the values."""


class And(msgspec.Struct, tag_field="type", tag="and"):
    """All filters hold."""

    filters: list["Filter"]


class Or(msgspec.Struct, tag_field="type", tag="or"):
    """Any filter holds."""

    filters: list["Filter"]


Filter = Eq | Ne | Gt | Gte | Lt | Lte | In | Nin | And | Or

_ORDERS: dict[type[Comparison], Callable[[Any, Any], bool]] = {
    Gt: operator.gt,
    Gte: operator.ge,
    Lt: operator.lt,
    Lte: operator.le,
}


def holds(wanted: Filter | None, attributes: Mapping[str, Any]) -> bool:
    """Return whether the attributes of a file pass a filter."""
    match wanted:
        case None:
            return True
        case And():
            return all(holds(one, attributes) for one in wanted.filters)
        case Or():
            return any(holds(one, attributes) for one in wanted.filters)
    found = attributes.get(wanted.key)
    match wanted:
        case Eq():
            return bool(found == wanted.value)
        case Ne():
            return bool(found != wanted.value)
        case In():
            return isinstance(wanted.value, list) and found in wanted.value
        case Nin():
            return not (isinstance(wanted.value, list) and found in wanted.value)
        case _:
            try:
                return found is not None and _ORDERS[type(wanted)](found, wanted.value)
            except TypeError:
                return False


class ChunkingStrategy(msgspec.Struct, frozen=True):
    """How files are cut: tokens of a chunk, and how many of them are those of the chunk before."""

    size: int = 800
    overlap: int = 400
    is_static: bool = False

    def render(self) -> dict[str, Any]:
        """Render it as the API does, which shows what `auto` has chosen."""
        return {
            "type": "static",
            "static": {"max_chunk_size_tokens": self.size, "chunk_overlap_tokens": self.overlap},
        }


class SearchedFile(msgspec.Struct, frozen=True):
    """A file to be searched."""

    file_id: str
    filename: str
    attributes: Attributes
    content: bytes
    chunking: ChunkingStrategy = ChunkingStrategy()


class FoundChunk(msgspec.Struct, frozen=True):
    """A chunk that fits a query, and how well: from 0 to 1."""

    file_id: str
    filename: str
    attributes: Attributes
    score: float
    text: str


def text_of(content: bytes) -> str:
    """Return the text of a file; empty if it is no text."""
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError:
        return ""
    return "" if "\0" in text else text


def chunks(text: str, chunking: ChunkingStrategy) -> list[str]:
    """Cut a text."""
    size = chunking.size * _CHARACTERS_PER_TOKEN
    step = max(size - chunking.overlap * _CHARACTERS_PER_TOKEN, 1)
    last = max(len(text) - size + step, 1)
    return [text[start : start + size] for start in range(0, last, step)] if text else []


def search(
    files: Sequence[SearchedFile], queries: Sequence[str], *, most: int, least_score: float = 0.0
) -> list[FoundChunk]:
    """Return the chunks that fit any of the queries best, the best first.

    Args:
        files: The files.
        queries: The queries.
        most: Most chunks.
        least_score: Score of a chunk from which on it is returned.
    """
    wanted = [set(_WORD.findall(query.lower())[:_MOST_WORDS]) for query in queries]
    found: list[FoundChunk] = []
    for file in files:
        for chunk in chunks(text_of(file.content), file.chunking):
            words = set(_WORD.findall(chunk.lower()))
            score = max((len(words & one) / len(one) for one in wanted if one), default=0.0)
            if score >= least_score:
                found.append(FoundChunk(file.file_id, file.filename, file.attributes, round(score, 4), chunk))
    found.sort(key=lambda chunk: -chunk.score)
    return found[:most]


class AutoChunking(msgspec.Struct, tag_field="type", tag="auto"):
    """The API chooses."""


class StaticSizes(msgspec.Struct):
    """Sizes in tokens."""

    max_chunk_size_tokens: int
    chunk_overlap_tokens: int


class StaticChunking(msgspec.Struct, tag_field="type", tag="static"):
    """The client chooses."""

    static: StaticSizes


class RankingOptions(msgspec.Struct):
    """Which chunks are good enough."""

    ranker: Literal["none", "auto", "default-2024-11-15"] | None = None
    score_threshold: float | None = None
