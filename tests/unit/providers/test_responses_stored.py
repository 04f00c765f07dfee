"""Responses: stored responses, and requests that continue them."""

import json
from typing import Any

import msgspec
import pytest
from openai.types.responses import (
    CompactedResponse,
    InputTokenCountResponse,
    ResponseCompactionItem,
    ResponseItem,
)
from pydantic import TypeAdapter
from support.responses_api import answer, ask, body, frames, thinking

from llmsim.domain import Message, Schedule, Turn
from llmsim.errors import InvalidFieldError, UnknownResponseError
from llmsim.providers.contract import ParsedRequest
from llmsim.providers.openai.errors import render_refusal
from llmsim.providers.openai.responses import DIALECT, RESPONSES
from llmsim.providers.openai_family.responses.endpoint import render_stored
from llmsim.providers.openai_family.responses.history import with_history
from llmsim.providers.openai_family.responses.input_item_list import list_input_items, render_page
from llmsim.providers.openai_family.responses.operations import render_compaction, render_count
from llmsim.providers.openai_family.responses.options import ResponseOptions
from llmsim.providers.openai_family.responses.parse import parse_compact
from llmsim.providers.storage import StoredResponse

ITEM: TypeAdapter[Any] = TypeAdapter(ResponseItem)
SOON = Schedule(ttft=2.0, itl=1.0)


def stored_response(asked: ParsedRequest, turn: Turn | None = None, **state: Any) -> StoredResponse:
    return StoredResponse(
        prompt=asked.prompt,
        turn=turn or thinking("Yes", ".", thought=3),
        options=asked.options,
        arrived=100.0,
        **state,
    )


def listed(stored: StoredResponse) -> list[dict[str, Any]]:
    options: ResponseOptions = stored.options
    return [json.loads(item) for item in list_input_items(options.input_items, stored.turn.id)]


class TestContinued:
    """A request that continues a response."""

    def test_input_and_output_come_before(self) -> None:
        """RESP-5.1: Earlier input and output come before the request's own input."""
        first = stored_response(ask(RESPONSES, input="One?"))
        second = with_history(ask(RESPONSES, input="Two?", previous_response_id="resp_1"), first, DIALECT)

        assert second.prompt.messages == (
            Message("user", ("One?",)),
            Message("assistant", ("Yes.",)),
            Message("user", ("Two?",)),
        )

    def test_a_whole_chain_comes_before(self) -> None:
        """RESP-5.1: A chain of responses is continued with all of them, in their order."""
        asked = ask(RESPONSES, input="1")
        for number in range(2, 5):
            turn = thinking(f"to {number - 1}", id=f"{number:029x}")
            asked = with_history(ask(RESPONSES, input=str(number)), stored_response(asked, turn), DIALECT)

        assert [text for message in asked.prompt.messages for text in message.texts] == [
            *("1", "to 1", "2", "to 2", "3", "to 3", "4"),
        ]

    @pytest.mark.parametrize("mine", [None, "New."])
    @pytest.mark.parametrize("theirs", [None, "Old."])
    def test_instructions_are_not_carried_over(self, mine: str | None, theirs: str | None) -> None:
        """RESP-5.1: Only the request's own instructions count, and they come first."""
        first = stored_response(ask(RESPONSES, input="One?", instructions=theirs))
        second = with_history(ask(RESPONSES, input="Two?", instructions=mine), first, DIALECT)
        turn = msgspec.structs.replace(thinking("Yes", ".", thought=3), id="b" * 29)
        third = with_history(ask(RESPONSES, input="Three?"), stored_response(second, turn), DIALECT)

        texts = [text for message in second.prompt.messages for text in message.texts]
        assert texts == [*([mine] if mine else []), "One?", "Yes.", "Two?"]
        assert third.prompt.messages[0].texts == ("One?",)

    def test_a_cancelled_response_has_no_output(self) -> None:
        """RESP-5.1: A cancelled response adds no output."""
        first = stored_response(
            ask(RESPONSES, input="One?", background=True), background=True, cancelled=101.0
        )
        second = with_history(ask(RESPONSES, input="Two?"), first, DIALECT)

        assert [message.texts for message in second.prompt.messages] == [("One?",), ("Two?",)]
        assert len(second.options.input_items) == 2

    def test_images_still_count(self) -> None:
        """RESP-5.1: Earlier images count again; the request's own come first."""
        picture = [
            {
                "role": "user",
                "content": [{"type": "input_image", "image_url": "https://x/y", "detail": "low"}],
            }
        ]
        first = stored_response(ask(RESPONSES, input=picture))
        second = with_history(ask(RESPONSES, input=picture * 2), first, DIALECT)

        assert [image.path for image in second.prompt.images] == [
            ("input", 0, "content", 0),
            ("input", 1, "content", 0),
            ("input", 0, "content", 0),
        ]

    def test_parameters_are_the_requests_own(self) -> None:
        """RESP-5.1: Model, limits and echo are those of the request."""
        asked = ask(RESPONSES, input="Two?", model="gpt-4o", max_output_tokens=20, metadata={"a": "b"})
        second = with_history(
            asked, stored_response(ask(RESPONSES, input="One?", metadata={"c": "d"})), DIALECT
        )

        assert (second.prompt.model, second.prompt.limit) == ("gpt-4o", 20)
        assert (second.options.echo, second.options.metadata) == (asked.options.echo, {"a": "b"})


