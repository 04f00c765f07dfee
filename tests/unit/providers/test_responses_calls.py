"""Responses: calls of the client's tools, refusals and logprobs, whole and streamed."""

import json
from collections.abc import Sequence
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from openai.types.responses import Response
from support.incoming import incoming
from support.responses_api import (
    answer,
    answering,
    ask,
    calling,
    check_event,
    events,
    frames,
    kinds,
    refusing,
    saying,
    searching,
    stream,
)
from support.turns import tokenized

from llmsim.domain import (
    FinishReason,
    Message,
    PriorToolCall,
    ReasoningSegment,
    RefusalSegment,
    Segment,
    TextSegment,
    TokenLogprob,
    ToolCallSegment,
    ToolKind,
    Turn,
)
from llmsim.errors import ApiRuleError
from llmsim.providers.contract import GenerationEndpoint
from llmsim.providers.openai.responses import DIALECT, RESPONSES
from llmsim.providers.openai_family.responses.history import with_history
from llmsim.providers.openai_family.responses.hosted_items import HOSTED_TOOLS
from llmsim.providers.openresponses.responses import RESPONSES as OPENRESPONSES
from llmsim.providers.storage import StoredResponse
from llmsim.wire.frames import skip

NAMESPACE = {
    "type": "namespace",
    "name": "crm",
    "description": "d",
    "tools": [{"type": "function", "name": "get_weather"}],
}
THINKING = ReasoningSegment(5)
WEATHER = calling("get_weather", '{"city":', ' "Paris', '"}')
TIME = calling("get_time", "{}", id="2")
CODE = calling("run", "print(", '"hé', '\n")', kind=ToolKind.CUSTOM, id="3")

TURNS = {
    "call": answering(WEATHER, finish=FinishReason.TOOL_CALLS),
    "parallel": answering(THINKING, WEATHER, TIME, finish=FinishReason.TOOL_CALLS),
    "custom": answering(CODE, finish=FinishReason.TOOL_CALLS),
    "mixed": answering(THINKING, saying("Let", " me"), WEATHER, finish=FinishReason.TOOL_CALLS),
    "texts": answering(saying("One"), saying("Two", "!")),
    "refusal": answering(refusing("I", " can't")),
    "cut call": answering(WEATHER, calling("get_time", "{", id="2"), finish=FinishReason.LENGTH),
    "cut name": answering(WEATHER, calling("get_time", lead=1, id="2"), finish=FinishReason.LENGTH),
    "cut before": answering(WEATHER, calling("get_time", lead=0, id="2"), finish=FinishReason.LENGTH),
    "no arguments": answering(calling("now"), finish=FinishReason.TOOL_CALLS),
    "filtered": answering(saying("Well", ","), finish=FinishReason.CONTENT_FILTER),
    "nothing but thought": answering(THINKING, finish=FinishReason.LENGTH),
    "hosted": answering(searching("web_search", "a"), searching("mcp", "b", id="2"), saying("So")),
}


@pytest.fixture(params=TURNS)
def turn(request: pytest.FixtureRequest) -> Turn:
    return TURNS[request.param]


def after(turn: Turn, **fields: Any) -> list[tuple[str, int, int]]:
    """Return each event with the tokens that it requires and those that it carries."""
    runs = stream(RESPONSES, turn, **fields)
    return [
        (event["type"].removeprefix("response."), end, tokens)
        for event, (end, tokens, _) in zip(events(runs), frames(runs), strict=True)
    ]


