"""The load client and the trivial server in Python, for machines without a compiler.

The same program as `client.c`, with the same arguments and the same answer; what it decides is told there. It takes
twice the time for a paced event and twenty times that for one of a whole reply, so it becomes the bottleneck sooner:
the report says when.

Decisions:
* asyncio protocols on uvloop and no HTTP library: a request is bytes from a file, a reply is cut where it ends.
"""

import asyncio
import json
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any, cast

import uvloop

PATIENCE = 10.0
"""Seconds without a byte after which a request has failed."""

ERRORS = ("connect", "status", "broken", "timeout", "length")


def bucket_of(value: int) -> int:
    """Give the bucket of a value in microseconds."""
    if value < 128:
        return value
    shift = value.bit_length() - 7
    return shift * 64 + (value >> shift)


class Tally:
    """A histogram in the making."""

    def __init__(self) -> None:
        self.buckets: Counter[int] = Counter()
        self.sum = 0
        self.min = 0
        self.max = 0

    def observe(self, seconds: float) -> None:
        """Count one value."""
        value = max(0, int(seconds * 1e6))
        self.min = min(self.min, value) if self.buckets else value
        self.max = max(self.max, value)
        self.sum += value
        self.buckets[bucket_of(value)] += 1

    def plain(self) -> dict[str, Any]:
        """Give it as `client.c` prints it."""
        return {
            "count": self.buckets.total(),
            "sum": self.sum,
            "min": self.min,
            "max": self.max,
            "buckets": sorted(self.buckets.items()),
        }


class Load:
    """What is to be done, and what was seen."""

    def __init__(self, given: dict[str, str]) -> None:
        self.request = Path(given["request"]).read_bytes()
        self.mark = given.get("mark", '"content":').encode()
        self.expected = int(given.get("tokens", "0"))
        self.planned = "gap_us" in given
        self.ttft = float(given.get("ttft_us", "0")) / 1e6
        self.gap = float(given.get("gap_us", "0")) / 1e6
        self.since = self.until = 0.0
        self.requests = self.tokens = self.bytes = self.early = self.missing = 0
        self.errors = dict.fromkeys(ERRORS, 0)
        self.latency, self.first, self.lateness, self.drift = Tally(), Tally(), Tally(), Tally()

    def counts(self, now: float) -> bool:
        """Tell whether an instant lies within the window."""
        return self.since <= now < self.until


