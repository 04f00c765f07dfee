"""Endpoints that take a body and do not generate, in this process: counts, compaction, batches, updates, scripts."""

import asyncio
import json
from typing import Any

import pytest
from fuzz.limits import LONG, examples
from fuzz.mutations import variants
from fuzz.traffic import BODIES
from hypothesis import given
from hypothesis import strategies as st
from support.asgi import Exchange, simulator

NAMING_NOTHING = {
    "/openai/v1/chat/completions/chatcmpl-x": (404,),
    "/openai/v1/uploads/upload_x/complete": (404,),
    "/openai/v1/batches": (400,),
    "/openai/v1/vector_stores/vs_x/search": (404,),
}
"""Requests that are sound but for the id of something that is not stored."""

SCRIPT = {
    "on_exhausted": "loop",
    "turns": [
        {
            "type": "assistant",
            "text": "hi",
            "repeat": 2,
            "expect": {"matches": "a.b", "contains": ["a"], "model": "gpt*"},
        },
        {
            "type": "tool_calls",
            "calls": [{"name": "f", "arguments": {"city": "x"}}],
            "latency": {"ttft_ms": 0, "itl_ms": 0},
        },
        {
            "type": "mixed",
            "text": "t",
            "calls": [{"name": "f", "arguments": "{"}],
            "usage": {"prompt_tokens": 3, "completion_tokens": 2},
        },
        {"type": "error", "kind": "rate_limit", "message": "m", "status_code": 429, "retry_after_ms": 1},
    ],
}
MESSAGE = BODIES["/anthropic/v1/messages"]
CHAT = BODIES["/openai/v1/chat/completions"]

REQUESTS: dict[str, tuple[str, list[Any]]] = {
    "/anthropic/v1/messages/count_tokens": (
        "POST",
        [
            BODIES["/anthropic/v1/messages/count_tokens"],
            {
                **MESSAGE,
                "tools": [{"name": "f", "input_schema": {"type": "object"}}],
                "system": [{"type": "text", "text": "x"}],
            },
        ],
    ),
    "/anthropic/v1/messages/batches": ("POST", [{"requests": [{"custom_id": "a", "params": MESSAGE}]}]),
    "/openai/v1/responses/input_tokens": ("POST", [BODIES["/openai/v1/responses/input_tokens"]]),
    "/openai/v1/responses/compact": (
        "POST",
        [{"model": "gpt-4o", "input": [{"role": "user", "content": [{"type": "input_text", "text": "hi"}]}]}],
    ),
    "/openai/v1/chat/completions/chatcmpl-x": ("POST", [{"metadata": {"k": "v"}}]),
    "/openai/v1/uploads": (
        "POST",
        [
            {
                "bytes": 3,
                "filename": "a",
                "mime_type": "text/plain",
                "purpose": "batch",
                "expires_after": {"anchor": "created_at", "seconds": 3600},
            }
        ],
    ),
    "/openai/v1/uploads/upload_x/complete": ("POST", [{"part_ids": ["part_x"], "md5": "00"}]),
    "/openai/v1/batches": (
        "POST",
        [
            {
                "input_file_id": "file-x",
                "endpoint": "/v1/responses",
                "completion_window": "24h",
                "metadata": {"k": "v"},
            }
        ],
    ),
    "/openai/v1/conversations": (
        "POST",
        [
            {
                "items": [
                    {"type": "message", "role": "user", "content": "hi"},
                    {"type": "function_call", "call_id": "c", "name": "f", "arguments": "{}"},
                ],
                "metadata": {"k": "v"},
            }
        ],
    ),
    "/openai/v1/vector_stores": (
        "POST",
        [
            {
                "name": "n",
                "expires_after": {"anchor": "last_active_at", "days": 1},
                "chunking_strategy": {
                    "type": "static",
                    "static": {"max_chunk_size_tokens": 100, "chunk_overlap_tokens": 50},
                },
                "metadata": {"k": "v"},
            }
        ],
    ),
    "/openai/v1/vector_stores/vs_x/search": (
        "POST",
        [
            {
                "query": ["a"],
                "max_num_results": 3,
                "filters": {"type": "and", "filters": [{"type": "eq", "key": "k", "value": 1}]},
                "ranking_options": {"score_threshold": 0.5},
            }
        ],
    ),
    "/llmsim/scripts/fuzz": ("PUT", [SCRIPT]),
}

each_path = pytest.mark.parametrize("path", REQUESTS)


async def send(method: str, path: str, body: bytes) -> Exchange:
    return await simulator(target_tokens=9).ask(
        method, path, body, headers={"content-type": "application/json"}
    )


def check(data: st.DataObject, path: str) -> None:
    method, sound = REQUESTS[path]
    answer = asyncio.run(send(method, path, data.draw(variants(sound))))

    assert 200 <= answer.status < 500
    assert json.loads(answer.body)


@each_path
@given(data=st.data())
@examples(5)
def test_any_body_is_answered_or_refused(path: str, data: st.DataObject) -> None:
    """MAINT-4.12: Whatever the body, the answer is no 5xx."""
    check(data, path)


@LONG
@each_path
@given(data=st.data())
@examples(3_000, shrink=True)
def test_any_body_is_answered_or_refused_for_minutes(path: str, data: st.DataObject) -> None:
    """MAINT-4.12: The same with many more bodies."""
    check(data, path)


@each_path
def test_sound_bodies_are_accepted(path: str) -> None:
    """MAINT-4.12: What the fuzzer starts from is accepted, so that it looks behind the parser, too."""
    method, sound = REQUESTS[path]
    for request in sound:
        answer = asyncio.run(send(method, path, json.dumps(request).encode()))
        assert answer.status in NAMING_NOTHING.get(path, (200, 201)), answer.body
