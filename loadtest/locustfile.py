"""What Locust loads: `locust -f loadtest/locustfile.py`.

With LOADTEST_SUITE a suite decides about load and length; without it Locust's own options or its web page do,
and every user can be had by name: `locust -f loadtest/locustfile.py --host … ChatUser`.
"""

import os
import sys
from pathlib import Path

# Locust puts this file's folder on the path, but the package is found from the one above.
sys.path.insert(0, str(Path(__file__).parents[1]))

from locust import LoadTestShape, events

from loadtest.endpoints import asks
from loadtest.settings import SettingsError, load
from loadtest.suites import planned
from loadtest.tuning import tune
from loadtest.users import users
from loadtest.watching import Watch

try:
    SETTINGS = load(os.environ)
    PLAN = planned(SETTINGS) if SETTINGS.suite else None
    asks(SETTINGS)
except SettingsError as error:
    sys.stderr.write(f"{error}\n")
    sys.exit(2)

tune()

# Users per second; above it Locust warns.
_SPAWN_RATE = 100.0

globals().update(users(SETTINGS, PLAN))
Watch(SETTINGS, PLAN).attach(events)

if PLAN is not None:
    SUITE = PLAN

    class SuiteShape(LoadTestShape):
        """The users of the suite over time; in the open model one for each process that makes load."""

        def tick(self) -> tuple[int, float] | None:
            """Give users and users per second, None at the end."""
            elapsed = float(self.get_run_time())  # type: ignore[no-untyped-call]  # Locust's own
            level = SUITE.level(elapsed)
            assert self.runner is not None
            if SUITE.is_open:
                # Arrivals end by themselves, and are not to be cut off by a clock that began a little earlier.
                return None if elapsed > SUITE.seconds + 1 else (SETTINGS.processes, SETTINGS.processes)
            if level is None:
                return None
            if SUITE.iterations is not None and elapsed > 1 and self.runner.user_count == 0:
                return None
            # The rate stays the same, for every change is a message to all workers.
            return max(1, round(level)), _SPAWN_RATE
