"""Models that answer where the requested one declines."""

import json
from typing import Any

import pytest
from anthropic.types.beta import BetaMessage
from support.asgi import simulator
from support.incoming import incoming
from support.tool_turns import hosted_call, text_segment, turn_of

from llmsim.domain import FinishReason
from llmsim.errors import InvalidFieldError
from llmsim.providers.anthropic.messages import parse
from llmsim.providers.anthropic.rendering import render_message

BODY: dict[str, Any] = {
    "model": "claude-opus-5",
    "max_tokens": 50,
    "messages": [{"role": "user", "content": "Hm"}],
}
OTHER = "claude-sonnet-4-5"
FALLBACK = {
    "type": "fallback",
    "from": {"model": "claude-opus-5"},
    "to": {"model": OTHER},
    "trigger": {"type": "refusal", "category": None},
}


async def ask(**fields: Any) -> Any:
    """Return the response of a simulator that refuses everything."""
    worker = simulator(refusal_rate=1)
    return await worker.post("/anthropic/v1/messages", BODY | fields)


async def test_another_model_answers() -> None:
    """ANTH-16.8: After the block that names both, in a message of its own, with its tokens."""
    message = (await ask(fallbacks=[{"model": OTHER, "max_tokens": 20}])).json
    fallback, text = message["content"]
    declined, answered = message["usage"]["iterations"]

    assert fallback == FALLBACK
    assert text["text"]
    assert (message["model"], message["stop_reason"]) == (OTHER, "max_tokens")
    assert (declined["type"], declined["output_tokens"]) == ("message", 0)
    assert (answered["type"], answered["model"], answered["output_tokens"]) == ("fallback_message", OTHER, 50)
    assert BetaMessage.model_validate(message)


async def test_it_is_streamed() -> None:
    """ANTH-16.8: The block comes first, and the message begins with the requested model."""
    body = (await ask(fallbacks=[{"model": OTHER}], stream=True)).body.decode()
    events = [
        json.loads(line.removeprefix("data: ")) for line in body.splitlines() if line.startswith("data")
    ]

    assert events[0]["message"]["model"] == BODY["model"]
    assert events[1]["content_block"] == FALLBACK
    assert events[-2]["usage"]["iterations"][1]["type"] == "fallback_message"


async def test_others_stay_refused() -> None:
    """ANTH-16.8: Without a list of models the refusal is the response."""
    for fields in ({}, {"fallbacks": None}, {"fallbacks": []}):
        assert (await ask(**fields)).json["stop_reason"] == "refusal"


@pytest.mark.parametrize("model", ["claude-opus-5", "claude-fable-5-2", "claude-mythos-5"])
async def test_the_default_answers(model: str) -> None:
    """ANTH-16.10: The catalogue's model answers, whole and streamed, and models list it in the beta."""
    message = (await ask(model=model, fallbacks="default")).json
    streamed = await ask(model=model, fallbacks="default", stream=True)
    worker = simulator()
    listed = await worker.ask(
        "GET", f"/anthropic/v1/models/{model}", headers={"anthropic-beta": "server-side-fallback-2026-07-01"}
    )

    assert message["model"] == "claude-opus-4-8"
    assert message["content"][0]["to"] == {"model": "claude-opus-4-8"}
    assert b'"fallback_message"' in streamed.body
    assert listed.json["allowed_fallback_models"] == ["claude-opus-4-8"]
    plain = await worker.ask("GET", f"/anthropic/v1/models/{model}")
    assert "allowed_fallback_models" not in plain.json


@pytest.mark.parametrize("model", ["claude-opus-4-8", "claude-sonnet-5", "claude-haiku-5-5"])
async def test_models_without_a_fallback(model: str) -> None:
    """ANTH-16.10: What they decline stays declined by default, and a list is refused."""
    declined = (await ask(model=model, fallbacks="default")).json
    refused = await ask(model=model, fallbacks=[{"model": OTHER}])

    assert (declined["stop_reason"], declined["model"]) == ("refusal", model)
    assert (refused.status, refused.json["error"]["message"]) == (
        400,
        f"'{model}' does not support the `fallbacks` parameter.",
    )


@pytest.mark.parametrize(
    ("entry", "place"),
    [({}, "model"), ({"model": 1}, "model"), ({"model": "a", "top_k": 1}, "top_k")],
)
def test_entries_are_checked(entry: dict[str, Any], place: str) -> None:
    """ANTH-16.8: No model, another type, and another key."""
    with pytest.raises(InvalidFieldError) as refused:
        parse(incoming(json.dumps(BODY | {"fallbacks": [entry]}).encode()))

    assert refused.value.path == ("fallbacks", 0, place)


def test_an_advisor_is_called() -> None:
    """ANTH-16.9: Without input, with its result, and with tokens of its own."""
    turn = turn_of(hosted_call("advisor", "Hm"), text_segment("So"), finish=FinishReason.STOP)
    tool = {"type": "advisor_20260301", "name": "advisor", "model": OTHER}
    options = parse(incoming(json.dumps(BODY | {"tools": [tool]}).encode())).options
    message = render_message(turn, options)
    use, result, _ = message["content"]
    _, advice = message["usage"]["iterations"]

    assert (use["name"], use["input"]) == ("advisor", {})
    assert (result["type"], result["tool_use_id"]) == ("advisor_tool_result", use["id"])
    assert (advice["type"], advice["model"]) == ("advisor_message", OTHER)
    assert message["usage"]["output_tokens"] == turn.usage.completion
    assert BetaMessage.model_validate(message)


def test_pages_are_in_the_allowed_domain() -> None:
    """ANTH-16.9: Those of the result."""
    turn = turn_of(hosted_call("web_search", "Hm"), text_segment("So"), finish=FinishReason.STOP)
    tool = {"type": "web_search_20250305", "name": "web_search", "allowed_domains": ["a.org/b/"]}
    options = parse(incoming(json.dumps(BODY | {"tools": [tool]}).encode())).options
    _, result, *_ = render_message(turn, options)["content"]

    assert [page["url"] for page in result["content"]] == [f"https://a.org/b/hm/{n}" for n in (1, 2, 3)]
