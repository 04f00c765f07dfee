"""Sessions and scripts over several hosts: real requests, killed hosts, and a Redis server that stalls, dies or is full."""

import http.client
import json
import os
import signal
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from support.redis_server import RedisServer
from support.servers import Server, eventually, serve

CHAT = "/openai/v1/chat/completions"
MESSAGES = "/anthropic/v1/messages"
ASKED = [{"role": "user", "content": "Hello"}]
BODIES: dict[str, dict[str, Any]] = {
    CHAT: {"model": "gpt-4o", "messages": ASKED},
    MESSAGES: {"model": "claude-haiku-4-5", "messages": ASKED, "max_tokens": 999},
}


class Answer(NamedTuple):
    """A response, and the seconds that it took."""

    status: int
    headers: http.client.HTTPMessage
    body: bytes
    seconds: float

    @property
    def text(self) -> str:
        """The text of a chat completion."""
        text: str = json.loads(self.body)["choices"][0]["message"]["content"]
        return text


def call(
    host: Server, method: str, path: str, body: Any = None, headers: dict[str, str] | None = None
) -> Answer:
    """Call over a connection of its own, which any worker of the host may get.

    Raises:
        OSError: The host was killed.
        http.client.HTTPException: Likewise.
    """
    begun = time.monotonic()
    connection = http.client.HTTPConnection("127.0.0.1", host.port, timeout=30)
    try:
        connection.request(method, path, None if body is None else json.dumps(body), headers or {})
        answer = connection.getresponse()
        return Answer(answer.status, answer.headers, answer.read(), time.monotonic() - begun)
    finally:
        connection.close()


def control(host: Server, method: str, path: str, body: Any = None) -> Any:
    answer = call(host, method, f"/llmsim/{path}", body)
    assert answer.status < 300, answer
    return json.loads(answer.body)


def ask(host: Server, session: str, script: str = "x", path: str = CHAT) -> Answer:
    """Ask for a turn."""
    headers = {"x-llmsim-session": session, "x-llmsim-script": script, "anthropic-version": "2023-06-01"}
    return call(host, "POST", path, BODIES[path], headers)


def counting(turns: int, **turn: Any) -> dict[str, Any]:
    """Return a script whose turns have their numbers as texts."""
    answers = [{"type": "assistant", "text": f"{number}", **turn} for number in range(turns)]
    return {"on_exhausted": "error", "turns": answers}


@contextmanager
def run_hosts(
    directory: Path, server: RedisServer, *names: str, workers: int = 2, **variables: str
) -> Iterator[list[Server]]:
    """Run hosts of one state, each with a run directory of its own."""
    shared = {"LLMSIM_LATENCY": "instant", "LLMSIM_STATE_URL": server.url} | variables
    with ExitStack() as stack, ThreadPoolExecutor(len(names)) as pool:

        def start(name: str) -> Server:
            own = directory / name
            own.mkdir(parents=True)
            running = serve(own, "--workers", str(workers), LLMSIM_STATE_HOST=name, **shared)
            return stack.enter_context(running)

        yield list(pool.map(start, names))


class Machines(NamedTuple):
    """Three hosts of two workers, and what another host takes to be one of them."""

    hosts: list[Server]
    directory: Path
    server: RedisServer
    variables: dict[str, str]


@pytest.fixture(scope="module")
def machines(tmp_path_factory: pytest.TempPathFactory, redis_server: RedisServer) -> Iterator[Machines]:
    """Three hosts that have one script in their files."""
    directory = tmp_path_factory.mktemp("machines")
    (directory / "scripts").mkdir()
    (directory / "scripts" / "own.json").write_text(json.dumps(counting(300)))
    variables = {
        "LLMSIM_STATE_PREFIX": redis_server.settings().prefix,
        "LLMSIM_SCRIPTS_DIR": str(directory / "scripts"),
        "LLMSIM_GENERATOR": "random",
        "LLMSIM_SEED": "11",
    }
    with run_hosts(directory, redis_server, "a", "b", "c", **variables) as hosts:
        yield Machines(hosts, directory, redis_server, variables)


