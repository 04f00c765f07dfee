"""The endpoints that only the Anthropic API has, through the whole server."""

import asyncio
import json
from typing import Any

import pytest
from anthropic.types import ModelInfo
from anthropic.types.messages import MessageBatch, MessageBatchIndividualResponse
from support.anthropic_request import MESSAGES
from support.asgi import Exchange, Simulator, simulator

from llmsim.providers.anthropic.resources import rfc3339

ROOT = "/anthropic/v1"
BATCHES = f"{ROOT}/messages/batches"
BASIC: dict[str, Any] = {
    "model": "claude-opus-4-8",
    "max_tokens": 2000,
    "messages": [{"role": "user", "content": "Hello"}],
}


async def get(worker: Simulator, path: str, query: str = "") -> Exchange:
    return await worker.ask("GET", f"{ROOT}{path}", query=query)


class TestHeaders:
    """What every request and response carries."""

    @pytest.mark.parametrize("path", ["/messages", "/messages/count_tokens", "/messages/batches"])
    async def test_a_version_is_wanted(self, path: str) -> None:
        """ANTH-1.2: Without `anthropic-version` nothing is looked at, and the refusal is counted."""
        worker = simulator()
        exchange = await worker.ask("POST", ROOT + path, b"{", headers={"anthropic-version": ""})

        assert (exchange.status, exchange.json["error"]["type"]) == (400, "invalid_request_error")
        assert exchange.json["error"]["message"] == "anthropic-version: header is required"
        assert exchange.json["request_id"] == exchange.headers["request-id"]
        assert worker.stats().refused_requests == (path == "/messages")

    async def test_a_query_changes_nothing(self) -> None:
        """ANTH-1.3: `?beta=true` is what the beta clients send."""
        body = json.dumps(BASIC).encode()
        exchange = await simulator().ask("POST", f"{ROOT}/messages", body, query="beta=true")

        assert (exchange.status, exchange.json["type"]) == (200, "message")


class TestThinking:
    """Thinking, planned."""

    async def ask(self, *, target: int = 10, **fields: Any) -> dict[str, Any]:
        """Have a message generated whose text has `target` tokens."""
        worker = simulator(target_tokens=target)
        exchange = await worker.post(f"{ROOT}/messages", BASIC | fields)
        assert exchange.status == 200
        answer: dict[str, Any] = exchange.json
        return answer

    @pytest.mark.parametrize(
        ("thinking", "effort", "tokens"),
        [
            ({"type": "enabled", "budget_tokens": 1024}, None, 30),
            ({"type": "adaptive"}, None, 60),
            ({"type": "adaptive"}, "low", 15),
            ({"type": "disabled"}, None, 0),
        ],
    )
    async def test_tokens_by_effort(self, thinking: Any, effort: str | None, tokens: int) -> None:
        """ANTH-4.1: So many tokens of reasoning are made, shown and counted."""
        answer = await self.ask(model="claude-opus-4-6", thinking=thinking, output_config={"effort": effort})

        assert answer["usage"]["output_tokens_details"]["thinking_tokens"] == tokens
        assert answer["usage"]["output_tokens"] == tokens + 10
        assert [block["type"] for block in answer["content"]] == (["thinking"] if tokens else []) + ["text"]

    async def test_a_budget_is_kept(self) -> None:
        """ANTH-4.3: However long the text, no more is thought than the budget allows."""
        answer = await self.ask(
            model="claude-opus-4-6",
            target=600,
            max_tokens=4000,
            thinking={"type": "enabled", "budget_tokens": 1024},
        )

        assert answer["usage"]["output_tokens_details"]["thinking_tokens"] == 1024
        assert answer["usage"]["output_tokens"] == 1624

    async def test_a_model_that_does_not_reason_does_not_think(self) -> None:
        """ANTH-4.1: Such a model answers at once."""
        answer = await self.ask(
            model="claude-3-haiku-20240307", thinking={"type": "enabled", "budget_tokens": 1024}
        )

        assert [block["type"] for block in answer["content"]] == ["text"]


@pytest.mark.parametrize("request_body", [BASIC, BASIC | MESSAGES], ids=["basic", "rich"])
async def test_tokens_are_counted_alike(request_body: dict[str, Any]) -> None:
    """ANTH-5.1: What `count_tokens` says is what a message of the same request reports."""
    worker = simulator()
    asked = request_body | {"stream": False}
    counted = await worker.post(f"{ROOT}/messages/count_tokens", asked)
    answered = await worker.post(f"{ROOT}/messages", asked)

    usage = answered.json["usage"]
    parts = ("input_tokens", "cache_creation_input_tokens", "cache_read_input_tokens")
    assert counted.json == {"input_tokens": sum(usage[part] for part in parts)}
    assert worker.stats().total_requests == 1


