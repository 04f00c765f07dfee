"""Requests of the OpenResponses compliance runner, and the checks of its schema."""

from collections.abc import Sequence
from typing import Any

REQUIRED = """id object created_at completed_at status incomplete_details model previous_response_id instructions output
    error tools tool_choice truncation parallel_tool_calls text top_p presence_penalty frequency_penalty top_logprobs
    temperature reasoning user usage max_output_tokens max_tool_calls store background service_tier metadata
    safety_identifier prompt_cache_key"""
NULLABLE = """completed_at incomplete_details previous_response_id instructions error reasoning user usage
    max_output_tokens max_tool_calls safety_identifier prompt_cache_key"""
# Source: openresponses/openresponses, src/lib/compliance-tests.ts.
COMPLIANCE: dict[str, list[dict[str, Any]]] = {
    "basic-response": [{"type": "message", "role": "user", "content": "Say hello in exactly 3 words."}],
    "system-prompt": [
        {"type": "message", "role": "system", "content": "You are a pirate. Always respond in pirate speak."},
        {"type": "message", "role": "user", "content": "Say hello."},
    ],
    "image-input": [
        {
            "type": "message",
            "role": "user",
            "content": [
                {"type": "input_text", "text": "What do you see in this image?"},
                {"type": "input_image", "image_url": "data:image/png;base64,iVBORw0KGgo="},
            ],
        }
    ],
    "file-input": [
        {
            "type": "message",
            "role": "user",
            "content": [
                {"type": "input_text", "text": "Summarise this file."},
                {
                    "type": "input_file",
                    "filename": "notes.txt",
                    "file_data": "data:text/plain;base64,SGVsbG8=",
                },
            ],
        }
    ],
    "function-call-roundtrip": [
        {"type": "message", "role": "user", "content": "What is the weather in Paris?"},
        {
            "type": "function_call",
            "call_id": "call_1",
            "name": "get_weather",
            "arguments": '{"city":"Paris"}',
        },
        {"type": "function_call_output", "call_id": "call_1", "output": "Sunny, 22 degrees."},
    ],
    "multi-turn": [
        {"type": "message", "role": "user", "content": "My name is Alice."},
        {"type": "message", "role": "assistant", "content": "Hello Alice! Nice to meet you."},
        {"type": "message", "role": "user", "content": "What is my name?"},
    ],
}

TOOL_CALLING: dict[str, Any] = {
    "input": [{"type": "message", "role": "user", "content": "What's the weather like in San Francisco?"}],
    "tools": [
        {
            "type": "function",
            "name": "get_weather",
            "description": "Get the current weather for a location",
            "parameters": {
                "type": "object",
                "properties": {
                    "location": {
                        "type": "string",
                        "description": "The city and state, e.g. San Francisco, CA",
                    },
                },
                "required": ["location"],
            },
        },
    ],
}
"""Request of `tool-calling` and `tool-calling-streaming`."""


def check_tool_calling(response: dict[str, Any], events: Sequence[dict[str, Any]] = ()) -> None:
    """Check a response, and the events of its stream if there are any, like the cases of tool calling."""
    check_resource(response)
    calls = [item for item in response["output"] if item["type"] == "function_call"]
    assert calls
    for call in calls:
        assert set(call) == {"id", "type", "status", "call_id", "name", "arguments"}
    if events:
        seen = [(event["type"], event.get("item", {}).get("type")) for event in events]
        assert ("response.output_item.added", "function_call") in seen
        assert ("response.function_call_arguments.delta", None) in seen
        assert ("response.function_call_arguments.done", None) in seen
        assert ("response.output_item.done", "function_call") in seen


def check_resource(response: dict[str, Any]) -> None:
    """Check a response against the schema of the compliance runner."""
    assert set(REQUIRED.split()) <= set(response)
    nulls = {name for name in REQUIRED.split() if response[name] is None}
    assert nulls <= set(NULLABLE.split())
    assert isinstance(response["created_at"], int)
    assert set(response["reasoning"]) >= {"effort", "summary"}
    for item in response["output"]:
        assert {"id", "type", "status"} <= set(item)
        if item["type"] == "message":
            assert (item["role"], [part["annotations"] for part in item["content"]]) == ("assistant", [[]])
