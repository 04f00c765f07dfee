"""Sessions and scripts over several workers: real requests, kills, reloads."""

import http.client
import json
import os
import random
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor, wait
from pathlib import Path
from typing import Any

import pytest
from support.replies import AGENT, AGENT_CONTENT, ResponseContent, parse_response
from support.servers import Server, eventually, free_port, serve

ROOT = Path(__file__).parents[2]
SPOKEN = [{"role": "user", "content": "Hello"}]
APIS: dict[str, dict[str, Any]] = {
    "/openai/v1/chat/completions": {"model": "gpt-4o", "messages": SPOKEN},
    "/anthropic/v1/messages": {"model": "claude-haiku-4-5", "messages": SPOKEN, "max_tokens": 999},
    "/openai/v1/responses": {"model": "gpt-4o", "input": "Hello"},
    "/openresponses/v1/responses": {"model": "gpt-4o", "input": "Hello"},
}
CHAT = next(iter(APIS))


def call(
    server: Server, method: str, path: str, body: Any = None, headers: dict[str, str] | None = None
) -> tuple[int, bytes]:
    """Call over a connection of its own, which any worker may get.

    Raises:
        OSError: The worker was killed.
        http.client.HTTPException: Likewise.
    """
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=30)
    try:
        connection.request(method, path, None if body is None else json.dumps(body), headers or {})
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()


def control(server: Server, method: str, path: str, body: Any = None) -> Any:
    status, answer = call(server, method, f"/llmsim/{path}", body)
    assert status < 300, answer
    return json.loads(answer)


def ask(
    server: Server, session: str, script: str = "x", path: str = CHAT, *, stream: bool = False
) -> ResponseContent:
    """Ask for a turn."""
    headers = {"x-llmsim-session": session, "x-llmsim-script": script, "anthropic-version": "2023-06-01"}
    return parse_response(*call(server, "POST", path, APIS[path] | {"stream": stream}, headers))


def counting(turns: int, word: str = "", **turn: Any) -> dict[str, Any]:
    """Return a script whose turns have their numbers as texts."""
    answers = [{"type": "assistant", "text": f"{word}{number}", **turn} for number in range(turns)]
    return {"on_exhausted": "error", "turns": answers}


def run_of(server: Server, number: int) -> tuple[list[ResponseContent], Any]:
    """Play a whole run of an agent in a session of its own; return the contents of the responses and the journal's entries."""
    paths = list(APIS)
    session = f"run/{number}"
    contents = [
        ask(server, session, path=paths[number % len(paths)], stream=number % 3 == 0)
        for _ in range(len(AGENT_CONTENT) + 1)
    ]
    # A connection may end before its end was booked.
    eventually(
        lambda: all(
            entry["outcome"] for entry in control(server, "GET", f"requests?session={session}")["requests"]
        )
    )
    entries = control(server, "GET", f"requests?session={session}")["requests"]
    own = ("number", "at", "seconds")
    kept = [{name: value for name, value in entry.items() if name not in own} for entry in entries]
    for entry in kept:
        (entry.get("answer") or {}).pop("id", None)
    return contents, kept


def runs(directory: Path, workers: int) -> list[tuple[list[ResponseContent], Any]]:
    with serve(directory, "--workers", str(workers), LLMSIM_LATENCY="instant") as server:
        control(server, "PUT", "scripts/x", AGENT)
        with ThreadPoolExecutor(10) as pool:
            found = list(pool.map(lambda number: run_of(server, number), range(50)))
        sessions = control(server, "GET", "sessions?limit=100")["sessions"]
        assert len(sessions) == 50
        assert all((one["cursor"], one["turns_played"], one["finished"]) == (7, 7, True) for one in sessions)
        if workers > 1:
            assert sum(worker["requests"] > 0 for worker in server.stats()["workers"]) > 1
    return found


def test_sessions_at_once_are_as_with_one_worker(tmp_path: Path) -> None:
    """SESS-5.3, SESS-1.2, SESS-4.1: 50 agents at once over four workers hear, and are written down, as over one."""
    several = runs(tmp_path, 4)

    assert all(
        tuple(contents[:-1]) == AGENT_CONTENT and contents[-1].status == 422 for contents, _ in several
    )
    assert several == runs(tmp_path, 1)


