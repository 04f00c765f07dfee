"""A turn becomes a chat completion, whole or as a stream of chunks.

Decisions:
* The chunk that announces the role is not a token. It leaves with the first visible token, so that
  clients which time the first chunk and clients which time the first text measure the same.
* A call is announced with its first token; what its name costs beyond that leaves with the first piece of its arguments.
* The streams of several choices interleave by token: all choices come into being side by side.
* Reasoning is hidden: it is counted, and takes its time before the first visible token. So are hosted calls, which
  chat completions do not tell of.

Source of fields and order: openai SDK 3.54, types/chat/chat_completion.py and chat_completion_chunk.py.
"""

import functools
import heapq
import zlib
from collections.abc import Iterator, Mapping, Sequence
from operator import itemgetter
from typing import Any

import orjson

from llmsim.domain import (
    Choice,
    FinishReason,
    ReasoningSegment,
    RefusalSegment,
    TextSegment,
    TokenizedText,
    ToolCall,
    ToolCallSegment,
    ToolKind,
    Turn,
    Usage,
)
from llmsim.providers.openai.chat import ChatOptions
from llmsim.providers.openai_family.logprobs import listed_odds
from llmsim.providers.openai_family.obfuscation import padding
from llmsim.wire.codec import TokenizedTextMemo, encode, escaped, spans
from llmsim.wire.frames import SSE_DONE, FrameBatch, single


def render_response(turn: Turn, options: ChatOptions) -> bytes:
    """Render the whole answer."""
    return encode(completion(turn, options))


def completion(turn: Turn, options: ChatOptions) -> dict[str, Any]:
    """Give the whole answer as builtins."""
    return {
        "id": f"chatcmpl-{turn.id}",
        "object": "chat.completion",
        "created": turn.created,
        "model": turn.model,
        "choices": [_choice(choice, index, options) for index, choice in enumerate(turn.choices)],
        "usage": _usage(turn.usage),
        "service_tier": options.service_tier,
        "system_fingerprint": _fingerprint(turn.model),
    }


def _choice(choice: Choice, index: int, options: ChatOptions) -> dict[str, Any]:
    shown = _shown(choice)
    return {
        "index": index,
        "message": _message(shown, options),
        "logprobs": _logprobs(shown),
        "finish_reason": _finish(choice, options),
    }


def _usage(usage: Usage) -> dict[str, Any]:
    return {
        "prompt_tokens": usage.prompt,
        "completion_tokens": usage.completion,
        "total_tokens": usage.total,
        "prompt_tokens_details": {"cached_tokens": usage.cached, "audio_tokens": 0},
        "completion_tokens_details": {
            "reasoning_tokens": usage.reasoning,
            "audio_tokens": 0,
            "accepted_prediction_tokens": 0,
            "rejected_prediction_tokens": 0,
        },
    }


@functools.lru_cache(maxsize=1024)
def _fingerprint(model: str) -> str:
    return f"fp_{zlib.crc32(model.encode()):010x}"


_Spoken = TextSegment | RefusalSegment

_Shown = list[tuple[_Spoken | ToolCallSegment, int]]
"""What is told of a choice, each with the tokens that exist before it begins: its texts, refusals and calls."""


def _shown(choice: Choice) -> _Shown:
    shown: _Shown = []
    before = 0
    for segment in choice.segments:
        hosted = isinstance(segment, ToolCallSegment) and segment.call.kind is ToolKind.HOSTED
        if not hosted and not isinstance(segment, ReasoningSegment):
            shown.append((segment, before))
        before += segment.tokens
    return shown


def _finish(choice: Choice, options: ChatOptions) -> str:
    if options.old_words and choice.finish is FinishReason.TOOL_CALLS:
        return "function_call"
    return choice.finish.value


def _message(shown: _Shown, options: ChatOptions) -> dict[str, Any]:
    content: str | None = None
    refusal: str | None = None
    calls = []
    for segment, _ in shown:
        match segment:
            case TextSegment():
                content = (content or "") + segment.text.text
            case ToolCallSegment():
                calls.append(segment)
            case RefusalSegment():
                refusal = (refusal or "") + segment.text.text
    message: dict[str, Any] = {
        "role": "assistant",
        "content": content,
        "refusal": refusal,
        "annotations": [],
    }
    if calls and options.old_words:
        message["function_call"] = _called(calls[0], "arguments")
    elif calls:
        message["tool_calls"] = [_call(segment) for segment in calls]
    return message


_INPUTS = {ToolKind.FUNCTION: "arguments", ToolKind.CUSTOM: "input"}
"""What each kind of tool calls that which it takes."""


