"""What prompts cost on the wire: counts that agree, and prompts that are cached."""

import base64
import json
import struct
import uuid
from typing import Any

import pytest
from support.asgi import Exchange, Simulator, simulator

PARAMETERS = {
    "type": "object",
    "properties": {"city": {"type": "string", "description": " town" * 200}},
    "required": ["city"],
    "additionalProperties": False,
}
TEXT = " word" * 200
PNG = base64.b64encode(
    b"\x89PNG\r\n\x1a\n" + struct.pack(">I4sII", 13, b"IHDR", 2048, 4096) + bytes(9)
).decode()
URL = f"data:image/png;base64,{PNG}"

FUNCTION = {"name": "get_weather", "description": TEXT, "parameters": PARAMETERS}
CHAT: dict[str, Any] = {
    "tools": {"tools": [{"type": "function", "function": FUNCTION}]},
    "functions": {"functions": [FUNCTION]},
    "format": {
        "response_format": {"type": "json_schema", "json_schema": {"name": "n", "schema": PARAMETERS}}
    },
    "image": {
        "messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": URL}}]}],
    },
}
RESPONSES: dict[str, Any] = {
    "tools": {"tools": [{"type": "function"} | FUNCTION]},
    "format": {"text": {"format": {"type": "json_schema", "name": "n", "schema": PARAMETERS}}},
    "image": {"input": [{"role": "user", "content": [{"type": "input_image", "image_url": URL}]}]},
}
MESSAGES: dict[str, Any] = {
    "tools": {"tools": [{"name": "get_weather", "description": TEXT, "input_schema": PARAMETERS}]},
    "format": {"output_config": {"format": {"type": "json_schema", "schema": PARAMETERS}}},
    "image": {
        "messages": [
            {
                "role": "user",
                "content": [
                    {
                        "type": "image",
                        "source": {"type": "base64", "media_type": "image/png", "data": PNG},
                    }
                ],
            }
        ],
    },
    "bash": {"tools": [{"type": "bash_20250124", "name": "bash"}]},
}
APIS = {
    "/openai/v1/chat/completions": (
        CHAT,
        {"model": "gpt-4o", "messages": [{"role": "user", "content": "Hi"}]},
    ),
    "/openai/v1/responses": (RESPONSES, {"model": "gpt-4o", "input": "Hi"}),
    "/openresponses/v1/responses": (RESPONSES, {"model": "gpt-4o", "input": "Hi"}),
    "/anthropic/v1/messages": (
        MESSAGES,
        {
            "model": "claude-sonnet-4-5",
            "max_tokens": 9,
            "messages": [{"role": "user", "content": "Hi"}],
        },
    ),
}
RANGES = {
    "tools": (400, 460),
    "functions": (400, 460),
    "format": (200, 280),
    "image": (1100, 1600),
    # As the docs of the tool say.
    "bash": (245, 249),
}
CACHING = [path for path in APIS if "anthropic" not in path]


def usage(answer: Exchange) -> tuple[int, int]:
    """Return the prompt tokens of a response, and how many of them were cached."""
    assert answer.status == 200, answer.body
    counts: dict[str, Any] = answer.json["usage"]
    details = counts.get("prompt_tokens_details") or counts.get("input_tokens_details") or {}
    return counts.get("prompt_tokens", counts.get("input_tokens")), details.get("cached_tokens", 0)


async def cost(worker: Simulator, path: str, fields: dict[str, Any]) -> int:
    """Return the prompt tokens that fields add to a request."""
    base = APIS[path][1]
    bare, _ = usage(await worker.post(path, base))
    full, _ = usage(await worker.post(path, base | fields))
    return full - bare


@pytest.mark.parametrize(
    ("path", "kind"), [(path, kind) for path, (kinds, _) in APIS.items() for kind in kinds]
)
async def test_everything_counts_on_every_api(path: str, kind: str) -> None:
    """COST-1.1, COST-1.2, COST-1.3, COST-1.4: Near what the real APIs count."""
    least, most = RANGES[kind]
    system_prompt = 496 if kind in ("tools", "bash") and "anthropic" in path else 0

    added = await cost(simulator(), path, APIS[path][0][kind])

    assert least <= added - system_prompt <= most


@pytest.mark.parametrize(
    ("path", "count"),
    [
        ("/openai/v1/responses", "/openai/v1/responses/input_tokens"),
        ("/anthropic/v1/messages", "/anthropic/v1/messages/count_tokens"),
    ],
)
async def test_counts_agree(path: str, count: str) -> None:
    """COST-1.6: What a prompt costs is what counting it returns, a forced call included."""
    worker = simulator()
    kinds, base = APIS[path]
    forced = {"tool_choice": {"type": "any"} if "anthropic" in path else "required"}
    for fields in (*kinds.values(), kinds["tools"] | forced):
        request = base | fields
        counted = (await worker.post(count, request)).json["input_tokens"]

        assert usage(await worker.post(path, request))[0] == counted


