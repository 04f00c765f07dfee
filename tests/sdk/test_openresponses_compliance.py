"""The requests of the OpenResponses compliance runner, put to four workers."""

import json
import urllib.request
from typing import Any

import pytest
from support.openresponses_compliance import COMPLIANCE, TOOL_CALLING, check_resource, check_tool_calling
from support.servers import Server


def _ask(server: Server, **fields: Any) -> bytes:
    """Ask for a response, and give the body."""
    request = urllib.request.Request(
        f"{server.base}/openresponses/v1/responses",
        json.dumps({"model": "gpt-4o"} | fields).encode(),
        {"content-type": "application/json"},
    )
    with urllib.request.urlopen(request, timeout=20) as answer:
        body: bytes = answer.read()
        return body


@pytest.mark.parametrize("case", COMPLIANCE)
def test_what_the_runner_asks_is_answered(server: Server, case: str) -> None:
    """OPRE-1.5, OPRE-2.1: streamed or not, any worker answers as the runner's schemas want it."""
    whole = json.loads(_ask(server, input=COMPLIANCE[case]))
    *frames, done, _ = _ask(server, input=COMPLIANCE[case], stream=True).split(b"\n\n")
    events = [frame.split(b"\n") for frame in frames]
    last = json.loads(events[-1][1].removeprefix(b"data: "))

    assert done == b"data: [DONE]"
    for name, data in events:
        assert json.loads(data.removeprefix(b"data: "))["type"].encode() == name.removeprefix(b"event: ")
    assert (whole["status"], last["type"]) == ("completed", "response.completed")
    for resource in (whole, last["response"]):
        check_resource(resource)
        assert resource["output"]


def test_previous_response(server: Server) -> None:
    """OPRE-1.5: a response is continued by its id, whichever workers take the two."""
    for _ in range(12):
        first = json.loads(_ask(server, input="My name is Alice."))
        second = json.loads(_ask(server, input="What is my name?", previous_response_id=first["id"]))

        assert second["previous_response_id"] == first["id"]
        assert second["usage"]["input_tokens"] > first["usage"]["total_tokens"]


def test_tool_calling(server: Server) -> None:
    """FIT-1.2, OPRE-2.1: the runner's cases of tool calling, whole and streamed."""
    whole = json.loads(_ask(server, **TOOL_CALLING))
    *frames, _, _ = _ask(server, **TOOL_CALLING, stream=True).split(b"\n\n")
    events = [json.loads(frame.split(b"\n")[1].removeprefix(b"data: ")) for frame in frames]

    check_tool_calling(whole)
    check_tool_calling(events[-1]["response"], events)
