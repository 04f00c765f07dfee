"""Chat completions: rendering, whole and streamed, checked with the types of the official SDK."""

import json
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import pydantic
import pytest
from hypothesis import given
from hypothesis import strategies as st
from openai._streaming import SSEDecoder
from openai.types.chat import ChatCompletion, ChatCompletionChunk
from support.turns import choice, shown_text, tokenized, turn

from llmsim.domain import (
    Choice,
    FinishReason,
    ReasoningSegment,
    TextSegment,
    TokenizedText,
    Turn,
    Usage,
)
from llmsim.planning.tokens import load_tokenizer
from llmsim.providers.openai.chat import ChatOptions
from llmsim.providers.openai.chat_chunks import render_stream
from llmsim.providers.openai.chat_completion import render_response
from llmsim.wire.frames import FrameBatch

PLAIN = ChatOptions(include_obfuscation=False)
COUNTED = ChatOptions(include_usage=True, include_obfuscation=False)
OPTIONS = st.builds(
    ChatOptions,
    include_usage=st.booleans(),
    include_obfuscation=st.booleans(),
    service_tier=st.sampled_from(["default", "flex", "priority"]),
)

NASTY = st.text(
    st.sampled_from("aB \"'\\/\n\r\t\b\f\0\x1f\x7f\x85\u2028\u2029\ufeff\uffff🦜👩‍👧é日<>&%{}[]:,"),
    max_size=30,
) | st.text(max_size=30)


def cut(text: str) -> TokenizedText:
    return load_tokenizer("o200k_base").tokenize(text)


@st.composite
def turns(draw: st.DrawFn) -> Turn:
    answers = [
        choice(
            cut(draw(NASTY)), hidden=draw(st.integers(0, 5)), finish=draw(st.sampled_from(list(FinishReason)))
        )
        for _ in range(draw(st.integers(1, 3)))
    ]
    return turn(*answers, model=draw(st.text(min_size=1, max_size=10)))


def frames(runs: Sequence[FrameBatch]) -> list[tuple[int, int, bytes]]:
    """Return each frame's required tokens, carried tokens and bytes."""
    return [
        (end, run.tokens[index] if run.tokens else 0, run.data(index, index + 1))
        for run in runs
        for index, end in enumerate(run.required_tokens)
    ]


def body(runs: Sequence[FrameBatch]) -> bytes:
    return b"".join(data for _, _, data in frames(runs))


def chunks(answered: Turn, options: ChatOptions) -> list[dict[str, Any]]:
    """Return the chunks as the official SDK parses them from the stream, without `[DONE]`."""
    events = list(SSEDecoder().iter_bytes(iter([body(render_stream(answered, options))])))
    assert events[-1].data == "[DONE]"
    assert all(event.event is None for event in events)
    return [json.loads(event.data) for event in events[:-1]]


def conforms(value: Any, kind: type[pydantic.BaseModel]) -> None:
    """Check `value` strictly against an SDK type, and that the SDK knows every field of it."""
    parsed = kind.model_validate_json(json.dumps(value), strict=True)
    unknown = [(type(node).__name__, set(node.model_extra)) for node in _models(parsed) if node.model_extra]
    assert unknown == []


def _models(node: Any) -> list[pydantic.BaseModel]:
    if isinstance(node, pydantic.BaseModel):
        inner = [found for name in type(node).model_fields for found in _models(getattr(node, name))]
        return [node, *inner]
    return [found for item in node for found in _models(item)] if isinstance(node, list) else []


@given(turns(), OPTIONS)
def test_answers_conform_to_the_sdks_types(answered: Turn, options: ChatOptions) -> None:
    """CHAT-2.7: The body has all fields that the newest SDK requires, of its types, and no unknown field."""
    answer = json.loads(render_response(answered, options))

    conforms(answer, ChatCompletion)
    assert list(answer) == [
        *("id", "object", "created", "model", "choices", "usage", "service_tier", "system_fingerprint")
    ]
    for index, one in enumerate(answer["choices"]):
        assert list(one) == ["index", "message", "logprobs", "finish_reason"]
        assert list(one["message"]) == ["role", "content", "refusal", "annotations"]
        assert one["index"] == index


