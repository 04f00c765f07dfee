"""Conversations, and the responses that continue them, through the whole server."""

import asyncio
import json
from typing import Any

import pytest
from openai.types.conversations import Conversation
from support.asgi import Exchange, Simulator, served, simulator
from websockets.asyncio.client import connect

CONVERSATIONS = "/openai/v1/conversations"
RESPONSES = "/openai/v1/responses"


def user(text: str, **members: Any) -> dict[str, Any]:
    return {"type": "message", "role": "user", "content": text, **members}


async def create(worker: Simulator, *texts: str) -> str:
    created = await worker.post(
        CONVERSATIONS, {"items": [user(text) for text in texts], "metadata": {"a": "b"}}
    )
    assert Conversation.model_validate(created.json, strict=True).metadata == {"a": "b"}
    conversation_id: str = created.json["id"]
    return conversation_id


async def items(
    worker: Simulator, conversation_id: str, query: str = "order=asc&limit=100"
) -> list[dict[str, Any]]:
    listed = await worker.ask("GET", f"{CONVERSATIONS}/{conversation_id}/items", query=query)
    data: list[dict[str, Any]] = listed.json["data"]
    return data


def texts(found: list[dict[str, Any]]) -> list[str]:
    return [item["content"][0]["text"] for item in found]


async def respond(worker: Simulator, conversation_id: str, text: str = "Hi", **members: Any) -> Exchange:
    asked = {"model": "gpt-4o", "input": text, "conversation": conversation_id, "max_output_tokens": 16}
    return await worker.post(RESPONSES, asked | members)


class TestConversations:
    """The conversations themselves."""

    async def test_a_conversation_and_its_items(self) -> None:
        """CONV-1.1, CONV-1.2: All that can be done with them."""
        worker = simulator()
        conversation_id = await create(worker, "one", "two")
        one, path = f"{CONVERSATIONS}/{conversation_id}", f"{CONVERSATIONS}/{conversation_id}/items"
        added = await worker.post(path, {"items": [user("three", id="msg_3")]})
        found = await items(worker, conversation_id)

        assert texts(found) == ["one", "two", "three"]
        assert (added.json["first_id"], added.json["last_id"]) == ("msg_3", "msg_3")
        assert {item["status"] for item in found} == {"completed"}
        assert texts(await items(worker, conversation_id, "limit=2")) == ["three", "two"]
        assert texts(await items(worker, conversation_id, "limit=2&after=msg_3")) == ["two", "one"]
        assert (await worker.ask("GET", f"{path}/msg_3")).json == found[2]
        duplicate = await worker.post(path, {"items": [user("three", id="msg_3")]})
        assert (duplicate.status, "Duplicate item" in duplicate.json["error"]["message"]) == (400, True)
        assert (await worker.ask("DELETE", f"{path}/msg_3")).json["id"] == conversation_id
        assert (await worker.ask("GET", f"{path}/msg_3")).status == 404
        assert (await worker.post(one, {"metadata": {"c": "d"}})).json["metadata"] == {"c": "d"}
        assert (await worker.ask("GET", one)).json["metadata"] == {"c": "d"}
        assert (await worker.ask("DELETE", one)).json == {
            "id": conversation_id,
            "object": "conversation.deleted",
            "deleted": True,
        }
        for method, gone in (("GET", one), ("DELETE", one), ("GET", path), ("GET", f"{path}/msg_1")):
            assert (await worker.ask(method, gone)).status == 404

    @pytest.mark.parametrize(
        ("wrong", "status"),
        [
            ({"items": [{"type": "nothing"}]}, 400),
            ({"items": [user("x")] * 21}, 400),
            ({"items": [user("x", id="bad id")]}, 400),
            ({"items": [{"type": "item_reference", "id": "msg_x"}]}, 404),
            ({"metadata": {"x": 1}}, 400),
        ],
    )
    async def test_what_is_refused(self, wrong: Any, status: int) -> None:
        """CONV-1.2: Items are checked as the input of a response is."""
        assert (await simulator().post(CONVERSATIONS, wrong)).status == status

    async def test_keys_share_no_conversations(self) -> None:
        """CONV-1.1: Another key finds nothing, and continues nothing."""
        worker = simulator(auth={"keys": ("k1", "k2")})
        own, other = {"authorization": "Bearer k1"}, {"authorization": "Bearer k2"}
        created = await worker.ask("POST", CONVERSATIONS, b"{}", headers=own)
        path = f"{CONVERSATIONS}/{created.json['id']}"
        body = json.dumps({"model": "gpt-4o", "input": "x", "conversation": created.json["id"]}).encode()

        assert (await worker.ask("GET", path, headers=own)).status == 200
        assert (await worker.ask("GET", path, headers=other)).status == 404
        assert (await worker.ask("POST", RESPONSES, body, headers=other)).status == 404


