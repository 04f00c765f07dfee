"""Checks of responses: what makes one complete and free of errors, for each API.

Decisions:
* A check reads what load tests need and no more: content, errors, a proper end. Unknown fields are skipped
  unparsed, so servers may send whatever they like besides.
* Content is text, reasoning, a refusal or a part of a tool call, and not empty. A role chunk is not content.
* Messages contain nothing that differs from request to request (ids, counts), because Locust keeps a row for
  each different message.
"""

import textwrap
from typing import Any, Protocol, TypeVar

import msgspec

Shape = TypeVar("Shape")


class BrokenResponseError(Exception):
    """The response is not what the API promises; the message says how."""

    def __repr__(self) -> str:
        # Locust shows failures by their repr.
        return str(self)


class StreamCheck(Protocol):
    """Checks the events of one stream.

    Attributes:
        tokens: Output tokens by the server's own count; None until it reports them.
    """

    tokens: int | None

    def check_event(self, name: bytes, data: bytes) -> bool:
        """Check one event.

        Returns:
            Whether it carries content.

        Raises:
            BrokenResponseError: The event is out of place, unreadable, or reports an error.
        """

    def check_end(self) -> None:
        """Check that the stream is complete.

        Raises:
            BrokenResponseError: Something is missing.
        """


class _Usage(msgspec.Struct):
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    output_tokens: int | None = None


class _Error(msgspec.Struct):
    message: str | None = None
    type: str | None = None
    code: str | int | None = None


class _Delta(msgspec.Struct):
    content: str | None = None
    reasoning_content: str | None = None
    reasoning: str | None = None
    refusal: str | None = None
    tool_calls: list[msgspec.Raw] | None = None


class _Choice(msgspec.Struct):
    delta: _Delta | None = None
    finish_reason: str | None = None


class _Chunk(msgspec.Struct):
    choices: list[_Choice] | None = None
    usage: _Usage | None = None
    error: _Error | None = None


class _Response(msgspec.Struct):
    status: str | None = None
    usage: _Usage | None = None
    error: _Error | None = None
    output: list[dict[str, Any]] | None = None


class _ResponseEvent(msgspec.Struct):
    type: str
    sequence_number: int | None = None
    delta: str | None = None
    response: _Response | None = None
    error: _Error | None = None
    code: str | None = None
    message: str | None = None


class _BlockDelta(msgspec.Struct):
    text: str | None = None
    thinking: str | None = None
    partial_json: str | None = None


class _MessageEvent(msgspec.Struct):
    type: str
    delta: _BlockDelta | None = None
    usage: _Usage | None = None
    error: _Error | None = None


_chunk = msgspec.json.Decoder(_Chunk)
_response_event = msgspec.json.Decoder(_ResponseEvent)
_message_event = msgspec.json.Decoder(_MessageEvent)


def _decode(decoder: msgspec.json.Decoder[Shape], data: bytes, what: str = "event") -> Shape:
    try:
        return decoder.decode(data)
    except msgspec.ValidationError as error:
        raise BrokenResponseError(f"unexpected {what}: {error}") from error
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise BrokenResponseError(f"invalid JSON in the {what}") from error


def _describe(error: _Error | None) -> str:
    if error is None:
        return "without a reason"
    return str(error.code or error.type or error.message or "without a reason")


class ChatCheck:
    """`chat.completion.chunk` events, ended by `[DONE]`.

    Attributes:
        prompt_tokens: Tokens of the prompt by the server's count; None until it reports them.
    """

    def __init__(self) -> None:
        self.tokens: int | None = None
        self.prompt_tokens: int | None = None
        self._finished = False
        self._done = False

    def check_event(self, name: bytes, data: bytes) -> bool:
        """Check one chunk."""
        if self._done:
            raise BrokenResponseError("an event after [DONE]")
        if data == b"[DONE]":
            self._done = True
            return False
        chunk = _decode(_chunk, data)
        if chunk.error is not None:
            raise BrokenResponseError(f"error event: {_describe(chunk.error)}")
        if chunk.usage is not None and chunk.usage.completion_tokens is not None:
            self.tokens = chunk.usage.completion_tokens
            self.prompt_tokens = chunk.usage.prompt_tokens
        content = False
        for choice in chunk.choices or ():
            if choice.finish_reason:
                self._finished = True
            delta = choice.delta
            if delta is not None and (
                delta.content
                or delta.tool_calls
                or delta.reasoning_content
                or delta.reasoning
                or delta.refusal
            ):
                content = True
        return content

    def check_end(self) -> None:
        """Check for a finish reason and `[DONE]`."""
        if not self._done:
            raise BrokenResponseError("truncated stream: no [DONE]")
        if not self._finished:
            raise BrokenResponseError("no finish_reason before [DONE]")


