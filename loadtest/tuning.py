"""What Locust is told to do differently.

Decisions:
* Values keep three digits, as in `figures`.
* PERF: a worker that is told of more users builds Locust's command line parser once for each of its options
  (2.47, `WorkerRunner.handle_message`). That stopped it, and every stream it was reading, for 100 to 500 ms each
  second of a ramp; with the parser's defaults remembered, for 25 ms at most.
* Charts of the report get a point every 2 s, for suites are short.
"""

import functools

import locust.argument_parser
import locust.stats

from loadtest.figures import rounded


def tune() -> None:
    """Tell it."""
    locust.stats.bucket_response_time = rounded  # type: ignore[assignment]
    locust.stats.HISTORY_STATS_INTERVAL_SEC = 2
    locust.argument_parser.default_args_dict = functools.cache(locust.argument_parser.default_args_dict)
