"""Responses: parsing of requests."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmsim.domain import Image, Message, PriorToolCall, Prompt, ToolResult
from llmsim.errors import InvalidFieldError, InvalidJsonError, RefusedError
from llmsim.providers.contract import ParsedRequest
from llmsim.providers.openai.errors import render_refusal
from llmsim.providers.openai.responses import DIALECT
from llmsim.providers.openai_family.responses.parse import parse, parse_compact, parse_count, parse_event
from llmsim.providers.openai_family.responses.request import Request


def body(**fields: Any) -> bytes:
    """Return the body of a valid request with `fields` replaced; a field that is `...` is omitted."""
    request = {"model": "gpt-4o", "input": "Hello"} | fields
    return json.dumps({name: value for name, value in request.items() if value is not ...}).encode()


def ask(**fields: Any) -> ParsedRequest:
    return parse(body(**fields), DIALECT)


def prompt(**fields: Any) -> Prompt:
    return ask(**fields).prompt


def message(item: dict[str, Any]) -> Message:
    """Parse one item of a longer conversation."""
    return prompt(conversation="conv_1", input=[item]).messages[0]


def user_message(*parts: dict[str, Any], role: str = "user") -> Message:
    return message({"role": role, "content": list(parts)})


def error_of(refused: RefusedError) -> dict[str, Any]:
    reply = render_refusal(refused)
    assert reply.status == 400
    error: dict[str, Any] = json.loads(reply.body)["error"]
    assert error["type"] == "invalid_request_error"
    return error


def error(**fields: Any) -> dict[str, Any]:
    """Return the error of a refused request, as the client gets it."""
    with pytest.raises(RefusedError) as refused:
        ask(**fields)
    return error_of(refused.value)


class TestInput:
    """A string, or items."""

    def test_a_string_is_a_message_of_the_user(self) -> None:
        """RESP-1.1: The shortest request has one message and every default."""
        assert prompt() == Prompt(model="gpt-4o", messages=(Message("user", ("Hello",)),))

    @pytest.mark.parametrize("role", ["user", "system", "developer", "assistant"])
    @pytest.mark.parametrize("type_", [{}, {"type": "message"}, {"type": None}])
    def test_messages(self, role: str, type_: dict[str, Any]) -> None:
        """RESP-1.1: Messages of all roles take a string, with or without a type."""
        assert message({"role": role, "content": "Hi", **type_}) == Message(role, ("Hi",))

    def test_parts(self) -> None:
        """RESP-1.1: Texts keep their order; summaries and refusals are only counted."""
        assert user_message(
            {"type": "input_text", "text": "one"},
            {"type": "output_text", "text": "two"},
            {"type": "summary_text", "text": "three"},
            {"type": "refusal", "refusal": "four"},
        ) == Message("user", ("one", "two"), ("three", "four"))

    def test_parts_of_the_assistant(self) -> None:
        """RESP-1.1: Earlier output of the model is accepted unchanged, unknown fields included."""
        item = {
            "id": "msg_1",
            "type": "message",
            "status": "completed",
            "phase": "final_answer",
            "role": "assistant",
            "content": [
                {"type": "output_text", "text": "Yes", "annotations": [], "logprobs": []},
                {"type": "refusal", "refusal": "No"},
            ],
        }

        assert message(item) == Message("assistant", ("Yes",), ("No",))

    def test_images(self) -> None:
        """RESP-1.7: Images are parsed with path and detail, by address, file or as a screenshot."""
        parts = [
            {"type": "input_image", "image_url": "https://example.com/a.png"},
            {"type": "input_image", "file_id": "file-1", "detail": "low"},
            {"type": "computer_screenshot", "image_url": "data:image/png;base64,AA", "detail": "original"},
        ]
        asked = prompt(input=[{"role": "user", "content": parts}])

        assert asked.messages == (Message("user", ()),)
        assert asked.images == (
            Image(("input", 0, "content", 0)),
            Image(("input", 0, "content", 1), "low"),
            Image(("input", 0, "content", 2), "original"),
        )

    def test_files(self) -> None:
        """RESP-1.7: A file counts like an image in full detail, by content, address or id."""
        files = [{"file_id": "f"}, {"file_url": "https://x/y.pdf"}, {"file_data": "AA", "filename": "a.pdf"}]

        assert user_message(*({"type": "input_file", **file} for file in files)) == Message(
            "user", (), extra_tokens=3 * 765
        )

    def test_calls(self) -> None:
        """RESP-1.7: Calls of functions and custom tools count with name and arguments."""
        call = {"type": "function_call", "call_id": "call_1", "name": "f", "arguments": "{}"}
        custom = {"type": "custom_tool_call", "call_id": "call_2", "name": "g", "input": "do"}

        assert message(call) == Message("assistant", (), calls=(PriorToolCall("call_1", "f", "{}"),))
        assert message(custom) == Message("assistant", (), calls=(PriorToolCall("call_2", "g", "do"),))
        prefixed = custom | {"type": "openai:custom_tool_call"}
        assert message(prefixed) == message(custom)

    @pytest.mark.parametrize(
        "type_",
        ["shell_call_output", "local_shell_call_output", "apply_patch_call_output", "computer_call_output"],
    )
    def test_results_of_calls_that_the_client_ran(self, type_: str) -> None:
        """FIT-1.3: They are results of a call, so that an agent's loop ends."""
        item = {"type": type_, "call_id": "call_1", "output": []}

        assert message(item).role == "tool"
        assert len(message(item).results) == 1

    @pytest.mark.parametrize("type_", ["function_call_output", "custom_tool_call_output"])
    def test_tool_results(self, type_: str) -> None:
        """RESP-1.1, RESP-1.7: A tool result is a string or parts; only its text is the result of the call."""
        parts = [
            {"type": "input_text", "text": "42"},
            {"type": "input_image", "image_url": "https://x/y"},
            {"type": "input_video", "video_url": "x"},
        ]
        asked = prompt(conversation="conv_1", input=[{"type": type_, "call_id": "call_1", "output": parts}])

        assert message({"type": type_, "call_id": "call_1", "output": "42"}) == Message(
            "tool", (), results=(ToolResult("call_1", "42"),)
        )
        assert asked.messages == (
            Message("tool", (), extra_tokens=765, results=(ToolResult("call_1", "42"),)),
        )
        assert asked.images == (Image(("input", 0, "output", 1)),)

    def test_reasoning_and_references_do_not_count(self) -> None:
        """RESP-1.7: Earlier reasoning and references are dropped."""
        items = [
            {"type": "reasoning", "id": "rs_1", "summary": [{"type": "summary_text", "text": "long"}]},
            {"type": "reasoning", "summary": [], "content": [{"type": "reasoning_text", "text": "x"}]},
            {"type": "reasoning", "summary": [], "encrypted_content": "gAAA"},
            {"type": "item_reference", "id": "msg_1"},
            {"id": "msg_1"},
        ]

        assert prompt(input=items).messages == ()

    def test_a_compaction_counts_by_its_length(self) -> None:
        """RESP-1.7: A compaction has a token for 8 characters."""
        item = {"type": "compaction", "encrypted_content": "x" * 80}

        assert message(item) == Message("assistant", (), extra_tokens=10)

    @pytest.mark.parametrize("type_", ["web_search_call", "mcp_list_tools", "shell_call", "acme:receipt"])
    def test_items_of_hosted_tools(self, type_: str) -> None:
        """RESP-1.2: They are accepted whatever their content, and count as their JSON."""
        item = {"type": type_, "id": "ws_1", "status": "completed", "action": {"output": [1, {"content": 3}]}}

        assert message(item) == Message("assistant", (), (json.dumps(item),))

    def test_instructions_come_first(self) -> None:
        """RESP-1.7: Instructions are a developer message, before all others."""
        asked = ask(instructions="Be brief.", input=[{"role": "system", "content": "Hi"}])

        assert asked.prompt.messages == (Message("developer", ("Be brief.",)), Message("system", ("Hi",)))
        assert asked.options.has_instructions


