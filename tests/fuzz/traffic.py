"""Hostile traffic for a running server: each case is a function of a seed.

A case says what must come of it: how many answers are due if the traffic is sound HTTP, none if it is not. Unsound traffic may
be refused or cut off, but not with a 5xx.
"""

import base64
import json
import random
import struct
import zlib
from collections.abc import Callable
from typing import Any

import msgspec

CHAT = "/openai/v1/chat/completions"
MODEL = "/openai/v1/models/gpt-4o"
SOCKETS = ("/openai/v1/responses", "/openresponses/v1/responses")

BODIES: dict[str, dict[str, Any]] = {
    CHAT: {"model": "gpt-4o", "max_completion_tokens": 9, "messages": [{"role": "user", "content": "hi"}]},
    "/openai/v1/responses": {"model": "gpt-4o", "max_output_tokens": 16, "input": "hi"},
    "/openresponses/v1/responses": {"model": "gpt-4o", "max_output_tokens": 16, "input": "hi"},
    "/openai/v1/embeddings": {"model": "text-embedding-3-small", "input": "hi"},
    "/openai/v1/responses/input_tokens": {"model": "gpt-4o", "input": "hi"},
    "/openai/v1/responses/compact": {"model": "gpt-4o", "input": "hi"},
    "/anthropic/v1/messages": {
        "model": "claude-haiku-4-5",
        "max_tokens": 9,
        "messages": [{"role": "user", "content": "hi"}],
    },
    "/anthropic/v1/messages/count_tokens": {
        "model": "claude-haiku-4-5",
        "messages": [{"role": "user", "content": "hi"}],
    },
    "/gemini/v1beta/models/gemini-2.5-flash:generateContent": {"contents": [{"parts": [{"text": "Hello"}]}]},
    "/v1beta/models/gemini-2.5-flash:streamGenerateContent": {"contents": {"parts": {"text": "Hello"}}},
    "/gemini/v1/models/gemini-embedding-001:batchEmbedContents": {
        "requests": [{"content": {"parts": [{"text": "Hello"}]}}]
    },
}
"""A sound body for each path that takes one."""

NAMES = (
    *(
        "x" * 201,
        "x" * 9_000,
        "..%2f..%2fetc%2fpasswd",
        "%00",
        "%0d%0ax:%201",
        "%ff%fe",
        "%ed%a0%80",
        ".",
        "%2e%2e",
        "a//b",
    ),
    *(
        "%F0%9F%98%80",
        "%",
        "%zz",
        "{name}",
        "null",
        "-1",
        "9" * 30,
        "%D9%A1",
        "%C2%B2",
        "1_0",
        "",
        "+1",
        "a;b",
        "%27%20OR%201=1",
    ),
)

ROUTES = (
    *(
        "/openai/v1/models/{}",
        CHAT + "/{}",
        CHAT + "/{}/messages",
        CHAT + "?limit={}",
        CHAT + "?after={}",
        CHAT + "?metadata[{}]=x",
    ),
    *(
        "/openai/v1/responses/{}",
        "/openai/v1/responses/{}/cancel",
        "/openai/v1/responses/{}/input_items?limit={}",
    ),
    *(
        "/openai/v1/responses/x?stream=true&starting_after={}",
        "/openresponses/v1/responses/{}",
        "/anthropic/v1/models/{}",
    ),
    *(
        "/anthropic/v1/models?limit={}&after_id={}",
        "/anthropic/v1/messages/batches/{}",
        "/anthropic/v1/messages/batches?limit={}",
    ),
    *(
        "/anthropic/v1/messages/batches/{}/results",
        "/llmsim/scripts/{}",
        "/llmsim/sessions/{}",
        "/llmsim/requests?session={}",
    ),
    *(
        "/llmsim/requests?limit={}",
        "/llmsim/requests?after={}",
        "/llmsim/sessions?limit={}",
        "/llmsim/{}",
        "/openai/{}",
        "/{}",
    ),
)

METHODS = (
    "GET",
    "GET",
    "GET",
    "POST",
    "PUT",
    "DELETE",
    "PATCH",
    "OPTIONS",
    "HEAD",
    "TRACE",
    "PURGE",
    "SEARCH",
    "M-SEARCH",
)

FIELD_NAMES = (
    *(
        "x-llmsim-session",
        "x-llmsim-script",
        "authorization",
        "x-api-key",
        "anthropic-version",
        "anthropic-beta",
        "host",
        "origin",
    ),
    *(
        "accept",
        "user-agent",
        "cookie",
        "content-type",
        "content-encoding",
        "idempotency-key",
        "openai-beta",
        "range",
        "x-forwarded-for",
    ),
)

