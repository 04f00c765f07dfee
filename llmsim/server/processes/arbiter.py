"""gunicorn's master process, with stops that come at any instant and reloads that may be refused.

Decisions:
* `Master.on_starting` makes gunicorn's arbiter one of this class, so that `llmsim serve` and `gunicorn -c gunicorn.conf.py` are
  the same server.
* A worker between its fork and its own signal handlers would run the master's, and lose the signal: stop signals are blocked
  over the fork, and unblocked by the worker once it can obey them.
* A stop that arrives while workers are started, or while a reload waits for the old ones, ends that at once. gunicorn would first
  start them all, or wait for `graceful_timeout`.
* gunicorn closes its listeners before it stops its workers, so the delay in which the server goes on accepting comes
  first. Meanwhile dead workers are replaced as ever; the next stop signal ends it.
* The settings of a reload are read and tried before anything is replaced: gunicorn replaces its workers in any case.
"""

import os
import signal
import time
from collections.abc import Callable
from typing import Any

from gunicorn import util
from gunicorn.arbiter import Arbiter as GunicornArbiter

from llmsim.server.processes.worker import STOP_SIGNALS

_QUICK = 2.0
"""Seconds that workers are given after a second stop signal that asks for haste, as gunicorn gives them."""

_POLL = 0.05
"""Seconds between two looks whether the old workers of a reload have ended."""


class Arbiter(GunicornArbiter):  # type: ignore[misc]  # gunicorn publishes no types
    """The master process.

    Attributes:
        prepare_reload: Called before a reload; returns False to refuse it.
        start_drain: Called when the server is to stop; returns for how many seconds it is to go on accepting.
    """

    prepare_reload: Callable[[], bool]
    start_drain: Callable[[], float]
    LISTENERS: list[Any]
    _stops: tuple[int, ...] = ()
    _is_delayed = False

    def take_over(self, prepare_reload: Callable[[], bool], start_drain: Callable[[], float]) -> None:
        """Receive signals from now on: what was created is removed, whenever the server is stopped."""
        self.prepare_reload = prepare_reload
        self.start_drain = start_drain
        self.init_signals()

    @property
    def _is_stopping(self) -> bool:
        # The first stop may begin a delay; the second one ends it.
        return len(self._stops) > self._is_delayed

    def signal(self, sig: int, frame: Any) -> None:
        """Queue a signal, as gunicorn does, and note a stop."""
        if sig in STOP_SIGNALS:
            self._stops += (sig,)
        super().signal(sig, frame)

    def handle_term(self) -> None:
        """Go on accepting for the configured delay, then stop.

        Raises:
            StopIteration: Always; the arbiter then stops its workers.
        """
        delay = self.start_drain()
        if delay and all(number == signal.SIGTERM for number in self._stops):
            self._is_delayed = True
            self._serve_until(time.monotonic() + delay)
            self._is_delayed = False
        if any(number != signal.SIGTERM for number in self._stops):
            self.handle_int()
        super().handle_term()

    def _serve_until(self, deadline: float) -> None:
        """Serve as ever until an instant or the next stop signal; a reload is ignored."""
        while not self._is_stopping and (left := deadline - time.monotonic()) > 0:
            for number in self.wait_for_signals(timeout=min(1.0, left)):
                if number == signal.SIGCHLD:
                    self.reap_workers()
            if not self._is_stopping:
                self.murder_workers()
                self.manage_workers()

    def stop(self, graceful: bool = True) -> None:
        """Stop the workers; return as soon as the last one has ended.

        PERF: 0.2 s of 0.4 for an idle server: gunicorn looks after its workers ten times a second, and once more when they are gone.
        """
        for listener in self.LISTENERS:
            listener.close()
        self.LISTENERS = []
        number = signal.SIGTERM if graceful else signal.SIGQUIT
        deadline = time.monotonic() + self.cfg.graceful_timeout
        self.kill_workers(number)
        while self.WORKERS and (left := deadline - time.monotonic()) > 0:
            received = self.wait_for_signals(timeout=min(1.0, left))
            if number == signal.SIGTERM and not {signal.SIGINT, signal.SIGQUIT}.isdisjoint(received):
                number = signal.SIGQUIT
                deadline = min(deadline, time.monotonic() + _QUICK)
                self.kill_workers(number)
            self.reap_workers()
        self.kill_workers(signal.SIGKILL)
        super().stop(graceful)

    def spawn_worker(self) -> int:
        """Start a worker; it is forked with stop signals blocked.

        Raises:
            StopIteration: The server is to stop; the arbiter then ends as the signal in its queue says.
        """
        if self._is_stopping:
            raise StopIteration
        signal.pthread_sigmask(signal.SIG_BLOCK, STOP_SIGNALS)
        try:
            pid: int = super().spawn_worker()
        finally:
            # NOTE: the worker leaves through here, too, at its end.
            if os.getpid() == self.pid:
                signal.pthread_sigmask(signal.SIG_UNBLOCK, STOP_SIGNALS)
        return pid

    def reload(self) -> None:
        """Replace the workers by new ones with the settings read anew, unless these are faulty."""
        if not self.prepare_reload():
            return
        self._stats["reloads"] += 1
        self.app.reload()
        self.setup(self.app)
        self.log.reopen_files()
        self.cfg.on_reload(self)
        util._setproctitle(f"master [{self.proc_name}]")
        last_age = self.worker_age
        for _ in range(self.cfg.workers):
            self.spawn_worker()
        # More old workers at the same time than those of one reload would take ever more memory and slots.
        deadline = time.monotonic() + self.cfg.graceful_timeout
        while True:
            self.murder_workers()
            self.manage_workers()
            oldest = min((worker.age for worker in self.WORKERS.values()), default=last_age + 1)
            if oldest > last_age or self._is_stopping or time.monotonic() >= deadline:
                return
            time.sleep(_POLL)
            self.reap_workers()
