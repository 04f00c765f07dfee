"""Transcripts: a turn rendered in all formats, and as a stream of events.

Decisions:
* A sentence is a segment. Segments and words share the time of the recording by their letters.
* With speakers, one speaks after the other, a sentence each.

Source: openai SDK 3.54, types/audio/transcription.py, transcription_verbose.py, transcription_diarized.py and
transcription_stream_event.py; the formats of subtitles are those of recorded responses.
"""

import re
from collections.abc import Iterator
from typing import Any

import msgspec

from llmsim.domain import Fault, RefusalSegment, TextSegment, Turn
from llmsim.providers.contents import SANDBOXED, content_headers
from llmsim.providers.contract import ChannelFormat, GenerationEndpoint, Headers
from llmsim.providers.openai.errors import render_fault, render_refusal
from llmsim.providers.openai.transcripts import (
    TranscriptOptions,
    parse_transcription,
    parse_translation,
)
from llmsim.wire.codec import encode, escaped_pieces, piece_tokens
from llmsim.wire.frames import SSE_HEADERS, FrameBatch, single, sse

_SENTENCE = re.compile(r"\S[^.!?]*[.!?]*")
_WORD = re.compile(r"\w[\w'-]*")
_STEPS_PER_SECOND = 50
_FIRST_STEP = 50_364
"""Token of the time 0; a later one is a step of 20 ms later. Source: openai/whisper, tokenizer.py, timestamps."""

_SPEAKERS = ("A", "B")


class _Span(msgspec.Struct, frozen=True):
    """A part of a text, and its time in seconds."""

    text: str
    start: float
    end: float


def _segments_of(turn: Turn) -> list[TextSegment | RefusalSegment]:
    return [one for one in turn.choices[0].segments if isinstance(one, TextSegment | RefusalSegment)]


def _text_of(turn: Turn) -> str:
    return "".join(segment.text.text for segment in _segments_of(turn))


def _spans(pattern: re.Pattern[str], text: str, seconds: float) -> Iterator[_Span]:
    """Yield the parts of a text with their times: the whole text takes the whole recording."""
    scale = seconds / max(1, len(text))
    for found in pattern.finditer(text):
        yield _Span(found[0].strip(), round(found.start() * scale, 2), round(found.end() * scale, 2))


def render_response(turn: Turn, options: TranscriptOptions) -> bytes:
    """Render the transcript in the requested format."""
    text, seconds = _text_of(turn), options.seconds
    match options.text_format:
        case "text":
            return f"{text}\n".encode()
        case "srt":
            parts = [
                f"{number}\n{_clock(one.start, ',')} --> {_clock(one.end, ',')}\n{one.text}\n\n"
                for number, one in enumerate(_spans(_SENTENCE, text, seconds), start=1)
            ]
            return "".join(parts).encode()
        case "vtt":
            parts = [
                f"{_clock(one.start, '.')} --> {_clock(one.end, '.')}\n{one.text}\n\n"
                for one in _spans(_SENTENCE, text, seconds)
            ]
            return "".join(("WEBVTT\n\n", *parts)).encode()
        case "verbose_json":
            return encode(_build_verbose(text, options))
        case "diarized_json":
            segments = [
                _build_speech(one, number, options)
                for number, one in enumerate(_spans(_SENTENCE, text, seconds))
            ]
            return encode(
                {
                    "task": options.task,
                    "duration": seconds,
                    "text": text,
                    "segments": segments,
                    "usage": _build_usage(turn, options),
                }
            )
        case _:
            answer: dict[str, Any] = {"text": text}
            if logprobs := _logprobs(turn):
                answer["logprobs"] = logprobs
            if options.task == "transcribe":
                answer["usage"] = _build_usage(turn, options)
            return encode(answer)


def _clock(seconds: float, point: str) -> str:
    whole, milliseconds = divmod(round(seconds * 1000), 1000)
    return f"{whole // 3600:02d}:{whole // 60 % 60:02d}:{whole % 60:02d}{point}{milliseconds:03d}"


def _build_verbose(text: str, options: TranscriptOptions) -> dict[str, Any]:
    answer: dict[str, Any] = {
        "task": options.task,
        "language": options.language,
        "duration": options.seconds,
        "text": text,
    }
    if options.has_segments:
        answer["segments"] = [
            {
                "id": number,
                "seek": 0,
                "start": one.start,
                "end": one.end,
                "text": f" {one.text}",
                "tokens": [_FIRST_STEP + round(at * _STEPS_PER_SECOND) for at in (one.start, one.end)],
                "temperature": options.temperature,
                "avg_logprob": -0.25,
                "compression_ratio": 1.2,
                "no_speech_prob": 0.01,
            }
            for number, one in enumerate(_spans(_SENTENCE, text, options.seconds))
        ]
    if options.has_words:
        answer["words"] = [
            {"word": one.text, "start": one.start, "end": one.end}
            for one in _spans(_WORD, text, options.seconds)
        ]
    if options.task == "transcribe":
        answer["usage"] = _duration(options)
    return answer


