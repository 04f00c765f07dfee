"""One server, however it is started; and only one on a port."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
import urllib.request
from pathlib import Path

from support.servers import eventually, serve

ROOT = Path(__file__).parents[2]
BODY = b'{"model": "gpt-4o", "messages": [{"role": "user", "content": "Hello"}]}'


def test_second_instance_on_the_same_port_is_refused(tmp_path: Path) -> None:
    """ARCH-3.3: the refusal names the port, who has it and what to do; the first instance is not disturbed."""
    with serve(tmp_path, "--workers", "1") as server:
        environment = os.environ | {"LLMSIM_SERVER_RUN_DIR": str(tmp_path), "LLMSIM_HOST": "127.0.0.1"}
        second = subprocess.run(
            [sys.executable, "-m", "llmsim", "serve", "--port", str(server.port), "--workers", "1"],
            env=environment,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        elsewhere = subprocess.run(
            [sys.executable, "-m", "llmsim", "serve", "--port", str(server.port), "--workers", "1"],
            env=environment | {"LLMSIM_SERVER_RUN_DIR": str(tmp_path / "other")},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert server.stats()["total_requests"] == 0

    for refused in (second, elsewhere):
        assert refused.returncode != 0
        assert f"port {server.port} is taken" in refused.stderr
        assert "--port" in refused.stderr
        assert "Traceback" not in refused.stderr
    assert str(server.process.pid) in second.stderr


def test_gunicorn_with_the_configuration_file_is_the_same_server(tmp_path: Path) -> None:
    """ARCH-3.1, STATS-7.6: `gunicorn -c gunicorn.conf.py` answers, counts and obeys settings like `llmsim serve`."""
    gunicorn = (sys.executable, "-m", "gunicorn", "-c", str(ROOT / "gunicorn.conf.py"))
    with serve(
        tmp_path, command=gunicorn, LLMSIM_WORKERS="2", LLMSIM_LATENCY="instant", LLMSIM_GENERATOR="fixed:hi"
    ) as server:
        with urllib.request.urlopen(f"{server.openai}/chat/completions", data=BODY, timeout=60) as answer:
            assert b'"content":"hi"' in answer.read()
        stats = eventually(lambda: (s := server.stats())["finished_requests"] == 1 and s)
        server.wait_for_workers(2)

    assert stats["completions_requests"] == 1


def test_stats_command_reads_shared_memory_even_while_workers_stand_still(tmp_path: Path) -> None:
    """STATS-8.1, STATS-1.6: `llmsim stats` needs no worker to answer, and leaves the block as it is."""
    with serve(tmp_path, "--workers", "1", LLMSIM_LATENCY="instant") as server:
        worker = server.workers()[0]
        os.kill(worker, signal.SIGSTOP)
        try:
            for _ in range(2):
                shown = subprocess.run(
                    [sys.executable, "-m", "llmsim", "stats", "--json", "--port", str(server.port)],
                    capture_output=True,
                    text=True,
                    timeout=60,
                    check=True,
                )
        finally:
            os.kill(worker, signal.SIGCONT)
        assert '"total_requests"' in shown.stdout
        assert server.stats()["total_requests"] == 0


def test_stats_block_and_files_go_with_the_server(tmp_path: Path) -> None:
    """STATS-1.7: after SIGTERM neither shared memory nor ticket files are left behind."""
    with serve(tmp_path, "--workers", "1") as server:
        block = Path("/dev/shm") / f"llmsim-{server.port}"
        assert block.exists()

    assert not block.exists()
    assert not list(tmp_path.glob("*.counters"))


def test_memory_is_shared_after_the_fork(tmp_path: Path) -> None:
    """ARCH-3.2: vocabularies and routes are loaded once; a worker that serves costs a sixth of that, also after a reload."""
    with serve(tmp_path, "--workers", "3", LLMSIM_LATENCY="instant") as server:
        for _ in range(2):
            workers = server.wait_for_workers(3)
            for _ in range(30):
                for url, data in (
                    (f"{server.openai}/chat/completions", BODY),
                    (f"{server.openai}/models", None),
                ):
                    urllib.request.urlopen(url, data=data, timeout=60).close()
            shares = [_memory(worker) for worker in workers]
            assert all(private < shared / 6 for private, shared in shares), shares

            server.signal(signal.SIGHUP)
            eventually(lambda before=workers: set(server.wait_for_workers(3)).isdisjoint(before))


def test_ids_of_workers_never_recur(tmp_path: Path) -> None:
    """ARCH-3.2: workers share what makes ids, and draw prefixes of their own; so do those of a reload."""
    with serve(tmp_path, "--workers", "2", LLMSIM_LATENCY="instant") as server:
        ids: list[str] = []
        for _ in range(2):
            workers = server.wait_for_workers(2)
            for _ in range(40):
                with urllib.request.urlopen(
                    f"{server.openai}/chat/completions", data=BODY, timeout=60
                ) as answer:
                    ids += [json.load(answer)["id"], answer.headers["x-request-id"]]
            server.signal(signal.SIGHUP)
            eventually(lambda before=workers: set(server.wait_for_workers(2)).isdisjoint(before))

    assert len(set(ids)) == len(ids) == 160
    assert 2 < len({re.sub(r"^\D+-", "", one.removeprefix("req_"))[:18] for one in ids}) <= 4


def _memory(pid: int) -> tuple[int, int]:
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()[1:]
    values = {line.split(":")[0]: int(line.split()[1]) for line in lines}
    return values["Private_Dirty"] + values["Private_Clean"], values["Shared_Dirty"] + values["Shared_Clean"]


def test_workers_come_and_go_without_losing_a_connection(tmp_path: Path) -> None:
    """ARCH-3.9: reloads, more workers, fewer workers: every request of a steady client is answered."""
    with serve(tmp_path, "--workers", "2", LLMSIM_LATENCY="instant") as server:
        server.wait_for_workers(2)
        answered = 0
        for number in (
            signal.SIGHUP,
            signal.SIGTTIN,
            signal.SIGHUP,
            signal.SIGHUP,
            signal.SIGHUP,
            signal.SIGHUP,
        ):
            server.signal(number)
            for _ in range(60):
                with urllib.request.urlopen(
                    f"{server.openai}/chat/completions", data=BODY, timeout=60
                ) as answer:
                    answered += answer.status == 200
        stats = server.settled(360)

    assert answered == stats["finished_requests"] == 360


def test_fewer_workers_serve_on(tmp_path: Path) -> None:
    """ARCH-3.9: when workers are retired for good, no connection is left waiting at a socket that nobody serves."""
    with serve(tmp_path, "--workers", "3", LLMSIM_LATENCY="instant") as server:
        server.wait_for_workers(3)
        for left in (2, 1):
            server.signal(signal.SIGTTOU)
            server.wait_for_workers(left)
        for _ in range(60):
            with urllib.request.urlopen(f"{server.openai}/chat/completions", data=BODY, timeout=60) as answer:
                assert answer.status == 200


def test_port_is_kept_over_a_reload(tmp_path: Path) -> None:
    """ARCH-3.4: a file that names another port is obeyed at the next start; until then the server says so and serves on."""
    file = tmp_path / "llmsim.toml"
    file.write_text('[latency]\nprofile = "instant"\n')
    with serve(tmp_path, "--workers", "1", "--config", str(file)) as server:
        before = server.workers()
        file.write_text('[server]\nport = 1\n[latency]\nprofile = "instant"\n')
        server.signal(signal.SIGHUP)
        eventually(lambda: server.workers() not in ([], before))
        with urllib.request.urlopen(f"{server.openai}/chat/completions", data=BODY, timeout=60) as answer:
            assert answer.status == 200


def test_interrupted_master_stops_at_once(tmp_path: Path) -> None:
    """ARCH-3.4: SIGINT to the master alone ends the server without waiting for open streams."""
    with serve(
        tmp_path, "--workers", "2", LLMSIM_LATENCY="instant", LLMSIM_LATENCY_TTFT_MEAN_MS="60000"
    ) as server:
        server.wait_for_workers(2)
        with socket.create_connection(("127.0.0.1", server.port)) as waiting:
            waiting.sendall(
                b"POST /openai/v1/chat/completions HTTP/1.1\r\nhost: x\r\ncontent-length: %d\r\n\r\n%b"
                % (len(BODY), BODY)
            )
            eventually(lambda: server.stats()["active_requests"] == 1)
            server.signal(signal.SIGINT)
            # Less than the graceful timeout, which is for streams.
            assert server.process.wait(timeout=25) == 0
        assert "SIGKILL" not in server.logged()


def test_files_of_killed_servers_are_swept(tmp_path: Path) -> None:
    """STATE-5.2: what a server that was killed left in the run directory goes at the next start; other files stay."""
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    left = [tmp_path / f"{gone.pid}.{kind}" for kind in ("counters", "records", "records-wal")]
    kept = tmp_path / "1.notes"
    for file in (*left, kept):
        file.write_bytes(b"")
    with serve(tmp_path, "--workers", "1"):
        assert kept.exists()
        assert not any(file.exists() for file in left)
