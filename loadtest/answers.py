"""What a whole and faultless answer is, for each API.

Decisions:
* A reader looks at what load tests need and no more: is there content, was there an error, did it end as
  it must. Fields it does not know are skipped unparsed, so servers may send what they like besides.
* Content is text, reasoning, refusal or a part of a tool call, and not empty. A role chunk is none.
* Messages hold nothing that differs from request to request (ids, counts), for Locust keeps a row for
  each different message.
"""

from collections.abc import Callable
from typing import Any, Protocol, TypeVar

import msgspec

Shape = TypeVar("Shape")


class BrokenAnswerError(Exception):
    """The answer is not what the API promises; the message says how."""

    def __repr__(self) -> str:
        # Locust shows failures by their repr.
        return str(self)


class StreamReader(Protocol):
    """Reads the events of one stream.

    Attributes:
        tokens: Output tokens by the server's own count, None until it told.
    """

    tokens: int | None

    def read(self, name: bytes, data: bytes) -> bool:
        """Take one event.

        Returns:
            Whether it carries content.

        Raises:
            BrokenAnswerError: It must not be there, is unreadable, or tells of an error.
        """

    def finish(self) -> None:
        """Hear that there is no more.

        Raises:
            BrokenAnswerError: Something is missing.
        """


class _Usage(msgspec.Struct):
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


def _decode(decoder: msgspec.json.Decoder[Shape], data: bytes) -> Shape:
    try:
        return decoder.decode(data)
    except msgspec.ValidationError as error:
        raise BrokenAnswerError(f"unexpected event: {error}") from error
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise BrokenAnswerError("invalid JSON in an event") from error


def _told(error: _Error | None) -> str:
    """Name an error by its kind, or else by its message."""
    if error is None:
        return "without a reason"
    return str(error.code or error.type or error.message or "without a reason")


class ChatReader:
    """`chat.completion.chunk` events, ended by `[DONE]`."""

    def __init__(self) -> None:
        self.tokens: int | None = None
        self._finished = False
        self._done = False

    def read(self, name: bytes, data: bytes) -> bool:
        """Take one chunk."""
        if self._done:
            raise BrokenAnswerError("an event after [DONE]")
        if data == b"[DONE]":
            self._done = True
            return False
        chunk = _decode(_chunk, data)
        if chunk.error is not None:
            raise BrokenAnswerError(f"error event: {_told(chunk.error)}")
        if chunk.usage is not None and chunk.usage.completion_tokens is not None:
            self.tokens = chunk.usage.completion_tokens
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

    def finish(self) -> None:
        """Ask for a finish reason and `[DONE]`."""
        if not self._done:
            raise BrokenAnswerError("truncated stream: no [DONE]")
        if not self._finished:
            raise BrokenAnswerError("no finish_reason before [DONE]")


class ResponsesReader:
    """Events of the Responses API, ended by `response.completed`; OpenResponses adds `[DONE]`."""

    def __init__(self, *, needs_done: bool = False) -> None:
        self.tokens: int | None = None
        self._needs_done = needs_done
        self._ended = False
        self._done = False
        self._sequence: int | None = None

    def read(self, name: bytes, data: bytes) -> bool:
        """Take one event."""
        if self._done:
            raise BrokenAnswerError("an event after [DONE]")
        if data == b"[DONE]":
            self._done = True
            return False
        event = _decode(_response_event, data)
        kind = event.type
        if name and name.decode(errors="replace") != kind:
            raise BrokenAnswerError(f"the event line does not name the type {kind}")
        self._in_sequence(event.sequence_number)
        if kind.endswith(".delta"):
            return bool(event.delta)
        if kind == "error":
            raise BrokenAnswerError(
                f"error event: {_told(event.error or _Error(event.message, code=event.code))}"
            )
        response = event.response
        if kind == "response.failed":
            raise BrokenAnswerError(f"response.failed: {_told(None if response is None else response.error)}")
        if kind in ("response.completed", "response.incomplete"):
            self._ended = True
            if response is not None and response.usage is not None:
                self.tokens = response.usage.output_tokens
        return False

    def _in_sequence(self, number: int | None) -> None:
        if number is None:
            return
        if self._sequence is not None and number != self._sequence + 1:
            raise BrokenAnswerError("sequence_number jumps: events are lost or out of order")
        self._sequence = number

    def finish(self) -> None:
        """Ask for the terminal event."""
        if not self._ended:
            raise BrokenAnswerError("truncated stream: no response.completed")
        if self._needs_done and not self._done:
            raise BrokenAnswerError("truncated stream: no [DONE]")


