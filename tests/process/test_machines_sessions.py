"""Sessions and scripts over several hosts: real requests, killed hosts, and a Redis server that stalls, dies or is full."""

import http.client
import json
import os
import signal
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest
from support.redis_server import RedisServer
from support.servers import Server, eventually, serve

CHAT = "/openai/v1/chat/completions"
MESSAGES = "/anthropic/v1/messages"
ASKED = [{"role": "user", "content": "Hello"}]
BODIES = {
    CHAT: {"model": "gpt-4o", "messages": ASKED},
    MESSAGES: {"model": "claude-haiku-4-5", "messages": ASKED, "max_tokens": 999},
}
ENDED = (OSError, http.client.HTTPException)
"""What a client sees of a host that was killed."""


def call(
    host: Server, method: str, path: str, body: Any = None, headers: dict[str, str] | None = None
) -> tuple[http.client.HTTPResponse, bytes]:
    """Call over a connection of its own, which any worker of the host may get."""
    connection = http.client.HTTPConnection("127.0.0.1", host.port, timeout=30)
    try:
        connection.request(method, path, None if body is None else json.dumps(body), headers or {})
        answer = connection.getresponse()
        return answer, answer.read()
    finally:
        connection.close()


def control(host: Server, method: str, path: str, body: Any = None) -> Any:
    answer, sent = call(host, method, f"/llmsim/{path}", body)
    assert answer.status < 300, sent
    return json.loads(sent)


def ask(host: Server, session: str, script: str = "x", **values: Any) -> tuple[int, bytes]:
    """Ask for a turn."""
    headers = {"x-llmsim-session": session, "x-llmsim-script": script}
    answer, sent = call(host, "POST", CHAT, BODIES[CHAT] | values, headers)
    return answer.status, sent


def text_of(sent: bytes) -> str:
    text: str = json.loads(sent)["choices"][0]["message"]["content"]
    return text


def counting(turns: int, **turn: Any) -> dict[str, Any]:
    """Return a script whose turns have their numbers as texts."""
    answers = [{"type": "assistant", "text": f"{number}", **turn} for number in range(turns)]
    return {"on_exhausted": "error", "turns": answers}


@contextmanager
def hosts(directory: Path, url: str, *names: str, workers: int = 2, **variables: str) -> Iterator[list[Server]]:
    """Run hosts, each with a run directory of its own."""
    variables = {"LLMSIM_LATENCY": "instant", "LLMSIM_STATE_URL": url} | variables
    with ExitStack() as stack, ThreadPoolExecutor(len(names)) as pool:

        def start(name: str) -> Server:
            own = directory / name
            own.mkdir()
            server = serve(own, "--workers", str(workers), **variables, LLMSIM_STATE_HOST=name)
            return stack.enter_context(server)

        yield list(pool.map(start, names))


@pytest.fixture(scope="module")
def machines(
    tmp_path_factory: pytest.TempPathFactory, redis_server: RedisServer
) -> Iterator[tuple[list[Server], Path, dict[str, str]]]:
    """Three hosts of two workers, where they are, and the variables with which another joins them."""
    directory = tmp_path_factory.mktemp("machines")
    script = directory / "own.json"
    script.write_text(json.dumps(counting(500)))
    variables = {
        "LLMSIM_STATE_PREFIX": redis_server.settings().prefix,
        "LLMSIM_SCRIPTS_DIR": str(directory / "scripts"),
    }
    (directory / "scripts").mkdir()
    script.rename(directory / "scripts" / "own.json")
    with hosts(directory, redis_server.url, "a", "b", "c", **variables) as running:
        yield running, directory, variables


def test_each_turn_is_given_once(machines: tuple[list[Server], Path, dict[str, str]]) -> None:
    """MACH-11.1, MACH-11.3, MACH-11.5: Six workers of three hosts share out the turns of a file that all three have."""
    servers, _, _ = machines
    with ThreadPoolExecutor(12) as pool:
        answers = list(pool.map(lambda number: ask(servers[number % 3], "once", "own"), range(300)))
    for host in servers:
        eventually(lambda host=host: host.stats()["active_requests"] == 0)
        assert all(worker["requests"] for worker in host.stats()["workers"])
        (standing,) = eventually(lambda host=host: control(host, "GET", "sessions/once")["scripts"])
        assert (standing["cursor"], standing["turns_played"]) == (300, 300)
    entries = control(servers[0], "GET", "requests?session=once&limit=1000")["requests"]

    assert [status for status, _ in answers if status != 200] == []
    assert sorted(int(text_of(sent)) for _, sent in answers) == list(range(300))
    assert [control(host, "GET", "scripts/own")["origin"] for host in servers[1:]] == [
        control(servers[0], "GET", "scripts/own")["origin"]
    ] * 2
    assert len({entry["number"] for entry in entries}) == len(entries) == 300
    assert {entry["host"] for entry in entries} == {"a", "b", "c"}
    assert {entry["outcome"] for entry in entries} == {"finished"}
    assert control(servers[2], "DELETE", "sessions/once")["requests_forgotten"] == 300


def test_what_is_sent_to_one_host_is_played_by_all(
    machines: tuple[list[Server], Path, dict[str, str]],
) -> None:
    """MACH-11.1, MACH-11.3: From the next request on; a host that joins with the same files changes nothing."""
    servers, directory, variables = machines
    control(servers[0], "PUT", "scripts/sent", counting(9))
    turns = [(host, script) for script in ("sent", "own") for host in servers]
    assert [text_of(ask(host, "all", script)[1]) for host, script in turns] == [*"012012"]
    url = os.environ.get("UNUSED", "") or variables["LLMSIM_STATE_URL"] if "LLMSIM_STATE_URL" in variables else ""
    del url, directory
    control(servers[1], "DELETE", "scripts/sent")
    assert [ask(host, "all", "sent")[0] for host in servers] == [404] * 3
