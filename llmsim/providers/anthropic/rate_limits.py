"""The headers that say what is left of an account's limits, in the form of Anthropic's API.

Decisions:
* The tokens together are the sum of input and output where no limit of their own is set. What is not limited is shown as the nominal
  limits of a large account.
* A reset is a time, rounded up to a second.

Source: docs.claude.com/en/api/rate-limits, "Response headers".
"""

import functools
from collections.abc import Callable
from datetime import UTC, datetime

from llmsim.domain.quota import (
    INPUT_TPM,
    OUTPUT_TPM,
    RPD,
    RPM,
    TPM,
    Limits,
    QuotaStatus,
    Rate,
    RateStatus,
)
from llmsim.providers.contract import Headers, LimitHeaders, RenderLimits
from llmsim.providers.limit_memo import remember_last

_REQUESTS = (4_000, 4_000, 0)
_INPUT = (2_000_000, 2_000_000, 0)
_OUTPUT = (400_000, 400_000, 0)
"""Nominal limits. Source: docs.claude.com/en/api/rate-limits, tier 4."""

_NAMES = ("requests", "tokens", "input-tokens", "output-tokens")


def _headers(*rates: RateStatus) -> Headers:
    return tuple(
        header
        for name, rate in zip(_NAMES, rates, strict=True)
        for header in (
            (f"anthropic-ratelimit-{name}-limit", str(rate[0])),
            (f"anthropic-ratelimit-{name}-remaining", str(rate[1])),
            (f"anthropic-ratelimit-{name}-reset", "{now}"),
        )
    )


def _sum(one: RateStatus, other: RateStatus) -> RateStatus:
    return one[0] + other[0], one[1] + other[1], max(one[2], other[2])


NOMINAL = _headers(_REQUESTS, _sum(_INPUT, _OUTPUT), _INPUT, _OUTPUT)

_Lines = Callable[[int, int, int, int], bytes]
"""Renders limits by the seconds in which they are reset, with a place for what is left of each."""

_PLACES = ("%d",) * 4


@functools.lru_cache(256)
def _format_time(second: int) -> str:
    """Format a Unix time as RFC 3339."""
    return datetime.fromtimestamp(second, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


@functools.lru_cache(256)
def _prepare_lines(limits: tuple[int, ...], left: tuple[str, ...] = _PLACES) -> _Lines:
    """Return what renders limits. PERF: its lines are remembered, as they change by the second."""

    @functools.lru_cache(16)
    def render(*ends: int) -> bytes:
        return "".join(
            [
                f"anthropic-ratelimit-{name}-limit: {limit}\r\n"
                f"anthropic-ratelimit-{name}-remaining: {place}\r\n"
                f"anthropic-ratelimit-{name}-reset: {_format_time(end)}\r\n"
                for name, limit, place, end in zip(_NAMES, limits, left, ends, strict=True)
            ]
        ).encode()

    return render


def render_limits(status: QuotaStatus) -> bytes:
    """Render what is left of the limits as header lines."""
    rates, at = status.rates(), status.at + 999_999
    requests = rates.get(RPM, _REQUESTS)
    if RPD in rates and (RPM not in rates or rates[RPD][1] < requests[1]):
        requests = rates[RPD]
    read, written = rates.get(INPUT_TPM, _INPUT), rates.get(OUTPUT_TPM, _OUTPUT)
    tokens = rates[TPM] if TPM in rates else _sum(read, written)
    shown = (requests, tokens, read, written)
    lines = _prepare_lines(tuple([rate[0] for rate in shown]))
    requests_end, tokens_end, read_end, written_end = [(at + rate[2]) // 1_000_000 for rate in shown]
    left = tuple([rate[1] for rate in shown])
    return lines(requests_end, tokens_end, read_end, written_end) % left


def prepare_limits(limits: Limits) -> RenderLimits:
    """Return what renders what is left of limits; see `render_limits`."""
    rates = {rate[0]: rate for rate in limits.rates}
    render: RenderLimits = render_limits
    if rates.keys() == {RPM, TPM}:
        render = _prepare_total(rates[RPM], rates[TPM])
    elif rates.keys() == {RPM, INPUT_TPM, OUTPUT_TPM}:
        render = _prepare_kinds(rates[RPM], rates[INPUT_TPM], rates[OUTPUT_TPM])
    return remember_last(render, _end_of_seconds)


def _end_of_seconds(status: QuotaStatus) -> int:
    """Return when the first of the resets is in the next second, if the same is still in use then."""
    at = status.at + 999_999
    waits = (0, *[rate[2] for rate in status.rates().values()])
    return status.at + min([1_000_000 - (at + wait) % 1_000_000 for wait in waits])


def _prepare_total(requests: Rate, tokens: Rate) -> RenderLimits:
    """Return what renders limits of requests and of tokens together. PERF: 40 % of the time of `render_limits`."""
    _, limit, period, capacity = requests
    _, tokens_limit, tokens_period, tokens_capacity = tokens
    lines = _prepare_lines(
        (limit, tokens_limit, _INPUT[0], _OUTPUT[0]), ("%d", "%d", str(_INPUT[1]), str(_OUTPUT[1]))
    )
    begin, shared = 0, b""

    def render(status: QuotaStatus) -> bytes:
        nonlocal begin, shared
        (used, more), at = status.used, status.at + 999_999
        rest = begin + 999_999 - at
        if at >= begin and used <= rest * limit and more <= rest * tokens_limit:
            # PERF: all resets are in the second of the last ones, as most are: half of the time.
            found = shared
        else:
            now = at // 1_000_000
            end, tokens_end = (at - -used // limit) // 1_000_000, (at - -more // tokens_limit) // 1_000_000
            found = lines(end, tokens_end, now, now)
            if end == tokens_end == now:
                begin, shared = now * 1_000_000, found
        return found % (
            (capacity - used) // period if used < capacity else 0,
            (tokens_capacity - more) // tokens_period if more < tokens_capacity else 0,
        )

    return render


def _prepare_kinds(requests: Rate, read: Rate, written: Rate) -> RenderLimits:
    """Return what renders limits of requests, of input and of output, likewise."""
    _, limit, period, capacity = requests
    _, read_limit, read_period, read_capacity = read
    _, written_limit, written_period, written_capacity = written
    lines = _prepare_lines((limit, read_limit + written_limit, read_limit, written_limit))

    def render(status: QuotaStatus) -> bytes:
        (asked, came, went), at = status.used, status.at + 999_999
        came_left = (read_capacity - came) // read_period if came < read_capacity else 0
        went_left = (written_capacity - went) // written_period if went < written_capacity else 0
        came_end = (at - -came // read_limit) // 1_000_000
        went_end = (at - -went // written_limit) // 1_000_000
        return lines(
            (at - -asked // limit) // 1_000_000,
            max(went_end, came_end),
            came_end,
            went_end,
        ) % (
            (capacity - asked) // period if asked < capacity else 0,
            came_left + went_left,
            came_left,
            went_left,
        )

    return render


LIMIT_HEADERS = LimitHeaders(nominal=NOMINAL, prepare=prepare_limits)
"""The headers of the API."""
