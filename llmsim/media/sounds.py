"""Sound without an encoder: tones and silence in the formats that can be made of repeated frames.

Decisions:
* Sound is made of parts of 50 ms, each of which is one of a few prepared values: an hour of speech costs no memory.
* WAV and PCM have a quiet tone for each syllable, so that who listens for speech hears some; MP3 and AAC are one frame of silence
  again and again, which needs no encoder. Opus and FLAC frames are numbered and summed, so no frame can be repeated.
* A part of MP3 or AAC has the whole frames that begin in it.

Source: 24 kHz 16-bit mono, OpenAI, guides/text-to-speech, "Supported output formats"; MPEG-2 layer III header, ISO/IEC 13818-3; ADTS, ISO/IEC
14496-3, 1.A.2; WAVE, RFC 2361 and "Multimedia Programming Interface and Data Specifications 1.0".
"""

import base64
import functools
import math
import struct
from array import array
from collections.abc import Sequence
from fractions import Fraction
from itertools import pairwise

RATE = 24_000
PART_SECONDS = Fraction(1, 20)
"""Seconds of a part; a token of speech lasts as long."""

_CHARACTERS_PER_SECOND = 15
_LEAST_SECONDS = 0.3

_SAMPLES = RATE // 20
_SAMPLE_BYTES = 2
_PITCH = 220
_LOUDNESS = 1_600
_SOUNDING = 3
_SYLLABLE = 5
"""Parts of a syllable, and those of them that sound."""

# MPEG-2 layer III, 64 kbit/s, 24 kHz, mono: 192 bytes for 576 samples. Side information of zeros is silence.
_MP3_FRAME = b"\xff\xf3\x84\xc4" + bytes(188)
_MP3_SECONDS = Fraction(576, RATE)

# AAC LC, 24 kHz, mono: a header of 7 bytes without a check sum and a silent frame of 1,024 samples.
_AAC_PAYLOAD = b"\x00\xc8\x00\x80\x23\x80"
_AAC_SECONDS = Fraction(1024, RATE)

CONTENT_TYPES = {"wav": "audio/wav", "pcm": "audio/pcm", "mp3": "audio/mpeg", "aac": "audio/aac"}
"""The formats, each with its content type."""


def _aac_frame() -> bytes:
    length = 7 + len(_AAC_PAYLOAD)
    profile, rate, channels = 1, 6, 1
    return (
        bytes(
            (
                0xFF,
                0xF1,
                profile << 6 | rate << 2 | channels >> 2,
                (channels & 3) << 6 | length >> 11,
                length >> 3 & 0xFF,
                (length & 7) << 5 | 0x1F,
                0xFC,
            )
        )
        + _AAC_PAYLOAD
    )


@functools.cache
def _tone() -> bytes:
    # 220 Hz have 11 whole periods in a part, so parts join without a click.
    samples = array(
        "h", [round(_LOUDNESS * math.sin(2 * math.pi * _PITCH * n / RATE)) for n in range(_SAMPLES)]
    )
    return struct.pack(f"<{_SAMPLES}h", *samples)


_SILENCE = bytes(_SAMPLES * _SAMPLE_BYTES)


def spoken_parts(text: str, speed: float = 1.0) -> int:
    """Return the number of parts that it takes to speak a text: 15 characters a second, before `speed` counts."""
    seconds = max(_LEAST_SECONDS, len(text) / _CHARACTERS_PER_SECOND / speed)
    return math.ceil(seconds / PART_SECONDS)


def render_parts(audio_format: str, parts: int) -> Sequence[bytes]:
    """Return the parts of some sound, in order; joined they are the whole.

    Args:
        audio_format: One of `CONTENT_TYPES`.
        parts: How many there are.
    """
    match audio_format:
        case "mp3":
            return _repeated(_MP3_FRAME, _MP3_SECONDS, parts)
        case "aac":
            return _repeated(_aac_frame(), _AAC_SECONDS, parts)
        case _:
            tone = _tone()
            sound = [tone if part % _SYLLABLE < _SOUNDING else _SILENCE for part in range(parts)]
            if audio_format == "wav" and sound:
                sound[0] = wave_header(parts * _SAMPLES * _SAMPLE_BYTES) + sound[0]
            return sound


def render_pcm(start: int, end: int) -> bytes:
    """Return the samples of spoken sound from `start` to `end`, 16 bits each."""
    period = b"".join(render_parts("pcm", _SYLLABLE))
    first, last = start * _SAMPLE_BYTES, end * _SAMPLE_BYTES
    skipped = first % len(period)
    length = last - first
    return (period * ((skipped + length) // len(period) + 1))[skipped : skipped + length]


@functools.lru_cache(maxsize=4)
def encode_sound(audio_format: str, parts: int) -> bytes:
    """Return some sound in base64; see `render_parts`."""
    return base64.b64encode(b"".join(render_parts(audio_format, parts)))


def wave_header(data_bytes: int) -> bytes:
    """Return what comes before so many bytes of sound in a WAV file."""
    return struct.pack(
        "<4sI4s4sIHHIIHH4sI",
        b"RIFF",
        36 + data_bytes,
        b"WAVE",
        b"fmt ",
        16,
        1,
        1,
        RATE,
        RATE * _SAMPLE_BYTES,
        _SAMPLE_BYTES,
        8 * _SAMPLE_BYTES,
        b"data",
        data_bytes,
    )


def _repeated(frame: bytes, seconds: Fraction, parts: int) -> list[bytes]:
    """Return as many frames as begin in each part."""
    ends = [math.ceil(PART_SECONDS * part / seconds) for part in range(parts + 1)]
    counts = [end - start for start, end in pairwise(ends)]
    kinds = {count: frame * count for count in set(counts)}
    return [kinds[count] for count in counts]