FIELD_VALUES = (
    *(
        b"",
        b" ",
        b"x" * 201,
        b"x" * 7_000,
        b"a\tb",
        b"../../etc/passwd",
        b"\xff\xfe",
        b"\xc3",
        "\u65e5\u672c".encode(),
        b"%00",
    ),
    *(
        b"a,b",
        b"gzip",
        b"br, gzip",
        b"global",
        b"default",
        "\U0001f4a5".encode(),
        b"=?utf-8?B?YQ==?=",
        b"text/plain; charset=utf-32",
    ),
)


class Case(msgspec.Struct, frozen=True, kw_only=True):
    """What is sent over one connection.

    Attributes:
        kind: What is hostile about it.
        parts: Bytes, with a pause after each part.
        answers: Number of answers that are due; 0 if the traffic need not be answered.
    """

    kind: str
    parts: tuple[bytes, ...]
    answers: int = 0


def request(
    method: str, path: str, body: bytes | None = None, *, version: str = "1.1", **fields: bytes | str | None
) -> bytes:
    """Build a request; an underscore in a field's name stands for a hyphen, and None leaves the field out."""
    given: dict[str, bytes | str | None] = {"host": "llmsim", "anthropic-version": "2023-06-01"}
    if body is not None:
        given |= {"content-type": "application/json", "content-length": str(len(body))}
    given |= {name.replace("_", "-"): value for name, value in fields.items()}
    lines = [f"{method} {path} HTTP/{version}".encode()]
    for name, value in given.items():
        if value is not None:
            lines.append(name.encode() + b": " + (value if isinstance(value, bytes) else value.encode()))
    return b"\r\n".join(lines) + b"\r\n\r\n" + (body or b"")


def chunked(body: bytes, size: int) -> bytes:
    """Encode a body in chunks."""
    parts = (body[at : at + size] for at in range(0, len(body), size))
    return b"".join(b"%x\r\n%b\r\n" % (len(part), part) for part in parts) + b"0\r\n\r\n"


def _body(rng: random.Random, **more: Any) -> tuple[str, bytes]:
    path = rng.choice(list(BODIES))
    return path, json.dumps(BODIES[path] | more).encode()


CLOSE = {"connection": "close"}


def _route(rng: random.Random) -> Case:
    method, name = rng.choice(METHODS), rng.choice(NAMES)
    path = rng.choice(ROUTES).replace("{}", name)
    body = b"{}" if method in ("POST", "PUT", "PATCH") else None
    return Case(kind=f"{method} {path[:80]}", parts=(request(method, path, body, **CLOSE),), answers=1)


def _fields(rng: random.Random) -> Case:
    path, body = _body(rng)
    fields: dict[str, Any] = {
        name: rng.choice(FIELD_VALUES) for name in rng.sample(FIELD_NAMES, rng.randint(1, 4))
    }
    return Case(
        kind=f"fields {sorted(fields)} {path}",
        parts=(request("POST", path, body, **CLOSE, **fields),),
        answers=1,
    )


def _bytes(rng: random.Random) -> Case:
    path, body = _body(rng)
    at = rng.randrange(len(body))
    damaged = rng.choice(
        (
            *(
                body[:at],
                body[:at] + bytes([rng.randrange(256)]) + body[at + 1 :],
                b"\xef\xbb\xbf" + body,
                body + b"x",
                body * 2,
            ),
            *(
                body.decode().encode("utf-16"),
                body.decode().encode("utf-32"),
                b"",
                b" ",
                b"null",
                b"[]",
                b"1",
                b'"',
                b"\x00" * 99,
            ),
            *(b"[" * 100_000, b'{"a":' * 100_000, b"-", b'{"model":1e999}', b"9" * 5_000, b"\xff" * 2_000),
            b'{"model":"gpt-4o","x":' + b"[" * 900 + b"]" * 900 + b"," + body[1:],
        )
    )
    sent = request("POST", path, damaged, **CLOSE)
    if rng.random() < 0.3:
        sent = request(
            "POST", path, None, content_type="application/json", transfer_encoding="chunked", **CLOSE
        )
        sent += chunked(damaged, rng.choice((1, 7, 999)))
    return Case(kind=f"bytes {path}", parts=(sent,), answers=1)


