"""Limits over several workers: what many clients are admitted together, alone, and when workers are killed."""

import asyncio
import contextlib
import json
import os
import signal
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import pytest
from support.raw_http import chat
from support.servers import Server, eventually, serve

TOKENS = 13
"""Tokens of a request: 8 of the prompt, and 5 that may be generated."""


class Answer(NamedTuple):
    """One answer.

    Attributes:
        sent: When its request was sent, in seconds.
        at: When it had come.
        status: Its status.
        headers: Its headers.
    """

    sent: float
    at: float
    status: int
    headers: dict[str, str]


class Client:
    """A client with one connection, which is opened again if a worker dies."""

    def __init__(self, port: int, key: str = "shared") -> None:
        body = json.dumps(chat(max_tokens=5)).encode()
        self.port = port
        self.request = (
            b"POST /openai/v1/chat/completions HTTP/1.1\r\nhost: llmsim\r\nauthorization: Bearer %b\r\n"
            b"content-type: application/json\r\ncontent-length: %d\r\n\r\n%b"
            % (key.encode(), len(body), body)
        )
        self.connection: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def ask(self) -> Answer | None:
        """Send a request; return None if its worker died."""
        try:
            if self.connection is None:
                self.connection = await asyncio.open_connection("127.0.0.1", self.port)
            reader, writer = self.connection
            sent = time.monotonic()
            writer.write(self.request)
            lines = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
            headers = dict(line.split(": ", 1) for line in lines[1:-2])
            await reader.readexactly(int(headers["content-length"]))
        except (OSError, asyncio.IncompleteReadError):
            self.close()
            return None
        return Answer(sent, time.monotonic(), int(lines[0].split()[1]), headers)

    def close(self) -> None:
        """Close the connection."""
        if self.connection is not None:
            self.connection[1].transport.abort()
            self.connection = None


async def hammer(port: int, clients: int, requests: int, pause: float) -> list[Answer]:
    """Let clients ask, each a number of times with pauses; return all answers."""

    async def run() -> list[Answer]:
        client, answers = Client(port), []
        for _ in range(requests):
            if answer := await client.ask():
                answers.append(answer)
            await asyncio.sleep(pause)
        client.close()
        return answers

    return [
        answer for answers in await asyncio.gather(*(run() for _ in range(clients))) for answer in answers
    ]


def most_in_window(answers: Sequence[Answer], seconds: float) -> int:
    """Return the most requests that were sent and answered within any window: they were admitted in it, however busy the machine."""
    ordered = sorted(answers)
    return max(
        sum(answer.at <= first.sent + seconds for answer in ordered[index:])
        for index, first in enumerate(ordered)
    )


def check(answers: list[Answer], windows: Sequence[float], rpm: int, tpm: int) -> None:
    """Check that no window has seen more than its share of the limits and one burst, and that nothing was negative."""
    admitted = [answer for answer in answers if answer.status == 200]
    assert Counter(answer.status for answer in answers).keys() == {200, 429}
    for window in windows:
        requests = most_in_window(admitted, window)
        assert requests <= rpm + rpm * window / 60
        assert requests * TOKENS <= tpm + tpm * window / 60
    assert len(admitted) >= min(rpm, tpm // TOKENS)
    for answer in answers:
        for unit in ("requests", "tokens"):
            assert int(answer.headers[f"x-ratelimit-remaining-{unit}"]) >= 0


def run_server(
    tmp_path: Path, tier: str, *arguments: str, **variables: str
) -> contextlib.AbstractContextManager[Server]:
    limits = {"LLMSIM_LIMITS_TIERS": f"{{all = {{{tier}}}}}", "LLMSIM_LIMITS_DEFAULT": "all"}
    return serve(tmp_path, *arguments, **limits, **variables)


FAST = ("--workers", "4", "--latency", "instant")


def test_workers_admit_the_limit_together(tmp_path: Path) -> None:
    """LIM-2.2: Four workers admit the burst and the rate, no more and no less."""
    with run_server(tmp_path, "rpm = 120, tpm = 100_000", *FAST) as server:
        answers = asyncio.run(hammer(server.port, 20, 15, 0.05))

    check(answers, (0.2, 1.0, 60.0), 120, 100_000)


async def wait_as_asked(port: int, trials: int) -> int:
    """Use up a key, and wait as long as the answer says, `trials` times; return how often the next request is admitted."""
    client, admitted = Client(port, "alone"), 0
    for _ in range(trials):
        while (answer := await client.ask()) is not None and answer.status == 200:
            pass
        assert answer is not None
        wait = int(answer.headers["retry-after-ms"])
        assert int(answer.headers["retry-after"]) == -(-wait // 1000)
        await asyncio.sleep(wait / 1000)
        answer = await client.ask()
        admitted += answer is not None and answer.status == 200
    client.close()
    return admitted


def test_a_client_alone_that_waits_as_asked_is_admitted(tmp_path: Path) -> None:
    """LIM-2.3: In each trial, at a limit that asks for waits of a tenth of a second."""
    with run_server(tmp_path, "rpm = 600", *FAST) as server:
        assert asyncio.run(wait_as_asked(server.port, 20)) == 20


async def fill(server: Server, concurrency: int) -> list[Client]:
    """Ask until so many requests are in progress, and one more is refused."""
    clients = [Client(server.port) for _ in range(concurrency)]
    tasks = [asyncio.create_task(client.ask()) for client in clients]
    await asyncio.to_thread(eventually, lambda: server.stats()["active_requests"] == concurrency)
    probe = Client(server.port)
    answer = await probe.ask()
    probe.close()
    assert answer is not None
    assert answer.status == 429
    assert not any(task.done() for task in tasks)
    return clients


def test_requests_of_killed_workers_are_given_back(tmp_path: Path) -> None:
    """LIM-2.6: What a killed worker held at a time is free again."""

    async def run(server: Server) -> None:
        clients = await fill(server, 3)
        before = server.workers()
        for pid in before:
            os.kill(pid, signal.SIGKILL)
        await asyncio.to_thread(
            eventually, lambda: len(new := server.workers()) == 2 and not set(new) & set(before)
        )
        for client in (*clients, *await fill(server, 3)):
            client.close()

    variables = {"LLMSIM_LATENCY_TTFT_MEAN_MS": "60000"}
    with run_server(tmp_path, "concurrency = 3", "--workers", "2", **variables) as server:
        asyncio.run(run(server))


@pytest.mark.slow
def test_many_clients_over_minutes(tmp_path: Path) -> None:
    """LIM-2.2: 500 clients, four workers, two and a half minutes, and workers that are killed: no minute sees too much."""
    with run_server(tmp_path, "rpm = 1200, tpm = 9_000", *FAST) as server:

        async def kill_workers() -> None:
            for _ in range(6):
                await asyncio.sleep(20)
                with contextlib.suppress(ProcessLookupError):
                    os.kill((await asyncio.to_thread(server.workers))[0], signal.SIGKILL)

        async def run() -> list[Answer]:
            killing = asyncio.create_task(kill_workers())
            answers = await hammer(server.port, 500, 100, 1.0)
            await killing
            return answers

        answers = asyncio.run(run())

    check(answers, (1.0, 60.0), 1200, 9_000)


@pytest.mark.slow
def test_a_client_alone_over_a_thousand_trials(tmp_path: Path) -> None:
    """LIM-2.3: In 1,000 of 1,000 trials."""
    with run_server(tmp_path, "rpm = 600", *FAST) as server:
        assert asyncio.run(wait_as_asked(server.port, 1000)) == 1000
