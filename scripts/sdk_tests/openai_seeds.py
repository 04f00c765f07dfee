"""Objects that the tests of the OpenAI SDK ask for by made-up ids, and sample bodies that contradict themselves.

Decisions:
* An object is made anew for each request, as tests delete and cancel.
* A body that asks for what cannot go together keeps the form of each parameter: one of the two is left out. A number below the
  least that the API's reference gives is that least.
"""

import functools
import json
import os
import re
from collections.abc import Callable
from typing import Any

import httpx

CLIENT = "OpenAI"

RESOURCES: tuple[str, ...] = (
    "chat",
    "conversations",
    "responses",
    "uploads",
    "vector_stores",
    "audio/test_speech",
    "audio/test_transcriptions",
    "audio/test_translations",
    "test_batches",
    "test_completions",
    "test_conversations",
    "test_embeddings",
    "test_files",
    "test_images",
    "test_models",
    "test_moderations",
    "test_responses",
    "test_uploads",
    "test_vector_stores",
)
"""The tests of what llmsim offers, below `tests/api_resources`."""

_PATH = re.compile(
    r"/(files|batches|uploads|vector_stores|conversations|responses|chat/completions)/([^/?]+)(.*)$"
)
_PART = re.compile(r"/(files|file_batches|items)/([^/?]+)(.*)$")
_ROUTES = {"responses": ("compact", "input_tokens")}
"""Words in the place of an id that are none."""

_CURSORS = ("after", "before", "starting_after")
_LEAST = {"max_tool_calls": 1, "max_completion_tokens": 1, "max_output_tokens": 16, "max_tokens": 1}
_SCHEMA = {"type": "object", "properties": {}, "additionalProperties": False}
_NOT_WHEN_REASONING = (
    "stop",
    "logit_bias",
    "presence_penalty",
    "frequency_penalty",
    "logprobs",
    "top_logprobs",
)
"""Parameters that no model takes that has an effort."""

_OF_OTHER_FORMATS = ("complexity", "svg", "frame_count", "frame_duration_ms")
"""Parameters of images that are drawn or move, which the samples' PNG is not."""

_GENERATED = ("/responses", "/responses/compact")


@functools.cache
def _http() -> httpx.Client:
    return httpx.Client(
        base_url=os.environ["TEST_API_BASE_URL"], headers={"authorization": "Bearer any"}, timeout=20
    )


def _post(path: str, **fields: Any) -> str:
    response = _http().post(path, **fields)
    response.raise_for_status()
    return str(response.json()["id"])


def _file(content: bytes = b'{"foo": "bar"}', purpose: str = "user_data") -> str:
    # The content is what a test of downloads expects.
    return _post("/files", files={"file": ("a.jsonl", content)}, data={"purpose": purpose})


def _batch_file(endpoint: str = "/v1/completions") -> str:
    body = {"model": "gpt-3.5-turbo-instruct", "prompt": "Hi"}
    line = {"custom_id": "1", "method": "POST", "url": endpoint, "body": body}
    return _file(json.dumps(line).encode(), "batch")


def _batch() -> str:
    body = {"endpoint": "/v1/completions", "completion_window": "24h"}
    return _post("/batches", json={"input_file_id": _batch_file(), **body})


def _upload() -> str:
    body = {"bytes": 2, "filename": "a", "mime_type": "text/plain", "purpose": "user_data"}
    return _post("/uploads", json=body)


def _store() -> str:
    return _post("/vector_stores", json={})


def _conversation() -> str:
    item = {"type": "message", "role": "user", "content": "Hi"}
    return _post("/conversations", json={"items": [item]})


def _response(*, background: bool = False) -> str:
    return _post("/responses", json={"model": "gpt-4o", "input": "Hi", "background": background})


def _completion() -> str:
    messages = [{"role": "user", "content": "Hi"}]
    return _post("/chat/completions", json={"model": "gpt-4o", "store": True, "messages": messages})


_MAKERS: dict[str, Callable[[], str]] = {
    "files": _file,
    "batches": _batch,
    "uploads": _upload,
    "vector_stores": _store,
    "conversations": _conversation,
    "responses": _response,
    "chat/completions": _completion,
}


