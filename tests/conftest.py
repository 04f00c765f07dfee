"""Options, workers of a parallel run, and the profile of hypothesis, for all tests."""

import gc
import os
from collections import defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path

import hypothesis
import pytest
from xdist.scheduler import LoadScopeScheduling

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


class _Files(LoadScopeScheduling):
    """Runs the tests of a file in one process: each other would make its fixtures, mostly a server, too. Those that offer load are one file.

    xdist's own groups have no effect with a pytest whose ids cannot be changed.
    """

    def _split_scope(self, nodeid: str) -> str:
        return _group(nodeid)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: object) -> _Files:
    """Distribute by file."""
    return _Files(config, log)


@pytest.hookimpl(wrapper=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> Iterator[None]:
    """Begin with what takes longest, and with what waits for servers beside what computes."""
    yield
    groups: dict[str, list[pytest.Item]] = defaultdict(list)
    for item in items:
        groups[_group(item.nodeid)].append(item)
    waiting, computing = (
        sorted(
            (name for name in groups if ("/process/" in name or name == "load") is waits), key=_size(groups)
        )
        for waits in (True, False)
    )
    ranked = [(place / len(kind), name) for kind in (waiting, computing) for place, name in enumerate(kind)]
    items[:] = [item for _, name in sorted(ranked) for item in groups[name]]


def _size(groups: dict[str, list[pytest.Item]]) -> Callable[[str], tuple[bool, int]]:
    # The tests that offer load wait for each other, longer than any other group.
    return lambda name: (name != "load", -len(groups[name]))


def _group(nodeid: str) -> str:
    folder, _, name = nodeid.partition("::")[0].rpartition("/")
    return "load" if folder.endswith("process") and name.startswith(_LOAD) else f"{folder}/{name}"


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
