"""What is stored, and what any store does.

Decisions:
* Six methods, each one trip to a store, so that one over a network can take the place of one in a file.
"""

from collections.abc import Callable, Mapping
from typing import Protocol

import msgspec


class Record(msgspec.Struct, frozen=True, kw_only=True):
    """Something that is stored.

    Attributes:
        id: Unique over all kinds, e.g. `resp_…`.
        kind: What it is, e.g. `chat.completion`; kinds are looked up and listed apart.
        created: When it was created, in Unix seconds; lists are in this order.
        model: Model id; lists can be filtered by it.
        metadata: Labels that lists can be filtered by.
        data: The rest, in a form that only its owner knows.
    """

    id: str
    kind: str
    created: float
    model: str
    metadata: dict[str, str]
    data: bytes


class Store(Protocol):
    """A bounded collection of records, the same one for all workers.

    What was evicted or has expired is not there, nor is a record of another kind. All methods raise StoreError when the
    store is not to be had.
    """

    def put(self, record: Record) -> int:
        """Store a record, in place of the one of that id if there is any.

        Returns:
            How many records went to stay within the bounds: through this call, and through edits in this process since
            the last one. A record that is too large for the store goes itself.
        """
        ...

    def get(self, kind: str, id: str) -> Record | None:  # noqa: A002 - the field's name
        """Look a record up; None if it is not there."""
        ...

    def edit(
        self,
        kind: str,
        id: str,  # noqa: A002 - the field's name
        change: Callable[[Record], Record],
    ) -> Record | None:
        """Change a record. Nobody else changes it between what `change` is given and what it gives.

        Args:
            kind: Kind of the record.
            id: Id of the record.
            change: Gives the record as it is to be, of the same id and kind. What it raises is passed on, and nothing has
                changed then. Everybody waits for it, and it must not use the store.

        Returns:
            The record as changed; None if it is not there.

        Raises:
            ValueError: `change` gave another id or kind.
        """
        ...

    def delete(self, kind: str, id: str) -> bool:  # noqa: A002 - the field's name
        """Delete a record; tell whether it was there."""
        ...

    def page(
        self,
        kind: str,
        *,
        limit: int,
        after: str | None = None,
        before: str | None = None,
        ascending: bool = True,
        model: str | None = None,
        metadata: Mapping[str, str] = {},
    ) -> tuple[list[Record], bool]:
        """List records in order of creation, those created at the same time in the order they were put.

        Args:
            kind: Kind of the records.
            limit: Most records to give.
            after: Id of the record after which the page begins.
            before: Id of the record before which it ends. Without `after` the page is the one right before that record.
            ascending: Oldest first; else newest first, and `after` and `before` are meant in that order.
            model: Only records of this model.
            metadata: Only records that have all these labels.

        Returns:
            The page, and whether more follow: after it or, when only `before` is given, before it.

        Raises:
            KeyError: `after` or `before` is not there.
        """
        ...

    def close(self) -> None:
        """Let go of what this process has open; the next call opens it again."""
        ...
