"""The clients that generate the load: the project's own in C, and wrk.

Decisions:
* `client.c` is compiled on first use, into the user's cache, under a name with the hash of its source.
* wrk measures requests where it is installed, because it is known and trusted; streams and pacing need `client.c`.
* The client counts into buckets, and quantiles are computed here.
"""

import hashlib
import math
import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

import msgspec

from .endpoints import HEADERS, BenchError, Endpoint, build_request
from .machine import pinned_to

SOURCE = Path(__file__).with_name("client.c")

_EXACT = 128
"""Values below have a bucket each; above, every doubling has half as many buckets."""


class NoCompilerError(BenchError):
    """There is no C compiler."""

    exit_code = 2


def lower_bound(bucket: int) -> int:
    """Return the least value of a bucket, in microseconds."""
    if bucket < _EXACT:
        return bucket
    shift = bucket // (_EXACT // 2) - 1
    return (bucket - shift * (_EXACT // 2)) << shift


class Histogram(msgspec.Struct, frozen=True, kw_only=True):
    """A distribution in microseconds.

    Attributes:
        count: Number of values.
        sum: Their sum.
        min: Least value; 0 without values.
        max: Greatest value; 0 without values.
        buckets: Number and count of each bucket that is not empty, in order.
    """

    count: int = 0
    sum: int = 0
    min: int = 0
    max: int = 0
    buckets: tuple[tuple[int, int], ...] = ()

    def quantile_ms(self, q: float) -> float | None:
        """Return the value of rank ⌈q·count⌉ in milliseconds, accurate to 1 %; None without values.

        Args:
            q: Above 0, at most 1.
        """
        rank, passed = math.ceil(q * self.count), 0
        for bucket, count in self.buckets:
            passed += count
            if passed >= rank:
                middle = (lower_bound(bucket) + lower_bound(bucket + 1) - 1) / 2
                return min(max(middle, self.min), self.max) / 1000
        return None

    def mean_ms(self) -> float | None:
        """Return the mean in milliseconds; None without values."""
        return self.sum / self.count / 1000 if self.count else None


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """What a client counted within its window.

    Attributes:
        seconds: Length of the window.
        cpu: CPU time of the client, in seconds.
        requests: Replies that were complete and correct.
        tokens: Events that were tokens.
        missing: Tokens that were due and did not arrive.
        errors: Requests that failed, by kind.
        p50_ms: Median of the time of a reply; None without replies.
        p99_ms: Its 99th percentile.
        open: Connections at the end.
        bytes: Bytes of bodies.
        early: Tokens that arrived before they were due.
        latency: Times of replies.
        ttft: Times to first token.
        lateness: Lateness of tokens.
        drift: Lateness of last tokens.
    """

    seconds: float
    cpu: float
    requests: int
    errors: dict[str, int]
    tokens: int = 0
    missing: int = 0
    p50_ms: float | None = None
    p99_ms: float | None = None
    open: int = 0
    bytes: int = 0
    early: int = 0
    latency: Histogram = Histogram()
    ttft: Histogram = Histogram()
    lateness: Histogram = Histogram()
    drift: Histogram = Histogram()

    @property
    def failed(self) -> int:
        """Number of requests that failed."""
        return sum(self.errors.values())

    @property
    def error_share(self) -> float:
        """Share of failed requests, 0 to 1; replies that are still open count as good, as they were until then."""
        sent = self.requests + self.failed + self.open
        return self.failed / sent if sent else 1.0

    @property
    def client_share(self) -> float:
        """CPU time of the client in a second."""
        return self.cpu / self.seconds


class Load(msgspec.Struct, frozen=True, kw_only=True):
    """The load that a client generates.

    Attributes:
        to: Endpoint that gets the requests.
        body: Body of each request.
        connections: Requests that are open at any time.
        seconds: Length of the window.
        warmup: Seconds before it.
        ramp: Seconds before that, over which the connections start.
        tokens: Tokens that a streamed reply must have; 0 for any number.
        pace: Planned time to first token and gap, in seconds; None measures no lateness.
        headers: Further headers of each request.
    """

    to: Endpoint
    body: bytes
    connections: int
    seconds: float
    warmup: float = 0.3
    ramp: float = 0.0
    tokens: int = 0
    pace: tuple[float, float] | None = None
    headers: Mapping[str, str] = MappingProxyType({})


class Client:
    """The compiled client.

    Attributes:
        program: Path of the executable.
        name: Its name in the report.
    """

    name = SOURCE.name

    def __init__(self, program: Path) -> None:
        self.program = program

    def start(self, load: Load, cores: tuple[int, ...]) -> "Run":
        """Start to generate a load."""
        folder = tempfile.TemporaryDirectory(prefix="llmsim-bench-")
        file = Path(folder.name, "request")
        file.write_bytes(build_request(load.to, load.body, load.headers))
        arguments = {
            "host": load.to.host,
            "port": load.to.port,
            "request": file,
            "connections": load.connections,
            "seconds": load.seconds,
            "warmup": load.warmup,
            "ramp": load.ramp,
            "tokens": load.tokens,
            "mark": load.to.mark,
        }
        if load.pace is not None:
            arguments |= {"ttft_us": load.pace[0] * 1e6, "gap_us": load.pace[1] * 1e6}
        command = (str(self.program), "load", *(f"{name}={value}" for name, value in arguments.items()))
        with pinned_to(cores):
            process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        return Run(process, folder)

    def run(self, load: Load, cores: tuple[int, ...]) -> Outcome:
        """Generate a load and wait for the outcome."""
        return self.start(load, cores).wait()


class Run:
    """A client that is running."""

    def __init__(
        self, process: "subprocess.Popen[bytes]", folder: "tempfile.TemporaryDirectory[str]"
    ) -> None:
        self._process = process
        self._folder = folder

    def wait(self) -> Outcome:
        """Wait for the outcome.

        Raises:
            BenchError: The client failed.
        """
        with self._folder:
            output, errors = self._process.communicate()
        if self._process.returncode:
            raise BenchError(f"the client failed: {errors.decode().strip()}")
        seen = msgspec.json.decode(output, type=Outcome)
        return msgspec.structs.replace(
            seen, p50_ms=seen.latency.quantile_ms(0.5), p99_ms=seen.latency.quantile_ms(0.99)
        )


def cache_directory() -> Path:
    """Return the directory of compiled clients."""
    home = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(home, "llmsim-bench")


def compile_client() -> Client:
    """Return the client; compile it if this version is not in the cache.

    Raises:
        NoCompilerError: There is no compiler.
        BenchError: The compiler fails.
    """
    program = cache_directory() / f"client-{hashlib.sha256(SOURCE.read_bytes()).hexdigest()[:12]}"
    if not program.exists():
        cc = next((found for name in ("cc", "gcc", "clang") if (found := shutil.which(name))), None)
        if cc is None:
            raise NoCompilerError("no C compiler for the client; install it with: apt install gcc")
        program.parent.mkdir(parents=True, exist_ok=True)
        # Compiled in a folder of its own and moved into place: another run may be doing the same.
        with tempfile.TemporaryDirectory(dir=program.parent) as folder:
            fresh = Path(folder, "client")
            command = (cc, "-O2", "-o", str(fresh), str(SOURCE))
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            if done.returncode:
                raise BenchError(f"{cc} does not compile the client:\n{done.stderr}")
            fresh.rename(program)
    return Client(program)


# wrk

_LUA = """wrk.method = "POST"
{headers}
wrk.body = [==[{body}]==]
"""
_UNITS_MS = {"us": 0.001, "ms": 1.0, "s": 1000.0, "m": 60_000.0, "h": 3_600_000.0}


def _parse_percentile(output: str, percentile: str) -> float | None:
    found = re.search(rf"^\s+{percentile}%\s+([\d.]+)(us|ms|s|m|h)\s*$", output, re.MULTILINE)
    return float(found[1]) * _UNITS_MS[found[2]] if found else None


def parse_wrk(output: str, *, cpu: float) -> Outcome:
    """Parse the output of `wrk --latency`.

    Args:
        output: The output.
        cpu: CPU time of wrk, in seconds.

    Raises:
        BenchError: The output has no figures.
    """
    total = re.search(r"^\s*(\d+) requests in ([\d.]+)(ms|s|m|h),", output, re.MULTILINE)
    if total is None:
        raise BenchError(f"wrk failed:\n{output.strip()}")
    errors = {
        kind: int(count)
        for line in re.findall(r"^\s*Socket errors: (.*)$", output, re.MULTILINE)
        for kind, count in re.findall(r"(\w+) (\d+)", line)
    }
    status = re.search(r"^\s*Non-2xx or 3xx responses: (\d+)", output, re.MULTILINE)
    errors["status"] = int(status[1]) if status else 0
    return Outcome(
        seconds=float(total[2]) * _UNITS_MS[total[3]] / 1000,
        cpu=cpu,
        requests=int(total[1]) - errors["status"],
        errors=errors,
        p50_ms=_parse_percentile(output, "50"),
        p99_ms=_parse_percentile(output, "99"),
    )


def run_wrk(load: Load, cores: tuple[int, ...]) -> Outcome:
    """Generate a load of requests with wrk, in whole seconds."""
    threads = min(len(cores), load.connections)
    with tempfile.TemporaryDirectory(prefix="llmsim-bench-") as folder:
        script = Path(folder, "post.lua")
        headers = "\n".join(f'wrk.headers["{name}"] = "{value}"' for name, value in HEADERS.items())
        script.write_text(_LUA.format(headers=headers, body=load.body.decode()), encoding="utf-8")
        command = ["wrk", "--latency", "-t", str(threads), "-c", str(load.connections)]
        command += ["-d", f"{max(1, round(load.seconds))}s", "-s", str(script)]
        command += [f"http://{load.to.host}:{load.to.port}{load.to.path}"]
        before = os.times()
        with pinned_to(cores):
            process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        output, _ = process.communicate()
        after = os.times()
    cpu = after.children_user + after.children_system - before.children_user - before.children_system
    return parse_wrk(output, cpu=cpu)
