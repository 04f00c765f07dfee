"""The C heap of a worker."""

from types import SimpleNamespace

import pytest

from llmsim.server.processes.heap import Heap, growing_heap

MB = 2**20


def test_the_heap_is_trimmed_when_the_process_has_grown(monkeypatch: pytest.MonkeyPatch) -> None:
    """ARCH-4.6: By 4 MB of which as much is free; a worker that stays as it is pays nothing, and one that shrinks begins anew."""
    heap = Heap()
    now = SimpleNamespace(size=0, free=0)
    trims: list[int] = []
    monkeypatch.setattr(heap, "_trim", trims.append)
    monkeypatch.setattr(heap, "_info", lambda: None)
    monkeypatch.setattr(heap, "_free", lambda: now.free * MB)
    monkeypatch.setattr(heap, "_resident", lambda: now.size * MB)
    counts = []
    for now.size, now.free in ((90, 20), (94, 20), (95, 2), (95, 5), (99, 5), (80, 5), (85, 5)):
        heap.trim()
        counts.append(len(trims))

    assert counts == [0, 0, 0, 1, 1, 1, 2]


def test_what_is_freed_is_returned() -> None:
    """ARCH-4.6: Blocks between others that stay are no longer in memory."""
    heap = Heap()
    heap.trim()
    before = heap._resident()
    blocks = [bytes(100_000) for _ in range(400)]
    del blocks[:-1:2], blocks[:-1]
    heap.trim()

    assert heap._resident() < before + 16 * MB


def test_another_c_library_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """ARCH-4.6: Without `malloc_trim` nothing is done."""
    heap = Heap()
    monkeypatch.setattr(heap, "_trim", None)

    heap.trim()


def test_the_heap_grows_in_large_steps_for_a_while_only(monkeypatch: pytest.MonkeyPatch) -> None:
    """ARCH-4.6: What is free at the end of the heap stays small but for that, and another C library is left alone."""
    pads: list[tuple[int, int]] = []
    libc = SimpleNamespace(mallopt=lambda option, value: pads.append((option, value)))
    monkeypatch.setattr("llmsim.server.processes.heap.ctypes.CDLL", lambda _: libc)
    with growing_heap():
        assert pads == [(-2, 32 * MB)]
    assert pads[1:] == [(-2, 128 * 1024)]

    del libc.mallopt
    with growing_heap():
        assert len(pads) == 2
