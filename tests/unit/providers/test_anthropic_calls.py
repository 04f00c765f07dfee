"""Rendering of tool calls, refusals and the results of hosted tools."""

import json
from typing import Any

import pytest
from anthropic._streaming import SSEDecoder
from anthropic.lib.streaming._messages import accumulate_event
from anthropic.types import Message, RawMessageStreamEvent, ToolUseBlock
from anthropic.types.shared import ErrorResponse
from hypothesis import given
from hypothesis import strategies as st
from jiter import from_json
from pydantic import TypeAdapter
from support.incoming import incoming
from support.tool_turns import (
    THOUGHT,
    TURNS,
    WEATHER,
    WEATHER_CALL,
    hosted_call,
    text_segment,
    tool_call,
    truncate_call,
    turn_of,
)
from support.turns import tokenized
from test_anthropic_render import events

from llmsim.domain import Fault, FaultKind, FinishReason, RefusalSegment, Turn
from llmsim.providers.anthropic.errors import render_fault
from llmsim.providers.anthropic.messages import MessageOptions
from llmsim.providers.anthropic.messages import parse as parse_request
from llmsim.providers.anthropic.partial_json import parse_partial_object
from llmsim.providers.anthropic.rendering import (
    render_message,
    render_padded,
    render_plain,
    render_stream_fault,
)
from llmsim.providers.contract import ParsedRequest


def parse(body: bytes) -> ParsedRequest[MessageOptions]:
    """Parse a body."""
    return parse_request(incoming(body))


PLAIN = MessageOptions(thinks=True)
ANY = pytest.mark.parametrize("planned", TURNS.values(), ids=TURNS)

VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(10**9), 10**9)
    | st.floats(allow_nan=False, width=32)
    | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
).filter(lambda value: "Infinity" not in json.dumps(value))
OBJECTS = st.dictionaries(st.text(max_size=8), VALUES, max_size=4)


def content(planned: Turn, options: MessageOptions = PLAIN) -> list[dict[str, Any]]:
    blocks: list[dict[str, Any]] = render_message(planned, options)["content"]
    return blocks


def ending(planned: Turn) -> dict[str, Any]:
    delta: dict[str, Any] = events(planned)[-2][1]["delta"]
    return delta


def partials(planned: Turn) -> list[str]:
    deltas = [data["delta"] for name, data in events(planned) if name == "content_block_delta"]
    return [delta["partial_json"] for delta in deltas if delta["type"] == "input_json_delta"]


@ANY
def test_the_sdk_accumulates_a_stream_to_the_whole_message(planned: Turn) -> None:
    """FIT-1.8: The SDK's own accumulation of a stream is the whole message."""
    union: TypeAdapter[RawMessageStreamEvent] = TypeAdapter(RawMessageStreamEvent)
    snapshot = None
    buffers: dict[int, bytes] = {}
    for name, data in events(planned):
        if name != "ping":
            event = union.validate_python(data)
            snapshot = accumulate_event(event=event, current_snapshot=snapshot, json_bufs=buffers)

    assert snapshot is not None
    streamed, whole = snapshot.to_dict(), Message.model_validate(render_message(planned, PLAIN)).to_dict()
    assert streamed == whole


