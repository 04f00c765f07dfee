"""The Redis server as each process reaches it: deadlines, pauses, recovery, and what is logged."""

import asyncio
import logging
import shutil
import subprocess
import time
from collections.abc import AsyncIterator
from contextlib import contextmanager
from pathlib import Path

import msgspec
import pytest
import uvloop
from redis.exceptions import ResponseError
from support.fakes import FakeClock
from support.redis_server import ClientMaker, RedisServer, run_redis_server
from support.servers import free_port

from llmsim.config import StateSettings
from llmsim.errors import ConfigError, StoreError
from llmsim.state.redis.client import RedisClient
from llmsim.state.redis.pushes import Pushes
from llmsim.state.redis.script import Script


@pytest.fixture
async def client(own_redis_server: RedisServer) -> AsyncIterator[RedisClient]:
    """A client of a server that may be stopped."""
    client = RedisClient(own_redis_server.settings(timeout_ms=300))
    yield client
    await client.close()


async def _recovers(client: RedisClient) -> None:
    async with asyncio.timeout(30):
        while True:
            try:
                return await client.run("PING")
            except StoreError:
                await asyncio.sleep(0.02)


async def test_a_script_is_atomic_and_goes_without_its_text(new_client: ClientMaker) -> None:
    """MACH-2.2: A script that the server does not know is sent, and only then."""
    client = new_client(clock=FakeClock(5.5))
    script = Script("return {KEYS[1], ARGV[2], string.format('%.17g', now()), redis.call('INCR', KEYS[1])}")
    key = client.key("a", "\ud800")
    await client.run("SCRIPT", "FLUSH")

    assert await script.run(client, [key], "x") == [key, b"x", b"5.5", 1]
    assert await script.run(client, [key], b"\xff") == [key, b"\xff", b"5.5", 2]
    client.clock = None
    assert float((await script.run(client, [key], ""))[2]) > 1e9


async def test_operations_share_a_bounded_number_of_connections(
    redis_server: RedisServer, new_client: ClientMaker
) -> None:
    """MACH-2.1: A few operations at once share a connection; many take more, never more than are allowed."""
    client = new_client(redis_server.settings(max_connections=3))
    key = client.key("n")
    assert await asyncio.gather(*(client.run("INCR", key) for _ in range(9))) == list(range(1, 10))
    assert len(client._pipelines) == 1
    numbers = await asyncio.gather(*(client.run("INCR", key) for _ in range(500)))

    assert sorted(numbers) == list(range(10, 510))
    assert 1 < len(client._pipelines) <= 3


async def test_the_reply_to_an_operation_that_was_given_up_is_nobody_elses(
    own_redis_server: RedisServer, client: RedisClient
) -> None:
    """MACH-2.2: Operations that are under way on the same connection get their own replies, in a reply's pieces too."""
    large = bytes(range(256)) * 4000
    await client.run("SET", client.key("large"), large)
    own_redis_server.pause()
    replies = [asyncio.create_task(client.run("ECHO", f"{number}")) for number in range(20)]
    replies.insert(10, asyncio.create_task(client.run("GET", client.key("large"))))
    await asyncio.sleep(0)
    for given_up in replies[::3]:
        given_up.cancel()
    await asyncio.sleep(0)
    own_redis_server.resume()
    found = await asyncio.gather(*replies, return_exceptions=True)

    expected = [b"%d" % number for number in range(20)]
    expected.insert(10, large)
    for number, reply in enumerate(found):
        assert isinstance(reply, asyncio.CancelledError) if number % 3 == 0 else reply == expected[number]
    assert len(client._pipelines) == 1


async def test_a_server_that_stalls_costs_one_deadline(
    own_redis_server: RedisServer, client: RedisClient, caplog: pytest.LogCaptureFixture
) -> None:
    """MACH-4.1: An operation fails at the deadline, later ones at once; when the server goes on they work again."""
    await client.run("PING")
    own_redis_server.pause()
    loop = asyncio.get_running_loop()
    begun = loop.time()
    with pytest.raises(StoreError, match="no answer within 300 ms"):
        await client.run("PING")
    first = loop.time()
    for _ in range(20):
        await asyncio.sleep(0.02)
        with pytest.raises(StoreError, match="no answer within 300 ms"):
            await client.run("PING")
    later = loop.time()
    own_redis_server.resume()

    assert first - begun >= 0.3
    assert later - first < 20 * 0.3
    await _recovers(client)
    assert [record.levelno for record in caplog.records] == [logging.ERROR]


