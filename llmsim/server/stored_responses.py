"""Responses as they are stored: encoded and decoded."""

from typing import TypeVar

import msgspec

from llmsim.domain import Prompt, Turn
from llmsim.providers.storage import ResponseStorage, StoredResponse
from llmsim.state.ports import Record

O = TypeVar("O")  # noqa: E741 - the options of an endpoint


class _Envelope(msgspec.Struct, frozen=True):
    """A stored response as it is encoded; the options are decoded when their type is known."""

    prompt: Prompt
    turn: Turn
    options: msgspec.Raw
    arrived: float
    background: bool
    cancelled: float | None
    place: tuple[int, int] | None = None


_encode = msgspec.msgpack.encode
_decode = msgspec.msgpack.Decoder(_Envelope).decode


def encode_response(stored: StoredResponse[O]) -> bytes:
    """Encode a response."""
    return _encode(
        _Envelope(
            prompt=stored.prompt,
            turn=stored.turn,
            options=msgspec.Raw(_encode(stored.options)),
            arrived=stored.arrived,
            background=stored.background,
            cancelled=stored.cancelled,
            place=stored.place,
        )
    )


def decode_record(storage: ResponseStorage[O], record: Record) -> StoredResponse[O]:
    """Decode the response of a record."""
    envelope = _decode(record.data)
    return StoredResponse(
        prompt=envelope.prompt,
        turn=envelope.turn,
        options=msgspec.msgpack.decode(envelope.options, type=storage.options),
        arrived=envelope.arrived,
        background=envelope.background,
        cancelled=envelope.cancelled,
        place=envelope.place,
    )