class ResponsesCheck:
    """Events of the Responses API, ended by `response.completed`; OpenResponses adds `[DONE]`."""

    def __init__(self, *, needs_done: bool = False) -> None:
        self.tokens: int | None = None
        self._needs_done = needs_done
        self._ended = False
        self._done = False
        self._sequence: int | None = None

    def check_event(self, name: bytes, data: bytes) -> bool:
        """Check one event."""
        if self._done:
            raise BrokenResponseError("an event after [DONE]")
        if data == b"[DONE]":
            self._done = True
            return False
        event = _decode(_response_event, data)
        kind = event.type
        if name and name.decode(errors="replace") != kind:
            raise BrokenResponseError(f"the event line does not name the type {kind}")
        self._check_sequence(event.sequence_number)
        if kind.endswith(".delta"):
            return bool(event.delta)
        if kind == "error":
            raise BrokenResponseError(
                f"error event: {_describe(event.error or _Error(event.message, code=event.code))}"
            )
        response = event.response
        if kind == "response.failed":
            raise BrokenResponseError(
                f"response.failed: {_describe(None if response is None else response.error)}"
            )
        if kind in ("response.completed", "response.incomplete"):
            self._ended = True
            if response is not None and response.usage is not None:
                self.tokens = response.usage.output_tokens
        return False

    def _check_sequence(self, number: int | None) -> None:
        if number is None:
            return
        if self._sequence is not None and number != self._sequence + 1:
            raise BrokenResponseError("sequence_number jumps: events are lost or out of order")
        self._sequence = number

    def check_end(self) -> None:
        """Check for the terminal event."""
        if not self._ended:
            raise BrokenResponseError("truncated stream: no response.completed")
        if self._needs_done and not self._done:
            raise BrokenResponseError("truncated stream: no [DONE]")


class MessagesCheck:
    """Events of Anthropic's Messages API, from `message_start` to `message_stop`."""

    def __init__(self) -> None:
        self.tokens: int | None = None
        self._started = False
        self._stopped = False

    def check_event(self, name: bytes, data: bytes) -> bool:
        """Check one event."""
        event = _decode(_message_event, data)
        kind = event.type
        if kind == "error":
            raise BrokenResponseError(f"error event: {_describe(event.error)}")
        if self._stopped:
            raise BrokenResponseError("an event after message_stop")
        if kind == "content_block_delta":
            delta = event.delta
            return delta is not None and bool(delta.text or delta.thinking or delta.partial_json)
        if kind == "message_start":
            self._started = True
        elif kind == "message_delta" and event.usage is not None:
            self.tokens = event.usage.output_tokens
        elif kind == "message_stop":
            if not self._started:
                raise BrokenResponseError("message_stop without message_start")
            self._stopped = True
        return False

    def check_end(self) -> None:
        """Check for the terminal event."""
        if not self._stopped:
            raise BrokenResponseError("truncated stream: no message_stop")


# Responses that are not streamed.


class _Completion(msgspec.Struct):
    choices: list[dict[str, Any]]
    usage: _Usage | None = None


class _Message(msgspec.Struct):
    content: list[dict[str, Any]]
    stop_reason: str | None
    usage: _Usage | None = None


class _List(msgspec.Struct):
    data: list[dict[str, Any]]


_completion = msgspec.json.Decoder(_Completion)
_response = msgspec.json.Decoder(_Response)
_message = msgspec.json.Decoder(_Message)
_list = msgspec.json.Decoder(_List)


def check_completion(body: bytes) -> int | None:
    """Check a chat completion; return its output tokens."""
    completion = _decode(_completion, body, "response")
    if not completion.choices or not all(choice.get("message") for choice in completion.choices):
        raise BrokenResponseError("a completion without a message")
    if not all(choice.get("finish_reason") for choice in completion.choices):
        raise BrokenResponseError("a completion without finish_reason")
    return None if completion.usage is None else completion.usage.completion_tokens


def check_response(body: bytes) -> int | None:
    """Check a response; return its output tokens."""
    response = _decode(_response, body, "response")
    if response.status not in ("completed", "incomplete"):
        raise BrokenResponseError(f"a response of status {response.status}: {_describe(response.error)}")
    if response.status == "completed" and not response.output:
        raise BrokenResponseError("a completed response without output")
    return None if response.usage is None else response.usage.output_tokens


def check_message(body: bytes) -> int | None:
    """Check a message; return its output tokens."""
    message = _decode(_message, body, "response")
    if not message.stop_reason:
        raise BrokenResponseError("a message without stop_reason")
    return None if message.usage is None else message.usage.output_tokens


def check_embeddings(body: bytes) -> None:
    """Check that there are vectors, as numbers or base64."""
    vectors = _decode(_list, body, "response").data
    if not vectors or not all(vector.get("embedding") for vector in vectors):
        raise BrokenResponseError("embeddings without a vector")


def check_models(body: bytes) -> None:
    """Check that there are models, each with an id."""
    models = _decode(_list, body, "response").data
    if not models or not all(model.get("id") for model in models):
        raise BrokenResponseError("a list without models")


class _ErrorBody(msgspec.Struct):
    error: _Error | str | None = None


_error_body = msgspec.json.Decoder(_ErrorBody)


_LONGEST_MESSAGE = 240
"""Characters of a server's message in a report."""


def error_for_status(status: int, body: bytes) -> BrokenResponseError:
    """Return the failure that an HTTP error status means, with the server's error code and message."""
    try:
        error = _error_body.decode(body).error
    except (msgspec.DecodeError, UnicodeDecodeError):
        return BrokenResponseError(f"HTTP {status}")
    if isinstance(error, str):
        error = _Error(message=error)
    if error is None:
        return BrokenResponseError(f"HTTP {status}")
    message = f"HTTP {status} {error.code or error.type or ''}".rstrip()
    # Messages about rate limits and outages differ from request to request (waits, ids).
    if error.message and status < 500 and status != 429:
        message += f": {textwrap.shorten(error.message, _LONGEST_MESSAGE, placeholder=' …')}"
    return BrokenResponseError(message)
