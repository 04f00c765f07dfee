"""Texts that are followed by a running number."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmsim.providers.openai_family.responses.event_stream import NumberedBodies


@given(st.lists(st.binary(max_size=5), max_size=20), st.integers(0, 5000), st.data())
def test_it_is_a_sequence_like_any_other(texts: list[bytes], first: int, data: st.DataObject) -> None:
    """RESP-3.2: By index or slice, each text is followed by its own number."""
    expected = [text + str(first + place).encode() for place, text in enumerate(texts)]
    bodies = NumberedBodies(texts, first)
    start, stop = data.draw(st.integers(-25, 25)), data.draw(st.integers(-25, 25))

    assert list(bodies) == expected
    assert len(bodies) == len(expected)
    assert list(bodies[start:stop]) == expected[start:stop]
    assert [bodies[place - len(texts)] for place in range(len(texts))] == expected


def test_it_ends() -> None:
    """RESP-3.2: There is no text after the last."""
    bodies = NumberedBodies((b"a",), 4095)

    with pytest.raises(IndexError):
        bodies[1]
    with pytest.raises(ValueError, match="in their order"):
        bodies[::2]
