"""The budget of work of one request."""

import random
import re
import warnings

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmsim.budgets import LIMITS, PatternBudget, WorkBudget, pattern_problem, remembered
from llmsim.json_schema.regexes import is_valid, parse_pattern

PIECES = """a b 1 - ^ $ . * + ? {{ }} [ ] ( ) | \\ , : = ! < > # (?: (?= (?<= (?<! (?P<a> (?P=a) (a) [a-z] [^a] \\d \\w+ {2} {1,3} {,3} {3,}
    \\1 \\2 (?(1) (?i) (?x) (?i: (?-i: (?a) (?u) \\x41 \\u0041 \\012 \\p{L} (?> ++ *? []a] [\\d-z] \\b \\A \\N{DIGIT_ONE} (?#c) \\8 \\400 (?<x>
    (?s-m: (?(a)""".split()


@given(st.lists(st.sampled_from(PIECES), max_size=9).map("".join), st.booleans())
def test_patterns_are_judged_as_by_re(pattern: str, closes: bool) -> None:
    """BUDG-2.4: What `re` accepts is accepted; what it refuses is refused, but for references that cannot be written."""
    if closes:
        pattern += ")" * (pattern.count("(") - pattern.count(")"))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            re.compile(pattern)
            expected = True
        except (re.error, ValueError):
            expected = False

    assert is_valid(pattern) is expected or "(?(" in pattern or "(?x" in pattern
    assert not expected or parse_pattern(pattern) is not None


@pytest.mark.parametrize(
    "pattern",
    [
        "(?i)" + "[a-\uffff]" * 160,
        "(" * 500 + ")" * 500,
        "((((a*)*)*)*)*b",
        "(?:a?){50}a{50}",
        "[" + "a-" * 400 + "]",
    ],
    ids=range(5),
)
def test_judging_takes_linear_time(pattern: str) -> None:
    """BUDG-2.4: Nothing is compiled to judge a pattern, and none raises."""
    assert is_valid(pattern) in (True, False)


@pytest.mark.parametrize("pattern", ["(a|aa)+$", "(a+)+$", "((((a*)*)*)*)*b", "(?:a?){50}a{50}"])
def test_time_is_bounded_for_all_patterns_together(pattern: str) -> None:
    """BUDG-2.1, BUDG-2.2: What is not known in time may match, and later ones are not searched any more."""
    patterns = PatternBudget()
    found = [patterns.search(f"{pattern}{'x?' * number}", "a" * 5000 + "b") for number in range(100)]

    assert set(found) <= {True, False, None}
    if None in found:
        assert patterns.is_spent
        assert WorkBudget(patterns=patterns).may_match("b", "a")


@pytest.mark.parametrize("pattern", ["(?u)(?a)x", "(", "a{99999999999}"])
def test_what_cannot_be_compiled_is_not_known(pattern: str) -> None:
    """BUDG-2.2: Whatever `regex` raises."""
    assert PatternBudget().search(pattern, "x") is None


def test_a_long_pattern_matches_any_text() -> None:
    """BUDG-2.3: It is neither compiled nor searched."""
    pattern = "b" * (LIMITS.pattern_chars + 1)

    assert is_valid(pattern)
    assert parse_pattern(pattern) is None
    assert PatternBudget().search(pattern, "a") is True


def test_steps_are_counted() -> None:
    """BUDG-3.1: Shares of a budget end where the next begins, and the last has all that is left."""
    budget = WorkBudget(100)
    budget.open_share(4)
    assert budget.left == 25
    assert budget.spend(20)
    assert not budget.is_spent
    assert not budget.spend(20)
    assert budget.is_spent
    budget.open_share(3)
    assert budget.left == 20
    budget.open_share(1)
    assert budget.left == 60


def test_long_keys_are_passed_through() -> None:
    """BUDG-4.1: Their results are computed anew, for one, two and more arguments."""
    calls = []

    @remembered(2, max_chars=10)
    def one(text: str) -> str:
        calls.append(text)
        return text.upper()

    @remembered(2, max_chars=10)
    def two(text: bytes, other: object) -> bytes:
        calls.append(text)
        return text

    @remembered(2, max_chars=10)
    def three(text: str, number: int, *, is_flag: bool) -> str:
        calls.append(text)
        return text

    for text in ("short", "x" * 11):
        for _ in range(3):
            assert one(text) == text.upper()
            assert two(text.encode(), "") == text.encode()
            assert three(text, 1, is_flag=True) == text
    assert len(calls) == 3 * (1 + 3)
    for other in ("x" * 11, ("x",) * 11):
        two(b"", other)
        assert two.cache_info().currsize == 1


def test_the_size_of_a_text_is_bounded() -> None:
    """BUDG-3.1: References to groups of references do not multiply a generated text."""
    from llmsim.json_instances import patterns

    pattern = "(aaaaaaaaaa)" + "".join(
        f"({f'[{chr(92)}w]' if not n else chr(92) + str(n)}" + f"{chr(92)}{n}" * 9 + ")" for n in range(1, 9)
    )
    made = patterns.text(pattern, random.Random(1), lambda _: True, WorkBudget())

    assert made is not None
    assert len(made) <= 10_000


@pytest.mark.parametrize(
    "pattern",
    [
        "a{100000000}",
        "(?:a{3000}){3000}",
        "(?:(?:[ab]{200}){200}){200}",
        "(?#[)a{100000000}",
        "(?x)#[\na{100000000}",
        "(?V1)[a[b]]{100000000}",
        "[]]{100000000}",
        "([(]a{9000}){9000}",
    ],
)
def test_repeats_are_not_written_out(pattern: str) -> None:
    """BUDG-2.5: What would take gigabytes is not compiled: it may match, and in a script it is a mistake."""
    assert PatternBudget().search(pattern, "a") is None
    assert "repeats" in str(pattern_problem(pattern))


@pytest.mark.parametrize(
    "pattern",
    [
        "^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$",
        r"^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}(\.\d{1,9})?$",
        "^x{0,99999999}$",
        r"\{99999999\}",
        "[{99999999}]",
        "(a|b){2000}",
    ],
)
def test_ordinary_repeats_are_compiled(pattern: str) -> None:
    """BUDG-2.5: Repeats side by side are added, not multiplied; what is optional is not written out."""
    assert pattern_problem(pattern) is None
