"""Limits over several workers: what many clients are admitted together, alone, and when workers are killed."""

import asyncio
import contextlib
import os
import signal
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import pytest
from support.limited_clients import TOKENS, Answer, Client, hammer, most_in_window
from support.servers import Server, eventually, serve


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
        answers = asyncio.run(hammer([server.port], 20, 15, 0.05))

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
            answers = await hammer([server.port], 500, 100, 1.0)
            await killing
            return answers

        answers = asyncio.run(run())

    check(answers, (1.0, 60.0), 1200, 9_000)


@pytest.mark.slow
def test_a_client_alone_over_a_thousand_trials(tmp_path: Path) -> None:
    """LIM-2.3: In 1,000 of 1,000 trials."""
    with run_server(tmp_path, "rpm = 600", *FAST) as server:
        assert asyncio.run(wait_as_asked(server.port, 1000)) == 1000
