"""Chat completions: parsing of requests."""

import json
from typing import Any

import pytest
from msgspec.structs import replace
from support.incoming import incoming

from llmsim.domain import Image, Message, PriorToolCall, Prompt, ToolResult
from llmsim.errors import InvalidFieldError, RefusedError
from llmsim.providers.contract import ParsedRequest
from llmsim.providers.openai.chat import ChatOptions
from llmsim.providers.openai.chat import parse as parse_request
from llmsim.providers.openai.errors import render_refusal


def parse(body: bytes) -> Any:
    """Parse a body."""
    return parse_request(incoming(body))


USER = {"role": "user", "content": "Hello"}


def body(**fields: Any) -> bytes:
    """Return the body of a valid request with `fields` replaced; a field that is `...` is omitted."""
    request = {"model": "gpt-4o", "messages": [USER]} | fields
    return json.dumps({name: value for name, value in request.items() if value is not ...}).encode()


def ask(**fields: Any) -> ParsedRequest:
    """Parse a request, whichever way; see `ParsedRequest.is_texts`."""
    return replace(parse(body(**fields)), is_texts=False)


def prompt(**fields: Any) -> Prompt:
    return ask(**fields).prompt


def message(**fields: Any) -> Message:
    return prompt(messages=[fields]).messages[0]


CALLING = {
    "role": "assistant",
    "tool_calls": [{"id": "call_1", "type": "function", "function": {"name": "f", "arguments": "{}"}}],
}


def tool_result(content: Any) -> Message:
    """Return the message of a tool result."""
    result = {"role": "tool", "content": content, "tool_call_id": "call_1"}
    return prompt(messages=[USER, CALLING, result]).messages[2]


def error(**fields: Any) -> dict[str, Any]:
    """Return the error of a refused request, as the client gets it."""
    with pytest.raises(RefusedError) as refused:
        parse(body(**fields))
    reply = render_refusal(refused.value)
    assert reply.status == 400
    envelope: dict[str, Any] = json.loads(reply.body)
    assert list(envelope) == ["error"]
    assert list(envelope["error"]) == ["message", "type", "param", "code"]
    assert envelope["error"]["type"] == "invalid_request_error"
    return {name: value for name, value in envelope["error"].items() if name != "type"}


