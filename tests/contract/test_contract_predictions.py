"""Predicted outputs of chat completions."""

import json
from typing import Any

import pytest
from support.asgi import simulator

PATH = "/openai/v1/chat/completions"
ASKED = {"model": "gpt-4.1", "messages": [{"role": "user", "content": "Rename it"}]}
CODE = "def first(a):\n    return a[0]\n"


async def usage_of(text: str, prediction: Any, **fields: Any) -> dict[str, Any]:
    """Return the usage of a response with `text`."""
    body = ASKED | {"prediction": {"type": "content", "content": prediction}} | fields
    asked = await simulator(generator=f"fixed:{text}").post(PATH, body)
    if not fields.get("stream"):
        found: dict[str, Any] = asked.json["usage"]
        return found
    events = [json.loads(line[6:]) for line in asked.body.splitlines() if line.startswith(b"data: {")]
    streamed: dict[str, Any] = events[-1]["usage"]
    return streamed


def counts(usage: dict[str, Any]) -> tuple[int, int]:
    """Return the accepted and the rejected tokens."""
    details = usage["completion_tokens_details"]
    return details["accepted_prediction_tokens"], details["rejected_prediction_tokens"]


async def test_all_of_it() -> None:
    """CHAT-2.9: What is as predicted is accepted, and costs no more."""
    plain = (await simulator(generator=f"fixed:{CODE}").post(PATH, ASKED)).json["usage"]
    usage = await usage_of(CODE, CODE)

    assert counts(usage) == (plain["completion_tokens"], 0)
    assert usage["completion_tokens"] == plain["completion_tokens"]


async def test_none_of_it() -> None:
    """CHAT-2.9: What is not as predicted is rejected, and costs."""
    usage = await usage_of("Yes", "zebra quagga")
    accepted, rejected = counts(usage)

    assert (accepted, rejected > 1) == (0, True)
    assert usage["completion_tokens"] == 1 + rejected
    assert usage["total_tokens"] == usage["prompt_tokens"] + usage["completion_tokens"]


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
async def test_most_of_it(stream: bool) -> None:
    """CHAT-2.9: A changed word is rejected, and what follows it accepted; in a stream as well."""
    options = {"stream": True, "stream_options": {"include_usage": True}} if stream else {}
    whole = sum(counts(await usage_of(CODE, CODE)))
    accepted, rejected = counts(await usage_of(CODE.replace("first", "head"), CODE, **options))

    assert rejected == 1
    assert accepted + rejected == whole


async def test_parts() -> None:
    """CHAT-1.12: Parts are one text."""
    parts = [{"type": "text", "text": CODE[:9]}, {"type": "text", "text": CODE[9:]}]

    assert counts(await usage_of(CODE, parts)) == counts(await usage_of(CODE, CODE))


@pytest.mark.parametrize("prediction", [None, {"type": "content", "content": ""}])
async def test_nothing_is_predicted(prediction: Any) -> None:
    """CHAT-2.9: Null and an empty prediction have no tokens."""
    asked = await simulator().post(PATH, ASKED | {"prediction": prediction})

    assert counts(asked.json["usage"]) == (0, 0)


@pytest.mark.parametrize(
    "fields",
    [
        {"n": 2},
        {"logprobs": True},
        {"presence_penalty": 1},
        {"frequency_penalty": 0.5},
        {"max_completion_tokens": 9},
        {"tools": [{"type": "function", "function": {"name": "f"}}]},
    ],
)
async def test_what_it_excludes(fields: dict[str, Any]) -> None:
    """CHAT-1.12: The other parameter is named."""
    prediction = {"type": "content", "content": "Hi"}
    refused = await simulator().post(PATH, ASKED | {"prediction": prediction} | fields)

    assert (refused.status, refused.json["error"]["param"]) == (400, next(iter(fields)))


@pytest.mark.parametrize("prediction", [{"type": "other", "content": ""}, {"type": "content"}, "Hi"])
async def test_wrong_predictions(prediction: Any) -> None:
    """CHAT-1.12: A prediction without its content is refused."""
    refused = await simulator().post(PATH, ASKED | {"prediction": prediction})

    assert refused.status == 400
    assert refused.json["error"]["param"].startswith("prediction")
