"""Models that are asked for what they do not do: pictures, sound, vectors, moderations, texts."""

import io
import json
from typing import Any

import pytest
from PIL import Image
from support.asgi import Exchange, simulator
from support.forms import post_form

from llmsim.media.sounds import wave_header

V1 = "/openai/v1"
CHAT: dict[str, Any] = {"messages": [{"role": "user", "content": "Hello"}]}
NOT_CHAT = "This is not a chat model and thus not supported in the v1/chat/completions endpoint. Did you mean to use v1/completions?"
RECORDING = {"type": "input_audio", "input_audio": {"data": "AAAA", "format": "wav"}}
SPOKEN = {"modalities": ["text", "audio"], "audio": {"voice": "alloy", "format": "wav"}}


def _error(asked: Exchange) -> tuple[int, str, Any, Any]:
    error = asked.json["error"]
    assert error["type"] == "invalid_request_error"
    return asked.status, error["message"], error["param"], error["code"]


@pytest.mark.parametrize(
    ("path", "body", "expected"),
    [
        ("/chat/completions", {"model": "whisper-1"} | CHAT, (404, NOT_CHAT, "model", None)),
        ("/chat/completions", {"model": "dall-e-3"} | CHAT, (404, NOT_CHAT, "model", None)),
        ("/chat/completions", {"model": "text-embedding-3-large"} | CHAT, (404, NOT_CHAT, "model", None)),
        ("/chat/completions", {"model": "gpt-4o-mini-tts-2025-12-15"} | CHAT, (404, NOT_CHAT, "model", None)),
        (
            "/responses",
            {"model": "tts-1", "input": "Hello"},
            (
                404,
                "The requested model 'tts-1' is not supported with the Responses API.",
                "model",
                "model_not_supported",
            ),
        ),
        (
            "/embeddings",
            {"model": "omni-moderation-latest", "input": "Hello"},
            (403, "You are not allowed to generate embeddings from this model", None, None),
        ),
        (
            "/completions",
            {"model": "text-embedding-ada-002", "prompt": "Hello"},
            (
                404,
                "This is not a text model and thus not supported in the v1/completions endpoint.",
                "model",
                None,
            ),
        ),
        (
            "/moderations",
            {"model": "gpt-4o", "input": "Hello"},
            (
                400,
                "Invalid value for 'model' = gpt-4o. Please check the OpenAI documentation and try again.",
                "model",
                None,
            ),
        ),
        (
            "/audio/speech",
            {"model": "whisper-1", "input": "Hello", "voice": "alloy"},
            (404, "Invalid URL (POST /v1/audio/speech)", None, None),
        ),
        (
            "/images/generations",
            {"model": "gpt-4o", "prompt": "A cat"},
            (
                400,
                "Invalid value: 'gpt-4o'. Supported values are: 'gpt-image-1', 'gpt-image-2', 'dall-e-2', and 'dall-e-3'.",
                "model",
                "invalid_value",
            ),
        ),
    ],
)
async def test_a_model_of_another_endpoint_is_refused(
    path: str, body: dict[str, Any], expected: tuple[Any, ...]
) -> None:
    """RULE-2.7: In the words of the endpoint; with `model_rules = false` what the catalogue does not list is answered."""
    assert _error(await simulator().post(V1 + path, body)) == expected

    loose = simulator(server={"model_rules": False})
    asked = await loose.post(V1 + path, body | {"model": "my-own-model"})
    assert asked.status == 200


@pytest.mark.parametrize(
    ("path", "model", "expected"),
    [
        ("/audio/transcriptions", "tts-1", (404, "Invalid URL (POST /v1/audio/transcriptions)", None, None)),
        (
            "/audio/translations",
            "gpt-4o-transcribe",
            (404, "Invalid URL (POST /v1/audio/translations)", None, None),
        ),
        (
            "/images/edits",
            "dall-e-3",
            (
                400,
                "Invalid value: 'dall-e-3'. Supported values are: 'gpt-image-1', 'gpt-image-2', and 'dall-e-2'.",
                "model",
                "invalid_value",
            ),
        ),
    ],
)
async def test_forms_are_checked_likewise(path: str, model: str, expected: tuple[Any, ...]) -> None:
    """RULE-2.7: Recordings and pictures, too."""
    picture = io.BytesIO()
    Image.new("RGB", (64, 64)).save(picture, "PNG")
    file = ("image", picture.getvalue(), "a.png")
    if "audio" in path:
        file = ("file", wave_header(48_000) + bytes(48_000), "a.wav")
    asked = await post_form(simulator(), V1 + path, ("model", model.encode()), ("prompt", b"A cat"), file)

    assert _error(asked) == expected


async def test_azure_has_words_of_its_own() -> None:
    """RULE-2.7: Of a deployment that does something else."""
    path = "/azure/openai/deployments/text-embedding-3-large/chat/completions"
    asked = await simulator().ask("POST", path, json.dumps(CHAT).encode(), query="api-version=2024-10-21")

    assert (asked.status, asked.json["error"]["code"]) == (400, "OperationNotSupported")
    assert asked.json["error"]["message"].startswith(
        "The chatCompletion operation does not work with the specified model, text-embedding-3-large."
    )


@pytest.mark.parametrize(
    ("model", "fields", "expected"),
    [
        (
            "gpt-4o",
            SPOKEN,
            (
                400,
                "Unsupported value: 'modalities[1]' does not support 'audio' with this model.",
                "modalities[1]",
                "unsupported_value",
            ),
        ),
        (
            "gpt-5",
            {"messages": [*CHAT["messages"], {"role": "user", "content": [RECORDING]}]},
            (
                400,
                "Invalid 'messages[1]'. Content blocks are expected to be either text or image_url type.",
                "messages[1]",
                "invalid_value",
            ),
        ),
        (
            "gpt-4o-audio-preview-2025-06-03",
            {},
            (
                400,
                "This model requires that either input content or output modality contain audio.",
                "model",
                "invalid_value",
            ),
        ),
        ("gpt-audio", {"messages": [{"role": "user", "content": [RECORDING]}]}, None),
        ("gpt-4o-mini-audio-preview", SPOKEN, None),
        ("my-own-model", SPOKEN, None),
    ],
)
async def test_sound_needs_a_model_of_sound(
    model: str, fields: dict[str, Any], expected: tuple[Any, ...] | None
) -> None:
    """RULE-2.8: And such a model needs sound; what is not OpenAI's takes either."""
    asked = await simulator().post(f"{V1}/chat/completions", {"model": model} | CHAT | fields)

    if expected is None:
        assert asked.status == 200, json.dumps(asked.json)
    else:
        assert _error(asked) == expected
    loose = simulator(server={"model_rules": False})
    assert (await loose.post(f"{V1}/chat/completions", {"model": model} | CHAT | fields)).status == 200
