"""A server on a system that lacks what only Linux has; and the system calls that a server needs under systemd."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest
from support.servers import eventually, serve

UNIT = Path(__file__).parents[2] / "docs" / "llmsim.service"
BODY = b'{"model": "gpt-4o", "messages": [{"role": "user", "content": "Hello"}], "stream": true}'

ELSEWHERE = """
import builtins, ctypes, io, os, pathlib, sys
import falcon, gunicorn.app.base, sqlite3, tiktoken, urllib.request, uvicorn, uvicorn_worker, uvloop  # they ask for the real system

sys.platform = "darwin"
for name in ("sched_getaffinity", "sched_setaffinity", "posix_fallocate", "eventfd", "memfd_create", "pidfd_open"):
    if hasattr(os, name):
        delattr(os, name)

def refuse(real):
    def opened(path, *arguments, **options):
        if str(path).startswith("/proc"):
            raise FileNotFoundError(2, "No such file or directory", str(path))
        return real(path, *arguments, **options)
    return opened

io.open = builtins.open = refuse(io.open)
pathlib.Path.glob = refuse(pathlib.Path.glob)

class Library(ctypes.CDLL):
    def __getattr__(self, name):
        if name == "prctl":
            raise AttributeError(name)
        return super().__getattr__(name)

ctypes.CDLL = Library

from llmsim.cli import main
main()
"""
"""A program that takes away what only Linux has, and is then the command line."""


def stream(url: str) -> bytes:
    with urllib.request.urlopen(f"{url}/chat/completions", data=BODY, timeout=60) as answer:
        return answer.read()  # type: ignore[no-any-return]


def test_starts_and_answers_without_linux(tmp_path: Path) -> None:
    """HOST-4.1: Without affinity, `posix_fallocate`, `prctl` and `/proc` the server starts, answers, counts and stops."""
    program = tmp_path / "elsewhere.py"
    program.write_text(ELSEWHERE, encoding="utf-8")
    command = (sys.executable, str(program), "serve")
    with serve(tmp_path, "--workers", "1", command=command, LLMSIM_LATENCY="instant") as server:
        body = stream(server.openai)
        stats = server.settled(1)
        server.signal(signal.SIGTERM)
        server.process.wait(60)

    assert body.endswith(b"data: [DONE]\n\n")
    assert stats["finished_requests"] == 1
    assert server.process.returncode == 0
    assert "Traceback" not in server.logged()


STRACE = shutil.which("strace")
SYSTEMD_ANALYZE = shutil.which("systemd-analyze")


def permitted_calls() -> set[str]:
    """Return the names of the system calls that the unit's filter permits."""
    groups: dict[str, list[str]] = {}
    output = subprocess.run(
        [str(SYSTEMD_ANALYZE), "syscall-filter"], capture_output=True, text=True, check=True
    ).stdout
    for line in output.splitlines():
        if re.fullmatch(r"@[\w-]+", line):
            groups[line] = []
        elif groups and re.fullmatch(r" +[@\w-]+", line):
            groups[list(groups)[-1]].append(line.strip())

    def resolve(name: str) -> set[str]:
        if not name.startswith("@"):
            return {name}
        return {call for member in groups[name] for call in resolve(member)}

    # systemd permits these always.
    calls = resolve("@default")
    for value in re.findall(r"^SystemCallFilter=(.*)$", UNIT.read_text(), re.MULTILINE):
        names = value.removeprefix("~").split()
        found = {call for name in names for call in resolve(name)}
        calls = calls - found if value.startswith("~") else calls | found
    return calls


@pytest.mark.tools
@pytest.mark.skipif(None in (STRACE, SYSTEMD_ANALYZE), reason="apt-get install strace systemd")
def test_unit_permits_what_a_server_calls(tmp_path: Path) -> None:
    """HOST-3.3: A server that starts, answers, stores, reloads and stops makes no call that the unit's filter refuses."""
    trace = tmp_path / "trace"
    command = (str(STRACE), "-f", "-qq", "-o", str(trace), sys.executable, "-m", "llmsim", "serve")
    stored = json.dumps({"model": "gpt-4o", "input": "Hello", "store": True}).encode()
    with serve(tmp_path, "--workers", "2", command=command, LLMSIM_LATENCY="instant") as server:
        lock = next(tmp_path.rglob(f"{server.port}.lock"))
        master = int(lock.read_text())
        stream(server.openai)
        headers = {"content-type": "application/json"}
        urllib.request.urlopen(
            urllib.request.Request(f"{server.openai}/responses", stored, headers), timeout=60
        ).read()
        before = set(server.workers())
        subprocess.run(["kill", "-HUP", str(master)], check=True)
        eventually(lambda: not before & set(server.workers()))
        stream(server.openai)
        subprocess.run(["kill", "-TERM", str(master)], check=True)
        server.process.wait(60)
    lines = trace.read_text(errors="replace")
    called = set(re.findall(r"^\d+ +(\w+)\(", lines, re.MULTILINE))
    families = set(re.findall(r"socket\((AF_\w+)", lines))
    [permitted_families] = re.findall(r"^RestrictAddressFamilies=(.*)$", UNIT.read_text(), re.MULTILINE)

    if os.geteuid() == 0:
        # SQLite gives the files beside a database the owner of the database, as root only.
        called.discard("fchown")

    assert {"accept4", "execve", "mmap"} <= called
    assert called - permitted_calls() == set()
    assert families <= set(permitted_families.split())
