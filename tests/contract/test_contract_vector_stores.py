"""Vector stores, and the file searches that read them, through the whole server."""

import asyncio
from typing import Any

import pytest
from openai.types import VectorStore
from support.asgi import Simulator, simulator
from support.forms import upload

STORES = "/openai/v1/vector_stores"
ZEBRAS, PENGUINS = b"Zebras live in Africa.", b"Penguins live in the south."


async def create(worker: Simulator, *file_ids: str, **members: Any) -> str:
    created = await worker.post(STORES, {"file_ids": list(file_ids), "name": "n"} | members)
    assert VectorStore.model_validate(created.json, strict=True).name == "n"
    store_id: str = created.json["id"]
    return store_id


async def completed(worker: Simulator, store_id: str) -> dict[str, Any]:
    """Return a store whose files are completed."""
    while True:
        store: dict[str, Any] = (await worker.ask("GET", f"{STORES}/{store_id}")).json
        if store["status"] == "completed":
            return store
        await asyncio.sleep(0.02)


async def two_files(worker: Simulator) -> tuple[str, str, str]:
    """Return a store with two files that are completed, and their ids."""
    zebras = (await upload(worker, ZEBRAS, "assistants", "z.txt"))["id"]
    penguins = (await upload(worker, PENGUINS, "assistants", "p.txt"))["id"]
    store = await create(worker, zebras)
    await worker.post(f"{STORES}/{store}/files", {"file_id": penguins, "attributes": {"cold": True, "n": 2}})
    await completed(worker, store)
    return store, zebras, penguins


async def test_stores() -> None:
    """VEC-1.1: All that can be done with them."""
    worker = simulator()
    file = (await upload(worker, ZEBRAS, "assistants"))["id"]
    store = await create(
        worker, file, metadata={"a": "b"}, expires_after={"anchor": "last_active_at", "days": 1}
    )
    path = f"{STORES}/{store}"
    begun = (await worker.ask("GET", path)).json
    done = await completed(worker, store)

    assert begun["status"] == "in_progress"
    assert done["file_counts"] == {"in_progress": 0, "completed": 1, "failed": 0, "cancelled": 0, "total": 1}
    assert (done["usage_bytes"], done["metadata"]) == (len(ZEBRAS), {"a": "b"})
    assert done["expires_at"] == done["last_active_at"] + 86_400
    changed = (await worker.post(path, {"name": "m", "expires_after": None})).json
    assert (changed["name"], changed["expires_at"], changed["metadata"]) == ("m", None, {"a": "b"})
    assert (await worker.ask("GET", STORES, query="limit=1")).json["data"] == [changed]
    assert (await worker.ask("DELETE", path)).json["deleted"] is True
    assert (await worker.ask("GET", path)).status == 404
    assert (await worker.ask("GET", f"/openai/v1/files/{file}")).status == 200


async def test_files_of_a_store() -> None:
    """VEC-1.2: Added, listed, relabelled, read and removed."""
    worker = simulator()
    store, zebras, penguins = await two_files(worker)
    path = f"{STORES}/{store}/files"
    listed = (await worker.ask("GET", path, query="filter=completed")).json["data"]

    assert [file["id"] for file in listed] == [penguins, zebras]
    assert (await worker.ask("GET", path, query=f"after={penguins}")).json["data"] == listed[1:]
    assert (await worker.ask("GET", path, query="filter=failed")).json["data"] == []
    assert (await worker.post(f"{path}/{zebras}", {"attributes": {"q": 1}})).json["attributes"] == {"q": 1.0}
    content = (await worker.ask("GET", f"{path}/{zebras}/content")).json["data"]
    assert content == [{"type": "text", "text": ZEBRAS.decode()}]
    assert (await worker.ask("DELETE", f"{path}/{zebras}")).json["object"] == "vector_store.file.deleted"
    assert (await worker.ask("GET", f"{path}/{zebras}")).status == 404


async def test_batches_of_files() -> None:
    """VEC-1.2: A batch is completed, or cancelled, with its files."""
    worker = simulator()
    ids = [(await upload(worker, ZEBRAS, "assistants"))["id"] for _ in range(2)]
    store = await create(worker)
    path = f"{STORES}/{store}/file_batches"
    first = (await worker.post(path, {"file_ids": ids[:1]})).json
    await completed(worker, store)
    second = (await worker.post(path, {"files": [{"file_id": ids[1], "attributes": {"a": "b"}}]})).json
    cancelled = (await worker.post(f"{path}/{second['id']}/cancel", {})).json

    assert (first["status"], first["object"]) == ("in_progress", "vector_store.files_batch")
    assert (await worker.ask("GET", f"{path}/{first['id']}")).json["status"] == "completed"
    assert (cancelled["status"], cancelled["file_counts"]["cancelled"]) == ("cancelled", 1)
    listed = (await worker.ask("GET", f"{path}/{first['id']}/files")).json["data"]
    assert [file["id"] for file in listed] == ids[:1]
    assert (await worker.post(path, {"file_ids": ids, "files": []})).status == 400