class TestItems:
    """Items of the output."""

    def test_a_function(self) -> None:
        """FIT-1.8: A call of a function has an id of its own and one for its result."""
        assert answer(RESPONSES, TURNS["call"])["output"] == [
            {
                "id": f"fc_{TURNS['call'].id}00",
                "type": "function_call",
                "status": "completed",
                "arguments": '{"city": "Paris"}',
                "call_id": "call_1",
                "name": "get_weather",
            }
        ]

    def test_a_custom_tool(self) -> None:
        """FIT-1.9: A call of a custom tool has free text as its input."""
        assert answer(RESPONSES, TURNS["custom"])["output"] == [
            {
                "id": f"ctc_{TURNS['custom'].id}00",
                "type": "custom_tool_call",
                "status": "completed",
                "input": 'print("hé\n")',
                "call_id": "call_3",
                "name": "run",
            }
        ]

    def test_a_refusal(self) -> None:
        """FIT-4.1: A refusal is a part of the message, instead of a text."""
        answered = answer(RESPONSES, TURNS["refusal"])

        assert answered["output"][0]["content"] == [{"type": "refusal", "refusal": "I can't"}]
        assert (answered["status"], Response.model_validate(answered).output_text) == ("completed", "")

    def test_a_fixed_id(self) -> None:
        """FIT-1.8: An id from a script is used unchanged, whatever its characters."""
        call = calling("f", "{}", fixed_id='call_"mine"')

        assert answer(RESPONSES, answering(call))["output"][0]["call_id"] == 'call_"mine"'

    def test_a_namespace(self) -> None:
        """RESP-6.3: A call of a tool in a namespace names it."""
        output = answer(RESPONSES, TURNS["parallel"], tools=[NAMESPACE])["output"]

        assert [item.get("namespace") for item in output] == [None, "crm", None]

    @pytest.mark.parametrize(
        ("name", "states"),
        [
            ("parallel", ["completed", "completed", "completed"]),
            ("mixed", ["completed", "completed", "completed"]),
            ("cut call", ["completed", "incomplete"]),
            ("cut name", ["completed", "incomplete"]),
            ("cut before", ["incomplete"]),
            ("filtered", ["incomplete"]),
            ("nothing but thought", ["incomplete"]),
        ],
    )
    def test_only_the_last_item_is_truncated(self, name: str, states: list[str]) -> None:
        """FIT-1.11, RESP-2.3: Only the truncated item is incomplete; one without any token under the limit does not exist."""
        answered = answer(OPENRESPONSES, TURNS[name])
        whole = set(states) == {"completed"}

        assert [item["status"] for item in answered["output"]] == states
        assert answered["status"] == ("completed" if whole else "incomplete")

    def test_filtered_content(self) -> None:
        """FIT-4.2: A turn that a filter truncates has that reason."""
        answered = answer(RESPONSES, TURNS["filtered"])

        assert answered["incomplete_details"] == {"reason": "content_filter"}
        assert answered["output"][0]["content"][0]["text"] == "Well,"

    def test_every_item_is_the_sdks(self, turn: Turn) -> None:
        """FIT-1.8: The answer is a `Response` of the SDK."""
        answered = answer(RESPONSES, turn)

        assert len(Response.model_validate(answered).output) == len(answered["output"])


