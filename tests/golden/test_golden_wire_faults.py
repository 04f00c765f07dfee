"""Transcripts of responses with a fault on the wire, write by write, as they differ from those without.

`wire_faults/<provider>_<endpoint>_<channel>.txt` first shows the response without a fault, one numbered event a line, then for each fault a
line for each write: `=3` is event 3, `=3..9` is events 3 to 9, each in a write of its own, `3..9 in one write` is what it says, and `3[:57]`
and `3[57:]` are pieces. All else is written out. `pytest --update-golden` writes them anew.
"""

import contextlib
import json
import re
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from support.gemini_dialect import routed
from support.recording import normalise
from support.servers import serve
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

pytestmark = pytest.mark.process

TRANSCRIPTS = Path(__file__).parent / "wire_faults"
HELLO = [{"role": "user", "content": "Hello"}]
APIS: dict[str, tuple[str, dict[str, Any]]] = {
    "openai_chat": ("/openai/v1/chat/completions", {"model": "gpt-4o", "messages": HELLO}),
    "openai_completions": ("/openai/v1/completions", {"model": "gpt-3.5-turbo-instruct", "prompt": "Hello"}),
    "openai_embeddings": (
        "/openai/v1/embeddings",
        {"model": "text-embedding-3-small", "input": "Hello", "dimensions": 4},
    ),
    "openai_responses": ("/openai/v1/responses", {"model": "gpt-4o", "input": "Hello"}),
    "openresponses_responses": ("/openresponses/v1/responses", {"model": "gpt-4o", "input": "Hello"}),
    "anthropic_messages": (
        "/anthropic/v1/messages",
        {"model": "claude-sonnet-4-5", "max_tokens": 50, "messages": HELLO},
    ),
    "gemini_generate_content": (
        "/gemini/v1beta/models/{model}:generateContent",
        {"model": "gpt-4o", "messages": HELLO},
    ),
}
KINDS = (
    "reset",
    "close",
    "half_close",
    "disconnect",
    "stall",
    "slow_drip",
    "error",
    "malformed_json",
    "duplicate_event",
    "reordered_events",
    "missing_event",
    "missing_terminal",
    "truncated_arguments",
    "wrong_content_type",
    "split_utf8",
    "split_newlines",
    "joined_events",
    "crlf",
    "comments",
    "byte_order_mark",
    "huge_event",
)
PLACELESS = {
    "byte_order_mark",
    "comments",
    "crlf",
    "missing_terminal",
    "split_newlines",
    "split_utf8",
    "wrong_content_type",
}
"""Faults that concern the whole response."""

_SILENCE = 1.0


def script(kind: str | None) -> dict[str, Any]:
    turn: dict[str, Any] = {
        "type": "mixed",
        "text": "Grüße 🦜",
        "calls": [{"name": "go", "arguments": {"to": "you"}}],
        "usage": {"prompt_tokens": 9},
    }
    if kind is not None:
        turn["stream_fault"] = {"kind": kind, "at": 0.2} | ({"for_ms": 1} if kind == "stall" else {})
    return {"turns": [turn | {"repeat": 100}]}


