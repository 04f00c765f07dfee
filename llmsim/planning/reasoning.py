"""How much a model thinks before it speaks."""

EFFORTS = {"none": 0.0, "minimal": 0.5, "low": 1.5, "medium": 3.0, "high": 6.0, "xhigh": 10.0, "max": 15.0}
"""Reasoning tokens for each visible token. Source of the words: openai SDK, shared/reasoning_effort.py."""


def reasoning_tokens(effort: str, visible: int) -> int:
    """Tell how many reasoning tokens go before `visible` tokens of answer.

    Args:
        effort: A key of `EFFORTS`.
        visible: Tokens of the answer before any limit cuts it.
    """
    return round(EFFORTS[effort] * visible)
