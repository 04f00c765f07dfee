"""Runs the test files of an SDK in a process of pytest, and reads what came of them."""

import os
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import msgspec

SDKS = {"openai": "/openai/v1", "anthropic": "/anthropic"}
"""The path of the API that each SDK is pointed to."""

_FOLDER = "tests/api_resources/"

_SETTINGS = (
    "addopts=",
    "asyncio_mode=auto",
    "asyncio_default_test_loop_scope=session",
    "asyncio_default_fixture_loop_scope=session",
)
"""Settings of pytest: those of the SDKs' own runs, without workers."""


class Outcome(msgspec.Struct, frozen=True):
    """What came of a test.

    Attributes:
        test: Its id below `tests/api_resources`.
        outcome: `passed`, `failed` or `skipped`.
        problem: The last line of its error; empty if it has none.
    """

    test: str
    outcome: str
    problem: str

    @property
    def resource(self) -> str:
        """The resource that it tests."""
        return self.test.partition("::")[0].removesuffix(".py").replace("test_", "")


def run_suite(sdk: str, sources: Path, server: str, results: Path, *, only: str = "") -> list[Outcome]:
    """Run the tests of an SDK.

    Args:
        sdk: The SDK.
        sources: Its unpacked source distribution.
        server: Address of the server.
        results: A file for the outcomes.
        only: An expression of pytest that selects tests.
    """
    resources = import_module(f"sdk_tests.{sdk}_seeds").RESOURCES
    paths = [_FOLDER + (name if "test_" not in name else f"{name}.py") for name in resources]
    options = ["-q", "--noconftest", "--tb=short", "-p", "sdk_tests.plugin", "-p", "no:cacheprovider"]
    options += ["-p", "no:randomly", "-W", "ignore", "-k", only]
    for setting in _SETTINGS:
        options += ["-o", setting]
    environment = os.environ | {
        "TEST_API_BASE_URL": server + SDKS[sdk],
        "SDK_TESTS_SDK": sdk,
        "SDK_TESTS_RESULTS": str(results),
        "PYTHONPATH": str(Path(__file__).parents[1]),
    }
    subprocess.run(
        [sys.executable, "-m", "pytest", *options, *paths],
        cwd=sources,
        env=environment,
        check=False,
        stdout=subprocess.DEVNULL,
    )
    lines = results.read_text(encoding="utf-8").splitlines() if results.exists() else []
    outcomes = [msgspec.json.decode(line, type=Outcome) for line in lines]
    found: dict[str, Outcome] = {}
    for one in outcomes:
        test = one.test.removeprefix(_FOLDER)
        # A test that fails may fail again in its end.
        if found.get(test) is None or found[test].outcome != "failed":
            found[test] = msgspec.structs.replace(one, test=test)
    return list(found.values())
