"""Incremental parser of server-sent events.

Decisions:
* Input is bytes as the network delivers them: an event, a line or a character may be split anywhere, and any
  number of events may come at once.
* Nothing is decoded: payloads stay bytes, because the JSON decoder takes bytes.
* An event of one `data:` line, which is nearly every event, has a fast path.

Source: https://html.spec.whatwg.org/multipage/server-sent-events.html#parsing-an-event-stream
"""

_BOM = b"\xef\xbb\xbf"


class EventParser:
    """Parser of one stream."""

    def __init__(self) -> None:
        self._rest = b""
        self._after_cr = False
        self._at_start = True

    def feed(self, data: bytes) -> list[tuple[bytes, bytes]]:
        """Parse the next bytes.

        Args:
            data: The next bytes of the stream, split anywhere.

        Returns:
            Name (empty without one) and data of each event that is now complete.
        """
        if self._after_cr and data:
            data = data.removeprefix(b"\n")
            self._after_cr = False
        if b"\r" in data:
            # A lone CR ends a line too, so the parser does not wait to see whether LF follows.
            self._after_cr = data.endswith(b"\r")
            data = data.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
        buffer = self._rest + data
        if self._at_start:
            if len(buffer) < len(_BOM) and _BOM.startswith(buffer):
                self._rest = buffer
                return []
            buffer = buffer.removeprefix(_BOM)
            self._at_start = False
        blocks = buffer.split(b"\n\n")
        self._rest = blocks.pop()
        events = []
        for block in blocks:
            if block.startswith(b"data: ") and b"\n" not in block:
                events.append((b"", block[6:]))
            elif event := _parse_event(block):
                events.append(event)
        return events

    @property
    def unfinished(self) -> bool:
        """Whether the last event is incomplete."""
        return bool(self._rest.strip(b"\n"))


def _parse_event(block: bytes) -> tuple[bytes, bytes] | None:
    """Parse the lines of one event; return None if it has no data, like a comment."""
    name = b""
    data: list[bytes] = []
    for line in block.split(b"\n"):
        field, _, value = line.partition(b":")
        value = value.removeprefix(b" ")
        if field == b"data":
            data.append(value)
        elif field == b"event":
            name = value
    return (name, b"\n".join(data)) if data else None
