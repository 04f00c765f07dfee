"""Chat completions: a request becomes a prompt, a turn becomes a body or a stream of chunks.

Decisions:
* The chunk that announces the role is not a token. It leaves with the first visible token, so that
  clients which time the first chunk and clients which time the first text measure the same.
* The streams of several choices interleave by token: all choices come into being side by side.
* Reasoning is hidden: it is counted, and takes its time before the first visible token.

Source of fields and order: openai SDK 3.54, types/chat/chat_completion.py and chat_completion_chunk.py.
"""

import heapq
import zlib
from collections.abc import Iterator, Sequence
from operator import itemgetter
from typing import Any, assert_never

import msgspec

from llmsim.errors import InvalidFieldError
from llmsim.exchange import Choice, Image, Message, Passage, Prompt, SegmentKind, Turn, Usage
from llmsim.providers.contract import Ask
from llmsim.providers.openai.chat_wire import (
    AnyMessage,
    AssistantMessage,
    AudioPart,
    ChatRequest,
    DeveloperMessage,
    FilePart,
    FunctionMessage,
    ImagePart,
    RefusalPart,
    SystemMessage,
    TextPart,
    ToolCall,
    ToolMessage,
    UserMessage,
)
from llmsim.wire.codec import PassageMemo, decoder, encode, escaped, spans
from llmsim.wire.frames import SSE_DONE, Run, single
from llmsim.wire.obfuscation import padding

_FILE_TOKENS = 765
"""What a file costs: as much as an image in full detail; its content is never opened."""

_AUDIO_BYTES_PER_TOKEN = 4_800
"""10 tokens a second of 24 kHz 16-bit mono. Source: OpenAI audio guide, tokens per second of input."""

_TIERS = {"flex": "flex", "scale": "scale", "priority": "priority", "fast": "priority"}
"""Requested tier to reported tier; all others are served as `default`. Source: SDK docstring of service_tier."""

_decode = decoder(ChatRequest)


class ChatOptions(msgspec.Struct, frozen=True):
    """What only the renderers of this endpoint understand.

    Attributes:
        include_usage: Whether a last chunk carries the usage.
        include_obfuscation: Whether chunks carry padding.
        service_tier: The tier reported.
        store: Whether the completion is kept.
        metadata: What it is labelled with.
    """

    include_usage: bool = False
    include_obfuscation: bool = True
    service_tier: str = "default"
    store: bool = False
    metadata: dict[str, str] = {}


def parse(body: bytes) -> Ask:
    """Read a request body.

    Raises:
        InvalidJsonError: It is not JSON.
        InvalidFieldError: A field is missing, wrong, out of range or contradicts another.
    """
    request = _decode(body)
    if request.stream_options is not None and not request.stream:
        raise InvalidFieldError(
            ("stream_options",),
            "conflict",
            "The 'stream_options' parameter is only allowed when 'stream' is enabled.",
        )
    if request.max_tokens is not None and request.max_completion_tokens is not None:
        raise InvalidFieldError(
            ("max_tokens",),
            "conflict",
            "Setting 'max_tokens' and 'max_completion_tokens' at the same time is not supported.",
        )
    images: list[Image] = []
    messages = tuple(_message(message, index, images) for index, message in enumerate(request.messages))
    stop = (request.stop,) if isinstance(request.stop, str) else tuple(request.stop or ())
    prompt = Prompt(
        model=request.model,
        messages=messages,
        images=tuple(images),
        limit=request.max_completion_tokens if request.max_tokens is None else request.max_tokens,
        stop=stop,
        choices=request.n or 1,
        seed=request.seed,
        effort=request.reasoning_effort,
        stream=bool(request.stream),
    )
    streaming = request.stream_options
    options = ChatOptions(
        include_usage=streaming is not None and streaming.include_usage is True,
        include_obfuscation=streaming is None or streaming.include_obfuscation is not False,
        service_tier=_TIERS.get(request.service_tier or "", "default"),
        store=bool(request.store),
        metadata=request.metadata or {},
    )
    return Ask(prompt, options)


