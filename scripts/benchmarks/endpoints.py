"""Endpoints that are measured: their requests, checks of their replies, and samples for the trivial server.

Decisions:
* llmsim and the servers it is compared with get the same requests.
"""

import http.client
import itertools
import json
import urllib.parse
from collections.abc import Mapping
from types import MappingProxyType

import msgspec

CHAT = "/chat/completions"
_MARKS = {CHAT: '"content":', "/messages": '"text":', "/responses": '"delta":'}
_LIMITS = {CHAT: "max_completion_tokens", "/messages": "max_tokens", "/responses": "max_output_tokens"}
_FIELDS = {CHAT: "choices", "/messages": "content", "/responses": "output"}
_PROMPT = "Say something about the weather of tomorrow."
_TIMEOUT = 30.0

# The headers that any of the APIs requires.
HEADERS = {
    "content-type": "application/json",
    "authorization": "Bearer bench",
    "x-api-key": "bench",
    "anthropic-version": "2023-06-01",
}

PATHS = tuple(_MARKS)
"""Ends of the paths of endpoints that can be measured."""


class BenchError(Exception):
    """Something is missing or does not run; the message names it, and what would help."""

    exit_code = 1


class Endpoint(msgspec.Struct, frozen=True):
    """An endpoint that gets requests.

    Attributes:
        name: Name of the server in the report.
        host: Host name or address.
        port: TCP port.
        path: Path of the endpoint.
    """

    name: str
    host: str
    port: int
    path: str

    @property
    def kind(self) -> str:
        """The end of the path, which names the API."""
        return next(kind for kind in PATHS if self.path.endswith(kind))

    @property
    def mark(self) -> str:
        """The bytes before the text in a token's event."""
        return _MARKS[self.kind]


def parse_endpoint(name: str, url: str) -> Endpoint:
    """Parse a URL: of an endpoint, or the base URL of an OpenAI-compatible API.

    Raises:
        BenchError: It is not an http URL.
    """
    try:
        parts = urllib.parse.urlsplit(url if "://" in url else f"http://{url}")
        port = parts.port or 80
    except ValueError as error:
        raise BenchError(f"{name}: {url}: {error}") from None
    if parts.scheme != "http" or not parts.hostname:
        raise BenchError(f"{name}: {url}: not a URL like http://127.0.0.1:4010/v1")
    path = parts.path.rstrip("/")
    if not path.endswith(PATHS):
        path += CHAT
    return Endpoint(name, parts.hostname, port, path)


def build_body(to: Endpoint, *, model: str, stream: bool, tokens: int) -> bytes:
    """Build the JSON of a request."""
    fields: dict[str, object] = {"model": model, "stream": stream, _LIMITS[to.kind]: tokens}
    if to.kind == "/responses":
        fields |= {"input": _PROMPT, "store": False}
    else:
        fields["messages"] = [{"role": "user", "content": _PROMPT}]
    return json.dumps(fields, separators=(",", ":")).encode()


def build_request(to: Endpoint, body: bytes, more: Mapping[str, str] = MappingProxyType({})) -> bytes:
    """Build the bytes of the HTTP request; `more` are further headers."""
    headers = {"host": f"{to.host}:{to.port}", **HEADERS, **more, "content-length": str(len(body))}
    lines = [f"POST {to.path} HTTP/1.1", *(f"{name}: {value}" for name, value in headers.items())]
    return "".join(f"{line}\r\n" for line in [*lines, ""]).encode() + body


def build_page_request(to: Endpoint) -> bytes:
    """Build the bytes of the HTTP request for a page."""
    return f"GET {to.path} HTTP/1.1\r\nhost: {to.host}:{to.port}\r\n\r\n".encode()


def fetch_reply(to: Endpoint, body: bytes) -> bytes:
    """Send one request, and return the body of the reply.

    Raises:
        BenchError: There is no reply, or its status is not 200.
    """
    connection = http.client.HTTPConnection(to.host, to.port, timeout=_TIMEOUT)
    try:
        connection.request("POST", to.path, body, HEADERS)
        response = connection.getresponse()
        reply = response.read()
    except (OSError, http.client.HTTPException) as error:
        raise BenchError(f"{to.name}: no reply from {to.host}:{to.port}{to.path}: {error}") from None
    finally:
        connection.close()
    if response.status != 200:
        raise BenchError(f"{to.name}: {to.path} returns status {response.status}: {_excerpt(reply)}")
    return reply


def check_reply(to: Endpoint, reply: bytes) -> None:
    """Check that a reply is one of its API.

    Raises:
        BenchError: It is not.
    """
    try:
        found = json.loads(reply)
    except ValueError:
        found = None
    field = _FIELDS[to.kind]
    if not isinstance(found, dict) or field not in found:
        raise BenchError(
            f"{to.name}: {to.path} returns status 200, but not JSON with {field!r}: {_excerpt(reply)}"
        )


def check_stream(to: Endpoint, reply: bytes) -> None:
    """Check that a streamed reply has tokens.

    Raises:
        BenchError: It has none.
    """
    if not find_tokens(reply, to.mark):
        raise BenchError(
            f"{to.name}: {to.path} returns status 200, but no event with text in {to.mark[:-1]}: {_excerpt(reply)}"
        )


def _excerpt(reply: bytes) -> str:
    return reply[:300].decode(errors="replace") or "nothing"


def find_tokens(reply: bytes, mark: str) -> list[int]:
    """Return the positions of the events of a streamed reply that are tokens."""
    found = []
    for place, event in enumerate(reply.split(b"\n\n")):
        rest = event.partition(mark.encode())[2].lstrip(b" ")
        if rest[:1] == b'"' and rest[1:2] != b'"':
            found.append(place)
    return found


def build_frames(reply: bytes, mark: str, *, paced: bool) -> list[bytes]:
    """Build the frames from which the trivial server repeats a reply.

    Args:
        reply: Body of a sample reply; events if it begins like one.
        mark: The bytes that mark a token.
        paced: Whether each token is a frame of its own; else the reply is one frame.
    """
    if not reply.startswith((b"data:", b"event:")):
        head = f"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {len(reply)}\r\n\r\n"
        return [head.encode() + reply]
    events = [event + b"\n\n" for event in reply.split(b"\n\n") if event]
    starts = find_tokens(reply, mark)[1:] if paced else []
    bounds = [0, *starts, len(events)]
    bodies = [b"".join(events[start:stop]) for start, stop in itertools.pairwise(bounds)]
    frames = [b"%x\r\n%s\r\n" % (len(body), body) for body in bodies]
    head = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
    frames[0] = head.encode() + frames[0]
    frames[-1] += b"0\r\n\r\n"
    return frames


def encode_frames(frames: list[bytes]) -> bytes:
    """Return the file that the trivial server reads: a line with the lengths of the frames, then their bytes."""
    return b" ".join(b"%d" % len(frame) for frame in frames) + b"\n" + b"".join(frames)
