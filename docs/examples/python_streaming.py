"""Print tokens as they arrive, and when they did: pip install openai."""

import os
import time

from openai import OpenAI

client = OpenAI(
    base_url=os.environ.get("OPENAI_BASE_URL", "http://localhost:8080/openai/v1"),
    api_key=os.environ.get("OPENAI_API_KEY", "any"),
)
start = time.perf_counter()
first = None
stream = client.chat.completions.create(
    model="gpt-4o",
    messages=[{"role": "user", "content": "Say something."}],
    stream=True,
    stream_options={"include_usage": True},
)
for chunk in stream:
    if chunk.choices and chunk.choices[0].delta.content:
        first = first or time.perf_counter() - start
        print(chunk.choices[0].delta.content, end="", flush=True)
    if chunk.usage:
        print(f"\n{chunk.usage.completion_tokens} tokens, the first after {first * 1000:.0f} ms")
