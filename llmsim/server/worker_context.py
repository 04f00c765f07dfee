"""What endpoints look up and have done in one worker: models, clock, planner, and the turns that are kept.

The store knows bytes, the endpoints know turns; here one becomes the other.
"""

import time
from collections.abc import Callable, Mapping

import msgspec

from llmsim.catalogue import Model
from llmsim.domain import Fault, Prompt, Turn
from llmsim.planning.planner import Planner
from llmsim.providers.contract import ParsedRequest
from llmsim.providers.storage import ResponseStorage, StoredResponse
from llmsim.server.document_collection import StoredDocuments
from llmsim.state.store import Record, Store
from llmsim.stats import Recorder


class _Envelope(msgspec.Struct, frozen=True):
    """A kept turn as bytes hold it; the options wait for their type."""

    prompt: Prompt
    turn: Turn
    options: msgspec.Raw
    arrived: float
    background: bool
    cancelled: float | None


_encode = msgspec.msgpack.encode
_decode = msgspec.msgpack.Decoder(_Envelope).decode


class WorkerContext:
    """One worker's desk.

    Attributes:
        models: The models that are listed, by id.
    """

    def __init__(
        self, models: Mapping[str, Model], planner: Planner, store: Store, recorder: Recorder
    ) -> None:
        self.models = models
        self._planner = planner
        self._store = store
        self._recorder = recorder

    def now(self) -> float:
        """Give the moment on the monotonic clock, in seconds."""
        return time.monotonic()

    def unix(self) -> int:
        """Give the Unix time, in seconds."""
        return int(time.time())

    def new_id(self) -> str:
        """Give an id that was never given before."""
        return self._planner.new_id()

    def model(self, name: str) -> Model | None:
        """Give the listed model of that id, alias or snapshot; None if there is none."""
        if name in self.models:
            return self.models[name]
        known = self._planner.find(name)
        return self.models.get(known.id) if known is not None else None

    def plan(self, prompt: Prompt) -> Turn | Fault:
        """Decide what a prompt is answered."""
        return self._planner.plan(prompt)

    def shelf(self, kind: str) -> StoredDocuments:
        """Give the documents of a kind."""
        return StoredDocuments(kind, self._store, self._recorder)

    def count(self, prompt: Prompt) -> int:
        """Count the tokens of a prompt."""
        return self._planner.count(prompt)

    def keep(
        self, storage: ResponseStorage, ask: ParsedRequest, turn: Turn, arrived: float
    ) -> StoredResponse:
        """Keep a turn that was just planned."""
        stored = StoredResponse(
            prompt=ask.prompt,
            turn=turn,
            options=ask.options,
            arrived=arrived,
            background=storage.background(ask.options),
        )
        record = Record(
            id=storage.public_id(turn),
            kind=storage.kind,
            created=turn.created,
            model=turn.model,
            metadata=storage.metadata(ask.options),
            data=self._packed(stored),
        )
        if evicted := self._store.put(record):
            self._recorder.evicted(evicted)
        return stored

    def find(self, storage: ResponseStorage, public_id: str) -> StoredResponse | None:
        """Look a turn up; None if it is not kept."""
        record = self._store.get(storage.kind, public_id)
        return self._unpacked(storage, record) if record is not None else None

    def change(
        self,
        storage: ResponseStorage,
        public_id: str,
        change: Callable[[StoredResponse], StoredResponse],
    ) -> StoredResponse | None:
        """Change a kept turn, over all workers at once; None if it is not kept."""

        def changed(record: Record) -> Record:
            stored = change(self._unpacked(storage, record))
            return msgspec.structs.replace(
                record, metadata=storage.metadata(stored.options), data=self._packed(stored)
            )

        record = self._store.edit(storage.kind, public_id, changed)
        return self._unpacked(storage, record) if record is not None else None

    def forget(self, storage: ResponseStorage, public_id: str) -> bool:
        """Delete a turn; tell whether it was kept."""
        return self._store.delete(storage.kind, public_id)

    def page(
        self,
        storage: ResponseStorage,
        *,
        limit: int,
        after: str | None,
        ascending: bool,
        model: str | None,
        metadata: Mapping[str, str],
    ) -> tuple[list[StoredResponse], bool]:
        """List kept turns in order of creation; tell whether more follow.

        Raises:
            KeyError: `after` is not kept.
        """
        records, more = self._store.page(
            storage.kind, limit=limit, after=after, ascending=ascending, model=model, metadata=metadata
        )
        return [self._unpacked(storage, record) for record in records], more

    def _packed(self, stored: StoredResponse) -> bytes:
        return _encode(
            _Envelope(
                prompt=stored.prompt,
                turn=stored.turn,
                options=msgspec.Raw(_encode(stored.options)),
                arrived=stored.arrived,
                background=stored.background,
                cancelled=stored.cancelled,
            )
        )

    def _unpacked(self, storage: ResponseStorage, record: Record) -> StoredResponse:
        envelope = _decode(record.data)
        return StoredResponse(
            prompt=envelope.prompt,
            turn=envelope.turn,
            options=msgspec.msgpack.decode(envelope.options, type=storage.options),
            arrived=envelope.arrived,
            background=envelope.background,
            cancelled=envelope.cancelled,
        )
