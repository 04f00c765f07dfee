"""The google-genai SDK's files, cached contents and batches against a running server."""

import io
import json
import time
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from google import genai
from google.genai import errors, types
from support.servers import Server

FLASH = "gemini-2.5-flash"
LONG = "A long text. " * 600


@pytest.fixture
def client(server: Server) -> Iterator[genai.Client]:
    with genai.Client(api_key="any", http_options={"base_url": f"{server.base}/gemini"}) as opened:
        yield opened


def upload(client: genai.Client, content: bytes = b"Hello", **config: Any) -> types.File:
    """Upload a file."""
    return client.files.upload(file=io.BytesIO(content), config={"mime_type": "text/plain", **config})


def ask(client: genai.Client, contents: Any, **config: Any) -> types.GenerateContentResponse:
    """Ask a model."""
    return client.models.generate_content(
        model=FLASH, contents=contents, config=types.GenerateContentConfig(**config)
    )


def test_files(client: genai.Client) -> None:
    """GEM-10.1, GEM-10.2, GEM-10.3: A file is uploaded, found, named by contents, and gone when it is deleted."""
    file = upload(client, display_name="Greeting")
    assert file.name is not None

    assert (file.size_bytes, file.display_name, file.state) == (5, "Greeting", types.FileState.ACTIVE)
    assert client.files.get(name=file.name) == file
    assert file.name in [one.name for one in client.files.list(config={"page_size": 1})]
    assert ask(client, ["What is it?", file]).text
    client.files.delete(name=file.name)
    for refused in (lambda: client.files.get(name=file.name or ""), lambda: ask(client, ["Hm", file])):
        with pytest.raises(errors.ClientError, match="PERMISSION_DENIED"):
            refused()


def test_names_of_files_are_unique(client: genai.Client) -> None:
    """GEM-10.2: A name that is taken is refused, as is one that is no name."""
    upload(client, name="greeting")
    with pytest.raises(errors.ClientError, match="ALREADY_EXISTS"):
        upload(client, name="greeting")
    with pytest.raises(errors.ClientError, match="can only contain lowercase"):
        upload(client, name="My file")


def test_a_file_comes_in_pieces(server: Server) -> None:
    """GEM-10.1: Pieces are joined, each at the offset of those before; there is no other way."""
    start = {"x-goog-upload-command": "start", "x-goog-upload-header-content-type": "text/plain"}
    address = f"{server.base}/gemini/upload/v1beta/files"
    begun = httpx.post(address, headers=start, json={"file": {"displayName": "a"}})

    def send(content: bytes, command: str, offset: int) -> httpx.Response:
        headers = {"x-goog-upload-command": command, "x-goog-upload-offset": str(offset)}
        return httpx.post(begun.headers["x-goog-upload-url"], headers=headers, content=content)

    assert send(b"Hello", "upload", 0).headers["x-goog-upload-status"] == "active"
    assert send(b"", "query", 0).headers["x-goog-upload-size-received"] == "5"
    assert send(b" there", "upload, finalize", 0).status_code == 400
    last = send(b" there", "upload, finalize", 5)
    assert (last.headers["x-goog-upload-status"], last.json()["file"]["sizeBytes"]) == ("final", "11")
    assert send(b"!", "upload", 11).status_code == 404
    assert httpx.post(address, json={}).status_code == 400


def test_cached_contents(client: genai.Client) -> None:
    """GEM-11.1, GEM-11.2: They are made, used, kept longer and deleted."""
    config = types.CreateCachedContentConfig(contents=[LONG], system_instruction="Be brief", ttl="300s")
    cache = client.caches.create(model=FLASH, config=config)
    assert cache.name is not None
    assert cache.expire_time is not None
    usage = ask(client, "Summarise it", cached_content=cache.name).usage_metadata
    assert usage is not None
    assert cache.usage_metadata is not None

    assert usage.cached_content_token_count == cache.usage_metadata.total_token_count
    assert (usage.prompt_token_count or 0) > (usage.cached_content_token_count or 0)
    stream = client.models.generate_content_stream(
        model=FLASH, contents="Hm", config=types.GenerateContentConfig(cached_content=cache.name)
    )
    last = list(stream)[-1].usage_metadata
    assert last is not None
    assert last.cached_content_token_count == usage.cached_content_token_count
    assert cache.name in [one.name for one in client.caches.list()]
    later = client.caches.update(name=cache.name, config={"ttl": "7200s"}).expire_time
    assert later is not None
    assert later > cache.expire_time
    client.caches.delete(name=cache.name)
    with pytest.raises(errors.ClientError, match="CachedContent not found"):
        ask(client, "Hm", cached_content=cache.name)


