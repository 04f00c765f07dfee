"""Starts, stops and kills at any instant: nothing hangs, nothing is left behind, and no message is wrong."""

import contextlib
import fcntl
import http.client
import json
import os
import random
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from support.servers import Server, eventually, free_port, reserved_port, serve

BODY = b'{"model": "gpt-4o", "messages": [{"role": "user", "content": "Hello"}], "stream": true}'
REQUEST = (
    b"POST /openai/v1/chat/completions HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: %d\r\n\r\n%b"
    % (len(BODY), BODY)
)


def _is_running(pid: int) -> bool:
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False
    return stat.rpartition(")")[2].split()[0] not in "ZX"


def _children(pid: int) -> list[int]:
    with contextlib.suppress(OSError):
        return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    return []


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


@contextlib.contextmanager
def launch(
    directory: Path, port: int, *arguments: str, **variables: str
) -> "Iterator[subprocess.Popen[str]]":
    """Start a server, and wait for nothing; kill what is left of it at the end."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("LLMSIM_")}
    environment |= {"LLMSIM_SERVER_RUN_DIR": str(directory), "LLMSIM_LATENCY": "instant"}
    process = subprocess.Popen(
        [sys.executable, "-m", "llmsim", "serve", "--host", "127.0.0.1", "--port", str(port), *arguments],
        env=environment | variables,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    try:
        yield process
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()


def stop_at_random(directory: Path, number: signal.Signals, rng: random.Random) -> float:
    """Start 1 to 4 workers, stop the server at a random instant after the first fork; return how long that took, in seconds."""
    workers = rng.randint(1, 4)
    delay = rng.choice((0.0, rng.uniform(0, 0.02), rng.uniform(0, 0.1), rng.uniform(0, 0.8)))
    with reserved_port() as port, launch(directory, port, "--workers", str(workers)) as process:
        while not _children(process.pid):
            assert process.poll() is None
            time.sleep(0.0005)
        time.sleep(delay)
        begun = time.monotonic()
        process.send_signal(number)
        _, errors = process.communicate(timeout=60)
        seconds = time.monotonic() - begun
    facts = f"{workers} workers, {number.name} after {delay:.4f} s, took {seconds:.2f} s: {errors}"
    assert (process.returncode, errors) == (0, ""), facts
    # Far below `graceful_timeout`, which a worker that misses the signal takes; far above what any machine needs.
    assert seconds < 15, facts
    assert [file.name for file in directory.iterdir() if not file.name.endswith(".lock")] == [], facts
    assert not Path(f"/dev/shm/llmsim-{port}").exists(), facts
    return seconds


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_stop_at_any_instant_is_obeyed(tmp_path: Path, number: signal.Signals) -> None:
    """ARCH-3.12, ARCH-3.13: from the first fork on a stop ends an idle server at once, in silence, and leaves nothing behind."""
    rng = random.Random()  # Other instants at each run.
    for _ in range(3):
        stop_at_random(tmp_path, number, rng)


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_two_hundred_stops(tmp_path: Path, number: signal.Signals) -> None:
    """ARCH-3.12: the same 200 times; prints how long it took."""
    rng = random.Random(7)
    seconds = sorted(stop_at_random(tmp_path, number, rng) for _ in range(200))
    late = sum(one > 0.5 for one in seconds)
    print(  # noqa: T201 - the figures are what it is run for
        f"{number.name}: median {seconds[100]:.2f} s, p95 {seconds[190]:.2f} s, max {seconds[-1]:.2f} s, {late} over 0.5 s"
    )


@contextlib.contextmanager
def _orphans(directory: Path, port: int, **variables: str) -> Iterator[list[int]]:
    """Start a server of two workers, kill its master, and yield the workers."""
    with launch(directory, port, "--workers", "2", **variables) as process:
        workers = eventually(lambda: len(found := _children(process.pid)) >= 2 and _listens(port) and found)
        connection = eventually(lambda: _stream(port)) if "LLMSIM_LATENCY_TTFT_MEAN_MS" in variables else None
        process.kill()
        process.wait()
        try:
            yield workers
        finally:
            if connection is not None:
                connection.close()


def _stream(port: int) -> socket.socket:
    connection = socket.create_connection(("127.0.0.1", port))
    connection.sendall(REQUEST)
    return connection


def test_workers_without_a_master_end(tmp_path: Path) -> None:
    """ARCH-3.14: when the master is killed idle workers end, and with them the hold on the port."""
    with reserved_port() as port, _orphans(tmp_path, port) as workers:
        eventually(lambda: not any(map(_is_running, workers)), within=15)
        assert not _listens(port)


def test_a_start_beside_draining_workers(tmp_path: Path) -> None:
    """ARCH-3.14, ARCH-3.15: a stream without a master ends as it would; the next start works at once, and leaves its files alone."""
    slow = {"LLMSIM_LATENCY_TTFT_MEAN_MS": "6000", "LLMSIM_LATENCY_TTFT_STDDEV_MS": "0"}
    with reserved_port() as port, launch(tmp_path, port, "--workers", "1", **slow) as first:
        eventually(lambda: _listens(port))
        stream = _stream(port)
        eventually(lambda: _stats(port)["active_requests"] == 1)
        first.kill()
        first.wait()
        files = {file.name for file in tmp_path.glob(f"{first.pid}.*")}
        assert any(name.endswith(".records") for name in files)
        with launch(tmp_path, port, "--workers", "1") as second:
            eventually(lambda: _answers(port))
            assert second.poll() is None
            assert {file.name for file in tmp_path.glob(f"{first.pid}.*")} == files
            stream.settimeout(60)
            answer = b""
            while part := stream.recv(65_536):
                answer += part
            stream.close()
            second.terminate()
            second.communicate(timeout=60)
        assert b"data: [DONE]" in answer
        with launch(tmp_path, port, "--workers", "1"):
            eventually(lambda: _answers(port))
            assert not list(tmp_path.glob(f"{first.pid}.*"))


def _stats(port: int) -> Any:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        connection.request("GET", "/llmsim/stats")
        return json.load(connection.getresponse())
    finally:
        connection.close()


def _answers(port: int) -> bool:
    with contextlib.suppress(OSError, http.client.HTTPException):
        return bool(_stats(port))
    return False


def test_who_has_the_port_is_named(tmp_path: Path) -> None:
    """ARCH-3.3: the refusal names the process that listens on the port, not one that is gone."""
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        (tmp_path / f"{port}.lock").write_text("999999999\n")
        with launch(tmp_path, port) as process:
            _, errors = process.communicate(timeout=60)

    assert process.returncode == 1
    assert f"port {port} is taken: pid {os.getpid()} (" in errors
    assert "999999999" not in errors
    assert "Traceback" not in errors


def test_a_stop_ends_a_reload(tmp_path: Path) -> None:
    """ARCH-3.12: a stop while a reload waits for a stream of an old worker is obeyed: that stream has one graceful timeout."""
    slow = {"LLMSIM_LATENCY_TTFT_MEAN_MS": "60000", "LLMSIM_SERVER_GRACEFUL_TIMEOUT_SECS": "20"}
    with serve(tmp_path, "--workers", "1", LLMSIM_LATENCY="instant", **slow) as server:
        (old,) = server.workers()
        with _stream(server.port):
            eventually(lambda: server.stats()["active_requests"] == 1)
            server.signal(signal.SIGHUP)
            eventually(lambda: [pid for pid in server.workers() if pid != old])
            server.signal(signal.SIGINT)
            assert server.process.wait(timeout=15) == 0


def test_ctrl_c_is_silent(tmp_path: Path) -> None:
    """ARCH-3.13: Ctrl-C, which the terminal sends to master and workers, prints no warning; nor does SIGTERM at level info."""
    for number, level in ((signal.SIGINT, "warning"), (signal.SIGTERM, "info")):
        with (
            reserved_port() as port,
            launch(tmp_path, port, "--workers", "2", "--log-level", level) as process,
        ):
            eventually(lambda port=port: _listens(port))
            time.sleep(0.3)
            os.killpg(process.pid, number) if level == "warning" else process.terminate()
            _, errors = process.communicate(timeout=60)
        assert process.returncode == 0
        assert not [word for word in ("WARNING", "ERROR", "rror", "Traceback") if word in errors], errors
        assert level == "info" or errors == ""


def _break_directory(path: Path, how: str) -> None:
    if how == "link":
        path.with_name("elsewhere").mkdir(mode=0o700)
        path.symlink_to(path.with_name("elsewhere"))
    elif how == "file":
        path.write_text("")
    else:
        path.mkdir()
        path.chmod(int(how, 8))


@pytest.mark.parametrize("how", ["link", "file", "777", "755"])
def test_a_strange_run_directory_is_refused(tmp_path: Path, how: str) -> None:
    """STATE-6.1: the directory for temporary files may hold one of that name that somebody else has made."""
    _break_directory(tmp_path / f"llmsim-{os.getuid()}", how)
    environment = {"TMPDIR": str(tmp_path), "XDG_RUNTIME_DIR": "", "RUNTIME_DIRECTORY": ""}
    with launch(tmp_path, free_port(), LLMSIM_SERVER_RUN_DIR="", **environment) as process:
        _, errors = process.communicate(timeout=60)

    assert process.returncode != 0
    assert "server.run_dir" in errors
    assert str(tmp_path / f"llmsim-{os.getuid()}") in errors
    assert "Traceback" not in errors


def test_a_lock_that_is_a_link_is_refused(tmp_path: Path) -> None:
    """STATE-6.2: the lock is not written through a link."""
    victim = tmp_path / "victim"
    victim.write_text("precious")
    port = free_port()
    (tmp_path / f"{port}.lock").symlink_to(victim)
    with launch(tmp_path, port) as process:
        _, errors = process.communicate(timeout=60)

    assert process.returncode == 1
    assert f"{port}.lock" in errors
    assert victim.read_text() == "precious"


def test_a_directory_is_held(tmp_path: Path) -> None:
    """STATE-6.3: while a server runs its directory is locked, as systemd-tmpfiles looks for it; afterwards it is not."""
    descriptor = os.open(tmp_path, os.O_RDONLY)
    try:
        with (
            serve(tmp_path, "--workers", "1", LLMSIM_LATENCY="instant"),
            pytest.raises(BlockingIOError),
        ):
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    finally:
        os.close(descriptor)


def test_a_full_directory_is_reported_at_the_start(tmp_path: Path) -> None:
    """STATE-6.4: where files cannot be written, here for a limit of their size, the start fails with the reason."""
    program = (
        "import resource, runpy, signal, sys; signal.signal(signal.SIGXFSZ, signal.SIG_IGN);"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096)); sys.argv[0] = 'llmsim';"
        "runpy.run_module('llmsim', run_name='__main__', alter_sys=True)"
    )
    environment = os.environ | {"LLMSIM_SERVER_RUN_DIR": str(tmp_path), "LLMSIM_LATENCY": "instant"}
    failed = subprocess.run(
        [sys.executable, "-c", program, "serve", "--host", "127.0.0.1", "--port", str(free_port())],
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert failed.returncode == 1
    assert "cannot be used" in failed.stderr
    assert "Traceback" not in failed.stderr


def test_files_are_open_from_the_start(tmp_path: Path) -> None:
    """STATE-5.10: a worker that has answered nothing has its files open."""
    with serve(tmp_path, "--workers", "1", LLMSIM_LATENCY="instant") as server:
        (worker,) = server.workers()
        links = [str(link.readlink()) for link in Path(f"/proc/{worker}/fd").iterdir() if link.exists()]
        names = {link.rpartition(".")[2] for link in links if str(tmp_path) in link}

    assert names >= {"counters", "records", "prefixes", "sessions", "journal", "scripts"}


def _damage(directory: Path, master: int, how: str) -> None:
    for file in directory.glob(f"{master}.*"):
        if how == "unlink" or (how == "scribble" and not file.name.endswith(("-wal", "-shm"))):
            file.unlink()
        if how == "truncate":
            os.truncate(file, 0)
        if how == "scribble" and not file.name.endswith(("-wal", "-shm", ".users", ".opening")):
            file.write_bytes(b"nonsense" * 2000)


@pytest.mark.parametrize("how", ["unlink", "truncate", "scribble"])
def test_damaged_files_cost_no_request(tmp_path: Path, how: str) -> None:
    """STATE-5.6: whatever happens to the files of a running server, requests of all kinds go on."""
    script = tmp_path / "script.json"
    script.write_text('{"turns": [{"type": "assistant", "text": "played"}]}')
    with serve(
        tmp_path, "--workers", "2", "--scripts-dir", str(_folder(script)), LLMSIM_LATENCY="instant"
    ) as server:
        server.wait_for_workers(2)
        _ask_all(server)
        workers = server.workers()
        _damage(tmp_path, server.process.pid, how)
        for _ in range(10):
            _ask_all(server)

        assert server.workers() == workers


def _folder(script: Path) -> Path:
    folder = script.with_name("scripts")
    folder.mkdir()
    script.rename(folder / "played.json")
    return folder


def _ask_all(server: Server) -> None:
    chat = {"model": "gpt-4o", "messages": [{"role": "user", "content": "x"}], "store": True}
    cached = {"type": "text", "text": "word " * 3000, "cache_control": {"type": "ephemeral"}}
    message = {
        "model": "claude-haiku-4-5",
        "max_tokens": 5,
        "messages": [{"role": "user", "content": [cached]}],
    }
    played = {"x-llmsim-session": "s", "x-llmsim-script": "played"}
    for path, body, headers in (
        ("/openai/v1/chat/completions", chat, {}),
        ("/openai/v1/chat/completions", chat, played),
        ("/openai/v1/responses", {"model": "gpt-4o", "input": "x"}, {}),
        ("/anthropic/v1/messages", message, {"anthropic-version": "2023-06-01"}),
    ):
        status, answer = _post(server.port, path, body, headers)
        assert status == 200, answer
        if headers is played:
            assert b"played" in answer


def _post(port: int, path: str, body: Any, headers: dict[str, str]) -> tuple[int, bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    try:
        connection.request("POST", path, json.dumps(body), {"content-type": "application/json", **headers})
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()