class TestItems:
    """The input as it is listed."""

    def test_a_string(self) -> None:
        """RESP-5.2: A string is a message of the user with one part."""
        assert listed(stored_response(ask(RESPONSES, input="Hello"))) == [
            {
                "id": "msg_0123456789abcdef0123456789abc0000",
                "type": "message",
                "status": "completed",
                "role": "user",
                "content": [{"type": "input_text", "text": "Hello"}],
            }
        ]

    @pytest.mark.parametrize(
        ("sent", "shown"),
        [
            (
                {"role": "assistant", "content": "Hi", "id": "msg_x", "status": None},
                {"content": [{"type": "output_text", "text": "Hi", "annotations": [], "logprobs": []}]},
            ),
            (
                {
                    "role": "user",
                    "content": [{"type": "input_image", "image_url": "https://x/y", "detail": None}],
                },
                {"content": [{"type": "input_image", "image_url": "https://x/y", "detail": "auto"}]},
            ),
            (
                {
                    "type": "function_call",
                    "call_id": "c",
                    "name": "f",
                    "arguments": "{}",
                    "status": "incomplete",
                },
                {"status": "incomplete", "call_id": "c", "name": "f", "arguments": "{}"},
            ),
            ({"type": "function_call_output", "call_id": "c", "output": "42"}, {"output": "42"}),
            ({"type": "custom_tool_call", "call_id": "c", "name": "f", "input": "x"}, {"input": "x"}),
            (
                {"type": "reasoning", "id": "rs_x", "summary": [], "encrypted_content": "gAAA"},
                {"id": "rs_x", "encrypted_content": "gAAA"},
            ),
            ({"type": "compaction", "encrypted_content": "gAAA"}, {"encrypted_content": "gAAA"}),
            (
                {
                    "type": "web_search_call",
                    "id": "ws_1",
                    "status": "completed",
                    "action": {"type": "search", "query": "q"},
                },
                {"id": "ws_1", "action": {"type": "search", "query": "q"}},
            ),
        ],
    )
    def test_each_kind(self, sent: dict[str, Any], shown: dict[str, Any]) -> None:
        """RESP-5.2: Each item is of an SDK type, with an id and all that was sent."""
        item = listed(stored_response(ask(RESPONSES, conversation="conv_1", input=[sent])))[0]

        assert {name: item[name] for name in shown} == shown
        assert item["id"]
        assert ITEM.validate_python(item).type == item["type"] == sent.get("type", "message")

    def test_ids_of_the_client_are_kept(self) -> None:
        """RESP-5.2: Ids come from the client or from the index, and do not change."""
        stored = stored_response(
            ask(
                RESPONSES,
                input=[{"role": "user", "content": "a", "id": "msg_mine"}, {"role": "user", "content": "b"}],
            )
        )

        ids = [item["id"] for item in listed(stored)]
        assert ids == ["msg_mine", f"msg_{stored.turn.id}0001"]
        assert ids == [item["id"] for item in listed(stored)]

    def test_a_reference_is_listed_as_sent(self) -> None:
        """RESP-5.2: A reference keeps its id, and has a type."""
        assert listed(stored_response(ask(RESPONSES, input=[{"id": "msg_1"}]))) == [
            {"id": "msg_1", "type": "item_reference"}
        ]

    def test_earlier_turns_come_first(self) -> None:
        """RESP-5.2: Input and output of earlier turns are listed with their ids."""
        first = stored_response(ask(RESPONSES, input="One?"))
        turn = thinking("No", id="f" * 29)
        second = stored_response(with_history(ask(RESPONSES, input="Two?"), first, DIALECT), turn)
        output = answer(RESPONSES, first.turn)["output"]

        items = listed(second)
        assert items[0] == listed(first)[0]
        assert items[1:3] == output
        assert items[3]["content"] == [{"type": "input_text", "text": "Two?"}]
        assert len({item["id"] for item in items}) == 4
        third = with_history(ask(RESPONSES, input="Three?"), second, DIALECT)
        assert [json.loads(item) for item in third.options.input_items[:4]] == items


