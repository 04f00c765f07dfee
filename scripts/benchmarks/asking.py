"""What is asked: the request's bytes, what marks a token in the reply, and a sample of a reply for the trivial server.

Decisions:
* The same request goes to llmsim and to whatever it is compared with.
"""

import http.client
import itertools
import json
import urllib.parse

import msgspec

from .problems import BenchError

CHAT = "/chat/completions"
_MARKS = {CHAT: '"content":', "/messages": '"text":', "/responses": '"delta":'}
_LIMITS = {CHAT: "max_completion_tokens", "/messages": "max_tokens", "/responses": "max_output_tokens"}
_ANSWERS = {CHAT: "choices", "/messages": "content", "/responses": "output"}
_PATIENCE = 30.0

# What any of the APIs wants to see.
FIELDS = {
    "content-type": "application/json",
    "authorization": "Bearer bench",
    "x-api-key": "bench",
    "anthropic-version": "2023-06-01",
}

ENDPOINTS = tuple(_MARKS)
"""How the paths of endpoints end that can be measured."""


class Endpoint(msgspec.Struct, frozen=True):
    """Somewhere to send requests to.

    Attributes:
        name: What the report calls it.
        host: Name or address.
        port: TCP port.
        path: Of the endpoint.
    """

    name: str
    host: str
    port: int
    path: str

    @property
    def kind(self) -> str:
        """Which of the APIs it speaks, by the end of its path."""
        return next(kind for kind in _MARKS if self.path.endswith(kind))

    @property
    def mark(self) -> str:
        """What comes before the text in a token's event."""
        return _MARKS[self.kind]


def endpoint(name: str, url: str) -> Endpoint:
    """Read a URL: of an endpoint, or the base URL of an OpenAI-compatible API.

    Raises:
        BenchError: It is no http URL.
    """
    try:
        parts = urllib.parse.urlsplit(url if "://" in url else f"http://{url}")
        port = parts.port or 80
    except ValueError as error:
        raise BenchError(f"{name}: {url}: {error}") from None
    if parts.scheme != "http" or not parts.hostname:
        raise BenchError(f"{name}: {url}: an address like http://127.0.0.1:4010/v1 is needed")
    path = parts.path.rstrip("/")
    if not path.endswith(ENDPOINTS):
        path += CHAT
    return Endpoint(name, parts.hostname, port, path)


def body(to: Endpoint, *, model: str, stream: bool, tokens: int) -> bytes:
    """Write the request's JSON."""
    said = "Say something about the weather of tomorrow."
    asked: dict[str, object] = {"model": model, "stream": stream, _LIMITS[to.kind]: tokens}
    if to.kind == "/responses":
        asked |= {"input": said, "store": False}
    else:
        asked["messages"] = [{"role": "user", "content": said}]
    return json.dumps(asked, separators=(",", ":")).encode()


def request(to: Endpoint, data: bytes) -> bytes:
    """Write the whole HTTP request."""
    fields = {"host": f"{to.host}:{to.port}", **FIELDS, "content-length": str(len(data))}
    lines = [f"POST {to.path} HTTP/1.1", *(f"{name}: {value}" for name, value in fields.items())]
    return "".join(f"{line}\r\n" for line in [*lines, ""]).encode() + data


def sample(to: Endpoint, data: bytes) -> bytes:
    """Ask once, and give the reply's body.

    Raises:
        BenchError: Nobody answers, or not with 200.
    """
    connection = http.client.HTTPConnection(to.host, to.port, timeout=_PATIENCE)
    try:
        connection.request("POST", to.path, data, FIELDS)
        answer = connection.getresponse()
        found = answer.read()
    except (OSError, http.client.HTTPException) as error:
        raise BenchError(f"{to.name}: no answer from {to.host}:{to.port}{to.path}: {error}") from None
    finally:
        connection.close()
    if answer.status != 200:
        raise BenchError(f"{to.name}: {to.path} answers {answer.status}: {_shown(found)}")
    return found


def look_at(to: Endpoint, reply: bytes) -> None:
    """Look whether a whole reply is one of its API.

    Raises:
        BenchError: It is not.
    """
    try:
        found = json.loads(reply)
    except ValueError:
        found = None
    field = _ANSWERS[to.kind]
    if not isinstance(found, dict) or field not in found:
        raise BenchError(f"{to.name}: {to.path} answers 200, but not JSON with {field!r}: {_shown(reply)}")


def look_at_stream(to: Endpoint, reply: bytes) -> None:
    """Look whether there are tokens in a streamed reply.

    Raises:
        BenchError: There are none.
    """
    if not tokens_in(reply, to.mark):
        raise BenchError(
            f"{to.name}: {to.path} answers 200, but streams no event with text in {to.mark[:-1]}: {_shown(reply)}"
        )


def _shown(reply: bytes) -> str:
    return reply[:300].decode(errors="replace") or "nothing"


def tokens_in(reply: bytes, mark: str) -> list[int]:
    """Give the places of the events of a streamed reply that are tokens."""
    found = []
    for place, event in enumerate(reply.split(b"\n\n")):
        rest = event.partition(mark.encode())[2].lstrip(b" ")
        if rest[:1] == b'"' and rest[1:2] != b'"':
            found.append(place)
    return found


def frames(reply: bytes, mark: str, *, paced: bool) -> bytes:
    """Write the file from which the trivial server repeats a reply.

    Args:
        reply: A sample's body; events if it begins like one.
        mark: What marks a token.
        paced: Whether each token is a frame of its own; else the reply is one.
    """
    if not reply.startswith((b"data:", b"event:")):
        head = f"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {len(reply)}\r\n\r\n"
        parts = [head.encode() + reply]
    else:
        events = [event + b"\n\n" for event in reply.split(b"\n\n") if event]
        starts = tokens_in(reply, mark)[1:] if paced else []
        bounds = [0, *starts, len(events)]
        bodies = [b"".join(events[start:stop]) for start, stop in itertools.pairwise(bounds)]
        parts = [b"%x\r\n%s\r\n" % (len(data), data) for data in bodies]
        parts[0] = (
            b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
            + parts[0]
        )
        parts[-1] += b"0\r\n\r\n"
    return b" ".join(b"%d" % len(part) for part in parts) + b"\n" + b"".join(parts)
