"""Monitoring beside the users: lag of the load generator, progress, the server's verdict, the summary.

Decisions:
* Each process that generates load sleeps for 20 ms at a time and records how late it was woken: the time a response
  may have waited in its socket unread. The master adds up these rows like all others.
* The summary is written by the process that has all rows: a single one, or the master.
* The verdict of an llmsim covers its last 30 to 40 seconds, so it is read during the run, too: at the end a peak in
  the middle would be forgotten.
"""

import os
import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import gevent
import msgspec
from locust.runners import MasterRunner, WorkerRunner

from loadtest.endpoints import build_requests
from loadtest.page import render_page
from loadtest.report import SEPARATOR, encode_summary, print_summary, shorten_line
from loadtest.rows import read_rows, record_cpu, record_lag
from loadtest.series import Series, choose_interval
from loadtest.settings import Settings
from loadtest.suites import Suite
from loadtest.summary import (
    E2E,
    REQUEST_KINDS,
    TTFT,
    Failure,
    Server,
    Summary,
    add_worst_verdict,
    rank_verdict,
    sum_rows,
    summarize,
)
from loadtest.target import Target, fetch_json, inspect_targets
from loadtest.timing import compute_quantile, merge_histograms

_LAG_SECONDS = 0.02
_CPU_SECONDS = 1.0
_VERDICT_SECONDS = 10.0


class Monitor:
    """Event listeners of one Locust process."""

    def __init__(self, settings: Settings, suite: Suite | None) -> None:
        self._settings = settings
        self._suite = suite
        self._started_at = ""
        self._begin = 0.0
        self._end = 0.0
        self._greenlets: list[Any] = []
        self._summary: Summary | None = None
        self._worst: Server | None = None
        self._worst_at = 0.0
        self._target = Target()
        self._hosts: tuple[str, ...] = ()
        self._series = Series()

    def attach(self, events: Any) -> None:
        """Register the listeners."""
        events.test_start.add_listener(self.on_start)
        events.test_stop.add_listener(self.on_stop)
        events.quitting.add_listener(self.on_quitting)
        events.quit.add_listener(self.on_quit)

    def on_start(self, environment: Any, **_: Any) -> None:
        """Start monitoring."""
        watches = self._suite is not None and not isinstance(environment.runner, WorkerRunner)
        if watches:
            # Before the first user: what is in flight now is not ours.
            self._hosts = self._settings.hosts or (environment.host or "",)
            self._target = inspect_targets(self._hosts)
        self._started_at = datetime.now(UTC).isoformat(timespec="seconds")
        self._begin = time.perf_counter()
        if not isinstance(environment.runner, MasterRunner):
            self._greenlets.append(gevent.spawn(_monitor_lag, environment))
            self._greenlets.append(gevent.spawn(_monitor_cpu, environment))
        if watches:
            self._greenlets.append(gevent.spawn(self._sample, environment))
            self._greenlets.append(gevent.spawn(self._print_progress, environment))
            self._greenlets.append(gevent.spawn(self._poll_servers))

    def on_stop(self, **_: Any) -> None:
        """Stop monitoring."""
        self._end = time.perf_counter()
        gevent.killall(self._greenlets, block=False)
        self._greenlets.clear()

    def on_quitting(self, environment: Any, **_: Any) -> None:
        """Write the summary and set the exit code."""
        runner = environment.runner
        if self._suite is None or isinstance(runner, WorkerRunner):
            return
        self._summary = summarize(
            self._suite,
            build_requests(self._settings),
            read_rows(environment.stats),
            failures=[
                Failure(name=error.name, message=str(error.error), count=error.occurrences)
                for error in environment.stats.errors.values()
            ],
            host=", ".join(self._hosts),
            started_at=self._started_at,
            seconds=max(
                (environment.stats.last_request_timestamp or 0.0) - environment.stats.start_time, 0.0
            ),
            elapsed=max(self._end - self._begin, 0.0),
            processes=self._settings.processes,
            cpu_warning=runner.cpu_warning_emitted or runner.worker_cpu_warning_emitted,
            server=add_worst_verdict(fetch_worst_verdict(self._hosts), self._worst, self._worst_at),
            target=self._target,
            series=self._series.points,
        )
        if self._settings.out:
            folder = Path(self._settings.out)
            folder.mkdir(parents=True, exist_ok=True)
            (folder / "summary.json").write_bytes(encode_summary(self._summary))
            (folder / "report.html").write_text(render_page(self._summary), encoding="utf-8")
        crashed = bool(runner.exceptions)
        environment.process_exit_code = 0 if self._summary.passed and not crashed else 1

    def on_quit(self, exit_code: int, **_: Any) -> None:
        """Print the summary, after all of Locust's own output."""
        if self._summary is not None:
            print_summary(self._summary)

    def _sample(self, environment: Any) -> None:
        assert self._suite is not None
        length = None if self._suite.iterations else self._suite.seconds
        interval = choose_interval(length, distributed=isinstance(environment.runner, MasterRunner))
        try:
            while True:
                gevent.sleep(interval)
                self._add_point(environment)
        finally:
            # The last part of an interval counts, too: a run of iterations may be shorter than one.
            self._add_point(environment)

    def _add_point(self, environment: Any) -> None:
        assert self._suite is not None
        users = None if self._suite.is_open else environment.runner.user_count
        self._series.add(time.perf_counter() - self._begin, sum_rows(read_rows(environment.stats)), users)

    def _poll_servers(self) -> None:
        # One that is not an llmsim is sent no more of these requests. Later on, no verdict may be a sign of load.
        hosts = tuple(host for host in self._hosts if fetch_verdict(host) != Server())
        while hosts:
            gevent.sleep(_VERDICT_SECONDS)
            verdict = fetch_worst_verdict(hosts)
            if self._worst is None or rank_verdict(verdict) > rank_verdict(self._worst):
                self._worst, self._worst_at = verdict, time.perf_counter() - self._begin

    def _print_progress(self, environment: Any) -> None:
        assert self._suite is not None
        in_place = sys.stderr.isatty()
        length = None if self._suite.iterations else self._suite.seconds
        try:
            while True:
                gevent.sleep(1.0 if in_place else 5.0)
                now = time.perf_counter() - self._begin
                line = format_progress(environment, now, length, is_open=self._suite.is_open)
                if in_place:
                    width = os.get_terminal_size(sys.stderr.fileno()).columns
                    sys.stderr.write(f"\r\x1b[K{shorten_line(line, width)}")
                else:
                    sys.stderr.write(f"{line}\n")
                sys.stderr.flush()
        finally:
            if in_place:
                sys.stderr.write("\r\x1b[K")
                sys.stderr.flush()


