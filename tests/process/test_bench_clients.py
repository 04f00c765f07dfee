"""The client of the benchmark, against servers of known lateness and with known errors."""

import asyncio
import random
import subprocess
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec
import pytest
from benchmarks import clients, servers
from benchmarks.clients import Client, Load, NoCompilerError, compile_client, lower_bound
from benchmarks.endpoints import BenchError, Endpoint, build_frames
from benchmarks.machine import available_cores

TTFT, GAP, TOKENS = 0.1, 0.02, 10

HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
EVENT = b'data: {"choices":[{"delta":{"content": "a"}}]}\n\n'
ROLE = b'data: {"choices":[{"delta":{"role":"assistant","content":""}}]}\n\n'
LAST = b"data: [DONE]\n\n"

Answer = Callable[[asyncio.StreamWriter, float], Awaitable[None]]
"""Responds to one request that arrived at an instant of the loop's clock."""


@pytest.fixture
def client(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Client:
    """The client, compiled once for all tests."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.getbasetemp() / "cache"))
    try:
        return compile_client()
    except NoCompilerError as error:
        pytest.skip(str(error))


def chunk(data: bytes) -> bytes:
    return b"%x\r\n%s\r\n" % (len(data), data)


async def sleep_until(instant: float) -> None:
    await asyncio.sleep(instant - asyncio.get_running_loop().time())


@asynccontextmanager
async def serving(answer: Answer) -> AsyncIterator[Endpoint]:
    """Respond to requests, one after the other on each connection, until the block ends."""

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                arrived = asyncio.get_running_loop().time()
                await reader.readexactly(int(head.partition(b"content-length: ")[2].split(b"\r\n")[0]))
                await answer(writer, arrived)
        except (asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError):
            writer.transport.abort()

    server = await asyncio.start_server(connected, "127.0.0.1", 0)
    try:
        yield Endpoint("mock", "127.0.0.1", server.sockets[0].getsockname()[1], "/v1/chat/completions")
    finally:
        server.close()
        await asyncio.sleep(0.05)  # the client has disconnected; its connections end


async def outcome(client: Client, answer: Answer, **fields: object) -> clients.Outcome:
    """Measure a server of this test with the client."""
    async with serving(answer) as to:
        load = Load(
            to=to, body=b"{}", connections=5, seconds=1.5, warmup=0.1, tokens=TOKENS, pace=(TTFT, GAP)
        )
        return await asyncio.to_thread(client.run, msgspec.structs.replace(load, **fields), available_cores())


def paced(*, late: float = 0.0, split: bool = False) -> Answer:
    """Return a response that streams tokens at their instants, or later by a fixed time."""

    async def answer(writer: asyncio.StreamWriter, arrived: float) -> None:
        writer.write(HEAD)
        for k in range(TOKENS):
            await sleep_until(arrived + TTFT + k * GAP + late)
            data = chunk((b"" if k else ROLE) + EVENT)
            if split:  # within a chunk, and within an event
                writer.write(data[:1])
                await asyncio.sleep(0)
                writer.write(data[1:20])
                await asyncio.sleep(0.001)
                data = data[20:]
            writer.write(data)
        writer.write(chunk(LAST) + b"0\r\n\r\n")

    return answer


async def test_known_lateness_is_found(client: Client) -> None:
    """BENCH-1.4: If a server is 200 ms late with each token, the measured lateness and drift are 200 ms."""
    seen = await outcome(client, paced(late=0.2))
    p50, drift = seen.lateness.quantile_ms(0.5), seen.drift.mean_ms()

    assert seen.failed == seen.early == 0
    assert seen.tokens == seen.lateness.count - seen.missing >= 5 * TOKENS
    # A busy machine may add to it.
    assert p50 is not None
    assert drift is not None
    assert 198 <= p50 < 400
    assert 198 <= drift < 400


async def test_early_tokens_are_counted(client: Client) -> None:
    """BENCH-1.4: If a server sends tokens before they are due, they count as early and not as late."""
    seen = await outcome(client, paced(late=-0.09), seconds=1)

    assert seen.early > seen.tokens / 2
    assert seen.lateness.quantile_ms(0.5) == 0


async def test_replies_in_pieces_are_put_together(client: Client) -> None:
    """BENCH-1.3: Wherever the network splits a reply, its tokens are counted once each; a role is not a token."""
    seen = await outcome(client, paced(split=True))

    assert seen.failed == 0
    assert seen.requests >= 5
    assert seen.ttft.count >= 5


async def test_missing_tokens_count_as_late(client: Client) -> None:
    """BENCH-1.5: A server that stops in the middle of a reply is measured as late, not punctual."""

    async def answer(writer: asyncio.StreamWriter, arrived: float) -> None:
        writer.write(HEAD + chunk(ROLE + 3 * EVENT))
        await asyncio.sleep(60)

    seen = await outcome(client, answer)
    p99 = seen.lateness.quantile_ms(0.99)

    assert seen.requests == 0
    assert seen.missing == 5 * (TOKENS - 3)
    assert p99 is not None
    assert p99 > 1000


@pytest.mark.parametrize(
    ("reply", "kind"),
    [
        (b"HTTP/1.1 500 Oops\r\ncontent-length: 2\r\n\r\nno", "status"),
        (HEAD + chunk(ROLE + 3 * EVENT + LAST) + b"0\r\n\r\n", "length"),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}", "length"),
    ],
)
async def test_wrong_replies_are_errors(client: Client, reply: bytes, kind: str) -> None:
    """BENCH-1.3: Another status, and another number of tokens than requested, are errors, by kind."""

    async def answer(writer: asyncio.StreamWriter, arrived: float) -> None:
        writer.write(reply)
        await asyncio.sleep(0.01)

    seen = await outcome(client, answer, seconds=0.5, pace=None)

    assert seen.requests == 0
    assert seen.errors[kind] == seen.failed > 0
    assert seen.error_share > 0.5


async def test_broken_connections_are_errors(client: Client) -> None:
    """BENCH-1.3: A reply that ends too early is an error, and the client continues with a new connection."""

    async def answer(writer: asyncio.StreamWriter, arrived: float) -> None:
        writer.write(HEAD + chunk(EVENT))
        await writer.drain()
        raise ConnectionError

    seen = await outcome(client, answer, seconds=0.5)

    assert seen.requests == 0
    assert seen.errors["broken"] > 5


def test_refused_connections_are_errors(client: Client) -> None:
    """BENCH-1.3: Connections that are refused count as errors."""
    to = Endpoint("closed", "127.0.0.1", servers.free_port(), "/v1/chat/completions")
    seen = client.run(Load(to=to, body=b"{}", connections=2, seconds=0.3), available_cores())

    assert seen.errors["connect"] > 0
    assert seen.error_share == 1


async def test_replies_of_known_length_are_requests(client: Client) -> None:
    """BENCH-1.3: An unstreamed reply counts when its body is complete, and its time ends there."""

    async def answer(writer: asyncio.StreamWriter, arrived: float) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\n{")
        await asyncio.sleep(0.05)
        writer.write(b"  }")

    seen = await outcome(client, answer, seconds=0.5, tokens=0, pace=None)

    assert seen.failed == 0
    assert seen.requests >= 5
    assert seen.p50_ms is not None
    assert seen.p50_ms > 49


@pytest.mark.parametrize("pace", [None, (TTFT, GAP)])
def test_trivial_server_repeats_a_reply(client: Client, pace: tuple[float, float] | None) -> None:
    """BENCH-2.2: The replies of the trivial server, at once or paced, are correct for the client."""
    like = Endpoint("llmsim", "127.0.0.1", 1, "/v1/chat/completions")
    frames = build_frames(ROLE + TOKENS * EVENT + LAST, like.mark, paced=pace is not None)
    with servers.run_trivial(client, like, frames, cores=available_cores(), pace=pace) as server:
        load = Load(to=server.endpoint, body=b"{}", connections=3, seconds=0.7, tokens=TOKENS, pace=pace)
        seen = client.run(load, available_cores())

    assert seen.failed == 0
    assert seen.requests >= 3
    assert seen.ttft.count >= 3


def test_bucket_contains_its_value(client: Client) -> None:
    """BENCH-1.6: A value that the client counts lies between the bound of its bucket and the next."""
    rng = random.Random(7)
    edges = [2**power + step for power in range(32) for step in (-1, 0, 1)]
    values = [*edges, *(int(10 ** rng.uniform(0, 9.5)) for _ in range(1000))]
    command = (str(client.program), "bucket", *map(str, values))
    output = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    buckets = [int(line) for line in output.split()]

    assert [
        value
        for value, bucket in zip(values, buckets, strict=True)
        if not lower_bound(bucket) <= value < lower_bound(bucket + 1)
    ] == []


def test_compiler_errors_are_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """BENCH-3.5: The message has the output of a compiler that fails, and no partial client is left."""
    cc = tmp_path / "cc"
    cc.write_text("#!/bin/sh\necho no such header >&2\nexit 1\n")
    cc.chmod(0o755)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")

    with pytest.raises(BenchError, match="no such header"):
        compile_client()
    assert list(clients.cache_directory().iterdir()) == []
