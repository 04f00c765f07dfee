"""The headers that say what is left of limits, as they are prepared for certain limits."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmsim.domain.quota import Amounts, QuotaStatus, limits_of
from llmsim.providers.anthropic import rate_limits as anthropic
from llmsim.providers.openai_family import rate_limits as openai

AMOUNTS = st.tuples(*[st.sampled_from((0, 0, 1, 7, 1_000, 10**9))] * 5)
USED = st.lists(
    st.sampled_from((0, 1, 59_999_999, 60_000_000, 10**15)) | st.integers(0, 10**12), min_size=5, max_size=5
)


@pytest.mark.parametrize("api", [openai, anthropic], ids=["openai", "anthropic"])
@given(
    amounts=AMOUNTS | st.just((10**8, 10**10, 0, 0, 0)),
    at=st.integers(10**15, 2 * 10**15),
    steps=st.lists(st.tuples(USED, st.sampled_from((0, 1, 400_000, 10**6, -2)) | st.integers(0, 3 * 10**6))),
)
def test_prepared_headers_are_the_same(
    api: object, amounts: Amounts, at: int, steps: list[tuple[list[int], int]]
) -> None:
    """LIM-3.1, LIM-3.3: Whatever is limited and used, what is prepared renders the same lines; nothing left is negative."""
    limits = limits_of(amounts)
    render = api.prepare_limits(limits)  # type: ignore[attr-defined]  # a module
    for used, passed in steps:
        # The same is in use again and again where a client stays below its rate.
        for _ in range(3):
            at += passed
            status = QuotaStatus(at, limits, limits.select(used))
            lines = render(status)

            assert lines == api.render_limits(status)  # type: ignore[attr-defined]
            assert b": -" not in lines
