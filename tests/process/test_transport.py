"""What a client may send over HTTP and WebSocket, on real servers with small budgets."""

import gzip
import json
import re
import socket
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest
import zstandard
from support.servers import Server, eventually, serve
from websockets.sync.client import connect

CHAT = "/openai/v1/chat/completions"
BODY = json.dumps(
    {"model": "gpt-4o", "max_tokens": 3, "messages": [{"role": "user", "content": "Hello"}]}
).encode()
STREAM = json.dumps(json.loads(BODY) | {"stream": True, "max_tokens": 100}).encode()
H2C = {"connection": "Upgrade, HTTP2-Settings", "upgrade": "h2c", "http2-settings": "AAEAAEAA"}
WEBSOCKET = {
    "connection": "Upgrade",
    "upgrade": "websocket",
    "sec-websocket-version": "13",
    "sec-websocket-key": "dGhlIHNhbXBsZSBub25jZQ==",
    "sec-websocket-extensions": "permessage-deflate",
}
SMALL = {
    "LLMSIM_SERVER_MAX_BODY_BYTES": "1000000",
    "LLMSIM_BUDGETS_MAX_HEAD_BYTES": "8192",
    "LLMSIM_BUDGETS_MAX_HEAD_FIELDS": "50",
    "LLMSIM_BUDGETS_HEAD_TIMEOUT_SECS": "1",
    "LLMSIM_BUDGETS_BODY_TIMEOUT_SECS": "1",
    "LLMSIM_BUDGETS_MAX_BODIES_BYTES": "2000000",
    "LLMSIM_BUDGETS_MAX_PIPELINED": "8",
    "LLMSIM_BUDGETS_MAX_PINGS_PER_SEC": "20",
}


