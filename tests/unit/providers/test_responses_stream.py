"""Responses: the stream of events, and when each is sent."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from openai.types.responses import Response, ResponseErrorEvent, ResponseStreamEvent
from pydantic import TypeAdapter
from support.responses_api import answer, ask, events, frames, kinds, stream, thinking
from support.turns import tokenized
from support.turns import turn as turn_of

from llmsim.domain import Choice, Fault, FaultKind, FinishReason, TokenizedText, Turn
from llmsim.errors import InvalidJsonError
from llmsim.providers.openai.errors import render_error, render_fault, render_refusal
from llmsim.providers.openai.responses import DIALECT, RESPONSES
from llmsim.providers.openai_family.error_bodies import ErrorBody
from llmsim.providers.openai_family.responses.endpoint import render_failure
from llmsim.wire.frames import skip

UNION: TypeAdapter[Any] = TypeAdapter(ResponseStreamEvent)
TEXT = [
    "output_item.added",
    "content_part.added",
    "output_text.delta",
    "output_text.done",
    "content_part.done",
]
SUMMARY = tokenized("First", ", second.", spans=[3, 4])
SUMMARIZED = {"reasoning": {"summary": "auto"}}

TURNS = {
    "plain": thinking("Hello", " world"),
    "empty": thinking(),
    "cut": thinking("Hello", finish=FinishReason.LENGTH),
    "hidden": thinking("Hello", " world", thought=9),
    "reasoning": thinking("Hello", " world", thought=9, shown=SUMMARY),
    "only_reasoning": thinking(thought=9, shown=SUMMARY, finish=FinishReason.LENGTH),
    "unicode": thinking("Zoë", " 🦜\u2028", '"\\\n', thought=2),
}


@pytest.fixture(params=TURNS)
def turn(request: pytest.FixtureRequest) -> Turn:
    return TURNS[request.param]


@pytest.fixture(params=[{}, SUMMARIZED, {"background": True}, SUMMARIZED | {"background": True}])
def fields(request: pytest.FixtureRequest) -> dict[str, Any]:
    return request.param  # type: ignore[no-any-return]


class TestEvents:
    """The events and their order."""

    def test_every_event_is_the_sdks(self, turn: Turn, fields: dict[str, Any]) -> None:
        """RESP-3.1, RESP-3.2: Each event is framed with its name, and is one of the SDK's union."""
        for event in events(stream(RESPONSES, turn, **fields)):
            assert UNION.validate_python(event).type == event["type"]

    def test_numbers_have_no_gaps(self, turn: Turn, fields: dict[str, Any]) -> None:
        """RESP-3.2: Events are numbered from 0, one by one."""
        found = events(stream(RESPONSES, turn, **fields))

        assert [event["sequence_number"] for event in found] == list(range(len(found)))

    def test_numbers_may_be_large(self) -> None:
        """RESP-3.2: A stream of many thousands of events is numbered to its end."""
        found = events(stream(RESPONSES, thinking(*["a"] * 5000)))

        assert [event["sequence_number"] for event in found] == list(range(5008))

    def test_there_is_no_sentinel(self, turn: Turn) -> None:
        """RESP-3.1: Nothing follows the last event."""
        assert b"[DONE]" not in frames(stream(RESPONSES, turn))[-1][2]

    def test_the_order_of_a_text(self) -> None:
        """RESP-3.3: Created, in progress, the message from its announcement to its end, completed."""
        assert kinds(stream(RESPONSES, TURNS["plain"])) == [
            "created",
            "in_progress",
            *TEXT,
            "output_item.done",
            "completed",
        ]

    def test_the_order_without_text(self) -> None:
        """RESP-3.3: A message without text has no deltas."""
        expected = [name for name in TEXT if name != "output_text.delta"]

        assert kinds(stream(RESPONSES, TURNS["empty"]))[2:-2] == expected

    def test_the_order_in_the_background(self) -> None:
        """RESP-3.3: A background response is queued first, with an event."""
        found = events(stream(RESPONSES, TURNS["plain"], background=True))

        assert [event["type"] for event in found[:3]] == [
            "response.created",
            "response.queued",
            "response.in_progress",
        ]
        assert [event["response"]["status"] for event in found[:3]] == ["queued", "queued", "in_progress"]

    def test_the_order_of_reasoning(self) -> None:
        """RESP-3.4: Hidden reasoning is an item that begins and ends before the message."""
        assert kinds(stream(RESPONSES, TURNS["hidden"]))[2:5] == [
            "output_item.added",
            "output_item.done",
            "output_item.added",
        ]

    def test_the_order_of_a_summary(self) -> None:
        """RESP-3.4: The summary is between the item's announcement and its end."""
        assert kinds(stream(RESPONSES, TURNS["reasoning"], **SUMMARIZED))[2:9] == [
            "output_item.added",
            "reasoning_summary_part.added",
            "reasoning_summary_text.delta",
            "reasoning_summary_text.done",
            "reasoning_summary_part.done",
            "output_item.done",
            "output_item.added",
        ]

    def test_the_order_of_reasoning_in_full(self) -> None:
        """RESP-2.5: Reasoning in full is a content part of its own kind."""
        found = events(stream(RESPONSES, TURNS["reasoning"]))

        assert kinds(stream(RESPONSES, TURNS["reasoning"]))[3:7] == [
            "content_part.added",
            "reasoning_text.delta",
            "reasoning_text.done",
            "content_part.done",
        ]
        assert found[3]["part"] == {"type": "reasoning_text", "text": ""}

    def test_reasoning_without_text(self) -> None:
        """RESP-3.3: If the limit leaves no text, the stream ends after the reasoning, incomplete."""
        assert kinds(stream(RESPONSES, TURNS["only_reasoning"]))[-2:] == ["output_item.done", "incomplete"]

    def test_a_turn_without_segments(self) -> None:
        """RESP-4.1: A turn without segments is created and completed."""
        assert kinds(stream(RESPONSES, turn_of(Choice((), FinishReason.STOP)))) == [
            "created",
            "in_progress",
            "completed",
        ]

    def test_indices_are_always_there(self) -> None:
        """RESP-3.5: Indices are there when they are 0; lists are there when they are empty."""
        found = events(stream(RESPONSES, TURNS["reasoning"], **SUMMARIZED))
        of_items = [event for event in found if "response" not in event]
        of_parts = [event for event in of_items if "item_id" in event]

        assert all("output_index" in event for event in of_items)
        assert all(("summary_index" in event) != ("content_index" in event) for event in of_parts)
        assert {event["output_index"] for event in of_parts if "summary_index" in event} == {0}
        assert {event["output_index"] for event in of_parts if "content_index" in event} == {1}
        assert all(event["logprobs"] == [] for event in found if "output_text." in event["type"])
        assert [event["part"] for event in found if event["type"] == "response.content_part.added"] == [
            {"type": "output_text", "annotations": [], "logprobs": [], "text": ""}
        ]

    def test_items_are_announced_empty(self) -> None:
        """RESP-3.3: An item is announced in progress and empty."""
        added = [
            event["item"]
            for event in events(stream(RESPONSES, TURNS["reasoning"], **SUMMARIZED))
            if event["type"] == "response.output_item.added"
        ]

        assert [(item["content"], item.get("summary", [])) for item in added] == [([], []), ([], [])]
        assert (added[1]["status"], added[1]["role"]) == ("in_progress", "assistant")


