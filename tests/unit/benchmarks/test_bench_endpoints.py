"""Requests, checks of replies, frames of the trivial server, and the output of wrk."""

import json
import re

import pytest
from benchmarks.clients import parse_wrk
from benchmarks.endpoints import (
    BenchError,
    Endpoint,
    build_body,
    build_frames,
    build_request,
    check_reply,
    check_stream,
    encode_frames,
    find_tokens,
    parse_endpoint,
)

STREAM = b"".join(
    b'data: {"choices":[{"delta":' + delta + b"}]}\n\n"
    for delta in (b'{"role":"assistant","content":""}', b'{"content":"a"}', b'{"content": "b"}', b"{}")
)

WRK = """\
Running 2s test @ http://127.0.0.1:8080/openai/v1/chat/completions
  1 threads and 32 connections
  Thread Stats   Avg      Stdev     Max   +/- Stdev
    Latency     3.90ms    1.10ms  14.50ms   90.25%
    Req/Sec     8.23k   512.00     9.10k    70.00%
  Latency Distribution
     50%  812.00us
     75%    4.10ms
     90%    5.00ms
     99%    1.25s
  16400 requests in 2.05s, 12.11MB read
  Socket errors: connect 1, read 2, write 3, timeout 4
  Non-2xx or 3xx responses: 400
Requests/sec:   8000.00
Transfer/sec:      5.91MB
"""


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("http://127.0.0.1:4010/v1", ("127.0.0.1", 4010, "/v1/chat/completions")),
        ("http://peer/v1/", ("peer", 80, "/v1/chat/completions")),
        ("localhost:9000", ("localhost", 9000, "/chat/completions")),
        ("http://peer:1/anthropic/v1/messages", ("peer", 1, "/anthropic/v1/messages")),
    ],
)
def test_url_names_an_endpoint(url: str, expected: tuple[str, int, str]) -> None:
    """BENCH-3.4: A base URL means its chat completions, the URL of an endpoint that endpoint."""
    found = parse_endpoint("peer", url)

    assert (found.host, found.port, found.path) == expected


@pytest.mark.parametrize("url", ["https://peer/v1", "http://", "http://peer:port/v1"])
def test_url_that_cannot_be_measured_is_refused(url: str) -> None:
    """BENCH-3.5: A URL that is invalid or needs TLS is named."""
    with pytest.raises(BenchError, match=re.escape(f"aimock: {url}")):
        parse_endpoint("aimock", url)


@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/messages", "/v1/responses"])
def test_request_is_complete(path: str) -> None:
    """BENCH-1.2: The bytes are an HTTP request whose body has the length of its header."""
    to = Endpoint("peer", "host", 80, path)
    data = build_body(to, model="m", stream=True, tokens=7)
    head, _, body = build_request(to, data).partition(b"\r\n\r\n")

    assert head.startswith(f"POST {path} HTTP/1.1\r\nhost: host:80\r\n".encode())
    assert f"content-length: {len(body)}".encode() in head
    assert 7 in json.loads(body).values()


def test_paced_frames_have_a_token_each() -> None:
    """BENCH-2.2: The trivial server's frames are the reply's bytes, each with one token and the events before the next."""
    frames = build_frames(STREAM, '"content":', paced=True)
    chunks = b"".join(frames).partition(b"\r\n\r\n")[2]

    assert [len(find_tokens(frame, '"content":')) for frame in frames] == [1, 1]
    assert b"".join(re.split(rb"\r?\n?[0-9a-f]+\r\n", chunks)).strip() == STREAM.strip()


def test_reply_at_once_is_one_frame() -> None:
    """BENCH-2.2: An unpaced reply, streamed or not, is one frame."""
    assert len(build_frames(STREAM, '"content":', paced=False)) == 1
    [frame] = build_frames(b'{"id": 1}', '"content":', paced=False)
    assert frame.endswith(b'content-length: 9\r\n\r\n{"id": 1}')
    assert encode_frames([b"ab", b"c"]) == b"2 1\nabc"


def test_wrk_output_is_parsed() -> None:
    """BENCH-1.3: Failures in wrk's output are not requests, and all its units are parsed."""
    seen = parse_wrk(WRK, cpu=1.5)

    assert (seen.requests, seen.seconds, seen.cpu) == (16_000, 2.05, 1.5)
    assert (seen.p50_ms, seen.p99_ms) == (pytest.approx(0.812), 1250.0)
    assert seen.errors == {"connect": 1, "read": 2, "write": 3, "timeout": 4, "status": 400}


def test_failure_of_wrk_is_reported() -> None:
    """BENCH-3.5: The message has wrk's output if that has no figures."""
    with pytest.raises(BenchError, match="unable to connect"):
        parse_wrk("unable to connect to 127.0.0.1:1 Connection refused", cpu=0)


@pytest.mark.parametrize(
    ("path", "good"),
    [
        ("/v1/chat/completions", b'{"choices":[]}'),
        ("/v1/messages", b'{"content":[]}'),
        ("/v1/responses", b'{"output":[]}'),
    ],
)
def test_peer_with_another_api_is_named(path: str, good: bytes) -> None:
    """BENCH-3.4, BENCH-3.5: A peer whose reply is not of its API is named, before anything is measured."""
    peer = parse_endpoint("aimock", f"http://peer:1{path}")

    check_reply(peer, good)
    for reply in (b"<html>", b"[]", b"{}", b""):
        with pytest.raises(BenchError, match=r"aimock: .* returns status 200, but not JSON with"):
            check_reply(peer, reply)


def test_peer_that_does_not_stream_is_named() -> None:
    """BENCH-3.4, BENCH-3.5: A peer whose stream has no tokens is named."""
    peer = parse_endpoint("aimock", "http://peer:1/v1")

    check_stream(peer, STREAM)
    for reply in (b'{"choices":[]}', b"data: [DONE]\n\n", b""):
        with pytest.raises(
            BenchError, match=r"aimock: .* returns status 200, but no event with text in \"content\""
        ):
            check_stream(peer, reply)
