"""The google-genai SDK's pictures and speech against a running server."""

import io

from google import genai
from google.genai import types
from PIL import Image
from support.servers import Server

TTS = "gemini-2.5-flash-preview-tts"
SPEECH = types.GenerateContentConfig(
    response_modalities=["AUDIO"],
    speech_config=types.SpeechConfig(
        voice_config=types.VoiceConfig(
            prebuilt_voice_config=types.PrebuiltVoiceConfig(voice_name="Kore"),
        )
    ),
)


def connect(server: Server) -> genai.Client:
    """Return a client."""
    return genai.Client(api_key="any", http_options={"base_url": f"{server.base}/gemini"})


def blob(answer: types.GenerateContentResponse, candidate: int = 0) -> types.Blob:
    """Return the only part of a candidate."""
    content = (answer.candidates or [])[candidate].content
    (part,) = (content and content.parts) or []
    assert part.inline_data is not None
    return part.inline_data


def test_pictures(server: Server) -> None:
    """GEM-13.1: Each candidate is another PNG of the requested size; a stream sends the same when it is complete."""
    config = types.GenerateContentConfig(
        candidate_count=2, image_config=types.ImageConfig(aspect_ratio="3:2"), seed=3
    )
    with connect(server) as client:
        answer = client.models.generate_content(model="gemini-2.5-flash-image", contents="Hi", config=config)
        chunks = list(
            client.models.generate_content_stream(
                model="gemini-2.5-flash-image", contents="Hi", config=config
            )
        )
    first, second = blob(answer), blob(answer, 1)
    usage = answer.usage_metadata

    assert first.mime_type == "image/png"
    assert Image.open(io.BytesIO(first.data or b"")).size == (1248, 832)
    assert first.data != second.data
    assert [blob(chunk).data for chunk in chunks] == [first.data, second.data]
    assert usage is not None
    assert usage.candidates_token_count == 2 * 1290
    assert [one.modality for one in usage.candidates_tokens_details or []] == [types.MediaModality.IMAGE]


async def test_speech(server: Server) -> None:
    """GEM-13.2: Sound is as long as its text, whole or by the second; its tokens can be counted beforehand."""
    text = "Say cheerfully: have a wonderful day! " * 2
    with connect(server) as client:
        counted = client.models.count_tokens(model=TTS, contents=text)
        async with client.aio as asynchronous:
            answer = await asynchronous.models.generate_content(model=TTS, contents=text, config=SPEECH)
            chunks = [
                blob(chunk).data or b""
                async for chunk in await asynchronous.models.generate_content_stream(
                    model=TTS, contents=text, config=SPEECH
                )
            ]
    sound, usage = blob(answer), answer.usage_metadata

    assert sound.mime_type == "audio/L16;codec=pcm;rate=24000"
    assert usage is not None
    assert usage.candidates_token_count
    assert len(sound.data or b"") == usage.candidates_token_count * 1_920
    assert abs(usage.candidates_token_count / 25 - len(text) / 15) < 0.1
    assert usage.prompt_token_count == counted.total_tokens
    assert len(chunks) == 6
    assert b"".join(chunks) == sound.data
