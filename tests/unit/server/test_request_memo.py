"""The request memo: what makes two requests the same, and its bounds."""

import tracemalloc
from typing import Any

import pytest

from llmsim.providers.contract import IncomingRequest
from llmsim.server import request_memo
from llmsim.server.request_memo import RequestMemo


def request(
    body: bytes = b"{}", query: str = "", path_param: str = "", beta: str | None = None, other: str = ""
) -> IncomingRequest:
    return IncomingRequest(
        method="POST",
        path="/v1/x",
        query={"q": query} if query else {},
        path_params={"model": path_param} if path_param else {},
        headers={"other": other} | ({} if beta is None else {"beta": beta}),
        body=body,
        arrival=0.0,
    )


def put(memo: RequestMemo[Any], asked: IncomingRequest, value: Any) -> None:
    """Remember a request, which comes twice for that."""
    memo.put(asked, value)
    memo.put(asked, value)


def test_the_same_bytes_are_found_again() -> None:
    """ARCH-7.1: A request of the same body, query, path and headers that are parsed has the same value; other headers do not count."""
    memo: RequestMemo[str] = RequestMemo(("beta",))
    put(memo, request(b"a", beta="x"), "value")

    assert memo.get(request(b"a", beta="x", other="changed")) == "value"


@pytest.mark.parametrize(
    "different",
    [
        request(b"b", beta="x", query="1", path_param="m"),
        request(b"a", beta="y", query="1", path_param="m"),
        request(b"a", query="1", path_param="m"),
        request(b"a", beta="x", query="2", path_param="m"),
        request(b"a", beta="x", path_param="m"),
        request(b"a", beta="x", query="1", path_param="n"),
    ],
)
def test_all_that_is_parsed_is_part_of_the_key(different: IncomingRequest) -> None:
    """ARCH-7.1: Body, query, path and the headers that are parsed are all part of the key."""
    memo: RequestMemo[str] = RequestMemo(("beta",))
    put(memo, request(b"a", beta="x", query="1", path_param="m"), "value")

    assert memo.get(different) is None


def test_large_bodies_are_not_remembered() -> None:
    """ARCH-7.2: A body over 4 KB is not looked up."""
    memo: RequestMemo[str] = RequestMemo()
    for size, expected in [(4096, "value"), (4097, None)]:
        put(memo, request(b"x" * size), "value")
        assert memo.get(request(b"x" * size)) == expected


def test_a_flood_of_new_bodies_leaves_memory_flat(monkeypatch: pytest.MonkeyPatch) -> None:
    """ARCH-7.2: Entries and bytes are bounded, whatever arrives."""
    memo: RequestMemo[int] = RequestMemo()
    body = b"x" * 4_000

    def flood(first: int) -> None:
        for number in range(first, first + 3_000):
            put(memo, request(b"%d" % number + body), number)

    tracemalloc.start()
    try:
        flood(0)
        before = tracemalloc.get_traced_memory()[0]
        flood(3_000)
        after = tracemalloc.get_traced_memory()[0]
    finally:
        tracemalloc.stop()
    assert before < 2 * request_memo._MAX_BYTES + 1_000_000
    assert after < before + 200_000 + request_memo._MAX_BYTES


def test_what_is_used_again_outlives_a_flood() -> None:
    """ARCH-7.2: The entries that go are those that were not used."""
    memo: RequestMemo[int] = RequestMemo()
    put(memo, request(b"often"), 1)
    for number in range(5_000):
        put(memo, request(b"%d" % number), number)
        assert memo.get(request(b"often")) == 1

    assert memo.get(request(b"0")) is None


def test_memos_share_their_bounds() -> None:
    """ARCH-7.2: The bounds are those of a process: what one endpoint is sent makes room in what another remembers."""
    memo: RequestMemo[int] = RequestMemo()
    other: RequestMemo[int] = RequestMemo()
    put(memo, request(b"rare"), 1)
    for number in range(2 * request_memo._MAX_ENTRIES):
        put(other, request(b"%d" % number), number)

    assert memo.get(request(b"rare")) is None


def test_a_request_that_never_comes_again_is_not_remembered() -> None:
    """ARCH-7.2: A request is remembered when it comes again, not when it comes first."""
    memo: RequestMemo[str] = RequestMemo(("beta",))
    memo.put(request(b"once", beta="x"), "value")
    memo.put(request(b"once", beta="y"), "value")

    assert memo.get(request(b"once", beta="x")) is None
    assert memo.get(request(b"once", beta="y")) is None