@pytest.fixture(scope="module", params=["direct", "plain"])
def server(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """One worker that answers at once and whose streams last two seconds; with direct writes and without."""
    directory = tmp_path_factory.mktemp("transport")
    settings = SMALL | {
        "LLMSIM_SERVER_DIRECT_WRITES": str(request.param == "direct").lower(),
        "LLMSIM_LATENCY_TBT_MEAN_MS": "20",
    }
    with serve(directory, "--workers", "1", "--latency", "instant", **settings) as running:
        yield running
        log = running.logged()
    assert "ERROR" not in log, log


def head(method: str, path: str, version: str = "1.1", **headers: Any) -> bytes:
    lines = [f"{method} {path} HTTP/{version}", "host: x"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return "\r\n".join([*lines, "", ""]).encode()


def post(path: str = CHAT, body: bytes = BODY, version: str = "1.1", **headers: Any) -> bytes:
    return head("POST", path, version, content_length=len(body), **headers) + body


def chunked(body: bytes) -> bytes:
    return b"%x\r\n%b\r\n0\r\n\r\n" % (len(body), body)


class Answer:
    """One response.

    Attributes:
        status: Its status.
        headers: By name, in lower case.
        body: Its body, without chunks.
    """

    def __init__(self, status: int, headers: dict[str, str], body: bytes) -> None:
        self.status = status
        self.headers = headers
        self.body = body

    @property
    def json(self) -> Any:
        """The body as JSON."""
        return json.loads(self.body)


class Line:
    """One connection on a raw socket."""

    def __init__(self, server: Server) -> None:
        self._socket = socket.create_connection(("127.0.0.1", server.port), timeout=30)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._file = self._socket.makefile("rb")

    def __enter__(self) -> "Line":
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()
        self._socket.close()

    def send(self, *pieces: bytes) -> "Line":
        """Send pieces; stop where the server has closed the connection."""
        try:
            for piece in pieces:
                self._socket.sendall(piece)
        except ConnectionError:
            pass
        return self

    def read(self) -> Answer:
        """Read one response."""
        status = int(self._file.readline().split()[1])
        headers = {}
        while line := self._file.readline().strip():
            name, _, value = line.decode().partition(": ")
            headers[name.lower()] = value
        if status == 101:
            return Answer(status, headers, b"")
        if "content-length" in headers:
            body = self._file.read(int(headers["content-length"]))
        elif headers.get("transfer-encoding") == "chunked":
            body = b""
            while size := int(self._file.readline(), 16):
                body += self._file.read(size)
                self._file.readline()
            self._file.readline()
        else:
            body = self._file.read()
        return Answer(status, headers, body)

    def rest(self) -> bytes:
        """Read to the end of the connection."""
        try:
            return self._file.read()
        except ConnectionResetError:
            return b""


def ask(server: Server, *pieces: bytes) -> Answer:
    """Send a request that must cost its connection."""
    with Line(server) as line:
        answer = line.send(*pieces).read()
        assert line.rest() == b""
    return answer


LONG = "a" * 9000


@pytest.mark.parametrize(
    "pieces",
    [
        (head("GET", "/openai/v1/models", x=LONG),),
        (head("GET", "/openai/v1/models", x=LONG)[:-4],),
        (b"GET /openai/v1/" + LONG.encode(),),
        (b"GET /openai/v1/models HTTP/1.1\r\n", *[b"x%d: %b\r\n" % (i, b"a" * 900) for i in range(10)]),
        (head("GET", "/openai/v1/models", **{f"x{i}": 1 for i in range(50)}),),
        (b"GET /openai/v1/models HTTP/1.1\r\n" + b"a: b\r\n" * 60,),
        (post(**H2C, x=LONG),),
    ],
    ids=["whole", "no end", "no end of the path", "pieces", "headers", "headers without end", "h2c"],
)
def test_a_large_head_is_refused(server: Server, pieces: tuple[bytes, ...]) -> None:
    """TRAN-1.1, TRAN-1.8: 431 in the envelope of the path's API, without waiting for the end."""
    answer = ask(server, *pieces)

    assert answer.status == 431
    assert answer.json["error"]["type"] == "invalid_request_error"
    assert answer.headers["x-request-id"]
    assert answer.headers["connection"] == "close"


def test_a_large_head_within_the_budget_is_read(server: Server) -> None:
    """TRAN-1.1: The budget is not smaller than it says, also after a large body."""
    large = post(body=BODY.ljust(60_000))
    with Line(server) as line:
        line.send(large + head("GET", "/health", x="a" * 8000)[:-2], b"\r\n")

        assert [line.read().status, line.read().status] == [200, 200]


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("/anthropic/v1/messages", {"type": "error"}),
        ("/v1/messages", {"type": "error"}),
        ("/openresponses/v1/responses", {}),
        ("/health", {}),
    ],
)
def test_each_api_has_its_envelope(server: Server, path: str, kind: dict[str, str]) -> None:
    """TRAN-1.8: Errors of HTTP are in the envelope of the path's API, or plain JSON."""
    answer = ask(server, head("GET", path, x=LONG))

    assert answer.status == 431
    assert "8192 bytes" in answer.json["error"]["message"]
    assert answer.json.items() >= kind.items()


@pytest.mark.parametrize(
    "pieces",
    [
        (b"3\r\nabc\r\n0\r\n", *[b"a: b\r\n" * 20] * 10),
        (b"3\r\nabc\r\n0\r\na: ", *[b"a" * 5000] * 200),
        (b"3;", *[b"a" * 5000] * 200),
    ],
    ids=["trailers", "a long trailer", "a chunk extension"],
)
def test_trailers_are_bounded(server: Server, pieces: tuple[bytes, ...]) -> None:
    """TRAN-1.2: 431 for what is neither head nor body."""
    assert ask(server, head("POST", CHAT, transfer_encoding="chunked"), *pieces).status == 431


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (b"POST /openai/v1/chat/completions HTTP/1.1\r\nhost: x\r\n", 408),
        (head("POST", CHAT, content_length=1000) + b"{", 408),
        (head("POST", "/v1/messages", content_length=1000, anthropic_version="2023-06-01"), 408),
        (head("POST", CHAT, transfer_encoding="chunked") + b"3\r\nabc\r\n", 408),
        (head("POST", CHAT, content_length=1000, **H2C) + b"{", 408),
    ],
    ids=["head", "body", "no body", "chunks", "h2c"],
)
def test_half_open_requests_end(server: Server, sent: bytes, status: int) -> None:
    """TRAN-1.5, TRAN-1.6: What is not complete within the deadline gets 408 and is closed."""
    begun = time.monotonic()
    answer = ask(server, sent)

    assert (answer.status, answer.headers["connection"]) == (status, "close")
    assert "within 1 s" in answer.json["error"]["message"]
    assert 0.9 < time.monotonic() - begun < 20