class TestParameters:
    """The other parameters."""

    def test_what_reaches_the_planner(self) -> None:
        """RESP-1.8: Limit, effort, summary and stream reach the prompt."""
        asked = prompt(
            model="gpt-5",
            max_output_tokens=16,
            reasoning={"effort": "high", "summary": "concise"},
            stream=True,
        )

        assert (asked.limit, asked.effort, asked.summary, asked.stream) == (16, "high", "concise", True)

    @pytest.mark.parametrize(
        ("reasoning", "summary"),
        [
            ({"generate_summary": "auto"}, "auto"),
            ({"generate_summary": "auto", "summary": "detailed"}, "detailed"),
            ({"summary": None}, None),
            ({}, None),
            (None, None),
        ],
    )
    def test_a_summary_has_two_names(self, reasoning: dict[str, Any] | None, summary: str | None) -> None:
        """RESP-1.8: The old name of the summary is accepted; the new one takes precedence."""
        asked = ask(reasoning=reasoning)

        assert (asked.prompt.summary, asked.options.summary) == (summary, summary)

    def test_options(self) -> None:
        """RESP-1.5: Options of storing, streaming and continuing are parsed."""
        options = ask(
            stream=True,
            stream_options={"include_obfuscation": False},
            background=True,
            metadata={"a": "b"},
            previous_response_id="resp_1",
            service_tier="flex",
        ).options

        assert not options.obfuscation
        assert (options.store, options.background) == (True, True)
        assert (options.metadata, options.previous_response_id, options.service_tier) == (
            {"a": "b"},
            "resp_1",
            "flex",
        )
        assert not ask(store=False).options.store
        assert ask(store=None).options.store

    def test_null_is_an_omitted_field(self) -> None:
        """RESP-1.6: Every optional field takes null, which means the same as an omitted field."""
        optional = set(Request.__struct_fields__) - {"model", "input"}

        assert ask(**dict.fromkeys(optional)) == ask()

    def test_unknown_fields_are_ignored(self) -> None:
        """RESP-1.6: Unknown fields are ignored, at the top and in items."""
        assert ask(no_such={"model": "x"}, neither=1) == ask()
        assert message({"role": "user", "content": "Hi", "no_such": 1}) == Message("user", ("Hi",))

    @pytest.mark.parametrize(
        "fields",
        [
            {"previous_response_id": "resp_1"},
            {"conversation": "conv_1"},
            {"conversation": {"id": "conv_1"}},
            {"prompt": {"id": "pmpt_1", "variables": {"a": "b"}}},
            {"input": []},
        ],
    )
    def test_input_may_be_elsewhere(self, fields: dict[str, Any]) -> None:
        """RESP-1.5: The input may be omitted if another field replaces it."""
        assert ask(**{"input": ..., **fields}).prompt.messages == ()


