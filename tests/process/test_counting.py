"""Exact totals over workers, hang-ups, kills and reloads."""

import asyncio
import json
import os
import random
import signal
from collections import Counter
from pathlib import Path

from support.raw_http import Client, chat
from support.servers import Server, eventually, serve

TEXT = b'"delta":{"content":"'
"""How every text chunk goes on after its head."""

SLOW = {"LLMSIM_LATENCY_TTFT_MEAN_MS": "20", "LLMSIM_LATENCY_TBT_MEAN_MS": "4", "LLMSIM_LATENCY": "instant"}


async def _visit(server: Server, kind: str, fate: Counter[str]) -> None:
    """Send one request of a kind, and book what became of it as a client sees it."""
    client = await Client.open(server.port)
    try:
        match kind:
            case "answer":
                await client.send(chat())
                fate["finished" if b" 200 " in await client.read_until(b"\r\n\r\n") else "faulted"] += 1
            case "stream":
                await client.send(chat(stream=True))
                head = await client.read_until(b"\r\n\r\n")
                if b" 200 " in head:
                    await client.read_until(b"[DONE]\n\n")
                fate["finished" if b" 200 " in head else "faulted"] += 1
            case "refused":
                await client.send(chat(temperature=9))
                assert b" 400 " in await client.read_until(b"\r\n\r\n")
                fate["refused"] += 1
            case "hang up":
                await client.send(chat(stream=True))
                head = await client.read_until(b"\r\n\r\n")
                if b" 200 " in head:
                    await client.read_until(TEXT)
                fate["abandoned" if b" 200 " in head else "faulted"] += 1
            case "hang up early":
                await client.send(chat(stream=True))
                fate["early"] += 1
                await asyncio.sleep(0.005)
    finally:
        await client.hang_up()


async def test_totals_account_for_every_request(tmp_path: Path) -> None:
    """ARCH-1.4, STATS-3.2: after any mix of endings over several workers each request is booked once, and none stays active."""
    dice = random.Random(7)
    kinds = [dice.choice(["answer", "stream", "refused", "hang up", "hang up early"]) for _ in range(400)]
    fate: Counter[str] = Counter()
    rates = {
        "LLMSIM_ERRORS_RATE_LIMIT_RATE": "0.1",
        "LLMSIM_ERRORS_SERVER_ERROR_RATE": "0.1",
        "LLMSIM_SEED": "3",
    }
    with serve(tmp_path, "--workers", "3", **SLOW, **rates) as server:
        gate = asyncio.Semaphore(60)

        async def visit(kind: str) -> None:
            async with gate:
                await _visit(server, kind, fate)

        await asyncio.gather(*(visit(kind) for kind in kinds))
        stats = server.settled(len(kinds))

    faults = stats["rate_limit_errors"] + stats["server_errors"]
    assert stats["refused_requests"] == fate["refused"]
    assert stats["failed_requests"] == stats["aborted_requests"] == 0
    assert faults == stats["total_errors"] >= fate["faulted"]
    # A client that left before the head cannot know what it would have got: a fault, or a stream it abandoned.
    assert stats["finished_requests"] == fate["finished"]
    assert stats["abandoned_requests"] + faults == fate["abandoned"] + fate["faulted"] + fate["early"]
    assert sum(worker["requests"] for worker in stats["workers"]) == len(kinds)


async def test_worker_killed_in_mid_stream_leaks_nothing(tmp_path: Path) -> None:
    """ARCH-3.6, STATS-2.5: SIGKILL costs the open requests of that worker; they count as aborted, the worker is replaced."""
    streams = 40
    with serve(
        tmp_path, "--workers", "2", LLMSIM_LATENCY="instant", LLMSIM_LATENCY_TBT_MEAN_MS="1000"
    ) as server:
        server.wait_for_workers(2)
        clients = [await Client.open(server.port) for _ in range(streams)]
        for client in clients:
            await client.send(chat(stream=True))
            await client.read_until(TEXT)
        victim = max(server.stats()["workers"], key=lambda worker: worker["active"])
        assert 0 < victim["active"] < streams

        os.kill(victim["pid"], signal.SIGKILL)
        lost = victim["active"]
        stats = eventually(lambda: (s := server.stats())["aborted_requests"] == lost and s)
        assert stats["active_requests"] == streams - lost
        for client in clients:
            await client.hang_up()
        stats = server.settled(streams)
        server.wait_for_workers(2)

    assert stats["aborted_requests"] == lost
    assert stats["abandoned_requests"] == streams - lost
    assert stats["finished_requests"] == 0