def long_request(path: str, **fields: Any) -> dict[str, Any]:
    """Return a request with a prompt that no other test has: some 2,000 tokens."""
    system = f"{uuid.uuid4()}{' play' * 2000}"
    messages = [{"role": "system", "content": system}, {"role": "user", "content": "Hi"}]
    return {"model": "gpt-4o", "messages" if path.endswith("completions") else "input": messages} | fields


@pytest.mark.parametrize("path", CACHING)
async def test_repeated_prompts_are_cached(path: str) -> None:
    """COST-2.1: They are the second time, streamed or not, and not with another key or model."""
    worker = simulator()
    request = long_request(path)

    assert [usage(await worker.post(path, request))[1] for _ in range(2)] == [0, 1920]
    assert usage(await worker.post(path, request | {"prompt_cache_key": "k"}))[1] == 0
    assert usage(await worker.post(path, request | {"model": "gpt-4.1"}))[1] == 0
    stream = {"stream": True, "stream_options": {"include_usage": True}}
    if path.endswith("responses"):
        del stream["stream_options"]
    assert b'"cached_tokens":1920' in (await worker.post(path, request | stream)).body


@pytest.mark.parametrize("path", CACHING)
@pytest.mark.parametrize("retention", ["in_memory", "in-memory", "24h", None])
async def test_retention_is_taken(path: str, retention: str | None) -> None:
    """COST-2.5: Each value of it caches."""
    worker = simulator()
    request = long_request(path, prompt_cache_retention=retention, prompt_cache_key=None)

    assert [usage(await worker.post(path, request))[1] for _ in range(2)] == [0, 1920]


@pytest.mark.parametrize("path", CACHING)
async def test_explicit_mode_caches_nothing(path: str) -> None:
    """COST-2.8: A request turns it off."""
    worker = simulator()
    request = long_request(path, prompt_cache_options={"mode": "explicit"})

    assert [usage(await worker.post(path, request))[1] for _ in range(2)] == [0, 0]


@pytest.mark.parametrize("path", ["/openai/v1/responses", "/openresponses/v1/responses"])
async def test_chains_read_what_they_continue(path: str) -> None:
    """COST-2.1: A response that continues another reads its prompt, images and files included."""
    worker = simulator()
    parts = [
        {"type": "input_text", "text": f"{uuid.uuid4()}{' play' * 1500}"},
        {"type": "input_image", "image_url": URL, "detail": "low"},
        {"type": "input_file", "file_url": "https://x/y.pdf"},
    ]
    first = await worker.post(path, {"model": "gpt-4o", "input": [{"role": "user", "content": parts}]})
    tokens = usage(first)[0]
    continued = {"model": "gpt-4o", "instructions": None, "previous_response_id": first.json["id"]}
    second = await worker.post(path, continued | {"input": "Go on"})
    third = {"model": "gpt-4o", "previous_response_id": second.json["id"], "input": parts_of("Again")}

    assert tokens - 3 - 128 < usage(second)[1] <= tokens - 3
    assert usage(second)[0] - 3 - 128 < usage(await worker.post(path, third))[1]


def parts_of(text: str) -> list[dict[str, Any]]:
    return [{"role": "user", "content": [{"type": "input_text", "text": text}]}]


async def test_keys_share_no_cached_prompts() -> None:
    """COST-2.4, ACC-2.6: Neither what is cached automatically nor what is marked."""
    worker = simulator(auth={"keys": ("k1", "k2")})
    chat = "/openai/v1/chat/completions"
    body = json.dumps(long_request(chat)).encode()
    marked = {
        "type": "text",
        "text": f"{uuid.uuid4()}{' play' * 2000}",
        "cache_control": {"type": "ephemeral"},
    }
    message = json.dumps(APIS["/anthropic/v1/messages"][1] | {"system": [marked]}).encode()

    cached, read = [], []
    for key in ("k1", "k2", "k1", "k2"):
        answer = await worker.ask("POST", chat, body, headers={"authorization": f"Bearer {key}"})
        cached.append(usage(answer)[1])
        reply = await worker.ask("POST", "/anthropic/v1/messages", message, headers={"x-api-key": key})
        read.append(reply.json["usage"]["cache_read_input_tokens"])

    assert cached == [0, 0, 1920, 1920]
    assert [tokens > 0 for tokens in read] == [False, False, True, True]
