"""Marks of the tests that start real servers."""

from pathlib import Path

import pytest

_HERE = Path(__file__).parent
_LOAD = ("test_bench", "test_capacity", "test_loadtest")
"""Beginnings of the names of modules whose tests offer load: two of them never run at the same time."""


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the tests of this folder, and group those that offer load."""
    for item in items:
        if item.path.parent == _HERE:
            item.add_marker("process")
            if item.path.name.startswith(_LOAD):
                item.add_marker(pytest.mark.xdist_group("load"))
