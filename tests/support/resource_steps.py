"""Requests of recordings to what clients store, and with recordings of sound."""

import io
import json
import wave
from collections.abc import Iterator
from typing import Any

from support.forms import TYPE, form
from support.recording import Step

_V1 = "/openai/v1"
_FORM = (("content-type", TYPE),)


def _post(path: str, body: Any = None) -> Step:
    return Step("POST", _V1 + path, b"" if body is None else json.dumps(body).encode())


def _get(path: str, until: bytes = b"") -> Step:
    return Step("GET", _V1 + path, until=until)


def _upload(content: bytes, purpose: str, name: str) -> Step:
    return Step(
        "POST", f"{_V1}/files", form(("purpose", purpose.encode()), ("file", content, name)), headers=_FORM
    )


def batches() -> Iterator[Step]:
    """Return what makes a batch, works it off and reads its results; and batches that fail, or are refused."""
    asked = {"model": "gpt-4o", "messages": [{"role": "user", "content": "Hello"}]}
    lines = [
        {"custom_id": "a", "method": "POST", "url": "/v1/chat/completions", "body": asked},
        {"custom_id": "b", "method": "POST", "url": "/v1/chat/completions", "body": {"model": "gpt-4o"}},
    ]
    created = {
        "input_file_id": "{file-}",
        "endpoint": "/v1/chat/completions",
        "completion_window": "24h",
        "metadata": {"case": "batch"},
    }
    yield _upload("\n".join(map(json.dumps, lines)).encode(), "batch", "in.jsonl")
    yield _post("/batches", created)
    yield _get("/batches/{batch_}", until=b'"status":"completed"')
    yield _post("/batches/{batch_}/cancel")
    yield _get("/files/{output_file_id}/content")
    yield _get("/files/{error_file_id}/content")
    yield _get("/files/{output_file_id}")
    yield _upload(b"no JSON\n", "batch", "wrong.jsonl")
    yield _post("/batches", created)
    yield _get("/batches/{batch_}", until=b'"status":"failed"')
    yield _post("/batches", created | {"input_file_id": "file-none"})
    yield _post("/batches", created | {"endpoint": "/v1/nothing"})
    yield _get("/batches/batch_none")


def gemini_batches() -> Iterator[Step]:
    """Return what makes a batch of Gemini's API, works it off and ends it; and what is refused."""
    root = "/gemini/v1beta"
    create = f"{root}/models/gemini-2.0-flash:batchGenerateContent"
    hello = {"contents": [{"parts": [{"text": "Hello"}]}]}
    asked = [{"request": hello, "metadata": {"key": "a"}}, {"request": hello | {"model": "models/another"}}]

    def post(path: str, config: dict[str, Any]) -> Step:
        batch = {"displayName": "Two", "inputConfig": config}
        return Step("POST", path, json.dumps({"batch": batch}).encode())

    yield post(create, {"requests": {"requests": asked}})
    yield Step("GET", f"{root}/{{name}}", until=b"BATCH_STATE_SUCCEEDED")
    yield Step("GET", f"{root}/batches?pageSize=1")
    yield Step("POST", f"{root}/{{name}}:cancel", b"{}")
    yield Step("DELETE", f"{root}/{{name}}")
    yield Step("GET", f"{root}/{{name}}")
    yield post(create, {"requests": {"requests": [{"request": {"topk": 1}}]}})
    yield post(create, {"fileName": "files/none"})
    yield post(create, {})
    text = {"request": {"content": {"parts": [{"text": "Hello"}]}, "outputDimensionality": 2}}
    embed = f"{root}/models/gemini-embedding-001:asyncBatchEmbedContent"
    yield post(embed, {"requests": {"requests": [text]}})
    yield Step("GET", f"{root}/{{name}}", until=b"BATCH_STATE_SUCCEEDED")
    yield post(embed.replace("-embedding-001", "-2.0-flash"), {"requests": {"requests": [text]}})


