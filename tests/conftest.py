"""Options, workers of a parallel run, and the profile of hypothesis, for all tests."""

import gc
import os
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import hypothesis
import pytest

# Nothing that is collected is garbage.
gc.disable()

pytest.register_assert_rewrite("support")

from support.redis_server import new_client, own_redis_server, redis_server  # noqa: E402, F401 - fixtures for all tests

# No test asserts an absolute speed: machines are loaded, and tests run side by side.
hypothesis.settings.register_profile("llmsim", deadline=None, max_examples=40)
hypothesis.settings.register_profile("long", deadline=None, max_examples=2_000)
hypothesis.settings.load_profile("llmsim")

_LOAD = ("test_bench", "test_capacity", "test_loadtest")
"""Beginnings of the names of modules whose tests offer load: two of them never run at the same time."""


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


@pytest.hookimpl(wrapper=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> Iterator[None]:
    """Group the tests that run in one process, and begin with what takes longest, beside each other what waits and what computes."""
    for item in items:
        if isinstance(item, pytest.Function) and (group := _group(item)):
            item.add_marker(pytest.mark.xdist_group(group))
    yield
    groups: dict[str, list[pytest.Item]] = defaultdict(list)
    for item in items:
        marker = item.get_closest_marker("xdist_group")
        groups[marker.args[0] if marker else item.nodeid].append(item)
    waiting, computing = (
        sorted((one for one in groups.values() if _starts_servers(one[0]) is wanted), key=len, reverse=True)
        for wanted in (True, False)
    )
    # The tests that offer load wait for each other, longer than any other group.
    waiting.sort(key=lambda group: not _offers_load(group[0]))
    ranked = [(place / len(kind), group) for kind in (waiting, computing) for place, group in enumerate(kind)]
    ranked.sort(key=lambda one: one[0])
    items[:] = [item for _, group in ranked for item in group]


def _starts_servers(item: pytest.Item) -> bool:
    return item.path.parent.name == "process"


def _offers_load(item: pytest.Item) -> bool:
    return _starts_servers(item) and item.path.name.startswith(_LOAD)


def _group(item: pytest.Function) -> str:
    """Return the group of a test; empty for one that may run anywhere.

    Tests that share a fixture of their module are one: each process would make its own, mostly a server. So are other files whose tests
    start no servers: xdist looks through all groups at the end of each test.
    """
    if _offers_load(item):
        return "load"
    shared = _module_fixtures(item)
    return f"{item.path.name} {shared}" if shared or not _starts_servers(item) else ""


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
