"""How records are written down, by whichever store: texts as bytes, labels as lines, and what a record counts.

Decisions:
* Texts become bytes of any characters: an id may be anything that a client puts into a path.
* Each label is a line of its own, where a filter finds it: JSON has no line breaks.
"""

import json
from collections.abc import Mapping

from llmsim.state.ports import Record

RECORD_BYTES = 256
"""What a record counts besides its texts and data, for its entries in the indices."""

EVICTED_RECORDS = 16
EVICTED_BYTES = 65_536
"""What is evicted at most beyond what is necessary: one for each put would cost 1.6 times as much."""


def encode_text(text: str) -> bytes:
    """Encode a text; half a surrogate pair, too."""
    return text.encode("utf-8", "surrogatepass")


def decode_text(data: bytes) -> str:
    """Decode what `encode_text` returned."""
    return data.decode("utf-8", "surrogatepass")


def record_size(*parts: bytes) -> int:
    """Return what a record of these parts counts."""
    return RECORD_BYTES + sum(map(len, parts))


def encode_metadata(metadata: Mapping[str, str]) -> bytes:
    """Encode metadata as JSON with each label on a line of its own."""
    if not metadata:
        return b"{}"
    return b"{\n%b\n}" % b"\n,\n".join(encode_label(*label) for label in metadata.items())


def encode_label(name: str, value: str) -> bytes:
    """Encode one label, as it stands between two line breaks."""
    return f"{json.dumps(name)}:{json.dumps(value)}".encode()


def decode_record(
    kind: str,
    key: bytes,
    owner: bytes,
    created: float,
    model: bytes,
    metadata: bytes,
    data: bytes,
    version: int,
) -> Record:
    """Return a record as it was put."""
    return Record(
        id=decode_text(key),
        kind=kind,
        created=created,
        model=decode_text(model),
        metadata={} if metadata == b"{}" else json.loads(metadata),
        data=data,
        owner=decode_text(owner),
        version=version,
    )