@given(turns(), OPTIONS)
def test_chunks_conform_to_the_sdks_types(answered: Turn, options: ChatOptions) -> None:
    """CHAT-2.7: Every chunk has all fields that the newest SDK requires, of its types, and no unknown field."""
    for chunk in chunks(answered, options):
        conforms(chunk, ChatCompletionChunk)
        assert chunk["object"] == "chat.completion.chunk"
        assert chunk["service_tier"] == options.service_tier


@given(turns(), OPTIONS)
def test_a_stream_adds_up_to_the_answer(answered: Turn, options: ChatOptions) -> None:
    """CHAT-3.5: The pieces join to the text of the unstreamed answer, choice by choice, whatever the text."""
    answer = json.loads(render_response(answered, options))
    streamed = dict.fromkeys(range(len(answered.choices)), "")
    finished = {}
    for chunk in chunks(answered, options):
        for one in chunk["choices"]:
            assert one["index"] not in finished
            streamed[one["index"]] += one["delta"].get("content", "")
            if one["finish_reason"] is not None:
                finished[one["index"]] = one["finish_reason"]

    assert list(streamed.values()) == [one["message"]["content"] for one in answer["choices"]]
    assert [finished[index] for index in streamed] == [one["finish_reason"] for one in answer["choices"]]


@given(turns(), OPTIONS)
def test_every_frame_holds_whole_events(answered: Turn, options: ChatOptions) -> None:
    """CHAT-3.1: Events are `data: {json}` and an empty line, without an event name; the last is `[DONE]`."""
    events: list[bytes] = []
    for _, _, data in frames(render_stream(answered, options)):
        assert data.endswith(b"\n\n")
        events += data.split(b"\n\n")[:-1]

    assert events[-1] == b"data: [DONE]"
    for event in events[:-1]:
        assert event.startswith(b"data: ")
        assert not {10, 13} & set(event)
        assert json.loads(event[6:])["object"] == "chat.completion.chunk"


@given(turns(), OPTIONS)
def test_frames_are_in_the_order_in_which_they_are_due(answered: Turn, options: ChatOptions) -> None:
    """LAT-2.1: The required tokens never fall from frame to frame; the last frame requires all."""
    ends = [end for end, _, _ in frames(render_stream(answered, options))]

    assert all(before <= after for before, after in pairwise(ends))
    assert ends[-1] == answered.length


@given(turns(), OPTIONS)
def test_frames_carry_the_tokens_of_their_choice(answered: Turn, options: ChatOptions) -> None:
    """CHAT-2.6: All frames together carry the completion tokens, except those of choices without visible text."""
    carried = sum(tokens for _, tokens, _ in frames(render_stream(answered, options)))
    silent = sum(one.tokens for one in answered.choices if not shown(one))

    assert carried == answered.usage.completion - silent


def shown(one: Choice) -> str:
    return "".join(text.text for segment in one.segments if (text := shown_text(segment)))


@given(turns(), OPTIONS)
def test_rendering_is_pure(answered: Turn, options: ChatOptions) -> None:
    """CHAT-3.7: The same turn gives the same bytes, however often and in whatever order it is rendered."""
    first = body(render_stream(answered, options)), render_response(answered, options)
    render_stream(answered, COUNTED)

    assert (body(render_stream(answered, options)), render_response(answered, options)) == first


@given(turns(), OPTIONS)
def test_ids_times_and_models_are_the_same_in_all_chunks(answered: Turn, options: ChatOptions) -> None:
    """CHAT-3.2: `id` and `created` are the same in all chunks, and those of the answer."""
    answer = json.loads(render_response(answered, options))
    shared = ("id", "created", "model", "system_fingerprint", "service_tier")

    for chunk in chunks(answered, options):
        assert {name: chunk[name] for name in shared} == {name: answer[name] for name in shared}


@given(turns(), OPTIONS)
def test_usage_is_in_the_last_chunk_and_null_before(answered: Turn, options: ChatOptions) -> None:
    """CHAT-3.3: With `include_usage` all other chunks carry `"usage": null`; without it no chunk has `usage`."""
    sent = chunks(answered, options)
    answer = json.loads(render_response(answered, options))

    if not options.include_usage:
        assert not any("usage" in chunk for chunk in sent)
        return
    assert [chunk["usage"] for chunk in sent[:-1]] == [None] * (len(sent) - 1)
    assert sent[-1]["usage"] == answer["usage"]
    assert sent[-1]["choices"] == []
    assert all(chunk["choices"] for chunk in sent[:-1])