def _called(segment: ToolCallSegment, member: str) -> dict[str, str]:
    return {"name": segment.call.name, member: segment.arguments.text}


def _call(segment: ToolCallSegment) -> dict[str, Any]:
    call = segment.call
    kind = call.kind.value
    return {"id": call.public_id("call_"), "type": kind, kind: _called(segment, _INPUTS[call.kind])}


def _logprobs(shown: _Shown) -> orjson.Fragment | None:
    """Tell how probable each token of a choice was; None if nobody asked."""
    told = {
        type(segment): segment.logprobs
        for segment, _ in shown
        if not isinstance(segment, ToolCallSegment) and segment.logprobs
    }
    if not told:
        return None
    listed = {
        kind: listed_odds([token for piece in pieces for token in piece]) for kind, pieces in told.items()
    }
    return orjson.Fragment(_odds(listed))


def _odds(listed: Mapping[type[_Spoken], bytes]) -> bytes:
    members = (
        b'"%b":%b' % (member.encode(), b"[%b]" % listed[kind] if kind in listed else b"null")
        for kind, member in _DELTAS.items()
    )
    return b"{%b}" % b",".join(members)


_DELTAS: Mapping[type[_Spoken], str] = {TextSegment: "content", RefusalSegment: "refusal"}
"""What each kind of text is called in a delta, and in the odds."""


def render_stream(turn: Turn, options: ChatOptions) -> tuple[FrameBatch, ...]:
    """Render the streamed answer: role, text, finish and, if asked for, usage, then `[DONE]`."""
    chunk = _Chunk(turn, options)
    end = single(chunk.usage() + SSE_DONE if options.include_usage else SSE_DONE, turn.length)
    if len(turn.choices) == 1:
        return (*chunk.choice(0), end)
    # All choices in one run, token by token; heapq.merge keeps the order of each choice.
    frames = list(
        heapq.merge(
            *(_unrolled(chunk.choice(index)) for index in range(len(turn.choices))), key=itemgetter(0)
        )
    )
    ends, tokens, bodies = zip(*frames, strict=True)
    return (FrameBatch(b"", bodies, b"", ends, tokens), end)


def _unrolled(runs: Sequence[FrameBatch]) -> Iterator[tuple[int, int, bytes]]:
    for run in runs:
        for index, end in enumerate(run.required_tokens):
            yield end, run.tokens[index] if run.tokens else 0, run.data(index, index + 1)


