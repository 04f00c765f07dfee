"""An agent with a tool and a typed answer: pip install 'pydantic-ai-slim[openai]'."""

import os

from pydantic import BaseModel
from pydantic_ai import Agent
from pydantic_ai.models.openai import OpenAIChatModel
from pydantic_ai.providers.openai import OpenAIProvider


class Weather(BaseModel):
    """The weather of a city."""

    city: str
    degrees: int


provider = OpenAIProvider(
    base_url=os.environ.get("OPENAI_BASE_URL", "http://localhost:8080/openai/v1"),
    api_key=os.environ.get("OPENAI_API_KEY", "any"),
)
agent = Agent(OpenAIChatModel("gpt-4o", provider=provider), output_type=Weather)


@agent.tool_plain
def get_temperature(city: str) -> int:
    """Return the temperature of a city in degrees."""
    return 18


print(agent.run_sync("What is the weather in Paris?").output)
