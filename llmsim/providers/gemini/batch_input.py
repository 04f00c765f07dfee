"""The requests of a batch: sent with it, or read from a file with one of them a line.

Decisions:
* What is sent with a batch is checked when it is created, as all of it is one message. A request in a file is checked by itself: if it is
  refused, that is its result.
* A file with a line that is no request fails the batch.

Source: google-genai SDK 3.6, batches.py; ai.google.dev/gemini-api/docs/batch-api.
"""

from typing import Any

import msgspec
from msgspec import Raw

from llmsim.errors import ApiRuleError, InvalidFieldError, InvalidJsonError
from llmsim.providers.gemini.proto_json import read_message
from llmsim.providers.gemini.resource_messages import (
    AsyncBatchEmbedContentRequest,
    BatchGenerateContentRequest,
)
from llmsim.wire.codec import decoder, encode

_MOST_REQUESTS = 50_000
_MAX_NAME = 512

_BODIES: dict[str, Any] = {
    "GenerateContentBatch": BatchGenerateContentRequest,
    "EmbedContentBatch": AsyncBatchEmbedContentRequest,
}
"""The body that creates a batch, by the message of the batch."""


class BatchRequest(msgspec.Struct, frozen=True):
    """A request of a batch.

    Attributes:
        body: The request, as JSON.
        mark: The client's labels, which its result carries, as members of an object; empty for none.
    """

    body: bytes
    mark: bytes = b""


class BatchInput(msgspec.Struct, frozen=True):
    """A batch to be created.

    Attributes:
        display_name: As its client names it.
        requests: What is sent with it.
        file: Name of the file with the requests, without `files/`; empty if they are sent with it.
    """

    display_name: str
    requests: tuple[BatchRequest, ...] = ()
    file: str = ""


class _Line(msgspec.Struct):
    request: Raw
    key: Any = None
    metadata: dict[str, Any] | None = None


_decode_line = decoder(_Line)


def parse_input(raw: bytes, message: str) -> BatchInput:
    """Parse the body that creates a batch.

    Args:
        raw: The body.
        message: Name of the message of the batch.

    Raises:
        InvalidJsonError: It is not JSON.
        ApiRuleError: A field is unknown, wrong or missing.
    """
    kind = _BODIES[message]
    batch = read_message(raw, kind).batch
    place = f"* {kind.__name__}.batch"
    if batch is None or batch.input_config is None:
        raise ApiRuleError(f"{place}.input_config: input_config is not specified\n")
    config, name = batch.input_config, batch.display_name[:_MAX_NAME]
    if config.requests is not None and config.file_name is not None:
        raise ApiRuleError(
            "Invalid value at 'batch.input_config' (oneof), oneof field 'source' is already set. Cannot set 'fileName'"
        )
    if config.file_name:
        return BatchInput(name, file=config.file_name.removeprefix("files/"))
    sent = config.requests.requests if config.requests is not None else []
    if not sent:
        raise ApiRuleError(f"{place}.input_config.requests: requests is not specified\n")
    if len(sent) > _MOST_REQUESTS:
        raise ApiRuleError(
            f"{place}.input_config.requests: at most {_MOST_REQUESTS} requests can be in one batch\n"
        )
    requests = []
    for index, one in enumerate(sent):
        if one.request is None:
            raise ApiRuleError(
                f"{place}.input_config.requests.requests[{index}].request: request is not specified\n"
            )
        mark = b'"metadata":%b' % encode(one.metadata) if one.metadata is not None else b""
        requests.append(BatchRequest(msgspec.json.encode(one.request), mark))
    return BatchInput(name, tuple(requests))


def parse_lines(content: bytes) -> tuple[BatchRequest, ...]:
    """Parse a file with requests.

    Raises:
        ApiRuleError: A line is not one, there are none, or too many.
    """
    requests: list[BatchRequest] = []
    for number, line in enumerate(content.splitlines(), 1):
        if not line.strip():
            continue
        try:
            sent = _decode_line(line)
        except (InvalidJsonError, InvalidFieldError):
            raise ApiRuleError(
                f"Failed to parse line {number} of the input file: it must be a JSON object with 'key' and 'request'."
            ) from None
        marks = [
            b'"%b":%b' % (name, encode(value))
            for name, value in ((b"key", sent.key), (b"metadata", sent.metadata))
            if value is not None
        ]
        requests.append(BatchRequest(bytes(sent.request), b",".join(marks)))
        if len(requests) > _MOST_REQUESTS:
            raise ApiRuleError(f"The input file has more than {_MOST_REQUESTS} requests.")
    if not requests:
        raise ApiRuleError("The input file has no requests.")
    return tuple(requests)
