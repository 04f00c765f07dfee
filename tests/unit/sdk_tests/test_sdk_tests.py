"""What `scripts/sdk-tests` says of the tests that it has run."""

from pathlib import Path

import pytest
from sdk_tests.reasons import Reason, find_reason, read_reasons
from sdk_tests.sdists import locked_version
from sdk_tests.suites import SDKS, Outcome
from sdk_tests.table import outdated, render_results, unexplained, write_results

REASON = Reason("openai", "test_a.py::*(strict)", "rule of the API", "it is one")
EXPECTED = Outcome("test_a.py::TestA::test_b[strict]", "failed", "Error: c")
OTHER = Outcome("chat/test_a.py::TestA::test_b[loose]", "failed", "Error: d")
PASSED = Outcome("test_a.py::TestA::test_e[loose]", "passed", "")
RESULTS = {"openai": [EXPECTED, OTHER, PASSED]}


@pytest.mark.parametrize("sdk", SDKS)
def test_versions_and_reasons_are_known(sdk: str) -> None:
    """AGENT-4.1: The version is that of the lock file, and each reason is of an SDK that is run."""
    assert locked_version(sdk)
    assert {one.sdk for one in read_reasons()} == set(SDKS)


def test_a_failure_without_a_reason_is_found() -> None:
    """AGENT-4.1: A reason is that of a test by its pattern; what has none is a failure, and what nothing needs is known."""
    unused = Reason("openai", "test_z.py::*", "not offered", "it is not")

    assert find_reason([REASON], "openai", EXPECTED.test) is REASON
    assert find_reason([REASON], "anthropic", EXPECTED.test) is None
    assert unexplained(RESULTS, [REASON]) == [OTHER]
    assert outdated(RESULTS, [REASON, unused]) == [unused]


def test_failures_are_shown_with_their_reason() -> None:
    """AGENT-4.2: A row for each class; one without a reason shows the error."""
    table = render_results(RESULTS, [REASON])

    assert "| `openai` | a | 1 | 1 | 0 |" in table
    assert "| `openai` | all | 1 | 2 | 0 |" in table
    assert "| `openai` | 1 | rule of the API | it is one |" in table
    assert "| `openai` | 1 | llmsim | Error: d |" in table


def test_the_page_keeps_what_is_around_the_tables(tmp_path: Path) -> None:
    """AGENT-4.2: Tables are written between markers, again and again."""
    page = tmp_path / "page.md"
    page.write_text(
        "Before\n<!-- the SDKs' own tests: scripts/sdk-tests --markdown -->\n<!-- end -->\nAfter\n"
    )
    write_results(page, RESULTS, [REASON])
    once = page.read_text()
    write_results(page, RESULTS, [REASON])

    assert page.read_text() == once
    assert once.startswith("Before\n")
    assert once.endswith("\nAfter\n")