class TestPages:
    """A list, page by page."""

    items = tuple(b'{"id":"i%d"}' % number for number in range(45))

    def page(self, **params: str) -> dict[str, Any]:
        """Return a page."""
        found: dict[str, Any] = json.loads(render_page(self.items, params))
        assert found["object"] == "list"
        assert (found["first_id"], found["last_id"]) == (found["data"][0]["id"], found["data"][-1]["id"])
        return found

    def test_the_newest_come_first(self) -> None:
        """RESP-5.3: By default a page has 20 items, the newest first."""
        found = self.page()

        assert [item["id"] for item in found["data"]] == [f"i{number}" for number in range(44, 24, -1)]
        assert found["has_more"]

    @pytest.mark.parametrize("order", ["asc", "desc"])
    @pytest.mark.parametrize("limit", ["1", "7", "44", "45", "100"])
    def test_pages_make_the_list(self, order: str, limit: str) -> None:
        """RESP-5.3: The pages have every item once, in order."""
        ids: list[str] = []
        after: dict[str, str] = {}
        while True:
            found = self.page(order=order, limit=limit, **after)
            assert len(found["data"]) <= int(limit)
            ids += [item["id"] for item in found["data"]]
            if not found["has_more"]:
                break
            after = {"after": found["last_id"]}

        assert ids == [f"i{number}" for number in range(45)][:: 1 if order == "asc" else -1]

    def test_an_empty_page(self) -> None:
        """RESP-5.3: After the last item the page is empty."""
        empty = {"object": "list", "data": [], "first_id": None, "last_id": None, "has_more": False}

        assert json.loads(render_page((), {})) == empty
        assert json.loads(render_page(self.items, {"after": "i0"})) == empty

    @pytest.mark.parametrize(
        "params",
        [
            {"limit": "0"},
            {"limit": "101"},
            {"limit": "x"},
            {"limit": "-1"},
            {"limit": "\u0661"},
            {"limit": "9" * 5000},
            {"order": "up"},
            {"after": "no"},
        ],
    )
    def test_refusals(self, params: dict[str, str]) -> None:
        """RESP-5.3: An invalid limit, order or item is refused by name."""
        with pytest.raises(InvalidFieldError) as refused:
            render_page(self.items, params)

        assert refused.value.path == tuple(params)


class TestStored:
    """A stored response at a moment."""

    @pytest.mark.parametrize(
        ("now", "background", "cancelled", "status"),
        [
            (100.5, True, None, "queued"),
            (101.5, True, None, "in_progress"),
            (105.9, True, None, "in_progress"),
            (106.0, True, None, "completed"),
            (100.5, False, None, "in_progress"),
            (106.0, False, None, "completed"),
            (106.0, True, 101.0, "cancelled"),
        ],
    )
    def test_its_state_follows_from_its_schedule(
        self, now: float, background: bool, cancelled: float | None, status: str
    ) -> None:
        """RESP-2.10: A response is first queued, then in progress, then done, unless it is cancelled."""
        turn = thinking("a", "b", thought=3, schedule=SOON)
        stored = stored_response(
            ask(RESPONSES, background=background), turn, background=background, cancelled=cancelled
        )
        found = json.loads(render_stored(stored, now, DIALECT))

        assert found["status"] == status
        assert bool(found["output"]) == (status == "completed")

    def test_it_is_the_answer(self) -> None:
        """RESP-3.6: A stored response that is done is the one that was sent."""
        turn = thinking("a", "b", thought=3)

        assert json.loads(render_stored(stored_response(ask(RESPONSES), turn), 200.0, DIALECT)) == answer(
            RESPONSES, turn
        )


