"""The clients that put the load on: compiled, portable, and wrk.

Decisions:
* `client.c` is compiled on first use, into the user's cache, under a name that follows from its text.
* wrk measures requests where it is installed, being known and trusted; streams and pacing need our own client.
* Without a compiler the portable client takes over, and says so.
"""

import hashlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import msgspec

from .asking import FIELDS, Endpoint, request
from .histogram import Histogram
from .machine import on
from .problems import BenchError

_HERE = Path(__file__).parent


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """What a client saw within its window.

    Attributes:
        seconds: Length of the window.
        cpu: CPU time the client used, in seconds.
        requests: Replies that were complete and right.
        tokens: Events that were tokens.
        missing: Tokens that were due and did not come.
        errors: Requests that failed, by kind.
        p50_ms: Median of the time a reply took, and
        p99_ms: its 99th percentile; None without replies.
        open: Connections at the end.
        bytes: Of bodies.
        early: Tokens that came before they were due.
        lateness: Of tokens.
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
        """Requests that failed."""
        return sum(self.errors.values())

    @property
    def error_share(self) -> float:
        """Failed ones among all requests, 0 to 1; replies that are still open count, as they were well until then."""
        asked = self.requests + self.failed + self.open
        return self.failed / asked if asked else 1.0

    @property
    def client_share(self) -> float:
        """CPU time the client used in a second."""
        return self.cpu / self.seconds


class Load(msgspec.Struct, frozen=True, kw_only=True):
    """What a client is to do.

    Attributes:
        to: Whom to ask.
        body: What to ask.
        connections: Requests that are open at any time.
        seconds: Length of the window.
        warmup: Seconds before it.
        ramp: Seconds before that, over which the connections start.
        tokens: Tokens that a streamed reply must have; 0 if any number will do.
        pace: Planned time to first token and gap, in seconds; None measures no lateness.
    """

    to: Endpoint
    body: bytes
    connections: int
    seconds: float
    warmup: float = 0.3
    ramp: float = 0.0
    tokens: int = 0
    pace: tuple[float, float] | None = None


class Client(msgspec.Struct, frozen=True):
    """Our own client.

    Attributes:
        command: The words that start it.
        name: What the report calls it.
    """

    command: tuple[str, ...]
    name: str

    def start(self, load: Load, cores: tuple[int, ...]) -> "Run":
        """Begin to put a load on."""
        folder = tempfile.TemporaryDirectory(prefix="llmsim-bench-")
        file = Path(folder.name, "request")
        file.write_bytes(request(load.to, load.body))
        words = {
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
            words |= {"ttft_us": load.pace[0] * 1e6, "gap_us": load.pace[1] * 1e6}
        command = (*self.command, "load", *(f"{name}={value}" for name, value in words.items()))
        with on(cores):
            process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        return Run(process, folder)

    def run(self, load: Load, cores: tuple[int, ...]) -> Outcome:
        """Put a load on and wait for the outcome."""
        return self.start(load, cores).outcome()


class Run:
    """A client at work."""

    def __init__(
        self, process: "subprocess.Popen[bytes]", folder: "tempfile.TemporaryDirectory[str]"
    ) -> None:
        self._process = process
        self._folder = folder

    def outcome(self) -> Outcome:
        """Wait for what it saw.

        Raises:
            BenchError: It did not get that far.
        """
        with self._folder:
            told, complaint = self._process.communicate()
        if self._process.returncode:
            raise BenchError(f"the client failed: {complaint.decode().strip()}")
        seen = msgspec.json.decode(told, type=Outcome)
        return msgspec.structs.replace(
            seen, p50_ms=seen.latency.quantile_ms(0.5), p99_ms=seen.latency.quantile_ms(0.99)
        )


def cache() -> Path:
    """Give the directory of compiled clients."""
    home = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(home, "llmsim-bench")


def compiler() -> str | None:
    """Find a C compiler."""
    return next((found for name in ("cc", "gcc", "clang") if (found := shutil.which(name))), None)


def compiled() -> Client:
    """Give the compiled client; compile it when this is the first time.

    Raises:
        BenchError: There is no compiler, or it complains.
    """
    source = (_HERE / "client.c").read_bytes()
    program = cache() / f"client-{hashlib.sha256(source).hexdigest()[:12]}"
    if not program.exists():
        cc = compiler()
        if cc is None:
            raise BenchError("no C compiler: install one (apt-get install gcc), or use --client portable")
        program.parent.mkdir(parents=True, exist_ok=True)
        # Compiled beside and moved into place: another run may be doing the same.
        with tempfile.TemporaryDirectory(dir=program.parent) as folder:
            fresh = Path(folder, "client")
            command = (cc, "-O2", "-o", str(fresh), str(_HERE / "client.c"))
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            if done.returncode:
                raise BenchError(
                    f"{cc} does not compile the client; --client portable needs none\n{done.stderr}"
                )
            fresh.rename(program)
    return Client((str(program),), "client.c")


def portable() -> Client:
    """Give the client in Python."""
    return Client((sys.executable, str(_HERE / "portable_client.py")), "portable_client.py")


# wrk

_LUA = """wrk.method = "POST"
{fields}
wrk.body = [==[{body}]==]
"""
_UNITS_MS = {"us": 0.001, "ms": 1.0, "s": 1000.0, "m": 60_000.0, "h": 3_600_000.0}


def _milliseconds(told: str, percentile: str) -> float | None:
    found = re.search(rf"^\s+{percentile}%\s+([\d.]+)(us|ms|s|m|h)\s*$", told, re.MULTILINE)
    return float(found[1]) * _UNITS_MS[found[2]] if found else None


def parse_wrk(told: str, *, cpu: float) -> Outcome:
    """Read what `wrk --latency` prints.

    Args:
        told: Its output.
        cpu: CPU time it used, in seconds.

    Raises:
        BenchError: It is something else.
    """
    total = re.search(r"^\s*(\d+) requests in ([\d.]+)(ms|s|m|h),", told, re.MULTILINE)
    if total is None:
        raise BenchError(f"wrk says:\n{told.strip()}")
    errors = {
        kind: int(number)
        for line in re.findall(r"^\s*Socket errors: (.*)$", told, re.MULTILINE)
        for kind, number in re.findall(r"(\w+) (\d+)", line)
    }
    status = re.search(r"^\s*Non-2xx or 3xx responses: (\d+)", told, re.MULTILINE)
    errors["status"] = int(status[1]) if status else 0
    return Outcome(
        seconds=float(total[2]) * _UNITS_MS[total[3]] / 1000,
        cpu=cpu,
        requests=int(total[1]) - errors["status"],
        errors=errors,
        p50_ms=_milliseconds(told, "50"),
        p99_ms=_milliseconds(told, "99"),
    )


def run_wrk(load: Load, cores: tuple[int, ...]) -> Outcome:
    """Put a load of requests on with wrk. It knows whole seconds only."""
    threads = min(len(cores), load.connections)
    with tempfile.TemporaryDirectory(prefix="llmsim-bench-") as folder:
        script = Path(folder, "post.lua")
        fields = "\n".join(f'wrk.headers["{name}"] = "{value}"' for name, value in FIELDS.items())
        script.write_text(_LUA.format(fields=fields, body=load.body.decode()), encoding="utf-8")
        command = ["wrk", "--latency", "-t", str(threads), "-c", str(load.connections)]
        command += ["-d", f"{max(1, round(load.seconds))}s", "-s", str(script)]
        command += [f"http://{load.to.host}:{load.to.port}{load.to.path}"]
        before = os.times()
        with on(cores):
            process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        told, _ = process.communicate()
        after = os.times()
    cpu = after.children_user + after.children_system - before.children_user - before.children_system
    return parse_wrk(told, cpu=cpu)