class MessagesReader:
    """Events of Anthropic's Messages API, from `message_start` to `message_stop`."""

    def __init__(self) -> None:
        self.tokens: int | None = None
        self._started = False
        self._stopped = False

    def read(self, name: bytes, data: bytes) -> bool:
        """Take one event."""
        event = _decode(_message_event, data)
        kind = event.type
        if kind == "error":
            raise BrokenAnswerError(f"error event: {_told(event.error)}")
        if self._stopped:
            raise BrokenAnswerError("an event after message_stop")
        if kind == "content_block_delta":
            delta = event.delta
            return delta is not None and bool(delta.text or delta.thinking or delta.partial_json)
        if kind == "message_start":
            self._started = True
        elif kind == "message_delta" and event.usage is not None:
            self.tokens = event.usage.output_tokens
        elif kind == "message_stop":
            if not self._started:
                raise BrokenAnswerError("message_stop without message_start")
            self._stopped = True
        return False

    def finish(self) -> None:
        """Ask for the terminal event."""
        if not self._stopped:
            raise BrokenAnswerError("truncated stream: no message_stop")


# Answers in one piece.


class _Completion(msgspec.Struct):
    choices: list[dict[str, Any]]
    usage: _Usage | None = None


class _Message(msgspec.Struct):
    content: list[dict[str, Any]]
    stop_reason: str | None
    usage: _Usage | None = None


class _List(msgspec.Struct):
    data: list[dict[str, Any]]


def _whole(decoder: msgspec.json.Decoder[Shape]) -> Callable[[bytes], Shape]:
    def decode(data: bytes) -> Shape:
        try:
            return decoder.decode(data)
        except msgspec.ValidationError as error:
            raise BrokenAnswerError(f"unexpected answer: {error}") from error
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise BrokenAnswerError("invalid JSON in the answer") from error

    return decode


_completion = _whole(msgspec.json.Decoder(_Completion))
_response = _whole(msgspec.json.Decoder(_Response))
_message = _whole(msgspec.json.Decoder(_Message))
_list = _whole(msgspec.json.Decoder(_List))


def read_completion(body: bytes) -> int | None:
    """Check a chat completion; give its output tokens."""
    completion = _completion(body)
    if not completion.choices or not all(choice.get("message") for choice in completion.choices):
        raise BrokenAnswerError("a completion without a message")
    if not all(choice.get("finish_reason") for choice in completion.choices):
        raise BrokenAnswerError("a completion without finish_reason")
    return None if completion.usage is None else completion.usage.completion_tokens


def read_response(body: bytes) -> int | None:
    """Check a response; give its output tokens."""
    response = _response(body)
    if response.status not in ("completed", "incomplete"):
        raise BrokenAnswerError(f"a response of status {response.status}: {_told(response.error)}")
    if response.status == "completed" and not response.output:
        raise BrokenAnswerError("a completed response without output")
    return None if response.usage is None else response.usage.output_tokens


def read_message(body: bytes) -> int | None:
    """Check a message; give its output tokens."""
    message = _message(body)
    if not message.stop_reason:
        raise BrokenAnswerError("a message without stop_reason")
    return None if message.usage is None else message.usage.output_tokens


def read_embeddings(body: bytes) -> None:
    """Check that there are vectors, or their base64."""
    vectors = _list(body).data
    if not vectors or not all(vector.get("embedding") for vector in vectors):
        raise BrokenAnswerError("embeddings without a vector")


def read_models(body: bytes) -> None:
    """Check that models are listed, each with its id."""
    models = _list(body).data
    if not models or not all(model.get("id") for model in models):
        raise BrokenAnswerError("a list without models")


class _ErrorBody(msgspec.Struct):
    error: _Error | str | None = None


_error_body = msgspec.json.Decoder(_ErrorBody)


def refusal(status: int, body: bytes) -> BrokenAnswerError:
    """Say what an error status means by the server's own words."""
    try:
        error = _error_body.decode(body).error
    except (msgspec.DecodeError, UnicodeDecodeError):
        return BrokenAnswerError(f"HTTP {status}")
    if isinstance(error, str):
        error = _Error(message=error)
    if error is None:
        return BrokenAnswerError(f"HTTP {status}")
    words = f"HTTP {status} {error.code or error.type or ''}".rstrip()
    # What limits and outages say differs from request to request (waits, ids).
    if error.message and status < 500 and status != 429:
        words += f": {error.message[:120]}"
    return BrokenAnswerError(words)