def test_cached_tools_are_offered(client: genai.Client) -> None:
    """GEM-11.2: A function of the cache is called."""
    function = types.FunctionDeclaration(name="get_weather", parameters_json_schema={"type": "object"})
    tools = [types.Tool(function_declarations=[function])]
    config = types.CreateCachedContentConfig(contents=[LONG], tools=tools)
    cache = client.caches.create(model=FLASH, config=config)
    calls = ask(client, "What is the weather in Rome?", cached_content=cache.name).function_calls

    assert [call.name for call in calls or []] == ["get_weather"]


def test_what_caches_do_not_take(client: genai.Client) -> None:
    """GEM-11.1, GEM-11.2: Short contents, another model, and a request with an instruction of its own."""
    cache = client.caches.create(model=FLASH, config=types.CreateCachedContentConfig(contents=[LONG]))

    def make(**config: Any) -> Any:
        return client.caches.create(model=FLASH, config=types.CreateCachedContentConfig(**config))

    for problem, refused in (
        ("Cached content is too small", lambda: make(contents=["Hm"])),
        ("duration must end with", lambda: make(contents=[LONG], ttl="300")),
        ("has to be the same", lambda: other_model(client, cache.name)),
        ("can not be used", lambda: ask(client, "Hm", cached_content=cache.name, system_instruction="Hm")),
    ):
        with pytest.raises(errors.ClientError, match=problem):
            refused()


def other_model(client: genai.Client, cache: str | None) -> None:
    """Ask another model than that of a cache."""
    config = types.GenerateContentConfig(cached_content=cache)
    client.models.generate_content(model="gemini-2.5-pro", contents="Hm", config=config)


def ended(client: genai.Client, batch: types.BatchJob) -> types.BatchJob:
    """Wait until a batch has ended."""
    while not batch.done:
        time.sleep(0.05)
        batch = client.batches.get(name=batch.name or "")
    return batch


def test_batches_of_what_is_sent(client: genai.Client) -> None:
    """GEM-12.1, GEM-12.2, GEM-12.4: Requests are worked off, results come in their order with the client's labels; one fails alone."""
    batch = client.batches.create(
        model=FLASH,
        src=[
            types.InlinedRequest(
                contents="Hello", metadata={"number": "1"}, config={"stop_sequences": ["§"]}
            ),
            types.InlinedRequest(contents="Hello", model="gemini-2.5-pro"),
        ],
        config={"display_name": "Two"},
    )
    assert (batch.display_name, batch.state) == ("Two", types.JobState.JOB_STATE_PENDING)
    batch = ended(client, batch)

    assert batch.state == types.JobState.JOB_STATE_SUCCEEDED
    assert batch.dest is not None
    first, second = batch.dest.inlined_responses or []
    assert first.response is not None
    assert first.response.text
    assert first.response.usage_metadata is not None
    assert first.metadata == {"number": "1"}
    assert second.error is not None
    assert second.error.code == 3
    assert client.batches.list()[0].name == batch.name