class TestCalls:
    """Calls of tools that the client runs."""

    def test_a_call_is_a_block_of_its_own(self) -> None:
        """ANTH-10.5: The block has id, name, caller, and the arguments as input."""
        text, first, second = content(
            turn_of(text_segment("Let"), WEATHER_CALL, tool_call("now", "{}", id="7", fixed_id="toolu_mine"))
        )

        assert text == {"type": "text", "text": "Let"}
        assert first == {
            "type": "tool_use",
            "id": "toolu_0123call",
            "name": "get_weather",
            "input": {"city": "Zürich 🦜", "days": [1, 2], "deep": {"a": None}},
            "caller": {"type": "direct"},
        }
        assert (second["id"], second["input"]) == ("toolu_mine", {})

    def test_calls_end_the_turn(self) -> None:
        """ANTH-10.5: The stop reason is `tool_use`."""
        planned = TURNS["thought and two calls"]

        assert render_message(planned, PLAIN)["stop_reason"] == ending(planned)["stop_reason"] == "tool_use"

    def test_a_member_of_a_toolset_names_the_toolset(self) -> None:
        """ANTH-10.5: The block has `toolset_name`, as in the SDK's type."""
        (block,) = content(
            turn_of(tool_call("screenshot", "{}")), MessageOptions(toolsets={"screenshot": "computer"})
        )

        assert block["toolset_name"] == "computer"
        assert ToolUseBlock.model_validate(block).toolset_name == "computer"

    def test_the_input_starts_empty(self) -> None:
        """ANTH-10.6: The block starts without input, its first delta is empty, each other delta has a token or more."""
        stream = events(TURNS["a call"])

        assert [name for name, _ in stream][:4] == [
            "message_start",
            "content_block_start",
            "ping",
            "content_block_delta",
        ]
        assert stream[1][1]["content_block"]["input"] == {}
        assert partials(TURNS["a call"]) == ["", *WEATHER]

    def test_a_call_starts_with_the_first_token_of_its_name(self) -> None:
        """ANTH-10.6: The block starts before its arguments; their first delta carries the tokens of the name."""
        batches = render_plain(turn_of(THOUGHT, WEATHER_CALL), PLAIN)
        start, deltas = batches[2], next(batch for batch in batches if b"input_json_delta" in batch.head)

        assert b'"name":"get_weather"' in start.bodies[0]
        assert (start.required_tokens, start.tokens) == ((5,), ())
        assert (deltas.required_tokens[:2], deltas.tokens[:2]) == ((7, 8), (7, 1))

    def test_calls_are_padded_like_texts(self) -> None:
        """ANTH-3.6: Spaces precede the last brace of an event, and change nothing else."""
        batches = render_padded(TURNS["a call"], PLAIN)
        data = b"".join(batch.data(0, len(batch.required_tokens)) for batch in batches).decode().split("\n\n")
        deltas = [json.loads(event.partition("data: ")[2]) for event in data if "input_json_delta" in event]

        assert [delta["delta"]["partial_json"] for delta in deltas] == ["", *WEATHER]
        assert any(event.endswith("  }") for event in data if "input_json_delta" in event)

    @given(value=OBJECTS, sizes=st.lists(st.integers(1, 9)), ascii_only=st.booleans())
    def test_pieces_join_to_the_input(
        self, value: dict[str, Any], sizes: list[int], ascii_only: bool
    ) -> None:
        """FIT-1.7: However arguments are cut into pieces, the deltas join to the input of the whole message."""
        text, pieces = json.dumps(value, ensure_ascii=ascii_only), []
        while text:
            size = sizes.pop() if sizes else 5
            pieces.append(text[:size])
            text = text[size:]
        planned = turn_of(tool_call("f", *pieces))
        batches = render_plain(planned, PLAIN)

        assert json.loads("".join(partials(planned))) == content(planned)[0]["input"] == value
        assert sum(sum(batch.tokens) for batch in batches) == planned.usage.completion

    def test_free_text_is_wrapped(self) -> None:
        """FIT-1.9: This API has no tools that take free text; in a call of a script, the text is wrapped in an object."""
        (block,) = content(TURNS["a call of free text"])

        assert block["input"] == {"input": 'Say "hi"\n\\'}


