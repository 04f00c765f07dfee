"""What goes on beside the users: the load generator is watched, progress is told, the end is summed up.

Decisions:
* Each process that makes load asks to be woken every 20 ms and writes down how late it was: the time an answer
  may have lain in its socket unread. Rows of the workers are added up by the master as all rows are.
* The summary is written by the process that has all rows: a single one, or the master.
* An llmsim tells of its last 30 to 40 seconds, so it is asked while the run goes on, too: a peak in the middle
  would be forgotten at the end.
"""

import json
import os
import ssl
import sys
import time
import urllib.error
import urllib.request
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import gevent
from locust.runners import MasterRunner, WorkerRunner

from loadtest.endpoints import asks
from loadtest.figures import merged, quantile
from loadtest.rows import record_cpu, record_lag, rows_of
from loadtest.settings import Settings
from loadtest.suites import Suite
from loadtest.summary import E2E, REQUEST_KINDS, TTFT, Failure, Server, Summary, summed_up
from loadtest.telling import SEPARATOR, fitted, tell, written
from loadtest.verdicts import lateness, worst_told

_BEAT = 0.02
_CPU_EVERY = 1.0
_ASK_EVERY = 10.0


class Watch:
    """The listeners of one process."""

    def __init__(self, settings: Settings, plan: Suite | None) -> None:
        self._settings = settings
        self._plan = plan
        self._started_at = ""
        self._begin = 0.0
        self._end = 0.0
        self._greenlets: list[Any] = []
        self._summary: Summary | None = None
        self._worst: Server | None = None
        self._worst_at = 0.0

    def attach(self, events: Any) -> None:
        """Listen."""
        events.test_start.add_listener(self.start)
        events.test_stop.add_listener(self.stop)
        events.quitting.add_listener(self.quitting)
        events.quit.add_listener(self.quit)

    def start(self, environment: Any, **_: Any) -> None:
        """Begin to watch."""
        self._started_at = datetime.now(UTC).isoformat(timespec="seconds")
        self._begin = time.perf_counter()
        if not isinstance(environment.runner, MasterRunner):
            self._greenlets.append(gevent.spawn(_watch_lag, environment))
            self._greenlets.append(gevent.spawn(_watch_cpu, environment))
        if self._plan is not None and not isinstance(environment.runner, WorkerRunner):
            self._greenlets.append(gevent.spawn(self._progress, environment))
            self._greenlets.append(gevent.spawn(self._ask_server, environment.host or ""))

    def stop(self, **_: Any) -> None:
        """End watching."""
        self._end = time.perf_counter()
        gevent.killall(self._greenlets, block=False)
        self._greenlets.clear()

    def quitting(self, environment: Any, **_: Any) -> None:
        """Sum up; the verdict is the exit code."""
        runner = environment.runner
        if self._plan is None or isinstance(runner, WorkerRunner):
            return
        host = environment.host or ""
        self._summary = summed_up(
            self._plan,
            asks(self._settings),
            rows_of(environment.stats),
            failures=[
                Failure(name=error.name, message=str(error.error), count=error.occurrences)
                for error in environment.stats.errors.values()
            ],
            host=host,
            started_at=self._started_at,
            seconds=max(
                (environment.stats.last_request_timestamp or 0.0) - environment.stats.start_time, 0.0
            ),
            elapsed=max(self._end - self._begin, 0.0),
            processes=self._settings.processes,
            cpu_warning=runner.cpu_warning_emitted or runner.worker_cpu_warning_emitted,
            server=worst_told(server_says(host), self._worst, self._worst_at),
        )
        if self._settings.out:
            path = Path(self._settings.out) / "summary.json"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(written(self._summary))
        crashed = bool(runner.exceptions)
        environment.process_exit_code = 0 if self._summary.passed and not crashed else 1

    def quit(self, exit_code: int, **_: Any) -> None:
        """Tell the outcome, behind all that Locust has to say."""
        if self._summary is not None:
            tell(self._summary)

    def _ask_server(self, host: str) -> None:
        if server_says(host) == Server():
            # Not an llmsim, and it is not to be bothered again. Later on silence may be a sign of load.
            return
        while True:
            gevent.sleep(_ASK_EVERY)
            said = server_says(host)
            if self._worst is None or lateness(said) > lateness(self._worst):
                self._worst, self._worst_at = said, time.perf_counter() - self._begin

    def _progress(self, environment: Any) -> None:
        assert self._plan is not None
        in_place = sys.stderr.isatty()
        length = self._plan.seconds
        every = 1.0 if in_place else 5.0
        try:
            while True:
                gevent.sleep(every)
                now = time.perf_counter() - self._begin
                line = progress_line(
                    environment,
                    now,
                    None if self._plan.iterations else length,
                    is_open=self._plan.is_open,
                )
                if in_place:
                    width = os.get_terminal_size(sys.stderr.fileno()).columns
                    sys.stderr.write(f"\r\x1b[K{fitted(line, width)}")
                else:
                    sys.stderr.write(f"{line}\n")
                sys.stderr.flush()
        finally:
            if in_place:
                sys.stderr.write("\r\x1b[K")
                sys.stderr.flush()


def progress_line(environment: Any, now: float, length: float | None, *, is_open: bool) -> str:
    """Say in a line how it goes."""
    rows = rows_of(environment.stats)
    sent = [row for row in rows if row.kind in REQUEST_KINDS]
    parts = [f"{now:.0f} s" if length is None else f"{min(now, length):.0f} of {length:.0f} s"]
    if not is_open:
        users = environment.runner.user_count
        parts.append(f"{users} user{'s' * (users != 1)}")
    parts.append(f"{sum(row.count for row in sent) / now:.1f} requests/s")
    parts.append(f"{sum(row.failures for row in sent)} failed")
    for kind in (TTFT, E2E):
        found = quantile(merged(row.histogram for row in rows if row.kind == kind), 0.95)
        if found is not None:
            parts.append(f"{kind} p95 {found:.0f} ms")
    return "  " + SEPARATOR.join(parts)


def _watch_lag(environment: Any) -> None:
    while True:
        asleep = time.perf_counter()
        gevent.sleep(_BEAT)
        record_lag(environment.stats, max(0.0, time.perf_counter() - asleep - _BEAT) * 1000)


def _watch_cpu(environment: Any) -> None:
    wall, busy = time.perf_counter(), time.process_time()
    while True:
        gevent.sleep(_CPU_EVERY)
        wall_now, busy_now = time.perf_counter(), time.process_time()
        record_cpu(environment.stats, 100 * (busy_now - busy) / (wall_now - wall))
        wall, busy = wall_now, busy_now


def _unchecked() -> ssl.SSLContext:
    """Give the trust that the load has in the same server: certificates are not checked."""
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


def server_says(host: str) -> Server:
    """Ask an llmsim whether it was on time; other servers have nothing to say."""
    try:
        with urllib.request.urlopen(f"{host}/llmsim/stats", timeout=10, context=_unchecked()) as answer:
            stats = json.load(answer)
    except (urllib.error.URLError, OSError, ValueError):
        # NOTE: not an llmsim, or gone. The requests of the run have told that by themselves.
        return Server()
    if not isinstance(stats, dict):
        return Server()
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
