"""Objects that the tests of the Anthropic SDK ask for by made-up ids, and sample bodies that contradict themselves.

Decisions:
* A body that asks for what cannot go together keeps the form of each parameter: one of the two is left out.
"""

import functools
import json
import os
import re
import time
from collections.abc import Callable
from typing import Any

import httpx

CLIENT = "Anthropic"

RESOURCES: tuple[str, ...] = (
    "test_messages",
    "test_models",
    "test_files",
    "messages",
    "beta/test_messages",
    "beta/test_models",
    "beta/test_files",
    "beta/messages",
)
"""The tests of what llmsim offers, below `tests/api_resources`."""

_BETAS = "files-api-2025-04-14"
_HEADERS = {"x-api-key": "any", "anthropic-version": "2023-06-01", "anthropic-beta": _BETAS}
_PATH = re.compile(r"(/v1/(files|models|messages/batches)/)([^/?]+)(.*)")
_SCHEMA = {"type": "object", "properties": {}, "additionalProperties": False}
_PROPERTY = {"type": "string"}


_made: set[str] = set()
"""Ids of batches that were made here."""


@functools.cache
def _http() -> httpx.Client:
    return httpx.Client(base_url=os.environ["TEST_API_BASE_URL"], headers=_HEADERS, timeout=20)


def _post(path: str, **fields: Any) -> str:
    response = _http().post(path, **fields)
    response.raise_for_status()
    return str(response.json()["id"])


def _file() -> str:
    # What a test of downloads expects.
    content = json.dumps({"foo": "bar"}).encode()
    return _post("/v1/files", files={"file": ("a.txt", content, "text/plain")})


def _batch(*, ended: bool) -> str:
    body = {"model": "claude-sonnet-4-5", "max_tokens": 5, "messages": [{"role": "user", "content": "Hi"}]}
    made = _post("/v1/messages/batches", json={"requests": [{"custom_id": "a", "params": body}]})
    while ended and _http().get(f"/v1/messages/batches/{made}").json()["processing_status"] != "ended":
        time.sleep(0.05)
    _made.add(made)
    return made


def _real_id(kind: str, made_up: str, *, ended: bool) -> str:
    if kind == "files":
        return _file()
    if kind == "models":
        return "claude-opus-4-8"
    return made_up if made_up in _made else _batch(ended=ended)


def mend(options: Any) -> None:
    """Put real ids in the place of made-up ones, and mend a body that contradicts itself."""
    if found := _PATH.match(options.url):
        start, kind, made_up, rest = found.groups()
        # The method for results asks whether there are any first.
        ended = options.method == "delete" or (options.method == "get" and rest in ("", "/results"))
        options.url = start + _real_id(kind, made_up, ended=ended) + rest
    if isinstance(options.params, dict):
        # No object has the made-up id after which a page is to begin.
        options.params = {
            name: value for name, value in options.params.items() if name not in ("after_id", "before_id")
        }
        if options.params.get("limit") == 0:
            options.params["limit"] = 1
    body = options.json_data
    if isinstance(body, dict):
        for one in [body, *(one["params"] for one in body.get("requests") or ())]:
            for rule in _RULES:
                rule(one)


def _mend_window(body: dict[str, Any]) -> None:
    """Leave out what excludes another field: a thread, a compaction beside edits, a budget of a model without one."""
    body.pop("thread", None)
    if body.get("context_management"):
        body.pop("compaction", None)


def _mend_format(body: dict[str, Any]) -> None:
    output_format = (body.get("output_config") or {}).get("format")
    if output_format and "type" not in output_format["schema"]:
        output_format["schema"] = _SCHEMA


def _mend_tools(body: dict[str, Any]) -> None:
    """Make schemas of the properties that are none, and strict ones close their object; a tool with a mark is not deferred."""
    for tool in body.get("tools") or ():
        if tool.get("cache_control"):
            tool.pop("defer_loading", None)
        schema = tool.get("input_schema")
        if schema and "location" in schema.get("properties", {}):
            schema["properties"] = dict.fromkeys(schema["properties"], _PROPERTY)
            schema["additionalProperties"] = False


def _mend_servers(body: dict[str, Any]) -> None:
    for server in body.get("mcp_servers") or ():
        if server["url"] == "url":
            server["url"] = "https://example.com/mcp"


def _mend_sampling(body: dict[str, Any]) -> None:
    """Leave out what a model that thinks does not take."""
    if (body.get("thinking") or {}).get("type") in ("enabled", "adaptive"):
        for name in ("temperature", "top_k", "top_p"):
            body.pop(name, None)


_RULES: tuple[Callable[[dict[str, Any]], None], ...] = (
    _mend_window,
    _mend_format,
    _mend_tools,
    _mend_servers,
    _mend_sampling,
)