def test_a_reply_that_waits_to_be_read_is_in_time(redis_server: RedisServer) -> None:
    """MACH-4.1: An event loop that was held up longer than the deadline takes no operation for one that failed."""

    async def use() -> None:
        client = RedisClient(redis_server.settings(timeout_ms=50))
        await client.run("PING")
        replies = [asyncio.create_task(client.run("PING")) for _ in range(3)]
        # They are sent, and the timer is late.
        for _ in range(2):
            await asyncio.sleep(0)
        time.sleep(0.1)  # noqa: ASYNC251 - the loop is held up
        assert await asyncio.gather(*replies) == [b"PONG"] * 3
        await client.close()

    uvloop.run(use())


async def test_what_was_given_up_is_not_done_later(
    own_redis_server: RedisServer, client: RedisClient
) -> None:
    """MACH-4.6: A server that stalled does not do what it finds waiting; when its clock has changed, one operation is refused."""
    script = Script("return redis.call('INCR', KEYS[1])")
    assert await script.run(client, [client.key("n")]) == 1
    own_redis_server.pause()
    with pytest.raises(StoreError, match="no answer within 300 ms"):
        await asyncio.gather(*(script.run(client, [client.key("n")]) for _ in range(9)))
    # The clocks are compared to within a round trip.
    await asyncio.sleep(0.2)
    own_redis_server.resume()
    await _recovers(client)

    assert await script.run(client, [client.key("n")]) == 2
    assert client._offset is not None
    client._offset -= 60
    with pytest.raises(StoreError, match="LATE"):
        await script.run(client, [client.key("n")])
    assert await script.run(client, [client.key("n")]) == 3
    await client.renew()
    assert client._offset is not None


async def test_a_server_that_was_restarted_is_used_again(
    own_redis_server: RedisServer, client: RedisClient
) -> None:
    """MACH-4.2: A connection that the server has closed costs no operation; one that is gone is refused with the reason."""
    script = Script("return redis.call('INCR', KEYS[1])")
    assert await script.run(client, [client.key("n")]) == 1
    own_redis_server.kill()
    (connection,) = client._pipelines
    async with asyncio.timeout(30):
        await connection.ended
    own_redis_server.start()
    assert await script.run(client, [client.key("n")]) == 1
    own_redis_server.kill()

    with pytest.raises(StoreError, match=r"unix:///.*redis\.sock: the shared state cannot be used: "):
        await client.run("PING")
    own_redis_server.start()
    await _recovers(client)


async def test_a_full_server_refuses_writes_and_answers_reads(
    own_redis_server: RedisServer, client: RedisClient
) -> None:
    """MACH-4.3: What needs room is refused with the reason, and what only reads goes on."""
    await client.run("SET", client.key("a"), "x")
    await client.run("CONFIG", "SET", "maxmemory", "1")
    script = Script("return redis.call('SET', KEYS[1], 'y')")
    with pytest.raises(StoreError, match="it is full"):
        await client.run("SET", client.key("a"), "y")
    with pytest.raises(StoreError, match="it is full"):
        await script.run(client, [client.key("a")])

    assert await client.run("GET", client.key("a")) == b"x"
    await client.run("CONFIG", "SET", "maxmemory", "0")
    assert await script.run(client, [client.key("a")]) == b"OK"


async def test_a_wrong_command_is_a_bug(new_client: ClientMaker) -> None:
    """MACH-4.1: A mistake of the program is no failure of the server."""
    client = new_client()
    with pytest.raises(ResponseError, match="unknown command"):
        await client.run("NOSUCH")

    assert await client.run("PING") == b"PONG"


async def test_a_replica_is_left(own_redis_server: RedisServer, client: RedisClient) -> None:
    """MACH-2.3: Where an address leads to a replica, its connections are closed, and the address is used anew."""
    await client.run("PING")
    (connection,) = client._pipelines
    await client.run("REPLICAOF", "127.0.0.1", "1")
    with pytest.raises(StoreError, match="it is a replica"):
        await client.run("SET", client.key("a"), "x")
    await connection.ended
    own_redis_server.kill()
    own_redis_server.start()

    await _recovers(client)


