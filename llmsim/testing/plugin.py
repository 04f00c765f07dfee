"""Fixtures for pytest, there as soon as llmsim is installed.

Decisions:
* One server a test process: it is started when the first test asks for it. Under pytest-xdist each process has its own.
* A test has a session of its own, so that tests disturb each other as little as those of two servers.
* Nothing of llmsim is imported before a test asks for it: others pay nothing.
"""

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from llmsim.testing import Session, Simulator


@pytest.fixture(scope="session")
def llmsim_settings() -> dict[str, object]:
    """Settings of `llmsim_server` by dotted name; override it in a conftest.py."""
    return {}


@pytest.fixture(scope="session")
def llmsim_server(llmsim_settings: dict[str, object]) -> "Iterator[Simulator]":
    """A simulator that answers at once, for all tests of this process."""
    from llmsim.testing import Simulator

    with Simulator(settings=llmsim_settings) as simulator:
        yield simulator


@pytest.fixture
def llmsim_session(llmsim_server: "Simulator", request: pytest.FixtureRequest) -> "Session":
    """A session of the test's own: `play` a script in it, and send its `headers`."""
    return llmsim_server.session(name=f"{request.node.name[:100]}-{id(request):x}")