async def test_reload_keeps_totals_and_streams(tmp_path: Path) -> None:
    """ARCH-3.4, STATS-2.6: over SIGHUP open streams run to their end, new workers take the new settings, totals stay."""
    file = tmp_path / "llmsim.toml"
    file.write_text('[response]\ngenerator = "fixed:before"\n[latency]\nprofile = "instant"\n')
    with serve(
        tmp_path, "--workers", "2", "--config", str(file), LLMSIM_LATENCY_TTFT_MEAN_MS="2000"
    ) as server:
        old = set(server.wait_for_workers(2))
        clients = [await Client.open(server.port) for _ in range(10)]
        for client in clients:
            await client.send(chat(stream=True))
        arrived = eventually(lambda: (s := server.stats())["total_requests"] == 10 and s)
        assert arrived["active_requests"] > 0
        file.write_text('[response]\ngenerator = "fixed:after"\n[latency]\nprofile = "instant"\n')

        server.signal(signal.SIGHUP)
        answers = [await client.read_until(b"[DONE]\n\n") for client in clients]
        eventually(lambda: len(server.workers()) == 2 and old.isdisjoint(server.workers()))
        client = await Client.open(server.port)
        await client.send(chat(stream=True))
        answer = await client.read_until(b"[DONE]\n\n")
        for open_client in (client, *clients):
            await open_client.hang_up()
        stats = server.settled(11)

    assert all(b"before" in answer for answer in answers)
    assert b"after" in answer
    assert stats["finished_requests"] == 11
    assert stats["aborted_requests"] == 0


async def test_faulty_reload_keeps_the_configuration_in_force(tmp_path: Path) -> None:
    """ARCH-3.5: a file that turned bad is reported, and the server goes on as it was, with the same workers; mended, it is obeyed."""
    file = tmp_path / "llmsim.toml"
    file.write_text('[response]\ngenerator = "fixed:before"\n[latency]\nprofile = "instant"\n')
    with serve(tmp_path, "--workers", "1", "--config", str(file)) as server:
        old = server.workers()
        file.write_text('[response]\ngenerator = "fxied:after"\n')

        server.signal(signal.SIGHUP)
        eventually(lambda: "the reload is refused" in server.logged())
        client = await Client.open(server.port)
        await client.send(chat(stream=True))
        answer = await client.read_until(b"[DONE]\n\n")
        await client.hang_up()
        assert server.workers() == old
        assert "read anew" not in server.logged()
        file.write_text('[response]\ngenerator = "fixed:after"\n')
        server.signal(signal.SIGHUP)
        eventually(lambda: server.workers() not in ([], old))

    assert b"before" in answer


async def test_term_drains_within_the_graceful_timeout(tmp_path: Path) -> None:
    """ARCH-3.4: SIGTERM lets what ends in time end, and cuts what does not."""
    with serve(
        tmp_path, "--workers", "1", LLMSIM_LATENCY="instant", LLMSIM_SERVER_GRACEFUL_TIMEOUT_SECS="3"
    ) as server:
        short = await Client.open(server.port)
        await short.send(chat(stream=True))
        await short.read_until(b"[DONE]\n\n")
        await short.hang_up()
    with serve(
        tmp_path,
        "--workers",
        "1",
        LLMSIM_LATENCY="instant",
        LLMSIM_LATENCY_TBT_MEAN_MS="100",
        LLMSIM_SERVER_GRACEFUL_TIMEOUT_SECS="3",
    ) as server:
        ends, cut = await Client.open(server.port), await Client.open(server.port)
        await ends.send(chat(stream=True, max_tokens=4))
        await cut.send(chat(stream=True))
        await ends.read_until(TEXT)
        await cut.read_until(TEXT)

        server.signal(signal.SIGTERM)
        whole = await ends.read_until(b"[DONE]\n\n")
        rest = await cut.reader.read()
        server.process.wait(timeout=60)
        await ends.hang_up()
        await cut.hang_up()

    assert b'"finish_reason":"length"' in whole
    assert b"[DONE]" not in rest


