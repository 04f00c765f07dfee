"""`llmsim stats`: its sources, its view, its errors."""

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer

import msgspec
import pytest
from click.testing import CliRunner, Result
from rich.console import Console
from support.servers import reserved_port

from llmsim.cli import main
from llmsim.cli.figures import chart, duration
from llmsim.cli.stats import fetch, poll, stats_url
from llmsim.cli.stats_view import fit_stats, render_stats
from llmsim.errors import StatsError
from llmsim.stats import Block, Gauges, Outcome, Recorder, Snapshot, block_name, layout, snapshot

NOW = 5000.0


def _busy(*, workers: int = 2, lateness: float = 0.001) -> Snapshot:
    block = Block.private(endpoints=("completions", "messages"), slots=4, now=1300.0, wall=1.75e9)
    for _ in range(workers):
        recorder = Recorder(block, block.claim(1))
        for number, outcome in enumerate([*Outcome, *[Outcome.FINISHED] * 40]):
            recorder.began(number % 2, NOW - number)
            row = recorder.accepted(0, "gpt-5", streaming=True, prompt_tokens=40_000)
            recorder.first_token(row, 0.6)
            recorder.gap(row, 0.04, 99)
            recorder.late(lateness, 100)
            recorder.sent(row, 100, NOW - number)
            recorder.ended(number % 2, outcome, 4.6, NOW - number, row)
        recorder.began(0, NOW)
        recorder.accepted(0, "\x1b[2J[red]evil\a" + "x" * 200, streaming=False, prompt_tokens=1)
    return snapshot(block, NOW, wall=1.75e9)


def _lines(stats: Snapshot, width: int) -> list[str]:
    console = Console(width=width, record=True, file=open("/dev/null", "w"))  # noqa: SIM115, PTH123
    with console.file:
        console.print(render_stats(stats, origin="port 8080"))
    return [line.rstrip() for line in console.export_text().splitlines()]


def _run(*arguments: str, env: dict[str, str] | None = None) -> Result:
    return CliRunner().invoke(main, ["stats", *arguments], env={"LLMSIM_PORT": None, **(env or {})})


@pytest.fixture
def port() -> Iterator[int]:
    """A port with a block and no server."""
    with reserved_port() as port:
        block = Block.create(block_name(port), endpoints=("completions",), slots=2, now=time.monotonic())
        Recorder(block, block.claim(1)).began(0, time.monotonic())
        yield port
        block.unlink()


@contextmanager
def _serving(body: bytes, status: int = 200) -> Iterator[str]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status if self.path == "/llmsim/stats" else 404)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002
            pass

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def test_it_reads_the_memory_of_the_port(port: int) -> None:
    """STATS-8.1: Without an address the counters are read from shared memory: no server is needed."""
    result = _run("--port", str(port), "--json")

    assert result.exit_code == 0
    assert json.loads(result.output)["total_requests"] == 1


def test_the_port_may_stand_in_the_environment(port: int) -> None:
    """STATS-8.1: `LLMSIM_PORT` names the port, unless Kubernetes put a service's address there."""
    assert json.loads(_run("--json", env={"LLMSIM_PORT": str(port)}).output)["total_requests"] == 1
    assert "8080" in _run("--help", env={"LLMSIM_PORT": "tcp://10.0.0.11:8080"}).output
    linked = _run("--port", str(port), "--json", env={"LLMSIM_PORT": "tcp://10.0.0.11:8080"})
    assert linked.exit_code == 0
    assert "tcp://" not in _run("--json", env={"LLMSIM_PORT": "tcp://10.0.0.11:8080"}).output


def test_a_url_is_fetched() -> None:
    """STATS-8.2: With `--url` the counters of that server are shown, by its root or by the full address."""
    expected = _busy()
    with _serving(msgspec.json.encode(expected.as_dict())) as url:
        assert fetch(stats_url(url)) == expected
        assert json.loads(_run("--json", "--url", url).output) == json.loads(
            msgspec.json.encode(expected.as_dict())
        )
        assert f"llmsim on {url}" in _run("--url", f"{url}/llmsim/stats").output


@pytest.mark.parametrize(
    ("url", "address"),
    [
        ("http://a:1", "http://a:1/llmsim/stats"),
        ("https://a/", "https://a/llmsim/stats"),
        ("a:8080", "http://a:8080/llmsim/stats"),
        ("http://[::1]:1", "http://[::1]:1/llmsim/stats"),
        ("http://a/sim/llmsim/stats", "http://a/sim/llmsim/stats"),
    ],
)
def test_addresses_are_completed(url: str, address: str) -> None:
    """STATS-8.2: Host and port are enough."""
    assert stats_url(url) == address


