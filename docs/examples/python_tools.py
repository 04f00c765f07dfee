"""Let the model call a tool until it answers in text: pip install openai."""

import json
import os

from openai import OpenAI

client = OpenAI(
    base_url=os.environ.get("OPENAI_BASE_URL", "http://localhost:8080/openai/v1"),
    api_key=os.environ.get("OPENAI_API_KEY", "any"),
)
weather = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "Return the weather of a city.",
        "parameters": {
            "type": "object",
            "properties": {"city": {"type": "string"}},
            "required": ["city"],
        },
    },
}
messages = [{"role": "user", "content": "Use get_weather: what is the weather in Paris?"}]

while True:
    completion = client.chat.completions.create(model="gpt-4o", messages=messages, tools=[weather])
    message = completion.choices[0].message
    messages.append(message)
    if not message.tool_calls:
        print("answer:", message.content)
        break
    for call in message.tool_calls:
        print("call:", call.function.name, json.loads(call.function.arguments))
        messages.append({"role": "tool", "tool_call_id": call.id, "content": "18 degrees, sunny"})
