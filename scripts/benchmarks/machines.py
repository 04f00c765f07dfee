"""The part `machines`: what a request costs with state on Valkey or Redis, on one host and on several, beside the embedded state.

Decisions:
* Hosts are servers on ports of this machine; the Redis server is one of its own, unless another is named.
* All servers run all the time, and are measured in turn, a lap each: the CPU time of the same code varies with what else the machine
  does. A ratio is the median of those to the lap of as many hosts with embedded state in the same group: several processes on few
  cores are dearer than one, whatever their state.
* The cost is the CPU time of all workers, renewals and publications included; the Redis server's own is shown beside it.
* Every connection plays scripts in a session of its own, as tests do.
"""

import contextlib
import http.client
import json
import shlex
import shutil
import socket
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path

import click
import msgspec
from rich.console import Console
from rich.table import Table

from . import clients, machine
from .endpoints import CHAT, BenchError, Endpoint, build_body
from .processes import read_cpu_seconds
from .report import NONE, format_number
from .results_file import json_option, write_results
from .servers import RunningServer, free_port, run_llmsim

_TOKENS = 16
_MODEL = "gpt-4o-mini"
_CHAT_PATH = f"/openai/v1{CHAT}"
_AIM = 1.3
_EMBEDDED = "embedded"
_BINARIES = ("valkey-server", "redis-server")


class Row(msgspec.Struct, frozen=True):
    """A kind of request.

    Attributes:
        name: Its name.
        path: Path of its endpoint.
        body: Its body.
        script: Whether it plays a script.
    """

    name: str
    path: str
    body: bytes
    script: bool = False


def _rows() -> tuple[Row, ...]:
    chat = build_body(
        Endpoint("llmsim", "127.0.0.1", 80, _CHAT_PATH), model=_MODEL, stream=False, tokens=_TOKENS
    )
    fields = {"model": _MODEL, "input": "Say something.", "max_output_tokens": _TOKENS, "store": True}
    return (
        Row("plain request", _CHAT_PATH, chat),
        Row("stored response", "/openai/v1/responses", json.dumps(fields).encode()),
        Row("scripted turn", _CHAT_PATH, chat, script=True),
    )


ROWS = _rows()


class Cost(msgspec.Struct, frozen=True, kw_only=True):
    """What a kind of request costs with one kind of state.

    Attributes:
        name: The row's name.
        state: `embedded` or `shared`.
        hosts: How many hosts answered.
        requests_per_second: Of all hosts, the median of the laps.
        us: CPU time of the workers for a request in microseconds, likewise.
        server_us: That of the Redis server; None if it is not ours.
        ratio: Ratio of `us` to that of as many hosts with embedded state.
    """

    name: str
    state: str
    hosts: int
    requests_per_second: float
    us: float
    server_us: float | None
    ratio: float


class MachineResults(msgspec.Struct, frozen=True):
    """The results of a run; `rows` in the order of measurement."""

    taken_at: str
    command: str
    machine: machine.Machine
    rows: tuple[Cost, ...]


class _Lap(msgspec.Struct, frozen=True):
    rate: float
    us: float
    server_us: float | None


class _Fleet(msgspec.Struct, frozen=True):
    """Hosts that are measured together.

    Attributes:
        state: Name of what they share.
        hosts: The hosts.
    """

    state: str
    hosts: tuple[RunningServer, ...]