class TestMessages:
    """Roles and contents."""

    def test_the_shortest_request_has_every_default(self) -> None:
        """CHAT-1.7: Omitted fields have their defaults."""
        assert ask() == ParsedRequest(
            Prompt(model="gpt-4o", messages=(Message("user", ("Hello",)),)),
            ChatOptions(include_usage=False, include_obfuscation=True, service_tier="default"),
        )

    @pytest.mark.parametrize("role", ["system", "developer", "user", "assistant"])
    def test_roles_with_a_name(self, role: str) -> None:
        """CHAT-1.1: Messages take a string and a name."""
        assert message(role=role, content="Hi", name="ann") == Message(role, ("Hi",), name="ann")

    def test_tool_results(self) -> None:
        """CHAT-1.1: A tool result names its call by id."""
        assert tool_result("42") == Message("tool", (), results=(ToolResult("call_1", "42"),))

    def test_function_results(self) -> None:
        """CHAT-1.1: A function result has the function's name, and a string or null."""
        for content, text in (("42", "42"), (None, "")):
            parsed = message(role="function", name="f", content=content)

            assert parsed == Message("function", (), name="f", results=(ToolResult("f", text),))

    @pytest.mark.parametrize("role", ["system", "developer", "user", "assistant"])
    def test_content_may_be_text_parts(self, role: str) -> None:
        """CHAT-1.1: Every role takes a list of text parts."""
        parts = [{"type": "text", "text": "one"}, {"type": "text", "text": "two"}]

        assert message(role=role, content=parts).texts == ("one", "two")

    def test_a_tool_result_may_have_text_parts(self) -> None:
        """CHAT-1.1: A tool result takes text parts, too, and joins them."""
        parts = [{"type": "text", "text": "one"}, {"type": "text", "text": "two"}]

        assert tool_result(parts).results == (ToolResult("call_1", "onetwo"),)

    def test_user_messages_take_images(self) -> None:
        """CHAT-1.4: Images are parsed with their path and detail; an omitted or null detail is `auto`."""
        urls: list[dict[str, Any]] = [
            {"url": "https://example.com/cat.png"},
            {"url": "data:image/png;base64,iVBOR", "detail": "low"},
            {"url": "https://x/y", "detail": None},
            {"url": "https://x/y", "detail": "high"},
            {"url": "https://x/y", "detail": "original"},
        ]
        parts = [{"type": "text", "text": "Look"}, *({"type": "image_url", "image_url": url} for url in urls)]
        shown = prompt(messages=[USER, {"role": "user", "content": parts}])

        assert shown.messages[1] == Message("user", ("Look",))
        assert shown.images == tuple(
            Image(("messages", 1, "content", position), detail)
            for position, detail in enumerate(["auto", "low", "auto", "high", "original"], start=1)
        )

    @pytest.mark.parametrize(("size", "tokens"), [(0, 0), (1, 1), (6400, 1), (6401, 2), (64_000, 10)])
    def test_user_messages_take_audio(self, size: int, tokens: int) -> None:
        """CHAT-1.1: Audio counts by its length: 4,800 bytes, a tenth of a second, are one token."""
        audio = {"type": "input_audio", "input_audio": {"data": "A" * size, "format": "wav"}}

        spoken = prompt(model="gpt-audio", messages=[{"role": "user", "content": [audio]}])
        assert spoken.messages[0].extra_tokens == tokens

    def test_user_messages_take_files(self) -> None:
        """CHAT-1.1: A file, by content or id, counts like an image in full detail."""
        files = [{"file_id": "file-1"}, {"file_data": "data:application/pdf;base64,AA", "filename": "a.pdf"}]
        parts = [{"type": "file", "file": file} for file in files]

        assert message(role="user", content=parts).extra_tokens == 2 * 765

    def test_assistant_messages_take_refusals(self) -> None:
        """CHAT-1.1: A refusal, as part or field, is counted and never echoed."""
        parts = [{"type": "text", "text": "Well"}, {"type": "refusal", "refusal": "No."}]

        assert message(role="assistant", content=parts) == Message("assistant", ("Well",), ("No.",))
        assert message(role="assistant", refusal="Never.") == Message("assistant", (), ("Never.",))

    def test_assistant_messages_take_calls(self) -> None:
        """CHAT-1.1: Calls of tools and functions are counted by their names and arguments."""
        calls = [
            {"id": "call_1", "type": "function", "function": {"name": "f", "arguments": "{}"}},
            {"id": "call_2", "type": "custom", "custom": {"name": "g", "input": "free text"}},
        ]
        answers = [{"role": "tool", "content": "", "tool_call_id": call["id"]} for call in calls]
        called = prompt(
            messages=[{"role": "assistant", "content": None, "tool_calls": calls}, *answers]
        ).messages[0]
        old = message(role="assistant", function_call={"name": "f", "arguments": "{}"})

        past = (PriorToolCall("call_1", "f", "{}"), PriorToolCall("call_2", "g", "free text"))
        assert called == Message("assistant", (), calls=past)
        assert old == Message("assistant", (), calls=(PriorToolCall("f", "f", "{}"),))

    @pytest.mark.parametrize(
        "fields", [{}, {"content": None}, {"tool_calls": []}, {"tool_calls": None, "refusal": None}]
    )
    def test_an_empty_assistant_message_is_refused(self, fields: dict[str, Any]) -> None:
        """CHAT-1.1: Without calls and refusal an assistant message needs content."""
        assert error(messages=[USER, {"role": "assistant", **fields}]) == {
            "message": "Invalid type for 'messages[1].content': expected a string or an array, but got null instead.",
            "param": "messages[1].content",
            "code": "invalid_type",
        }

    @pytest.mark.parametrize("kind", ["function", "custom"])
    def test_a_call_without_its_member_is_refused(self, kind: str) -> None:
        """CHAT-1.2: A call must have the member that its type names."""
        calls = [{"id": "call_1", "type": kind}]

        assert error(messages=[{"role": "assistant", "tool_calls": calls}]) == {
            "message": f"Missing required parameter: 'messages[0].tool_calls[0].{kind}'.",
            "param": f"messages[0].tool_calls[0].{kind}",
            "code": "missing_required_parameter",
        }

    @pytest.mark.parametrize(
        ("role", "kind", "kinds"),
        [
            ("system", "image_url", "'text'"),
            ("developer", "file", "'text'"),
            ("tool", "refusal", "'text'"),
            ("user", "refusal", "'text', 'image_url', 'input_audio', and 'file'"),
            ("user", "video", "'text', 'image_url', 'input_audio', and 'file'"),
            ("assistant", "image_url", "'text' and 'refusal'"),
        ],
    )
    def test_a_part_of_another_role_is_refused(self, role: str, kind: str, kinds: str) -> None:
        """CHAT-1.2: The refusal names the part, and the types that this role takes."""
        sent = {"role": role, "content": [{"type": kind}], "tool_call_id": "call_1"}

        assert error(messages=[USER, sent]) == {
            "message": f"Invalid value: '{kind}'. Supported values are: {kinds}.",
            "param": "messages[1].content[0].type",
            "code": "invalid_value",
        }


