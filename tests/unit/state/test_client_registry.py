"""The report on clients in shared memory; see REPORT in the specs."""

import multiprocessing
import time
from collections.abc import Awaitable
from pathlib import Path
from typing import TypeVar

import pytest

from llmsim.domain.client_report import Finding, Misbehaviour
from llmsim.state.client_port import Attempt, ClientId
from llmsim.state.client_registry import FileClientRegistry

T = TypeVar("T")


def now(value: Awaitable[T]) -> T:
    """Return what an operation returns: those of files do not suspend."""
    try:
        value.__await__().send(None)  # type: ignore[attr-defined]
    except StopIteration as result:
        return result.value  # type: ignore[no-any-return]
    raise AssertionError("it suspended")


def client(number: int = 1) -> ClientId:
    return ClientId(number.to_bytes(4, "little") * 4, f"key {number}", "key")


def attempt(number: int = 1, *, call: int = 1) -> Attempt:
    digest = (call * 7919 + number).to_bytes(4, "little") * 4
    return Attempt(client(number), digest, "completions", time.monotonic())


@pytest.fixture
def registry(tmp_path: Path) -> FileClientRegistry:
    registry = FileClientRegistry(tmp_path / "clients", time.time)
    registry.open()
    return registry


def fail(registry: FileClientRegistry, number: int = 1, *, call: int = 1, status: int = 400) -> None:
    one = attempt(number, call=call)
    if registry.is_watching and registry.knows(one.client.digest):
        now(registry.begin(one))
    now(registry.end(one, status=status))


def test_nothing_is_watched_until_a_request_fails(registry: FileClientRegistry) -> None:
    """REPORT-1.3: Only then a client is known, and only that one."""
    assert not registry.is_watching
    now(registry.end(attempt(), status=None))
    assert not registry.is_watching
    fail(registry)

    assert registry.is_watching
    assert registry.knows(client(1).digest)
    assert not registry.knows(client(2).digest)


def _fail_twice(registry: FileClientRegistry) -> None:
    fail(registry)
    fail(registry)


def test_workers_share_what_they_know(registry: FileClientRegistry) -> None:
    """REPORT-1.3: A retry is one whichever process gets it."""
    fail(registry)
    process = multiprocessing.get_context("fork").Process(target=_fail_twice, args=(registry,))
    process.start()
    process.join()

    (report,) = now(registry.report())
    assert (report.failures, report.retries) == (3, 2)
    assert report.findings[0].count == 2


def test_memory_is_bounded(registry: FileClientRegistry) -> None:
    """REPORT-1.6: Of many clients the last ones are kept, and of many bodies what was found."""
    for number in range(1, 3001):
        fail(registry, number)
    for call in range(100, 4100):
        fail(registry, 5, call=call)
        fail(registry, 5, call=call)

    reports = now(registry.report())
    assert len(reports) <= 1024
    assert reports[0].client == "key 5"
    assert reports[0].findings[0].count == 4000


def test_long_names_and_many_findings_fit(registry: FileClientRegistry) -> None:
    """REPORT-1.6: A record has room for one finding of each kind, whatever the session is called."""
    long = ClientId(b"x" * 16, "\N{CJK UNIFIED IDEOGRAPH-4E00}" * 200, "session")
    for kind in Misbehaviour:
        finding = Finding(kind=kind, endpoint="openresponses", status=500, seconds=[1.0] * 4, what="the text")
        now(registry.find(long, finding))

    (report,) = now(registry.report())
    assert len(report.findings) == len(Misbehaviour)


def test_forgetting(registry: FileClientRegistry) -> None:
    """REPORT-3.2: One client, or all."""
    fail(registry, 1)
    fail(registry, 2)
    now(registry.forget(client(1).digest))

    assert [report.client for report in now(registry.report())] == ["key 2"]
    assert now(registry.forget()) == 1
    assert now(registry.report()) == []
    assert not registry.is_watching


def test_removed_file_is_made_anew(registry: FileClientRegistry, tmp_path: Path) -> None:
    """REPORT-1.6: What was lost is lost, and the server goes on."""
    fail(registry)
    (tmp_path / "clients").unlink()
    time.sleep(0.11)
    fail(registry)

    assert len(now(registry.report())) == 1
    assert registry.is_watching
