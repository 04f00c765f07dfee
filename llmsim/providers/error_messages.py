"""Errors that read alike in all APIs: those of simulated failures, of scripts, of the shared store, and of bugs."""

import math

from llmsim.domain import Fault
from llmsim.errors import ExhaustedError, ExpectationError, ScenarioError, StoreError, UnknownScriptError

CRASH_MESSAGE = "llmsim failed while it answered this request; its log says why."
"""The message for a bug of llmsim's own."""


def fault_message(fault: Fault, default: str) -> str:
    """Return the message of a fault: its own, or `default` with a note that nothing real has failed."""
    return f"{default} (simulated by llmsim)" if fault.message is None else fault.message


def retry_headers(fault: Fault) -> tuple[tuple[str, str], ...]:
    """Return the headers that ask the client to wait before it retries; none if the fault names no time.

    Source: openai SDK, _base_client.py, and likewise the anthropic SDK: retry-after-ms first, then retry-after.
    """
    if fault.retry_after is None:
        return ()
    # Whole seconds, as RFC 9110 wants.
    return (
        ("retry-after", str(math.ceil(fault.retry_after))),
        ("retry-after-ms", f"{fault.retry_after * 1000:.0f}"),
    )


def wait_headers(wait_ms: int | None) -> tuple[tuple[str, str], ...]:
    """Return the headers that ask the client to wait for a number of milliseconds; none if there is none."""
    if wait_ms is None:
        return ()
    return ("retry-after", str(math.ceil(wait_ms / 1000))), ("retry-after-ms", str(wait_ms))


UNAVAILABLE_STATUS = 503
UNAVAILABLE_HEADERS = (("retry-after", "5"),)
"""What a request is answered whose state cannot be kept, or for which there is no room: that may pass."""


def store_message(error: StoreError) -> str:
    """Return the message for a request whose state cannot be kept."""
    return f"{error} (llmsim)"


def script_error(
    error: UnknownScriptError | ExhaustedError | ExpectationError | ScenarioError,
) -> tuple[int, str]:
    """Return the HTTP status and the message for a request that a script or scenario cannot answer."""
    if isinstance(error, ScenarioError):
        return error.status, f"{error} (llmsim)"
    return 400 if isinstance(error, UnknownScriptError) else 422, f"{error} (llmsim)"