class TestStream:
    """Their events."""

    def test_every_event_is_the_sdks(self, turn: Turn) -> None:
        """FIT-1.8, RESP-3.2: Each event has all fields of its SDK class, and no other."""
        for event in events(stream(RESPONSES, turn)):
            check_event(event)

    def test_the_order_of_a_call(self) -> None:
        """RESP-3.14: The call is announced, then come its arguments, then its end."""
        found = events(stream(RESPONSES, TURNS["call"]))

        assert kinds(stream(RESPONSES, TURNS["call"]))[2:-1] == [
            "output_item.added",
            "function_call_arguments.delta",
            "function_call_arguments.done",
            "output_item.done",
        ]
        assert found[2]["item"] == found[-2]["item"] | {"status": "in_progress", "arguments": ""}
        assert found[-3]["name"] == "get_weather"

    def test_the_order_of_a_custom_call(self) -> None:
        """RESP-3.14: A custom tool call has the same order, with its input."""
        assert kinds(stream(RESPONSES, TURNS["custom"]))[2:-1] == [
            "output_item.added",
            "custom_tool_call_input.delta",
            "custom_tool_call_input.done",
            "output_item.done",
        ]

    def test_the_order_of_a_refusal(self) -> None:
        """RESP-3.15: A refusal is a part of its own kind, without logprobs."""
        found = events(stream(RESPONSES, TURNS["refusal"]))

        assert kinds(stream(RESPONSES, TURNS["refusal"]))[2:-1] == [
            "output_item.added",
            "content_part.added",
            "refusal.delta",
            "refusal.done",
            "content_part.done",
            "output_item.done",
        ]
        assert found[3]["part"] == {"type": "refusal", "refusal": ""}
        assert not any("logprobs" in event for event in found)

    def test_when_a_call_is_sent(self) -> None:
        """RESP-3.14, FIT-1.7: A call is announced with its first token; the first piece of its arguments carries its name."""
        assert after(TURNS["call"])[2:] == [
            ("output_item.added", 1, 0),
            ("function_call_arguments.delta", 3, 3),
            ("function_call_arguments.delta", 4, 1),
            ("function_call_arguments.delta", 5, 1),
            ("function_call_arguments.done", 5, 0),
            ("output_item.done", 5, 0),
            ("completed", 5, 0),
        ]

    def test_when_several_items_are_sent(self) -> None:
        """RESP-3.9: Each item requires the tokens of all items before it."""
        sent = after(TURNS["mixed"])

        assert [(name, end) for name, end, _ in sent if name.startswith("output_item")] == [
            ("output_item.added", 1),
            ("output_item.done", 5),
            ("output_item.added", 6),
            ("output_item.done", 7),
            ("output_item.added", 8),
            ("output_item.done", 12),
        ]
        assert [tokens for _, _, tokens in sent if tokens] == [6, 1, 3, 1, 1]

    @pytest.mark.parametrize(
        ("name", "carriers"),
        [("cut name", ["output_item.done"]), ("nothing but thought", ["incomplete"])],
    )
    def test_tokens_without_a_delta(self, name: str, carriers: list[str]) -> None:
        """RESP-3.10: Tokens that no delta carries are carried by the end of the call, or of the response."""
        carrying = [name for name, _, tokens in after(TURNS[name]) if tokens and "delta" not in name]

        assert carrying == carriers

    def test_arguments_are_padded(self) -> None:
        """RESP-3.8: Pieces of arguments carry padding like those of a text."""
        deltas = [event for event in events(stream(RESPONSES, TURNS["call"])) if "delta" in event]

        assert len(deltas) == 3
        for one in deltas:
            assert (len(json.dumps(one["delta"])) - 2 + len(one["obfuscation"])) % 16 == 0
        bare = stream(RESPONSES, TURNS["call"], stream_options={"include_obfuscation": False})
        assert not any("obfuscation" in event for event in events(bare))

    def test_a_namespace_is_announced(self) -> None:
        """RESP-6.3: The namespace is there from the start."""
        found = events(stream(RESPONSES, TURNS["call"], tools=[NAMESPACE]))

        assert found[2]["item"]["namespace"] == "crm"


def token_logprob(token: bytes, *top: tuple[bytes, float]) -> TokenLogprob:
    return TokenLogprob.ranked(token, -0.25, top)


SURE = saying(
    "Hi",
    " 🦜",
    logprobs=(
        (token_logprob(b"Hi", (b"Hi", -0.25), (b"Yo", -1.5)),),
        (
            token_logprob(b" \xf0\x9f", (b" \xf0\x9f", -0.25)),
            token_logprob(b"\xa6\x9c", (b"\xa6\x9c", -0.25)),
        ),
    ),
)
LOGPROBS = [
    {
        "token": "Hi",
        "bytes": [72, 105],
        "logprob": -0.25,
        "top_logprobs": [
            {"token": "Hi", "bytes": [72, 105], "logprob": -0.25},
            {"token": "Yo", "bytes": [89, 111], "logprob": -1.5},
        ],
    },
    {
        "token": " \\xf0\\x9f",
        "bytes": [32, 240, 159],
        "logprob": -0.25,
        "top_logprobs": [{"token": " \\xf0\\x9f", "bytes": [32, 240, 159], "logprob": -0.25}],
    },
    {
        "token": "\\xa6\\x9c",
        "bytes": [166, 156],
        "logprob": -0.25,
        "top_logprobs": [{"token": "\\xa6\\x9c", "bytes": [166, 156], "logprob": -0.25}],
    },
]