CONFLICTS: list[tuple[dict[str, Any], str]] = [
    ({"stream_options": {}}, "stream_options"),
    ({"stream": False, "stream_options": {"include_obfuscation": True}}, "stream_options"),
    ({"previous_response_id": "resp_1", "conversation": "conv_1"}, "previous_response_id"),
    ({"background": True, "store": False}, "background"),
]
WRONG: list[tuple[dict[str, Any], str, str]] = [
    ({"model": ...}, "model", "missing_required_parameter"),
    ({"input": ...}, "input", "missing_required_parameter"),
    ({"model": 5}, "model", "invalid_type"),
    ({"input": 5}, "input", "invalid_type"),
    ({"input": ["Hi"]}, "input[0]", "invalid_type"),
    ({"input": [{"type": "message", "content": "x"}]}, "input[0].role", "missing_required_parameter"),
    ({"input": [{"role": "cat", "content": "x"}]}, "input[0].role", "invalid_value"),
    ({"input": [{"role": "user"}]}, "input[0].content", "missing_required_parameter"),
    ({"input": [{"role": "user", "content": 5}]}, "input[0].content", "invalid_type"),
    ({"input": [{"type": 5}]}, "input[0].type", "invalid_type"),
    ({"input": ["x", {"type": "no_such"}]}, "input[0]", "invalid_type"),
    ({"input": [{"type": "no_such"}]}, "input[0].type", "invalid_value"),
    ({"input": [{"type": "function_call", "name": "f"}]}, "input[0].call_id", "missing_required_parameter"),
    ({"input": [{"type": "function_call_output"}]}, "input[0].output", "missing_required_parameter"),
    ({"max_output_tokens": 15}, "max_output_tokens", "integer_below_min_value"),
    ({"max_output_tokens": "lots"}, "max_output_tokens", "invalid_type"),
    ({"max_tool_calls": 0}, "max_tool_calls", "integer_below_min_value"),
    ({"temperature": 2.5}, "temperature", "decimal_above_max_value"),
    ({"top_p": -0.5}, "top_p", "decimal_below_min_value"),
    ({"top_logprobs": 21}, "top_logprobs", "integer_above_max_value"),
    ({"presence_penalty": 3}, "presence_penalty", "decimal_above_max_value"),
    ({"frequency_penalty": -3}, "frequency_penalty", "decimal_below_min_value"),
    ({"metadata": {str(n): "" for n in range(17)}}, "metadata", "object_above_max_properties"),
    ({"metadata": {"a": "x" * 513}}, "metadata.a", "string_above_max_length"),
    ({"metadata": {"k" * 65: ""}}, "metadata", "property_name_above_max_length"),
    ({"prompt_cache_key": "x" * 65}, "prompt_cache_key", "string_above_max_length"),
    (
        {"input": [{"type": "function_call", "call_id": "c" * 65, "name": "f", "arguments": "{}"}]},
        "input[0].call_id",
        "string_above_max_length",
    ),
    ({"safety_identifier": "x" * 129}, "safety_identifier", "string_above_max_length"),
    ({"include": ["everything"]}, "include[0]", "invalid_value"),
    ({"reasoning": {"effort": "some"}}, "reasoning.effort", "invalid_value"),
    ({"reasoning": {"summary": "long"}}, "reasoning.summary", "invalid_value"),
    ({"service_tier": "gold"}, "service_tier", "invalid_value"),
    ({"truncation": "left"}, "truncation", "invalid_value"),
    ({"text": {"format": {"type": "xml"}}}, "text.format.type", "invalid_value"),
    ({"text": {"format": {"type": "json_schema"}}}, "text.format.name", "missing_required_parameter"),
    ({"text": {"verbosity": "loud"}}, "text.verbosity", "invalid_value"),
    ({"tool_choice": "maybe"}, "tool_choice", "invalid_value"),
    ({"tool_choice": {"name": "f"}}, "tool_choice.type", "missing_required_parameter"),
    ({"tool_choice": {"type": "function"}}, "tool_choice.name", "missing_required_parameter"),
    ({"tool_choice": {"type": "allowed_tools", "tools": []}}, "tool_choice.tools", "empty_array"),
    ({"tools": [{}]}, "tools[0].type", "missing_required_parameter"),
    ({"tools": ["f"]}, "tools[0]", "invalid_type"),
    ({"tools": [{"type": "function"}]}, "tools[0].name", "missing_required_parameter"),
    ({"tools": [{"type": "function", "name": "a b"}]}, "tools[0].name", "invalid_value"),
    ({"tools": [{"type": "function", "name": "x" * 65}]}, "tools[0].name", "string_above_max_length"),
    ({"prompt_cache_retention": "7d"}, "prompt_cache_retention", "invalid_value"),
    ({"conversation": {}}, "conversation.id", "missing_required_parameter"),
]


