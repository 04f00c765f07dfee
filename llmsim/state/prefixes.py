"""The prompt cache: which prefixes of prompts are kept, and until when.

Decisions:
* Only a prefix's key is kept, never its text: a record is small, whatever the prompt.
* A record is put anew when it is read: the store lets the oldest go first, so what is used stays.
"""

from collections.abc import Callable

import msgspec

from llmsim.state.store import Record, Store

_KIND = "prompt.prefix"


class _Term(msgspec.Struct, frozen=True, array_like=True):
    """How long a prefix is kept: from `since` on, in Unix seconds, for `lifetime` seconds."""

    since: float
    lifetime: int


_encode = msgspec.msgpack.encode
_decode = msgspec.msgpack.Decoder(_Term).decode


class Prefixes:
    """The prefixes that are kept in a store.

    Args:
        store: Shared by all workers.
        clock: Tells Unix seconds, to all processes alike.
    """

    def __init__(self, store: Store, clock: Callable[[], float]) -> None:
        self._store = store
        self._clock = clock

    def recall(self, key: str) -> bool:
        """Tell whether a prefix is kept, and renew its lifetime if it is."""
        record = self._store.get(_KIND, _id(key))
        if record is None:
            return False
        term = _decode(record.data)
        if self._clock() >= term.since + term.lifetime:
            return False
        self.keep(key, term.lifetime)
        return True

    def keep(self, key: str, lifetime: int) -> None:
        """Keep a prefix for `lifetime` seconds."""
        now = self._clock()
        data = _encode(_Term(now, lifetime))
        record = Record(id=_id(key), kind=_KIND, created=now, model="", metadata={}, data=data)
        self._store.put(record)


def _id(key: str) -> str:
    return f"prefix_{key}"
