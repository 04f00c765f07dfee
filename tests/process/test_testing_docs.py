"""The page on testing: every Python example is a test that passes, as it stands there."""

import re
from pathlib import Path

import pytest

pytest_plugins = ["pytester"]

PAGE = Path(__file__).parents[2] / "docs" / "testing.md"


def test_examples_pass(pytester: pytest.Pytester) -> None:
    """TEST-6.1: Each block of Python is a file of tests that passes, with warnings as errors."""
    blocks = re.findall(r"^```python\n(.*?)^```$", PAGE.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)
    files = {
        "conftest" if block.startswith("# conftest.py") else f"test_block_{number}": block
        for number, block in enumerate(blocks)
    }
    pytester.makepyfile(**files)

    reported = pytester.runpytest_subprocess("-p", "no:locust", "-p", "no:asyncio", "-W", "error")

    assert len(blocks) == 6
    reported.assert_outcomes(passed=6)


def test_fixtures_of_the_page_are_those_of_the_plugin(pytester: pytest.Pytester) -> None:
    """TEST-6.1: The table of fixtures has every one that pytest finds, and no other."""
    table = PAGE.read_text(encoding="utf-8").partition("### Fixtures")[2]
    reported = re.findall(r"^\| `(\w+)` \|", table, re.MULTILINE)

    listed = pytester.runpytest_subprocess("-p", "no:locust", "--fixtures").outlines
    found = re.findall(r"^(llmsim_\w+)", "\n".join(listed), re.MULTILINE)

    assert sorted(reported) == sorted(found)