class TestLogprobs:
    """Logprobs of the text."""

    def test_in_the_answer(self) -> None:
        """FIT-3.1: The part has token, bytes, logarithm and alternatives; bytes that are not text are escaped."""
        part = answer(RESPONSES, answering(SURE))["output"][0]["content"][0]

        assert part == {"type": "output_text", "annotations": [], "logprobs": LOGPROBS, "text": "Hi 🦜"}

    @pytest.mark.parametrize("padded", [True, False])
    def test_in_the_stream(self, padded: bool) -> None:
        """FIT-3.1, RESP-3.16: Each delta has the logprobs of its own tokens, the end those of all."""
        asked = {"stream_options": {"include_obfuscation": padded}}
        found = events(stream(RESPONSES, answering(SURE), **asked))
        deltas = [event for event in found if event["type"] == "response.output_text.delta"]
        done = [event for event in found if event["type"] == "response.output_text.done"]

        assert [one["logprobs"] for one in deltas] == [LOGPROBS[:1], LOGPROBS[1:]]
        assert all(("obfuscation" in one) == padded for one in deltas)
        assert [one["logprobs"] for one in done] == [LOGPROBS]
        for event in found:
            check_event(event)

    def test_not_requested(self) -> None:
        """FIT-3.2: The lists are there, and empty."""
        found = events(stream(RESPONSES, answering(saying("Hi"))))

        assert [event["logprobs"] for event in found if "logprobs" in event] == [[], []]


PIECES = st.lists(st.text(min_size=1, max_size=6), max_size=4)
SPANS = st.integers(1, 3)


@st.composite
def segments(draw: st.DrawFn) -> list[Segment]:
    """Draw the segments of a turn, in any order."""
    found: list[Segment] = []
    for number in range(draw(st.integers(0, 5))):
        pieces = draw(PIECES)
        text = tokenized(*pieces, spans=[draw(SPANS) for _ in pieces])
        match draw(
            st.sampled_from(
                [
                    "think",
                    "show reasoning",
                    "say",
                    "logprobs",
                    "refuse",
                    "call",
                    "custom",
                    *HOSTED_TOOLS,
                    "other",
                ]
            )
        ):
            case "think":
                found.append(ReasoningSegment(draw(st.integers(0, 9))))
            case "show reasoning":
                tokens = text.tokens + draw(st.integers(0, 2))
                found.append(ReasoningSegment(tokens, text))
            case "say":
                found.append(TextSegment(text.tokens, text))
            case "logprobs":
                logprobs = tuple((token_logprob(piece.encode()),) for piece in pieces)
                found.append(TextSegment(text.tokens, text, logprobs=logprobs))
            case "refuse":
                found.append(RefusalSegment(text.tokens, text))
            case "call":
                found.append(calling("f", *pieces, id=str(number), lead=draw(st.integers(0, 2))))
            case "custom":
                found.append(calling("g", *pieces, kind=ToolKind.CUSTOM, id=str(number)))
            case hosted:
                found.append(searching(hosted, *pieces, id=str(number), lead=draw(st.integers(0, 2))))
    return found


def joined_deltas(found: Sequence[dict[str, Any]], item: dict[str, Any]) -> dict[str, str]:
    """Join the deltas of an item, by the member that they belong to."""
    joined: dict[str, str] = {}
    for event in found:
        if event.get("item_id") == item["id"] and "delta" in event:
            kind = event["type"].removeprefix("openai:").removesuffix(".delta")
            joined[kind] = joined.get(kind, "") + event["delta"]
    return joined


WHOLE = {
    "response.output_text": lambda item: item["content"][0]["text"],
    "response.refusal": lambda item: item["content"][0]["refusal"],
    "response.reasoning_text": lambda item: item["content"][0]["text"],
    "response.reasoning": lambda item: item["content"][0]["text"],
    "response.reasoning_summary_text": lambda item: item["summary"][0]["text"],
    "response.function_call_arguments": lambda item: item["arguments"],
    "response.custom_tool_call_input": lambda item: item["input"],
    "response.code_interpreter_call_code": lambda item: item["code"],
    "response.mcp_call_arguments": lambda item: item["arguments"],
}