def test_a_shared_session_plays_each_turn_once(tmp_path: Path) -> None:
    """SESS-1.1, SESS-6.2: Eight threads ask four workers for the turns of one session."""
    with serve(tmp_path, "--workers", "4", LLMSIM_LATENCY="instant") as server:
        control(server, "PUT", "scripts/x", counting(320))
        with ThreadPoolExecutor(8) as pool:
            contents = list(pool.map(lambda number: ask(server, "s", stream=number % 2 == 0), range(320)))
        assert ask(server, "s").status == 422
        (standing,) = control(server, "GET", "sessions/s")["scripts"]
        shown = subprocess.run(
            [sys.executable, "-m", "llmsim", "sessions", "s", "--port", str(server.port)],
            env=os.environ | {"COLUMNS": "120"},
            capture_output=True,
            text=True,
            timeout=30,
            check=True,
        ).stdout

    assert "320/320" in shown
    assert "is exhausted" in shown
    assert sorted(int(one.text) for one in contents) == list(range(320))
    assert standing["cursor"] == 320


def test_turns_of_killed_workers_are_played(tmp_path: Path) -> None:
    """SESS-1.3, SESS-1.1: Workers are killed in the middle of streams: what they had in hand goes to others; none twice."""
    turns = 60
    words = " and again" * 8
    script = counting(turns, latency={"ttft_ms": 20, "itl_ms": 8})
    for turn in script["turns"]:
        turn["text"] += words
    played: list[int] = []
    lost: list[str] = []
    deadline = time.monotonic() + 60

    def client(_: int) -> None:
        while len(played) < turns:
            assert time.monotonic() < deadline, (sorted(played), lost)
            try:
                content = ask(server, "s", stream=True)
            except (OSError, http.client.HTTPException) as error:
                lost.append(repr(error))
                continue
            if content.status == 422:
                # Others are still busy with the last ones; a worker that is killed gives them back.
                time.sleep(0.02)
                continue
            assert content.text.endswith(words), content
            played.append(int(content.text.removesuffix(words)))

    with serve(tmp_path, "--workers", "4", LLMSIM_LATENCY="instant") as server:
        control(server, "PUT", "scripts/x", script)
        dice = random.Random(7)
        with ThreadPoolExecutor(8) as pool:
            clients = [pool.submit(client, number) for number in range(8)]
            for mark in (8, 24, 40):
                eventually(
                    lambda mark=mark: len(played) >= mark or any(one.done() for one in clients), within=60
                )
                busy = [one["pid"] for one in server.stats()["workers"] if one["alive"]]
                os.kill(dice.choice(busy), signal.SIGKILL)
            for one in clients:
                one.result(timeout=60)
        (standing,) = control(server, "GET", "sessions/s")["scripts"]

    assert sorted(played) == list(range(turns))
    assert lost, "no stream was cut: the kills came at no bad time"
    assert standing["cursor"] == turns


def test_a_killed_workers_turn_is_the_very_next(tmp_path: Path) -> None:
    """SESS-1.3: A client that asks again at once, when its connection closes, gets the turn that it lost."""
    script = counting(4, "a b c d e f ")
    for turn in script["turns"][::2]:
        turn["latency"] = {"ttft_ms": 0, "itl_ms": 150}
    with serve(tmp_path, "--workers", "3", LLMSIM_LATENCY="instant") as server, ThreadPoolExecutor(1) as pool:
        control(server, "PUT", "scripts/x", script)
        for number in (0, 2):
            eventually(lambda: len(server.workers()) == 3)
            slow = pool.submit(ask, server, "s", stream=True)
            eventually(lambda: server.stats()["active_requests"] == 1)
            # Which of them it is does not matter: the others are killed without anything in their hands.
            for worker in server.workers():
                os.kill(worker, signal.SIGKILL)
                if wait([slow], timeout=0.1).done:
                    break
            assert isinstance(slow.exception(), OSError | http.client.HTTPException)

            assert eventually(lambda: again(server)).text == f"a b c d e f {number}"
            assert ask(server, "s").text == f"a b c d e f {number + 1}"


def again(server: Server) -> ResponseContent | None:
    """Ask once more; the answer is None from a worker that has just been killed, too."""
    try:
        return ask(server, "s")
    except (OSError, http.client.HTTPException):
        return None


