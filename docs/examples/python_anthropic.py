"""Stream a message of Anthropic's API: pip install anthropic."""

import os

from anthropic import Anthropic

client = Anthropic(
    # Without /v1: the SDK adds it.
    base_url=os.environ.get("ANTHROPIC_BASE_URL", "http://localhost:8080/anthropic"),
    api_key=os.environ.get("ANTHROPIC_API_KEY", "any"),
)
with client.messages.stream(
    model="claude-sonnet-4-6",
    max_tokens=64,
    messages=[{"role": "user", "content": "Say something."}],
) as stream:
    for text in stream.text_stream:
        print(text, end="", flush=True)
    print(f"\n{stream.get_final_message().usage.output_tokens} tokens")
