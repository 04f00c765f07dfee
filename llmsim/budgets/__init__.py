"""Budgets: what the requests of clients may cost. Start with `limits.py`, which has the figures.

Decisions:
* Over a budget a request is refused, or gets the nearest response that is within it. Other requests go on.
* Budgets count what is the same on every machine: bytes, levels, steps. Clocks are fuses far above, so that seeded responses do
  not depend on timing.
"""

from llmsim.budgets.json_limits import (
    LARGE_INTEGER,
    has_large_integer,
    has_too_many_values,
    is_too_deep,
    json_problem,
)
from llmsim.budgets.limits import LIMITS
from llmsim.budgets.remembered import remembered
from llmsim.budgets.work import PatternBudget, WorkBudget, pattern_problem

__all__ = [
    "LARGE_INTEGER",
    "LIMITS",
    "PatternBudget",
    "WorkBudget",
    "has_large_integer",
    "has_too_many_values",
    "is_too_deep",
    "json_problem",
    "pattern_problem",
    "remembered",
]