class TestWhole:
    """The parts and the whole."""

    def test_the_end_is_the_answer(self, turn: Turn, fields: dict[str, Any]) -> None:
        """RESP-3.6: The last event holds the unstreamed response, and the items of the events before it."""
        found = events(stream(RESPONSES, turn, **fields))
        done = [event for event in found if event["type"] == "response.output_item.done"]

        assert found[-1]["response"] == answer(RESPONSES, turn, **fields)
        assert [event["item"] for event in done] == found[-1]["response"]["output"]
        assert [event["output_index"] for event in done] == list(range(len(done)))
        assert Response.model_validate(found[-1]["response"]).output_text == "".join(
            event["delta"] for event in found if event["type"] == "response.output_text.delta"
        )

    def test_parts_are_the_items(self, turn: Turn, fields: dict[str, Any]) -> None:
        """RESP-3.6: A finished part is in its item."""
        found = events(stream(RESPONSES, turn, **fields))
        items = {item["id"]: item for item in found[-1]["response"]["output"]}
        for event in found:
            if event["type"].endswith("part.done"):
                kind = "summary" if "summary_index" in event else "content"
                assert items[event["item_id"]][kind] == [event["part"]]
            elif event["type"].endswith("text.done"):
                kind = "summary" if "summary_index" in event else "content"
                assert items[event["item_id"]][kind][0]["text"] == event["text"]

    def test_deltas_are_the_pieces(self) -> None:
        """RESP-3.7: Each delta is one piece of the text."""
        found = events(stream(RESPONSES, TURNS["unicode"]))
        deltas = [event["delta"] for event in found if event["type"] == "response.output_text.delta"]

        assert deltas == ["Zoë", " 🦜\u2028", '"\\\n']

    def test_deltas_are_padded(self) -> None:
        """RESP-3.8: Only deltas carry padding, up to a multiple of 16 bytes."""
        for event in events(stream(RESPONSES, TURNS["reasoning"], **SUMMARIZED)):
            assert ("obfuscation" in event) == event["type"].endswith(".delta")
            if "obfuscation" in event:
                assert (len(event["delta"]) + len(event["obfuscation"])) % 16 == 0

    def test_padding_can_be_turned_off(self, turn: Turn, fields: dict[str, Any]) -> None:
        """RESP-3.8: Without obfuscation the events have no padding, and are otherwise the same."""
        padded = events(stream(RESPONSES, turn, **fields))
        bare = events(stream(RESPONSES, turn, stream_options={"include_obfuscation": False}, **fields))

        assert bare == [
            {name: value for name, value in event.items() if name != "obfuscation"} for event in padded
        ]

    def test_the_same_turn_gives_the_same_bytes(self, turn: Turn, fields: dict[str, Any]) -> None:
        """RESP-3.13: Rendering is deterministic."""
        assert frames(stream(RESPONSES, turn, **fields)) == frames(stream(RESPONSES, turn, **fields))


