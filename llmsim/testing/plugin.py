"""Fixtures for pytest, there as soon as llmsim is installed.

Decisions:
* One server a test process: it is started when the first test asks for it. Under pytest-xdist each process has its own.
* A test has a session of its own, so that tests disturb each other as little as those of two servers.
* Nothing of llmsim's is imported, and no hook is there, before a test asks for it: others pay nothing.
"""

import os
import re
from collections.abc import Generator, Iterator
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from llmsim.testing import Session, Simulator


@pytest.fixture(scope="session")
def llmsim_settings() -> dict[str, Any]:
    """Settings of `llmsim_server` by dotted name, e.g. `{"response.seed": 7}`; override it in a conftest.py."""
    return {}


@pytest.fixture(scope="session")
def llmsim_server(llmsim_settings: dict[str, Any], pytestconfig: pytest.Config) -> "Iterator[Simulator]":
    """A simulator that answers at once, for all tests of this process: an `llmsim.testing.Simulator`."""
    from llmsim.testing import Simulator

    with Simulator(settings=llmsim_settings) as simulator:
        if not pytestconfig.pluginmanager.has_plugin("llmsim-report"):
            pytestconfig.pluginmanager.register(_Report(), "llmsim-report")
        yield simulator


@pytest.fixture
def llmsim_session(llmsim_server: "Simulator", request: pytest.FixtureRequest) -> "Session":
    """A session of the test's own: `play` a script in it, and send its `headers`. An `llmsim.testing.Session`."""
    test = re.sub(r"[^A-Za-z0-9_.\[\]-]+", "_", request.node.name)[:100]
    return llmsim_server.session(name=f"{test}-{os.urandom(4).hex()}")


class _Report:
    """Adds to the report of a test that failed what its session was asked."""

    @pytest.hookimpl(hookwrapper=True)
    def pytest_runtest_makereport(self, item: pytest.Item) -> Generator[None, Any, None]:
        report = (yield).get_result()
        session = getattr(item, "funcargs", {}).get("llmsim_session")
        if report.when == "call" and report.failed and session is not None:
            from llmsim.testing import ControlError

            try:
                told = "\n".join(map(str, session.requests)) or "none"
            except ControlError as error:
                told = str(error)
            report.sections.append(("llmsim requests", told))
