"""Points as JSON lines or CSV: means over many equal requests at a constant concurrency.

prompt_tokens,completion_tokens,concurrency,ttft_ms,tpot_ms
"""

from collections.abc import Iterable

from loadtest.recordings.fields import MAX_CONCURRENCY, Row
from loadtest.recordings.recording import Point, Recording

KEY = "concurrency"
"""The field that no other format has."""

# Tables of benchmarks call lengths isl and osl (input and output sequence length).
_PROMPT = ("prompt_tokens", "prompt", "input_tokens", "isl")
_COMPLETION = ("completion_tokens", "output", "output_tokens", "osl")


def parse_points(name: str, rows: Iterable[Row]) -> Recording:  # noqa: ARG001 - the parsers of all formats take the same
    """Parse points."""
    return Recording(points=tuple(_parse_point(row) for row in rows))


def _parse_point(row: Row) -> Point:
    return Point(
        prompt_tokens=row.tokens(*_PROMPT),
        completion_tokens=row.tokens(*_COMPLETION),
        concurrency=row.count("concurrency", maximum=MAX_CONCURRENCY),
        ttft=row.seconds("ttft_ms", "ttft", per_second=1000),
        tpot=row.seconds("tpot_ms", "tpot", per_second=1000),
    )