REFUSALS: list[tuple[dict[str, Any], str, str | None, str | None]] = [
    ({"model": ...}, "Missing required parameter: 'model'.", "model", "missing_required_parameter"),
    (
        {"model": None},
        "Invalid type for 'model': expected a string, but got null instead.",
        "model",
        "invalid_type",
    ),
    (
        {"model": ""},
        "Invalid 'model': empty string. Expected a string with minimum length 1, but got an empty string instead.",
        "model",
        "empty_string",
    ),
    (
        {"model": "m" * 257},
        "Invalid 'model': string too long. Expected a string with maximum length 256, but got a string with length 257 instead.",
        "model",
        "string_above_max_length",
    ),
    ({"messages": ...}, "Missing required parameter: 'messages'.", "messages", "missing_required_parameter"),
    (
        {"messages": []},
        "Invalid 'messages': empty array. Expected an array with minimum length 1, but got an empty array instead.",
        "messages",
        "empty_array",
    ),
    (
        {"messages": "Hello"},
        "Invalid type for 'messages': expected an array, but got a string instead.",
        "messages",
        "invalid_type",
    ),
    (
        {"messages": [USER, "Hello"]},
        "Invalid type for 'messages[1]': expected an object, but got a string instead.",
        "messages[1]",
        "invalid_type",
    ),
    (
        {"messages": [USER, {"role": "bot", "content": "x"}]},
        "Invalid value: 'bot'. Supported values are: 'system', 'developer', 'user', 'assistant', 'tool', and 'function'.",
        "messages[1].role",
        "invalid_value",
    ),
    (
        {"messages": [{"role": 5, "content": "x"}]},
        "Invalid value: '5'. Supported values are: 'system', 'developer', 'user', 'assistant', 'tool', and 'function'.",
        "messages[0].role",
        "invalid_value",
    ),
    (
        {"messages": [{"content": "x"}]},
        "Missing required parameter: 'messages[0].role'.",
        "messages[0].role",
        "missing_required_parameter",
    ),
    (
        {"messages": [{"role": "user"}]},
        "Missing required parameter: 'messages[0].content'.",
        "messages[0].content",
        "missing_required_parameter",
    ),
    (
        {"messages": [{"role": "user", "content": 5}]},
        "Invalid type for 'messages[0].content': expected a string or an array, but got an integer instead.",
        "messages[0].content",
        "invalid_type",
    ),
    (
        {"messages": [{"role": "user", "content": []}]},
        "Invalid 'messages[0].content': empty array. Expected an array with minimum length 1, but got an empty array instead.",
        "messages[0].content",
        "empty_array",
    ),
    (
        {"messages": [{"role": "user", "content": [{"type": "text"}]}]},
        "Missing required parameter: 'messages[0].content[0].text'.",
        "messages[0].content[0].text",
        "missing_required_parameter",
    ),
    (
        {"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": "http://x"}]}]},
        "Invalid type for 'messages[0].content[0].image_url': expected an object, but got a string instead.",
        "messages[0].content[0].image_url",
        "invalid_type",
    ),
    (
        {"messages": [{"role": "tool", "content": "x"}]},
        "Missing required parameter: 'messages[0].tool_call_id'.",
        "messages[0].tool_call_id",
        "missing_required_parameter",
    ),
    (
        {"stream_options": {"include_usage": True}},
        "The 'stream_options' parameter is only allowed when 'stream' is enabled.",
        "stream_options",
        "invalid_value",
    ),
    (
        {"stream": False, "stream_options": {}},
        "The 'stream_options' parameter is only allowed when 'stream' is enabled.",
        "stream_options",
        "invalid_value",
    ),
    (
        {"max_tokens": 5, "max_completion_tokens": 5},
        "Setting 'max_tokens' and 'max_completion_tokens' at the same time is not supported.",
        "max_tokens",
        "invalid_value",
    ),
    (
        {"temperature": 2.5},
        "Invalid 'temperature': decimal above maximum value. Expected a value <= 2, but got 2.5 instead.",
        "temperature",
        "decimal_above_max_value",
    ),
    (
        {"n": 0},
        "Invalid 'n': integer below minimum value. Expected a value >= 1, but got 0 instead.",
        "n",
        "integer_below_min_value",
    ),
    (
        {"n": "1"},
        "Invalid type for 'n': expected an integer, but got a string instead.",
        "n",
        "invalid_type",
    ),
    (
        {"stop": ["a", "b", "c", "d", "e"]},
        "Invalid 'stop': array too long. Expected an array with maximum length 4, but got an array with length 5 instead.",
        "stop",
        "array_above_max_length",
    ),
    (
        {"stop": ["a", 5]},
        "Invalid type for 'stop[1]': expected a string, but got an integer instead.",
        "stop[1]",
        "invalid_type",
    ),
    (
        {"stop": {}},
        "Invalid type for 'stop': expected a string or an array, but got an object instead.",
        "stop",
        "invalid_type",
    ),
    (
        {"logit_bias": {"50256": 0, "7": -100.5}},
        "Invalid 'logit_bias.7': decimal below minimum value. Expected a value >= -100, but got -100.5 instead.",
        "logit_bias.7",
        "decimal_below_min_value",
    ),
    (
        {
            "messages": [
                {
                    "role": "assistant",
                    "tool_calls": [{"id": "c" * 65, "function": {"name": "f", "arguments": ""}}],
                }
            ]
        },
        (
            "Invalid 'messages[0].tool_calls[0].id': string too long. Expected a string with maximum length 64, but got a string "
            "with length 65 instead."
        ),
        "messages[0].tool_calls[0].id",
        "string_above_max_length",
    ),
    (
        {"metadata": {f"key{number}": "" for number in range(17)}},
        "Invalid 'metadata': too many properties. Expected an object with at most 16 properties, but got an object with 17 properties instead.",
        "metadata",
        "object_above_max_properties",
    ),
    (
        {"metadata": {"k" * 65: "v"}},
        (
            f"Invalid property name in 'metadata': '{'k' * 65}' is too long. Expected a string with maximum length 64, but got a "
            "string with length 65 instead."
        ),
        "metadata",
        "property_name_above_max_length",
    ),
    (
        {"metadata": {"a": "", "k": "v" * 513}},
        "Invalid 'metadata.k': string too long. Expected a string with maximum length 512, but got a string with length 513 instead.",
        "metadata.k",
        "string_above_max_length",
    ),
    (
        {"metadata": {"k": 5}},
        "Invalid type for 'metadata.k': expected a string, but got an integer instead.",
        "metadata.k",
        "invalid_type",
    ),
    (
        {"modalities": ["text", "smell"]},
        "Invalid value: 'smell'. Supported values are: 'audio' and 'text'.",
        "modalities[1]",
        "invalid_value",
    ),
    (
        {"verbosity": "chatty"},
        "Invalid value: 'chatty'. Supported values are: 'high', 'low', and 'medium'.",
        "verbosity",
        "invalid_value",
    ),
    (
        {"reasoning_effort": "extreme"},
        "Invalid value: 'extreme'. Supported values are: 'high', 'low', 'max', 'medium', 'minimal', 'none', and 'xhigh'.",
        "reasoning_effort",
        "invalid_value",
    ),
    (
        {"service_tier": "gold"},
        "Invalid value: 'gold'. Supported values are: 'auto', 'default', 'fast', 'flex', 'priority', and 'scale'.",
        "service_tier",
        "invalid_value",
    ),
]