@pytest.mark.parametrize("url", ["file:///etc/passwd", "http://", "ftp://a", "http://a:port", "http://[::1"])
def test_other_addresses_are_refused(url: str) -> None:
    """STATS-8.2: URLs of other schemes are refused."""
    result = _run("--url", url)

    assert result.exit_code == 1
    assert "wanted http://HOST:PORT" in result.output


def test_no_simulator_is_one_line() -> None:
    """STATS-8.3: Without a simulator one line says so and what to do, and the exit code is 1."""
    result = _run("--port", "1")

    assert result.exit_code == 1
    assert result.output == (
        "Error: no llmsim on port 1: start one with `llmsim serve`, or name the port with --port\n"
    )


def test_a_killed_simulators_segment_is_not_shown(port: int) -> None:
    """STATS-8.3: Counters whose master and workers are all dead are not those of a running simulator."""
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    left = Block.create(block_name(port), endpoints=("completions",), slots=1, now=0.0)
    left.words[layout.HEADER_MASTER] = gone.pid
    left.set_pid(left.claim(1), gone.pid)

    result = _run("--port", str(port))
    left.unlink()

    assert result.exit_code == 1
    assert f"llmsim on port {port} is gone: its process {gone.pid} was killed" in result.output


@pytest.mark.parametrize(
    ("body", "status", "message"),
    [
        (b"{}", 200, "not with the stats of this llmsim"),
        (b"<html>", 200, "not with the stats of this llmsim"),
        (b"\xff\xfe", 200, "not with the stats of this llmsim"),
        (b"", 404, "answers 404 Not Found: is this an llmsim server?"),
        (
            b'{"error": {"message": "it is full", "type": "x"}}',
            503,
            "answers 503 Service Unavailable: it is full",
        ),
    ],
)
def test_another_servers_answer_is_refused(body: bytes, status: int, message: str) -> None:
    """STATS-8.3: The error names a URL that answers with something else, and its answer."""
    with _serving(body, status) as url:
        result = _run("--url", url)

    assert result.exit_code == 1
    assert url in result.output
    assert message in result.output
    assert result.output.count("\n") == 1


def test_a_connection_error_names_the_url() -> None:
    """STATS-8.3: The error names a URL that does not answer, and the reason."""
    with _serving(b"") as url:
        pass

    result = _run("--url", url)

    assert result.exit_code == 1
    assert f"cannot read {url}/llmsim/stats: Connection refused" in result.output


def test_watching_survives_a_restart() -> None:
    """STATS-8.4: A reading that fails while watching is reported, and the next one tried; only the first is fatal."""
    stats = _busy()
    results: list[Snapshot | StatsError] = [stats, StatsError("gone"), stats]
    rests: list[float] = []

    def read() -> Snapshot:
        result = results.pop(0)
        if isinstance(result, StatsError):
            raise result
        return result

    found = poll(read, 0.5, sleep=rests.append)

    assert next(found) is stats
    assert str(next(found)) == "gone"
    assert next(found) is stats
    assert rests == [0.5, 0.5]


def test_watching_nothing_fails() -> None:
    """STATS-8.4: Watching fails if there is no simulator at the start."""
    assert _run("--port", "1", "--watch").exit_code == 1
    assert _run("--port", "1", "--watch", "0.5", "--json").exit_code == 1