class TestRefusals:
    """Refusals."""

    @pytest.mark.parametrize(("fields", "param"), CONFLICTS)
    def test_conflicts(self, fields: dict[str, Any], param: str) -> None:
        """RESP-1.5: Fields that exclude each other are refused by name."""
        refused = error(**fields)

        assert (refused["param"], refused["code"]) == (param, "invalid_value")

    @pytest.mark.parametrize(("fields", "param", "code"), WRONG)
    def test_wrong_fields(self, fields: dict[str, Any], param: str, code: str) -> None:
        """RESP-1.4, RESP-1.3: Bounds, choices and types are checked; the error names the field."""
        refused = error(**fields)

        assert (refused["param"], refused["code"]) == (param, code)

    def test_the_wording_is_the_apis(self) -> None:
        """RESP-1.4: The refusal of a limit that is too small has the API's exact wording."""
        assert error(max_output_tokens=8)["message"] == (
            "Invalid 'max_output_tokens': integer below minimum value. Expected a value >= 16, but got 8 instead."
        )

    @pytest.mark.parametrize(
        ("role", "part", "choices"),
        [
            ("user", "text", "'input_text', 'input_image', 'output_text', 'refusal', 'input_file'"),
            ("assistant", "input_text", "'output_text' and 'refusal'."),
        ],
    )
    def test_parts_are_those_of_the_role(self, role: str, part: str, choices: str) -> None:
        """RESP-1.1: The role decides which parts are accepted; the error lists them."""
        content = [{"type": "input_text" if role == "user" else "output_text", "text": "x"}, {"type": part}]
        refused = error(input=[{"role": "user", "content": "x"}, {"role": role, "content": content}])

        assert (refused["param"], refused["code"]) == ("input[1].content[1].type", "invalid_value")
        assert choices in refused["message"]

    @pytest.mark.parametrize(
        ("part", "name"),
        [("input_image", "image_url"), ("computer_screenshot", "image_url"), ("input_file", "file_id")],
    )
    def test_images_and_files_have_a_source(self, part: str, name: str) -> None:
        """RESP-1.3: An image or file without a source is refused."""
        refused = error(input=[{"role": "user", "content": [{"type": part}]}])

        assert (refused["param"], refused["code"]) == (
            f"input[0].content[0].{name}",
            "missing_required_parameter",
        )

    @pytest.mark.parametrize("sent", [b"", b"{", b"[]", b'{"model": "gpt-4o", "input": "\xff"}', b"nul"])
    def test_bodies_that_are_not_a_request(self, sent: bytes) -> None:
        """RESP-1.3: A body that is not JSON, not UTF-8 or not an object is refused."""
        with pytest.raises((InvalidJsonError, InvalidFieldError)):
            parse(sent, DIALECT)

    @given(depth=st.integers(1, 3000), where=st.sampled_from(["tools", "input", "no_such"]))
    def test_deep_bodies_are_accepted_or_refused(self, depth: int, where: str) -> None:
        """RESP-1.3: A value of any depth is accepted or refused, and never crashes."""
        deep = "[\n" * depth + "]" * depth
        item = f'{{"type": "web_search", "name": "x", "deep": {deep}}}'.replace(
            "web_search", "web_search_call" if where == "input" else "web_search"
        )
        sent = f'{{"model": "gpt-4o", "input": "x", "{where}": [{item}]}}'.encode()
        try:
            options = parse(sent, DIALECT).options
        except (InvalidJsonError, InvalidFieldError):
            return
        assert b"\n" not in options.echo


