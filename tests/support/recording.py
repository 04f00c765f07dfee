"""Records what a server sends over raw sockets and WebSocket, with all that differs from run to run replaced."""

import json
import re
import socket
import time
from collections.abc import Iterator
from datetime import datetime
from typing import Any, NamedTuple

from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

_PATIENCE = 20.0
_DAY = 86_400
_MOST_ATTEMPTS = 1000


class Step(NamedTuple):
    """One request of a recording.

    Attributes:
        method: HTTP method.
        path: Path and query; `{id}` is the id of the recording's first answer, `{file-}` the last one that begins so, and
            `{output_file_id}` the last value of that member.
        body: As sent, with the same places.
        headers: Besides `host` and `content-length`.
        until: What the answer must contain; the request is repeated until it does.
        most: Bytes of the body that are recorded; None for all.
        is_shown: Whether the answer is recorded.
    """

    method: str
    path: str
    body: bytes | None = None
    headers: tuple[tuple[str, str], ...] = ()
    until: bytes = b""
    most: int | None = None
    is_shown: bool = True

    def encode(self, answers: str) -> bytes:
        """Encode the request; `answers` are the bodies of those before it."""
        lines = [f"{self.method} {_fill(self.path.encode(), answers).decode()} HTTP/1.1", "host: llmsim"]
        lines += [f"{name}: {value}" for name, value in self.headers]
        names = {name for name, _ in self.headers}
        body = None if self.body is None else _fill(self.body, answers)
        if body is not None and not names & {"content-length", "transfer-encoding"}:
            lines.append(f"content-length: {len(body)}")
        return "\r\n".join([*lines, "", ""]).encode() + (body or b"")


def _fill(text: bytes, answers: str) -> bytes:
    """Return a path or body with ids of earlier answers in their places."""

    def value(place: re.Match[bytes]) -> bytes:
        name = place[1].decode()
        if name == "id":
            found = re.findall(r'"id":"([^"]+)"', answers)[:1]
        elif name.endswith(("_", "-")):
            found = re.findall(f'"id":"({name}[^"]+)"', answers)
        else:
            found = re.findall(f'"{name}":"([^"]+)"', answers)
        return found[-1].encode() if found else b""

    return re.sub(rb"\{([a-z]+(?:_[a-z]+)*[_-]?)\}", value, text)


class Answer(NamedTuple):
    """One HTTP response as it was received.

    Attributes:
        head: With the empty line behind it; empty if the connection was closed without an answer.
        body: With the framing of its chunks.
        closed: Whether the server closed the connection behind it.
    """

    head: bytes
    body: bytes
    closed: bool

    def record(self, most: int | None = None) -> bytes:
        """Render the answer for a transcript."""
        body, varies = _normalise_numbers(self.body)
        if most is not None:
            body = body[:most] + b" <and so on>"
        head = re.sub(rb"\r\ndate: [^\r]*", b"\r\ndate: <date>", self.head)
        head = re.sub(rb"(\r\n[a-z]+-processing-ms: )\d+", rb"\1<ms>", head)
        head = re.sub(rb"; dur=\d+", b"; dur=<ms>", head)
        head = re.sub(rb"(\r\n[a-z-]+-reset: )[0-9TZ:-]+", rb"\1<time>", head)
        if varies or most is not None:
            head = re.sub(rb"(\r\ncontent-length: )\d+", rb"\1<length>", head)
        return head + body + (b"<closed by the server>" if self.closed else b"")


def _normalise_numbers(text: bytes) -> tuple[bytes, bool]:
    """Replace times and measured figures; return whether any of them has no fixed length."""
    now = time.time()

    def unix(match: re.Match[bytes]) -> bytes:
        return b"<time>" if abs(int(match[0]) - now) < 2 * _DAY else match[0]

    def date(match: re.Match[bytes]) -> bytes:
        named = datetime.fromisoformat(match[0].decode())
        return b"<time>" if abs(named.timestamp() - now) < 40 * _DAY else match[0]

    text, figures = re.subn(rb'"(seconds|number)":[0-9.e-]+', rb'"\1":<\1>', text)
    text, versions = re.subn(rb'"version":"[^"]+"', rb'"version":"<version>"', text)
    text, floats = re.subn(rb'"(at|begun_at|used_at)":\d{10}(\.\d+)?', rb'"\1":<time>', text)
    text = re.sub(rb'"expires_at":\d{10}', rb'"expires_at":<time>', text)
    text = re.sub(rb"\b\d{10}\b", unix, text)
    text = re.sub(rb"\b\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?Z", date, text)
    # Both are made of the id, which is replaced.
    text = re.sub(rb'"(encrypted_content|signature)":"(?!")[^"]+"', rb'"\1":"<sealed>"', text)
    return text, bool(figures or versions or floats)


def normalise(text: bytes) -> bytes:
    """Replace times, measured figures and made up ids."""
    return _normalise_ids(_normalise_numbers(text)[0])


def _normalise_ids(text: bytes) -> bytes:
    """Replace made up ids by numbers in the order in which they appear."""
    seen: dict[bytes, bytes] = {}

    def named(match: re.Match[bytes]) -> bytes:
        return seen.setdefault(match[0], b"<id %d>" % (len(seen) + 1))

    return re.sub(rb"(?<![0-9a-f])[0-9a-f]{29}", named, text)


