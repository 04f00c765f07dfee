"""Documents of one kind in the store that all workers share."""

from collections.abc import Callable

from llmsim.providers.storage import Document
from llmsim.state.store import Record, Store
from llmsim.stats import Recorder


class StoredDocuments:
    """The documents of one kind; see `DocumentCollection` in the contract."""

    def __init__(self, kind: str, store: Store, recorder: Recorder) -> None:
        self._kind = kind
        self._store = store
        self._recorder = recorder

    def put(self, document: Document) -> None:
        """Keep a document."""
        if evicted := self._store.put(self._record(document)):
            self._recorder.evicted(evicted)

    def get(self, document_id: str) -> Document | None:
        """Look a document up."""
        record = self._store.get(self._kind, document_id)
        return _document(record) if record is not None else None

    def edit(self, document_id: str, change: Callable[[Document], Document]) -> Document | None:
        """Change a document."""

        def changed(record: Record) -> Record:
            return self._record(change(_document(record)))

        record = self._store.edit(self._kind, document_id, changed)
        return _document(record) if record is not None else None

    def delete(self, document_id: str) -> bool:
        """Delete a document."""
        return self._store.delete(self._kind, document_id)

    def page(self, *, limit: int, after: str | None, before: str | None) -> tuple[list[Document], bool]:
        """List documents, the newest first."""
        records, more = self._store.page(self._kind, limit=limit, after=after, before=before, ascending=False)
        return [_document(record) for record in records], more

    def _record(self, document: Document) -> Record:
        return Record(
            id=document.id,
            kind=self._kind,
            created=document.created,
            model="",
            metadata={},
            data=document.data,
        )


def _document(record: Record) -> Document:
    return Document(id=record.id, created=record.created, data=record.data)
