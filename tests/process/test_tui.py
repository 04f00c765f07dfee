"""`llmsim serve --tui` and `llmsim top` in a real terminal."""

import contextlib
import fcntl
import os
import pty
import signal
import socket
import struct
import subprocess
import sys
import termios
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.servers import eventually, reserved_port, serve

from llmsim.cli.terminal.serving import OutputFile

_LEFT = "\x1b[?1049l"
"""Ends the screen on which the dashboard is drawn."""


class _Terminal:
    """A command in a terminal of 80 by 24."""

    def __init__(self, process: "subprocess.Popen[bytes]", master: int) -> None:
        self.process = process
        self._master = master
        self._parts: list[bytes] = []
        threading.Thread(target=self._collect, daemon=True).start()

    def _collect(self) -> None:
        with contextlib.suppress(OSError):
            while part := os.read(self._master, 65536):
                self._parts.append(part)

    @property
    def output(self) -> str:
        """What it has written so far."""
        return b"".join(self._parts).decode(errors="replace")

    def press(self, keys: str) -> None:
        os.write(self._master, keys.encode())

    def wait(self) -> int:
        """Return its exit code."""
        return self.process.wait(timeout=60)


@contextlib.contextmanager
def _terminal(port: int, directory: Path, *arguments: str) -> Iterator[_Terminal]:
    master, slave = pty.openpty()
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
    environment = {name: value for name, value in os.environ.items() if not name.startswith("LLMSIM_")}
    environment |= {
        "LLMSIM_PORT": str(port),
        "LLMSIM_HOST": "127.0.0.1",
        "LLMSIM_SERVER_RUN_DIR": str(directory),
        "LLMSIM_WORKERS": "1",
        "TERM": "xterm-256color",
    }
    process = subprocess.Popen(
        [sys.executable, "-m", "llmsim", *arguments],
        env=environment,
        stdin=slave,
        stdout=slave,
        stderr=slave,
        start_new_session=True,
    )
    os.close(slave)
    try:
        yield _Terminal(process, master)
    finally:
        if process.poll() is None:
            process.terminate()
            process.wait(timeout=60)
        os.close(master)


def _is_served(port: int) -> bool:
    with contextlib.suppress(OSError), urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=5):
        return True
    return False


def _child(process: int) -> int:
    """Return the only child of a process."""
    (child,) = Path(f"/proc/{process}/task/{process}/children").read_text().split()
    return int(child)


def test_the_server_ends_with_the_dashboard(tmp_path: Path) -> None:
    """TUI-4.2: The server runs beside the dashboard; `q` stops it, and a line says so on the terminal as it was."""
    with reserved_port() as port, _terminal(port, tmp_path, "serve", "--tui") as terminal:
        eventually(lambda: "in flight" in terminal.output)
        assert _is_served(port)
        terminal.press("q")
        assert terminal.wait() == 0
        eventually(lambda: f"the server on port {port} is stopped" in terminal.output)

        assert "stopping the server" in terminal.output
        assert "simulates LLM APIs" not in terminal.output
        assert terminal.output.index(_LEFT) < terminal.output.index("is stopped")
        assert not _is_served(port)


def test_a_killed_server_ends_the_dashboard(tmp_path: Path) -> None:
    """TUI-4.3: The terminal is left in order, then the server's output printed, and its exit code returned."""
    with reserved_port() as port, _terminal(port, tmp_path, "serve", "--tui") as terminal:
        eventually(lambda: "in flight" in terminal.output)
        os.kill(_child(terminal.process.pid), signal.SIGKILL)
        assert terminal.wait() == 128 + signal.SIGKILL
        eventually(lambda: "simulates LLM APIs" in terminal.output)

        assert terminal.output.index(_LEFT) < terminal.output.index("simulates LLM APIs")


def test_a_server_that_does_not_start_says_why(tmp_path: Path) -> None:
    """TUI-4.3: Without a server there is no dashboard, but its message and its exit code."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with _terminal(port, tmp_path, "serve", "--tui") as terminal:
            assert terminal.wait() == 1
            eventually(lambda: f"port {port} is taken" in terminal.output)
            assert "\x1b[?1049h" not in terminal.output


@pytest.mark.skipif(
    not sys.platform.startswith("linux"), reason="the kernel has to know of the parent's death"
)
def test_a_killed_dashboard_takes_the_server_with_it(tmp_path: Path) -> None:
    """TUI-4.4: No server is left behind by a dashboard that was killed."""
    with reserved_port() as port, _terminal(port, tmp_path, "serve", "--tui") as terminal:
        eventually(lambda: "in flight" in terminal.output)
        terminal.process.kill()
        terminal.wait()
        eventually(lambda: not _is_served(port))


def test_a_signal_stops_both(tmp_path: Path) -> None:
    """TUI-4.4: SIGHUP reloads the server and leaves the dashboard; SIGTERM stops the server, then the dashboard ends."""
    with reserved_port() as port, _terminal(port, tmp_path, "serve", "--tui") as terminal:
        eventually(lambda: "in flight" in terminal.output)
        terminal.process.send_signal(signal.SIGHUP)
        terminal.press("l")
        eventually(lambda: "settings were read anew" in terminal.output)
        terminal.process.send_signal(signal.SIGTERM)
        assert terminal.wait() == 0
        assert not _is_served(port)


def test_top_reads_without_a_request(tmp_path: Path) -> None:
    """TUI-1.2: `llmsim top` shows a server that cannot answer, because it is stopped, and leaves it alone."""
    with serve(tmp_path, "--workers", "1") as server:
        (worker,) = server.wait_for_workers(1)
        os.kill(worker, signal.SIGSTOP)
        try:
            with _terminal(server.port, tmp_path, "top") as terminal:
                eventually(lambda: "in flight" in terminal.output)
                terminal.press("q")
                assert terminal.wait() == 0
        finally:
            os.kill(worker, signal.SIGCONT)
        assert server.process.poll() is None


def test_watched_stats_are_refreshed_in_place(tmp_path: Path) -> None:
    """STATS-8.8: Each view begins at the top, on a screen of its own, and never scrolls it."""
    with (
        serve(tmp_path, "--workers", "1") as server,
        _terminal(server.port, tmp_path, "stats", "--watch", "0.1") as terminal,
    ):
        eventually(lambda: terminal.output.count("\x1b[H") > 3)
        terminal.process.send_signal(signal.SIGINT)
        assert terminal.wait() == 0
        eventually(lambda: _LEFT in terminal.output)

    shown, _, after = terminal.output.partition(_LEFT)
    screens = shown.partition("\x1b[?1049h")[2].split("\x1b[H")
    assert all(screen.count("\n") < 24 for screen in screens)
    assert sum("lateness" in screen and "Worker" in screen for screen in screens) > 1
    assert "60 s ago" in after


def test_output_takes_bounded_space() -> None:
    """TUI-4.1: Of large output the end is kept, and what is written later follows it."""
    with contextlib.closing(OutputFile()) as output:
        for number in range(40_000):
            os.write(output.fileno(), f"{number:>63}\n".encode())
        output.trim()
        os.write(output.fileno(), b"later\n")

        assert os.fstat(output.fileno()).st_size < 100_000
        assert [line.strip() for line in output.tail(2).splitlines()] == ["39999", "later"]