class _Client:
    """One connection that reads whole answers."""

    def __init__(self, port: int) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port), timeout=_PATIENCE)
        self._received = b""
        self._ended = False

    def send(self, data: bytes) -> None:
        """Send bytes as they are."""
        self._socket.sendall(data)

    def close(self) -> None:
        """Hang up."""
        self._socket.close()

    def _more(self) -> bool:
        try:
            data = self._socket.recv(65_536)
        except ConnectionResetError:
            data = b""
        self._received += data
        self._ended = not data
        return bool(data)

    def _take(self, length: int) -> bytes:
        while len(self._received) < length and self._more():
            pass
        taken, self._received = self._received[:length], self._received[length:]
        return taken

    def _until(self, mark: bytes) -> bytes:
        while mark not in self._received and self._more():
            pass
        before, found, _ = self._received.partition(mark)
        return self._take(len(before) + len(found))

    def read(self, method: str) -> Answer:
        """Read one answer."""
        head = self._until(b"\r\n\r\n")
        body = b""
        if b"\r\ntransfer-encoding: chunked" in head and method != "HEAD":
            size = -1
            while size and not self._ended:
                line = self._until(b"\r\n")
                size = int(line or b"0", 16)
                body += line + self._take(size + 2 if line else 0)
        elif found := re.search(rb"\r\ncontent-length: (\d+)", head):
            length = 0 if method == "HEAD" else int(found[1])
            body = self._take(length)
            assert len(body) == length or self._ended
        if b"\r\nconnection: close" in head.lower():
            assert not self._take(1)
        return Answer(head, body, self._ended)


def record_http(port: int, steps: tuple[Step, ...], *, pipelined: bool = False) -> bytes:
    """Send requests one after the other and record the answers.

    Args:
        port: Of the server.
        steps: What is sent.
        pipelined: Whether all requests are sent before the first answer is read.
    """
    client = _Client(port)
    parts = []
    answers = ""
    try:
        if pipelined:
            client.send(b"".join(step.encode("") for step in steps))
        for step in steps:
            if not pipelined:
                client.send(step.encode(answers))
            answer = client.read(step.method)
            deadline = time.monotonic() + _PATIENCE
            while step.until not in answer.head + answer.body:
                assert time.monotonic() < deadline, f"{step.until!r} does not come: {answer}"
                time.sleep(0.002)
                client.send(step.encode(answers))
                answer = client.read(step.method)
            answers += answer.body.decode("utf-8", "replace")
            if step.is_shown:
                line = f"> {step.method} {step.path[:120]}\n".encode()
                parts.append(line + answer.record(step.most) + b"\n")
            if answer.closed:
                client.close()
                client = _Client(port)
    finally:
        client.close()
    return _normalise_ids(b"".join(parts))


def unchunked(transcript: bytes) -> bytes:
    """Take the framing of chunks out of a transcript."""
    joined = re.sub(rb"\r\n\r\n[0-9a-f]+\r\n", b"\r\n\r\n", transcript)
    return re.sub(rb"\r\n[0-9a-f]+\r\n(\r\n)?", b"", joined)


_LAST = ("response.completed", "response.incomplete", "response.failed", "error")


def record_websocket(
    port: int,
    path: str,
    messages: tuple[dict[str, Any] | str | bytes, ...],
    headers: dict[str, str] | None = None,
    *,
    status: int | None = None,
) -> bytes:
    """Send messages one after the other and record the events of each.

    Args:
        port: Of the server.
        path: Of the endpoint.
        messages: What is sent; a `previous_response_id` of `{id}` is the id of the response before.
        headers: Of the handshake.
        status: Status of the error event that is recorded; the message is sent until it comes.
    """
    parts = []
    url = f"ws://127.0.0.1:{port}{path}"
    with connect(url, additional_headers=headers or {}, max_size=None, compression=None) as opened:
        response = opened.response
        assert response is not None
        parts.append(f"> GET {path}\nHTTP/1.1 {response.status_code} {response.reason_phrase}".encode())
        for name, value in response.headers.raw_items():
            shown = {"sec-websocket-accept": "<accept>", "date": "<date>"}.get(name.lower(), value)
            parts.append(f"{name}: {shown}".encode())
        previous = ""
        try:
            for message in messages:
                events: list[bytes] = []
                for _ in range(_MOST_ATTEMPTS):
                    events = list(_turn(opened, message, previous))
                    last = json.loads(events[-1]) if events else {"type": "close"}
                    if status in (None, last.get("status")):
                        break
                parts.append(b"> " + _encoded(message, "{id}")[:200])
                parts += [b"< " + _normalise_numbers(event)[0] for event in events]
                previous = last.get("response", {}).get("id", "")
                if last["type"] not in _LAST:
                    raise opened.protocol.close_exc
            if not messages:
                parts += [b"< " + event for event in _incoming(opened)]
                raise opened.protocol.close_exc
        except ConnectionClosed as closed:
            close = closed.rcvd
            parts.append(f"< close {close.code} {close.reason}".rstrip().encode() if close else b"< lost")
    return _normalise_ids(b"\n".join(parts) + b"\n")


def _encoded(message: dict[str, Any] | str | bytes, previous: str) -> bytes:
    if isinstance(message, dict):
        return json.dumps(message, separators=(",", ":")).replace("{id}", previous).encode()
    return message.encode() if isinstance(message, str) else message


def _incoming(opened: Any) -> Iterator[bytes]:
    try:
        while True:
            yield opened.recv(timeout=_PATIENCE).encode()
    except ConnectionClosed:
        return


def _turn(opened: Any, message: dict[str, Any] | str | bytes, previous: str) -> Iterator[bytes]:
    """Send a message and read its events, up to the last or the end of the connection."""
    encoded = _encoded(message, previous)
    opened.send(encoded if isinstance(message, bytes) else encoded.decode())
    for event in _incoming(opened):
        yield event
        if json.loads(event)["type"] in _LAST:
            return
