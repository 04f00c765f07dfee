"""Transcripts: a recording is parsed to a prompt that is answered with a text, which has a place in time.

Decisions:
* No model hears the recording: the text is that of the generator, or of a script, and of a recording no more than can be spoken in its time.
* The length of a WAV file is read from its head; of any other it is estimated from its size, at 128 kbit a second.
* A name without an ending of its own is taken for sound of any format.

Source: openai SDK 3.54, types/audio/transcription_create_params.py and translation_create_params.py; OpenAI, api-reference/audio.
"""

import struct
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from llmsim.catalogue import shipped_catalogue
from llmsim.domain import MediaRequest, Message, Prompt
from llmsim.errors import ApiRuleError, InvalidFieldError
from llmsim.media_rules import MediaRules
from llmsim.providers.contract import IncomingRequest, ParsedRequest
from llmsim.providers.forms import FormFile
from llmsim.providers.openai.form_fields import form_json, require_form
from llmsim.providers.openai_family.model_rules import UNSUPPORTED_PARAMETER
from llmsim.providers.openai_family.request_fields import ModelId
from llmsim.wire.codec import decoder

Format = Literal["json", "text", "srt", "verbose_json", "vtt", "diarized_json"]

_ENDINGS = ("flac", "m4a", "mp3", "mp4", "mpeg", "mpga", "oga", "ogg", "wav", "webm")
_MOST_BYTES = 26_214_400
_BYTES_PER_SECOND = 16_000
_LEAST_SECONDS = 0.1
_AUDIO_TOKENS = 10
"""Tokens of a second of sound. Source: OpenAI, guides/audio."""

_TEXT_TOKENS = 3
"""Tokens of text that are spoken in a second: two to three words."""

_HEAD = 4_096
_NUMBERS = frozenset({"temperature"})
_FLAGS = frozenset({"stream"})


class TranscriptFields(msgspec.Struct):
    """The fields of `POST /v1/audio/transcriptions` and of translations, but the recording."""

    model: ModelId
    chunking_strategy: Any = None
    include: list[Literal["logprobs"]] | None = None
    known_speaker_names: Annotated[list[str], Meta(max_length=4)] | None = None
    known_speaker_references: Annotated[list[str], Meta(max_length=4)] | None = None
    language: Annotated[str, Meta(max_length=32)] | None = None
    prompt: str | None = None
    response_format: Format | None = None
    stream: bool | None = None
    temperature: Annotated[float, Meta(ge=0, le=1)] | None = None
    timestamp_granularities: list[Literal["word", "segment"]] | None = None


class TranscriptOptions(msgspec.Struct, frozen=True, kw_only=True):
    """Options for the renderers of transcripts.

    Attributes:
        task: `transcribe` or `translate`.
        text_format: The requested format.
        seconds: Length of the recording.
        language: Language of the text, as it is reported.
        audio_tokens: Tokens of the recording.
        has_usage: Whether usage is in tokens, and not in seconds.
        has_words: Whether words have their times.
        has_segments: Whether segments have them.
        speakers: Names of known speakers.
        temperature: As requested.
    """

    task: str
    text_format: Format = "json"
    seconds: float
    language: str = "english"
    audio_tokens: int = 0
    has_usage: bool = True
    has_words: bool = False
    has_segments: bool = True
    speakers: tuple[str, ...] = ()
    temperature: float = 0.0


_decode = decoder(TranscriptFields)


def parse_transcription(incoming: IncomingRequest) -> ParsedRequest[TranscriptOptions]:
    """Parse the form of a transcription; see `_parse`."""
    return _parse(incoming, "transcribe")


def parse_translation(incoming: IncomingRequest) -> ParsedRequest[TranscriptOptions]:
    """Parse the form of a translation; see `_parse`."""
    return _parse(incoming, "translate")