class TestModels:
    """The list and its pages."""

    async def test_every_model_is_one_of_the_sdk(self) -> None:
        """ANTH-6.1: Anthropic's models only, newest first, with every field."""
        page = (await get(simulator(), "/models", "limit=1000")).json

        assert all(entry["id"].startswith("claude-") for entry in page["data"])
        assert all(
            set(ModelInfo.model_validate(entry).model_fields_set) == set(entry) for entry in page["data"]
        )
        assert set(page["data"][0]) == set(ModelInfo.model_fields)
        created = [entry["created_at"] for entry in page["data"]]
        assert created == sorted(created, reverse=True)
        assert (page["has_more"], page["last_id"]) == (False, page["data"][-1]["id"])

    async def test_pages(self) -> None:
        """ANTH-6.1: Pages forward and backward meet every model once."""
        worker = simulator()
        whole = [entry["id"] for entry in (await get(worker, "/models", "limit=1000")).json["data"]]
        forward: list[str] = []
        page = (await get(worker, "/models", "limit=7")).json
        while True:
            forward += [entry["id"] for entry in page["data"]]
            if not page["has_more"]:
                break
            page = (await get(worker, "/models", f"limit=7&after_id={page['last_id']}")).json
        back = (await get(worker, "/models", f"limit=3&before_id={whole[5]}")).json

        assert forward == whole
        assert ([entry["id"] for entry in back["data"]], back["has_more"]) == (whole[2:5], True)

    async def test_stages(self) -> None:
        """ANTH-6.1: All models are active, so other stages have none; the SDK sends an array."""
        worker = simulator()
        all_ids = [model["id"] for model in (await get(worker, "/models")).json["data"]]
        both = await get(worker, "/models", "lifecycle[]=active&lifecycle[]=retired")
        retired = await get(worker, "/models", "lifecycle[]=retired")
        refused = await get(worker, "/models", "lifecycle[]=active&lifecycle[]=new")

        assert [model["id"] for model in both.json["data"]] == all_ids
        assert (retired.json["data"], retired.json["has_more"]) == ([], False)
        assert refused.json["error"]["message"] == (
            "lifecycle.1: Input should be 'active', 'deprecated' or 'retired'"
        )

    @pytest.mark.parametrize(
        "query", ["limit=0", "limit=1001", "limit=x", "after_id=nobody", "before_id=nobody"]
    )
    async def test_a_page_that_cannot_be(self, query: str) -> None:
        """ANTH-6.1: A limit out of range or an unknown cursor is refused."""
        assert (await get(simulator(), "/models", query)).status == 400

    @pytest.mark.parametrize(
        ("name", "found"),
        [
            ("claude-opus-4-8", "claude-opus-4-8"),
            ("claude-sonnet-4-0", "claude-sonnet-4-20250514"),
            ("claude-haiku-4-5-20251001", "claude-haiku-4-5"),
            ("claude-3-5-haiku-latest", "claude-3-5-haiku-20241022"),
            ("claude-nothing-9", None),
            ("gpt-4o", None),
        ],
    )
    async def test_names(self, name: str, found: str | None) -> None:
        """ANTH-6.2: Aliases and snapshots lead to one model; what is not Anthropic's is not found."""
        exchange = await get(simulator(), f"/models/{name}")

        assert exchange.status == (404 if found is None else 200)
        assert found is None or exchange.json["id"] == found

    async def test_any_name_generates(self) -> None:
        """ANTH-6.3: Whatever the model is called, it answers."""
        exchange = await simulator().post(f"{ROOT}/messages", BASIC | {"model": "gpt-4o"})

        assert exchange.json["model"] == "gpt-4o"


