"""One request of a client and its repetitions: which are retries, and what is wrong with them.

Decisions:
* A request with the same client, endpoint and body as one that failed less than a minute ago is a retry. SDKs count their retries in
  `x-stainless-retry-count`: a count that begins anew shows a new call of the application, other clients send none.
* Requests of one body at the same time cannot be distinguished: such a body is not judged, whatever was found before. So what is found is
  kept here, and added to the client's account when nothing more can come.
* Waits are judged as lenient as doubt demands. A client that waits as long as it is asked to does not choose, so only other pauses count;
  those of five seconds and more are one; random backoff may shrink by chance, so it takes three pauses, or two of nearly nothing.
"""

from itertools import pairwise
from statistics import median

import msgspec

from llmsim.domain.client_report import Finding, Misbehaviour, merge

HUNG_UP = 499
"""Status of a request whose client hung up."""

WINDOW = 60.0
"""Seconds in which a repetition is a retry, after what the server asked the client to wait."""

_RETRYABLE = (408, 409, 425, 429, HUNG_UP)
"""Statuses below 500 after which a client may try again. Source: openai and anthropic SDKs, `_should_retry`; RFC 8470 for 425."""

_LONG_WAIT = 60.0
"""Seconds of `retry-after` from which on SDKs go their own ways. Source: earlier versions of the SDKs; openai has 120 s."""

_STORM_RETRIES, _STORM_SECONDS = 10, 10.0
_MOST_PAUSES, _MANY_PAUSES = 8, 6
_IMMEDIATE = 0.1
_LONG_PAUSE = 5.0
_LEVEL_FACTOR, _LEVEL_NOISE = 1.25, 0.05
_SHRINK_FACTOR = 0.95


class CallRecord(msgspec.Struct, array_like=True):
    """A request and its repetitions.

    Times are those of `time.monotonic()`, which all processes of a machine share.

    Attributes:
        client: Digest of its client.
        endpoint: The endpoint's label.
        status: HTTP status of the last failure; 0 if the connection broke.
        failed_at: Instant of the last failure; 0 for none since it was answered.
        wait: Seconds that the last failure asked to wait; 0 for none.
        opened_at: Arrival of the attempt in progress; 0 for none.
        sdk_count: What an SDK has counted at the last attempt; -1 for no SDK.
        is_shared: Whether it was sent several times at once.
        retries: Attempts that were retries.
        arrivals: Of the last retries since it was answered.
        pauses: Before the first retries for which the client chose the time.
        storm: Retries of the chain since a storm began; 0 for none.
        found: What is wrong with the chains of retries that are over, and with single retries.
    """

    client: bytes
    endpoint: str
    status: int = 0
    failed_at: float = 0.0
    wait: float = 0.0
    opened_at: float = 0.0
    sdk_count: int = -1
    is_shared: bool = False
    retries: int = 0
    arrivals: list[float] = []
    pauses: list[float] = []
    storm: int = 0
    found: list[Finding] = []

    def begin(self, arrival: float, sdk_count: int) -> None:
        """Book that an attempt has arrived."""
        if self.opened_at or arrival < self.failed_at:
            self.is_shared = True
        self.opened_at = arrival
        if self.is_shared or not self.failed_at:
            return
        pause = arrival - self.failed_at
        if (sdk_count == 0 and self.sdk_count > 0) or pause > self.wait + WINDOW:
            self._close()
            return
        self._book_retry(arrival, pause, sdk_count)

    def _book_retry(self, arrival: float, pause: float, sdk_count: int) -> None:
        self.retries += 1
        if 400 <= self.status < 500 and self.status not in _RETRYABLE:
            self._find(Misbehaviour.NOT_RETRYABLE, [pause])
        else:
            early = self.wait - pause
            is_early = early > max(0.01, self.wait / 100)
            if is_early and (sdk_count < 0 or self.wait <= _LONG_WAIT):
                self._find(Misbehaviour.RETRY_AFTER, [self.wait, pause], early)
            if is_early or not self.wait:
                self.pauses = [*self.pauses, pause][:_MOST_PAUSES]
        self.arrivals = [*self.arrivals[1 - _STORM_RETRIES :], arrival]
        if self.storm:
            self.storm += 1
        elif len(self.arrivals) == _STORM_RETRIES and arrival - self.arrivals[0] <= _STORM_SECONDS:
            self.storm = _STORM_RETRIES

    def end(self, arrival: float, now: float, status: int | None, wait: float, sdk_count: int) -> None:
        """Book how an attempt ended.

        Args:
            arrival: Its arrival.
            now: The instant of its end.
            status: HTTP status of a failure, 0 for a broken connection; None if it was answered.
            wait: Seconds that the failure asks to wait; 0 for none.
            sdk_count: What an SDK has counted; -1 for no SDK.
        """
        if arrival < self.failed_at or self.opened_at not in (0.0, arrival):
            self.is_shared = True
        if self.opened_at == arrival:
            self.opened_at = 0.0
        if status is None:
            self._close()
            return
        self.status, self.failed_at, self.wait, self.sdk_count = status, now, wait, sdk_count

    def _close(self) -> None:
        """End a chain of retries."""
        self.found = self.findings
        self.failed_at, self.storm = 0.0, 0
        self.arrivals, self.pauses = [], []

    @property
    def findings(self) -> list[Finding]:
        """What is wrong with its retries so far; nothing if they cannot be judged."""
        if self.is_shared:
            return []
        findings = list(self.found)
        if self.storm:
            span = self.arrivals[-1] - self.arrivals[0]
            merge(findings, self._build(Misbehaviour.RETRY_STORM, [span], float(self.storm)))
        if not backs_off(self.pauses):
            merge(findings, self._build(Misbehaviour.NO_BACKOFF, self.pauses[:4]))
        return findings

    def _find(self, kind: Misbehaviour, seconds: list[float], worst: float = 0.0) -> None:
        merge(self.found, self._build(kind, seconds, worst))

    def _build(self, kind: Misbehaviour, seconds: list[float], worst: float = 0.0) -> Finding:
        return Finding(
            kind=kind, worst=worst, endpoint=self.endpoint, status=self.status, seconds=list(seconds)
        )


def backs_off(pauses: list[float]) -> bool:
    """Return whether the pauses before retries, in seconds, may be those of a client that backs off."""
    if len(pauses) >= 2 and max(pauses) < _IMMEDIATE:
        return False
    if len(pauses) < 3 or max(pauses) >= _LONG_PAUSE:
        return True
    if len(pauses) >= _MANY_PAUSES:
        # So many show a trend, whatever delays a busy machine adds to some.
        half = len(pauses) // 2
        return median(pauses[half:]) > median(pauses[:half]) * _LEVEL_FACTOR + _LEVEL_NOISE
    is_level = max(pauses) <= min(pauses) * _LEVEL_FACTOR + _LEVEL_NOISE
    shrinks = all(after <= before * _SHRINK_FACTOR for before, after in pairwise(pauses))
    return not (is_level or shrinks)
