"""Ask ten questions at once: pip install openai."""

import asyncio
import os

from openai import AsyncOpenAI

client = AsyncOpenAI(
    base_url=os.environ.get("OPENAI_BASE_URL", "http://localhost:8080/openai/v1"),
    api_key=os.environ.get("OPENAI_API_KEY", "any"),
)


async def ask(question: str) -> str:
    """Return the answer to a question."""
    response = await client.responses.create(model="gpt-5.4-mini", input=question)
    return response.output_text


async def main() -> None:
    """Ask all questions, and print how many answers there are."""
    answers = await asyncio.gather(*(ask(f"Question {number}") for number in range(10)))
    print(len(answers), "answers")


asyncio.run(main())
