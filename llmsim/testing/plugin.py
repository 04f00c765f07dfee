"""Fixtures for pytest, available as soon as llmsim is installed.

Decisions:
* One server per test process, started when the first test requests it. Under pytest-xdist each process has its own.
* Each test has a session of its own, so that tests are as isolated as with a server each.
* Nothing of llmsim is imported, and no hook is registered, until a test requests a fixture: other projects pay nothing.
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
            pytestconfig.pluginmanager.register(_FailureReport(), "llmsim-report")
        yield simulator


@pytest.fixture
def llmsim_session(llmsim_server: "Simulator", request: pytest.FixtureRequest) -> "Session":
    """A session for this test: `play` a script in it, and send its `headers`. An `llmsim.testing.Session`."""
    test = re.sub(r"[^A-Za-z0-9_.\[\]-]+", "_", request.node.name)[:100]
    return llmsim_server.session(name=f"{test}-{os.urandom(4).hex()}")


class _FailureReport:
    """Adds the requests of its session to the report of a failed test."""

    @pytest.hookimpl(hookwrapper=True)
    def pytest_runtest_makereport(self, item: pytest.Item) -> Generator[None, Any, None]:
        report = (yield).get_result()
        session = getattr(item, "funcargs", {}).get("llmsim_session")
        if report.when == "call" and report.failed and session is not None:
            from llmsim.testing import ControlError

            try:
                requests = "\n".join(map(str, session.requests)) or "none"
            except ControlError as error:
                requests = str(error)
            report.sections.append(("llmsim requests", requests))