@pytest.mark.parametrize("is_first", [True, False])
@pytest.mark.parametrize("sent", [b"", b"\r\n"], ids=["nothing", "a blank line"])
def test_silent_connections_end(server: Server, sent: bytes, is_first: bool) -> None:
    """TRAN-1.5: A connection that sends nothing, or blank lines, is closed; between requests keep-alive rules what is silent."""
    with Line(server) as line:
        if not is_first:
            assert line.send(post()).read().status == 200
        line.send(sent or b"\r\n" * (not is_first))

        assert line.rest() == b""


def test_streams_outlive_the_deadlines(server: Server) -> None:
    """TRAN-1.7: A stream of two seconds ends, and the connection takes the next request."""
    with Line(server) as line:
        stream = line.send(post(body=STREAM)).read()
        after = line.send(post()).read()

    assert stream.body.endswith(b"data: [DONE]\n\n")
    assert after.status == 200


@pytest.mark.parametrize(
    "wrong", [b"\x00garbage\r\n\r\n", b"GET /health HTTP/1.1\r\nx: " + LONG.encode(), b"GET /hea"]
)
def test_an_error_follows_the_response_in_progress(server: Server, wrong: bytes) -> None:
    """TRAN-1.9: The stream before it is whole."""
    with Line(server) as line:
        line.send(post(body=STREAM) + wrong)
        stream, error = line.read(), line.read()

        assert line.rest() == b""
    assert stream.body.endswith(b"data: [DONE]\n\n")
    assert error.status in (400, 408, 431)


def test_a_request_in_pieces_is_answered_as_a_whole_one(server: Server) -> None:
    """ARCH-1.8: Neither pieces, chunks, a query nor `expect` change the answer."""
    whole = post()
    with Line(server) as line:
        answers = [
            line.send(*pieces).read()
            for pieces in (
                [whole],
                [whole[:-5], whole[-5:]],
                [post(f"{CHAT}?api-version=1")],
                [head("POST", CHAT, transfer_encoding="chunked") + chunked(BODY)],
                [post(expect="x")],
            )
        ]

    first = answers[0].json
    assert first["usage"] == {**first["usage"], "completion_tokens": 3}
    for answer in answers:
        assert answer.status == 200
        assert answer.json["usage"] == first["usage"]
        assert answer.headers.keys() == answers[0].headers.keys()


def test_pipelined_requests_are_answered_in_order(server: Server) -> None:
    """TRAN-1.4: As many as may wait are answered, one after the other."""
    bodies = [json.dumps(json.loads(BODY) | {"max_tokens": tokens}).encode() for tokens in range(1, 9)]
    with Line(server) as line:
        line.send(b"".join(post(body=body) for body in bodies))
        found = [line.read().json["usage"]["completion_tokens"] for _ in bodies]

    assert found == list(range(1, 9))


def test_too_many_pipelined_requests_close_the_connection(server: Server) -> None:
    """TRAN-1.4: Those that may wait are answered, then comes a 400 and the end; other clients are served."""
    with Line(server) as line:
        received = line.send(post(body=STREAM) * 300).rest()
    statuses = re.findall(rb"HTTP/1\.1 (\d{3})", received)
    assert statuses == [b"200"] * (len(statuses) - 1) + [b"400"]
    assert len(statuses) < 300
    with Line(server) as line:
        assert line.send(post()).read().status == 200
    eventually(lambda: server.stats()["active_requests"] == 0)