def _real_path(path: str) -> str:
    found = _PATH.match(path)
    if found is None:
        return path
    kind, made_up, rest = found.groups()
    if made_up in _ROUTES.get(kind, ()):
        return path
    if kind == "responses" and rest == "/cancel":
        made = _response(background=True)
    elif kind == "files" and rest == "/content":
        made = _file(purpose="fine-tune")
    else:
        made = _MAKERS[kind]()
    if part := _PART.match(rest):
        rest = f"/{part[1]}/{_make_part(kind, made, part[1])}{part[3]}"
    return f"/{kind}/{made}{rest}"


def _make_part(kind: str, owner: str, part: str) -> str:
    """Make a part of an object; return its id."""
    if part == "items":
        return str(_http().get(f"/{kind}/{owner}/items").json()["data"][0]["id"])
    if part == "files":
        return _post(f"/{kind}/{owner}/files", json={"file_id": _file()})
    return _post(f"/{kind}/{owner}/file_batches", json={"file_ids": [_file()]})


def mend(options: Any) -> None:
    """Put real ids in the place of made-up ones, and mend a body that contradicts itself."""
    path, body = options.url, options.json_data
    options.url = _real_path(path)
    if isinstance(options.params, dict):
        # No object has the made-up id after which a page is to begin.
        options.params = {name: value for name, value in options.params.items() if name not in _CURSORS}
        if options.params.get("limit") == 0:
            options.params["limit"] = 1
    if isinstance(body, dict) and options.method == "post":
        _put_ids(options.url, body)
        for rule in _RULES:
            rule(path, body)


def _put_ids(path: str, body: dict[str, Any]) -> None:
    if "input_file_id" in body:
        body["input_file_id"] = _batch_file(body["endpoint"])
    if isinstance(body.get("previous_response_id"), str):
        body["previous_response_id"] = _response()
    if body.get("conversation") == "string":
        body["conversation"] = _conversation()
    if body.get("file_id"):
        body["file_id"] = _file()
    if isinstance(body.get("file_ids"), list):
        body["file_ids"] = [_file() for _ in body["file_ids"]]
    for one in body.get("files") or ():
        if isinstance(one, dict) and "file_id" in one:
            one["file_id"] = _file()
    if "part_ids" in body:
        upload = path.split("/")[2]
        body["part_ids"] = [_post(f"/uploads/{upload}/parts", files={"data": ("a", b"Hi")})]
        # The sum is of no file.
        body.pop("md5", None)


def _mend_numbers(_path: str, body: dict[str, Any]) -> None:
    for name, least in _LEAST.items():
        if body.get(name) == 0:
            body[name] = least


def _mend_generation(path: str, body: dict[str, Any]) -> None:
    """Add what a response cannot be made without, and leave out what excludes another field."""
    if "conversation" in body:
        body.pop("previous_response_id", None)
    if body.get("prediction"):
        # A prediction excludes more than the other way round.
        body.pop("prediction")
    if body.get("tools"):
        body.pop("functions", None)
        body.pop("function_call", None)
    if body.get("reasoning_effort"):
        for name in _NOT_WHEN_REASONING:
            body.pop(name, None)
    for tool in body.get("tools") or ():
        function = tool.get("function", tool)
        if function.get("parameters") == {"foo": "bar"}:
            function["parameters"] = _SCHEMA
    if path in _GENERATED:
        if not isinstance(body.get("model"), str):
            body["model"] = "gpt-4o"
        if not body.get("input"):
            body["input"] = "Hi"
    if not body.get("stream"):
        body.pop("stream_options", None)
    if "max_completion_tokens" in body:
        body.pop("max_tokens", None)


def _mend_media(path: str, body: dict[str, Any]) -> None:
    """Leave out what a model of the body does not take."""
    if path == "/images/variations":
        body["model"] = "dall-e-2"
    elif path.startswith("/images") and str(body.get("model", "")).startswith("gpt"):
        body.pop("response_format", None)
        body.pop("style", None)
    if path.startswith("/images"):
        if not body.get("stream"):
            body.pop("partial_images", None)
        for name in _OF_OTHER_FORMATS:
            body.pop(name, None)
    if path == "/audio/speech":
        body.pop("instructions", None)
        body.pop("stream_format", None)
    if path.startswith("/audio/tr"):
        body.pop("timestamp_granularities", None)


def _mend_stores(path: str, body: dict[str, Any]) -> None:
    if path.endswith("/file_batches"):
        if not body.get("file_ids"):
            body["file_ids"] = [_file()]
        body.pop("files", None)


_RULES: tuple[Callable[[str, dict[str, Any]], None], ...] = (
    _mend_numbers,
    _mend_generation,
    _mend_media,
    _mend_stores,
)