def file_search_stores() -> Iterator[Step]:
    """Return what makes a store of Gemini's API, imports nothing into it, and deletes it."""
    root = "/gemini/v1beta"
    yield Step("POST", f"{root}/fileSearchStores", b'{"displayName": "Docs"}')
    yield Step("GET", f"{root}/{{name}}")
    yield Step("GET", f"{root}/fileSearchStores?pageSize=1")
    yield Step("GET", f"{root}/{{name}}/documents")
    yield Step("POST", f"{root}/{{name}}:importFile", b'{"fileName": "files/none"}')
    yield Step("POST", f"{root}/{{name}}:importFile", b'{"file": "files/none"}')
    yield Step("DELETE", f"{root}/{{name}}")
    yield Step("DELETE", f"{root}/{{name}}")


def gemini_media() -> Iterator[Step]:
    """Return what asks Gemini's API for pictures and speech, and for what it does not make."""
    for model, config, most in (
        ("gemini-2.5-flash-preview-tts", {"responseModalities": ["AUDIO"]}, 200),
        ("gemini-2.5-flash-image", {"responseModalities": ["IMAGE"]}, 90),
        ("gemini-2.5-flash-preview-tts", {}, None),
        ("gemini-2.5-flash", {"responseModalities": ["IMAGE"]}, None),
        ("gemini-2.5-flash-image", {"imageConfig": {"imageSize": "8K"}}, None),
    ):
        body = {"contents": [{"parts": [{"text": "Hello"}]}], "generationConfig": config}
        path = f"/gemini/v1beta/models/{model}:generateContent"
        yield Step("POST", path, json.dumps(body).encode(), most=most)


def vector_stores() -> Iterator[Step]:
    """Return what makes a vector store, searches it, and searches it wrongly."""
    yield _upload(b"Penguins live in the south. Bears live in the north.", "assistants", "animals.txt")
    yield _post("/vector_stores", {"name": "animals", "file_ids": ["{file-}"]})
    yield _get("/vector_stores/{vs_}", until=b'"completed":1')
    yield _get("/vector_stores/{vs_}/files")
    yield _post("/vector_stores/{vs_}/search", {"query": "Where do penguins live?"})
    yield _post("/vector_stores/{vs_}/search", {"query": ["bears", "north"], "max_num_results": 1})
    yield _post(
        "/vector_stores/{vs_}/search",
        {"query": "bears", "filters": {"type": "eq", "key": "kind", "value": "none"}},
    )
    yield _post("/vector_stores/{vs_}/search", {"query": ""})
    yield _post("/vector_stores/vs_none/search", {"query": "bears"})
    yield _get("/vector_stores/{vs_}/files/{file-}/content")


def _silence() -> bytes:
    """Return a recording of three seconds."""
    output = io.BytesIO()
    with wave.open(output, "wb") as sound:
        sound.setparams((1, 2, 24_000, 0, "NONE", ""))
        sound.writeframes(bytes(144_000))
    return output.getvalue()


def transcriptions() -> Iterator[Step]:
    """Return requests for the transcript of a recording in every format, streamed, and in formats that a model does not have."""
    for model, *fields in (
        ("whisper-1", ("response_format", b"json")),
        ("whisper-1", ("response_format", b"text")),
        ("whisper-1", ("response_format", b"srt")),
        ("whisper-1", ("response_format", b"verbose_json"), ("timestamp_granularities[]", b"word")),
        ("whisper-1", ("response_format", b"vtt")),
        ("gpt-4o-transcribe", ("response_format", b"json"), ("include[]", b"logprobs")),
        ("gpt-4o-transcribe-diarize", ("response_format", b"diarized_json")),
        ("gpt-4o-transcribe", ("stream", b"true")),
        ("gpt-4o-transcribe-diarize", ("response_format", b"diarized_json"), ("stream", b"true")),
        ("gpt-4o-transcribe", ("response_format", b"srt")),
        ("tts-1",),
    ):
        body = form(("model", model.encode()), *fields, ("file", _silence(), "a.wav"))
        yield Step("POST", f"{_V1}/audio/transcriptions", body, _FORM)
