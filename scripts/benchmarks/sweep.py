"""The measurements, one row after the other.

Decisions:
* Each number of workers, and in pacing each row, gets a fresh server, so that one row's memory does not show in the next.
* Paced streams start spread over the length of a reply, so that their tokens are as spread as those of real traffic.
* A peer is measured as it is: this program neither starts it nor sets its latency. So `pacing` includes peers only if
  it is named in the command.
* Pacing skips to its last row after two consecutive rows that fail: a single one may be caused by another guest of the host.
"""

import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import msgspec

from . import servers
from .clients import Client, Load, run_wrk
from .endpoints import Endpoint, build_body, build_frames, check_reply, check_stream, fetch_reply
from .machine import Cores, available_cores, split_cores
from .processes import Usage, read_memory_kb
from .results import Closed, Headroom, Paced, find_problem

UNSTREAMED_TOKENS = 16
"""Length of replies in `throughput`."""


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """What to measure.

    Attributes:
        model: Model of the requests.
        path: Path of llmsim's endpoint.
        workers: Numbers of workers.
        connections: Open requests of `throughput` and `streams`.
        streams: Open streams of `pacing`, rising; it goes on to the last when two consecutive rows do not meet the criteria.
        tokens: Lengths of streamed replies; `pacing` takes the first.
        ttft: Planned time to first token of `pacing`, in seconds.
        gap: Planned gap, in seconds.
        seconds: Length of a row's window.
        starts: Number of servers that `start-up` starts.
        peers: Other servers.
        wrk: Whether wrk measures `throughput`.
    """

    model: str
    path: str
    workers: tuple[int, ...]
    connections: tuple[int, ...]
    streams: tuple[int, ...]
    tokens: tuple[int, ...]
    ttft: float
    gap: float
    seconds: float
    starts: int
    peers: tuple[Endpoint, ...]
    wrk: bool

    @property
    def reply_seconds(self) -> float:
        """Length of a paced reply."""
        return self.ttft + (self.tokens[0] - 1) * self.gap


