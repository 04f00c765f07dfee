"""A batch as it is stored: how far it is at any moment follows from its outcomes and its age."""

from typing import Any

import msgspec

from llmsim.domain import Usage
from llmsim.providers.openai.batch_input import BatchError
from llmsim.providers.openai.stored_files import ExpiresAfter
from llmsim.providers.storage import Document

BATCH_KIND = "openai.batch"
_DAY = 86_400

VALIDATION_SECS = 0.2
_FINALIZING_SECS = 0.2
_CANCELLING_SECS = 0.3


class BatchOutcome(msgspec.Struct, frozen=True, array_like=True):
    """How one request ends: seconds after the creation of its batch, and whether it succeeds."""

    after: float
    succeeds: bool


class StoredBatch(msgspec.Struct, frozen=True, kw_only=True):
    """A batch as it is stored.

    Attributes:
        id: Its public id.
        arrived: Unix time of its creation, in seconds.
        endpoint: Path of the endpoint that it asks.
        input_file_id: File with the requests.
        metadata: The client's labels.
        model: Model of the requests; None if they name none.
        errors: Why it failed; empty if it did not.
        outcomes: In the order of the requests.
        usage: Tokens of all requests that succeed.
        output_file_id: File with the responses; None if no request succeeds.
        error_file_id: File with the errors; None if none fails.
        cancelled: Seconds after its creation at which it was cancelled; None if it was not.
        output_expires_after: Seconds for which its files are kept; None for ever.
    """

    id: str
    arrived: float
    endpoint: str
    input_file_id: str
    metadata: dict[str, str] | None = None
    model: str | None = None
    errors: list[BatchError] = []
    outcomes: tuple[BatchOutcome, ...] = ()
    usage: Usage = Usage(0, 0)
    output_file_id: str | None = None
    error_file_id: str | None = None
    cancelled: float | None = None
    output_expires_after: ExpiresAfter | None = None

    @property
    def finalizing(self) -> float:
        """Seconds after its creation at which its last request is done."""
        return max((outcome.after for outcome in self.outcomes), default=VALIDATION_SECS)

    @property
    def end(self) -> float:
        """Seconds after its creation at which it ends."""
        if self.errors:
            return VALIDATION_SECS
        if self.cancelled is not None:
            return self.cancelled + _CANCELLING_SECS
        return self.finalizing + _FINALIZING_SECS

    def status(self, age: float) -> str:
        """Return its status when it is `age` seconds old."""
        if self.errors and age >= VALIDATION_SECS:
            return "failed"
        if self.cancelled is not None:
            return "cancelled" if age >= self.end else "cancelling"
        for until, status in (
            (VALIDATION_SECS, "validating"),
            (self.finalizing, "in_progress"),
            (self.end, "finalizing"),
        ):
            if age < until:
                return status
        return "completed"

    def counts(self, age: float) -> dict[str, int]:
        """Return how many requests it has, and how they have ended."""
        if age < VALIDATION_SECS:
            return {"total": 0, "completed": 0, "failed": 0}
        until = age if self.cancelled is None else min(age, self.cancelled)
        done = [outcome for outcome in self.outcomes if outcome.after <= until]
        completed = sum(outcome.succeeds for outcome in done)
        return {"total": len(self.outcomes), "completed": completed, "failed": len(done) - completed}

    def render(self, now: float) -> dict[str, Any]:
        """Render the batch object."""
        age, created = now - self.arrived, int(self.arrived)

        def instant(seconds: float, *, holds: bool) -> int | None:
            return int(self.arrived + seconds) if holds and age >= seconds else None

        runs = not self.errors
        status = self.status(age)
        has_ended = status in ("completed", "cancelled")
        is_cancelled = self.cancelled is not None
        begins = runs and (self.cancelled is None or self.cancelled >= VALIDATION_SECS)
        usage = self.usage if has_ended else Usage(0, 0)
        return {
            "id": self.id,
            "object": "batch",
            "endpoint": self.endpoint,
            "model": self.model if age >= VALIDATION_SECS else None,
            "errors": (
                {"object": "list", "data": [msgspec.structs.asdict(one) for one in self.errors]}
                if status == "failed"
                else None
            ),
            "input_file_id": self.input_file_id,
            "completion_window": "24h",
            "status": status,
            "output_file_id": self.output_file_id if has_ended else None,
            "error_file_id": self.error_file_id if has_ended else None,
            "created_at": created,
            "in_progress_at": instant(VALIDATION_SECS, holds=begins),
            "expires_at": created + _DAY,
            "finalizing_at": instant(self.finalizing, holds=runs and not is_cancelled),
            "completed_at": instant(self.end, holds=runs and not is_cancelled),
            "failed_at": instant(VALIDATION_SECS, holds=bool(self.errors)),
            "expired_at": None,
            "cancelling_at": instant(self.cancelled or 0.0, holds=is_cancelled),
            "cancelled_at": instant(self.end, holds=is_cancelled),
            "request_counts": self.counts(age),
            "metadata": self.metadata,
            "usage": {
                "input_tokens": usage.prompt,
                "input_tokens_details": {"cached_tokens": usage.cached},
                "output_tokens": usage.completion,
                "output_tokens_details": {"reasoning_tokens": usage.reasoning},
                "total_tokens": usage.total,
            },
        }

    def as_document(self) -> Document:
        """Return the batch as a document."""
        return Document(id=self.id, created=self.arrived, data=msgspec.msgpack.encode(self))


read_batch = msgspec.msgpack.Decoder(StoredBatch).decode