async def test_every_event_loop_has_connections_of_its_own(redis_server: RedisServer) -> None:
    """MACH-2.1: A client that was used in one event loop, as by the master, works in the next."""
    client = RedisClient(redis_server.settings())

    async def use() -> int:
        number: int = await client.run("INCR", client.key("n"))
        await client.close()
        return number

    def run() -> int:
        return asyncio.run(use())

    assert [await asyncio.to_thread(run) for _ in range(2)] == [1, 2]


async def test_messages_reach_who_follows(new_client: ClientMaker) -> None:
    """MACH-2.4: A receiver is called when it is connected, and for each message."""
    client = new_client()
    calls: asyncio.Queue[int] = asyncio.Queue()

    async def receive() -> None:
        calls.put_nowait(1)

    pushes = Pushes(client)
    pushes.receive(client.key("channel"), receive)
    task = asyncio.create_task(pushes.follow())
    async with asyncio.timeout(30):
        await calls.get()
        await client.run("PUBLISH", client.key("channel"), "")
        await calls.get()
    task.cancel()
    await asyncio.wait([task])

    assert calls.empty()


def test_a_password_is_shown_nowhere(tmp_path: Path) -> None:
    """MACH-1.3: It is in no message, whichever way it is given."""
    file = tmp_path / "password"
    file.write_text("s3cret\n")
    client = RedisClient(StateSettings(url="redis://me:hidden@127.0.0.1:1/0", password_file=str(file)))
    with pytest.raises(StoreError) as refusal:
        asyncio.run(client.run("PING"))

    assert "redis://127.0.0.1:1/0: " in str(refusal.value)
    assert "s3cret" not in str(refusal.value)
    assert "hidden" not in str(refusal.value)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"url": "http://:pass@a"}, r'state.url: "http://:\*\*\*@a" cannot be used: .*redis://'),
        ({"url": "redis://a", "password_file": "/nowhere"}, "state.password_file: cannot read"),
    ],
)
def test_a_wrong_address_stops_the_start(values: dict[str, str], message: str) -> None:
    """MACH-1.4: It is reported with the setting, without its password."""
    with pytest.raises(ConfigError, match=message):
        RedisClient(StateSettings(**values))


@pytest.mark.skipif(not shutil.which("openssl"), reason="openssl makes the certificate")
def test_a_connection_may_be_encrypted(tmp_path: Path) -> None:
    """MACH-1.1, MACH-2.2: TLS with a password: the certificate is checked, large replies come whole, messages arrive."""
    certificate, key = str(tmp_path / "certificate"), str(tmp_path / "key")
    command = "openssl req -x509 -nodes -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -subj /CN=localhost"
    options = ("-addext", "subjectAltName=IP:127.0.0.1", "-keyout", key, "-out", certificate)
    subprocess.run([*command.split(), *options], check=True, capture_output=True)
    port = free_port()
    files = ("--tls-cert-file", certificate, "--tls-key-file", key, "--tls-ca-cert-file", certificate)
    running = contextmanager(run_redis_server)("--tls-port", f"{port}", *files, "--tls-auth-clients", "no")
    with running as server:
        server.configure("requirepass", "s3cret")
        settings = server.settings(url=f"rediss://127.0.0.1:{port}/0", password="s3cret", timeout_ms=3000)

        async def use() -> None:
            client = RedisClient(settings)
            with pytest.raises(StoreError, match="certificate verify failed"):
                await client.run("PING")
            await client.close()
            trusting = f"{settings.url}?ssl_ca_certs={certificate}"
            client = RedisClient(msgspec.structs.replace(settings, url=trusting))
            large, arrived = bytes(range(256)) * 2000, asyncio.Event()

            async def receive() -> None:
                arrived.set()

            pushes = Pushes(client)
            pushes.receive(client.key("channel"), receive)
            task = asyncio.create_task(pushes.follow())
            async with asyncio.timeout(30):
                await arrived.wait()
                task.cancel()
                await asyncio.wait([task])
                while (await client.run("CLIENT", "LIST")).count(b"\n") > 1:
                    pass
            await client.run("SET", client.key("large"), large)
            replies = await asyncio.gather(*(client.run("GET", client.key("large")) for _ in range(9)))
            await client.close()

            assert replies == [large] * 9

        for run in (asyncio.run, uvloop.run):
            run(use())