class _Chunk:
    """The chunks of one turn: everything that is the same in all of them, built once."""

    def __init__(self, turn: Turn, options: ChatOptions) -> None:
        self._turn = turn
        self._options = options
        self._padded = options.include_obfuscation
        self._envelope = (
            b'data: {"id":"chatcmpl-%b","object":"chat.completion.chunk","created":%d,"model":%b,'
            % (
                turn.id.encode(),
                turn.created,
                encode(turn.model),
            )
            + b'"service_tier":"%b","system_fingerprint":"%b","choices":['
            % (
                options.service_tier.encode(),
                _fingerprint(turn.model).encode(),
            )
        )
        self._usage = _NO_USAGE if options.include_usage else b""

    def choice(self, index: int) -> tuple[FrameBatch, ...]:
        """Give the runs of one choice."""
        choice = self._turn.choices[index]
        before = self._envelope + b'{"index":%d,"delta":' % index
        runs: list[FrameBatch] = []
        shown = _shown(choice)
        told = calls = 0
        for segment, start in shown:
            if isinstance(segment, ToolCallSegment):
                told = self._call(runs, before, segment, start, told, calls)
                calls += 1
            else:
                told = self._say(runs, before, segment, start, told)
        role = (
            b'{"role":"assistant","content":null}'
            if calls and isinstance(shown[0][0], ToolCallSegment)
            else b'{"role":"assistant","content":""}'
        )
        finish = b'"%b"' % _finish(choice, self._options).encode()
        first = runs[0].required_tokens[0] if runs else choice.tokens
        return (
            self._alone(before + role, b"null", padding(0, 0), first),
            *runs,
            self._alone(before + b"{}", finish, b"", choice.tokens),
        )

    def _alone(self, head: bytes, finish: bytes, padding: bytes, after: int, tokens: int = 0) -> FrameBatch:
        """Make a chunk that is like no other of its choice."""
        data = b'%b,"logprobs":null,"finish_reason":%b}]%b%b}\n\n' % (
            head,
            finish,
            self._usage,
            self._obfuscation(padding),
        )
        return FrameBatch(b"", (data,), b"", (after,), (tokens,) if tokens else ())

    def _say(self, runs: list[FrameBatch], before: bytes, segment: _Spoken, start: int, told: int) -> int:
        """Add the pieces of a text or refusal; tell how many tokens are told by then."""
        passage = segment.text
        if not passage.pieces:
            return told
        member = _DELTAS[type(segment)]
        head = b'%b{"%b":"' % (before, member.encode())
        if segment.logprobs:
            # Source: recorded streams; each chunk tells of its own tokens.
            rests = [_REST % (b'"', _odds({type(segment): listed_odds(piece)})) for piece in segment.logprobs]
            runs.append(self._pieces(head, passage, rests, start, told))
        elif self._padded:
            runs.append(_run(head, _PADDED[self._usage](passage), b'"}\n\n', passage, start, told))
        else:
            tail = _AFTER_TEXT + self._usage + b"}\n\n"
            runs.append(_run(head, escaped(passage), tail, passage, start, told))
        return start + passage.tokens

    def _call(
        self,
        runs: list[FrameBatch],
        before: bytes,
        segment: ToolCallSegment,
        start: int,
        told: int,
        place: int,
    ) -> int:
        """Add a call; tell how many tokens are told by then."""
        call, passage = segment.call, segment.arguments
        begun, head, close = self._called(call, place)
        if segment.tokens:
            first = start + 1
            runs.append(self._alone(before + begun, b"null", padding(0, place), first, first - told))
            told = first
        if not passage.pieces:
            return told
        rests = [_REST % (close, b"null")] * len(passage.pieces)
        runs.append(self._pieces(before + head, passage, rests, start + segment.header_tokens, told))
        return start + segment.tokens

    def _called(self, call: ToolCall, place: int) -> tuple[bytes, bytes, bytes]:
        """Give the delta that announces a call, and what stands around the pieces of what it takes."""
        name = encode(call.name)
        if self._options.old_words:
            begun = b'{"function_call":{"name":%b,"arguments":""}}' % name
            return begun, b'{"function_call":{"arguments":"', b'"}'
        kind, takes = call.kind.value.encode(), _INPUTS[call.kind].encode()
        begun = b'{"tool_calls":[{"index":%d,"id":%b,"type":"%b","%b":{"name":%b,"%b":""}}]}' % (
            place,
            encode(call.public_id("call_")),
            kind,
            kind,
            name,
            takes,
        )
        return begun, b'{"tool_calls":[{"index":%d,"%b":{"%b":"' % (place, kind, takes), b'"}}]'

    def _pieces(
        self, head: bytes, passage: TokenizedText, rests: Sequence[bytes], start: int, told: int
    ) -> FrameBatch:
        """Make a run whose chunks differ in more than their text: each has what stands behind it."""
        bodies = [
            piece + rest + self._usage + self._obfuscation(padding(len(piece), place))
            for place, (piece, rest) in enumerate(zip(escaped(passage), rests, strict=True), start=1)
        ]
        return _run(head, bodies, b"}\n\n", passage, start, told)

    def _obfuscation(self, padding: bytes) -> bytes:
        return b',"obfuscation":"%b"' % padding if self._padded else b""

    def usage(self) -> bytes:
        """Give the chunk that carries the usage."""
        usage = encode(_usage(self._turn.usage))
        return self._envelope + b'],"usage":%b%b}\n\n' % (usage, self._obfuscation(b""))


def _run(
    head: bytes, bodies: Sequence[bytes], tail: bytes, passage: TokenizedText, start: int, told: int
) -> FrameBatch:
    """Make the run of a passage that begins behind `start` tokens, of which `told` have left by then."""
    ends, tokens = passage.cumulative_tokens, spans(passage)
    if start:
        ends = tuple(start + end for end in ends)
        tokens = (start - told + tokens[0], *tokens[1:])
    return FrameBatch(head, bodies, tail, ends, tokens)


_NO_USAGE = b',"usage":null'
_REST = b'%b},"logprobs":%b,"finish_reason":null}]'
_AFTER_TEXT = _REST % (b'"', b"null")


def _padded_with(usage: bytes) -> TokenizedTextMemo[tuple[bytes, ...]]:
    middle = _AFTER_TEXT + usage + b',"obfuscation":"'

    def pad(passage: TokenizedText) -> tuple[bytes, ...]:
        pieces = enumerate(escaped(passage), start=1)
        return tuple(piece + middle + padding(len(piece), position) for position, piece in pieces)

    return TokenizedTextMemo(pad)


_PADDED = {usage: _padded_with(usage) for usage in (b"", _NO_USAGE)}