class TestTimes:
    """The tokens that a frame requires, and those that it carries."""

    def after(self, turn: Turn, **fields: Any) -> list[tuple[str, int, int]]:
        """Return each event with the tokens that it requires and those that it carries."""
        runs = stream(RESPONSES, turn, **fields)
        return [
            (event["type"].removeprefix("response."), end, tokens)
            for event, (end, tokens, _) in zip(events(runs), frames(runs), strict=True)
        ]

    def test_a_text(self) -> None:
        """RESP-3.9, RESP-3.10: The first events require no token; the others carry theirs."""
        assert self.after(thinking("a", "b", "c")) == [
            ("created", 0, 0),
            ("in_progress", 0, 0),
            ("output_item.added", 1, 0),
            ("content_part.added", 1, 0),
            ("output_text.delta", 1, 1),
            ("output_text.delta", 2, 1),
            ("output_text.delta", 3, 1),
            ("output_text.done", 3, 0),
            ("content_part.done", 3, 0),
            ("output_item.done", 3, 0),
            ("completed", 3, 0),
        ]

    def test_a_summary(self) -> None:
        """RESP-3.9, RESP-3.10: Pieces of a summary require tokens of the reasoning, and carry no token."""
        assert self.after(TURNS["reasoning"], background=True, **SUMMARIZED)[:13] == [
            ("created", 0, 0),
            ("queued", 0, 0),
            ("in_progress", 0, 0),
            ("output_item.added", 1, 0),
            ("reasoning_summary_part.added", 3, 0),
            ("reasoning_summary_text.delta", 3, 0),
            ("reasoning_summary_text.delta", 7, 0),
            ("reasoning_summary_text.done", 7, 0),
            ("reasoning_summary_part.done", 7, 0),
            ("output_item.done", 9, 0),
            ("output_item.added", 10, 0),
            ("content_part.added", 10, 0),
            ("output_text.delta", 10, 10),
        ]

    def test_reasoning_in_full(self) -> None:
        """RESP-3.10: Visible reasoning carries its own tokens; the text carries those that are hidden."""
        assert [tokens for _, _, tokens in self.after(TURNS["reasoning"]) if tokens] == [3, 4, 3, 1]

    @given(
        st.lists(st.tuples(st.text(min_size=1, max_size=8), st.integers(1, 4)), max_size=30),
        st.integers(0, 40),
        st.lists(st.tuples(st.text(min_size=1, max_size=8), st.integers(1, 4)), max_size=10),
        st.booleans(),
        st.booleans(),
    )
    def test_all_tokens_are_carried_in_order(
        self,
        text_pieces: list[tuple[str, int]],
        thought: int,
        reasoning_pieces: list[tuple[str, int]],
        summed_up: bool,
        cut: bool,
    ) -> None:
        """RESP-3.9, RESP-3.10: Required tokens never fall, and the frames carry every token once."""
        text = _passage(text_pieces)
        visible = _passage(reasoning_pieces)
        turn = thinking(
            *text.pieces,
            thought=thought,
            shown=visible if 0 < visible.tokens <= thought else None,
            finish=FinishReason.LENGTH if cut else FinishReason.STOP,
        )
        found = frames(stream(RESPONSES, turn, **(SUMMARIZED if summed_up else {})))
        ends = [end for end, _, _ in found]
        carried = sum(tokens for _, tokens, _ in found)

        assert ends == sorted(ends)
        assert (ends[0], ends[-1]) == (0, turn.length)
        if text.pieces:
            assert carried == turn.length


