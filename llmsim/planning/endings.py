"""Where a text ends: at its own end, at a stop text, or at a limit of tokens."""

from bisect import bisect_right
from collections.abc import Sequence
from operator import itemgetter

from llmsim.domain import FinishReason, TokenizedText

EMPTY = TokenizedText((), ())


def cut_at_stop(text: TokenizedText, stops: Sequence[str]) -> tuple[TokenizedText, str | None]:
    """Cut `text` before the first occurrence of any of `stops`.

    The last piece is shortened where the stop text begins inside it; its token was generated all the same.

    Returns:
        What is left, and the stop text that ended it, of several at one place the first of `stops`.
    """
    if not stops:
        return text, None
    whole = text.text
    found = [(at, stop) for at, stop in ((whole.find(stop), stop) for stop in stops if stop) if at >= 0]
    if not found:
        return text, None
    left, stop = min(found, key=itemgetter(0))
    pieces: list[str] = []
    for piece in text.pieces:
        if left <= 0:
            break
        pieces.append(piece[:left])
        left -= len(piece)
    return TokenizedText(tuple(pieces), text.cumulative_tokens[: len(pieces)]), stop


_MOST_CUTS = 8
"""Cuts of a text that are cached: requests of one kind have one limit."""


def cut_at_limit(text: TokenizedText, limit: int) -> tuple[TokenizedText, FinishReason]:
    """Cut `text` to at most `limit` tokens, at the end of a piece.

    Returns:
        What is left, and `LENGTH` if anything was cut off.
    """
    if text.tokens <= limit:
        return text, FinishReason.STOP
    # PERF: what renderers derive from a text lives as long as it does. A pooled text that is cut anew for each request
    # is escaped and padded anew: an instant stream of 100 tokens then takes 300 us instead of 150.
    cuts: dict[int, TokenizedText] = text.__dict__.setdefault("cuts", {})
    cut = cuts.get(limit)
    if cut is None:
        kept = bisect_right(text.cumulative_tokens, limit)
        cut = TokenizedText(text.pieces[:kept], text.cumulative_tokens[:kept])
        if len(cuts) >= _MOST_CUTS:
            cuts.pop(next(iter(cuts)), None)
        cuts[limit] = cut
    return cut, FinishReason.LENGTH