class TestWebSocket:
    """Messages over a WebSocket."""

    def event(self, **fields: Any) -> ParsedRequest:
        """Parse a message that creates a response."""
        return parse_event(json.dumps({"type": "response.create"} | fields).encode(), DIALECT)

    def test_flat_or_nested(self) -> None:
        """RESP-4.1: The request is beside the type, or in `response`, and is streamed."""
        flat = self.event(model="gpt-4o", input="Hello", store=False)
        nested = self.event(response={"model": "gpt-4o", "input": "Hello", "store": False})

        assert flat == nested == ask(stream=True, store=False)

    def test_stream_options_do_not_require_stream(self) -> None:
        """RESP-4.1: Stream options are accepted without `stream`."""
        asked = self.event(
            model="gpt-4o", input="Hi", stream=False, stream_options={"include_obfuscation": False}
        )

        assert asked.prompt.stream
        assert not asked.options.obfuscation

    @pytest.mark.parametrize("nested", [True, False])
    def test_warming_up(self, nested: bool) -> None:
        """RESP-4.1: `generate: false` generates nothing."""
        request = {"model": "gpt-4o", "input": [], "generate": False}
        asked = self.event(response=request) if nested else self.event(**request)

        assert asked.is_warm_up
        assert not self.event(model="gpt-4o", input="Hi").is_warm_up

    @pytest.mark.parametrize(
        ("message", "param"),
        [
            ({}, "type"),
            ({"type": "response.cancel"}, "type"),
            ({"type": "response.create", "input": "x"}, "model"),
            ({"type": "response.create", "response": {"model": "gpt-4o"}}, "input"),
            ({"type": "response.create", "response": "x"}, None),
            ({"type": "response.create", "model": "m", "input": "x", "background": True}, "background"),
            ({"type": "response.create", "model": "m", "input": "x", "generate": "no"}, "generate"),
        ],
    )
    def test_refusals(self, message: dict[str, Any], param: str | None) -> None:
        """RESP-4.1: Other types, background requests, and all that the HTTP endpoint refuses are refused."""
        with pytest.raises(RefusedError) as refused:
            parse_event(json.dumps(message).encode(), DIALECT)

        assert error_of(refused.value)["param"] == param


def test_counting_requires_no_field() -> None:
    """RESP-5.6: A request to count tokens may omit every field."""
    assert parse_count(b"{}", DIALECT).prompt == Prompt(model="", messages=())
    asked = parse_count(json.dumps({"model": "gpt-5", "input": "Hi", "instructions": "Be"}).encode(), DIALECT)
    assert asked.prompt.messages == (Message("developer", ("Be",)), Message("user", ("Hi",)))


@pytest.mark.parametrize(
    ("fields", "param"), [({"model": None}, "model"), ({"model": "gpt-5", "input": None}, "input")]
)
def test_compacting_requires_a_model_and_a_conversation(fields: dict[str, Any], param: str) -> None:
    """RESP-5.6: Without a model, an input or a response to continue there is nothing to compact."""
    with pytest.raises(RefusedError) as refused:
        parse_compact(json.dumps(fields).encode(), DIALECT)

    assert error_of(refused.value)["param"] == param
    asked = parse_compact(json.dumps({"model": "gpt-5", "previous_response_id": "resp_1"}).encode(), DIALECT)
    assert asked.options.previous_response_id == "resp_1"