@given(turns(), OPTIONS)
def test_obfuscation_is_in_all_chunks_or_in_no_chunk(answered: Turn, options: ChatOptions) -> None:
    """CHAT-3.4: Chunks carry `obfuscation` unless it is off; it is empty on finish and usage chunks only."""
    sent = chunks(answered, options)

    assert {("obfuscation" in chunk) for chunk in sent} == {options.include_obfuscation}
    if options.include_obfuscation:
        for chunk in sent:
            ends = not chunk["choices"] or chunk["choices"][0]["finish_reason"] is not None
            assert (chunk["obfuscation"] == "") == ends
            assert chunk["obfuscation"].isalnum() or ends


@given(st.lists(NASTY.filter(bool), min_size=1, max_size=20))
def test_obfuscation_hides_the_length_of_a_piece(pieces: list[str]) -> None:
    """CHAT-3.4: Padded, the events of one stream have lengths of one 16-byte grid."""
    sent = frames(render_stream(turn(choice(tokenized(*pieces))), ChatOptions()))
    texts = [len(data) for _, tokens, data in sent if tokens]

    assert len({length % 16 for length in texts}) == 1


def test_chunks_come_in_order() -> None:
    """CHAT-3.2: Role, text, finish, usage: deltas, logprobs and reasons as the API sends them."""
    sent = chunks(turn(), COUNTED)

    assert [chunk["choices"] for chunk in sent] == [
        [{"index": 0, "delta": delta, "logprobs": None, "finish_reason": reason}]
        for delta, reason in [
            ({"role": "assistant", "content": ""}, None),
            ({"content": "Hello"}, None),
            ({"content": " world"}, None),
            ({}, "stop"),
        ]
    ] + [[]]
    assert [list(chunk) for chunk in sent[:1]] == [
        ["id", "object", "created", "model", "service_tier", "system_fingerprint", "choices", "usage"]
    ]


def test_the_role_is_sent_with_the_first_visible_token() -> None:
    """CHAT-3.6: The role chunk carries no token and requires the first visible one, with or without reasoning."""
    plain = frames(render_stream(turn(), PLAIN))
    reasoned = frames(render_stream(turn(choice(tokenized("Hi", "!"), hidden=5)), PLAIN))

    assert [(end, tokens) for end, tokens, _ in plain] == [(1, 0), (1, 1), (2, 1), (2, 0), (2, 0)]
    assert [(end, tokens) for end, tokens, _ in reasoned] == [(6, 0), (6, 6), (7, 1), (7, 0), (7, 0)]


def test_reasoning_is_hidden_and_counted() -> None:
    """CHAT-2.5: No chunk and no message shows reasoning; the usage counts it."""
    answered = turn(choice(tokenized("Hi"), hidden=5))
    answer = json.loads(render_response(answered, PLAIN))

    assert answer["usage"]["completion_tokens"] == 6
    assert answer["usage"]["completion_tokens_details"]["reasoning_tokens"] == 5
    assert answer["choices"][0]["message"]["content"] == "Hi"
    assert len(chunks(answered, PLAIN)) == 3


def test_reasoning_with_a_text_is_shown() -> None:
    """SCEN-4.2: Before the answer, in a member of its own; each token is carried once."""
    thought = tokenized("Hm", ", ", "so")
    text = tokenized("Hi", "!")
    answered = turn(Choice((ReasoningSegment(3, thought), TextSegment(2, text)), FinishReason.STOP))
    message = json.loads(render_response(answered, PLAIN))["choices"][0]["message"]
    deltas = [chunk["choices"][0]["delta"] for chunk in chunks(answered, PLAIN)]

    assert (message["reasoning_content"], message["content"]) == ("Hm, so", "Hi!")
    assert deltas == [
        {"role": "assistant", "content": ""},
        *({"reasoning_content": piece} for piece in thought.pieces),
        *({"content": piece} for piece in text.pieces),
        {},
    ]
    carried = [(end, tokens) for end, tokens, _ in frames(render_stream(answered, PLAIN))]
    assert carried == [(1, 0), (1, 1), (2, 1), (3, 1), (4, 1), (5, 1), (5, 0), (5, 0)]


