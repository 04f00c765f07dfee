"""Hostile traffic against one real server, which must answer what is sound and survive the rest."""

import asyncio
import contextlib
import random
import re
import time
from collections.abc import Iterable, Iterator

import pytest
from fuzz.limits import LONG
from fuzz.traffic import Case, draw_case
from support.servers import Server, serve

LANES = 8
"""Connections at a time."""

LONG_SECONDS = 180.0

_DUE = 15.0
"""Seconds until an answer that is due counts as missing; generous, for loaded machines."""

_PATIENCE = 0.25
"""Seconds after which the client of unsound traffic hangs up, if the server has not."""

_PAUSE = 0.01

_STATUS = re.compile(rb"HTTP/1\.[01] (\d{3})\b")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server whose log must have no traceback at the end."""
    directory = tmp_path_factory.mktemp("fuzz")
    with serve(directory, "--workers", "2", "--latency", "instant", "--target-tokens", "9") as running:
        running.wait_for_workers(2)
        yield running


async def _receive(reader: asyncio.StreamReader, case: Case) -> bytes:
    """Read to the end of the connection, or as long as it is worth waiting."""
    received = b""
    patience = _DUE if case.answers else _PATIENCE
    with contextlib.suppress(TimeoutError, ConnectionError):
        async with asyncio.timeout(patience):
            while data := await reader.read(1 << 16):
                received += data
    return received


async def _run(port: int, case: Case) -> list[str]:
    """Run a case; return what is wrong with the answers."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    receiving = asyncio.create_task(_receive(reader, case))
    try:
        for part in case.parts:
            writer.write(part)
            with contextlib.suppress(ConnectionError):
                await writer.drain()
            await asyncio.sleep(_PAUSE if len(case.parts) > 1 else 0)
        received = await receiving
    finally:
        receiving.cancel()
        writer.transport.abort()
    statuses = [int(status) for status in _STATUS.findall(received)]
    problems = [f"status {status}" for status in statuses if status >= 500]
    answered = [status for status in statuses if status >= 200]
    if len(answered) < case.answers:
        problems.append(f"{len(answered)} of {case.answers} answers")
    if b"x-injected" in received.partition(b"\r\n\r\n")[0]:
        problems.append("an injected header")
    return problems


async def _fuzz(server: Server, seed: int, numbers: Iterable[int], until: float) -> dict[str, str]:
    """Run cases side by side; return the problems by case."""
    left = iter(numbers)
    found: dict[str, str] = {}

    async def lane() -> None:
        for number in left:
            case = draw_case(seed, number)
            try:
                problems = await _run(server.port, case)
            except OSError as error:
                problems = [f"no connection: {error}"]
            if problems:
                found[f"draw_case({seed}, {number}): {case.kind}"] = ", ".join(problems)
            if time.monotonic() > until:
                return

    await asyncio.gather(*(lane() for _ in range(LANES)))
    return found


def _survives(server: Server, seed: int, numbers: Iterable[int], seconds: float) -> None:
    before = server.workers()
    found = asyncio.run(_fuzz(server, seed, numbers, time.monotonic() + seconds))

    assert found == {}
    assert server.workers() == before, "a worker ended"
    assert server.process.poll() is None
    # Whatever was sent, nothing of it was a bug of llmsim's own.
    causes = {
        line
        for line in server.logged().splitlines()
        if re.match(r"[\w.]+(Error|Exception|Disconnected)\b", line)
    }
    assert causes == set()
    assert server.stats()["failed_requests"] == 0


def test_hostile_traffic_is_survived(server: Server) -> None:
    """MAINT-4.12: No answer of 5xx, what is due is answered, and all workers live at the end."""
    _survives(server, random.randrange(10**6), range(1_000), 30.0)


@LONG
def test_hostile_traffic_is_survived_for_minutes(server: Server) -> None:
    """MAINT-4.12: The same for minutes."""
    _survives(server, random.randrange(10**6), range(10**9), LONG_SECONDS)


def test_cases_repeat() -> None:
    """MAINT-4.12: A case that failed is drawn again by its seed and number, and there is one of each kind in any run."""
    assert [draw_case(7, number) for number in range(50)] == [draw_case(7, number) for number in range(50)]
    assert len({draw_case(1, number).kind.split()[0] for number in range(100)}) > 6
