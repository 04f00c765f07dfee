"""Moderation of responses: whole, streamed, over WebSocket, stored and retrieved."""

import json
from typing import Any

from openai.types.responses import Response
from support.asgi import simulator

PATH = "/openai/v1/responses"
ASKED: dict[str, Any] = {
    "model": "gpt-4o",
    "instructions": "Be kind.",
    "input": "You idiot",
    "moderation": {"model": "omni-moderation-latest", "policy": {"input": {"mode": "score"}}},
    "seed": 7,
}


async def test_a_moderation_of_a_response() -> None:
    """RESP-2.13: One result for the input and one for the output, when the response is done, wherever it is read."""
    worker = simulator(generator="fixed:I will kill the process.")
    whole = (await worker.post(PATH, ASKED)).json
    moderation = Response.model_validate(whole).moderation
    streamed = await worker.post(PATH, ASKED | {"stream": True})
    events = [json.loads(line[6:]) for line in streamed.body.splitlines() if line.startswith(b"data: {")]
    stored = (await worker.ask("GET", f"{PATH}/{whole['id']}")).json

    assert moderation is not None
    assert moderation.input.type == moderation.output.type == "moderation_result"
    assert (moderation.input.model, moderation.input.flagged) == ("omni-moderation-latest", True)
    assert moderation.input.categories["harassment"]
    assert moderation.output.categories["violence"]
    assert not moderation.output.categories["harassment"]
    assert stored["moderation"] == whole["moderation"]
    assert events[-1]["response"]["moderation"] == whole["moderation"]
    assert [event["response"]["moderation"] for event in events[:2]] == [None, None]
    score = await worker.post("/openai/v1/moderations", {"input": "Be kind.\nYou idiot"})
    assert whole["moderation"]["input"]["category_scores"] == score.json["results"][0]["category_scores"]


async def test_what_is_moderated() -> None:
    """RESP-2.13: The input of the request, with the items that it names; not the turns before it."""
    worker = simulator(generator="fixed:Fine")
    first = (await worker.post(PATH, ASKED)).json
    (named,) = (await worker.ask("GET", f"{PATH}/{first['id']}/input_items")).json["data"]
    calm = {"model": "gpt-4o", "input": "Hello", "moderation": {"model": "m"}}
    later = await worker.post(PATH, calm | {"previous_response_id": first["id"]})
    reference = [{"type": "item_reference", "id": named["id"]}]
    naming = await worker.post(PATH, calm | {"input": reference})

    assert later.json["moderation"]["input"]["flagged"] is False
    assert naming.json["moderation"]["input"]["flagged"] is True


async def test_moderations_that_are_refused() -> None:
    """RESP-2.13: A model is named, and a mode is one of two; OpenResponses has no moderation."""
    for moderation, param in (
        ({}, "moderation.model"),
        ({"model": "m", "policy": {"input": {"mode": "stop"}}}, "moderation.policy.input.mode"),
    ):
        refused = await simulator().post(PATH, ASKED | {"moderation": moderation})
        assert (refused.status, refused.json["error"]["param"]) == (400, param)
    other = await simulator().post("/openresponses/v1/responses", ASKED)
    assert "moderation" not in other.json
