"""Requests for pictures and speech of the Gemini API."""

import json
from typing import Any

import pytest
from support.incoming import incoming

from llmsim.errors import ApiRuleError
from llmsim.media.sounds import render_parts, render_pcm
from llmsim.providers.contract import ParsedRequest
from llmsim.providers.gemini.request import GenerateOptions, parse

IMAGE, SPEECH, TEXT = "gemini-2.5-flash-image", "gemini-2.5-flash-preview-tts", "gemini-2.5-flash"
VOICE = {"prebuiltVoiceConfig": {"voiceName": "Kore"}}
NOBODY = {"prebuiltVoiceConfig": {"voiceName": "Nobody"}}


def parsed(model: str, **config: Any) -> ParsedRequest[GenerateOptions]:
    """Parse a request."""
    picture = {"inlineData": {"mimeType": "image/png", "data": "iVBO"}}
    body = {"contents": [{"parts": [{"text": "Hello"}, picture]}], "generationConfig": config}
    path = f"/v1beta/models/{model}:generateContent"
    return parse(incoming(json.dumps(body).encode(), path=path, path_params={"model": model}))


@pytest.mark.parametrize(
    ("model", "config", "size", "tokens"),
    [
        (IMAGE, {}, (1024, 1024), 1290),
        (IMAGE, {"responseModalities": ["Text", "Image"]}, (1024, 1024), 1290),
        (
            "gemini-3-pro-image-preview",
            {"imageConfig": {"aspectRatio": "16:9", "imageSize": "4K"}},
            (5376, 3072),
            2000,
        ),
        ("gemini-3.1-flash-image-preview", {"imageConfig": {"imageSize": "512"}}, (512, 512), 747),
    ],
)
def test_the_size_of_a_picture_and_its_tokens(
    model: str, config: dict[str, Any], size: tuple[int, int], tokens: int
) -> None:
    """GEM-13.1: They follow from model, ratio and size; a picture in the prompt counts."""
    found = parsed(model, **config)
    picture, media = found.options.picture, found.prompt.media

    assert picture is not None
    assert media is not None
    assert ((picture.width, picture.height), media.tokens) == (size, tokens)
    assert found.prompt.messages[0].extra_tokens == 258


def test_a_model_of_pictures_can_answer_with_text() -> None:
    """GEM-13.1: It does if nothing else is asked for."""
    found = parsed(IMAGE, responseModalities=["TEXT"])

    assert (found.prompt.media, found.options.picture) == (None, None)


@pytest.mark.parametrize(
    ("model", "config", "problem"),
    [
        (TEXT, {"responseModalities": ["IMAGE", "TEXT"]}, "(IMAGE, TEXT) is not supported"),
        (SPEECH, {}, "accepts the following combination of response modalities:\n* AUDIO\n"),
        (IMAGE, {"responseModalities": ["AUDIO"]}, "* IMAGE\n* IMAGE, TEXT\n* TEXT\n"),
        (IMAGE, {"imageConfig": {"aspectRatio": "1:9"}}, "aspect_ratio must be one of '1:1'"),
        (IMAGE, {"imageConfig": {"imageSize": "4K"}}, "image_size must be one of '1K'"),
        (IMAGE, {"imageConfig": {"size": "4K"}}, 'Unknown name "size"'),
        (TEXT, {"imageConfig": {}}, "image_config needs the response modality IMAGE"),
        (TEXT, {"speechConfig": {}}, "Cannot extract voices from a non-audio request."),
        (SPEECH, {"speechConfig": {"voiceConfig": NOBODY}}, "Voice name Nobody is not supported."),
        (SPEECH, {"speechConfig": {"multiSpeakerVoiceConfig": {}}}, "exactly 2 speaker_voice_configs"),
        (
            SPEECH,
            {"speechConfig": {"voiceConfig": VOICE, "multiSpeakerVoiceConfig": {}}},
            "cannot be set both",
        ),
    ],
)
def test_what_models_do_not_make_is_refused(model: str, config: dict[str, Any], problem: str) -> None:
    """GEM-13.3: The message says what they make, or which values there are."""
    if model == SPEECH and config:
        config["responseModalities"] = ["AUDIO"]
    with pytest.raises(ApiRuleError) as raised:
        parsed(model, **config)
    assert problem in raised.value.message


def test_samples_are_those_of_the_whole_sound() -> None:
    """GEM-13.2: Whatever part of it is rendered."""
    whole = b"".join(render_parts("pcm", 40))

    assert render_pcm(0, 48_000) == whole
    assert render_pcm(960, 47_000) == whole[1_920:94_000]
    assert render_pcm(5, 5) == b""
