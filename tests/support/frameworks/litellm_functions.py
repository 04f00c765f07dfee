"""LiteLLM's functions for Gemini, Azure and OpenAI against a server, whose URL is the argument; prints what it tried."""

import io
import os
import sys
from typing import Any

os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"  # No network.

import litellm
from pydantic import BaseModel

GEMINI = {"api_key": "any", "api_base": f"{sys.argv[1]}/gemini/v1beta"}
AZURE = {"api_key": "any", "api_base": f"{sys.argv[1]}/azure", "api_version": "2025-03-01-preview"}
OPENAI = {"api_key": "any", "api_base": f"{sys.argv[1]}/openai/v1"}
PARAMETERS = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
TOOLS = [{"type": "function", "function": {"name": "get_weather", "parameters": PARAMETERS}}]
HELLO = [{"role": "user", "content": "Hello"}]
WEATHER = [{"role": "user", "content": "What is the weather in Paris?"}]


class Weather(BaseModel):
    """A report."""

    city: str
    degrees: int


def try_chat(model: str, **where: Any) -> None:
    """Try a chat model: whole, streamed, with tools, with a schema, and by the Responses API."""
    ask = {"model": model, **where}
    assert litellm.completion(messages=HELLO, **ask).usage.completion_tokens > 0
    assert len(list(litellm.completion(messages=HELLO, stream=True, **ask))) > 3
    choice = litellm.completion(messages=WEATHER, tools=TOOLS, **ask).choices[0]
    assert choice.finish_reason == "tool_calls"
    called = choice.message.model_dump()
    results = [
        {"role": "tool", "tool_call_id": one["id"], "name": one["function"]["name"], "content": "sunny"}
        for one in called["tool_calls"]
    ]
    answered = litellm.completion(messages=[*WEATHER, called, *results], tools=TOOLS, **ask)
    assert answered.choices[0].message.content
    chunks = list(litellm.completion(messages=WEATHER, tools=TOOLS, stream=True, **ask))
    assert litellm.stream_chunk_builder(chunks).choices[0].message.tool_calls[0].function.name
    text = litellm.completion(messages=HELLO, response_format=Weather, **ask).choices[0].message.content
    Weather.model_validate_json(text)
    assert list(litellm.responses(input="Hello", stream=True, **ask))
    print(model)


try_chat("gemini/gemini-2.5-flash", **GEMINI)
try_chat("gemini/gemini-3-pro-preview", **GEMINI)
try_chat("azure/gpt-4o", **AZURE)
try_chat("openai/gpt-4o", **OPENAI)
for name, where in (
    ("gemini/gemini-embedding-001", GEMINI),
    ("azure/text-embedding-3-small", AZURE),
    ("openai/text-embedding-3-small", OPENAI),
):
    assert len(litellm.embedding(model=name, input=["a", "b"], **where).data) == 2
assert litellm.moderation(input="You idiot", model="omni-moderation-latest", **OPENAI).results[0].flagged
for prefix, where in (("openai", OPENAI), ("azure", AZURE)):
    picture = litellm.image_generation(model=f"{prefix}/gpt-image-1", prompt="A cat", **where)
    assert picture.data[0].b64_json
    spoken = litellm.speech(
        model=f"{prefix}/gpt-4o-mini-tts", input="Hello", voice="alloy", response_format="wav", **where
    )
    sound = io.BytesIO(spoken.content)
    sound.name = "sound.wav"
    assert litellm.transcription(model=f"{prefix}/whisper-1", file=sound, **where).text
print("embeddings, moderation, pictures and sound")