@contextlib.contextmanager
def run_redis() -> Iterator[tuple[str, int]]:
    """Run a Redis server until the block ends; return its address and process id.

    Raises:
        BenchError: None is installed, or it does not start.
    """
    binary = next(filter(None, map(shutil.which, _BINARIES)), None)
    if binary is None:
        raise BenchError("no valkey-server or redis-server; install one, or name a running one with --url")
    port = free_port()
    command = [binary, "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    try:
        deadline = time.monotonic() + 10
        while True:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
                break
            if process.poll() is not None or time.monotonic() > deadline:
                raise BenchError(f"{binary} does not start")
            time.sleep(0.02)
        yield f"redis://127.0.0.1:{port}", process.pid
    finally:
        process.terminate()
        process.wait()


class _Bench:
    """Measures fleets in turn.

    Args:
        seconds: Length of a lap.
        connections: Open requests, spread over the hosts.
        server: Process id of the Redis server; None if it is not ours.
    """

    def __init__(self, seconds: float, connections: int, server: int | None) -> None:
        self._client = clients.compile_client()
        self._seconds = seconds
        self._connections = connections
        self._server = [] if server is None else [server]

    def lap(self, fleet: _Fleet, row: Row) -> _Lap:
        """Measure a kind of request once."""
        pids = [pid for host in fleet.hosts for pid in host.workers]
        cores = machine.available_cores()
        runs = []
        cpu, server = -read_cpu_seconds(pids), -read_cpu_seconds(self._server)
        for number in range(self._connections):
            to = fleet.hosts[number % len(fleet.hosts)].endpoint
            headers = {"x-llmsim-script": "bench", "x-llmsim-session": f"s{number}"} if row.script else {}
            load = clients.Load(
                to=msgspec.structs.replace(to, path=row.path),
                body=row.body,
                connections=1,
                seconds=self._seconds,
                warmup=0,
                headers=headers,
            )
            runs.append(self._client.start(load, cores))
        outcomes = [run.wait() for run in runs]
        cpu, server = cpu + read_cpu_seconds(pids), server + read_cpu_seconds(self._server)
        failed = {kind: count for each in outcomes for kind, count in each.errors.items() if count}
        requests = sum(each.requests for each in outcomes)
        if failed or not requests:
            raise BenchError(f"{row.name}, {fleet.state}: {requests} requests, and failures: {failed}")
        seconds = max(self._seconds, min(each.seconds for each in outcomes))
        return _Lap(
            requests / seconds, 1e6 * cpu / requests, 1e6 * server / requests if self._server else None
        )

    def measure(self, fleets: Sequence[_Fleet], row: Row, laps: int) -> Iterator[Cost]:
        """Measure a kind of request with all fleets in turn, several times."""
        for fleet in fleets:
            # The first requests of a process are no measure.
            self.lap(fleet, row)
        groups = [[self.lap(fleet, row) for fleet in fleets] for _ in range(laps)]
        for place, fleet in enumerate(fleets):
            base = next(number for number, each in enumerate(fleets) if len(each.hosts) == len(fleet.hosts))
            found = [group[place] for group in groups]
            servers = [lap.server_us for lap in found if lap.server_us is not None]
            yield Cost(
                name=row.name,
                state=fleet.state,
                hosts=len(fleet.hosts),
                requests_per_second=round(statistics.median(lap.rate for lap in found)),
                us=round(statistics.median(lap.us for lap in found), 1),
                server_us=round(statistics.median(servers), 1)
                if servers and fleet.state != _EMBEDDED
                else None,
                ratio=round(statistics.median(group[place].us / group[base].us for group in groups), 2),
            )


def render_table(costs: Sequence[Cost]) -> Table:
    """Render the costs."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in ("request", "state", "hosts", "requests/s", "worker us", "ratio", "redis us", " "):
        table.add_column(
            column, justify="left" if column in ("request", "state", " ") else "right", no_wrap=True
        )
    for cost in costs:
        verdict = ""
        if cost.name == "stored response" and cost.state != _EMBEDDED and cost.hosts == 1:
            reached = "[green]reached[/green]" if cost.ratio < _AIM else "[red]short[/red]"
            verdict = f"aim: under {_AIM:g}, {reached}"
        table.add_row(
            *(cost.name, cost.state, str(cost.hosts), format_number(cost.requests_per_second)),
            *(format_number(cost.us, 1), f"{cost.ratio:.2f}"),
            *(NONE if cost.server_us is None else format_number(cost.server_us, 1), verdict),
        )
    return table


def _put_script(host: RunningServer) -> None:
    connection = http.client.HTTPConnection(host.endpoint.host, host.endpoint.port, timeout=30)
    with contextlib.closing(connection):
        script = {
            "on_exhausted": "loop",
            "turns": [{"type": "assistant", "text": text} for text in ("Rain.", "Sun.")],
        }
        connection.request(
            "PUT", "/llmsim/scripts/bench", json.dumps(script), {"content-type": "application/json"}
        )
        response = connection.getresponse()
        if response.status not in (200, 201):
            raise BenchError(f"the script is refused: {response.read().decode()}")
        response.read()


@contextlib.contextmanager
def _fleet(state: str, count: int, workers: int, url: str) -> Iterator[_Fleet]:
    with contextlib.ExitStack() as stack:
        hosts = []
        for number in range(count):
            settings = {}
            if url:
                settings = {
                    "LLMSIM_STATE_URL": url,
                    "LLMSIM_STATE_HOST": f"host-{number}",
                    "LLMSIM_STATE_PREFIX": f"bench-{count}",
                }
            server = run_llmsim(
                _CHAT_PATH,
                workers=workers,
                tokens=_TOKENS,
                model=_MODEL,
                cores=machine.available_cores(),
                settings=settings,
            )
            hosts.append(stack.enter_context(server))
        for host in hosts:
            _put_script(host)
        yield _Fleet(state, tuple(hosts))


_EPILOG = """\b
worker us is the CPU time of the workers for a request, redis us that of the Redis server; both include what
they do without requests. Ratios are to as many hosts with embedded state in the same group of laps: compare these.

\b
Examples:
  scripts/bench machines
  scripts/bench machines --hosts 1,3,6 --seconds 3
  scripts/bench machines --url redis://10.0.0.5:6379
"""


@click.command(
    "machines",
    epilog=_EPILOG,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
)
@click.option("--hosts", default="1,3", show_default=True, help="Numbers of hosts that share their state.")
@click.option("--workers", type=click.IntRange(1), default=1, show_default=True, help="Workers of each host.")
@click.option("--connections", type=click.IntRange(1), default=6, show_default=True, help="Open requests.")
@click.option(
    "--seconds", type=click.FloatRange(0.1), default=1.0, show_default=True, help="Length of a lap."
)
@click.option("--laps", type=click.IntRange(1), default=5, show_default=True, help="Laps of each row.")
@click.option("--url", default="", help="A running server, instead of one that is started for the run.")
@json_option
def main(
    hosts: str, workers: int, connections: int, seconds: float, laps: int, url: str, json_file: Path | None
) -> None:
    """Measure what a plain request, a stored response and a scripted turn cost with state on Valkey or Redis."""
    taken_at = datetime.now(UTC).isoformat(timespec="seconds")
    described = machine.describe_machine(version=machine.read_version(), client=clients.Client.name)
    described = msgspec.structs.replace(described, pinned="no process pinned")
    try:
        counts = [int(word) for word in hosts.split(",")]
    except ValueError:
        raise click.BadParameter(f"{hosts!r} is not a list like 1,3", param_hint="--hosts") from None
    costs: list[Cost] = []
    try:
        with contextlib.ExitStack() as stack:
            server = None
            if not url:
                url, server = stack.enter_context(run_redis())
            fleets = [
                stack.enter_context(_fleet(state, count, workers, address))
                for count in counts
                for state, address in ((_EMBEDDED, ""), ("shared", url))
            ]
            bench = _Bench(seconds, connections, server)
            for row in ROWS:
                costs += bench.measure(fleets, row, laps)
    except BenchError as problem:
        click.echo(f"Error: {problem}", err=True)
        sys.exit(problem.exit_code)
    console = Console(width=None if sys.stdout.isatty() else 120)
    console.print(
        f"llmsim {described.version} ({described.commit or 'no commit'}) on {described.cpu}, {described.cores} cores, "
        f"load average before {described.load_average:g}\n",
        highlight=False,
    )
    console.print(render_table(costs))
    command = shlex.join(["scripts/bench", *sys.argv[1:]])
    write_results(json_file, MachineResults(taken_at, command, described, tuple(costs)))