class TestBatches:
    """From creation to deletion."""

    def item(self, name: str, **fields: Any) -> dict[str, Any]:
        """Make a request of a batch."""
        return {"custom_id": name, "params": BASIC | fields}

    async def create(self, worker: Simulator, *items: dict[str, Any]) -> dict[str, Any]:
        """Create a batch."""
        exchange = await worker.post(BATCHES, {"requests": items})
        assert exchange.status == 200
        batch: dict[str, Any] = exchange.json
        assert set(batch) == set(MessageBatch.model_fields)
        return batch

    async def ended(self, worker: Simulator, batch_id: str) -> dict[str, Any]:
        """Wait until a batch has ended."""
        while True:
            batch: dict[str, Any] = (await worker.ask("GET", f"{BATCHES}/{batch_id}")).json
            MessageBatch.model_validate(batch)
            if batch["processing_status"] == "ended":
                return batch
            await asyncio.sleep(0.02)

    async def test_a_conversation_that_the_api_refuses(self) -> None:
        """ANTH-11.5: Such a request has an errored result."""
        worker = simulator()
        blank = [{"role": "user", "content": " "}]
        batch = await self.ended(worker, (await self.create(worker, self.item("a", messages=blank)))["id"])
        results = await worker.ask("GET", f"{BATCHES}/{batch['id']}/results")

        error = json.loads(results.body)["result"]["error"]["error"]
        assert error["message"] == TestConversations.MESSAGE

    @pytest.mark.parametrize("is_strict", [False, True])
    async def test_unknown_fields(self, is_strict: bool) -> None:
        """API-4.2: In strict mode such a request has an errored result."""
        worker = simulator(server={"strict": is_strict})
        created = await self.create(worker, self.item("a", reasoning_effort="low"))
        batch = await self.ended(worker, created["id"])
        results = await worker.ask("GET", f"{BATCHES}/{batch['id']}/results")

        assert (b"reasoning_effort: Extra inputs are not permitted" in results.body) is is_strict

    async def test_from_creation_to_results(self) -> None:
        """ANTH-8.2: Each request has the result it would have got, and no request is counted."""
        worker = simulator()
        created = await self.create(worker, self.item("a"), self.item("b", max_tokens="x"))
        early = await worker.ask("GET", f"{BATCHES}/{created['id']}/results")
        batch = await self.ended(worker, created["id"])
        results = await worker.ask("GET", f"{BATCHES}/{batch['id']}/results")
        lines = [json.loads(line) for line in results.body.splitlines()]

        assert (created["processing_status"], created["request_counts"]["processing"]) == ("in_progress", 2)
        assert (early.status, created["results_url"]) == (400, None)
        assert (batch["request_counts"]["succeeded"], batch["request_counts"]["errored"]) == (1, 1)
        assert [line["custom_id"] for line in lines] == ["a", "b"]
        assert lines[0]["result"]["message"]["usage"]["service_tier"] == "batch"
        assert (
            lines[1]["result"]["error"]["error"]["message"] == "max_tokens: Input should be a valid integer"
        )
        for line in lines:
            MessageBatchIndividualResponse.model_validate(line)
        assert worker.stats().total_requests == 0

    async def test_results_are_lines(self) -> None:
        """ANTH-8.3: `application/x-jsonl` at the address that the batch names."""
        worker = simulator()
        batch = await self.ended(worker, (await self.create(worker, self.item("a")))["id"])
        path = batch["results_url"].removeprefix("http://127.0.0.1:8080")

        results = await worker.ask("GET", path)
        assert results.headers["content-type"] == "application/x-jsonl"
        assert results.body.endswith(b"}\n")

    async def test_a_fault_is_an_errored_result(self) -> None:
        """ANTH-8.2: A request that fails on purpose is errored; the batch is not."""
        worker = simulator(errors={"rate_limit_rate": 1.0})
        batch = await self.ended(worker, (await self.create(worker, self.item("a")))["id"])

        assert batch["request_counts"]["errored"] == 1

    async def test_cancelling(self) -> None:
        """ANTH-8.4: What was not done is canceled; what has ended cannot be cancelled again by mistake."""
        worker = simulator(latency={"profile": "instant", "ttft_mean_ms": 60_000})
        created = await self.create(worker, self.item("a"))
        undeleted = await worker.ask("DELETE", f"{BATCHES}/{created['id']}")
        cancelled = await worker.ask("POST", f"{BATCHES}/{created['id']}/cancel")
        batch = await self.ended(worker, created["id"])
        deleted = await worker.ask("DELETE", f"{BATCHES}/{created['id']}")
        gone = await worker.ask("POST", f"{BATCHES}/{created['id']}/cancel")

        assert undeleted.status == 400
        assert cancelled.json["processing_status"] == "canceling"
        assert cancelled.json["cancel_initiated_at"] is not None
        assert batch["request_counts"] == {
            "processing": 0,
            "succeeded": 0,
            "errored": 0,
            "canceled": 1,
            "expired": 0,
        }
        assert deleted.json == {"id": created["id"], "type": "message_batch_deleted"}
        assert gone.status == 404

    async def test_one_that_has_ended_is_not_cancelled(self) -> None:
        """ANTH-8.4: To cancel what has ended is refused."""
        worker = simulator()
        batch = await self.ended(worker, (await self.create(worker, self.item("a")))["id"])

        assert (await worker.ask("POST", f"{BATCHES}/{batch['id']}/cancel")).status == 400

    async def test_lists(self) -> None:
        """ANTH-8.5: The newest first, in pages that every worker gives alike."""
        worker, other = simulator(), simulator()
        ids = [(await self.create(worker, self.item("a")))["id"] for _ in range(3)]
        first = (await other.ask("GET", BATCHES, query="limit=2")).json
        second = (await other.ask("GET", BATCHES, query=f"limit=1&after_id={first['last_id']}")).json

        assert [batch["id"] for batch in first["data"] + second["data"]] == ids[::-1]
        assert first["has_more"]
        assert (await other.ask("GET", BATCHES, query="after_id=nobody")).status == 400

    @pytest.mark.parametrize("method", ["GET", "DELETE"])
    async def test_unknown_ones(self, method: str) -> None:
        """ANTH-8.5: A batch that does not exist is not found."""
        exchange = await simulator().ask(method, f"{BATCHES}/msgbatch_1")

        assert (exchange.status, exchange.json["error"]["type"]) == (404, "not_found_error")

    @pytest.mark.parametrize(
        "requests",
        [
            [],
            [{"custom_id": "a"}],
            [{"custom_id": "a b", "params": {}}],
            [{"custom_id": "a", "params": {}}] * 2,
        ],
    )
    async def test_wrong_ones(self, requests: list[Any]) -> None:
        """ANTH-8.1: A batch without requests, or with names that are wrong or not unique, is refused."""
        assert (await simulator().post(BATCHES, {"requests": requests})).status == 400