@pytest.mark.parametrize("generation", [RESPONSES, OPENRESPONSES], ids=lambda one: one.label)
@given(
    parts=segments(),
    finish=st.sampled_from([FinishReason.STOP, FinishReason.LENGTH, FinishReason.CONTENT_FILTER]),
    summary=st.booleans(),
    padded=st.booleans(),
)
def test_a_stream_adds_up(
    generation: GenerationEndpoint, parts: list[Segment], finish: FinishReason, summary: bool, padded: bool
) -> None:
    """RESP-3.6, RESP-3.9, RESP-3.10, FIT-1.7: Frames carry each token once and in order; deltas add up to the items.

    And the items are the answer's, whatever a turn consists of.
    """
    turn = answering(*parts, finish=finish)
    fields: dict[str, Any] = {
        "stream_options": {"include_obfuscation": padded},
        "tools": [{"type": "mcp", "server_label": "s"}],
    }
    if summary:
        fields["reasoning"] = {"summary": "auto"}
    runs = stream(generation, turn, **fields)
    found = events(runs)
    ends = [end for end, _, _ in frames(runs)]
    done = [event["item"] for event in found if event["type"] == "response.output_item.done"]
    added = [event["item"] for event in found if event["type"] == "response.output_item.added"]

    assert (ends, ends[-1]) == (sorted(ends), turn.length)
    assert sum(tokens for _, tokens, _ in frames(runs)) == turn.usage.completion
    assert all(tokens >= 0 for _, tokens, _ in frames(runs))
    assert [event["sequence_number"] for event in found] == list(range(len(found)))
    assert found[-1]["response"] == answer(generation, turn, **{**fields, "stream_options": None})
    assert done == found[-1]["response"]["output"]
    assert [item["id"] for item in added] == [item["id"] for item in done]
    assert len({item["id"] for item in done}) == len(done)
    for item in done:
        for kind, text in joined_deltas(found, item).items():
            assert text == WHOLE[kind](item)
    for event in found:
        for name in set(event) & {"text", "refusal", "arguments", "input", "code"}:
            kind = event["type"].removeprefix("openai:").removesuffix(".done")
            item = next(one for one in done if one["id"] == event["item_id"])
            assert event[name] == WHOLE[kind](item)
    if generation is RESPONSES and not any(
        isinstance(one, ToolCallSegment) and one.call.name == "other" for one in parts
    ):
        for event in found:
            check_event(event)


class TestContinued:
    """A request that continues a turn."""

    def test_calls_are_part_of_the_conversation(self) -> None:
        """RESP-5.1: Calls of an earlier response come before their results, and each counts once."""
        first = ask(RESPONSES, input="Weather?")
        stored = StoredResponse(
            prompt=first.prompt, turn=TURNS["parallel"], options=first.options, arrived=1.0
        )
        results = [
            {"type": "function_call_output", "call_id": call_id, "output": "Sunny"}
            for call_id in ("call_1", "call_2")
        ]
        second = with_history(ask(RESPONSES, previous_response_id="resp_1", input=results), stored, DIALECT)

        assert [message.calls for message in second.prompt.messages[1:3]] == [
            (PriorToolCall("call_1", "get_weather", '{"city": "Paris"}'),),
            (PriorToolCall("call_2", "get_time", "{}"),),
        ]
        assert [one.call for one in second.prompt.messages[3].results] == ["call_1"]

    def test_it_counts_like_items_that_are_sent_back(self, turn: Turn) -> None:
        """RESP-5.1: A continued response counts as much as its items when a client sends them back."""
        first = ask(RESPONSES, input="One?")
        stored = StoredResponse(prompt=first.prompt, turn=turn, options=first.options, arrived=1.0)
        output = answer(RESPONSES, turn)["output"]
        results = [
            {"type": f"{item['type']}_output", "call_id": item["call_id"], "output": "ok"}
            for item in output
            if "call_id" in item
        ]
        own = [*results, {"role": "user", "content": "Two?"}]
        asked = ask(RESPONSES, previous_response_id="resp_1", input=own)
        whole = {"model": "gpt-5", "input": [{"role": "user", "content": "One?"}, *output, *own]}
        if output[-1]["type"] == "reasoning":
            with pytest.raises(ApiRuleError, match="required following item"):
                with_history(asked, stored, DIALECT)
            return
        chained = with_history(asked, stored, DIALECT)
        # NOTE: without spaces, as it was put out: an item of a hosted tool counts byte for byte.
        sent = RESPONSES.http.parse(incoming(msgspec.json.encode(whole)))

        assert chained.prompt.messages == sent.prompt.messages

    def test_refusals_count(self) -> None:
        """RESP-5.1: A refusal counts, too."""
        sent = ask(RESPONSES, input=answer(RESPONSES, TURNS["refusal"])["output"])

        assert sent.prompt.messages == (Message("assistant", (), ("I can't",)),)