def test_options_survive_being_stored() -> None:
    """RESP-5.5: Stored options render the same."""
    assert RESPONSES.storage is not None
    asked = ask(
        RESPONSES,
        instructions="Be brief.",
        tools=[{"type": "function", "name": "f"}],
        metadata={"a": "b"},
        reasoning={"summary": "auto"},
        include=["reasoning.encrypted_content"],
        previous_response_id="resp_1",
        service_tier="flex",
    )
    packed = msgspec.msgpack.encode(asked.options)
    options = msgspec.msgpack.decode(packed, type=RESPONSES.storage.options)
    turn = thinking("Hi", thought=3)

    assert options == asked.options
    assert RESPONSES.render_response(turn, options) == RESPONSES.render_response(turn, asked.options)
    assert frames(RESPONSES.http.render_stream(turn, options)) == frames(
        RESPONSES.http.render_stream(turn, asked.options)
    )


def test_how_responses_are_stored() -> None:
    """RESP-5.4: A response is found by its public id, the one that its client got."""
    storage = RESPONSES.storage
    assert storage is not None
    turn = thinking("Hi")
    options = ask(RESPONSES, store=False, metadata={"a": "b"}, previous_response_id="resp_1").options

    assert storage.public_id(turn) == answer(RESPONSES, turn)["id"]
    assert (storage.should_store(options), storage.is_background(options)) == (False, False)
    assert (storage.metadata(options), storage.previous_id(options)) == ({"a": "b"}, "resp_1")


@pytest.mark.parametrize(
    ("refused", "status", "param", "code", "words"),
    [
        (UnknownResponseError("resp_1"), 404, None, None, "Response with id 'resp_1' not found."),
        (
            UnknownResponseError("resp_1", "previous_response_id"),
            400,
            "previous_response_id",
            "previous_response_not_found",
            "Previous response with id 'resp_1' not found.",
        ),
    ],
)
def test_unknown_responses(
    refused: UnknownResponseError, status: int, param: str | None, code: str | None, words: str
) -> None:
    """RESP-5.4: An unknown response is refused with the API's wording."""
    reply = render_refusal(refused)

    assert reply.status == status
    assert json.loads(reply.body)["error"] == {
        "message": words,
        "type": "invalid_request_error",
        "param": param,
        "code": code,
    }


def test_counting() -> None:
    """RESP-5.6: A count is of the SDK's type."""
    assert InputTokenCountResponse.model_validate_json(render_count(42)).input_tokens == 42


def test_compacting() -> None:
    """RESP-5.6: User messages are kept; the rest becomes a compaction, of as many tokens as its usage says."""
    items = [
        {"role": "user", "content": "One?"},
        {"role": "assistant", "content": "Yes."},
        {"role": "system", "content": "Hm."},
        {"role": "user", "content": "Two?", "id": "msg_two"},
    ]
    asked = parse_compact(body(input=items), DIALECT)
    sent = render_compaction(asked, turn_id="a" * 29, created=1_750_000_000, tokens=400)
    found = json.loads(sent)
    # The SDK's types know no messages of users here, though its docstring does; its client reads them leniently.
    compacted = CompactedResponse.construct(**found)

    assert (compacted.id, compacted.created_at) == (f"resp_{'a' * 29}", 1_750_000_000)
    assert [item["type"] for item in found["output"]] == ["message", "message", "compaction"]
    assert ResponseCompactionItem.model_validate(found["output"][-1]).id == f"cmp_{'a' * 29}"
    assert [item["content"][0]["text"] for item in found["output"][:2]] == ["One?", "Two?"]
    assert (compacted.usage.input_tokens, compacted.usage.output_tokens) == (400, 100)
    again = ask(RESPONSES, input=found["output"])
    assert again.prompt.messages[-1] == Message("assistant", (), extra_tokens=100)


@pytest.mark.parametrize(("tokens", "made"), [(0, 12), (47, 12), (48, 12), (10**6, 2048)])
def test_the_length_of_a_compaction_is_bounded(tokens: int, made: int) -> None:
    """RESP-5.6: The tokens of a compaction are bounded, whatever the length of the conversation."""
    sent = render_compaction(
        parse_compact(body(), DIALECT), turn_id="a" * 29, created=1_750_000_000, tokens=tokens
    )

    assert json.loads(sent)["usage"]["output_tokens"] == made
    again = ask(RESPONSES, input=json.loads(sent)["output"])
    assert again.prompt.messages[-1].extra_tokens == made
