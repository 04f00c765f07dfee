"""What stands in the slots: copied out once, so that everything told from it agrees."""

import os
from array import array

import msgspec

from llmsim.stats import layout
from llmsim.stats.block import Block


class SlotReading(msgspec.Struct, frozen=True):
    """A copy of one slot.

    Attributes:
        slot: Its number.
        pid: Process that writes it; None when it is free, or its worker has not said yet.
        words: All of it.
        endpoints: A row for each endpoint; requests are never fewer than what has ended.
        models: Name and row of each model that was asked for; `__other__` the last.
        model_sums: Streaming, non-streaming, prompt and completion tokens over all models.
    """

    slot: int
    pid: int | None
    words: list[int]
    endpoints: list[list[int]]
    models: list[tuple[str, list[int]]]
    model_sums: list[int]


def read(block: Block) -> list[SlotReading]:
    """Copy the slots that are taken or have counted anything, in their order."""
    readings = (_read_slot(block, slot) for slot in range(block.layout.slots))
    return [reading for reading in readings if reading is not None]


def is_alive(pid: int) -> bool:
    """Tell whether a process of this machine exists, be it another user's."""
    if pid <= 0:
        return False
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _read_slot(block: Block, slot: int) -> SlotReading | None:
    first = block.layout.slot(slot)
    if block.is_unused(slot):
        return None
    # NOTE: `tolist` reads word by word, upwards; the order within a slot counts on it.
    words: list[int] = block.words[first : first + block.layout.slot_words].tolist()
    endpoints = [
        _mended(words[row : row + layout.ENDPOINT_WORDS])
        for row in range(
            layout.ENDPOINTS,
            layout.ENDPOINTS + block.layout.endpoints * layout.ENDPOINT_WORDS,
            layout.ENDPOINT_WORDS,
        )
    ]
    models = [
        (_name(row), row)
        for row in (
            words[start : start + layout.MODEL_WORDS]
            for start in range(layout.MODELS, layout.ENDPOINTS, layout.MODEL_WORDS)
        )
        if row[layout.MODEL_STREAMING] or row[layout.MODEL_NON_STREAMING]
    ]
    return SlotReading(
        slot=slot,
        pid=(words[layout.PID] or None) if words[layout.TAKEN] else None,
        words=words,
        endpoints=endpoints,
        models=models,
        model_sums=[sum(row[column] for _, row in models) for column in range(layout.MODEL_NAME_BYTES)],
    )


def _mended(row: list[int]) -> list[int]:
    ended = sum(row[: layout.ENDPOINT_REQUESTS])
    row[layout.ENDPOINT_REQUESTS] = max(row[layout.ENDPOINT_REQUESTS], ended)
    return row


def _name(row: list[int]) -> str:
    encoded = array("q", row[layout.MODEL_NAME :]).tobytes()
    return encoded[: row[layout.MODEL_NAME_BYTES]].decode("utf-8", "replace")
