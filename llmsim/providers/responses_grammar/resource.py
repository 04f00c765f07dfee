"""The response object, and the items a turn puts out.

Decisions:
* Ids of items follow from the turn's id and the item's place, so that they are the same wherever it is shown.
* A reasoning item is there whenever a model has reasoned; a message is not, if the limit left nothing to say.
* Encrypted content is a function of the turn: it cannot be opened, only told from others and weighed.
* When a response was completed is told to the second, by the means of its schedule: adding up every gap would cost
  more than all the rest of rendering.
* PERF: everything is put together as bytes around texts that were escaped once; the object stands three times in a
  stream, and the text four times.

Source of fields: recorded responses of the OpenAI API; openai SDK 3.54, types/responses/response.py.
"""

import base64
import hashlib
import zlib
from typing import Literal, assert_never

import msgspec

from llmsim.exchange import FinishReason, Passage, Segment, SegmentKind, Turn, Usage
from llmsim.providers.responses_grammar.dialect import SUMMARY, Dialect
from llmsim.providers.responses_grammar.history import SEALED_CHARACTERS
from llmsim.providers.responses_grammar.options import ResponseOptions
from llmsim.wire.codec import PassageMemo, encode, escaped

Status = Literal["queued", "in_progress", "completed", "incomplete", "cancelled", "failed"]

_TIERS = {
    "flex": "flex",
    "scale": "scale",
    "priority": "priority",
    "fast": "priority",
    "ultrafast": "ultrafast",
}
"""Requested tier to reported tier; all others are served as `default`. Source: SDK docstring of service_tier."""

_FAILURES = ("server_error", "rate_limit_exceeded")
"""Codes of a failed response that llmsim has a reason for. Source: openai SDK 3.54, response_error.py."""

_MOST_SEALED = 256
"""Tokens of reasoning beyond which its encrypted content grows no longer: some 2 KB, as the API's."""

SEALED = (12, 2048)
"""Tokens that encrypted content weighs, at least and at most."""

_SEAL = base64.urlsafe_b64encode(hashlib.shake_128(b"llmsim").digest(6 * SEALED[1])) * 2
"""What encrypted content is made of."""

NOTHING = Passage((), ())

_whole_text = PassageMemo(lambda passage: b"".join(escaped(passage)))
"""The whole text as it stands between the quotes of a JSON string."""


def public_id(turn: Turn) -> str:
    """Give the id under which a response is known."""
    return f"resp_{turn.id}"


def outcome(turn: Turn) -> Status:
    """Tell how `turn` ends if nothing comes between."""
    return "completed" if _reason(turn) is None else "incomplete"


def _reason(turn: Turn) -> bytes | None:
    """Tell why a turn says less than it meant to; None if it says all."""
    match turn.choices[0].finish:
        case FinishReason.LENGTH:
            return b"max_output_tokens"
        case FinishReason.CONTENT_FILTER:
            return b"content_filter"
        case FinishReason.STOP | FinishReason.TOOL_CALLS:
            return None
        case other:
            assert_never(other)


def sealed(seed: str, tokens: int) -> bytes:
    """Give encrypted content that is told from others by its `seed`.

    Args:
        seed: The turn's id.
        tokens: What it weighs; it is cut to what `SEALED` spans.
    """
    least, most = SEALED
    size = min(max(tokens, least), most) * SEALED_CHARACTERS
    head = b"gAAAAA" + base64.urlsafe_b64encode(seed.encode()).rstrip(b"=")
    start = zlib.crc32(head) % (most * SEALED_CHARACTERS)
    return head + _SEAL[start : start + size - len(head)]


class Failure(msgspec.Struct):
    """Why there is no answer, as an error reply says it."""

    message: str
    code: str | None = None
    param: str | None = None