def format_progress(environment: Any, now: float, length: float | None, *, is_open: bool) -> str:
    """Return the progress of the run in one line."""
    rows = read_rows(environment.stats)
    sent = [row for row in rows if row.kind in REQUEST_KINDS]
    parts = [f"{now:.0f} s" if length is None else f"{min(now, length):.0f} of {length:.0f} s"]
    if not is_open:
        users = environment.runner.user_count
        parts.append(f"{users} user{'s' * (users != 1)}")
    parts.append(f"{sum(row.count for row in sent) / now:.1f} requests/s")
    parts.append(f"{sum(row.failures for row in sent)} failed")
    for kind in (TTFT, E2E):
        histogram = merge_histograms(row.histogram for row in rows if row.kind == kind)
        p95 = compute_quantile(histogram, 0.95)
        if p95 is not None:
            parts.append(f"{kind} p95 {p95:.0f} ms")
    return "  " + SEPARATOR.join(parts)


def _monitor_lag(environment: Any) -> None:
    while True:
        asleep = time.perf_counter()
        gevent.sleep(_LAG_SECONDS)
        record_lag(environment.stats, max(0.0, time.perf_counter() - asleep - _LAG_SECONDS) * 1000)


def _monitor_cpu(environment: Any) -> None:
    wall, busy = time.perf_counter(), time.process_time()
    while True:
        gevent.sleep(_CPU_SECONDS)
        wall_now, busy_now = time.perf_counter(), time.process_time()
        record_cpu(environment.stats, 100 * (busy_now - busy) / (wall_now - wall))
        wall, busy = wall_now, busy_now


def fetch_verdict(host: str) -> Server:
    """Return an llmsim's verdict on its own timing; an empty one for other servers."""
    stats = fetch_json(f"{host}/llmsim/stats")
    verdict = stats.get("verdict")
    since_start = ((stats.get("latency") or {}).get("lateness_ms") or {}).get("p99")
    if not isinstance(verdict, dict):
        return Server(lateness_p99_ms=since_start)
    return Server(
        state=verdict.get("state"),
        text=verdict.get("text"),
        recent_p99_ms=verdict.get("p99_lateness_ms"),
        lateness_p99_ms=since_start,
    )


def fetch_worst_verdict(hosts: tuple[str, ...]) -> Server:
    """Return the worst verdict of several hosts, with the name of its host."""
    if len(hosts) == 1:
        return fetch_verdict(hosts[0])
    found = [(host, fetch_verdict(host)) for host in hosts]
    host, worst = max(found, key=lambda pair: rank_verdict(pair[1]))
    text = None if worst.text is None else f"{worst.text} ({host}, the worst of {len(hosts)} hosts)"
    return msgspec.structs.replace(worst, text=text)
