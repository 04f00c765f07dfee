"""The locustfile: `locust -f loadtest/locustfile.py`.

With LOADTEST_SUITE a suite decides about load and length; without it Locust's own options or its web page do,
and each endpoint has a user class of its own: `locust -f loadtest/locustfile.py --host … ChatUser`.

Decisions:
* Histograms keep three digits, as in `timing`.
* Charts of the report get a point every 2 s, because suites are short.
"""

import functools
import os
import sys
from pathlib import Path

# Locust puts this file's folder on the path; the package is found from its parent.
sys.path.insert(0, str(Path(__file__).parents[1]))

import locust.argument_parser
import locust.stats
from locust import LoadTestShape, events

from loadtest.endpoints import build_requests
from loadtest.monitor import Monitor
from loadtest.settings import SettingsError, load_settings
from loadtest.suites import resolve_suite
from loadtest.timing import round_value
from loadtest.users import build_user_classes

try:
    SETTINGS = load_settings(os.environ)
    SUITE = resolve_suite(SETTINGS) if SETTINGS.suite else None
    build_requests(SETTINGS)
except SettingsError as error:
    sys.stderr.write(f"{error}\n")
    sys.exit(2)

locust.stats.bucket_response_time = round_value  # type: ignore[assignment]
locust.stats.HISTORY_STATS_INTERVAL_SEC = 2
# PERF: a worker that gets more users builds Locust's command line parser once for each of its options
# (2.47, `WorkerRunner.handle_message`). That stopped it, and every stream it was reading, for 100 to 500 ms each
# second of a ramp; with the parser's defaults cached, for 25 ms at most.
locust.argument_parser.default_args_dict = functools.cache(locust.argument_parser.default_args_dict)

# Users per second; above it Locust warns.
_SPAWN_RATE = 100.0

globals().update(build_user_classes(SETTINGS, SUITE))
Monitor(SETTINGS, SUITE).attach(events)

if SUITE is not None:
    PLAN = SUITE

    class SuiteShape(LoadTestShape):
        """Number of users of the suite over time; in the open model one for each process that generates load."""

        def tick(self) -> tuple[int, float] | None:
            """Return users and users per second; None at the end."""
            elapsed = float(self.get_run_time())  # type: ignore[no-untyped-call]  # Locust's own
            level = PLAN.level(elapsed)
            assert self.runner is not None
            if PLAN.is_open:
                # Arrivals end by themselves; a clock that began a little earlier must not cut them off.
                return None if elapsed > PLAN.seconds + 1 else (SETTINGS.processes, SETTINGS.processes)
            if level is None:
                return None
            if PLAN.iterations is not None and elapsed > 1 and self.runner.user_count == 0:
                return None
            # The rate stays the same, because every change is a message to all workers.
            return max(1, round(level)), _SPAWN_RATE