def _parse(incoming: IncomingRequest, task: str) -> ParsedRequest[TranscriptOptions]:
    """Parse the form of a recording.

    Raises:
        FormError: It is no form.
        InvalidFieldError: A field is missing, wrong, out of range or contradicts another.
        ApiRuleError: The model does not take a parameter or value, or the recording is not one, too long or too short.
    """
    form = require_form(incoming)
    fields = _decode(form_json(form, numbers=_NUMBERS, flags=_FLAGS))
    recording = form.file("file")
    rules = shipped_catalogue().media_rules(fields.model)
    text_format = fields.response_format or "json"
    _check(fields, text_format, rules, task)
    seconds = _measure(recording)
    audio_tokens = max(1, round(seconds * _AUDIO_TOKENS))
    granularities = fields.timestamp_granularities or ["segment"]
    prompt = Prompt(
        model=fields.model,
        messages=(Message("user", tuple(filter(None, (fields.prompt,))), extra_tokens=audio_tokens),),
        effort="none",
        stream=bool(fields.stream) and rules.streams and task == "transcribe",
        logprobs=0 if fields.include else None,
        media=MediaRequest("transcript", None, most_tokens=max(1, int(seconds * _TEXT_TOKENS))),
    )
    options = TranscriptOptions(
        task=task,
        text_format=text_format,
        seconds=seconds,
        language=(fields.language or "english") if task == "transcribe" else "english",
        audio_tokens=audio_tokens,
        has_usage=rules.has_usage,
        has_words="word" in granularities,
        has_segments="segment" in granularities,
        speakers=tuple(fields.known_speaker_names or ()),
        temperature=fields.temperature or 0.0,
    )
    return ParsedRequest(prompt, options)


def _check(fields: TranscriptFields, text_format: str, rules: MediaRules, task: str) -> None:
    refused = (*rules.refused, "stream", "include") if task == "translate" else rules.refused
    for name in refused:
        if getattr(fields, name, None):
            raise ApiRuleError(
                f"Unsupported parameter: '{name}' is not supported with this model.",
                name,
                UNSUPPORTED_PARAMETER,
            )
    formats = rules.formats or shipped_catalogue().media_rules("").formats
    if text_format not in formats or (task == "translate" and text_format == "diarized_json"):
        raise ApiRuleError(
            f"response_format '{text_format}' is not compatible with model '{fields.model[:100]}'. Use one of: "
            f"{', '.join(map(repr, formats))}.",
            "response_format",
            "unsupported_value",
        )
    if fields.timestamp_granularities and text_format != "verbose_json":
        raise InvalidFieldError(
            ("timestamp_granularities",),
            "conflict",
            "The 'timestamp_granularities' parameter is only allowed with response_format 'verbose_json'.",
        )


def _measure(recording: FormFile) -> float:
    """Return the seconds of a recording.

    Raises:
        ApiRuleError: It is not one, too large or too short.
    """
    _, dot, ending = recording.filename.rpartition(".")
    if dot and ending.lower() not in _ENDINGS:
        raise ApiRuleError(f"Invalid file format. Supported formats: {list(_ENDINGS)}", "file")
    if recording.size > _MOST_BYTES:
        raise ApiRuleError(
            f"Maximum content size limit ({_MOST_BYTES}) exceeded ({recording.size} bytes read)", status=413
        )
    recording.source.seek(0)
    seconds = measure_wave(recording.source.read(_HEAD), recording.size)
    if seconds is None:
        seconds = max(_LEAST_SECONDS, recording.size / _BYTES_PER_SECOND)
    if not recording.size or seconds < _LEAST_SECONDS:
        raise ApiRuleError(
            f"Audio file is too short. Minimum audio length is {_LEAST_SECONDS} seconds.",
            "file",
            "audio_too_short",
        )
    return round(seconds, 2)


def measure_wave(head: bytes, size: int) -> float | None:
    """Return the seconds of a WAV file; None if it is not one.

    Args:
        head: Its first bytes.
        size: All of its bytes.
    """
    if head[:4] != b"RIFF" or head[8:12] != b"WAVE":
        return None
    offset, rate = 12, 0
    while offset + 8 <= len(head):
        name, length = struct.unpack_from("<4sI", head, offset)
        if name == b"fmt " and offset + 24 <= len(head):
            rate = struct.unpack_from("<I", head, offset + 16)[0]
        if name == b"data":
            # A stream has a length of its own in the head, larger than what follows.
            return min(length, size - offset - 8) / rate if rate else None
        offset += 8 + length + length % 2
    return None
