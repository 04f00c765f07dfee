"""The official OpenAI client's completions, moderations, images and audio, unchanged, against a real server."""

import asyncio
import base64
import io
import wave

import httpx
import openai
import pytest
from openai import AsyncOpenAI, OpenAI
from openai.types import ModerationTextInputParam

PNG = b"\x89PNG\r\n\x1a\n"
TEXT_MODEL = "gpt-3.5-turbo-instruct"


def recording(seconds: float) -> tuple[str, bytes]:
    """Return a file of silence."""
    written = io.BytesIO()
    with wave.open(written, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(16_000)
        file.writeframes(bytes(int(seconds * 16_000) * 2))
    return "speech.wav", written.getvalue()


def test_text_completions(client: OpenAI) -> None:
    """TEXT-2.1, TEXT-2.2, TEXT-2.5: Each prompt has its choices, which begin with it and list its tokens."""
    answer = client.completions.create(
        model=TEXT_MODEL, prompt=["One", "Two"], n=2, max_tokens=5, echo=True, logprobs=1
    )

    assert (answer.object, [choice.index for choice in answer.choices]) == ("text_completion", [0, 1, 2, 3])
    assert [choice.text[:3] for choice in answer.choices] == ["One", "One", "Two", "Two"]
    assert answer.usage is not None
    assert (answer.usage.prompt_tokens, answer.usage.completion_tokens) == (2, 20)
    for choice in answer.choices:
        assert choice.logprobs is not None
        assert choice.logprobs.token_logprobs is not None
        assert "".join(choice.logprobs.tokens or ()) == choice.text


def test_streamed_text_completions(client: OpenAI) -> None:
    """TEXT-3.1, TEXT-3.2: Chunks join to the text, and the last has the usage."""
    with client.completions.create(
        model=TEXT_MODEL, prompt="One", max_tokens=7, stream=True, stream_options={"include_usage": True}
    ) as stream:
        chunks = list(stream)

    assert "".join(choice.text for chunk in chunks for choice in chunk.choices)
    assert chunks[-2].choices[0].finish_reason == "length"
    assert chunks[-1].usage is not None
    assert chunks[-1].usage.completion_tokens == 7


def test_best_of_below_n(client: OpenAI) -> None:
    """TEXT-1.4: The SDK raises its own error."""
    with pytest.raises(openai.BadRequestError) as refused:
        client.completions.create(model=TEXT_MODEL, prompt="One", n=3, best_of=2)

    assert refused.value.param == "best_of"


def test_moderations(client: OpenAI) -> None:
    """MEDIA-1.1, MEDIA-1.2: Each text has its result, and parts have one."""
    answer = client.moderations.create(model="omni-moderation-latest", input=["Good morning", "violence"])
    parts = client.moderations.create(input=[ModerationTextInputParam(type="text", text="Good morning")])

    assert [result.flagged for result in answer.results] == [False, True]
    assert answer.results[1].categories.violence
    assert answer.results[1].category_scores.violence > answer.results[0].category_scores.violence
    assert answer.results[0].category_applied_input_types.violence == ["text"]
    assert len(parts.results) == 1


def test_images(client: OpenAI) -> None:
    """MEDIA-2.1, MEDIA-2.2: Pictures of the asked size, with their usage."""
    answer = client.images.generate(model="gpt-image-1", prompt="A cat", n=2, size="1024x1024", quality="low")
    pictures = [base64.b64decode(image.b64_json or "") for image in answer.data or ()]

    assert [picture[:8] for picture in pictures] == [PNG, PNG]
    assert int.from_bytes(pictures[0][16:20], "big") == int.from_bytes(pictures[0][20:24], "big") == 1024
    assert answer.usage is not None
    assert answer.usage.total_tokens == answer.usage.input_tokens + answer.usage.output_tokens


def test_streamed_images(client: OpenAI) -> None:
    """MEDIA-2.3: Partial pictures come before the whole one."""
    with client.images.generate(
        model="gpt-image-1", prompt="A cat", quality="low", stream=True, partial_images=2
    ) as stream:
        kinds = [event.type for event in stream]

    assert kinds == ["image_generation.partial_image"] * 2 + ["image_generation.completed"]


def test_addresses_of_images(client: OpenAI) -> None:
    """MEDIA-2.4: The picture is at its address."""
    answer = client.images.generate(model="dall-e-2", prompt="A cat", size="256x256")
    assert answer.data is not None

    assert httpx.get(answer.data[0].url or "").content.startswith(PNG)


@pytest.mark.filterwarnings("ignore:deprecated:DeprecationWarning")
def test_edits_and_variations(client: OpenAI) -> None:
    """MEDIA-2.7, MEDIA-2.8: Forms with a picture are answered with one."""
    made = client.images.generate(
        model="dall-e-2", prompt="A cat", size="256x256", response_format="b64_json"
    )
    picture = ("cat.png", base64.b64decode((made.data or [])[0].b64_json or ""), "image/png")
    edited = client.images.edit(model="gpt-image-1", image=picture, prompt="A dog", quality="low")
    varied = client.images.create_variation(image=picture, size="256x256", response_format="b64_json")

    for answer in (edited, varied):
        assert base64.b64decode((answer.data or [])[0].b64_json or "").startswith(PNG)


def test_speech(client: OpenAI) -> None:
    """MEDIA-3.1, MEDIA-3.2: Sound lasts as long as its text takes."""
    spoken = client.audio.speech.create(
        model="gpt-4o-mini-tts", voice="alloy", input="a" * 30, response_format="pcm"
    )

    assert len(spoken.content) / 48_000 == pytest.approx(2, abs=0.06)


def test_streamed_speech(client: OpenAI) -> None:
    """MEDIA-3.3: What is streamed is what is returned at once."""
    asked = {"model": "tts-1", "voice": "alloy", "input": "Good morning", "response_format": "wav"}
    with client.audio.speech.with_streaming_response.create(**asked) as streamed:  # type: ignore[arg-type]
        pieces = b"".join(streamed.iter_bytes())

    assert pieces[:4] == b"RIFF"
    assert len(pieces) > 10_000


@pytest.mark.filterwarnings("ignore:deprecated:DeprecationWarning")
def test_transcripts(client: OpenAI) -> None:
    """MEDIA-4.1, MEDIA-4.2: Every format is the SDK's."""
    file = recording(3)
    plain = client.audio.transcriptions.create(model="whisper-1", file=file)
    verbose = client.audio.transcriptions.create(model="whisper-1", file=file, response_format="verbose_json")
    subtitles = client.audio.transcriptions.create(model="whisper-1", file=file, response_format="srt")
    translated = client.audio.translations.create(model="whisper-1", file=file)

    assert plain.text
    assert float(verbose.duration) == pytest.approx(3, abs=0.1)
    assert "-->" in subtitles
    assert translated.text


def test_streamed_transcripts(client: OpenAI) -> None:
    """MEDIA-4.4: Deltas join to the text."""
    with client.audio.transcriptions.create(
        model="gpt-4o-transcribe", file=recording(3), stream=True
    ) as stream:
        events = list(stream)
    deltas = [event.delta for event in events if event.type == "transcript.text.delta"]
    last = events[-1]

    assert last.type == "transcript.text.done"
    assert "".join(deltas) == last.text


async def test_all_at_once(async_client: AsyncOpenAI) -> None:
    """MEDIA-1.2, MEDIA-3.1, TEXT-2.1: The asynchronous client over four workers."""
    async with async_client:
        scored, spoken, written = await asyncio.gather(
            async_client.moderations.create(input="Good morning"),
            async_client.audio.speech.create(model="tts-1", voice="alloy", input="Hi", response_format="wav"),
            async_client.completions.create(model=TEXT_MODEL, prompt="One"),
        )

    assert not scored.results[0].flagged
    assert spoken.content.startswith(b"RIFF")
    assert written.choices[0].text