class TestTruncated:
    """Calls that a limit truncated."""

    @pytest.mark.parametrize(
        ("tokens", "shown"),
        [
            (1, {}),
            (2, {}),
            (4, {}),
            (6, {}),
            (7, {"city": "Zürich 🦜"}),
            (8, {"city": "Zürich 🦜", "days": [1]}),
            (10, {"city": "Zürich 🦜", "days": [1, 2], "deep": {"a": None}}),
        ],
    )
    def test_the_complete_part_is_the_input(self, tokens: int, shown: dict[str, Any]) -> None:
        """ANTH-10.7: The input is the complete part of the JSON; the stop reason is `max_tokens`."""
        planned = turn_of(truncate_call(WEATHER_CALL, tokens), finish=FinishReason.LENGTH)
        body = render_message(planned, PLAIN)

        assert body["content"][0]["input"] == shown
        assert body["stop_reason"] == ending(planned)["stop_reason"] == "max_tokens"

    @given(value=OBJECTS, data=st.data(), ascii_only=st.booleans())
    def test_the_sdk_parses_the_same_part(
        self, value: dict[str, Any], data: st.DataObject, ascii_only: bool
    ) -> None:
        """ANTH-10.7: Wherever JSON is truncated, the same part of it is parsed as by the SDK."""
        text = json.dumps(value, ensure_ascii=ascii_only)
        text = text[: data.draw(st.integers(1, len(text)))]

        assert parse_partial_object(text) == from_json(text.encode(), partial_mode=True)

    @pytest.mark.parametrize(
        "text", ["", "x", "[1", "]", '"a', "{]", '{"a" 1}', "1", '{"a": "\\ud800"}', "{{"]
    )
    def test_an_input_that_is_not_an_object_is_empty(self, text: str) -> None:
        """ANTH-10.7: A script may have any arguments; the input is an object all the same."""
        assert parse_partial_object(text) == {}

    def test_a_truncated_search_has_no_result(self) -> None:
        """ANTH-10.9: A truncated call of a hosted tool is not followed by a result."""
        (block,) = content(TURNS["a cut search"])

        assert (block["type"], block["input"]) == ("server_tool_use", {})
        assert "".join(partials(TURNS["a cut search"])) == '{"query": "What is'


class TestRefusals:
    """Refusals of the model, and filtered content."""

    @pytest.mark.parametrize("name", ["a refusal", "filtered"])
    def test_a_refusal_has_the_stop_reason_refusal(self, name: str) -> None:
        """ANTH-10.8: The content is a text block; the stop reason and its details are those of a refusal."""
        body, delta = render_message(TURNS[name], PLAIN), ending(TURNS[name])

        assert [block["type"] for block in body["content"]] == ["text"]
        assert body["stop_reason"] == delta["stop_reason"] == "refusal"
        assert body["stop_details"] == delta["stop_details"]
        assert (body["stop_details"]["type"], body["stop_details"]["category"]) == ("refusal", None)

    def test_an_empty_refusal_has_the_stop_reason_refusal(self) -> None:
        """ANTH-10.8: An empty refusal has no block."""
        empty = RefusalSegment(0, tokenized())
        body = render_message(turn_of(empty, finish=FinishReason.STOP), PLAIN)

        assert (body["content"], body["stop_reason"]) == ([], "refusal")

    def test_a_limit_takes_precedence(self) -> None:
        """ANTH-10.8: A refusal that a limit truncated ends with `max_tokens`, without details."""
        body = render_message(
            turn_of(text_segment("I", kind=RefusalSegment), finish=FinishReason.LENGTH), PLAIN
        )

        assert (body["stop_reason"], body["stop_details"]) == ("max_tokens", None)


