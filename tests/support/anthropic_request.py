"""A request to Anthropic's Messages endpoint that uses all its fields."""

from typing import Any

MESSAGES: dict[str, Any] = {
    "model": "claude-opus-4-6",
    "system": [{"type": "text", "text": "Be kind.", "cache_control": {"type": "ephemeral", "ttl": "1h"}}],
    "messages": [
        {
            "role": "user",
            "content": [
                {"type": "text", "text": "Look"},
                {"type": "image", "source": {"type": "url", "url": "https://x/y.png"}},
                {"type": "document", "source": {"type": "text", "media_type": "text/plain", "data": "d"}},
                {
                    "type": "search_result",
                    "source": "s",
                    "title": "t",
                    "content": [{"type": "text", "text": "x"}],
                },
            ],
        },
        {
            "role": "assistant",
            "content": [
                {"type": "thinking", "thinking": "hm", "signature": "AAAA"},
                {"type": "server_tool_use", "id": "srvtoolu_1", "name": "web_search", "input": {"q": 1}},
                {"type": "tool_use", "id": "toolu_1", "name": "f", "input": {}},
            ],
        },
        {
            "role": "user",
            "content": [
                {
                    "type": "tool_result",
                    "tool_use_id": "toolu_1",
                    "content": [{"type": "text", "text": "42"}],
                    "cache_control": {"type": "ephemeral"},
                }
            ],
        },
    ],
    "max_tokens": 2000,
    "stop_sequences": ["x"],
    "stream": True,
    "thinking": {"type": "enabled", "budget_tokens": 1024},
    "temperature": 1.0,
    "metadata": {"user_id": "u"},
    "service_tier": "auto",
    "tools": [
        {
            "name": "f",
            "input_schema": {"type": "object"},
            "cache_control": {"type": "ephemeral", "ttl": "1h"},
        }
    ],
    "tool_choice": {"type": "auto"},
    "output_config": {"effort": "low"},
}