@pytest.mark.parametrize(
    ("unix", "written"),
    [
        (0, "1970-01-01T00:00:00Z"),
        (951_782_399, "2000-02-28T23:59:59Z"),
        (951_782_400, "2000-02-29T00:00:00Z"),
        (1_794_182_400, "2026-11-09T00:00:00Z"),
        (4_102_444_799, "2099-12-31T23:59:59Z"),
    ],
)
def test_instants(unix: int, written: str) -> None:
    """ANTH-6.1: Instants are RFC 3339, in UTC."""
    assert rfc3339(unix) == written


class TestConversations:
    """Conversations that the API refuses, wherever they are sent."""

    BLANK = BASIC | {"messages": [{"role": "user", "content": " "}]}
    MESSAGE = "messages: text content blocks must contain non-whitespace text"

    @pytest.mark.parametrize("path", ["/messages", "/messages/count_tokens"])
    async def test_messages_and_counts(self, path: str) -> None:
        """ANTH-11.5: They are checked alike."""
        exchange = await simulator().post(ROOT + path, self.BLANK)

        assert (exchange.status, exchange.json["error"]["message"]) == (400, self.MESSAGE)

    async def test_thinking_of_another_worker(self) -> None:
        """ANTH-11.2: A block of one server is verified by another, for messages and counts."""
        thinking = {"type": "adaptive"}
        answer = (await simulator().post(f"{ROOT}/messages", BASIC | {"thinking": thinking})).json
        history = [
            *BASIC["messages"],
            {"role": "assistant", "content": answer["content"]},
            *BASIC["messages"],
        ]

        for path in ("/messages", "/messages/count_tokens"):
            assert (
                await simulator(target_tokens=7).post(ROOT + path, BASIC | {"messages": history})
            ).status == 200
        history[1]["content"][0]["thinking"] += "."
        refused = await simulator().post(f"{ROOT}/messages", BASIC | {"messages": history})
        assert refused.json["error"]["message"] == (
            "messages.1.content.0: Invalid `signature` in `thinking` block"
        )


class TestStrictMode:
    """Unknown fields, through the whole server."""

    @pytest.mark.parametrize("path", ["/messages", "/messages/count_tokens"])
    async def test_unknown_fields(self, path: str) -> None:
        """API-4.2: They are refused on request only."""
        body = BASIC | {"reasoning_effort": "low"}
        if path != "/messages":
            del body["max_tokens"]
        lenient = await simulator().post(ROOT + path, body)
        strict = await simulator(server={"strict": True}).post(ROOT + path, body)

        assert lenient.status == 200
        assert (strict.status, strict.json["error"]["message"]) == (
            400,
            "reasoning_effort: Extra inputs are not permitted",
        )