class Sweep:
    """Runs the measurements of a plan with one client."""

    def __init__(self, plan: Plan, client: Client, on_progress: Callable[[str], None]) -> None:
        self.plan = plan
        self.client = client
        self.on_progress = on_progress
        self._samples: dict[tuple[str, int], tuple[Endpoint, bytes]] = {}

    def _body(self, to: Endpoint, *, stream: bool, tokens: int) -> bytes:
        return build_body(to, model=self.plan.model, stream=stream, tokens=tokens)

    def check_peers(self, *, streamed: bool) -> None:
        """Send each peer one request.

        Args:
            streamed: Whether to send a streamed one, too.

        Raises:
            BenchError: A peer does not reply as its API does.
        """
        for peer in self.plan.peers:
            body = self._body(peer, stream=False, tokens=UNSTREAMED_TOKENS)
            check_reply(peer, fetch_reply(peer, body))
            if streamed:
                body = self._body(peer, stream=True, tokens=self.plan.tokens[0])
                check_stream(peer, fetch_reply(peer, body))

    # throughput and streams

    def throughput(self) -> Iterator[Closed]:
        """Measure unstreamed replies."""
        yield from self._closed("throughput", UNSTREAMED_TOKENS)

    def streams(self) -> Iterator[Closed]:
        """Measure streamed replies, sent at once."""
        for tokens in self.plan.tokens:
            yield from self._closed("streams", tokens)

    def _closed(self, part: str, tokens: int) -> Iterator[Closed]:
        plan = self.plan
        for workers in plan.workers:
            cores = split_cores(workers, available_cores())
            with servers.run_llmsim(
                plan.path, workers=workers, tokens=tokens, model=plan.model, cores=cores.server
            ) as server:
                self._store_sample(part, server.endpoint, tokens=tokens)
                for connections in plan.connections:
                    yield self._closed_row(
                        part,
                        server.endpoint,
                        connections,
                        tokens,
                        workers,
                        server.workers,
                        shared=cores.shared,
                    )
        cores = split_cores(1, available_cores())
        for peer in plan.peers:
            for connections in plan.connections:
                yield self._closed_row(part, peer, connections, tokens, None, (), shared=cores.shared)

    def _closed_row(
        self,
        part: str,
        to: Endpoint,
        connections: int,
        tokens: int,
        workers: int | None,
        pids: tuple[int, ...],
        *,
        shared: bool,
    ) -> Closed:
        streamed = part == "streams"
        length = f", {tokens} tokens" if streamed else ""
        self.on_progress(
            f"{part}: {to.name}, {_format_count(workers, 'worker')}{connections} connections{length}"
        )
        load = Load(
            to=to,
            body=self._body(to, stream=streamed, tokens=tokens),
            connections=connections,
            seconds=self.plan.seconds,
            tokens=tokens if streamed and workers else 0,
        )
        cores = split_cores(workers or 1, available_cores())
        usage = Usage(pids, cores)
        # wrk has no warm-up; that of `client.c` is a part of the time that the server works.
        if self.plan.wrk and not streamed:
            seen = run_wrk(load, cores.client)
            worked = seen.seconds
        else:
            seen = self.client.run(load, cores.client)
            worked = seen.seconds + load.warmup
        usage.stop()
        used = usage.server / worked * seen.seconds
        return Closed(
            part="streams" if streamed else "throughput",
            target=to.name,
            workers=workers,
            connections=connections,
            tokens=round(seen.tokens / seen.requests, 1) if load.tokens == 0 and seen.tokens else tokens,
            requests_per_second=round(seen.requests / seen.seconds, 1),
            tokens_per_second=round(seen.tokens / seen.seconds, 1) if streamed else None,
            p50_ms=seen.p50_ms,
            p99_ms=seen.p99_ms,
            error_share=seen.error_share,
            server_us=round(used / seen.requests * 1e6, 1) if pids and seen.requests else None,
            client_share=round(seen.client_share, 3),
            shared=shared,
            foreign=usage.foreign(seen.client_share),
            problem=find_problem(
                error_share=seen.error_share, p99_ms=seen.p99_ms, client_share=seen.client_share
            ),
        )

    def closed_headroom(self, best: Closed) -> Headroom:
        """Measure the trivial server with the client that measured a row."""
        plan, streamed = self.plan, best.part == "streams"
        self.on_progress(f"{best.part}: the client's limit")
        to, reply = self._samples[best.part, int(best.tokens)]
        cores = split_cores(1, available_cores())
        with servers.run_trivial(
            self.client, to, build_frames(reply, to.mark, paced=False), cores=cores.server
        ) as trivial:
            load = Load(
                to=trivial.endpoint,
                body=self._body(trivial.endpoint, stream=streamed, tokens=int(best.tokens)),
                connections=best.connections,
                seconds=min(plan.seconds, 2),
            )
            wrk = plan.wrk and not streamed
            seen = run_wrk(load, cores.client) if wrk else self.client.run(load, cores.client)
        return Headroom(
            part=best.part,
            unit="streams/s" if streamed else "requests/s",
            ceiling=round(seen.requests / seen.seconds, 1),
            measured=best.requests_per_second,
        )

    def _store_sample(self, part: str, to: Endpoint, *, tokens: int) -> None:
        """Fetch a reply for the trivial server to repeat."""
        if (part, tokens) not in self._samples:
            body = self._body(to, stream=part == "streams", tokens=tokens)
            self._samples[part, tokens] = to, fetch_reply(to, body)

    # pacing

    def pacing(self, *, peers: bool) -> Iterator[Paced]:
        """Measure open streams, with a rising number."""
        plan = self.plan
        for workers in plan.workers:
            yield from _until_two_fail(partial(self._paced_by_workers, workers), plan.streams)
        for peer in plan.peers if peers else ():
            yield from _until_two_fail(partial(self._paced_by_peer, peer), plan.streams)

    def _paced_by_workers(self, workers: int, streams: int) -> Paced:
        plan, cores = self.plan, split_cores(workers, available_cores())
        self.on_progress(f"pacing: llmsim, {_format_count(workers, 'worker')}{streams:,} streams")
        with servers.run_llmsim(
            plan.path,
            workers=workers,
            tokens=plan.tokens[0],
            model=plan.model,
            cores=cores.server,
            pace=(plan.ttft, plan.gap),
        ) as server:
            self._store_sample("streams", server.endpoint, tokens=plan.tokens[0])
            return self._paced_row(
                server.endpoint, streams, workers, server.workers, cores, shared=cores.shared
            )

    def _paced_by_peer(self, peer: Endpoint, streams: int) -> Paced:
        cores = split_cores(1, available_cores())
        self.on_progress(f"pacing: {peer.name}, {streams:,} streams")
        return self._paced_row(peer, streams, None, (), cores, shared=cores.shared)

    def _paced_load(self, to: Endpoint, streams: int) -> Load:
        plan = self.plan
        return Load(
            to=to,
            body=self._body(to, stream=True, tokens=plan.tokens[0]),
            connections=streams,
            seconds=plan.seconds,
            warmup=0.5,
            ramp=plan.reply_seconds,
            tokens=plan.tokens[0],
            pace=(plan.ttft, plan.gap),
        )

    def _paced_row(
        self,
        to: Endpoint,
        streams: int,
        workers: int | None,
        pids: tuple[int, ...],
        cores: Cores,
        *,
        shared: bool,
    ) -> Paced:
        plan = self.plan
        empty_kb = read_memory_kb(pids)
        load = self._paced_load(to, streams)
        run = self.client.start(load, cores.client)
        time.sleep(load.ramp + load.warmup)
        usage = Usage(pids, cores)
        time.sleep(load.seconds * 0.8)
        usage.stop()
        held_kb = read_memory_kb(pids)
        seen = run.wait()
        server_share = usage.server / usage.seconds

        # Between two replies of a stream there is only one round trip over loopback, which is neglected here.
        offered = streams * plan.tokens[0] / plan.reply_seconds
        rate = seen.tokens / seen.seconds
        late, drift = seen.lateness, seen.drift.mean_ms()
        return Paced(
            target=to.name,
            workers=workers,
            streams=streams,
            offered=round(offered, 1),
            tokens_per_second=round(rate, 1),
            p50_ms=late.quantile_ms(0.5),
            p99_ms=late.quantile_ms(0.99),
            p999_ms=late.quantile_ms(0.999),
            drift_ms=None if drift is None else round(drift, 3),
            early=seen.early,
            error_share=seen.error_share,
            server_us=round(server_share / rate * 1e6, 1) if pids and rate else None,
            server_share=round(server_share, 3) if pids else None,
            client_share=round(seen.client_share, 3),
            stream_kb=round((held_kb - empty_kb) / streams, 1) if pids else None,
            shared=shared,
            foreign=usage.foreign(seen.client_share),
            problem=find_problem(
                error_share=seen.error_share,
                p99_ms=late.quantile_ms(0.99),
                client_share=seen.client_share,
                delivered=rate / offered,
                what="p99 late by",
            ),
        )

    def paced_headroom(self, best: Paced) -> Headroom:
        """Measure how many events the client can read, and the lateness it measures of events that are on time."""
        plan = self.plan
        self.on_progress("pacing: the client's limit")
        to, reply = self._samples["streams", plan.tokens[0]]
        frames = build_frames(reply, to.mark, paced=True)
        cores = split_cores(1, available_cores())
        load = self._paced_load(to, best.streams)
        with servers.run_trivial(
            self.client, to, frames, cores=cores.server, pace=(plan.ttft, plan.gap)
        ) as trivial:
            run = self.client.start(msgspec.structs.replace(load, to=trivial.endpoint), cores.client)
            time.sleep(load.ramp + load.warmup)
            usage = Usage(trivial.workers, cores)
            time.sleep(load.seconds * 0.8)
            usage.stop()
            punctual = run.wait()
        with servers.run_trivial(self.client, to, frames, cores=cores.server, pace=(0, 0)) as trivial:
            flood = msgspec.structs.replace(
                load, to=trivial.endpoint, ramp=0.0, seconds=min(plan.seconds, 2), pace=None
            )
            flooded = self.client.run(flood, cores.client)
        return Headroom(
            part="pacing",
            unit="events/s",
            ceiling=round(flooded.tokens / flooded.seconds, 1),
            measured=best.tokens_per_second,
            p99_ms=punctual.lateness.quantile_ms(0.99),
            server_us=round(
                usage.server / usage.seconds / (punctual.tokens / punctual.seconds or 1.0) * 1e6, 1
            ),
        )

    # start-up

    def start_up(self) -> Iterator[float]:
        """Measure the time from the start of the process to its first reply."""
        plan, cores = self.plan, split_cores(1, available_cores())
        for number in range(1, plan.starts + 1):
            self.on_progress(f"start-up: {number} of {plan.starts}")
            with servers.run_llmsim(
                plan.path, workers=1, tokens=UNSTREAMED_TOKENS, model=plan.model, cores=cores.server
            ) as server:
                yield server.seconds


def _until_two_fail(measure: Callable[[int], Paced], streams: tuple[int, ...]) -> Iterator[Paced]:
    """Measure rising numbers of streams up to the second of two consecutive rows that fail, and then the most of them.

    The last row shows what a full core does.
    """
    failed = 0
    for number in streams[:-1]:
        row = measure(number)
        yield row
        failed = failed + 1 if row.problem else 0
        if failed == 2:
            break
    yield measure(streams[-1])


def read_stolen_ticks() -> tuple[int, int]:
    """Return the machine's CPU ticks that its host gave to other guests, and all its ticks."""
    ticks = [
        int(word) for word in Path("/proc/stat").read_text(encoding="utf-8").splitlines()[0].split()[1:9]
    ]
    return ticks[7], sum(ticks)


def _format_count(number: int | None, noun: str) -> str:
    return "" if number is None else f"{number} {noun}{'s' * (number != 1)}, "
