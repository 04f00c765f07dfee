"""Embeddings: the same text has the same vector on any machine, and near texts have near vectors.

Decisions:
* There is no model and no table of meanings: a text is represented by its words, their stems, their runs of three
  letters and its pairs of neighbouring words, so texts that share those are near each other. Case does not count,
  and the order of words counts little.
* Features are hashed into a few hundred signed counts, and each count weighs a direction of its own, a dense
  pseudo-random vector. So no number of a vector is zero, any first part of it is a good vector too, and the cost of
  a long text is that of reading it.
* Directions are whole numbers in lanes of one big integer each, so that adding two is one addition, and all sums are
  exact: nothing depends on how a machine or a version of Python adds decimals. Of functions only the square root
  is used, which is exact, too.
* All texts have a little in common, as they have in real models; so a text of nothing but spaces has a vector, too.
"""

import functools
import hashlib
import math
import re
import sys
import zlib
from array import array
from collections import Counter
from itertools import pairwise
from operator import mul

from llmsim.budgets import remembered

_BUCKETS = 512
"""Directions. PERF: 512 take 7 MB for 3,072 dimensions once all were used; unrelated texts get as near as 0.05 by chance."""

_LANE = 4
"""Bytes of a lane: a step of a direction is one byte, and 21 bits of weight fit over it."""

_WEIGHTS = 1 << 20
"""Sum of the weights of a text, in whole numbers."""

_PIECE = re.compile(r"[\u3040-\u30ff\u3400-\u9fff]|\w{1,24}|[^\w\s]{1,24}")
"""A Chinese or Japanese character, a word, or a run of signs. Longer words are cut, as other scripts do without spaces."""

_COMMON = 0.6
_WORD = 1.0
_STEM = 0.7
_LETTERS = 1.4
_PAIR = 0.25
_SIGNS = 0.2
"""Weights: what all texts share, a word, its stem, all of its runs of three letters together, a pair, and signs."""

_LONG = 6
"""Bytes of UTF-8 from which on a word has full weight; small words mean little."""

_STEM_LENGTH = 4


# PERF: 0.3 us for a text that is sent again, as queries are; at most 12 KB each.
@remembered(128, max_chars=500)
def embed(text: str, model: str, size: int, dimensions: int) -> bytes:
    """Return the vector of a text.

    Args:
        text: The text; the more it has in common with another, the nearer are their vectors.
        model: Vectors of different models have nothing in common.
        size: Dimensions of the model's vectors; >= 1.
        dimensions: Dimensions of the result: the first ones, scaled to unit length; 1 to `size`.

    Returns:
        Little-endian 32-bit floats of unit length.
    """
    # PERF: 0.4 ms for a sentence at 1,536 dimensions and 0.7 ms at 3,072; 7 ms for 8,000 tokens of prose.
    counts = _counts(text, zlib.crc32(model.encode()))
    scale = _WEIGHTS / math.fsum(map(abs, counts.values()))
    total, spent = 0, 0
    for bucket, count in counts.items():
        weight = round(count * scale)
        spent += abs(weight)
        total += weight * _direction(bucket, size) if weight > 0 else -weight * _opposite(bucket, size)
    lanes = array("I", total.to_bytes(size * _LANE, "little")[: dimensions * _LANE])
    if sys.byteorder == "big":
        lanes.byteswap()
    # A step is 0 to 255, twice its distance from the middle an odd number: no vector is zero by bad luck alone.
    middle = 255 * spent
    steps = [2 * lane - middle for lane in lanes]
    length = math.sqrt(sum(map(mul, steps, steps)))
    if not length:
        steps[0], length = 1, 1.0
    vector = array("f", [step / length for step in steps])
    if sys.byteorder == "big":
        vector.byteswap()
    return vector.tobytes()


def _counts(text: str, seed: int) -> dict[int, float]:
    """Compute the weights of a text's features, by the direction each is hashed to."""
    pieces = _PIECE.findall(text.casefold())
    common, sign = _hashed("", seed)
    counts = {common: sign * _COMMON}
    occurrences = Counter(pieces)
    known = {piece: _features(piece, seed) for piece in occurrences}
    for piece, times in occurrences.items():
        # A word that occurs ten times weighs some three times as much as one that occurs once.
        damped = math.sqrt(times)
        for bucket, weight in known[piece][1]:
            counts[bucket] = counts.get(bucket, 0.0) + damped * weight
    for (before, after), times in Counter(pairwise(pieces)).items():
        bucket, sign = _spread(31 * known[before][0] + known[after][0])
        counts[bucket] = counts.get(bucket, 0.0) + sign * _PAIR * math.sqrt(times)
    return counts


# PERF: 0.1 us for a cached word against 6 us; some 1 KB each.
@remembered(2048, max_chars=100)
def _features(piece: str, seed: int) -> tuple[int, tuple[tuple[int, float], ...]]:
    """Return a number for a word, and its directions with their weights."""
    number = zlib.crc32(piece.encode(), seed)
    if not piece[0].isalnum() and piece[0] != "_":
        bucket, sign = _spread(number)
        return number, ((bucket, sign * _SIGNS),)
    share = min(1.0, len(piece.encode()) / _LONG)
    worth = share * math.sqrt(share)
    bound = f"<{piece}>"
    runs = [bound[start : start + 3] for start in range(len(bound) - 2)]
    weighed = [(bound, _WORD), (bound[: min(len(piece), _STEM_LENGTH) + 1], _STEM)]
    weighed += [(run, _LETTERS / len(runs)) for run in runs]
    features = []
    for feature, weight in weighed:
        bucket, sign = _hashed(feature, seed)
        features.append((bucket, sign * weight * worth))
    return number, tuple(features)


def _hashed(feature: str, seed: int) -> tuple[int, int]:
    """Return the direction of a feature, and its sign."""
    # NOTE: `hash` differs between processes.
    return _spread(zlib.crc32(feature.encode(), seed))


def _spread(number: int) -> tuple[int, int]:
    # CRC-32 is linear, so is a sum of two; the product mixes them well in its middle.
    mixed = (number * 0x9E3779B97F4A7C15) >> 24
    return mixed % _BUCKETS, 1 if mixed & _BUCKETS else -1


@functools.lru_cache(maxsize=2 * _BUCKETS)
def _direction(bucket: int, size: int) -> int:
    """Return a direction: pseudo-random bytes, one a lane."""
    lanes = bytearray(size * _LANE)
    lanes[::_LANE] = hashlib.shake_128(bucket.to_bytes(4, "little")).digest(size)
    return int.from_bytes(lanes, "little")


@functools.lru_cache(maxsize=4)
def _full(size: int) -> int:
    lanes = bytearray(size * _LANE)
    lanes[::_LANE] = b"\xff" * size
    return int.from_bytes(lanes, "little")


def _opposite(bucket: int, size: int) -> int:
    return _full(size) - _direction(bucket, size)
