"""The headers that say what is left of an account's limits, in the form of Anthropic's API.

Decisions:
* The tokens together are the sum of input and output where no limit of their own is set. What is not limited is shown as the nominal
  limits of a large account.
* A reset is a time, rounded up to a second.

Source: docs.claude.com/en/api/rate-limits, "Response headers".
"""

import functools
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

_LINES = "".join(
    f"anthropic-ratelimit-{name}-{fact}: {place}\r\n"
    for name in _NAMES
    for fact, place in (("limit", "%d"), ("remaining", "%d"), ("reset", "%s"))
)


_RESET = "\r\nanthropic-ratelimit-%s-reset: "


@functools.lru_cache(256)
def _format_time(second: int) -> str:
    """Format a Unix time as RFC 3339."""
    return datetime.fromtimestamp(second, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def render_limits(status: QuotaStatus) -> bytes:
    """Render what is left of the limits as header lines."""
    rates, at = status.rates(), status.at + 999_999
    requests = rates.get(RPM, _REQUESTS)
    if RPD in rates and (RPM not in rates or rates[RPD][1] < requests[1]):
        requests = rates[RPD]
    read, written = rates.get(INPUT_TPM, _INPUT), rates.get(OUTPUT_TPM, _OUTPUT)
    tokens = rates[TPM] if TPM in rates else _sum(read, written)
    lines = _LINES % (
        requests[0],
        requests[1],
        _format_time((at + requests[2]) // 1_000_000),
        tokens[0],
        tokens[1],
        _format_time((at + tokens[2]) // 1_000_000),
        read[0],
        read[1],
        _format_time((at + read[2]) // 1_000_000),
        written[0],
        written[1],
        _format_time((at + written[2]) // 1_000_000),
    )
    return lines.encode()


def prepare_limits(limits: Limits) -> RenderLimits:
    """Return what renders what is left of limits; see `render_limits`."""
    rates = {rate[0]: rate for rate in limits.rates}
    if rates.keys() == {RPM, TPM}:
        return _prepare_total(rates[RPM], rates[TPM])
    if rates.keys() == {RPM, INPUT_TPM, OUTPUT_TPM}:
        return _prepare_kinds(rates[RPM], rates[INPUT_TPM], rates[OUTPUT_TPM])
    return render_limits


def _prepare_total(requests: Rate, tokens: Rate) -> RenderLimits:
    """Return what renders limits of requests and of tokens together. PERF: 40 % of the time of `render_limits`."""
    _, limit, period, capacity = requests
    _, tokens_limit, tokens_period, tokens_capacity = tokens
    head, tokens_head = _head("requests", limit), _head("tokens", tokens_limit)
    requests_reset, tokens_reset = _RESET % "requests", _RESET % "tokens"
    input_head = f"{_head('input-tokens', _INPUT[0])}{_INPUT[1]}{_RESET % 'input-tokens'}"
    output_head = f"{_head('output-tokens', _OUTPUT[0])}{_OUTPUT[1]}{_RESET % 'output-tokens'}"
    rest, rest_at = b"", -1

    def render(status: QuotaStatus) -> bytes:
        nonlocal rest, rest_at
        used, more, at = status.used[RPM], status.used[TPM], status.at + 999_999
        if (second := at // 1_000_000) != rest_at:
            # PERF: what is not limited is the same for a second.
            now = _format_time(second)
            rest, rest_at = f"\r\n{input_head}{now}\r\n{output_head}{now}\r\n".encode(), second
        return (
            f"{head}{(capacity - used) // period if used < capacity else 0}"
            f"{requests_reset}{_format_time((at - -used // limit) // 1_000_000)}\r\n"
            f"{tokens_head}{(tokens_capacity - more) // tokens_period if more < tokens_capacity else 0}"
            f"{tokens_reset}{_format_time((at - -more // tokens_limit) // 1_000_000)}"
        ).encode() + rest

    return render


def _prepare_kinds(requests: Rate, read: Rate, written: Rate) -> RenderLimits:
    """Return what renders limits of requests, of input and of output, likewise."""
    _, limit, period, capacity = requests
    _, read_limit, read_period, read_capacity = read
    _, written_limit, written_period, written_capacity = written
    head, tokens_head = _head("requests", limit), _head("tokens", read_limit + written_limit)
    read_head, written_head = _head("input-tokens", read_limit), _head("output-tokens", written_limit)

    def render(status: QuotaStatus) -> bytes:
        used, at = status.used, status.at + 999_999
        asked, came, went = used[RPM], used[INPUT_TPM], used[OUTPUT_TPM]
        came_left = (read_capacity - came) // read_period if came < read_capacity else 0
        went_left = (written_capacity - went) // written_period if went < written_capacity else 0
        came_end, went_end = at - -came // read_limit, at - -went // written_limit
        came_reset, went_reset = _format_time(came_end // 1_000_000), _format_time(went_end // 1_000_000)
        return (
            f"{head}{(capacity - asked) // period if asked < capacity else 0}"
            f"\r\nanthropic-ratelimit-requests-reset: {_format_time((at - -asked // limit) // 1_000_000)}\r\n"
            f"{tokens_head}{came_left + went_left}"
            f"\r\nanthropic-ratelimit-tokens-reset: {came_reset if came_end > went_end else went_reset}\r\n"
            f"{read_head}{came_left}\r\nanthropic-ratelimit-input-tokens-reset: {came_reset}\r\n"
            f"{written_head}{went_left}\r\nanthropic-ratelimit-output-tokens-reset: {went_reset}\r\n"
        ).encode()

    return render


def _head(name: str, limit: int) -> str:
    """Return what comes before the rest of a limit."""
    return f"anthropic-ratelimit-{name}-limit: {limit}\r\nanthropic-ratelimit-{name}-remaining: "


LIMIT_HEADERS = LimitHeaders(nominal=NOMINAL, prepare=prepare_limits)
"""The headers of the API."""
