"""Stored documents of endpoints and uploaded contents, as records of the shared state."""

import asyncio
from collections.abc import Callable, Iterable, Mapping, Sequence
from types import MappingProxyType

from llmsim.providers.storage import Document
from llmsim.state.content_port import PIECE_BYTES, ContentStore
from llmsim.state.ports import Record, RecordStore
from llmsim.stats import Recorder


class StoredDocuments:
    """The documents of one kind and owner; see `DocumentCollection` in the contract."""

    def __init__(self, kind: str, store: RecordStore, recorder: Recorder, owner: str = "") -> None:
        self._kind = kind
        self._owner = owner
        self._store = store
        self._recorder = recorder

    async def put(self, document: Document) -> None:
        """Store a document and replace the one with its id, if any."""
        if evicted := await self._store.put(self._record(document)):
            self._recorder.evicted(evicted)

    async def get(self, document_id: str) -> Document | None:
        """Return a document, or None if there is no such document."""
        record = await self._store.get(self._kind, document_id, self._owner)
        return _document(record) if record is not None else None

    async def edit(self, document_id: str, change: Callable[[Document], Document]) -> Document | None:
        """Change a document; return it as changed, or None if there is no such document.

        Args:
            document_id: Its id.
            change: Returns the changed document, of the same id; called again if the document has changed in the meantime.
        """
        while (record := await self._store.get(self._kind, document_id, self._owner)) is not None:
            document = _document(record)
            changed = change(document)
            assert changed.id == document_id, "a change must keep the id"
            if changed == document:
                return changed
            evicted = await self._store.replace(self._record(changed), version=record.version)
            if evicted is not None:
                self._recorder.evicted(evicted)
                return changed
        return None

    async def delete(self, document_id: str) -> bool:
        """Delete a document; return whether it existed."""
        return await self._store.delete(self._kind, document_id, self._owner)

    async def page(
        self,
        *,
        limit: int,
        after: str | None = None,
        before: str | None = None,
        ascending: bool = False,
        labels: Mapping[str, str] = MappingProxyType({}),
    ) -> tuple[list[Document], bool]:
        """List documents, the newest first unless `ascending`; return them and whether more follow.

        Raises:
            KeyError: There is no document `after` or `before`.
        """
        records, more = await self._store.page(
            self._kind,
            limit=limit,
            after=after,
            before=before,
            ascending=ascending,
            metadata=labels,
            owner=self._owner,
        )
        return [_document(record) for record in records], more

    def _record(self, document: Document) -> Record:
        return Record(
            id=document.id,
            kind=self._kind,
            created=document.created,
            model="",
            metadata=document.labels,
            data=document.data,
            owner=self._owner,
        )


class UploadedContents:
    """The contents of uploaded files; see `ContentCollection` in the contract."""

    def __init__(self, store: ContentStore) -> None:
        self._store = store

    async def write(self, content_id: str, pieces: Iterable[bytes]) -> bool:
        """Write a content; return whether there was room for it."""
        for piece in pieces:
            for start in range(0, len(piece), PIECE_BYTES):
                if not await self._store.append(content_id, piece[start : start + PIECE_BYTES]):
                    await self._store.delete(content_id)
                    return False
                # Other requests get their turn in between.
                await asyncio.sleep(0)
        return True

    async def read(self, content_id: str) -> bytes:
        """Return a content; empty if there is no such content."""
        pieces: list[bytes] = []
        while (piece := await self._store.piece(content_id, len(pieces))) is not None:
            pieces.append(piece)
            await asyncio.sleep(0)
        return b"".join(pieces)

    async def join(self, content_id: str, parts: Sequence[str]) -> None:
        """Make a content of others, in their order, which are empty then."""
        await self._store.join(content_id, parts)


def _document(record: Record) -> Document:
    return Document(id=record.id, created=record.created, data=record.data, labels=record.metadata)