@pytest.mark.parametrize(
    ("path", "body", "status"),
    [
        ("", {"file_ids": ["file-x"]}, 404),
        (
            "",
            {
                "chunking_strategy": {
                    "type": "static",
                    "static": {"max_chunk_size_tokens": 9, "chunk_overlap_tokens": 1},
                }
            },
            400,
        ),
        ("", {"expires_after": {"anchor": "last_active_at", "days": 366}}, 400),
        ("/vs_x/files", {"file_id": "file-x"}, 404),
        ("/vs_x/search", {"query": "x"}, 404),
        ("/vs_x/file_batches/vsfb_x/cancel", {}, 404),
        ("/vs_x", {"name": "x"}, 404),
    ],
)
async def test_what_is_refused(path: str, body: Any, status: int) -> None:
    """VEC-1.3: Ids that are not stored, and what is out of range."""
    assert (await simulator().post(STORES + path, body)).status == status


async def test_searching() -> None:
    """VEC-2.1, VEC-2.3: What has most words of the query comes first, if it passes the filters."""
    worker = simulator()
    store, zebras, penguins = await two_files(worker)
    image = (await upload(worker, b"\x89PNG\r\n\x1a\n\0 zebras", "vision"))["id"]
    await worker.post(f"{STORES}/{store}/files", {"file_id": image})
    await completed(worker, store)

    async def found(query: Any, **members: Any) -> list[str]:
        answer = await worker.post(f"{STORES}/{store}/search", {"query": query} | members)
        return [one["file_id"] for one in answer.json["data"]]

    assert await found("Where do penguins live") == [penguins, zebras]
    assert await found("penguins", max_num_results=1) == [penguins]
    assert await found("zebras", ranking_options={"score_threshold": 0.5}) == [zebras]
    assert await found(["zebras", "nothing"], filters={"type": "eq", "key": "cold", "value": True}) == [
        penguins
    ]
    nested = {
        "type": "or",
        "filters": [
            {"type": "gt", "key": "n", "value": 5},
            {
                "type": "and",
                "filters": [
                    {"type": "lte", "key": "n", "value": 2},
                    {"type": "in", "key": "n", "value": [2]},
                ],
            },
        ],
    }
    assert await found("zebras", filters=nested) == [penguins]
    assert await found("zebras", filters={"type": "ne", "key": "cold", "value": True}) == [zebras]


async def test_file_searches_cite_uploaded_files() -> None:
    """VEC-2.2: And refuse a store that nobody made."""
    worker = simulator(tools={"hosted_calls": True})
    store, _, penguins = await two_files(worker)
    tool = {"type": "file_search", "vector_store_ids": [store], "max_num_results": 1}
    asked = {
        "model": "gpt-4o",
        "input": "Where do penguins live?",
        "tools": [tool],
        "tool_choice": {"type": "file_search"},
        "include": ["file_search_call.results"],
    }
    answered = (await worker.post("/openai/v1/responses", asked)).json
    refused = await worker.post(
        "/openai/v1/responses", asked | {"tools": [tool | {"vector_store_ids": ["vs_x"]}]}
    )

    call = next(item for item in answered["output"] if item["type"] == "file_search_call")
    assert [(one["file_id"], one["text"]) for one in call["results"]] == [(penguins, PENGUINS.decode())]
    assert (refused.status, "vs_x" in refused.json["error"]["message"]) == (404, True)
    assert refused.json["error"]["param"] == "tools[0].vector_store_ids[0]"


async def test_what_is_included_later() -> None:
    """RESP-5.7: A stored response shows what its retrieval includes; what the API does not have is refused everywhere."""
    worker = simulator(tools={"hosted_calls": True})
    asked = {
        "model": "gpt-4o",
        "input": "Penguins",
        "tools": [{"type": "web_search"}],
        "tool_choice": "required",
    }
    stored = (await worker.post("/openai/v1/responses", asked)).json
    one, talk = (
        f"/openai/v1/responses/{stored['id']}",
        (await worker.post("/openai/v1/conversations", {})).json,
    )
    query = "include[]=file_search_call.results&include[]=web_search_call.action.sources"
    found = (await worker.ask("GET", one, query=query)).json

    assert "sources" not in stored["output"][0]["action"]
    assert found["output"][0]["action"].pop("sources")
    assert found == stored == (await worker.ask("GET", one)).json
    for path in (one, f"{one}/input_items", f"/openai/v1/conversations/{talk['id']}/items"):
        refused = await worker.ask("GET", path, query="include[]=web_search_call.results&include[]=all")
        assert (refused.status, refused.json["error"]["param"]) == (400, "include[1]"), path
