"""OpenAI's batches, through the whole server."""

import asyncio
import json
from typing import Any

import pytest
from openai.types import Batch
from support.asgi import Exchange, Simulator, simulator
from support.forms import upload

BATCHES = "/openai/v1/batches"
CHAT = "/v1/chat/completions"
ASKED: dict[str, dict[str, Any]] = {
    CHAT: {"model": "gpt-4o", "messages": [{"role": "user", "content": "hi"}], "max_tokens": 5},
    "/v1/responses": {"model": "gpt-4o", "input": "hi"},
    "/v1/embeddings": {"model": "text-embedding-3-small", "input": "hi"},
}


def lines(path: str, *bodies: Any, **members: Any) -> bytes:
    """Return the requests of a batch."""
    return b"\n".join(
        json.dumps(
            {"custom_id": f"r{number}", "method": "POST", "url": path, "body": body} | members
        ).encode()
        for number, body in enumerate(bodies)
    )


async def create(worker: Simulator, content: bytes, path: str = CHAT, **members: Any) -> Exchange:
    file = await upload(worker, content)
    asked = {"input_file_id": file["id"], "endpoint": path, "completion_window": "24h"}
    return await worker.post(BATCHES, asked | members)


async def ended(worker: Simulator, batch_id: str) -> tuple[dict[str, Any], list[str]]:
    """Return a batch that has ended, and the states that were seen."""
    states: list[str] = []
    while True:
        batch: dict[str, Any] = (await worker.ask("GET", f"{BATCHES}/{batch_id}")).json
        Batch.model_validate(batch, strict=True)
        states += [batch["status"]] if batch["status"] not in states else []
        if batch["status"] in ("completed", "failed", "cancelled"):
            return batch, states
        await asyncio.sleep(0.02)


async def results(worker: Simulator, file_id: str) -> list[dict[str, Any]]:
    content = (await worker.ask("GET", f"/openai/v1/files/{file_id}/content")).body
    return [json.loads(line) for line in content.splitlines()]


@pytest.mark.parametrize("path", list(ASKED))
async def test_a_batch_is_worked_off(path: str) -> None:
    """BATCH-1.1, BATCH-1.2, BATCH-1.3: In its states, to a line for each request."""
    worker = simulator()
    body = ASKED[path]
    wrong = {**body, "model": body["model"], "messages": 1, "input": 1}
    created = (await create(worker, lines(path, body, wrong, body), path, metadata={"a": "b"})).json
    batch, states = await ended(worker, created["id"])

    assert created["status"] == "validating"
    assert [one for one in states if one != "finalizing"] == ["validating", "in_progress", "completed"]
    assert batch["request_counts"] == {"total": 3, "completed": 2, "failed": 1}
    assert (batch["metadata"], batch["model"]) == ({"a": "b"}, body["model"])
    output, errors = (
        await results(worker, batch["output_file_id"]),
        await results(worker, batch["error_file_id"]),
    )
    assert [line["custom_id"] for line in output] == ["r0", "r2"]
    assert {line["response"]["status_code"] for line in output} == {200}
    assert [line["custom_id"] for line in errors] == ["r1"]
    assert errors[0]["response"]["status_code"] == 400
    assert errors[0]["response"]["body"]["error"]["type"] == "invalid_request_error"
    usage = sum(line["response"]["body"]["usage"]["total_tokens"] for line in output)
    assert batch["usage"]["total_tokens"] == usage
    listed = (await worker.ask("GET", BATCHES, query="limit=1")).json
    assert listed["data"] == [batch]


async def test_its_files_are_found_when_it_has_ended() -> None:
    """BATCH-1.2: Not before."""
    worker = simulator()
    created = (await create(worker, lines(CHAT, ASKED[CHAT]))).json
    before = (await worker.ask("GET", "/openai/v1/files", query="purpose=batch_output")).json["data"]
    batch, _ = await ended(worker, created["id"])
    after = (await worker.ask("GET", "/openai/v1/files", query="purpose=batch_output")).json["data"]

    assert batch["output_file_id"] in {file["id"] for file in after} - {file["id"] for file in before}
    assert batch["error_file_id"] is None


@pytest.mark.parametrize(
    ("content", "code", "line"),
    [
        (b"", "empty_file", None),
        (b"\n\n", "empty_file", None),
        (b"nope", "invalid_json_line", 1),
        (
            b'{"custom_id": "a", "method": "POST", "url": "/v1/chat/completions"}',
            "missing_required_parameter",
            1,
        ),
        (lines(CHAT, {}, method="GET"), "invalid_method", 1),
        (lines("/v1/responses", {}), "mismatched_url", 1),
        (lines(CHAT, {}, {}, custom_id="a"), "duplicate_custom_id", 2),
        (lines(CHAT, {"model": "a"}, {"model": "b"}), "mismatched_model", 2),
        (lines(CHAT, 1), "invalid_type", 1),
    ],
)
async def test_a_file_that_is_wrong(content: bytes, code: str, line: int | None) -> None:
    """BATCH-1.4: The batch fails, and says why."""
    worker = simulator()
    created = await create(worker, content)
    batch, states = await ended(worker, created.json["id"])

    assert created.status == 200
    assert states == ["validating", "failed"]
    assert [(error["code"], error["line"]) for error in batch["errors"]["data"]] == [(code, line)]
    assert (batch["output_file_id"], batch["request_counts"]["total"]) == (None, 0)


async def test_cancelling_keeps_what_is_done() -> None:
    """BATCH-1.5: And nothing else; a batch that has ended cannot be cancelled."""
    worker = simulator()
    created = (await create(worker, lines(CHAT, *[ASKED[CHAT]] * 400))).json
    while True:
        if (await worker.ask("GET", f"{BATCHES}/{created['id']}")).json["request_counts"]["completed"]:
            break
        await asyncio.sleep(0.02)
    cancelling = (await worker.post(f"{BATCHES}/{created['id']}/cancel", {})).json
    batch, _ = await ended(worker, created["id"])
    again = await worker.post(f"{BATCHES}/{created['id']}/cancel", {})

    done = batch["request_counts"]["completed"]
    assert (cancelling["status"], batch["status"], again.status) == ("cancelling", "cancelled", 409)
    assert 0 < done < 400
    assert len(await results(worker, batch["output_file_id"])) == done


async def test_what_is_refused() -> None:
    """BATCH-1.3, BATCH-1.6: Endpoints that are not asked in batches, and files that are not theirs."""
    worker = simulator()
    other = await upload(worker, b"{}", "user_data")
    asked = {"input_file_id": "file-x", "endpoint": CHAT, "completion_window": "24h"}
    refused = [
        await worker.post(BATCHES, asked | wrong)
        for wrong in (
            {},
            {"input_file_id": other["id"]},
            {"endpoint": "/v1/videos"},
            {"completion_window": "1h"},
            {"output_expires_after": {"anchor": "created_at", "seconds": 1}},
        )
    ]

    assert [one.status for one in refused] == [400] * 5
    assert (await worker.ask("GET", f"{BATCHES}/batch_x")).status == 404
    assert (await worker.post(f"{BATCHES}/batch_x/cancel", {})).status == 404


async def test_strict_batches() -> None:
    """BATCH-1.7: A field that the API does not know is an error of its request."""
    worker = simulator(server={"strict": True})
    created = (await create(worker, lines(CHAT, ASKED[CHAT] | {"nonsense": 1}))).json
    batch, _ = await ended(worker, created["id"])

    (line,) = await results(worker, batch["error_file_id"])
    assert line["response"]["body"]["error"]["code"] == "unknown_parameter"
