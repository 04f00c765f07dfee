"""The input file of a batch: its requests, or what is wrong with it.

Source: openai SDK, types/batch_error.py; OpenAI batch guide. Codes and messages are as remembered, not verified.
"""

from typing import Any

import msgspec
from msgspec import Raw

from llmsim.errors import InvalidFieldError, InvalidJsonError
from llmsim.wire.codec import decoder

_MOST_REQUESTS = 50_000
_MOST_ERRORS = 100
"""Errors that a failed batch shows."""


class BatchRequest(msgspec.Struct, frozen=True):
    """A request of a batch.

    Attributes:
        custom_id: The client's id of the request.
        body: The request, as JSON.
    """

    custom_id: str
    body: bytes


class BatchError(msgspec.Struct, frozen=True):
    """What is wrong with a line, or with the file."""

    code: str
    message: str
    param: str | None = None
    line: int | None = None


class _Line(msgspec.Struct):
    custom_id: str
    method: str
    url: str
    body: Raw


class _Model(msgspec.Struct):
    model: Any = None


_decode_line = decoder(_Line)
_decode_model = decoder(_Model)


class BatchInput(msgspec.Struct, frozen=True):
    """A file as it was read: its requests, or its errors; and the model of the requests."""

    requests: list[BatchRequest]
    errors: list[BatchError]
    model: str | None


def parse_batch_input(content: bytes, endpoint: str) -> BatchInput:
    """Parse the requests of a file, each of which must be for `endpoint`."""
    requests: list[BatchRequest] = []
    errors: list[BatchError] = []
    seen: set[str] = set()
    model: str | None = None
    for number, line in enumerate(content.splitlines(), 1):
        if len(errors) >= _MOST_ERRORS:
            break
        if not line.strip():
            continue
        request = _parse_line(line, number, endpoint, errors)
        if request is None:
            continue
        if request.custom_id in seen:
            errors.append(
                BatchError(
                    "duplicate_custom_id",
                    "The custom_id for this request is a duplicate of another request. The custom_id parameter must be unique for "
                    "each request in a batch.",
                    "custom_id",
                    number,
                )
            )
            continue
        seen.add(request.custom_id)
        named = _decode_model(request.body).model
        if isinstance(named, str):
            model = model or named
            if named != model:
                errors.append(
                    BatchError(
                        "mismatched_model",
                        f"The model for this request (`{named[:100]}`) does not match the rest of the batch. Each batch must "
                        "contain requests for a single model.",
                        "body.model",
                        number,
                    )
                )
                continue
        requests.append(request)
    if not requests and not errors:
        errors.append(
            BatchError(
                "empty_file", "The file is empty. Please ensure the batch file contains at least one request."
            )
        )
    if len(requests) > _MOST_REQUESTS:
        errors.append(
            BatchError(
                "too_many_requests",
                f"A batch has at most {_MOST_REQUESTS} requests, and this one has {len(requests)}.",
            )
        )
    return BatchInput([] if errors else requests, errors, model)


def _parse_line(line: bytes, number: int, endpoint: str, errors: list[BatchError]) -> BatchRequest | None:
    """Return the request of a line; None, with what is wrong in `errors`, if it has none."""
    try:
        sent = _decode_line(line)
        _decode_model(bytes(sent.body))
    except InvalidJsonError:
        errors.append(
            BatchError("invalid_json_line", "This line is not parseable as valid JSON.", None, number)
        )
        return None
    except InvalidFieldError as error:
        name = str(error.path[0]) if error.path else "body"
        if error.rule == "missing":
            problem = BatchError(
                "missing_required_parameter", f"Missing required parameter: '{name}'.", name, number
            )
        else:
            problem = BatchError("invalid_type", f"Invalid type for '{name}'.", name, number)
        errors.append(problem)
        return None
    if sent.method != "POST":
        errors.append(
            BatchError("invalid_method", "The HTTP method of a request must be POST.", "method", number)
        )
        return None
    if sent.url != endpoint:
        message = "The URL provided for this request does not match the endpoint of the batch."
        errors.append(BatchError("mismatched_url", message, "url", number))
        return None
    return BatchRequest(sent.custom_id, bytes(sent.body))
