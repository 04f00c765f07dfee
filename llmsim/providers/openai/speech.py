"""Speech: a text is parsed to a prompt without an answer, and becomes sound of the length that it takes to say it.

Decisions:
* A token of speech lasts 50 ms. Sound leaves as it is made, one token after the other, so the time to the first byte can be measured.
* 15 characters take a second, before `speed` counts.
* A stream of sound that fails has nowhere to say so: it ends early.

Source: openai SDK 3.54, types/audio/speech_create_params.py; OpenAI, api-reference/audio/speech-audio-delta-event and
speech-audio-done-event.
"""

import base64
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from llmsim.catalogue import shipped_catalogue
from llmsim.domain import Fault, MediaRequest, Message, Prompt, Turn
from llmsim.errors import ApiRuleError
from llmsim.media.sounds import CONTENT_TYPES, render_parts, spoken_parts
from llmsim.providers.contents import SANDBOXED, content_headers
from llmsim.providers.contract import (
    ChannelFormat,
    GenerationEndpoint,
    Headers,
    IncomingRequest,
    ParsedRequest,
)
from llmsim.providers.openai.errors import render_fault, render_refusal
from llmsim.providers.openai_family.model_rules import UNSUPPORTED_PARAMETER
from llmsim.providers.openai_family.request_fields import ModelId
from llmsim.wire.codec import decoder
from llmsim.wire.frames import SSE_HEADERS, FrameBatch, single, sse


class VoiceId(msgspec.Struct):
    """A voice of the client's own."""

    id: Annotated[str, Meta(min_length=1, max_length=128)]


class SpeechRequest(msgspec.Struct):
    """The body of `POST /v1/audio/speech`."""

    input: Annotated[str, Meta(min_length=1, max_length=4096)]
    model: ModelId
    voice: Annotated[str, Meta(min_length=1, max_length=128)] | VoiceId
    instructions: Annotated[str, Meta(max_length=4096)] | None = None
    response_format: Literal["mp3", "opus", "aac", "flac", "wav", "pcm"] | None = None
    speed: Annotated[float, Meta(ge=0.25, le=4)] | None = None
    stream_format: Literal["sse", "audio"] | None = None


class SpeechOptions(msgspec.Struct, frozen=True, gc=False):
    """Options for the renderer of speech.

    Attributes:
        audio_format: A key of `CONTENT_TYPES`.
        has_events: Whether it leaves in events.
    """

    audio_format: str = "mp3"
    has_events: bool = False


_decode = decoder(SpeechRequest)


def parse(incoming: IncomingRequest) -> ParsedRequest[SpeechOptions]:
    """Parse a request body.

    Raises:
        InvalidJsonError: It is not JSON.
        InvalidFieldError: A field is missing, wrong or out of range.
        ApiRuleError: The model does not take a parameter, or there is no such sound without an encoder.
    """
    request = _decode(incoming.body)
    audio_format = request.response_format or "mp3"
    refused = shipped_catalogue().media_rules(request.model).refused
    for name, value in (("instructions", request.instructions), ("stream_format", request.stream_format)):
        if name in refused and value not in (None, "", "audio"):
            raise ApiRuleError(
                f"Unsupported parameter: '{name}' is not supported with this model.",
                name,
                UNSUPPORTED_PARAMETER,
            )
    if audio_format not in CONTENT_TYPES:
        raise ApiRuleError(
            f"Unsupported value: llmsim has no encoder for '{audio_format}'. Supported values are: "
            f"{', '.join(f'{name!r}' for name in CONTENT_TYPES)}.",
            "response_format",
            "unsupported_value",
        )
    prompt = Prompt(
        model=request.model,
        messages=(Message("input", (request.input, *filter(None, (request.instructions,)))),),
        silent=True,
        stream=True,
        media=MediaRequest("speech", spoken_parts(request.input, request.speed or 1.0)),
    )
    return ParsedRequest(prompt, SpeechOptions(audio_format, has_events=request.stream_format == "sse"))


def render_response(turn: Turn, options: SpeechOptions) -> bytes:
    """Render the whole sound, or all events."""
    return b"".join(batch.data(0, len(batch.bodies)) for batch in render_stream(turn, options))


def render_stream(turn: Turn, options: SpeechOptions) -> tuple[FrameBatch, ...]:
    """Render the sound in parts, or in events and one with the usage."""
    tokens = turn.choices[0].tokens
    parts = render_parts(options.audio_format, tokens)
    required, carried = range(1, tokens + 1), (1,) * tokens
    if not options.has_events:
        return (FrameBatch(b"", parts, b"", required, carried),)
    encoded = {part: base64.b64encode(part) for part in set(parts)}
    bodies = [encoded[part] for part in parts]
    usage = turn.usage
    done = (
        b'{"type":"speech.audio.done","usage":{"input_tokens":%d,"output_tokens":%d,"total_tokens":%d}}'
        % (
            usage.prompt,
            usage.completion,
            usage.total,
        )
    )
    head = b'data: {"type":"speech.audio.delta","audio":"'
    return (FrameBatch(head, bodies, b'"}\n\n', required, carried), single(sse(done), tokens))


def render_stream_fault(turn: Turn, options: SpeechOptions, fault: Fault, frames: int) -> bytes:  # noqa: ARG001 - the signature of all endpoints
    """Render the end of a failing stream: the error as an event; nothing in a stream of sound."""
    return sse(render_fault(fault).body) if options.has_events else b""


_EVENTS: Headers = (*SSE_HEADERS, *SANDBOXED[:1])
_SOUNDS = {name: content_headers(content_type) for name, content_type in CONTENT_TYPES.items()}


def response_headers(options: SpeechOptions) -> Headers:
    """Return the headers of a response, whole or streamed."""
    return _EVENTS if options.has_events else _SOUNDS[options.audio_format]


SPEECH: GenerationEndpoint[SpeechOptions] = GenerationEndpoint(
    path="/v1/audio/speech",
    label="speech",
    http=ChannelFormat(
        parse=parse,
        render_refusal=render_refusal,
        render_fault=render_fault,
        render_stream=render_stream,
        render_stream_fault=render_stream_fault,
        choose_stream_headers=response_headers,
    ),
    render_response=render_response,
    response_headers=response_headers,
)
