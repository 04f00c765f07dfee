"""Sound in chat completions: what a request asks for, and how it is rendered.

Decisions:
* The text of a spoken answer is the transcript of its sound; the message has no other content.
* The id comes once in a stream, in its first chunk: the SDK joins the strings of all chunks.
* The sound is encoded once for each format and length.

Source: openai SDK 3.54, types/chat/chat_completion_audio_param.py, chat_completion_chunk.py; refusals of the API as users of OpenRouter and
openedai report them.
"""

import base64
from collections.abc import Sequence
from typing import Annotated, Literal

from msgspec import Meta, Struct

from llmsim.domain import Choice, MediaSegment, TextSegment, Turn
from llmsim.errors import ApiRuleError, InvalidFieldError
from llmsim.media.sounds import CONTENT_TYPES, encode_sound, render_parts
from llmsim.wire.codec import escaped_text
from llmsim.wire.frames import FrameBatch

_LIFETIME = 3_600
"""Seconds after which the id of a sound expires, as its answer has it."""

_SOUNDS = {"pcm16": "pcm"} | {name: name for name in CONTENT_TYPES if name != "pcm"}
"""The API's names of formats, and their sounds."""


class CustomVoice(Struct):
    """A voice of the client's own."""

    id: Annotated[str, Meta(min_length=1, max_length=128)]


class AudioOutput(Struct):
    """The sound that is asked for."""

    format: Literal["wav", "aac", "mp3", "flac", "opus", "pcm16"]
    voice: Annotated[str, Meta(min_length=1, max_length=128)] | CustomVoice


def parse_audio(modalities: Sequence[str], audio: AudioOutput | None, *, stream: bool) -> str:
    """Return the format of the sound that a request asks for; empty for none.

    Raises:
        InvalidFieldError: It does not say which.
        ApiRuleError: There is no such sound in a stream, or without an encoder.
    """
    if "audio" not in modalities:
        return ""
    if audio is None:
        raise InvalidFieldError(("audio",), "missing", None)
    if stream and audio.format != "pcm16":
        raise ApiRuleError(
            f"Unsupported value: 'audio.format' does not support '{audio.format}' when stream=true. Supported values are: "
            "'pcm16'.",
            "audio.format",
            "unsupported_value",
        )
    sound = _SOUNDS.get(audio.format)
    if sound is None:
        raise ApiRuleError(
            f"Unsupported value: llmsim has no encoder for '{audio.format}'. Supported values are: "
            f"{', '.join(f'{name!r}' for name in sorted(_SOUNDS))}.",
            "audio.format",
            "unsupported_value",
        )
    return sound


def sound_tokens(choice: Choice) -> int:
    """Return the tokens of a choice that are sound."""
    return sum([one.tokens for one in choice.segments if isinstance(one, MediaSegment)])


def _audio_id(turn: Turn, index: int) -> bytes:
    return b"audio_%b%02x" % (turn.id.encode(), index)


def render_audio(turn: Turn, index: int, audio_format: str) -> bytes:
    """Render the `audio` of a message, behind a comma; empty if it has no sound."""
    choice = turn.choices[index]
    sound = sound_tokens(choice)
    if not sound:
        return b""
    texts = [one for one in choice.segments if isinstance(one, TextSegment)]
    return b',"audio":{"id":"%b","data":"%b","expires_at":%d,"transcript":"%b"}' % (
        _audio_id(turn, index),
        encode_sound(audio_format, sound),
        turn.created + _LIFETIME,
        b"".join([escaped_text(one.text) for one in texts]),
    )


def role_delta(turn: Turn, index: int) -> bytes:
    """Render the delta that begins a spoken message."""
    return b'{"role":"assistant","content":null,"audio":{"id":"%b","transcript":""}}' % _audio_id(turn, index)


TRANSCRIPT_HEAD, TRANSCRIPT_END = b'{"audio":{"transcript":"', b'"}'
"""What comes before and after a piece of the transcript in a delta."""


def sound_chunks(
    turn: Turn, index: int, audio_format: str, *, head: bytes, rest: bytes, carried: int
) -> tuple[FrameBatch, ...]:
    """Render the chunks with a choice's sound, one a token, and the chunk that says when its id expires.

    Args:
        turn: The turn.
        index: Index of the choice.
        audio_format: Format of the sound.
        head: What each chunk begins with, up to its delta.
        rest: What follows the choice in each chunk.
        carried: Tokens that earlier chunks carry.
    """
    choice = turn.choices[index]
    sound = sound_tokens(choice)
    if not sound:
        return ()
    parts = render_parts(audio_format, sound)
    encoded = {part: base64.b64encode(part) for part in set(parts)}
    start = choice.tokens - sound
    sounds = FrameBatch(
        head + b'{"audio":{"data":"',
        [encoded[part] for part in parts],
        b'"}},"logprobs":null,"finish_reason":null}]%b}\n\n' % rest,
        range(start + 1, choice.tokens + 1),
        (start - carried + 1, *(1,) * (sound - 1)),
    )
    expiry = b'%b{"audio":{"expires_at":%d}},"logprobs":null}]%b}\n\n' % (
        head,
        turn.created + _LIFETIME,
        rest,
    )
    return sounds, FrameBatch(b"", (expiry,), b"", (choice.tokens,), ())