def _sound(rng: random.Random) -> Case:
    path, body = _body(rng, **({"stream": True} if rng.random() < 0.4 else {}))
    whole = request("POST", path, body, **CLOSE)
    get = request("GET", MODEL)
    cut = rng.randrange(1, len(whole))
    count = rng.choice((1, 3, 20))
    kept = request("POST", path, body)
    pieces = request(
        "POST", path, None, content_type="application/json", transfer_encoding="chunked", **CLOSE
    )
    return rng.choice(
        (
            Case(kind="two pieces", parts=(whole[:cut], whole[cut:]), answers=1),
            Case(kind="pipelined", parts=(get * count + whole,), answers=count + 1),
            Case(kind="pipelined posts", parts=(kept * min(count, 3) + whole,), answers=min(count, 3) + 1),
            Case(kind="chunks", parts=(pieces + chunked(body, rng.choice((1, 10, 999))),), answers=1),
            Case(
                kind="chunk extension",
                parts=(pieces + b"%x;a=b\r\n%b\r\n0\r\nx: y\r\n\r\n" % (len(body), body),),
                answers=1,
            ),
            Case(kind="HTTP/1.0", parts=(request("POST", path, body, version="1.0"),), answers=1),
            Case(
                kind="expect",
                parts=(
                    request(
                        "POST", path, None, content_length=str(len(body)), expect="100-continue", **CLOSE
                    ),
                    body,
                ),
                answers=1,
            ),
            Case(kind="body of a GET", parts=(request("GET", MODEL, b"{}", **CLOSE),), answers=1),
        )
    )