def test_each_turn_is_given_once(machines: Machines) -> None:
    """MACH-11.1, MACH-11.3, MACH-11.5: Six workers of three hosts share out the turns of a file that all three have."""
    hosts = machines.hosts
    with ThreadPoolExecutor(12) as pool:
        answers = list(pool.map(lambda number: ask(hosts[number % 3], "once", "own"), range(300)))
    for host in hosts:
        eventually(lambda host=host: host.stats()["active_requests"] == 0)
        assert all(worker["requests"] for worker in host.stats()["workers"])
        (standing,) = control(host, "GET", "sessions/once")["scripts"]
        assert (standing["cursor"], standing["turns_played"]) == (300, 300)
    entries = control(hosts[0], "GET", "requests?session=once&limit=1000")["requests"]

    assert {answer.status for answer in answers} == {200}
    assert sorted(int(answer.text) for answer in answers) == list(range(300))
    assert len({entry["number"] for entry in entries}) == len(entries) == 300
    assert {(entry["host"], entry["outcome"]) for entry in entries} == {(name, "finished") for name in "abc"}
    assert control(hosts[2], "DELETE", "sessions/once")["requests_forgotten"] == 300


def test_what_is_sent_to_one_host_is_played_by_all(machines: Machines) -> None:
    """MACH-11.1: From the next request on, until another host deletes it."""
    hosts = machines.hosts
    control(hosts[0], "PUT", "scripts/sent", counting(9))
    assert [ask(host, "all", "sent").text for host in hosts] == ["0", "1", "2"]
    control(hosts[2], "PUT", "scripts/sent", counting(9))
    assert [ask(host, "all", "sent").text for host in hosts] == ["0", "1", "2"]
    control(hosts[1], "DELETE", "scripts/sent")

    assert [ask(host, "all", "sent").status for host in hosts] == [400] * 3


def test_the_turns_of_a_killed_host_are_played(machines: Machines) -> None:
    """MACH-11.9, MACH-11.12, MACH-11.3: It joins while others play, and is killed in mid-load: its streams end, each turn is played.

    It takes the 5 s after which its leases expire. Twice is played only what the host had just written whole, and could not confirm.
    """
    turns = 40
    script = counting(turns, latency={"ttft_ms": 20, "itl_ms": 20})
    for turn in script["turns"]:
        turn["text"] += " and again" * 8
    control(machines.hosts[0], "PUT", "scripts/slow", script)
    assert ask(machines.hosts[0], "joined", "own").text == "0"
    played: list[int] = []
    last_of_victim: dict[int, int] = {}
    lost: list[float] = []
    with run_hosts(machines.directory, machines.server, "d", **machines.variables) as (victim,):
        assert ask(victim, "joined", "own").text == "1"
        pids = [victim.process.pid, *victim.workers()]
        hosts = [victim, *machines.hosts[:2]]
        deadline = time.monotonic() + 60

        def play(number: int) -> None:
            host = hosts[number % 3]
            while len(played) < turns:
                assert time.monotonic() < deadline, (sorted(played), lost)
                try:
                    answer = ask(host, "slow", "slow")
                except (OSError, http.client.HTTPException):
                    lost.append(time.monotonic())
                    host = machines.hosts[2]
                    continue
                if answer.status == 422:
                    # The last ones are leased: those of the killed host until they expire.
                    time.sleep(0.05)
                    continue
                turn = int(answer.text.partition(" ")[0])
                played.append(turn)
                if host is victim:
                    last_of_victim[number] = turn

        with ThreadPoolExecutor(9) as pool:
            clients = [pool.submit(play, number) for number in range(9)]
            eventually(lambda: len(played) >= 9 or any(one.done() for one in clients))
            killed_at = time.monotonic()
            for pid in pids:
                os.kill(pid, signal.SIGKILL)
            for one in clients:
                one.result(timeout=60)
            took = time.monotonic() - killed_at
        victim.process.wait()
    (standing,) = control(machines.hosts[0], "GET", "sessions/slow")["scripts"]

    repeated = [turn for turn, times in Counter(played).items() if times > 1]
    assert set(played) == set(range(turns))
    assert len(played) == turns + len(repeated)
    assert set(repeated) <= set(last_of_victim.values())
    assert len(lost) == 3, "the host was killed while nothing was in flight"
    assert took < 15, "its leases expire within seconds"
    assert (standing["cursor"], standing["turns_played"]) == (turns, turns)
    assert ask(machines.hosts[1], "joined", "own").text == "2"


