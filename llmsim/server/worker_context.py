"""Per-worker services for endpoints: models, clock, planner, stored responses.

Records hold bytes; they are encoded from responses, and decoded to them, here.

Decisions:
* The table of deviates that a schedule reads is the same in every process and far larger than the
  rest; it is left out of the record and added when the record is read.
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
from llmsim.state.ports import Record, RecordStore
from llmsim.stats import Recorder


class _Envelope(msgspec.Struct, frozen=True):
    """A stored response as it is encoded; the options are decoded when their type is known."""

    prompt: Prompt
    turn: Turn
    options: msgspec.Raw
    arrived: float
    background: bool
    cancelled: float | None


_encode = msgspec.msgpack.encode
_decode = msgspec.msgpack.Decoder(_Envelope).decode


class WorkerContext:
    """The services of one worker; see `EndpointContext`.

    Attributes:
        models: The models that are listed, by id.
    """

    def __init__(
        self, models: Mapping[str, Model], planner: Planner, store: RecordStore, recorder: Recorder
    ) -> None:
        self.models = models
        self._planner = planner
        self._store = store
        self._recorder = recorder

    def now(self) -> float:
        """Return the time of the monotonic clock, in seconds."""
        return time.monotonic()

    def unix(self) -> int:
        """Return the Unix time, in seconds."""
        return int(time.time())

    def new_id(self) -> str:
        """Return a new unique id."""
        return self._planner.new_id()

    def model(self, name: str) -> Model | None:
        """Return the listed model of that id, alias or snapshot, or None if there is no such model."""
        if name in self.models:
            return self.models[name]
        known = self._planner.find(name)
        return self.models.get(known.id) if known is not None else None

    def plan(self, prompt: Prompt) -> Turn | Fault:
        """Plan the response to a prompt."""
        return self._planner.plan(prompt)

    def shelf(self, kind: str) -> StoredDocuments:
        """Return the documents of a kind."""
        return StoredDocuments(kind, self._store, self._recorder)

    def count(self, prompt: Prompt) -> int:
        """Count the tokens of a prompt."""
        return self._planner.count(prompt)

    async def keep(
        self, storage: ResponseStorage, ask: ParsedRequest, turn: Turn, arrived: float
    ) -> StoredResponse:
        """Store a response that was just planned."""
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
            data=self._encode_response(stored),
        )
        if evicted := await self._store.put(record):
            self._recorder.evicted(evicted)
        return stored

    async def find(self, storage: ResponseStorage, public_id: str) -> StoredResponse | None:
        """Return a stored response, or None if there is no such response."""
        record = await self._store.get(storage.kind, public_id)
        return self._decode_record(storage, record) if record is not None else None

    async def change(
        self,
        storage: ResponseStorage,
        public_id: str,
        change: Callable[[StoredResponse], StoredResponse],
    ) -> StoredResponse | None:
        """Change a stored response; return it as changed, or None if there is no such response.

        Args:
            storage: How it is stored.
            public_id: Its id.
            change: Returns the changed response; called again if the response has changed in the meantime.
        """
        while (record := await self._store.get(storage.kind, public_id)) is not None:
            stored = self._decode_record(storage, record)
            changed = change(stored)
            if changed is stored:
                return changed
            metadata = storage.metadata(changed.options)
            new = msgspec.structs.replace(record, metadata=metadata, data=self._encode_response(changed))
            evicted = await self._store.replace(new, version=record.version)
            if evicted is not None:
                self._recorder.evicted(evicted)
                return changed
        return None

    async def forget(self, storage: ResponseStorage, public_id: str) -> bool:
        """Delete a stored response; return whether it existed."""
        return await self._store.delete(storage.kind, public_id)

    async def page(
        self,
        storage: ResponseStorage,
        *,
        limit: int,
        after: str | None,
        ascending: bool,
        model: str | None,
        metadata: Mapping[str, str],
    ) -> tuple[list[StoredResponse], bool]:
        """List stored responses in order of creation; return them and whether more follow.

        Raises:
            KeyError: There is no response `after`.
        """
        records, more = await self._store.page(
            storage.kind, limit=limit, after=after, ascending=ascending, model=model, metadata=metadata
        )
        return [self._decode_record(storage, record) for record in records], more

    def _encode_response(self, stored: StoredResponse) -> bytes:
        turn = self._planner.without_table(stored.turn)
        return _encode(
            _Envelope(
                prompt=stored.prompt,
                turn=turn,
                options=msgspec.Raw(_encode(stored.options)),
                arrived=stored.arrived,
                background=stored.background,
                cancelled=stored.cancelled,
            )
        )

    def _decode_record(self, storage: ResponseStorage, record: Record) -> StoredResponse:
        envelope = _decode(record.data)
        return StoredResponse(
            prompt=envelope.prompt,
            turn=self._planner.with_table(envelope.turn),
            options=msgspec.msgpack.decode(envelope.options, type=storage.options),
            arrived=envelope.arrived,
            background=envelope.background,
            cancelled=envelope.cancelled,
        )