def _http(rng: random.Random) -> Case:
    path, body = _body(rng)
    whole = request("POST", path, body)
    at = rng.randrange(len(whole))
    size = len(body)
    choices: tuple[tuple[str, bytes], ...] = (
        ("request line", rng.choice((b"GET\r\n\r\n", b"/ GET HTTP/1.1\r\n\r\n", b"GET / HTTP/9.9\r\n\r\n", b"GET / HTTP/0.9\r\n\r\n", b"\x16\x03\x01\x02\x00\x01", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", b"OPTIONS * HTTP/1.1\r\nhost: x\r\n\r\n", b"CONNECT x:1 HTTP/1.1\r\nhost: x\r\n\r\n", b"\r\n" * 50, b"GET http://x/ HTTP/1.1\r\n\r\n"))),
        ("long path", request("GET", "/" + "a" * rng.choice((9_000, 70_000, 300_000)))),
        ("large field", request("GET", "/health", x=b"a" * rng.choice((9_000, 70_000, 1_000_000)))),
        ("many fields", request("GET", "/health", **{f"x{number}": b"a" for number in range(rng.choice((150, 250, 9_000)))})),
        ("two lengths", request("POST", path, body, content_length=f"3\r\ncontent-length: {size}")),
        ("length", request("POST", path, body, content_length=rng.choice(("-1", "x", "1e3", "9" * 30, "+5", "0x10", "5, 5", "", str(size + 9), str(size - 9))))),
        ("length and chunks", request("POST", path, b"0\r\n\r\nGET /llmsim/stats HTTP/1.1\r\nhost: x\r\n\r\n", content_length="5", transfer_encoding="chunked")),
        ("chunks", request("POST", path, None, transfer_encoding="chunked") + rng.choice((b"zz\r\nabc\r\n", b"-1\r\n", b"f" * 20 + b"\r\nabc", b"5\r\nabc\r\n0\r\n\r\n", b"5;" + b"x" * 90_000 + b"\r\nabcde\r\n0\r\n\r\n", b"3\nabc\n0\n\n", b"\r\n\r\n"))),
        ("coding", request("POST", path, b"0\r\n\r\n", content_length=None, transfer_encoding=rng.choice(("gzip, chunked", "xchunked", "chunked, chunked", "identity", "\x0bchunked")))),
        ("field syntax", rng.choice((b"GET /health HTTP/1.1\r\nhost: x\r\n y\r\n\r\n", b"GET /health HTTP/1.1\r\nhost : x\r\n\r\n", b"GET /health HTTP/1.1\r\n: x\r\n\r\n", b"GET /health HTTP/1.1\r\nhost: a\x00b\r\n\r\n", b"GET /hea\x00lth HTTP/1.1\r\nhost: x\r\n\r\n"))),
        ("host", request("GET", "/anthropic/v1/models", host=rng.choice((None, "", "a b", "[::1", "x" * 7_000, "x:99999999", "http://x")))),
        ("upgrade", request("GET", rng.choice(("/health", MODEL, path)), connection="upgrade", upgrade=rng.choice(("websocket", "h2c", "x", "")))),
        ("half", whole[: at + 1]),
        ("flipped", whole[:at] + bytes([rng.randrange(256)]) + whole[at + 1 :]),
        ("tail", whole + rng.choice((b"G", b"\x00", b"\r\n\r\n", b"POST"))),
        ("line feeds", whole.replace(b"\r\n", b"\n")),
        ("noise", rng.randbytes(rng.randrange(1, 500))),
        ("path", request("GET", rng.choice(("/%c0%ae%c0%ae/", "//health", "/./health", "/openai/../llmsim/stats", "/health;x", "*", "", "/health?" + "a&" * 9_000)))),
    )  # fmt: skip
    kind, sent = rng.choice(choices)
    return Case(kind=f"HTTP {kind}", parts=(sent,))


def frame(
    code: int,
    data: bytes,
    *,
    final: bool = True,
    reserved: int = 0,
    masked: bool = True,
    length: int | None = None,
) -> bytes:
    """Build a WebSocket frame of a client; the mask is zero."""
    size = len(data) if length is None else length
    mask = 0x80 if masked else 0
    if size < 126:
        head = bytes([mask | size])
    else:
        head = (
            bytes([mask | 126]) + struct.pack("!H", size)
            if size < 65_536
            else bytes([mask | 127]) + struct.pack("!Q", size)
        )
    return bytes([final << 7 | reserved << 4 | code]) + head + (bytes(4) if masked else b"") + data


def _deflated(data: bytes) -> bytes:
    packer = zlib.compressobj(wbits=-15)
    return packer.compress(data) + packer.flush(zlib.Z_SYNC_FLUSH)[:-4]


def _websocket(rng: random.Random) -> Case:
    event = {"type": "response.create", "model": "gpt-4o", "input": "hi", "max_output_tokens": 16}
    text = json.dumps(event).encode()
    at = rng.randrange(len(text))
    kinds: tuple[tuple[str, bytes], ...] = (
        ("event", frame(1, text)),
        ("damaged event", frame(1, text[:at] + rng.choice((b"[", b"\xff", b"9" * 99, b"\\ud800", b"")) + text[at + 1 :])),
        ("wrong event", frame(1, rng.choice((b"", b"null", b"[]", b'{"type":"x"}', b'{"type":"response.create"}', b'{"type":"response.cancel"}', b"[" * 50_000, b'{"type":"response.create","response":' + b"[" * 900 + b"]" * 900 + b"}", json.dumps({**event, "generate": False}).encode(), json.dumps({**event, "previous_response_id": "resp_x"}).encode())))),
        ("binary", frame(2, bytes(50))),
        ("pings", frame(9, b"x" * 125) * rng.choice((1, 50, 500))),
        ("long ping", frame(9, b"x" * 126)),
        ("not UTF-8", frame(1, b"\xff\xfe")),
        ("unmasked", frame(1, text, masked=False)),
        ("unknown code", frame(rng.choice((3, 7, 11, 15)), b"x")),
        ("reserved bits", frame(1, b"x", reserved=rng.choice((1, 2, 4)))),
        ("endless", frame(1, b"", length=2**62)),
        ("close", frame(8, rng.choice((b"", b"x", b"\x03\xe8", b"\x27\x0f", b"\x03\xed", b"\x03\xe8\xff")))),
        ("fragments", frame(1, text[:at], final=False) + frame(0, text[at:])),
        ("stray fragment", frame(0, b"x")),
        ("deflated", frame(1, _deflated(b" " * 100_000 + text), reserved=4)),
    )  # fmt: skip
    chosen = [rng.choice(kinds) for _ in range(rng.randint(1, 6))]
    fields: dict[str, Any] = {
        "sec_websocket_version": "13",
        "sec_websocket_key": base64.b64encode(bytes(16)).decode(),
    }
    if rng.random() < 0.3:
        fields["sec_websocket_extensions"] = rng.choice(
            ("permessage-deflate", "permessage-deflate; server_max_window_bits=99", "x")
        )
    if rng.random() < 0.2:
        fields[rng.choice(("sec_websocket_version", "sec_websocket_key", "origin", "x_llmsim_session"))] = (
            rng.choice(("", "x", b"\x80", "x" * 300))
        )
    path = rng.choice((*SOCKETS, *SOCKETS, CHAT, "/health", "/nothing", "/openai/nothing"))
    opened = request("GET", path, connection="Upgrade", upgrade="websocket", **fields)
    parts = (opened, *(sent for _, sent in chosen))
    if rng.random() < 0.3:
        # What comes with the handshake, or right behind it, meets a connection that is not accepted yet.
        cut = rng.choice((0, len(opened)))
        whole = b"".join(parts)
        parts = (whole[:cut], whole[cut:]) if cut else (whole,)
    return Case(kind=f"WebSocket {path} {[kind for kind, _ in chosen]}", parts=parts)


KINDS: tuple[Callable[[random.Random], Case], ...] = (
    _route,
    _fields,
    _bytes,
    _sound,
    _http,
    _http,
    _websocket,
    _websocket,
)


def draw_case(seed: int, number: int) -> Case:
    """Return a case; the same for the same seed and number."""
    rng = random.Random(f"{seed}/{number}")
    return KINDS[number % len(KINDS)](rng)
