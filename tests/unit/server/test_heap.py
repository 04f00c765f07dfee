"""The C heap of a worker."""

from types import SimpleNamespace

import pytest

from llmsim.server.processes.heap import Heap, growing_heap

MB = 2**20


def test_the_heap_is_trimmed_when_more_is_free(monkeypatch: pytest.MonkeyPatch) -> None:
    """ARCH-4.6: By 8 MB; a worker that stays as it is pays nothing, and one that fills its heap begins anew."""
    heap = Heap()
    free = [0]
    trims: list[int] = []
    monkeypatch.setattr(heap, "_trim", trims.append)
    monkeypatch.setattr(heap, "_info", lambda: None)
    monkeypatch.setattr(heap, "_free", lambda: free[0])
    counts = []
    for free[0] in (4 * MB, 20 * MB, 24 * MB, 2 * MB, 9 * MB, 11 * MB, 11 * MB):
        heap.trim()
        counts.append(len(trims))

    assert counts == [0, 1, 1, 1, 1, 2, 2]


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
