"""Options of chat completions that other APIs do not have."""

import base64
import io
import json
import wave
from typing import Any

import pytest
from openai.types.chat import ChatCompletion, ChatCompletionChunk
from support.asgi import simulator

PATH = "/openai/v1/chat/completions"
ASKED: dict[str, Any] = {
    "model": "gpt-4o-search-preview",
    "messages": [{"role": "user", "content": "What is new?"}],
}
SPEAKER = ASKED | {"model": "gpt-audio"}


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
@pytest.mark.parametrize("text", ["One. Two and three.", "One", "Café. Ça va? Oui. "])
async def test_a_search_is_cited(stream: bool, text: str) -> None:
    """CHAT-2.8: The citation lies within the text, and its page is reserved for examples."""
    worker = simulator(generator=f"fixed:{text}")
    asked = await worker.post(PATH, ASKED | {"stream": stream, "web_search_options": {}})
    if stream:
        events = [json.loads(line[6:]) for line in asked.body.splitlines() if line.startswith(b"data: {")]
        last = events[-1]["choices"][0]
        assert last["finish_reason"] == "stop"
        annotations: list[Any] = last["delta"]["annotations"]
    else:
        annotations = asked.json["choices"][0]["message"]["annotations"]
    (annotation,) = annotations
    cited = annotation["url_citation"]

    assert annotation["type"] == "url_citation"
    assert 0 <= cited["start_index"] < cited["end_index"] <= len(text)
    assert text[cited["start_index"] : cited["end_index"]].strip()
    assert cited["url"].startswith("https://www.example.com/")


async def test_without_a_search_nothing_is_cited() -> None:
    """CHAT-2.8: As before."""
    asked = await simulator().post(PATH, ASKED)

    assert asked.json["choices"][0]["message"]["annotations"] == []


async def test_an_answer_is_spoken() -> None:
    """CHAT-1.11, CHAT-2.10: Its sound is as long as its transcript takes, and is counted; an earlier one may be named."""
    spoken = SPEAKER | {"modalities": ["text", "audio"], "audio": {"voice": "alloy", "format": "wav"}}
    answered = await simulator().post(PATH, spoken)
    message, usage = answered.json["choices"][0]["message"], answered.json["usage"]
    audio = message["audio"]
    with wave.open(io.BytesIO(base64.b64decode(audio["data"]))) as sound:
        seconds = sound.getnframes() / sound.getframerate()

    assert message["content"] is None
    assert seconds == pytest.approx(len(audio["transcript"]) / 15, abs=0.1)
    assert usage["completion_tokens_details"]["audio_tokens"] == round(seconds * 20)
    assert usage["completion_tokens"] > usage["completion_tokens_details"]["audio_tokens"]

    again = [*ASKED["messages"], {"role": "assistant", "audio": {"id": audio["id"]}}, *ASKED["messages"]]
    cut = (await simulator().post(PATH, spoken | {"messages": again, "max_tokens": 40})).json
    assert (cut["usage"]["completion_tokens"], cut["choices"][0]["finish_reason"]) == (40, "length")
    assert cut["choices"][0]["message"]["audio"]["data"]


async def test_a_spoken_stream() -> None:
    """CHAT-3.8: Its deltas are the transcript, the sound, and when its id expires."""
    spoken = SPEAKER | {
        "modalities": ["audio"],
        "audio": {"voice": {"id": "v"}, "format": "pcm16"},
        "seed": 7,
    }
    whole = (await simulator().post(PATH, spoken)).json["choices"][0]["message"]["audio"]
    streamed = await simulator().post(PATH, spoken | {"stream": True})
    chunks = [json.loads(line[6:]) for line in streamed.body.splitlines() if line.startswith(b"data: {")]
    deltas = [chunk["choices"][0]["delta"].get("audio", {}) for chunk in chunks]

    assert "".join(one.get("transcript", "") for one in deltas) == whole["transcript"]
    sound = b"".join(base64.b64decode(one.get("data", "")) for one in deltas)
    assert sound == base64.b64decode(whole["data"])
    assert [set(one) for one in (deltas[0], deltas[-2])] == [{"id", "transcript"}, {"expires_at"}]


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({}, "audio"),
        ({"audio": {"format": "wav"}}, "audio.voice"),
        ({"audio": {"voice": "alloy", "format": "flac"}}, "audio.format"),
        ({"audio": {"voice": "alloy", "format": "wav"}, "stream": True}, "audio.format"),
    ],
)
async def test_sound_that_is_refused(fields: dict[str, Any], param: str) -> None:
    """CHAT-1.11: What is missing or cannot be made is named."""
    refused = await simulator().post(PATH, SPEAKER | {"modalities": ["text", "audio"]} | fields)

    assert (refused.status, refused.json["error"]["param"]) == (400, param)


async def test_a_moderation_comes_along() -> None:
    """CHAT-2.11: Of what is asked and of each choice, whole and in a chunk of its own before the usage."""
    asked = {
        "model": "gpt-4o",
        "messages": [{"role": "user", "content": "You idiot"}],
        "moderation": {"model": "omni-moderation-latest"},
        "n": 2,
        "seed": 7,
    }
    whole = ChatCompletion.model_validate((await simulator().post(PATH, asked)).json, strict=True)
    usage = {"stream": True, "stream_options": {"include_usage": True}}
    streamed = await simulator().post(PATH, asked | usage)
    chunks = [json.loads(line[6:]) for line in streamed.body.splitlines() if line.startswith(b"data: {")]
    moderated, last = [ChatCompletionChunk.model_validate(one, strict=True) for one in chunks[-2:]]

    assert whole.moderation is not None
    assert whole.moderation.input.type == whole.moderation.output.type == "moderation_results"
    assert [one.flagged for one in whole.moderation.input.results] == [True]
    assert [one.flagged for one in whole.moderation.output.results] == [False, False]
    assert moderated.moderation is not None
    assert moderated.moderation.model_dump() == whole.moderation.model_dump()
    assert (moderated.choices, moderated.usage, last.choices) == ([], None, [])
    assert last.usage is not None
    refused = await simulator().post(PATH, asked | {"moderation": {}})
    assert (refused.status, refused.json["error"]["param"]) == (400, "moderation.model")