def test_the_same_seed_gives_the_same_bytes_on_any_host(machines: Machines, tmp_path: Path) -> None:
    """MACH-3.1, MACH-11.1: With one worker of one host and with six of three, generated and scripted responses are the same."""

    def run(hosts: list[Server]) -> list[Any]:
        control(hosts[0], "POST", "reset?scope=all")
        control(hosts[-1], "PUT", "scripts/x", counting(9))
        bodies = []
        for number in range(24):
            host = hosts[number % len(hosts)]
            answer = call(host, "POST", CHAT, BODIES[CHAT]) if number % 3 else ask(host, f"{number % 2}")
            assert answer.status == 200, answer
            bodies.append(json.loads(answer.body))
            del bodies[-1]["created"]
        return bodies

    six = run(machines.hosts)
    alone = {"LLMSIM_STATE_PREFIX": machines.server.settings().prefix}
    with run_hosts(tmp_path, machines.server, "alone", workers=1, **machines.variables | alone) as hosts:
        one = run(hosts)

    assert one == six
    assert len({body["id"] for body in one}) == 24


def test_a_server_that_fails_is_waited_for(tmp_path: Path, own_redis_server: RedisServer) -> None:
    """MACH-4.4, MACH-4.5, MACH-11.4, MACH-11.6, MACH-11.8: Stalled, restarted or full, it costs scripted requests a 503, and no other anything.

    It takes some seconds: in each of the three cases the server must be found to have come back.
    """
    (tmp_path / "scripts").mkdir()
    (tmp_path / "scripts" / "own.json").write_text(json.dumps(counting(300)))
    server = own_redis_server
    variables = {"LLMSIM_SCRIPTS_DIR": str(tmp_path / "scripts"), "LLMSIM_STATE_TIMEOUT_MS": "300"}
    with run_hosts(tmp_path, server, "a", **variables) as (host,):

        def check_refusals(reason: str) -> None:
            for path, kind in ((CHAT, "server_error"), (MESSAGES, "api_error")) * 4:
                refused = ask(host, "s", "own", path)
                error = json.loads(refused.body)["error"]
                assert (refused.status, error["type"]) == (503, kind), refused
                assert int(refused.headers["retry-after"]) > 0
                assert reason in error["message"]
                assert refused.seconds < 3
                plain = call(host, "POST", path, BODIES[path], {"anthropic-version": "2023-06-01"})
                assert (plain.status, plain.seconds < 3) == (200, True)

        def recover() -> str:
            eventually(lambda: ask(host, "s", "own").status == 200)
            # Every worker has found it.
            for _ in range(20):
                eventually(lambda: ask(host, "other", "own").status == 200)
            return ask(host, "s", "own").text

        assert ask(host, "s", "own").text == "0"
        server.pause()
        check_refusals("no answer within 300 ms")
        server.resume()
        assert recover() == "2"
        server.kill()
        check_refusals("the shared state cannot be used")
        server.start()
        # What it held is lost, but for the scripts of files.
        assert recover() == "1"
        server.configure("maxmemory", "1")
        check_refusals("it is full")
        server.configure("maxmemory", "0")
        assert recover() == "3"
        log = host.logged()

    assert 1 <= log.count("the shared state cannot be used") <= 2