class TestResponses:
    """What responses have of a conversation, and add to it."""

    @pytest.mark.parametrize("how", [{}, {"stream": True}, {"background": True}, {"store": False}])
    async def test_a_response_continues_and_extends_it(self, how: dict[str, Any]) -> None:
        """CONV-2.1, CONV-2.2: Its items come first, and those of the response last."""
        worker = simulator()
        conversation_id = await create(worker, "My name is Bob")
        first = await respond(worker, conversation_id, **how)
        found = await items(worker, conversation_id)
        second = (await respond(worker, conversation_id, "Again")).json

        assert first.status == 200
        assert texts(found)[:2] == ["My name is Bob", "Hi"]
        assert [item["role"] for item in found] == ["user", "user", "assistant"]
        alone = (await worker.post(RESPONSES, {"model": "gpt-4o", "input": "Again"})).json
        assert second["conversation"] == {"id": conversation_id}
        assert second["usage"]["input_tokens"] > alone["usage"]["input_tokens"] + 16
        assert len(await items(worker, conversation_id)) == 5

    async def test_over_websocket(self) -> None:
        """CONV-2.2, CONV-2.3: A message continues a conversation and extends it; an unknown one is an event."""
        worker = simulator()
        conversation_id = await create(worker, "one")
        events = []
        async with served(worker) as port, connect(f"ws://127.0.0.1:{port}{RESPONSES}") as opened:
            for name in (conversation_id, "conv_0000"):
                asked = {"type": "response.create", "model": "gpt-4o", "input": "Hi", "conversation": name}
                await opened.send(json.dumps(asked))
                while events[-1:] == [] or events[-1]["type"] not in ("response.completed", "error"):
                    events.append(json.loads(await opened.recv()))
                last = events.pop()
                events.clear()
                assert (last["type"], last.get("status")) == (
                    ("response.completed", None) if name == conversation_id else ("error", 404)
                )

        assert texts(await items(worker, conversation_id))[:2] == ["one", "Hi"]
        assert len(await items(worker, conversation_id)) == 3

    async def test_what_belongs_together(self) -> None:
        """CONV-2.1: The output of a call finds it in the conversation, and an item can be named."""
        worker = simulator()
        conversation_id = await create(worker, "one")
        path = f"{CONVERSATIONS}/{conversation_id}/items"
        call = {"type": "function_call", "call_id": "c", "name": "f", "arguments": "{}"}
        await worker.post(path, {"items": [call]})
        refused = await respond(worker, conversation_id)
        output = [{"type": "function_call_output", "call_id": "c", "output": "42"}]
        answered = await respond(worker, conversation_id, output)  # type: ignore[arg-type]  # items

        assert (refused.status, "No tool output found" in refused.json["error"]["message"]) == (400, True)
        assert answered.status == 200

    async def test_a_response_that_is_lost_leaves_nothing(self) -> None:
        """CONV-2.2: The client hung up before its end."""
        worker = simulator(latency={"ttft_mean_ms": 60_000.0, "ttft_stddev_ms": 0.0})
        conversation_id = await create(worker, "one")
        asked = {"model": "gpt-4o", "input": "x", "conversation": conversation_id}
        body = json.dumps(asked).encode()
        call, exchange = worker.begin("POST", RESPONSES, [body], headers={"content-length": str(len(body))})
        while True:
            await asyncio.sleep(0.01)
            locked = await respond(worker, conversation_id)
            if locked.status == 400:
                break
        exchange.hung_up.set()
        await call

        assert locked.json["error"]["code"] == "conversation_locked"
        assert locked.json["error"]["param"] == "conversation"
        assert texts(await items(worker, conversation_id)) == ["one"]

    async def test_items_are_visible_when_the_response_is_done(self) -> None:
        """CONV-2.2, CONV-2.4: Until then the conversation is locked; a response that is cancelled leaves nothing."""
        worker = simulator(latency={"ttft_mean_ms": 60_000.0, "ttft_stddev_ms": 0.0})
        conversation_id = await create(worker, "one")
        begun = await respond(worker, conversation_id, background=True)
        locked = await respond(worker, conversation_id, background=True)
        hidden = await items(worker, conversation_id)
        cancelled = await worker.post(f"{RESPONSES}/{begun.json['id']}/cancel", {})
        free = await respond(worker, conversation_id, background=True)

        assert begun.json["status"] == "queued"
        assert locked.json["error"]["code"] == "conversation_locked"
        assert texts(hidden) == ["one"]
        assert (cancelled.json["status"], free.status) == ("cancelled", 200)

    async def test_what_is_refused(self) -> None:
        """CONV-2.3: A conversation that nobody made, and two that are continued at once."""
        worker = simulator()
        conversation_id = await create(worker, "one")
        unknown = await respond(worker, "conv_0000")
        previous = (await respond(worker, conversation_id)).json["id"]
        both = await respond(worker, conversation_id, previous_response_id=previous)

        assert (unknown.status, "conv_0000" in unknown.json["error"]["message"]) == (404, True)
        assert (both.status, both.json["error"]["param"]) == (400, "previous_response_id")

    async def test_counting(self) -> None:
        """CONV-2.5: The items of the conversation count."""
        worker = simulator()
        conversation_id = await create(worker, "word " * 100)
        counted = await worker.post(
            f"{RESPONSES}/input_tokens", {"model": "gpt-4o", "input": "x", "conversation": conversation_id}
        )

        assert counted.json["input_tokens"] > 100