def test_watching_ends_with_ctrl_c(port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """STATS-8.4: `--watch --json` prints a line a reading, until Ctrl-C ends it without an error."""
    rests: list[float] = []

    def rest(seconds: float) -> None:
        rests.append(seconds)
        if len(rests) == 3:
            raise KeyboardInterrupt

    monkeypatch.setattr("llmsim.cli.stats.time.sleep", rest)
    result = _run("--port", str(port), "--watch", "0.25", "--json")

    assert result.exit_code == 0
    assert [json.loads(line)["total_requests"] for line in result.output.splitlines()] == [1, 1, 1]
    assert rests == [0.25] * 3


@pytest.mark.parametrize("width", [80, 100, 120, 200])
def test_the_view_fits(width: int) -> None:
    """STATS-8.5: From 80 columns on every figure is complete: nothing is truncated, and no line too long."""
    text = "\n".join(_lines(_busy(), width))

    assert max(map(len, text.splitlines())) <= width
    assert "llmsim on port 8080  ·  up 1 h 1 min" in text
    for words in (
        "requests/s",
        "2 in flight",
        "finished",
        "abandoned",
        "rate limit",
        "authentication",
        "first token",
        "inter-token",
        "end to end",
        "lateness",
        "p99.9",
        "40.00",
        f"{2 * 40_000 * (len(Outcome) + 40):,}",
        "gpt-5",
        "completions",
        "messages",
        "Worker",
        "60 s ago",
    ):
        assert words in text
    assert "…" not in text.replace("x…", "")


def _fitted(stats: Snapshot, size: tuple[int, int], problem: str = "") -> list[str]:
    console = Console(width=size[0], height=size[1], color_system=None)
    lines = console.render_lines(fit_stats(stats, origin="port 8080", size=size, problem=problem))
    return ["".join(segment.text for segment in line).rstrip() for line in lines]


@pytest.mark.parametrize("size", [(80, 24), (80, 30), (100, 40), (120, 40), (200, 60), (80, 100)])
@pytest.mark.parametrize("problem", ["", "llmsim on port 8080 is gone"])
def test_the_watched_view_fits_the_terminal(size: tuple[int, int], problem: str) -> None:
    """STATS-8.8: What is refreshed in place has no more lines and columns than the terminal, and all that matters."""
    lines = _fitted(_busy(), size, problem)
    text = "\n".join(lines)

    assert len(lines) <= size[1]
    assert max(map(len, lines)) <= size[0]
    for words in (
        problem,
        "on time: p99",
        "2 in flight",
        "errors ",
        "lateness",
        "finished",
        "Worker",
        "gpt-5",
    ):
        assert words in text


def test_a_low_terminal_shortens_tables() -> None:
    """STATS-8.8: Rows for which there is no room are counted in the last one."""
    block = Block.private(endpoints=("completions",), slots=12, now=0.0)
    for number in range(12):
        Recorder(block, block.claim(1)).accepted(0, f"model-{number:02}", streaming=True, prompt_tokens=1)
    stats = snapshot(block, 1.0)
    low, high = (_fitted(stats, (80, height)) for height in (22, 36))

    assert len(low) <= 22
    assert any(line.split()[1:] == ["more"] for line in low)
    assert any(line.split()[:1] == ["11"] for line in high)
    (rest,) = [line.split() for line in high if line.split()[1:2] == ["more"]]
    assert len([line for line in high if line.startswith(" model-")]) + int(rest[0]) == 12
    assert rest[2] == rest[0]


def test_names_cannot_write_to_the_terminal() -> None:
    """STATS-8.6: A model name is shown as text: neither control characters nor markup take effect."""
    console = Console(width=120, force_terminal=True, record=True, file=open("/dev/null", "w"))  # noqa: SIM115, PTH123
    with console.file:
        console.print(render_stats(_busy(), origin="port 8080"))

    shown = console.export_text(styles=True)
    assert "\x1b[2J" not in shown
    assert "\a" not in shown
    assert "�[2J[red]evil�x" in shown


def test_an_idle_server_has_a_view() -> None:
    """STATS-8.5: A server that has counted nothing shows zeros and dashes."""
    block = Block.private(endpoints=("completions",), slots=2, now=0.0)
    text = "\n".join(_lines(snapshot(block, 0.5), 80))

    assert "up 0 s" in text
    assert "0 in flight" in text
    assert "–" in text  # noqa: RUF001


def test_many_models_are_summed_up() -> None:
    """STATS-8.5: The models with most requests are shown, the others in one line."""
    block = Block.private(endpoints=("completions",), slots=1, now=0.0)
    recorder = Recorder(block, block.claim(1))
    for number in range(40):
        for _ in range(number + 1):
            recorder.accepted(0, f"model-{number:02}", streaming=True, prompt_tokens=1)
    text = "\n".join(_lines(snapshot(block, 1.0), 80))

    assert "model-39" in text
    assert "model-27" not in text
    assert "28 more" in text
    assert str(sum(range(1, 29))) in text


@pytest.mark.parametrize(
    ("lateness", "line", "colour"),
    [
        (0.005, " ● on time: p99 lateness 5.", "32"),
        (0.012, " ● on time, with little to spare: p99 lateness 12 ms", "33"),
        (0.05, " ● late: p99 lateness 5", "31"),
    ],
)
def test_the_verdict_stands_at_the_top(lateness: float, line: str, colour: str) -> None:
    """STATS-8.7: The view begins with the verdict in words, green, yellow or red; a late one says so in red."""
    stats = _busy(lateness=lateness)
    console = Console(width=80, force_terminal=True, record=True, file=open("/dev/null", "w"))  # noqa: SIM115, PTH123
    with console.file:
        console.print(render_stats(stats, origin="port 8080"))

    assert _lines(stats, 80)[2].startswith(line)
    assert f"\x1b[{colour}m●" in console.export_text(styles=True)


def test_an_idle_verdict_is_no_promise() -> None:
    """STATS-8.7: Without measurements the view says so, and not that all is well."""
    block = Block.private(endpoints=("completions",), slots=1, now=0.0)

    assert _lines(snapshot(block, 1.0), 80)[2].startswith(" ○ nothing measured: no token was due")


def test_workers_show_cpu_lag_and_streams() -> None:
    """STATS-8.5: A worker's row has CPU, waiting time, lag and open streams, complete at 80 columns with large figures."""
    block = Block.private(endpoints=("completions",), slots=12, now=0.0)
    for _ in range(12):
        slot = block.claim(4_194_304)
        block.set_pid(slot, os.getpid())
        recorder = Recorder(block, slot)
        gauges = Gauges(block, slot, NOW - 10.0)
        gauges.record_pulse(NOW - 10.0, cpu=0.0, wait=0.0)
        gauges.record_pulse(NOW, cpu=9.7, wait=1.2, lag_max=1.234, lag_sum=2.0, samples=100)
        for _ in range(11_000):
            recorder.began(0, NOW)
            recorder.stream_opened()
    lines = _lines(snapshot(block, NOW), 80)

    head = next(line for line in lines if line.startswith(" Worker"))
    assert head.split() == [
        "Worker",
        "pid",
        "cpu",
        "%",
        "wait",
        "%",
        "lag",
        "ms",
        "streams",
        "requests",
        "in",
        "flight",
        "tokens",
    ]
    row = next(line for line in lines if line.startswith(" 11 ")).split()
    assert row[2:] == ["97", "12", "1,234", "11,000", "11,000", "11,000", "0"]
    assert max(map(len, lines)) <= 80


@pytest.mark.parametrize(
    ("values", "bars"),
    [((), ""), ((0, 0), "▁▁"), ((0, 1, 1000), "▁▂█"), ((1, 2, 3, 4, 5, 6, 7), "▂▃▄▅▆▇█"), ((5,), "█")],
)
def test_sparklines_distinguish_little_from_zero(values: tuple[int, ...], bars: str) -> None:
    """STATS-8.5: The largest value is a full bar, and no value above zero looks like zero."""
    assert chart(values, width=len(values), height=1) == [bars]


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0, "0 s"),
        (59, "59 s"),
        (61, "1 min 1 s"),
        (3600, "1 h 0 min"),
        (90_000, "1 d 1 h"),
        (400 * 86_400, "400 d 0 h"),
    ],
)
def test_durations_have_two_units(seconds: int, words: str) -> None:
    """STATS-8.5: An uptime is shown in its two largest units."""
    assert duration(seconds) == words


@pytest.mark.parametrize("width", [80, 120])
def test_the_view_shows_a_mix(width: int) -> None:
    """STATS-8.5: Where there are several endpoints or models, each has p50 and p99 of its latencies."""
    block = Block.private(endpoints=("completions", "messages"), slots=1, now=1.0)
    recorder = Recorder(block, block.claim(1))
    for endpoint, model, seconds in ((0, "fast", 0.4), (1, "s" * 50, 6.0)):
        row = recorder.accepted(endpoint, model, streaming=True, prompt_tokens=1)
        recorder.ended(endpoint, Outcome.FINISHED, seconds, 2.0, row)
    lines = _lines(snapshot(block, 2.0), width)

    assert any(line.split()[:1] == ["messages"] and line.split()[-2:] == ["6,000", "6,000"] for line in lines)
    assert any(line.split()[:1] == ["fast"] and line.split()[-2:] == ["400", "400"] for line in lines)
    assert any("…" in line and line.split()[-2:] == ["6,000", "6,000"] for line in lines)
    assert max(map(len, lines)) <= width