def test_pieces_of_several_tokens_count_as_many() -> None:
    """CHAT-3.5: A piece of several tokens requires and carries all of them."""
    answered = turn(choice(tokenized("Hi", " 🦜", "!", spans=[1, 3, 1])))

    carried = [(end, tokens) for end, tokens, _ in frames(render_stream(answered, PLAIN))]
    assert carried == [(1, 0), (1, 1), (4, 3), (5, 1), (5, 0), (5, 0)]


@pytest.mark.parametrize("hidden", [0, 7])
def test_an_empty_text_has_a_role_and_an_end(hidden: int) -> None:
    """CHAT-3.2: Without text, the role and finish chunks are sent when all tokens exist."""
    answered = turn(choice(tokenized(), hidden=hidden, finish=FinishReason.LENGTH))
    sent = chunks(answered, PLAIN)

    assert [chunk["choices"][0]["delta"] for chunk in sent] == [{"role": "assistant", "content": ""}, {}]
    assert sent[1]["choices"][0]["finish_reason"] == "length"
    assert [end for end, _, _ in frames(render_stream(answered, PLAIN))] == [hidden] * 3
    assert json.loads(render_response(answered, PLAIN))["choices"][0]["message"]["content"] == ""


def test_choices_interleave_token_by_token() -> None:
    """CHAT-2.3: Streamed choices interleave, each with its own role and finish chunk, and its own end."""
    answered = turn(
        choice(tokenized("a", "b", "c")),
        choice(tokenized("x"), finish=FinishReason.LENGTH),
        choice(tokenized("p", "q")),
    )
    order = [
        (one["index"], one["delta"].get("content"), one["finish_reason"])
        for chunk in chunks(answered, PLAIN)
        for one in chunk["choices"]
    ]

    assert order == [
        (0, "", None),
        (0, "a", None),
        (1, "", None),
        (1, "x", None),
        (1, None, "length"),
        (2, "", None),
        (2, "p", None),
        (0, "b", None),
        (2, "q", None),
        (2, None, "stop"),
        (0, "c", None),
        (0, None, "stop"),
    ]


@given(turns())
def test_no_choice_runs_ahead(answered: Turn) -> None:
    """CHAT-2.3: At any frame, every choice has sent the pieces that its tokens allow, and no more."""
    seen: dict[int, int] = {}
    for end, tokens, data in frames(render_stream(answered, PLAIN)):
        if tokens:
            index = json.loads(data[6:])["choices"][0]["index"]
            seen[index] = seen.get(index, 0) + tokens
            assert seen[index] == end


@pytest.mark.parametrize(
    ("finish", "word"),
    [
        (FinishReason.STOP, "stop"),
        (FinishReason.LENGTH, "length"),
        (FinishReason.TOOL_CALLS, "tool_calls"),
        (FinishReason.CONTENT_FILTER, "content_filter"),
    ],
)
def test_finish_reasons_have_the_names_of_the_api(finish: FinishReason, word: str) -> None:
    """CHAT-2.1: The finish reason has the API's name, whole and streamed."""
    answered = turn(choice(tokenized("Hi"), finish=finish))

    assert json.loads(render_response(answered, PLAIN))["choices"][0]["finish_reason"] == word
    assert chunks(answered, PLAIN)[-1]["choices"][0]["finish_reason"] == word


def test_usage_has_all_its_details() -> None:
    """CHAT-2.6: Usage has the total and its details."""
    answered = turn(usage=Usage(prompt=11, completion=7, reasoning=3))

    assert json.loads(render_response(answered, PLAIN))["usage"] == {
        "prompt_tokens": 11,
        "completion_tokens": 7,
        "total_tokens": 18,
        "prompt_tokens_details": {"cached_tokens": 0, "audio_tokens": 0},
        "completion_tokens_details": {
            "reasoning_tokens": 3,
            "audio_tokens": 0,
            "accepted_prediction_tokens": 0,
            "rejected_prediction_tokens": 0,
        },
    }


@given(st.text(max_size=20), st.text(max_size=20))
def test_fingerprints_differ_by_model(model: str, other: str) -> None:
    """CHAT-2.7: `system_fingerprint` depends on the model only."""
    prints = [
        json.loads(render_response(turn(model=name), PLAIN))["system_fingerprint"] for name in (model, other)
    ]

    assert all(one.startswith("fp_") and len(one) == 13 for one in prints)
    assert (prints[0] == prints[1]) == (model == other)
