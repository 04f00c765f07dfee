"""Endings: properties of stop texts and limits."""

from hypothesis import given
from hypothesis import strategies as st
from support.turns import tokenized

from llmsim.domain import FinishReason, TokenizedText
from llmsim.planning.endings import EMPTY, cut_at_limit, cut_at_stop

PIECES = st.lists(
    st.tuples(st.text(st.sampled_from("abc \n"), min_size=1, max_size=4), st.integers(1, 3)), max_size=12
)
STOPS = st.lists(st.text(st.sampled_from("abc \n"), max_size=3), max_size=4)


def made(pieces: list[tuple[str, int]]) -> TokenizedText:
    ends, tokens = [], 0
    for _, span in pieces:
        tokens += span
        ends.append(tokens)
    return TokenizedText(tuple(text for text, _ in pieces), tuple(ends))


@given(PIECES, STOPS)
def test_the_text_ends_before_the_first_stop_text(pieces: list[tuple[str, int]], stops: list[str]) -> None:
    """CHAT-2.2: All of the text before the first occurrence of any stop text is left."""
    tokenized = made(pieces)
    text = tokenized.text
    first = min((at for at in (text.find(stop) for stop in stops if stop) if at >= 0), default=len(text))

    assert cut_at_stop(tokenized, stops)[0].text == text[:first]


@given(PIECES, STOPS)
def test_no_stop_text_is_left(pieces: list[tuple[str, int]], stops: list[str]) -> None:
    """CHAT-2.2: The rest contains no stop text, not even one that begins where another ends the text."""
    left = cut_at_stop(made(pieces), stops)[0].text

    assert not any(stop in left for stop in stops if stop)


@given(PIECES, STOPS)
def test_the_rest_has_pieces_of_the_whole(pieces: list[tuple[str, int]], stops: list[str]) -> None:
    """CHAT-3.5: A stop text shortens the last piece; those before it, and their tokens, stay the same."""
    tokenized = made(pieces)
    left, _ = cut_at_stop(tokenized, stops)
    count = len(left.pieces)

    assert left.pieces[: max(0, count - 1)] == tokenized.pieces[: max(0, count - 1)]
    assert all(left.pieces)
    assert left.cumulative_tokens == tokenized.cumulative_tokens[:count]


@given(PIECES)
def test_without_a_match_the_text_is_unchanged(pieces: list[tuple[str, int]]) -> None:
    """CHAT-2.2: Without a match the same object is returned, with all that was derived from it."""
    tokenized = made(pieces)

    assert cut_at_stop(tokenized, ()) == (tokenized, None)
    assert cut_at_stop(tokenized, ("absent", "")) == (tokenized, None)


def test_a_stop_text_may_span_pieces() -> None:
    """CHAT-2.2: A match is found in the text, wherever the pieces are cut; its first token was generated all the same."""
    left, stop = cut_at_stop(TokenizedText(("one", " two", " three"), (1, 2, 3)), ["o thr"])

    assert (left.pieces, stop) == (("one", " tw"), "o thr")
    assert left.tokens == 2


def test_a_stop_text_at_the_start_leaves_nothing() -> None:
    """CHAT-2.2: A text that begins with a stop text is empty and costs nothing."""
    left, stop = cut_at_stop(TokenizedText(("one", " two"), (1, 2)), ["one"])

    assert (left.pieces, stop) == ((), "one")
    assert left.tokens == 0


@given(PIECES, st.integers(0, 40))
def test_a_limit_is_never_exceeded(pieces: list[tuple[str, int]], limit: int) -> None:
    """CHAT-2.1: At most `limit` tokens are left, and as many pieces as fit."""
    tokenized = made(pieces)
    cut, finish = cut_at_limit(tokenized, limit)
    count = len(cut.pieces)

    assert cut.tokens <= limit
    assert cut.pieces == tokenized.pieces[:count]
    assert cut.cumulative_tokens == tokenized.cumulative_tokens[:count]
    assert finish is (FinishReason.STOP if count == len(tokenized.pieces) else FinishReason.LENGTH)
    if finish is FinishReason.LENGTH:
        assert tokenized.cumulative_tokens[count] > limit


def test_a_limit_that_is_just_met_cuts_nothing() -> None:
    """CHAT-2.1: The finish reason is `length` only if something was cut."""
    tokenized = TokenizedText(("one", " two"), (1, 2))

    assert cut_at_limit(tokenized, 2) == (tokenized, FinishReason.STOP)
    assert cut_at_limit(tokenized, 1)[1] is FinishReason.LENGTH


def test_a_piece_of_several_tokens_is_not_split() -> None:
    """CHAT-3.5: A limit inside a piece of several tokens omits the piece."""
    cut, finish = cut_at_limit(TokenizedText(("Hi", " 🦜", "!"), (1, 4, 5)), 3)

    assert (cut.pieces, cut.tokens, finish) == (("Hi",), 1, FinishReason.LENGTH)


def test_an_empty_text_fits_any_limit() -> None:
    """CHAT-2.1: An empty text is complete under any limit."""
    assert cut_at_limit(EMPTY, 0) == (EMPTY, FinishReason.STOP)


def test_recent_cuts_are_cached() -> None:
    """CHAT-2.1: The same cut of a text is the same object; only the last few are cached."""
    text = tokenized(*(f" {number}" for number in range(40)))
    first, _ = cut_at_limit(text, 5)

    assert cut_at_limit(text, 5)[0] is first
    for limit in range(10, 30):
        assert cut_at_limit(text, limit)[0].tokens == limit
    assert cut_at_limit(text, 5)[0] is not first
    assert cut_at_limit(text, 5)[0].pieces == first.pieces
