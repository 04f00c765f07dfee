"""Padding: its length, and that it is deterministic."""

from hypothesis import given
from hypothesis import strategies as st

from llmsim.providers.openai_family.obfuscation import padding


@given(st.integers(0, 10_000), st.integers(0, 100_000))
def test_padding_fills_up_to_blocks(length: int, position: int) -> None:
    """CHAT-3.4: A piece and its padding are a multiple of 16 bytes; there is always padding; it is a function of both."""
    filler = padding(length, position)

    assert 1 <= len(filler) <= 16
    assert (length + len(filler)) % 16 == 0
    assert filler.isalnum()
    assert filler == padding(length, position)