@pytest.mark.parametrize(
    ("fields", "text", "param", "code"), REFUSALS, ids=[str(fields)[:60] for fields, *_ in REFUSALS]
)
def test_refusals_have_the_wording_of_the_api(
    fields: dict[str, Any], text: str, param: str | None, code: str | None
) -> None:
    """CHAT-1.2: Each refusal has its message, with the field in `param` and the kind in `code`."""
    assert error(**fields) == {"message": text, "param": param, "code": code}


@pytest.mark.parametrize(
    "fields",
    [
        {"stream_options": {}},
        {"stream_options": {"include_usage": True}, "stream": None},
        {"max_tokens": 1, "max_completion_tokens": 1},
    ],
)
def test_conflicting_fields_are_refused(fields: dict[str, Any]) -> None:
    """CHAT-1.6: Stream options without a stream, and two limits at once, are refused by name."""
    assert error(**fields)["param"] in fields


NEEDED: dict[str, dict[str, Any]] = {
    "top_logprobs": {"logprobs": True},
    "parallel_tool_calls": {"tools": [{"type": "function", "function": {"name": "f"}}]},
}
"""Fields that another field requires."""


@pytest.mark.parametrize(
    ("field", "least", "most", "step"),
    [
        ("temperature", 0, 2, 0.01),
        ("top_p", 0, 1, 0.01),
        ("frequency_penalty", -2, 2, 0.01),
        ("presence_penalty", -2, 2, 0.01),
        ("n", 1, 128, 1),
        ("top_logprobs", 0, 20, 1),
        ("seed", -(2**63), 2**63 - 1, 1),
    ],
)
def test_ranges_are_checked_at_both_ends(field: str, least: float, most: float, step: float) -> None:
    """CHAT-1.5: The bounds are inclusive; a value beyond them is refused by name."""
    for value in (least, most):
        ask(**{field: value}, **NEEDED.get(field, {}))
    for value, rule in ((least - step, "below_min_value"), (most + step, "above_max_value")):
        refusal = error(**{field: value})
        assert refusal["param"] == field
        assert refusal["code"].endswith(rule)
        assert refusal["message"].startswith(f"Invalid '{field}': ")


