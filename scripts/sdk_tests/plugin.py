"""A plugin of pytest for the SDKs' tests: clients of the server, real ids instead of made-up ones, and results on a file.

Decisions:
* The SDKs' own `conftest.py` is not loaded: what it adds to these fixtures are packages for other tests.
* Mocks are off: a test that would answer itself asks the server as well.
* Every request goes through `mend` of the SDK's module of seeds before it is sent, so that test files stay as they are.
"""

import json
import os
import sys
import types
from collections.abc import AsyncIterator, Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

_SDK = os.environ["SDK_TESTS_SDK"]
_BASE = os.environ["TEST_API_BASE_URL"]


class MockRouter:
    """Stands in for the router of `respx`: it takes routes, and mocks none."""

    def __getattr__(self, name: str) -> Any:
        """Return a method that takes anything, and returns the router."""
        return lambda *_arguments, **_fields: self


_respx = types.ModuleType("respx")
_respx.MockRouter = MockRouter  # type: ignore[attr-defined]  # a module made here
sys.modules.setdefault("respx", _respx)

_base_client: Any = import_module(f"{_SDK}._base_client")
_sdk: Any = import_module(_SDK)
_seeds: Any = import_module(f"sdk_tests.{_SDK}_seeds")


def _mended(request: Any) -> Any:
    def run(self: Any, cast_to: Any, options: Any, *arguments: Any, **fields: Any) -> Any:
        _seeds.mend(options)
        return request(self, cast_to, options, *arguments, **fields)

    return run


for _client in (_base_client.SyncAPIClient, _base_client.AsyncAPIClient):
    _client.request = _mended(_client.request)


@pytest.fixture
def respx_mock() -> MockRouter:
    """Mock nothing."""
    return MockRouter()


@pytest.fixture
def respx2_mock() -> MockRouter:
    """Mock nothing."""
    return MockRouter()


def _settings(request: pytest.FixtureRequest) -> dict[str, Any]:
    strict = getattr(request, "param", True)
    return {
        "base_url": _BASE,
        "api_key": "any",
        "max_retries": 0,
        "_strict_response_validation": strict if isinstance(strict, bool) else True,
    }


@pytest.fixture(scope="session")
def client(request: pytest.FixtureRequest) -> Iterator[Any]:
    """Make a client, which validates responses if the test asks for it."""
    with getattr(_sdk, _seeds.CLIENT)(**_settings(request)) as made:
        yield made


@pytest.fixture(scope="session")
async def async_client(request: pytest.FixtureRequest) -> AsyncIterator[Any]:
    """Make an asynchronous client, which validates responses if the test asks for it."""
    async with getattr(_sdk, f"Async{_seeds.CLIENT}")(**_settings(request)) as made:
        yield made


def pytest_configure(config: pytest.Config) -> None:
    """Register the marks of mocks."""
    for name in ("respx", "respx2"):
        config.addinivalue_line("markers", f"{name}: mocks, which are off")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out the tests of a third transport, which is not installed."""
    left_out = [item for item in items if "aiohttp" in item.nodeid]
    config.hook.pytest_deselected(items=left_out)
    items[:] = [item for item in items if "aiohttp" not in item.nodeid]


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """Write the outcome of a test as a line of JSON."""
    if report.when != "call" and report.passed:
        return
    problem = ""
    if report.failed:
        lines = [line[2:].strip() for line in report.longreprtext.splitlines() if line.startswith("E ")]
        problem = lines[-1] if lines else report.longreprtext[-500:]
    fields = {"test": report.nodeid, "outcome": report.outcome, "problem": problem}
    with Path(os.environ["SDK_TESTS_RESULTS"]).open("a", encoding="utf-8") as results:
        results.write(json.dumps(fields) + "\n")