class TestHosted:
    """Calls of tools that the API runs."""

    def test_call_and_result_precede_the_text(self) -> None:
        """ANTH-10.9: Each call is followed by its result, which has its id; both precede the text."""
        thought, search, found, fetch, page, text = content(TURNS["searches and a text"])

        assert (thought["type"], text["type"]) == ("thinking", "text")
        assert (search["type"], search["name"], search["input"]) == (
            "server_tool_use",
            "web_search",
            {"query": 'What is "new" in\n'},
        )
        assert search["id"] == found["tool_use_id"] == "srvtoolu_0123host"
        assert found["type"] == "web_search_tool_result"
        assert all(entry["encrypted_content"] for entry in found["content"])
        assert len({entry["url"] for entry in found["content"]}) == len(found["content"]) > 1
        assert fetch["input"] == {"url": page["content"]["url"]} == {"url": "https://example.com/the-page"}
        assert page["content"]["content"]["source"]["type"] == "text"
        # The AI SDK does not accept null here.
        assert page["content"]["content"]["citations"] == {"enabled": False}

    def test_an_address_is_fetched_unchanged(self) -> None:
        """ANTH-10.9: A query that is an address stays unchanged."""
        tool_call, _ = content(turn_of(hosted_call("web_fetch", "https", "://a.b/c?d=", "é")))

        assert tool_call["input"] == {"url": "https://a.b/c?d=é"}

    @pytest.mark.parametrize(
        ("python", "name", "member", "result"),
        [
            (False, "bash_code_execution", "command", "bash_code_execution_tool_result"),
            (True, "code_execution", "code", "code_execution_tool_result"),
        ],
    )
    def test_code_is_run_in_a_container(self, python: bool, name: str, member: str, result: str) -> None:
        """ANTH-10.9: The first version runs Python, all others a shell; the message names the container."""
        body = render_message(TURNS["code"], MessageOptions(python=python))
        tool_call, ran, _ = body["content"]

        assert (tool_call["name"], list(tool_call["input"]), ran["type"]) == (name, [member], result)
        assert Message.model_validate(body).container is not None
        assert ran["content"]["return_code"] == 0

    def test_calls_are_counted_in_the_usage(self) -> None:
        """ANTH-10.9: `server_tool_use` counts searches and pages, at the end of a stream only."""
        planned = TURNS["searches and a text"]
        stream = events(planned)
        counts = {"web_search_requests": 1, "web_fetch_requests": 1}

        assert render_message(planned, PLAIN)["usage"]["server_tool_use"] == counts
        assert stream[-2][1]["usage"]["server_tool_use"] == counts
        assert stream[0][1]["message"]["usage"]["server_tool_use"] is None

    def test_a_result_has_no_tokens_and_no_deltas(self) -> None:
        """ANTH-10.9: A result is sent at the end of its call, whole in its start event."""
        stream = events(TURNS["code"])
        place = next(
            place
            for place, (_, data) in enumerate(stream)
            if data.get("content_block", {}).get("type") == "bash_code_execution_tool_result"
        )
        batches = render_plain(TURNS["code"], PLAIN)

        assert stream[place + 1] == ("content_block_stop", {"type": "content_block_stop", "index": 1})
        assert [
            batch.required_tokens[0] for batch in batches if b"content_block_stop" in batch.bodies[0]
        ] == [5, 5, 6]

    def test_a_tool_of_another_api_has_no_block(self) -> None:
        """ANTH-10.9: Its tokens count, and are carried by the next delta."""
        planned = TURNS["another API's tool"]
        (deltas,) = [batch for batch in render_plain(planned, PLAIN) if b"text_delta" in batch.head]

        assert content(planned) == [{"type": "text", "text": "Look"}]
        assert deltas.tokens == (6,)


@pytest.mark.parametrize("kind", FaultKind)
def test_a_failing_stream_ends_with_an_error(kind: FaultKind) -> None:
    """ANTH-10.10: The SDK reads one more event, `error`, with the error of the same fault before the stream."""
    start = render_plain(TURNS["a call"], PLAIN)[0].data(0, 1)
    data = start + render_stream_fault(TURNS["a call"], PLAIN, Fault(kind), 1)
    error = json.loads(render_fault(Fault(kind)).body)["error"]

    read = list(SSEDecoder().iter_bytes(iter([data])))
    assert [event.event for event in read][-2:] == ["content_block_delta", "error"]
    assert read[-1].json() == {"type": "error", "error": {"details": None} | error}
    ErrorResponse.model_validate(read[-1].json())


@ANY
def test_a_response_can_be_sent_back(planned: Turn) -> None:
    """ANTH-1.1: Its blocks are accepted unchanged, with a result for each call that the client runs."""
    blocks = content(planned)
    calls = [block for block in blocks if block["type"] == "tool_use"]
    results = [{"type": "tool_result", "tool_use_id": call["id"], "content": "42"} for call in calls]
    messages = [
        {"role": "user", "content": "Hello"},
        *([{"role": "assistant", "content": blocks}] if blocks else []),
        {"role": "user", "content": [*results, {"type": "text", "text": "Go on"}]},
    ]
    prompt = parse(json.dumps({"model": "m", "max_tokens": 9, "messages": messages}).encode()).prompt

    assert [call.name for message in prompt.messages for call in message.calls] == [c["name"] for c in calls]
    assert [result.call for result in prompt.messages[-1].results] == [call["id"] for call in calls]


@ANY
def test_calls_have_different_ids(planned: Turn) -> None:
    """FIT-1.8: The calls of a turn have different ids, and the prefix shows who runs them."""
    calls = [block for block in content(planned) if block["type"].endswith("tool_use")]
    prefixes = {"tool_use": "toolu_", "server_tool_use": "srvtoolu_"}

    assert len({block["id"] for block in calls}) == len(calls)
    assert all(block["id"].startswith(prefixes[block["type"]]) for block in calls)