def test_bodies_wait_for_room(server: Server) -> None:
    """TRAN-1.3: Eight bodies of 1 MB pass a budget of 2 MB, one after the other."""
    answers: list[int] = []

    def send() -> None:
        with Line(server) as line:
            answers.append(line.send(post(body=BODY.ljust(1_000_000))).read().status)

    threads = [threading.Thread(target=send) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)

    assert answers == [200] * 8


def test_small_bodies_do_not_wait(server: Server) -> None:
    """TRAN-1.3: Beside half-open bodies that fill the budget, small requests are answered; then large ones, too."""
    part = head("POST", CHAT, content_length=1_000_000) + b" " * 950_000
    lines = [Line(server) for _ in range(4)]
    senders = [threading.Thread(target=line.send, args=(part,)) for line in lines]
    for sender in senders:
        sender.start()
    with Line(server) as line:
        small = line.send(post()).read()
    ends = [line.read().status for line in lines]
    with Line(server) as line:
        large = line.send(post(body=BODY.ljust(900_000))).read()
    for sender, line in zip(senders, lines, strict=True):
        sender.join(30)
        line.__exit__()

    assert (small.status, large.status) == (200, 200)
    assert ends == [408] * 4


@pytest.mark.parametrize("encode", [gzip.compress, zstandard.compress], ids=["gzip", "zstd"])
class TestEncodings:
    """Compressed bodies."""

    def send(self, server: Server, encode: Any, data: bytes) -> Answer:
        """Send a body with the name of its encoding."""
        with Line(server) as line:
            name = "gzip" if encode is gzip.compress else "zstd"
            return line.send(post(body=data, content_encoding=name)).read()

    @pytest.mark.parametrize("size", [len(BODY), 65_536, 65_537, 1_000_000])
    def test_they_are_read(self, server: Server, encode: Any, size: int) -> None:
        """TRAN-3.4: Small and large, up to the limit, also in several frames."""
        assert self.send(server, encode, encode(BODY.ljust(size))).status == 200
        half = len(BODY) // 2
        assert self.send(server, encode, encode(BODY[:half]) + encode(BODY[half:])).status == 200

    def test_the_inflated_size_is_limited(self, server: Server, encode: Any) -> None:
        """TRAN-3.4: A bomb gets 413."""
        for size in (1_000_001, 30_000_000):
            assert self.send(server, encode, encode(BODY.ljust(size))).status == 413

    def test_broken_ones_are_refused(self, server: Server, encode: Any) -> None:
        """TRAN-3.4: Truncated, of another kind, damaged, or followed by something else: 400."""
        whole = encode(BODY)
        for data in (
            whole[:-3],
            BODY,
            whole[:10] + b"\xff" * 8 + whole[18:],
            whole + b"x",
            b"",
            encode(b"") * 1_001,
        ):
            assert self.send(server, encode, data).status == 400, data


@pytest.mark.parametrize("offer", [H2C, {"connection": "upgrade", "upgrade": "TLS/1.2"}, WEBSOCKET])
class TestOffers:
    """Offers to change the protocol, with a POST."""

    def test_the_request_is_answered(self, server: Server, offer: dict[str, str]) -> None:
        """TRAN-3.1: In one piece and in two, chunked, several times on a connection."""
        whole = post(**offer)
        in_chunks = head("POST", CHAT, transfer_encoding="chunked", **offer) + chunked(BODY)
        with Line(server) as line:
            for pieces in (
                (whole,),
                (whole[: -len(BODY)], BODY),
                (whole[:100], whole[100:]),
                (in_chunks,),
                (in_chunks[: -len(BODY)], in_chunks[-len(BODY) :]),
                tuple(whole[index : index + 7] for index in range(0, len(whole), 7)),
            ):
                answer = line.send(*pieces).read()
                assert (answer.status, answer.json["usage"]["completion_tokens"]) == (200, 3)
            line.send(whole + in_chunks + post())
            assert [line.read().status for _ in range(3)] == [200] * 3

    def test_what_is_in_a_body_stays_there(self, server: Server, offer: dict[str, str]) -> None:
        """TRAN-3.1: A request within a body is no request."""
        inner = head("GET", "/health")
        with Line(server) as line:
            refused = line.send(post(body=inner, **offer)).read()
            last = line.send(post(connection="close")).read()
            rest = line.rest()
        both = (
            head("POST", CHAT, content_length=3, transfer_encoding="chunked", **offer) + chunked(BODY) + inner
        )

        assert (refused.status, last.status, rest) == (400, 200, b"")
        assert ask(server, both).status == 400

    def test_close_is_obeyed(self, server: Server, offer: dict[str, str]) -> None:
        """TRAN-3.1: The other options of the connection stay."""
        answer = ask(server, post(**(offer | {"connection": f"{offer['connection']}, close"})))

        assert (answer.status, answer.headers["connection"]) == (200, "close")