class TestOpenResponses:
    """The other dialect."""

    def test_functions_are_the_specifications(self) -> None:
        """OPRE-2.4: Events of functions have the specification's names and fields."""
        found = events(stream(OPENRESPONSES, TURNS["call"]))
        done = next(one for one in found if one["type"] == "response.function_call_arguments.done")

        assert set(done) == {"type", "sequence_number", "item_id", "output_index", "arguments"}

    def test_extensions_are_prefixed(self) -> None:
        """OPRE-1.6, OPRE-2.4: Items and events of OpenAI's own have a prefix, and are accepted as input."""
        runs = stream(OPENRESPONSES, TURNS["custom"])
        item = answer(OPENRESPONSES, TURNS["custom"])["output"][0]

        assert item["type"] == "openai:custom_tool_call"
        assert [event["type"] for event in events(runs)][3:7:3] == [
            "openai:response.custom_tool_call_input.delta",
            "openai:response.custom_tool_call_input.done",
        ]
        assert (
            ask(OPENRESPONSES, conversation="conv_1", input=[item]).prompt.messages[0].calls[0].name == "run"
        )


class TestElsewhere:
    """The same over WebSocket, resumed, and stored."""

    def test_a_line_is_an_event(self, turn: Turn) -> None:
        """RESP-4.2: Over WebSocket the events are those of the stream, one per line."""
        assert RESPONSES.websocket is not None
        options = ask(RESPONSES).options
        lines = [data for _, _, data in frames(RESPONSES.websocket.messages.render_stream(turn, options))]

        assert [json.loads(line) for line in lines] == events(RESPONSES.http.render_stream(turn, options))
        assert all(line.count(b"\n") == 1 for line in lines)

    def test_a_resumed_stream_is_the_rest(self, turn: Turn) -> None:
        """RESP-3.11: After each event, the remaining frames are those of the whole stream, tokens included."""
        runs = stream(RESPONSES, turn)
        whole = frames(runs)
        for number in range(-1, len(whole) + 1):
            assert frames(skip(runs, number + 1)) == whole[number + 1 :]

    def test_turns_survive_being_stored(self, turn: Turn) -> None:
        """RESP-5.5: A stored turn and its options render the same."""
        asked = ask(RESPONSES, tools=[NAMESPACE, {"type": "mcp", "server_label": "s"}]).options
        again = msgspec.msgpack.decode(msgspec.msgpack.encode(turn), type=Turn)
        options = msgspec.msgpack.decode(msgspec.msgpack.encode(asked), type=type(asked))

        assert frames(RESPONSES.http.render_stream(again, options)) == frames(
            RESPONSES.http.render_stream(turn, asked)
        )


def test_the_same_turn_gives_the_same_bytes(turn: Turn) -> None:
    """RESP-3.13: Rendering is deterministic."""
    assert frames(stream(RESPONSES, turn)) == frames(stream(RESPONSES, turn))


def test_ids_differ() -> None:
    """RESP-2.9: Each of many items in a turn has its own id."""
    turn = answering(*(calling("f", "{}", id=str(number)) for number in range(300)))
    ids = [item["id"] for item in answer(RESPONSES, turn)["output"]]

    assert len(set(ids)) == 300
