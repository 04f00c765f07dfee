"""Where an answer ends: at its own end, at a stop text, or at a limit of tokens."""

from collections.abc import Sequence
from operator import itemgetter

from llmsim.exchange import FinishReason, Passage

EMPTY = Passage((), ())


def stopped(passage: Passage, stops: Sequence[str]) -> tuple[Passage, str | None]:
    """End `passage` before the first occurrence of any of `stops`.

    The last piece is shortened where the stop text begins inside it; its token was made all the same.

    Returns:
        What is left, and the stop text that ended it, of several at one place the first of `stops`.
    """
    if not stops:
        return passage, None
    text = passage.text
    found = [(at, stop) for at, stop in ((text.find(stop), stop) for stop in stops if stop) if at >= 0]
    if not found:
        return passage, None
    left, stop = min(found, key=itemgetter(0))
    pieces: list[str] = []
    for piece in passage.pieces:
        if left <= 0:
            break
        pieces.append(piece[:left])
        left -= len(piece)
    return Passage(tuple(pieces), passage.ends[: len(pieces)]), stop


def limited(passage: Passage, limit: int) -> tuple[Passage, FinishReason]:
    """Cut `passage` to at most `limit` tokens, at the end of a piece.

    Returns:
        What is left, and `LENGTH` if anything was cut off.
    """
    if passage.tokens <= limit:
        return passage, FinishReason.STOP
    kept = sum(1 for end in passage.ends if end <= limit)
    return Passage(passage.pieces[:kept], passage.ends[:kept]), FinishReason.LENGTH