def test_an_offer_with_a_get_is_ignored(server: Server) -> None:
    """TRAN-3.1: A request without a body."""
    with Line(server) as line:
        assert line.send(head("GET", "/openai/v1/models", **H2C)).read().json["object"] == "list"
        assert line.send(head("GET", "/v1/models")).read().json["object"] == "list"


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (b"GET /health\r\n\r\n", 400),
        (head("GET", "/health", "0.9"), 400),
        (head("GET", "/health", "2.0"), 400),
        (head("GET", "/health", "7.3"), 400),
        (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 400),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(range(100)), 400),
        (b"\x00\xff\r\n\r\n", 400),
        (b"CONNECT example.com:443 HTTP/1.1\r\nhost: x\r\n\r\n", 405),
        (b"GET /\xff\xfe HTTP/1.1\r\nhost: x\r\n\r\n", 400),
        (head("POST", CHAT, content_length="x"), 400),
        (head("POST", CHAT, transfer_encoding="chunked") + b"zz\r\n", 400),
        (head("POST", CHAT, transfer_encoding="chunked") + b"3\r\nabc\r\nzz\r\n", 400),
    ],
)
def test_other_forms_of_http_are_refused(server: Server, sent: bytes, status: int) -> None:
    """TRAN-3.3: HTTP/0.9, HTTP/2, TLS and garbage get JSON, not a traceback."""
    answer = ask(server, sent)

    assert answer.status == status
    assert answer.json["error"]["message"]


def test_a_client_of_http_1_0_gets_a_plain_body(server: Server) -> None:
    """TRAN-3.5: No chunks, then a close, for streams, responses, errors and llmsim's own paths."""
    stream = ask(server, post(body=STREAM, version="1.0", connection="keep-alive"))
    whole = ask(server, post(version="1.0"))
    wrong = ask(server, post(body=b"{", version="1.0"))
    health = ask(server, head("GET", "/health", "1.0"))

    assert [answer.status for answer in (stream, whole, wrong, health)] == [200, 200, 400, 200]
    assert all("transfer-encoding" not in answer.headers for answer in (stream, whole, wrong, health))
    assert stream.body.startswith(b"data: {")
    assert stream.body.endswith(b"data: [DONE]\n\n")


def frame(opcode: int, data: bytes, *, final: bool = True) -> bytes:
    size = len(data)
    length = bytes([0x80 | size]) if size < 126 else b"\xff" + size.to_bytes(8, "big")
    return bytes([final << 7 | opcode]) + length + bytes(4) + data