@pytest.mark.parametrize("field", ["max_tokens", "max_completion_tokens"])
def test_a_limit_is_at_least_one(field: str) -> None:
    """CHAT-2.1: Either limit is accepted from 1 on."""
    assert prompt(**{field: 1}).limit == 1
    assert error(**{field: 0})["code"] == "integer_below_min_value"


@pytest.mark.parametrize(
    ("field", "words"),
    [
        ("reasoning_effort", ["none", "minimal", "low", "medium", "high", "xhigh", "max"]),
        ("verbosity", ["low", "medium", "high"]),
        ("service_tier", ["auto", "default", "flex", "scale", "priority", "fast"]),
    ],
)
def test_choices_are_accepted(field: str, words: list[str]) -> None:
    """CHAT-1.5: All values of the newest SDK are accepted; a number or list is refused."""
    for word in words:
        ask(model="acme-1", **{field: word})
    for other in (5, True, ["low"], {}):
        assert error(**{field: other})["param"] == field


@pytest.mark.parametrize("modalities", [["text"], []])
def test_modalities_are_accepted(modalities: list[str]) -> None:
    """CHAT-1.5: The output types of the SDK are accepted."""
    ask(modalities=modalities)


@pytest.mark.parametrize("field", ["logprobs", "parallel_tool_calls", "store", "stream"])
def test_booleans_are_booleans(field: str) -> None:
    """CHAT-1.2: A string or number instead of a boolean is refused by name."""
    ask(**{field: True}, **NEEDED.get(field, {}))
    for other in ("true", 1, [], {}):
        assert error(**{field: other}) | {"message": ""} == {
            "message": "",
            "param": field,
            "code": "invalid_type",
        }


def test_texts_are_accepted_up_to_their_bounds() -> None:
    """CHAT-1.5: 16 pairs of 64 and 512 characters, counted as characters, and 4 stop texts are accepted."""
    ask(metadata={"🦜" * 62 + f"{number:02}": "é" * 512 for number in range(16)}, stop=["a", "b", "c", "d"])
    ask(logit_bias={"50256": -100, "1": 100}, user="u", model="m" * 256)


OPTIONAL = [
    *(
        "frequency_penalty",
        "function_call",
        "functions",
        "response_format",
        "tool_choice",
        "tools",
        "logit_bias",
        "logprobs",
        "max_completion_tokens",
        "max_tokens",
        "metadata",
    ),
    *("modalities", "n", "parallel_tool_calls", "presence_penalty", "reasoning_effort", "seed"),
    *("service_tier", "stop", "store", "stream", "stream_options", "temperature", "top_logprobs", "top_p"),
    *("user", "verbosity"),
]


def test_null_is_accepted_for_every_optional_field() -> None:
    """CHAT-1.7: `null` means the same as an omitted field."""
    assert ask(**dict.fromkeys(OPTIONAL)) == ask()


