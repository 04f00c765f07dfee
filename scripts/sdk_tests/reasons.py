"""Why tests fail that are expected to: data of `reasons.toml`."""

import fnmatch
import tomllib
from pathlib import Path

import msgspec

UNEXPLAINED = "llmsim"
"""The class of a failure that has no reason here: it is the simulator's."""


class Reason(msgspec.Struct, frozen=True):
    """Why some tests fail.

    Attributes:
        sdk: The SDK.
        tests: A pattern of their ids below `tests/api_resources`.
        kind: The class of the failure.
        reason: What the test asks for.
    """

    sdk: str
    tests: str
    kind: str
    reason: str


class _Reasons(msgspec.Struct):
    reasons: list[Reason]


def read_reasons() -> list[Reason]:
    """Read the reasons."""
    content = tomllib.loads(Path(__file__).with_name("reasons.toml").read_text(encoding="utf-8"))
    return msgspec.convert(content, _Reasons).reasons


def find_reason(reasons: list[Reason], sdk: str, test: str) -> Reason | None:
    """Return the reason why a test fails; None if it should pass."""
    name = test.replace("[", "(").replace("]", ")")
    return next((one for one in reasons if one.sdk == sdk and fnmatch.fnmatchcase(name, one.tests)), None)
