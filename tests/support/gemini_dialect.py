"""The fields of chat completions as the Gemini API has them, so that one test speaks to all endpoints.

The path of an endpoint with the model in it has `{model}` for it: what is sent there is a request in the fields of chat completions, or of
the API's own, and `routed` makes of it what the API gets.
"""

import json
from typing import Any, NamedTuple

MODEL = "gemini-2.0-flash"

_CONFIG = {
    "max_tokens": "maxOutputTokens",
    "temperature": "temperature",
    "seed": "seed",
    "n": "candidateCount",
    "stop": "stopSequences",
}


class Routed(NamedTuple):
    """A request as it is sent."""

    path: str
    query: str
    body: bytes


def routed(path: str, body: bytes) -> Routed:
    """Return a request as it is sent; that to a path without a model is the same."""
    if "{model}:" not in path:
        return Routed(path, "", body)
    try:
        fields = json.loads(body)
    except (ValueError, RecursionError):
        fields = None
    if not isinstance(fields, dict):
        return Routed(path.replace("{model}", MODEL), "", body)
    model, stream = fields.pop("model", MODEL), fields.pop("stream", None)
    # A name has no slash in a path; one that is too long stands for what is no name.
    path = path.replace("{model}", model.replace("/", "-") if isinstance(model, str) else "x" * 300)
    query = ""
    if stream is True and path.endswith(":generateContent"):
        path, query = path.replace(":generateContent", ":streamGenerateContent"), "alt=sse"
    for name in ("x-filler", "filler"):
        if name in fields:
            fields |= (
                {"title": fields.pop(name)}
                if "Embed" in path or "embed" in path
                else {"labels": {"a": fields.pop(name)}}
            )
    # As long as it was, if that is possible: limits are in bytes.
    return Routed(path, query, json.dumps(_native(fields)).encode().ljust(len(body)))


def _native(fields: dict[str, Any]) -> dict[str, Any]:
    found = {name: value for name, value in fields.items() if name not in _CONFIG}
    config = {_CONFIG[name]: value for name, value in fields.items() if name in _CONFIG}
    if config:
        found["generationConfig"] = found.get("generationConfig", {}) | config
    if "messages" in found:
        found["contents"] = [_content(message) for message in found.pop("messages")]
    if isinstance(found.get("tools"), list):
        functions = [tool["function"] for tool in found["tools"] if "function" in tool]
        found["tools"] = [{"functionDeclarations": functions}] if functions else found["tools"]
    return found


def _content(message: dict[str, Any]) -> dict[str, Any]:
    role = "model" if message["role"] == "assistant" else "user"
    if message["role"] == "tool":
        name = message["tool_call_id"]
        return {
            "role": role,
            "parts": [
                {"functionResponse": {"id": name, "name": name, "response": {"result": message["content"]}}}
            ],
        }
    parts: list[dict[str, Any]] = [{"text": message["content"]}] if message.get("content") else []
    for call in message.get("tool_calls") or ():
        function = call["function"]
        parts.append(
            {
                "functionCall": {
                    "id": call["id"],
                    "name": function["name"],
                    "args": json.loads(function["arguments"]),
                }
            }
        )
    return {"role": role, "parts": parts}
