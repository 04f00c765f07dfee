"""What is reported of the clients of a server: how they go about answers that fail."""

import enum

import msgspec


class Misbehaviour(enum.Enum):
    """What a client did wrong; the value is its name in reports and options."""

    RETRY_AFTER = "retry_after"
    NOT_RETRYABLE = "not_retryable"
    RETRY_STORM = "retry_storm"
    NO_BACKOFF = "no_backoff"
    TRUNCATED = "truncated"
    ABANDONED = "abandoned"


class Finding(msgspec.Struct, array_like=True, kw_only=True):
    """One kind of misbehaviour of one client.

    Attributes:
        kind: What it did.
        count: How often.
        worst: Of `retry_after` the seconds by which the earliest retry came too early; of `retry_storm` the most retries of a request;
            of `abandoned` the seconds after which it hung up soonest; 0 for others.
        endpoint: Label of the endpoint of the example.
        status: HTTP status of the answer of the example; 0 if its connection broke.
        seconds: Of `retry_after` what was asked for and what was waited; of others what was waited before retries.
        what: Of `truncated` what was taken for complete; empty for others.
    """

    kind: Misbehaviour
    count: int = 1
    worst: float = 0.0
    endpoint: str = ""
    status: int = 0
    seconds: list[float] = []
    what: str = ""

    @property
    def example(self) -> str:
        """The example in a sentence."""
        answer = {0: "a response that broke off", 499: "hanging up"}.get(self.status, f"a {self.status}")
        waits = ", ".join(f"{one:.2f}" for one in self.seconds)
        match self.kind:
            case Misbehaviour.RETRY_AFTER:
                asked, waited = self.seconds
                text = f"sent again {waited:.2f} s after {answer} with a retry-after of {asked:g} s"
            case Misbehaviour.NOT_RETRYABLE:
                text = f"sent again {waits} s after {answer}, which no repetition changes"
            case Misbehaviour.RETRY_STORM:
                text = f"sent again {self.worst:.0f} times within {self.seconds[0]:.2f} s after {answer}"
            case Misbehaviour.NO_BACKOFF:
                text = f"waited {waits} s before the retries after {answer}"
            case Misbehaviour.TRUNCATED:
                text = f"went on with {self.what} of a truncated stream"
            case Misbehaviour.ABANDONED:
                text = f"hung up after {waits} s"
        return f"{self.endpoint}: {text}"


def merge(findings: list[Finding], more: Finding) -> None:
    """Add a finding to those of a client: the worst one is the example."""
    for index, known in enumerate(findings):
        if known.kind is more.kind:
            is_least = known.kind is Misbehaviour.ABANDONED
            kept = known if (known.worst < more.worst) is is_least and known.worst != more.worst else more
            findings[index] = msgspec.structs.replace(kept, count=known.count + more.count)
            return
    findings.append(msgspec.structs.replace(more))


class ClientReport(msgspec.Struct, frozen=True):
    """What is known of one client.

    Attributes:
        client: Its session's name, or the fingerprint of its API key.
        named_by: `session`, `key`, or `none` for all clients without a key.
        failures: Requests of it that were not answered, or not to the end.
        retries: Requests that it sent again after that.
        not_judged: Requests that it sent several times at once, so that retries cannot be known among them.
        first_at: Unix time of the first failure.
        last_at: Unix time of the last one.
        findings: What it did wrong; empty if nothing.
    """

    client: str
    named_by: str
    failures: int
    retries: int
    not_judged: int
    first_at: float
    last_at: float
    findings: tuple[Finding, ...]