async def test_file_search_stores(client: genai.Client) -> None:
    """GEM-14.1, GEM-14.2: A store has what is uploaded and imported, as its operations say; with documents it is deleted by force."""
    stores = client.file_search_stores
    store = stores.create(config={"display_name": "Docs"})
    name = store.name or ""
    labels = [types.CustomMetadata(key="kind", string_value="note")]
    first = stores.upload_to_file_search_store(
        file_search_store_name=name,
        file=io.BytesIO(b"x" * 9_000_000),
        config={"display_name": "a", "mime_type": "text/plain", "custom_metadata": labels},
    )
    file = upload(client, display_name="b")
    async with client.aio as asynchronous:
        imported = await asynchronous.file_search_stores.import_file(
            file_search_store_name=name, file_name=file.name or ""
        )
    documents = list(stores.documents.list(parent=name, config={"page_size": 1}))

    assert [(one.display_name, one.size_bytes) for one in documents] == [("b", 5), ("a", 9_000_000)]
    assert documents[1].custom_metadata == labels
    for operation, document in ((first, documents[1]), (imported, documents[0])):
        assert operation.done
        assert operation.response
        assert operation.response.document_name == document.name
        assert client.operations.get(operation) == operation
    found = stores.get(name=name)
    assert (found.active_documents_count, found.size_bytes) == (2, 9_000_005)
    assert name in [one.name for one in stores.list()]
    with pytest.raises(errors.ClientError, match="non-empty"):
        stores.delete(name=name)
    stores.documents.delete(name=documents[0].name or "")
    with pytest.raises(errors.ClientError, match="PERMISSION_DENIED"):
        stores.documents.get(name=documents[0].name or "")
    stores.delete(name=name, config={"force": True})
    with pytest.raises(errors.ClientError, match="PERMISSION_DENIED"):
        stores.get(name=name)


async def test_batches_of_a_file(client: genai.Client) -> None:
    """GEM-12.1, GEM-12.2, GEM-12.4: The results of a file are a file, which is there at the end; one without requests fails."""
    asked = {"contents": [{"parts": [{"text": "Hello"}]}]}
    lines = [{"key": "a", "request": asked}, {"key": "b", "request": {"contents": []}}]
    file = upload(client, "\n".join(map(json.dumps, lines)).encode(), display_name="in")
    async with client.aio as asynchronous:
        batch = await asynchronous.batches.create(model=FLASH, src=file.name or "")
        assert (await asynchronous.batches.get(name=batch.name or "")).name == batch.name
    results = f"files/batch-{(batch.name or '').removeprefix('batches/')}"
    with pytest.raises(errors.ClientError, match="PERMISSION_DENIED"):
        client.files.download(file=results)
    batch = ended(client, batch)

    assert batch.dest is not None
    assert batch.dest.file_name == results
    found = [json.loads(line) for line in client.files.download(file=results).splitlines()]
    assert [one["key"] for one in found] == ["a", "b"]
    assert found[0]["response"]["candidates"]
    assert found[1]["error"]["code"] == 3
    assert client.files.get(name=results).source == types.FileSource.GENERATED
    with pytest.raises(errors.ClientError, match="FAILED_PRECONDITION"):
        client.files.download(file=file.name or "")
    wrong = upload(client, b"no JSON")
    failed = ended(client, client.batches.create(model=FLASH, src=wrong.name or ""))
    assert failed.state == types.JobState.JOB_STATE_FAILED


def test_batches_of_embeddings(client: genai.Client) -> None:
    """GEM-12.1: Contents are embedded in a batch."""
    with pytest.warns(Warning, match="experimental"):
        batch = client.batches.create_embeddings(
            model="gemini-embedding-001",
            src={"inlined_requests": {"contents": ["One", "Two"], "config": {"output_dimensionality": 3}}},
        )
    batch = ended(client, batch)

    assert batch.dest is not None
    found = [one.response for one in batch.dest.inlined_embed_content_responses or []]
    assert [len(one.embedding.values or []) for one in found if one and one.embedding] == [3, 3]


def test_batches_of_requests_that_fail(client: genai.Client) -> None:
    """GEM-12.4: Each has the code and message of its error."""
    failing = types.HttpOptions(headers={"x-llmsim-fault": "rate_limit"})
    batch = client.batches.create(
        model=FLASH, src=[types.InlinedRequest(contents="Hello")], config={"http_options": failing}
    )
    batch = ended(client, batch)

    assert batch.dest is not None
    (result,) = batch.dest.inlined_responses or []
    assert result.error is not None
    assert (result.error.code, result.response) == (8, None)


def test_batches_that_are_ended(client: genai.Client) -> None:
    """GEM-12.3: A batch that is cancelled has no results, and one that is deleted is gone."""
    batch = client.batches.create(model=FLASH, src=[types.InlinedRequest(contents="Hello")])
    name = batch.name or ""
    client.batches.cancel(name=name)
    batch = client.batches.get(name=name)

    assert (batch.state, batch.dest) == (types.JobState.JOB_STATE_CANCELLED, None)
    client.batches.delete(name=name)
    with pytest.raises(errors.ClientError, match="NOT_FOUND"):
        client.batches.get(name=name)
