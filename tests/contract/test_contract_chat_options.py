"""Options of chat completions that other APIs do not have."""

import json
from typing import Any

import pytest
from support.asgi import simulator

PATH = "/openai/v1/chat/completions"
ASKED = {"model": "gpt-4o-search-preview", "messages": [{"role": "user", "content": "What is new?"}]}


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


async def test_sound_is_refused() -> None:
    """CHAT-1.11: By its name; text alone is taken."""
    audio = {"voice": "alloy", "format": "wav"}
    refused = await simulator().post(PATH, ASKED | {"modalities": ["text", "audio"], "audio": audio})

    assert (refused.status, refused.json["error"]["param"]) == (400, "modalities")
    assert (await simulator().post(PATH, ASKED | {"modalities": ["text"]})).status == 200
