"""The C heap of a worker."""

import pytest

from llmsim.server.processes.heap import Heap


def test_the_heap_is_trimmed_when_the_size_has_changed(monkeypatch: pytest.MonkeyPatch) -> None:
    """ARCH-4.6: By 8 MB up or down; a worker that stays as it is pays nothing."""
    heap = Heap()
    sizes = iter([10_000, 10_000, 11_000, 12_500, 12_400, 10_200, 10_100, 10_100])
    trims: list[int] = []
    monkeypatch.setattr(heap, "_trim", trims.append)
    monkeypatch.setattr(heap, "_pages", lambda: next(sizes))
    counts = []
    for _ in range(5):
        heap.trim()
        counts.append(len(trims))

    # 10,000 then 10,000 after the trim; 11,000 is near; 12,500 then 12,400; 10,200 then 10,100; 10,100 is near.
    assert counts == [1, 1, 2, 3, 3]


def test_another_c_library_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """ARCH-4.6: Without `malloc_trim` nothing is done."""
    heap = Heap()
    monkeypatch.setattr(heap, "_trim", None)

    heap.trim()
