"""Remembers parsed requests, for clients that send the same request again and again.

Decisions:
* A parsed request is a frozen value that depends on the request alone, so the next one of the same bytes can share it. Nothing that
  depends on session, seed, time or shared state is remembered.
* PERF: a request that is found saves 20 us of parsing and counting; one that is not pays 0.6 us. Bodies over 4 KB are not looked up:
  to hash and compare them costs what is saved.
* PERF: a request is remembered when it comes again; of its first time a hash is kept. What never comes again is freed with its response, while
  it is in the processor's caches: 3.5 us less than to free it a thousand requests later.
* Two generations of entries: when the young one is full it becomes the old one, and what is not used again goes with the next. So a
  flood of new bodies costs no bookkeeping and leaves memory flat.
* One budget for all endpoints of a process: a parsed body of 4 KB may take 23 KB, and there are over forty memos.
"""

import weakref
from array import array
from collections.abc import Hashable
from typing import Any, Generic, TypeVar

from llmsim.providers.contract import IncomingRequest

_MAX_BODY_BYTES = 4_096

_MAX_ENTRIES = 512
"""Entries of one generation, over all memos."""

_MAX_BYTES = 1 << 19
"""Bytes of the bodies of one generation, over all memos."""

_SLOTS = 1_024
"""Hashes of requests that have come once; a newer one takes the place of an older."""

_SLOT_MASK = _SLOTS - 1
"""PERF: 0.1 us less than a remainder."""

V = TypeVar("V")

_come_once = array("q", bytes(8 * _SLOTS))


class _Generation:
    """What the young generation of all memos of the process holds."""

    def __init__(self) -> None:
        self.memos: weakref.WeakSet[RequestMemo[Any]] = weakref.WeakSet()
        self._entries = self._bytes = 0

    def make_room(self, size: int) -> None:
        """Count one more entry of `size` bytes; where it does not fit, a new generation begins."""
        if self._entries >= _MAX_ENTRIES or self._bytes + size > _MAX_BYTES:
            for memo in self.memos:
                memo.age()
            self._entries = self._bytes = 0
        self._entries += 1
        self._bytes += size


_YOUNG = _Generation()


class RequestMemo(Generic[V]):
    """Values by request, for one endpoint.

    Args:
        headers: Names of the headers that the values depend on.
        with_address: Whether they depend on the address of the server, too.
    """

    def __init__(self, headers: tuple[str, ...] = (), *, with_address: bool = False) -> None:
        self._headers = headers
        self._with_address = with_address
        self._is_by_body = not headers and not with_address
        self._young: dict[Hashable, V] = {}
        self._old: dict[Hashable, V] = {}
        _YOUNG.memos.add(self)

    def get(self, request: IncomingRequest) -> V | None:
        """Return what is remembered of a request; None if nothing is."""
        body = request.body
        if len(body) > _MAX_BODY_BYTES:
            return None
        # PERF: `_key` written out here and in `put`; 0.1 us each.
        is_by_body = self._is_by_body and not (request.query or request.path_params)
        key = body if is_by_body else self._key(request)
        value = self._young.get(key)
        if value is None and (value := self._old.get(key)) is not None:
            self._put(key, value, len(body))
        return value

    def put(self, request: IncomingRequest, value: V) -> None:
        """Remember something of a request, if it has come before."""
        body = request.body
        size = len(body)
        if size > _MAX_BODY_BYTES:
            return
        is_by_body = self._is_by_body and not (request.query or request.path_params)
        key = body if is_by_body else self._key(request)
        number = hash(key)
        slot = number & _SLOT_MASK
        if _come_once[slot] == number:
            self._put(key, value, size)
        else:
            _come_once[slot] = number

    def _key(self, request: IncomingRequest) -> Hashable:
        return (
            request.body,
            tuple(sorted(request.query.items())),
            tuple(sorted(request.path_params.items())),
            tuple([request.headers.get(name) for name in self._headers]),
            request.base_url if self._with_address else "",
        )

    def _put(self, key: Hashable, value: V, size: int) -> None:
        _YOUNG.make_room(size)
        self._young[key] = value

    def age(self) -> None:
        """Begin a new generation: drop what was not used in the last one."""
        self._old, self._young = self._young, {}