class Connection(asyncio.Protocol):
    """One request after the other."""

    def __init__(self, load: Load) -> None:
        self.load = load
        self.transport: asyncio.Transport | None = None
        self.sent = self.heard = time.monotonic()
        self.lost = asyncio.get_running_loop().create_future()
        self.waiting = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Ask at once."""
        self.transport = cast("asyncio.Transport", transport)
        self.ask()

    def ask(self) -> None:
        """Send the request."""
        assert self.transport is not None
        self.tokens = 0
        self.part = self.line = b""
        self.state: str = "head"
        self.remaining = 0
        self.ok = self.events = self.close = False
        self.waiting = True
        self.sent = self.heard = time.monotonic()
        self.transport.write(self.load.request)

    def lose(self, kind: str) -> None:
        """Count a request as failed."""
        if self.waiting and self.load.counts(time.monotonic()):
            self.load.errors[kind] += 1
        self.waiting = False
        if self.transport is not None:
            self.transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        """The server hung up, or we did."""
        if self.waiting and self.state == "close":
            self.finish(time.monotonic())
        self.lose("broken")
        if not self.lost.done():
            self.lost.set_result(None)

    def finish(self, now: float) -> None:
        """Take stock of a reply, and ask again."""
        assert self.transport is not None
        load = self.load
        self.waiting = False
        if load.counts(now):
            if not self.ok:
                load.errors["status"] += 1
            elif load.expected and self.tokens != load.expected:
                load.errors["length"] += 1
            else:
                load.requests += 1
                load.latency.observe(now - self.sent)
        if self.close:
            self.transport.abort()
        else:
            self.ask()

    def token(self, now: float) -> None:
        """Count a token, and how late it is."""
        load, k = self.load, self.tokens
        self.tokens += 1
        if not load.counts(now):
            return
        load.tokens += 1
        if not k:
            load.first.observe(now - self.sent)
        if load.planned:
            late = now - (self.sent + load.ttft + k * load.gap)
            load.early += late < 0
            load.lateness.observe(late)
            if k + 1 == load.expected:
                load.drift.observe(late)

    def body(self, data: bytes, now: float) -> None:
        """Take a part of a body apart into events."""
        if self.load.counts(now):
            self.load.bytes += len(data)
        if not self.events:
            return
        *events, self.part = (self.part + data).replace(b"\r\n", b"\n").split(b"\n\n")
        for event in events:
            _, found, rest = event.partition(self.load.mark)
            if found:
                value = rest.lstrip(b" ")
                if value[:1] == b'"' and value[1:2] not in (b'"', b""):
                    self.token(now)

    def head(self, data: bytes) -> None:
        """Read a complete head."""
        lines = data.lower().split(b"\r\n")
        fields = dict(line.split(b":", 1) for line in lines[1:] if b":" in line)
        self.ok = lines[0][8:12] == b" 200"
        self.events = b"text/event-stream" in fields.get(b"content-type", b"")
        self.close = b"close" in fields.get(b"connection", b"")
        if b"chunked" in fields.get(b"transfer-encoding", b""):
            self.state = "chunk size"
        elif b"content-length" in fields:
            self.state = "sized"
            self.remaining = int(fields[b"content-length"])
        else:
            self.state = "close"
            self.close = True

    @property
    def empty(self) -> bool:
        """Whether a reply that has just begun is without a body."""
        return self.state == "sized" and not self.remaining

    def data_received(self, data: bytes) -> None:
        """Take a reply apart."""
        now = self.heard = time.monotonic()
        if self.state in ("head", "chunk size", "trailer"):  # lines, which may come in pieces
            data, self.line = self.line + data, b""
        while data:
            match self.state:
                case "head":
                    head, found, rest = data.partition(b"\r\n\r\n")
                    if not found:
                        self.line = data
                        return
                    data = rest
                    self.head(head)
                    if self.empty:
                        self.finish(now)
                        return
                case "sized" | "chunk data":
                    self.body(data[: self.remaining], now)
                    taken = min(len(data), self.remaining)
                    data = data[taken:]
                    self.remaining -= taken
                    if not self.remaining:
                        if self.state == "sized":
                            self.finish(now)
                            return
                        self.state = "chunk size"
                case "chunk size":
                    line, found, rest = data.partition(b"\r\n")
                    if not found:
                        self.line = data
                        return
                    data = rest
                    if line:  # else the end of the chunk before
                        self.remaining = int(line.partition(b";")[0], 16)
                        self.state = "chunk data" if self.remaining else "trailer"
                case "trailer":
                    line, found, rest = data.partition(b"\r\n")
                    if not found:
                        self.line = data
                        return
                    data = rest
                    if not line:
                        self.finish(now)
                        return
                case _:
                    self.body(data, now)
                    return


async def keep_asking(load: Load, host: str, port: int, delay: float, connections: set[Connection]) -> None:
    """Keep one connection busy."""
    await asyncio.sleep(delay)
    loop = asyncio.get_running_loop()
    while True:
        try:
            _, connection = await loop.create_connection(lambda: Connection(load), host, port)
        except OSError:
            load.errors["connect"] += load.counts(time.monotonic())
        else:
            connections.add(connection)
            await connection.lost
            connections.discard(connection)
        await asyncio.sleep(0.02)


async def run_load(given: dict[str, str]) -> dict[str, Any]:
    """Put the load on; tell what was seen."""
    load = Load(given)
    count, ramp = int(given["connections"]), float(given.get("ramp", "0"))
    begin = time.monotonic()
    load.since = begin + ramp + float(given.get("warmup", "0"))
    load.until = load.since + float(given["seconds"])
    connections: set[Connection] = set()
    tasks = [
        asyncio.create_task(
            keep_asking(load, given["host"], int(given["port"]), ramp * i / count, connections)
        )
        for i in range(count)
    ]
    await asyncio.sleep(load.since - time.monotonic())
    cpu = time.process_time()
    while (now := time.monotonic()) < load.until:
        for connection in list(connections):
            if now - connection.heard > PATIENCE:
                connection.lose("timeout")
        await asyncio.sleep(min(0.1, load.until - now))
    cpu = time.process_time() - cpu
    for connection in connections:
        count_missing(load, connection)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    return {
        "seconds": load.until - load.since,
        "cpu": cpu,
        "open": len(connections),
        "requests": load.requests,
        "tokens": load.tokens,
        "bytes": load.bytes,
        "early": load.early,
        "missing": load.missing,
        "errors": load.errors,
        "latency": load.latency.plain(),
        "ttft": load.first.plain(),
        "lateness": load.lateness.plain(),
        "drift": load.drift.plain(),
    }


def count_missing(load: Load, connection: Connection) -> None:
    """Count what was due within the window and is not there at its end."""
    if not load.planned or not connection.waiting:
        return
    for k in range(connection.tokens, load.expected):
        due = connection.sent + load.ttft + k * load.gap
        if load.until - due < 0.005:  # it may be on its way
            break
        load.missing += 1
        load.lateness.observe(load.until - max(due, load.since))


class Trivial(asyncio.Protocol):
    """Gives every request the same frames, at once or paced."""

    def __init__(self, frames: list[bytes], pace: tuple[float, float] | None) -> None:
        self.frames = frames
        self.whole = b"".join(frames)
        self.pace = pace
        self.asked = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the way to answer."""
        self.transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        """Answer when the request is complete."""
        self.asked += data
        head, found, body = self.asked.partition(b"\r\n\r\n")
        length = head.lower().partition(b"\r\ncontent-length:")[2].partition(b"\r\n")[0]
        if not found or len(body) < int(length or b"0"):
            return
        self.asked = b""
        if self.pace is None:
            self.transport.write(self.whole)
        else:
            loop = asyncio.get_running_loop()
            due = loop.time() + self.pace[0]
            loop.call_at(due, self.write, 0, due)

    def write(self, index: int, due: float) -> None:
        """Write a frame, and plan the next."""
        assert self.pace is not None
        if self.transport.is_closing():
            return
        self.transport.write(self.frames[index])
        if index + 1 < len(self.frames):
            due += self.pace[1]
            asyncio.get_running_loop().call_at(due, self.write, index + 1, due)