class TestWebSocket:
    """Connections over WebSocket."""

    def open(self, server: Server, path: str = "/openai/v1/responses") -> Line:
        """Open a connection."""
        line = Line(server)
        answer = line.send(head("GET", path, **WEBSOCKET)).read()
        assert answer.status == 101
        # TRAN-2.1
        assert "sec-websocket-extensions" not in answer.headers
        return line

    def test_compression_is_not_agreed_to(self, server: Server) -> None:
        """TRAN-2.1: A client that offers it, as all do, goes on without."""
        with connect(f"ws://127.0.0.1:{server.port}/v1/responses") as client:
            client.send(json.dumps({"type": "response.create", "model": "gpt-4o", "input": "Hello"}))
            assert json.loads(client.recv(30))["type"] == "response.created"
            assert client.response is not None
            assert "sec-websocket-extensions" not in client.response.headers

    @pytest.mark.parametrize(
        "path", ["/nope", "/health", "/openai/v1/models", "/v1/chat/completions", "/anthropic/v1/messages"]
    )
    def test_a_path_without_one_is_404(self, server: Server, path: str) -> None:
        """TRAN-2.6: In the envelope of the path's API."""
        answer = ask(server, head("GET", path, **WEBSOCKET))

        assert answer.status == 404
        assert path.removeprefix("/openai").removeprefix("/anthropic") in answer.json["error"]["message"]

    @pytest.mark.parametrize(
        ("sent", "code"),
        [
            (frame(1, b"\xff\xfe"), 1007),
            (frame(1, b"\xe2\x82", final=False) + frame(0, b""), 1007),
            (frame(9, b"x") * 100, 1008),
            (b"\xff\xff\xff\xff" * 4, 1002),
            (frame(1, b"{", final=False), 1008),
            (b"\x81", 1008),
            (b"\x81\xff" + (2**40).to_bytes(8, "big") + bytes(4), 1009),
        ],
        ids=[
            "not UTF-8",
            "not UTF-8 in fragments",
            "pings",
            "garbage",
            "half a message",
            "half a frame",
            "too large",
        ],
    )
    def test_what_is_wrong_closes_the_connection(self, server: Server, sent: bytes, code: int) -> None:
        """TRAN-2.3, TRAN-2.4, TRAN-2.5: With the code that says why."""
        with self.open(server) as line:
            end = line.send(sent).rest()

        assert b"\x03" + bytes([code & 0xFF]) in end
        eventually(lambda: server.stats()["websocket_connections"] == 0)

    @pytest.mark.parametrize("path", ["/openai/v1/responses", "/nope"])
    @pytest.mark.parametrize("session", ["a", ""], ids=["a session", "no name of a session"])
    @pytest.mark.parametrize(
        "sent", [frame(8, b""), frame(8, b"\x03\xe8"), b"\xff\xff\xff\xff", frame(1, b"\xff")]
    )
    def test_a_client_that_ends_the_handshake_leaves_nothing(
        self, server: Server, path: str, session: str, sent: bytes
    ) -> None:
        """TRAN-2.7: Whether it closes, or sends garbage, with the handshake or right behind it."""
        handshake = head("GET", path, **WEBSOCKET, x_llmsim_session=session)
        for pieces in ((handshake + sent,), (handshake, sent)):
            for _ in range(20):
                with Line(server) as line:
                    line.send(*pieces).rest()

        eventually(lambda: server.stats()["websocket_connections"] == 0)

    def test_some_pings_are_answered(self, server: Server) -> None:
        """TRAN-2.3: Up to the limit."""
        with self.open(server) as line:
            line.send(frame(9, b"x") * 10 + frame(8, b""))

            assert line.rest() == b"\x8a\x01x" * 10 + b"\x88\x00"

    def test_waiting_messages_are_bounded(self, server: Server) -> None:
        """TRAN-2.2: A client that sends on during a turn is made to wait, and has every message answered in the end."""
        first = json.dumps({"type": "response.create", "model": "gpt-4o", "input": "Hello"}).encode()
        refused = b'{"type": "' + b"x" * 200_000 + b'"}'
        with self.open(server) as line:
            sender = threading.Thread(target=line.send, args=(frame(1, first), *[frame(1, refused)] * 100))
            sender.start()
            sender.join(0.5)
            waits = sender.is_alive()
            found = b""
            while found.count(b'"type":"error"') < 100:
                part = line._file.read1()
                assert part, found[-200:]
                found += part
            sender.join(30)

        assert waits
        assert b"response.completed" in found
