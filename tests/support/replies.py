"""Responses of every API in one form, for tests that play one script over all of them."""

import json
from collections.abc import Iterable
from typing import Any, NamedTuple


class ResponseContent(NamedTuple):
    """The content of a response, whatever the API.

    Attributes:
        status: HTTP status.
        text: The text, or the message of an error.
        calls: Name and arguments of each tool call.
    """

    status: int
    text: str
    calls: tuple[tuple[str, Any], ...] = ()


def parse_response(status: int, body: bytes) -> ResponseContent:
    """Parse a response, streamed or not."""
    if body.startswith((b"data:", b"event:")):
        return parse_events(json.loads(line[6:]) for line in body.splitlines() if line.startswith(b"data: {"))
    answer = json.loads(body)
    if status != 200:
        return ResponseContent(status, answer["error"]["message"])
    return _whole(answer)


def _whole(answer: Any) -> ResponseContent:
    if "choices" in answer:
        choice = answer["choices"][0]
        if "text" in choice:
            return _reply(choice["text"], ())
        message = choice["message"]
        functions = [call["function"] for call in message.get("tool_calls") or ()]
        return _reply(message["content"], [(call["name"], call["arguments"]) for call in functions])
    if "candidates" in answer:
        return _candidate([answer])
    if "output" in answer:
        items = answer["output"]
        texts = [part["text"] for item in items if item["type"] == "message" for part in item["content"]]
        calls = [(item["name"], item["arguments"]) for item in items if item["type"] == "function_call"]
        return _reply("".join(texts), calls)
    blocks = answer["content"]
    texts = [block["text"] for block in blocks if block["type"] == "text"]
    return _reply(
        "".join(texts), [(block["name"], block["input"]) for block in blocks if block["type"] == "tool_use"]
    )


def parse_events(events: Iterable[Any]) -> ResponseContent:
    """Parse the events of a stream."""
    events = list(events)
    if events and "candidates" in events[0]:
        return _candidate(events)
    text, calls = "", {}
    for event in events:
        kind = event.get("type")
        for choice in event.get("choices", ()):
            if "text" in choice:
                text += choice["text"]
                continue
            delta = choice["delta"]
            text += delta.get("content") or ""
            for call in delta.get("tool_calls") or ():
                name, arguments = calls.get(call["index"], ("", ""))
                function = call["function"]
                calls[call["index"]] = (
                    name + (function.get("name") or ""),
                    arguments + function.get("arguments", ""),
                )
        if kind == "response.output_text.delta":
            text += event["delta"]
        elif kind == "response.output_item.added" and event["item"]["type"] == "function_call":
            calls[event["output_index"]] = (event["item"]["name"], "")
        elif kind == "response.function_call_arguments.delta":
            name, arguments = calls[event["output_index"]]
            calls[event["output_index"]] = (name, arguments + event["delta"])
        elif kind == "content_block_start" and event["content_block"]["type"] == "tool_use":
            calls[event["index"]] = (event["content_block"]["name"], "")
        elif kind == "content_block_delta" and event["delta"]["type"] == "text_delta":
            text += event["delta"]["text"]
        elif kind == "content_block_delta" and event["delta"]["type"] == "input_json_delta":
            name, arguments = calls[event["index"]]
            calls[event["index"]] = (name, arguments + event["delta"]["partial_json"])
        elif kind == "error":
            return ResponseContent(event.get("status", 0), event["error"]["message"])
    return _reply(text, calls.values())


def _candidate(responses: list[Any]) -> ResponseContent:
    """Return the content of the first candidate of responses of the Gemini API."""
    parts = [part for one in responses for part in one["candidates"][0]["content"].get("parts", ())]
    calls = [part["functionCall"] for part in parts if "functionCall" in part]
    text = "".join(part["text"] for part in parts if "text" in part)
    return _reply(text, [(call["name"], call["args"]) for call in calls])


def _reply(text: str | None, calls: Iterable[tuple[str, Any]]) -> ResponseContent:
    read = (
        (name, json.loads(arguments or "{}") if isinstance(arguments, str) else arguments)
        for name, arguments in calls
    )
    return ResponseContent(200, text or "", tuple(read))


AGENT: dict[str, Any] = {
    "on_exhausted": "error",
    "turns": [
        {"type": "assistant", "text": "Let me look.", "repeat": 2},
        {
            "type": "tool_calls",
            "calls": [{"name": "bash", "arguments": {"command": "ls -l"}}, {"name": "look"}],
        },
        {"type": "error", "kind": "rate_limit", "message": "Slower", "retry_after_ms": 1},
        {"type": "mixed", "text": "I write.", "calls": [{"name": "write", "arguments": {"text": "Höhe"}}]},
        {"type": "error", "kind": "invalid_request", "message": "Not so"},
        {"type": "assistant", "text": "Done."},
    ],
}
"""A complete run of an agent: text, tool calls, errors, text with a call, the end."""

AGENT_CONTENT = (
    ResponseContent(200, "Let me look."),
    ResponseContent(200, "Let me look."),
    ResponseContent(200, "", (("bash", {"command": "ls -l"}), ("look", {}))),
    ResponseContent(429, "Slower"),
    ResponseContent(200, "I write.", (("write", {"text": "Höhe"}),)),
    ResponseContent(400, "Not so"),
    ResponseContent(200, "Done."),
)
"""The responses of `AGENT`, over every API."""