async def test_hang_up_is_noticed_before_the_first_token(tmp_path: Path) -> None:
    """LAT-3.4: a client that leaves during the time to first token ends its request at once, streamed or not."""
    with serve(
        tmp_path, "--workers", "1", LLMSIM_LATENCY="instant", LLMSIM_LATENCY_TTFT_MEAN_MS="60000"
    ) as server:
        for stream in (True, False):
            client = await Client.open(server.port)
            await client.send(chat(stream=stream))
            eventually(lambda: server.stats()["active_requests"] == 1)
            await client.hang_up()
            eventually(lambda: server.stats()["active_requests"] == 0)
        stats = server.stats()

    assert stats["abandoned_requests"] == 2
    assert stats["completion_tokens"] == 0


async def test_hang_up_is_noticed_while_a_timeout_hangs(tmp_path: Path) -> None:
    """CHAT-4.2: a simulated timeout lets go of a client that left."""
    with serve(
        tmp_path, "--workers", "1", LLMSIM_LATENCY="instant", LLMSIM_ERRORS_TIMEOUT_RATE="1"
    ) as server:
        client = await Client.open(server.port)
        await client.send(chat())
        eventually(lambda: server.stats()["active_requests"] == 1)
        await client.hang_up()
        stats = eventually(lambda: (s := server.stats())["active_requests"] == 0 and s)

    assert stats["abandoned_requests"] == 1
    assert stats["timeout_errors"] == 0


async def test_slow_reader_gets_everything_and_holds_little(tmp_path: Path) -> None:
    """LAT-3.6, ARCH-4.5: who stops reading is sent what fell due once it reads again."""
    with serve(
        tmp_path,
        "--workers",
        "1",
        LLMSIM_LATENCY="instant",
        LLMSIM_TARGET_TOKENS="60000",
        LLMSIM_LATENCY_TBT_MEAN_MS="0.01",
    ) as server:
        client = await Client.open(server.port)
        await client.send(chat(stream=True, model="some-model"))
        await client.read_until(TEXT)
        # Longer than the schedule: all tokens are due, and most of them have found no room.
        await asyncio.sleep(0.8)
        assert server.stats()["completion_tokens"] < 60_000
        rest = await _read_to_end(client)
        await client.hang_up()
        stats = server.settled(1)

    assert rest.count(b'"delta":{"content":') + 1 == 60_000
    assert stats["completion_tokens"] == 60_000


async def _read_to_end(client: Client) -> bytes:
    parts = []
    while True:
        parts.append(await client.reader.read(1 << 16))
        if b"[DONE]" in parts[-1][-64:] or not parts[-1]:
            return b"".join(parts)


async def test_same_seed_gives_the_same_text_from_any_number_of_workers(tmp_path: Path) -> None:
    """ARCH-3.7, CHAT-2.4, CHAT-4.4: request seeds and the server's seed repeat texts and faults with 1 worker and with 4."""
    runs = []
    for workers in ("1", "4"):
        directory = tmp_path / workers
        directory.mkdir()
        seen = []
        with serve(
            directory,
            "--workers",
            workers,
            LLMSIM_LATENCY="instant",
            LLMSIM_GENERATOR="random",
            LLMSIM_SEED="11",
            LLMSIM_ERRORS_RATE_LIMIT_RATE="0.3",
        ) as server:
            for number in range(30):
                client = await Client.open(server.port)
                await client.send(chat(messages=[{"role": "user", "content": f"question {number % 5}"}]))
                head = await client.read_until(b"\r\n\r\n")
                length = int(head.split(b"content-length: ")[1].split(b"\r\n")[0])
                body = json.loads(await client.reader.readexactly(length))
                await client.hang_up()
                text = (
                    body["choices"][0]["message"]["content"] if "choices" in body else body["error"]["code"]
                )
                seen.append((body.get("id"), text))
        runs.append(seen)

    assert runs[0] == runs[1]
    assert 0 < sum(text == "rate_limit_exceeded" for _, text in runs[0]) < 30
