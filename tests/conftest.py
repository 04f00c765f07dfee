"""Options, workers of a parallel run, and the profile of hypothesis, for all tests."""

import gc
import os
from pathlib import Path

import hypothesis
import pytest

# Nothing that is collected is garbage.
gc.disable()

pytest.register_assert_rewrite("support")

from support.redis_server import new_client, own_redis_server, redis_server  # noqa: E402, F401 - fixtures for all tests

# No test asserts an absolute speed: machines are loaded, and tests run side by side.
hypothesis.settings.register_profile("llmsim", deadline=None)
hypothesis.settings.load_profile("llmsim")


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add `--update-golden`."""
    parser.addoption(
        "--update-golden",
        action="store_true",
        help="rewrite the golden files from what the renderers return; review the diff as code",
    )


def pytest_xdist_auto_num_workers(config: pytest.Config) -> int:
    """Run whole folders in parallel; run a selection, and whatever writes files, in one process.

    Twice the cores: tests of real servers and of time wait for most of theirs. `-n` overrules it.
    """
    selected = config.option.keyword or any(not Path(argument).is_dir() for argument in config.args)
    return 0 if selected or config.option.update_golden else 2 * (os.cpu_count() or 1)


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Run the tests that share a fixture of their module in one process: each would make its own, mostly a server."""
    for item in items:
        if isinstance(item, pytest.Function) and item.get_closest_marker("xdist_group") is None:
            shared = _module_fixtures(item)
            if shared:
                item.add_marker(pytest.mark.xdist_group(f"{item.path.name} {shared}"))


def _module_fixtures(item: pytest.Function) -> str:
    """Return which fixtures of its module a test uses, with their parameters; empty for none."""
    parameters = item.callspec.params if hasattr(item, "callspec") else {}
    return " ".join(
        f"{name}={parameters.get(name, '')}"
        for name, found in item._fixtureinfo.name2fixturedefs.items()
        if found[-1].scope == "module"
        and found[-1].baseid == item.path.relative_to(item.config.rootpath).as_posix()
    )


def pytest_collection_finish() -> None:
    """Keep the collector of garbage from walking through thousands of collected tests again and again."""
    gc.freeze()
    # A test that starts a worker leaves thousands of objects. Found by the usual thresholds they cost as much time as the test, and with
    # much larger ones, too: they have left the processor's cache by then.
    gc.set_threshold(10_000, 50, 100)
    gc.enable()


@pytest.fixture
def update_golden(request: pytest.FixtureRequest) -> bool:
    """Whether golden files are written instead of compared."""
    return bool(request.config.getoption("--update-golden"))