def request(method: str, path: str, body: dict[str, Any], **headers: str) -> bytes:
    data = json.dumps(body).encode()
    lines = [f"{method} {path} HTTP/1.1", "host: llmsim", f"content-length: {len(data)}"]
    lines += ["content-type: application/json", "anthropic-version: 2023-06-01"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return "\r\n".join([*lines, "", ""]).encode() + data


def exchange(port: int, sent: bytes) -> tuple[bytes, str]:
    """Send a request; return all that comes, and how it ends."""
    with socket.create_connection(("127.0.0.1", port), timeout=20) as client:
        client.sendall(sent)
        received = b""
        while not is_whole(received):
            try:
                data = client.recv(65_536)
            except ConnectionResetError:
                return received, "<reset>"
            if not data:
                return received, "<closed>"
            received += data
        return received, "<end>"


def is_whole(received: bytes) -> bool:
    head, end, body = received.partition(b"\r\n\r\n")
    if length := re.search(rb"\r\ncontent-length: (\d+)", head):
        return len(body) == int(length[1])
    return bool(end) and body.endswith(b"0\r\n\r\n")


def writes(received: bytes) -> Iterator[bytes]:
    """Yield the status with the content type, then each chunk, or the whole body."""
    head, _, body = received.partition(b"\r\n\r\n")
    if head:
        kind = re.search(rb"\r\ncontent-type: ([^\r]*)", head)
        yield head[9:12] + b" " + (kind[1] if kind else b"")
    if b"transfer-encoding: chunked" not in head:
        yield from [body] if body else []
        return
    while body:
        size, _, rest = body.partition(b"\r\n")
        length = int(size, 16)
        if length:
            yield rest[:length]
        body = rest[length + 2 :]


def lines(found: list[bytes], ending: str) -> list[str]:
    """Return each write as a line, with all that differs from run to run replaced, and then how it ends."""
    normal = normalise(b"\x00".join(found)).split(b"\x00")
    return [*[repr(re.sub(rb" {1000,}", b"<1 MiB of spaces>", data))[2:-1] for data in normal], ending]


def events(found: list[bytes]) -> list[bytes]:
    """Cut the writes of a response without a fault into its events."""
    return [event for data in found for event in re.findall(rb".+?(?:\n\n|\r\n\r\n|\Z)", data, re.DOTALL)]


def over_http(port: int, kind: str | None, api: str, *, stream: bool) -> list[str]:
    path, body = APIS[api]
    name = f"{kind}-{api}-{stream}"
    path, query, data = routed(path, json.dumps(body | {"stream": stream}).encode())
    path = f"{path}?{query}" if query else path
    # Embeddings play no scripts.
    controls = {"x_llmsim_script": "played", "x_llmsim_session": name}
    if api == "openai_embeddings":
        controls = (
            {} if kind is None else {"x_llmsim_fault": kind if kind in PLACELESS else f"{kind};share=0.2"}
        )
    received, ending = exchange(port, request("POST", path, json.loads(data), **controls))
    found = list(writes(received))
    if kind == "stall":
        # What is due before the stall and behind it leaves together on a slow machine.
        found = [*found[:1], b"".join(found[1:])]
    return lines(events(found) if kind is None else found, ending)


def over_websocket(port: int, kind: str | None, api: str) -> list[str]:
    path, body = APIS[api]
    named = {"x-llmsim-script": "played", "x-llmsim-session": f"{kind}-{api}"}
    found: list[bytes] = []
    url = f"ws://127.0.0.1:{port}{path}"
    with connect(url, additional_headers=named, max_size=None, compression=None) as opened:
        opened.send(json.dumps({"type": "response.create"} | body))
        try:
            while not found or not re.search(
                rb'^\{"type":"(response\.completed|response\.failed)"', found[-1]
            ):
                found.append(opened.recv(timeout=_SILENCE).encode())
        except TimeoutError:
            return lines(found, "<silence>")
        except ConnectionClosed as closed:
            return lines(found, f"<close {closed.rcvd.code if closed.rcvd else None}>")
    return lines(found, "<end>")


def record(port: int) -> dict[str, dict[str | None, list[str]]]:
    """Record every endpoint, channel and fault."""
    found: dict[str, dict[str | None, list[str]]] = {}
    for kind in (None, *KINDS):
        put = request("PUT", "/llmsim/scripts/played", script(kind))
        assert exchange(port, put)[0].startswith(b"HTTP/1.1 20"), kind
        for api in APIS:
            for stream in (True, False) if api != "openai_embeddings" else (False,):
                file = f"{api}_{'streamed' if stream else 'whole'}"
                found.setdefault(file, {})[kind] = over_http(port, kind, api, stream=stream)
        websocket = found.setdefault("openai_responses_websocket", {})
        websocket[kind] = over_websocket(port, kind, "openai_responses")
    return found


def described(found: list[str], plain: list[str]) -> list[str]:
    """Describe writes by the events of the response without a fault: only what is none of them is written out."""
    shown: list[str] = []
    run: range | None = None
    for line in found:
        number = plain.index(line) if line in plain[:-1] else None
        if number is not None and run is not None and run.stop == number:
            run = range(run.start, number + 1)
            shown[-1] = f"={run.start}..{number}"
            continue
        run = None if number is None else range(number, number + 1)
        text = _by_events(line, plain) if number is None else f"={number}"
        if number is None and len(found) > len(plain) * 3 and len(line) < 70 and line is not found[-1]:
            text = "<writes of 16 bytes>"
            if shown[-1] == text:
                continue
        shown.append(text)
    return shown


def _by_events(line: str, plain: list[str]) -> str:
    for number, event in enumerate(plain[1:-1], 1):
        if line and event.startswith(line):
            return f"{number}[:{len(line)}]"
        if len(line) > 1 and event.endswith(line) and line not in ("\\n\\n", "\\r\\n\\r\\n"):
            return f"{number}[{len(event) - len(line)}:]"
        joined = event
        for end in range(number + 1, len(plain) - 1):
            joined += plain[end]
            if joined == line:
                return f"{number}..{end} in one write"
    return line


def sections(recorded: dict[str | None, list[str]]) -> dict[str, list[str]]:
    """Return a transcript by fault: each write of the response without one has a number."""
    plain = recorded[None]
    found = {"without a fault": [*[f"{number} {line}" for number, line in enumerate(plain[:-1])], plain[-1]]}
    for kind in KINDS:
        found[kind] = described(recorded[kind], plain) if recorded[kind] != plain else ["no effect"]
    return found


def write(found: dict[str, list[str]]) -> str:
    return "\n".join("\n".join([f"# {name}", *shown, ""]) for name, shown in found.items())


def read(path: Path) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for part in path.read_text(encoding="ascii").split("\n# "):
        name, *shown = part.removeprefix("# ").rstrip("\n").split("\n")
        found[name] = shown
    return found


@contextlib.contextmanager
def serving(directory: Path, *, direct: bool) -> Iterator[int]:
    settings = ("--workers", "1", "--latency", "instant", "--seed", "7")
    variables = {"LLMSIM_ADMIN_HOSTS": "llmsim", "LLMSIM_SERVER_DIRECT_WRITES": str(direct).lower()}
    with serve(directory, *settings, **variables) as server:
        yield server.port


def test_writes_are_those_of_the_transcripts(tmp_path: Path, update_golden: bool) -> None:
    """FAULT-4.5: Each fault on each endpoint, streamed, whole and over WebSocket, write by write."""
    with serving(tmp_path, direct=True) as port:
        found = {file: sections(recorded) for file, recorded in record(port).items()}

    if update_golden:
        TRANSCRIPTS.mkdir(exist_ok=True)
        for file, shown in found.items():
            (TRANSCRIPTS / f"{file}.txt").write_text(write(shown), encoding="ascii")
    assert found == {path.stem: read(path) for path in TRANSCRIPTS.glob("*.txt")}


def test_plain_asgi_closes_what_it_cannot_reset(tmp_path: Path) -> None:
    """FAULT-2.3: Through plain ASGI a reset and a half-close are a close; all other faults are the same, write by write."""
    with serving(tmp_path, direct=False) as port:
        found = {file: sections(recorded) for file, recorded in record(port).items()}

    for file, shown in found.items():
        expected = read(TRANSCRIPTS / f"{file}.txt")
        if "websocket" not in file:
            expected |= {"reset": expected["close"], "half_close": expected["close"]}
        if file.endswith("_whole"):
            # A server that has not begun to answer cannot hang up.
            expected["disconnect"] = shown["disconnect"]
        assert shown == expected, file
