"""Two vendors behind one interface: pip install langchain-openai langchain-anthropic."""

import os

from langchain_anthropic import ChatAnthropic
from langchain_openai import ChatOpenAI

models = [
    ChatOpenAI(
        model="gpt-4o",
        base_url=os.environ.get("OPENAI_BASE_URL", "http://localhost:8080/openai/v1"),
        api_key=os.environ.get("OPENAI_API_KEY", "any"),
    ),
    ChatAnthropic(
        model="claude-sonnet-4-6",
        base_url=os.environ.get("ANTHROPIC_BASE_URL", "http://localhost:8080/anthropic"),
        api_key=os.environ.get("ANTHROPIC_API_KEY", "any"),
    ),
]
for model in models:
    message = model.invoke("Say something.")
    print(f"{type(model).__name__}: {message.usage_metadata['output_tokens']} tokens")