def _build_speech(one: _Span, number: int, options: TranscriptOptions) -> dict[str, Any]:
    speakers = options.speakers or _SPEAKERS
    return {
        "type": "transcript.text.segment",
        "id": f"seg_{number}",
        "start": one.start,
        "end": one.end,
        "speaker": speakers[number % len(speakers)],
        "text": one.text,
    }


def _duration(options: TranscriptOptions) -> dict[str, Any]:
    return {"type": "duration", "seconds": round(options.seconds)}


def _build_usage(turn: Turn, options: TranscriptOptions) -> dict[str, Any]:
    if not options.has_usage:
        return _duration(options)
    usage = turn.usage
    return {
        "type": "tokens",
        "input_tokens": usage.prompt,
        "input_token_details": {
            "text_tokens": max(0, usage.prompt - options.audio_tokens),
            "audio_tokens": options.audio_tokens,
        },
        "output_tokens": usage.completion,
        "total_tokens": usage.total,
    }


def _logprobs(turn: Turn) -> list[dict[str, Any]]:
    return [
        one
        for segment in _segments_of(turn)
        for place in range(len(segment.logprobs))
        for one in _tokens(segment, place)
    ]


def _tokens(segment: TextSegment | RefusalSegment, place: int) -> list[dict[str, Any]]:
    """Return the tokens of a piece with their log probabilities."""
    return [
        {"token": one.token.decode(errors="replace"), "bytes": list(one.token), "logprob": one.logprob}
        for one in segment.logprobs[place]
    ]


def render_stream(turn: Turn, options: TranscriptOptions) -> tuple[FrameBatch, ...]:
    """Render the streamed transcript: deltas, with speakers the segments, and the whole."""
    batches = []
    start = 0
    for segment in _segments_of(turn):
        text = segment.text
        if not text.pieces:
            continue
        tails = [
            b'"%b' % (b',"logprobs":%b' % encode(_tokens(segment, place)) if segment.logprobs else b"")
            for place in range(len(text.pieces))
        ]
        bodies = [piece + tail for piece, tail in zip(escaped_pieces(text), tails, strict=True)]
        required = [start + end for end in text.cumulative_tokens]
        head = b'data: {"type":"transcript.text.delta","delta":"'
        batches.append(FrameBatch(head, bodies, b"}\n\n", required, piece_tokens(text)))
        start += text.tokens
    whole = _text_of(turn)
    end = b""
    if options.text_format == "diarized_json":
        for number, one in enumerate(_spans(_SENTENCE, whole, options.seconds)):
            end += sse(encode(_build_speech(one, number, options)))
    done: dict[str, Any] = {"type": "transcript.text.done", "text": whole}
    if logprobs := _logprobs(turn):
        done["logprobs"] = logprobs
    end += sse(encode(done | {"usage": _build_usage(turn, options)}))
    return (*batches, single(end, turn.length))


def render_stream_fault(turn: Turn, options: TranscriptOptions, fault: Fault, frames: int) -> bytes:  # noqa: ARG001 - the signature of all endpoints
    """Render the end of a failing stream: the error as an event."""
    return sse(render_fault(fault).body)


_JSON: Headers = (("content-type", "application/json"), SANDBOXED[0])
_TEXT = content_headers("text/plain; charset=utf-8")


def response_headers(options: TranscriptOptions) -> Headers:
    """Return the headers of a whole response."""
    return _TEXT if options.text_format in ("text", "srt", "vtt") else _JSON


TRANSCRIPTIONS: GenerationEndpoint[TranscriptOptions] = GenerationEndpoint(
    path="/v1/audio/transcriptions",
    label="transcriptions",
    http=ChannelFormat(
        parse=parse_transcription,
        render_refusal=render_refusal,
        render_fault=render_fault,
        render_stream=render_stream,
        render_stream_fault=render_stream_fault,
        stream_headers=SSE_HEADERS,
    ),
    render_response=render_response,
    response_headers=response_headers,
    takes_forms=True,
)

TRANSLATIONS: GenerationEndpoint[TranscriptOptions] = GenerationEndpoint(
    path="/v1/audio/translations",
    label="translations",
    http=ChannelFormat(parse=parse_translation, render_refusal=render_refusal, render_fault=render_fault),
    render_response=render_response,
    response_headers=response_headers,
    takes_forms=True,
)
