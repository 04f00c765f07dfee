"""Ask once and print the answer: pip install openai."""

import os

from openai import OpenAI

client = OpenAI(
    base_url=os.environ.get("OPENAI_BASE_URL", "http://localhost:8080/openai/v1"),
    api_key=os.environ.get("OPENAI_API_KEY", "any"),
)
completion = client.chat.completions.create(
    model="gpt-4o",
    messages=[{"role": "user", "content": "Say something."}],
    max_completion_tokens=12,
)
print(completion.choices[0].message.content)
print(completion.usage.total_tokens, "tokens")