@pytest.mark.parametrize(
    "fields",
    [
        {"role": "user", "content": "Hello", "name": None},
        {"role": "assistant", "content": "Hello", "refusal": None, "tool_calls": None, "function_call": None},
        {"role": "assistant", "content": "Hello", "name": None, "audio": None},
    ],
)
def test_null_is_accepted_in_messages(fields: dict[str, Any]) -> None:
    """CHAT-1.7: Messages take null, too: SDKs send back what they received, nulls included."""
    assert message(**fields) == Message(fields["role"], ("Hello",))


def test_null_is_accepted_in_stream_options() -> None:
    """CHAT-1.7: Stream options take null, too."""
    options = {"include_usage": None, "include_obfuscation": None}

    assert ask(stream=True, stream_options=options).options == ChatOptions()


@pytest.mark.parametrize(
    "fields",
    [
        {"future": {"deep": [1, 2, {"x": None}]}},
        {"messages": [{**USER, "future": 1}]},
        {"messages": [{"role": "user", "content": [{"type": "text", "text": "Hello", "cache": {}}]}]},
    ],
)
def test_unknown_fields_are_ignored(fields: dict[str, Any]) -> None:
    """CHAT-1.7: Unknown fields are ignored at any depth."""
    assert ask(**fields) == ask()


@pytest.mark.parametrize(
    "fields",
    [
        {"temperature": 0.7},
        {"top_p": 0.5},
        {"frequency_penalty": 1, "presence_penalty": -1.5},
        {"logit_bias": {"1": 5}},
        {"metadata": {"team": "a"}},
        {"modalities": ["text"]},
        {"store": True, "user": "u", "verbosity": "low"},
    ],
)
def test_checked_fields_have_no_other_effect(fields: dict[str, Any]) -> None:
    """CHAT-1.5: Fields that are only checked do not reach the planner."""
    assert prompt(model="acme-1", **fields) == prompt(model="acme-1")


class TestEffects:
    """Fields with an effect."""

    def test_limits_stops_and_choices_reach_the_prompt(self) -> None:
        """CHAT-2.1: The limit; CHAT-2.2: the stop texts; CHAT-2.3: the number of choices."""
        assert prompt(max_completion_tokens=7, stop="\n", n=3) == Prompt(
            model="gpt-4o", messages=(Message("user", ("Hello",)),), limit=7, stop=("\n",), choices=3
        )
        assert prompt(stop=["a", "b"]).stop == ("a", "b")
        assert prompt(stop=[]).stop == ()

    def test_seed_effort_and_stream_reach_the_prompt(self) -> None:
        """CHAT-2.4: The seed, zero too; CHAT-2.5: the effort; and whether to stream."""
        assert (prompt(seed=0).seed, prompt(seed=-5).seed, prompt().seed) == (0, -5, None)
        assert prompt(model="o3", reasoning_effort="low").effort == "low"
        assert (prompt(stream=True).stream, prompt(stream=False).stream) == (True, False)

    def test_stream_options_reach_the_renderer(self) -> None:
        """CHAT-3.3: Usage is off, CHAT-3.4: obfuscation is on, unless the options say otherwise."""
        given = ask(stream=True, stream_options={"include_usage": True, "include_obfuscation": False}).options

        assert given == ChatOptions(include_usage=True, include_obfuscation=False)

    @pytest.mark.parametrize(
        ("asked", "served"),
        [
            (None, "default"),
            ("auto", "default"),
            ("default", "default"),
            ("flex", "flex"),
            ("scale", "scale"),
            ("priority", "priority"),
            ("fast", "priority"),
        ],
    )
    def test_the_tier_is_reported_as_served(self, asked: str | None, served: str) -> None:
        """CHAT-2.7: The response reports the tier that served it."""
        assert ask(service_tier=asked).options.service_tier == served

    def test_any_model_name_is_accepted(self) -> None:
        """API-3.4: A generating endpoint accepts any model name."""
        assert prompt(model="日本/模型 \x00\n:v1").model == "日本/模型 \x00\n:v1"


def test_a_body_that_is_not_an_object_is_refused() -> None:
    """CHAT-1.2: JSON of another type is refused as a wrong type."""
    for other in (b"[]", b"5", b'"x"', b"null", b"true"):
        with pytest.raises(InvalidFieldError) as refused:
            parse(other)
        assert json.loads(render_refusal(refused.value).body)["error"]["param"] is None