def _passage(pieces: list[tuple[str, int]]) -> TokenizedText:
    return tokenized(*(piece for piece, _ in pieces), spans=[tokens for _, tokens in pieces])


class TestResumed:
    """A resumed stream."""

    @pytest.mark.parametrize(
        "framed", [RESPONSES.http.render_stream, RESPONSES.websocket.messages.render_stream]
    )  # type: ignore[union-attr]
    def test_the_rest_is_the_same(self, turn: Turn, fields: dict[str, Any], framed: Any) -> None:
        """RESP-3.11: After each event, the remaining frames are those of the whole stream."""
        runs = framed(turn, ask(RESPONSES, **fields).options)
        whole = frames(runs)
        for number in range(-1, len(whole) + 2):
            assert frames(skip(runs, number + 1)) == whole[number + 1 :]


class TestWebSocket:
    """The same events without their envelope."""

    def test_a_line_is_an_event(self, turn: Turn, fields: dict[str, Any]) -> None:
        """RESP-4.2: Split at their newlines, the joined bytes are the events of the stream."""
        assert RESPONSES.websocket is not None
        options = ask(RESPONSES, **fields).options
        runs = RESPONSES.websocket.messages.render_stream(turn, options)
        lines = b"".join(data for _, _, data in frames(runs)).splitlines()

        assert [json.loads(line) for line in lines] == events(RESPONSES.http.render_stream(turn, options))
        assert len(lines) == len(frames(runs))

    def test_refusals_have_a_status(self) -> None:
        """RESP-4.3: A refused message is answered with the status and the error of an HTTP reply."""
        assert RESPONSES.websocket is not None
        error = InvalidJsonError("why")
        refusal = RESPONSES.websocket.messages.render_refusal(error).body

        assert refusal.endswith(b"}\n")
        assert json.loads(refusal) == {
            "type": "error",
            "status": 400,
            **json.loads(render_refusal(error).body),
        }

    def test_an_event_has_the_headers_of_its_error(self) -> None:
        """SOCK-2.5: A client finds out when to try again, as over HTTP; without headers the event has none."""
        assert RESPONSES.websocket is not None
        render = RESPONSES.websocket.messages.render_fault
        limited = json.loads(render(Fault(FaultKind.RATE_LIMIT, retry_after=0.25)).body)
        failed = json.loads(render(Fault(FaultKind.SERVER_ERROR)).body)

        assert limited["headers"] == {"retry-after": "1", "retry-after-ms": "250"}
        assert "headers" not in failed

    def test_failures_and_limits_likewise(self) -> None:
        """RESP-4.3: Simulated failures and connection limits have the same form."""
        assert RESPONSES.websocket is not None
        failed = json.loads(RESPONSES.websocket.messages.render_fault(Fault(FaultKind.RATE_LIMIT)).body)
        limited = json.loads(RESPONSES.websocket.render_limit("too many").body)

        assert (failed["type"], failed["status"]) == ("error", 429)
        assert failed["error"]["code"] == "rate_limit_exceeded"
        assert limited == {
            "type": "error",
            "status": 400,
            "error": {
                "message": "too many",
                "type": "invalid_request_error",
                "param": None,
                "code": "websocket_connection_limit_reached",
            },
        }


def test_a_failure_in_mid_stream() -> None:
    """RESP-3.12: An error event, flat, and `response.failed` take the next numbers."""
    options = ask(RESPONSES, stream=True).options
    reply = render_fault(Fault(FaultKind.RATE_LIMIT))
    ended = render_failure(TURNS["plain"], options, DIALECT, reply, 5)
    error, failed = (json.loads(event.partition(b"data: ")[2]) for event in ended.split(b"\n\n") if event)

    assert ended.startswith(b"event: error\ndata: ")
    assert (error["type"], error["sequence_number"]) == ("error", 5)
    assert ResponseErrorEvent.model_validate(error).code == "rate_limit_exceeded"
    assert set(error) == {"type", "code", "message", "param", "sequence_number"}
    assert (failed["type"], failed["sequence_number"]) == ("response.failed", 6)
    assert failed["response"]["error"]["code"] == "rate_limit_exceeded"
    assert UNION.validate_python(failed).response.status == "failed"


def test_errors_without_a_code_fail_likewise() -> None:
    """RESP-3.12: An error without code and param is rendered likewise."""
    reply = render_error(ErrorBody(status=400, message="why"))
    ended = render_failure(TURNS["plain"], ask(RESPONSES).options, DIALECT, reply, 2)

    assert b'{"type":"error","code":null,"message":"why","param":null,"sequence_number":2}' in ended