def test_scripts_are_loaded_for_all_workers(tmp_path: Path) -> None:
    """SESS-3.1, SESS-3.2: Sent to one worker, played by all; sent anew, played anew, from the next request on."""
    with serve(tmp_path, "--workers", "4", LLMSIM_LATENCY="instant") as server:
        eventually(lambda: len(server.workers()) == 4)
        control(server, "PUT", "scripts/x", counting(10_000))
        asked = 0

        def everybody() -> bool:
            nonlocal asked
            content = ask(server, "s")
            assert content.text == str(asked)
            asked += 1
            return all(worker["requests"] for worker in server.stats()["workers"] if worker["alive"])

        eventually(everybody)
        for word in ("new", "newer"):
            control(server, "PUT", "scripts/x", counting(100, word))
            assert [ask(server, "s").text for _ in range(20)] == [f"{word}{number}" for number in range(20)]
        control(server, "DELETE", "scripts/x")
        assert {ask(server, "s").status for _ in range(8)} == {400}


def reload(server: Server) -> None:
    """Have new workers take the place of all."""
    before = set(server.workers())
    server.signal(signal.SIGHUP)
    eventually(lambda: (now := set(server.workers())) and not now & before)


def test_a_reload_takes_the_files_as_they_are(tmp_path: Path) -> None:
    """SESS-3.7, SESS-2.3: Changed, gone and new ones; sessions go on; with a bad file everything stays as it was."""
    scripts = tmp_path / "scripts"
    scripts.mkdir()

    def write(name: str, script: Any) -> None:
        (scripts / f"{name}.json").write_text(json.dumps(script))

    for name in ("same", "changed", "gone"):
        write(name, counting(9))
    arguments = ("--workers", "2", "--scripts-dir", str(scripts), "--script", str(scripts / "same.json"))
    with serve(tmp_path, *arguments, LLMSIM_LATENCY="instant") as server:
        control(server, "PUT", "scripts/sent", counting(9))
        names = ["default", "same", "changed", "gone", "sent"]
        assert [ask(server, "s", name).text for name in names] == ["0"] * 5

        write("changed", counting(9, "new"))
        write("fresh", counting(9, "fresh"))
        (scripts / "gone.json").unlink()
        reload(server)
        contents = [
            ask(server, "s", name) for name in ("default", "same", "changed", "fresh", "sent", "gone")
        ]
        assert [one.text for one in contents[:5]] == ["1", "1", "new0", "fresh0", "1"]
        assert contents[5].status == 400

        write("same", {"turns": []})
        server.signal(signal.SIGHUP)
        eventually(lambda: "the reload is refused" in server.logged())
        assert "same.json" in server.logged()
        assert [ask(server, "s", name).text for name in ("default", "same", "changed")] == ["2", "2", "new1"]


@pytest.mark.parametrize(
    "command",
    [
        (sys.executable, "-m", "llmsim", "serve"),
        (sys.executable, "-m", "gunicorn", "-c", str(ROOT / "gunicorn.conf.py")),
    ],
    ids=["llmsim", "gunicorn"],
)
def test_broken_scripts_keep_the_server_from_starting(tmp_path: Path, command: tuple[str, ...]) -> None:
    """SESS-2.3: All mistakes of all files are reported, a line each, and the exit code is 2."""
    scripts = tmp_path / "scripts"
    scripts.mkdir()
    (scripts / "a.json").write_text('{"turns": [{"type": "assistnt"}, {"type": "assistant"}]}')
    (scripts / "b.yaml").write_text("turns: []\n")
    own = tmp_path / "own.toml"
    own.write_text("turns = 1\n")
    port = free_port()
    ended = subprocess.run(
        command,
        env=os.environ
        | {
            "LLMSIM_PORT": str(port),
            "LLMSIM_HOST": "127.0.0.1",
            "LLMSIM_SERVER_RUN_DIR": str(tmp_path / "run"),
            "LLMSIM_SCRIPTS_DIR": str(scripts),
            "LLMSIM_SCRIPT": str(own),
        },
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert ended.returncode == 2, ended.stderr
    assert "Traceback" not in ended.stderr
    for part in ("own.toml", "a.json:1: turns[0].type", "a.json:1: turns[1]", "b.yaml:1"):
        assert part in ended.stderr
