"""The row of one host in the stats of several."""

from typing import Literal

import msgspec

from llmsim.stats.verdict import Verdict

State = Literal["up", "draining", "gone", "unknown"]


class HostStats(msgspec.Struct, frozen=True, kw_only=True):
    """What was counted on one host, by all instances of it.

    Attributes:
        host: Its name.
        state: `up`, `draining` or `gone`; `unknown` if its llmsim counts other things, and nothing of it is in the sums.
        age_secs: Seconds since it has published this.
        started_at: Unix time of its last start, in seconds; None for the sum of former hosts.
        starts: How many of its instances are known; None likewise.
        workers: Its living workers.
        requests: Requests that began.
        active: Requests in flight; those of a host that is gone are aborted.
        errors: Requests that ended in a simulated failure or a bug.
        aborted: Requests that the server gave up.
        tokens: Completion tokens sent.
        requests_per_second: Mean over the last ten complete seconds.
        tokens_per_second: The same for completion tokens.
        verdict: Whether it was on time lately; None if it is gone.
    """

    host: str
    state: State
    age_secs: float
    started_at: float | None
    starts: int | None
    workers: int
    requests: int
    active: int
    errors: int
    aborted: int
    tokens: int
    requests_per_second: float
    tokens_per_second: float
    verdict: Verdict | None