def frames_of(data: bytes) -> list[bytes]:
    """Read a file of frames: a line with their lengths, then their bytes."""
    line, _, rest = data.partition(b"\n")
    frames, at = [], 0
    for length in map(int, line.split()):
        frames.append(rest[at : at + length])
        at += length
    return frames


async def run_serve(given: dict[str, str]) -> None:
    """Serve until the process is ended."""
    frames = frames_of(Path(given["frames"]).read_bytes())  # noqa: ASYNC240 - nothing else runs yet
    pace = None
    if "gap_us" in given:
        pace = float(given.get("ttft_us", "0")) / 1e6, float(given["gap_us"]) / 1e6
    loop = asyncio.get_running_loop()
    server = await loop.create_server(
        lambda: Trivial(frames, pace), "127.0.0.1", int(given["port"]), backlog=4096
    )
    print("ready", flush=True)
    await server.serve_forever()


def main() -> None:
    """Do what the arguments say."""
    mode, *words = sys.argv[1:]
    if mode == "bucket":
        print("\n".join(str(bucket_of(int(word))) for word in words))
        return
    given = dict(word.split("=", 1) for word in words)
    if mode == "load":
        print(json.dumps(uvloop.run(run_load(given))))
    else:
        uvloop.run(run_serve(given))


if __name__ == "__main__":
    main()
