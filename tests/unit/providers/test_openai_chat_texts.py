"""Chat completions of texts and a limit: parsed in fewer steps, to the same."""

import json
from typing import Any

import pytest
from msgspec.structs import replace
from support.incoming import incoming

from llmsim.errors import RefusedError
from llmsim.providers.openai import chat
from llmsim.providers.openai.chat_texts import parse_texts

HELLO = [{"role": "user", "content": "Hello, wörld \ud83c\udf0d"}]


def body(**fields: Any) -> bytes:
    return json.dumps({"model": "gpt-4o", "messages": HELLO} | fields).encode()


@pytest.mark.parametrize("checks_models", [True, False])
@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"max_tokens": 7, "temperature": 0.5, "top_p": 1, "user": "u", "stream": True},
        {"max_completion_tokens": 16_384, "stream": False, "temperature": None, "max_tokens": None},
        {"model": "claude-sonnet-4-5", "max_tokens": 1_000_000},
        {"model": "my/own-model"},
        {
            "messages": [
                {"role": role, "content": role} for role in ("system", "developer", "user", "assistant")
            ]
        },
    ],
)
def test_texts_are_parsed_to_the_same(fields: dict[str, Any], checks_models: bool, monkeypatch: Any) -> None:
    """ARCH-7.4: Prompt and options are those of the general way."""
    request = incoming(body(**fields))
    parsed = chat.parse(request, checks_models=checks_models)
    assert parse_texts(request.body, checks_models=checks_models) == parsed.prompt
    assert parsed.is_texts
    monkeypatch.setattr(chat, "parse_texts", lambda *_, **__: None)

    assert chat.parse(request, checks_models=checks_models) == replace(parsed, is_texts=False)


@pytest.mark.parametrize(
    "sent",
    [
        body(n=1),
        body(tools=None),
        body(unknown={"deep": [1]}),
        body(max_tokens=1, max_completion_tokens=1),
        body(max_tokens=16_385),
        body(max_tokens=0),
        body(temperature=2.5),
        body(model=""),
        body(model="gpt-5", max_completion_tokens=5),
        body(model="gpt-4o-transcribe"),
        body(messages=[]),
        body(messages=[{"role": "tool", "content": "x", "tool_call_id": "c"}]),
        body(messages=[{"role": "user", "content": "x", "name": "n"}]),
        body(messages=[{"role": "user", "content": [{"type": "text", "text": "x"}]}]),
        body(messages=[{"role": "user", "content": "x" * 1_000}]),
        body(max_tokens=10**20),
        body(model="my/own-model", max_tokens=10**20),
        b'{"model":"gpt-4o","messages":[{"role":"user","content":"\xff"}]}',
        b"{",
        b"",
    ],
)
def test_anything_else_is_parsed_the_general_way(sent: bytes, monkeypatch: Any) -> None:
    """ARCH-7.4: What asks for more, is too long, or is wrong, is left to the general way and its words."""
    assert parse_texts(sent, checks_models=True) is None

    def outcome() -> Any:
        try:
            return chat.parse(incoming(sent))
        except RefusedError as error:
            return type(error), str(error)

    found = outcome()
    monkeypatch.setattr(chat, "parse_texts", lambda *_, **__: None)
    assert outcome() == found