def _message(message: AnyMessage, index: int, images: list[Image]) -> Message:
    """Read one message; images found on the way are added to `images`."""
    match message:
        case AssistantMessage():
            return _assistant(message, index)
        case FunctionMessage():
            return Message("function", (message.content or "",), name=message.name)
        case ToolMessage():
            return _said("tool", message.content, None, index, images)
        case SystemMessage():
            return _said("system", message.content, message.name, index, images)
        case DeveloperMessage():
            return _said("developer", message.content, message.name, index, images)
        case UserMessage():
            return _said("user", message.content, message.name, index, images)
        case _:
            assert_never(message)


def _said(
    role: str, content: str | Sequence[Any], name: str | None, index: int, images: list[Image]
) -> Message:
    if isinstance(content, str):
        return Message(role, (content,), name=name)
    texts: list[str] = []
    extra = 0
    for position, part in enumerate(content):
        match part:
            case TextPart():
                texts.append(part.text)
            case ImagePart():
                detail = part.image_url.detail or "auto"
                images.append(Image(("messages", index, "content", position), detail))
            case AudioPart():
                extra += -(-len(part.input_audio.data) * 3 // 4 // _AUDIO_BYTES_PER_TOKEN)
            case FilePart():
                extra += _FILE_TOKENS
    return Message(role, tuple(texts), name=name, extra_tokens=extra)


def _assistant(message: AssistantMessage, index: int) -> Message:
    content = message.content
    if (
        content is None
        and not message.tool_calls
        and message.function_call is None
        and message.refusal is None
    ):
        raise InvalidFieldError(("messages", index, "content"), "type", "str | array")
    texts: list[str] = []
    notes: list[str] = []
    if isinstance(content, str):
        texts.append(content)
    else:
        for part in content or ():
            match part:
                case TextPart():
                    texts.append(part.text)
                case RefusalPart():
                    notes.append(part.refusal)
    if message.refusal is not None:
        notes.append(message.refusal)
    if message.function_call is not None:
        notes += (message.function_call.name, message.function_call.arguments)
    for position, call in enumerate(message.tool_calls or ()):
        notes += _call(call, ("messages", index, "tool_calls", position))
    return Message("assistant", tuple(texts), notes=tuple(notes), name=message.name)


def _call(call: ToolCall, path: tuple[str | int, ...]) -> tuple[str, str]:
    if call.type == "function" and call.function is not None:
        return (call.function.name, call.function.arguments)
    if call.type == "custom" and call.custom is not None:
        return (call.custom.name, call.custom.input)
    raise InvalidFieldError((*path, call.type), "missing", None)


def render_answer(turn: Turn, options: ChatOptions) -> bytes:
    """Render the whole answer."""
    return encode(completion(turn, options))


def completion(turn: Turn, options: ChatOptions) -> dict[str, Any]:
    """Give the whole answer as builtins."""
    return {
        "id": f"chatcmpl-{turn.id}",
        "object": "chat.completion",
        "created": turn.created,
        "model": turn.model,
        "choices": [
            {
                "index": index,
                "message": {
                    "role": "assistant",
                    "content": _visible(choice)[1].text,
                    "refusal": None,
                    "annotations": [],
                },
                "logprobs": None,
                "finish_reason": choice.finish.value,
            }
            for index, choice in enumerate(turn.choices)
        ],
        "usage": _usage(turn.usage),
        "service_tier": options.service_tier,
        "system_fingerprint": _fingerprint(turn.model),
    }


def _usage(usage: Usage) -> dict[str, Any]:
    return {
        "prompt_tokens": usage.prompt,
        "completion_tokens": usage.completion,
        "total_tokens": usage.total,
        "prompt_tokens_details": {"cached_tokens": 0, "audio_tokens": 0},
        "completion_tokens_details": {
            "reasoning_tokens": usage.reasoning,
            "audio_tokens": 0,
            "accepted_prediction_tokens": 0,
            "rejected_prediction_tokens": 0,
        },
    }


def _fingerprint(model: str) -> str:
    return f"fp_{zlib.crc32(model.encode()):010x}"


_NOTHING = Passage((), ())


def _visible(choice: Choice) -> tuple[int, Passage]:
    """Give the hidden tokens that come first, and the text."""
    hidden = 0
    passage = _NOTHING
    for segment in choice.segments:
        match segment.kind:
            case SegmentKind.REASONING:
                hidden += segment.tokens
            case SegmentKind.TEXT:
                passage = segment.passage or _NOTHING
            case _:
                assert_never(segment.kind)
    return hidden, passage


def render_stream(turn: Turn, options: ChatOptions) -> tuple[Run, ...]:
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
    return (Run(b"", bodies, b"", ends, tokens), end)


def _unrolled(runs: Sequence[Run]) -> Iterator[tuple[int, int, bytes]]:
    for run in runs:
        for index, end in enumerate(run.ends):
            yield end, run.tokens[index] if run.tokens else 0, run.data(index, index + 1)


class _Chunk:
    """The chunks of one turn: everything that is the same in all of them, built once."""

    def __init__(self, turn: Turn, options: ChatOptions) -> None:
        self._turn = turn
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

    def choice(self, index: int) -> tuple[Run, ...]:
        """Give the runs of one choice."""
        choice = self._turn.choices[index]
        hidden, passage = _visible(choice)
        before = self._envelope + b'{"index":%d,"delta":' % index
        role = (
            before
            + b'{"role":"assistant","content":""},"logprobs":null,"finish_reason":null}]%b%b}\n\n'
            % (
                self._usage,
                self._obfuscation(padding(0, 0)),
            )
        )
        finish = before + b'{},"logprobs":null,"finish_reason":"%b"}]%b%b}\n\n' % (
            choice.finish.value.encode(),
            self._usage,
            self._obfuscation(b""),
        )
        last = single(finish, choice.tokens)
        if not passage.pieces:
            return (single(role, choice.tokens), last)
        text = self._text(before + b'{"content":"', passage, hidden)
        return (single(role, text.ends[0]), text, last)

    def _text(self, head: bytes, passage: Passage, hidden: int) -> Run:
        ends, tokens = passage.ends, spans(passage)
        if hidden:
            ends = tuple(hidden + end for end in ends)
            tokens = (hidden + tokens[0], *tokens[1:])
        if self._padded:
            return Run(head, _PADDED[self._usage](passage), b'"}\n\n', ends, tokens)
        return Run(head, escaped(passage), _AFTER_TEXT + self._usage + b"}\n\n", ends, tokens)

    def _obfuscation(self, padding: bytes) -> bytes:
        return b',"obfuscation":"%b"' % padding if self._padded else b""

    def usage(self) -> bytes:
        """Give the chunk that carries the usage."""
        usage = encode(_usage(self._turn.usage))
        return self._envelope + b'],"usage":%b%b}\n\n' % (usage, self._obfuscation(b""))


_NO_USAGE = b',"usage":null'
_AFTER_TEXT = b'"},"logprobs":null,"finish_reason":null}]'


def _padded_with(usage: bytes) -> PassageMemo[tuple[bytes, ...]]:
    middle = _AFTER_TEXT + usage + b',"obfuscation":"'

    def pad(passage: Passage) -> tuple[bytes, ...]:
        pieces = enumerate(escaped(passage), start=1)
        return tuple(piece + middle + padding(len(piece), position) for position, piece in pieces)

    return PassageMemo(pad)


_PADDED = {usage: _padded_with(usage) for usage in (b"", _NO_USAGE)}
