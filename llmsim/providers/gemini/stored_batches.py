"""A batch as it is stored: how far it is at any moment follows from its outcomes and its age.

Source: ai.google.dev/api/batch-api; operations of the API in googleapis/python-genai#1323 and flachesis/gemini-rust#13.
"""

from typing import Any

import msgspec

from llmsim.providers.gemini.timestamps import render_time
from llmsim.providers.storage import Document

BATCH_KIND = "gemini.batch"

PENDING_SECS = 0.2
_FINALIZING_SECS = 0.2

_TYPE = "type.googleapis.com/google.ai.generativelanguage.v1main."
_CANCELLED, _INVALID = 1, 3
"""Codes of google.rpc."""


class BatchOutcome(msgspec.Struct, frozen=True, array_like=True):
    """How one request ends: seconds after the creation of its batch, and whether it succeeds."""

    after: float
    succeeds: bool


class StoredBatch(msgspec.Struct, frozen=True, kw_only=True):
    """A batch as it is stored.

    Attributes:
        id: Its name, without `batches/`.
        created: Unix time in seconds.
        message: Name of its message in the API.
        model: The model that its requests ask.
        display_name: As its client names it; empty if it does not.
        input_file: Name of the file with its requests; empty if they came with it.
        error: Why it failed; empty if it did not.
        outcomes: In the order of the requests.
        cancelled: Seconds after its creation at which it was cancelled; None if it was not.
    """

    id: str
    created: float
    message: str
    model: str
    display_name: str = ""
    input_file: str = ""
    error: str = ""
    outcomes: tuple[BatchOutcome, ...] = ()
    cancelled: float | None = None

    @property
    def results_file(self) -> str:
        """Name of the file with its results, if its requests came in a file."""
        return f"batch-{self.id}"

    @property
    def end(self) -> float:
        """Seconds after its creation at which it ends."""
        if self.cancelled is not None:
            return self.cancelled
        return max((outcome.after for outcome in self.outcomes), default=0.0) + _FINALIZING_SECS

    def state(self, age: float) -> str:
        """Return its state when it is `age` seconds old."""
        if self.cancelled is not None:
            return "CANCELLED"
        if age < PENDING_SECS:
            return "PENDING"
        if age < self.end:
            return "RUNNING"
        return "FAILED" if self.error else "SUCCEEDED"

    def _stats(self, age: float) -> dict[str, str]:
        """Return how many requests it has, and how they have ended; zeros are left out."""
        until = min(age, self.end)
        done = [outcome.succeeds for outcome in self.outcomes if outcome.after <= until]
        counts = {
            "requestCount": len(self.outcomes),
            "successfulRequestCount": sum(done),
            "failedRequestCount": len(done) - sum(done),
            "pendingRequestCount": len(self.outcomes) - len(done),
        }
        return {name: str(count) for name, count in counts.items() if count}

    def render(self, now: float) -> dict[str, Any]:
        """Render it as the API's operation, without results that came with it."""
        age = now - self.created
        state = self.state(age)
        updated = self.created + min(age, self.end)
        metadata: dict[str, Any] = {"@type": f"{_TYPE}{self.message}", "model": f"models/{self.model}"}
        if self.display_name:
            metadata["displayName"] = self.display_name
        if self.input_file:
            metadata["inputConfig"] = {"fileName": f"files/{self.input_file}"}
        metadata["createTime"] = render_time(self.created)
        if age >= self.end:
            metadata["endTime"] = render_time(updated)
        metadata |= {
            "updateTime": render_time(updated),
            "batchStats": self._stats(age),
            "state": f"BATCH_STATE_{state}",
            "name": f"batches/{self.id}",
        }
        operation: dict[str, Any] = {"name": f"batches/{self.id}", "metadata": metadata}
        match state:
            case "CANCELLED":
                operation |= {
                    "done": True,
                    "error": {"code": _CANCELLED, "message": "The batch was cancelled."},
                }
            case "FAILED":
                operation |= {"done": True, "error": {"code": _INVALID, "message": self.error}}
            case "SUCCEEDED" if self.input_file:
                self.add_output(operation, {"responsesFile": f"files/{self.results_file}"})
            case "SUCCEEDED":
                operation["done"] = True
        return operation

    def add_output(self, operation: dict[str, Any], output: dict[str, Any]) -> None:
        """Add the results of a batch that has succeeded to its operation."""
        operation["metadata"]["output"] = output
        operation["done"] = True
        operation["response"] = {"@type": f"{_TYPE}{self.message}Output"} | output

    def as_document(self) -> Document:
        """Return it as it is stored."""
        return Document(id=self.id, created=self.created, data=_pack(self))


_pack = msgspec.msgpack.encode
read_batch = msgspec.msgpack.Decoder(StoredBatch).decode