class Output:
    """What one turn puts out, as JSON.

    Attributes:
        thought: The reasoning; None if there is none.
        thought_id: Id of its item.
        manner: How it is told.
        told: What is told of it; empty for nothing.
        told_text: The same between the quotes of a JSON string.
        said: The text; None if there is no message.
        said_id: Id of the message.
        said_at: The message's place among the items.
        said_text: The text between the quotes of a JSON string.
        items: The items when all is said.
    """

    def __init__(self, turn: Turn, options: ResponseOptions, dialect: Dialect) -> None:
        whole = _reason(turn) is None
        self._stated = dialect.reasoning_status
        self.thought, self.said = _segments(turn)
        self.manner = dialect.reasoning if options.summary is None else SUMMARY
        self.told = NOTHING if self.thought is None else self.thought.passage or NOTHING
        self.told_text = _whole_text(self.told)
        self.thought_id = b"rs_%b00" % turn.id.encode()
        self.said_at = 0 if self.thought is None else 1
        self.said_id = b"msg_%b%02x" % (turn.id.encode(), self.said_at)
        self.said_text = b"" if self.said is None else _whole_text(self.said.passage or NOTHING)
        self.items: tuple[bytes, ...] = ()
        if self.thought is not None:
            self.items += (
                self.thought_item(
                    b"completed" if whole or self.said is not None else b"incomplete",
                    told=self.told_part(self.told_text) if self.told.pieces else b"",
                    encrypted=sealed(turn.id, min(self.thought.tokens, _MOST_SEALED))
                    if options.sealed
                    else b"",
                ),
            )
        if self.said is not None:
            status = b"completed" if whole else b"incomplete"
            self.items += (self.said_item(status, self.said_part(self.said_text)),)

    def thought_item(self, status: bytes, *, told: bytes = b"", encrypted: bytes = b"") -> bytes:
        """Give the reasoning item with the part `told`."""
        whole = self.manner.whole
        return b'{"id":"%b","type":"reasoning"%b%b,"content":[%b],"summary":[%b]}' % (
            self.thought_id,
            b',"status":"%b"' % status if self._stated else b"",
            b',"encrypted_content":"%b"' % encrypted if encrypted else b"",
            told if whole else b"",
            b"" if whole else told,
        )

    def told_part(self, text: bytes) -> bytes:
        """Give the part of the reasoning item that holds `text`."""
        return b'{"type":"%b","text":"%b"}' % (self.manner.part, text)

    def said_item(self, status: bytes, part: bytes = b"") -> bytes:
        """Give the message with its `part`."""
        return b'{"id":"%b","type":"message","status":"%b","content":[%b],"role":"assistant"}' % (
            self.said_id,
            status,
            part,
        )

    def said_part(self, text: bytes) -> bytes:
        """Give the part of the message that holds `text`."""
        return b'{"type":"output_text","annotations":[],"logprobs":[],"text":"%b"}' % text


def _segments(turn: Turn) -> tuple[Segment | None, Segment | None]:
    choice = turn.choices[0]
    thought = said = None
    for segment in choice.segments:
        match segment.kind:
            case SegmentKind.REASONING:
                thought = segment if segment.tokens else None
            case SegmentKind.TEXT:
                said = segment if segment.tokens or choice.finish is not FinishReason.LENGTH else None
            case _:
                assert_never(segment.kind)
    return thought, said


def resource(
    turn: Turn,
    options: ResponseOptions,
    dialect: Dialect,
    status: Status,
    *,
    items: tuple[bytes, ...] | None = None,
    failure: Failure | None = None,
) -> bytes:
    """Render the response object.

    Args:
        turn: What is answered.
        options: What was asked.
        dialect: How it is said.
        status: How far the response has come.
        items: What it puts out, if that is known already; only a response that is done has any.
        failure: Why it failed.
    """
    done = status in ("completed", "incomplete")
    if not done:
        items = ()
    elif items is None:
        items = Output(turn, options, dialect).items
    tier = options.service_tier
    error = b"null"
    if failure is not None:
        code = failure.code if failure.code in _FAILURES else _FAILURES[0]
        error = encode({"code": code, "message": failure.message})
    return (
        b'{"id":"%b","object":"response","created_at":%d,"status":"%b","completed_at":%b,"error":%b,'
        b'"incomplete_details":%b,"model":%b,"output":[%b],"service_tier":"%b","usage":%b,%b%b}'
    ) % (
        public_id(turn).encode(),
        turn.created,
        status.encode(),
        b"%d" % _completed_at(turn) if status == "completed" else b"null",
        error,
        b'{"reason":"%b"}' % (_reason(turn) or b"") if status == "incomplete" else b"null",
        encode(turn.model),
        b",".join(items),
        (tier if status in ("queued", "in_progress") else _TIERS.get(tier, "default")).encode(),
        render_usage(turn.usage) if done else b"null",
        dialect.constants,
        options.echo,
    )


def _completed_at(turn: Turn) -> int:
    schedule = turn.schedule
    return turn.created + int(schedule.ttft + schedule.itl * max(0, turn.length - 1))


def render_usage(usage: Usage) -> bytes:
    """Render what a response costs."""
    return (
        b'{"input_tokens":%d,"input_tokens_details":{"cache_write_tokens":0,"cached_tokens":0},"output_tokens":%d,'
        b'"output_tokens_details":{"reasoning_tokens":%d},"total_tokens":%d}'
    ) % (usage.prompt, usage.completion, usage.reasoning, usage.total)
