"""Responses: what a request may say, and what is read from it."""

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
    """Write a valid request, with `fields` on top; one that is `...` is left out."""
    request = {"model": "gpt-4o", "input": "Hello"} | fields
    return json.dumps({name: value for name, value in request.items() if value is not ...}).encode()


def ask(**fields: Any) -> ParsedRequest:
    return parse(body(**fields), DIALECT)


def prompt(**fields: Any) -> Prompt:
    return ask(**fields).prompt


def message(item: dict[str, Any]) -> Message:
    return prompt(input=[item]).messages[0]


def said(*parts: dict[str, Any], role: str = "user") -> Message:
    return message({"role": role, "content": list(parts)})


def error_of(refused: RefusedError) -> dict[str, Any]:
    reply = render_refusal(refused)
    assert reply.status == 400
    error: dict[str, Any] = json.loads(reply.body)["error"]
    assert error["type"] == "invalid_request_error"
    return error


def error(**fields: Any) -> dict[str, Any]:
    """Have a request refused, and give the error as a client reads it."""
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
        """RESP-1.1: Messages of all roles take a string, their type left out or not."""
        assert message({"role": role, "content": "Hi", **type_}) == Message(role, ("Hi",))

    def test_parts(self) -> None:
        """RESP-1.1: Texts are said in their order; summaries and refusals are counted only."""
        assert said(
            {"type": "input_text", "text": "one"},
            {"type": "output_text", "text": "two"},
            {"type": "summary_text", "text": "three"},
            {"type": "refusal", "refusal": "four"},
        ) == Message("user", ("one", "two"), ("three", "four"))

    def test_parts_of_the_assistant(self) -> None:
        """RESP-1.1: What the model put out earlier is taken as it was, unknown fields and all."""
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
        """RESP-1.7: Images are found with place and detail, by address, file or as a screenshot."""
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
        """RESP-1.7: A file costs as much as an image in full detail, whichever way it is named."""
        files = [{"file_id": "f"}, {"file_url": "https://x/y.pdf"}, {"file_data": "AA", "filename": "a.pdf"}]

        assert said(*({"type": "input_file", **file} for file in files)) == Message(
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
    def test_what_the_clients_own_machines_answer(self, type_: str) -> None:
        """FIT-1.3: It is the result of a call, so that the loop ends."""
        item = {"type": type_, "call_id": "call_1", "output": []}

        assert message(item).role == "tool"
        assert len(message(item).results) == 1

    @pytest.mark.parametrize("type_", ["function_call_output", "custom_tool_call_output"])
    def test_what_tools_answer(self, type_: str) -> None:
        """RESP-1.1, RESP-1.7: A tool answers with a string or parts; its text is the result of the call, and nothing else."""
        parts = [
            {"type": "input_text", "text": "42"},
            {"type": "input_image", "image_url": "x"},
            {"type": "input_video", "video_url": "x"},
        ]
        asked = prompt(input=[{"type": type_, "call_id": "call_1", "output": parts}])

        assert message({"type": type_, "call_id": "call_1", "output": "42"}) == Message(
            "tool", (), results=(ToolResult("call_1", "42"),)
        )
        assert asked.messages == (
            Message("tool", (), extra_tokens=765, results=(ToolResult("call_1", "42"),)),
        )
        assert asked.images == (Image(("input", 0, "output", 1)),)

    def test_reasoning_and_references_count_nothing(self) -> None:
        """RESP-1.7: What the model thought earlier is dropped; a reference stands for what is known."""
        items = [
            {"type": "reasoning", "id": "rs_1", "summary": [{"type": "summary_text", "text": "long"}]},
            {"type": "reasoning", "summary": [], "content": [{"type": "reasoning_text", "text": "x"}]},
            {"type": "reasoning", "summary": [], "encrypted_content": "gAAA"},
            {"type": "item_reference", "id": "msg_1"},
            {"id": "msg_1"},
        ]

        assert prompt(input=items).messages == ()

    def test_a_compaction_counts_by_its_length(self) -> None:
        """RESP-1.7: Earlier turns made smaller weigh a token for 8 characters."""
        item = {"type": "compaction", "encrypted_content": "x" * 80}

        assert message(item) == Message("assistant", (), extra_tokens=10)

    @pytest.mark.parametrize("type_", ["web_search_call", "mcp_list_tools", "shell_call", "acme:receipt"])
    def test_items_of_hosted_tools(self, type_: str) -> None:
        """RESP-1.2: They are taken unread, whatever is in them, and count as they are."""
        item = {"type": type_, "id": "x_1", "status": "completed", "action": {"output": [1, {"content": 3}]}}

        assert message(item) == Message("assistant", (), (json.dumps(item),))

    def test_instructions_come_first(self) -> None:
        """RESP-1.7: Instructions are the developer's, before all else."""
        asked = ask(instructions="Be brief.", input=[{"role": "system", "content": "Hi"}])

        assert asked.prompt.messages == (Message("developer", ("Be brief.",)), Message("system", ("Hi",)))
        assert asked.options.has_instructions


class TestParameters:
    """What else is asked."""

    def test_what_reaches_the_planner(self) -> None:
        """RESP-1.8: Limit, effort, summary and stream are obeyed."""
        asked = prompt(max_output_tokens=16, reasoning={"effort": "high", "summary": "concise"}, stream=True)

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
    def test_a_summary_goes_by_two_names(self, reasoning: dict[str, Any] | None, summary: str | None) -> None:
        """RESP-1.8: The old name of the summary is taken; the new one wins."""
        asked = ask(reasoning=reasoning)

        assert (asked.prompt.summary, asked.options.summary) == (summary, summary)

    def test_options(self) -> None:
        """RESP-1.5: What is kept, how it is streamed and what it continues."""
        options = ask(
            stream=True,
            stream_options={"include_obfuscation": False},
            background=True,
            metadata={"a": "b"},
            previous_response_id="resp_1",
            service_tier="flex",
        ).options

        assert not options.obfuscation
        assert (options.store, options.background, options.generate) == (True, True, True)
        assert (options.metadata, options.previous_response_id, options.service_tier) == (
            {"a": "b"},
            "resp_1",
            "flex",
        )
        assert not ask(store=False).options.store
        assert ask(store=None).options.store

    def test_null_is_nothing_said(self) -> None:
        """RESP-1.6: Every optional field takes null, and then is as if it had been left out."""
        optional = set(Request.__struct_fields__) - {"model", "input"}

        assert ask(**dict.fromkeys(optional)) == ask()

    def test_unknown_fields_are_ignored(self) -> None:
        """RESP-1.6: Fields of tomorrow do no harm, at the top and in items."""
        assert ask(moderation={"model": "x"}, no_such=1) == ask()
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
        """RESP-1.5: There need be no input where something else says what to answer."""
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
    ({"metadata": {str(n): "" for n in range(17)}}, "metadata", "object_above_max_length"),
    ({"metadata": {"a": "x" * 513}}, "metadata.a", "string_above_max_length"),
    ({"metadata": {"k" * 65: ""}}, "metadata", "string_above_max_length"),
    ({"prompt_cache_key": "x" * 65}, "prompt_cache_key", "string_above_max_length"),
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
    """What is not taken."""

    @pytest.mark.parametrize(("fields", "param"), CONFLICTS)
    def test_contradictions(self, fields: dict[str, Any], param: str) -> None:
        """RESP-1.5: What cannot be together is refused, and named."""
        refused = error(**fields)

        assert (refused["param"], refused["code"]) == (param, "invalid_value")

    @pytest.mark.parametrize(("fields", "param", "code"), WRONG)
    def test_wrong_fields(self, fields: dict[str, Any], param: str, code: str) -> None:
        """RESP-1.4, RESP-1.3: Bounds, words and types are checked; the error names the field."""
        refused = error(**fields)

        assert (refused["param"], refused["code"]) == (param, code)

    def test_the_words_are_the_apis(self) -> None:
        """RESP-1.4: A limit that is too small is refused word for word as the API refuses it."""
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
        """RESP-1.1: Who speaks decides which parts are taken; the error lists them."""
        content = [{"type": "input_text" if role == "user" else "output_text", "text": "x"}, {"type": part}]
        refused = error(input=[{"role": "user", "content": "x"}, {"role": role, "content": content}])

        assert (refused["param"], refused["code"]) == ("input[1].content[1].type", "invalid_value")
        assert choices in refused["message"]

    @pytest.mark.parametrize(
        ("part", "name"),
        [("input_image", "image_url"), ("computer_screenshot", "image_url"), ("input_file", "file_id")],
    )
    def test_images_and_files_have_a_source(self, part: str, name: str) -> None:
        """RESP-1.3: A picture or file that is nowhere is refused."""
        refused = error(input=[{"role": "user", "content": [{"type": part}]}])

        assert (refused["param"], refused["code"]) == (
            f"input[0].content[0].{name}",
            "missing_required_parameter",
        )

    @pytest.mark.parametrize("sent", [b"", b"{", b"[]", b'{"model": "gpt-4o", "input": "\xff"}', b"nul"])
    def test_bodies_that_are_no_request(self, sent: bytes) -> None:
        """RESP-1.3: What is not JSON, not UTF-8 or no object is refused."""
        with pytest.raises((InvalidJsonError, InvalidFieldError)):
            parse(sent, DIALECT)

    @given(depth=st.integers(1, 3000), where=st.sampled_from(["tools", "input", "no_such"]))
    def test_deep_bodies_are_taken_or_refused(self, depth: int, where: str) -> None:
        """RESP-1.3: However deep a value is, it is answered or refused, and never a crash."""
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
        """Read a message that asks for a response."""
        return parse_event(json.dumps({"type": "response.create"} | fields).encode(), DIALECT)

    def test_flat_or_nested(self) -> None:
        """RESP-4.1: The request stands beside the type, or in `response`, and is streamed."""
        flat = self.event(model="gpt-4o", input="Hello", store=False)
        nested = self.event(response={"model": "gpt-4o", "input": "Hello", "store": False})

        assert flat == nested == ask(stream=True, store=False)

    def test_stream_need_not_be_said(self) -> None:
        """RESP-4.1: How to stream may be said without saying that."""
        asked = self.event(
            model="gpt-4o", input="Hi", stream=False, stream_options={"include_obfuscation": False}
        )

        assert asked.prompt.stream
        assert not asked.options.obfuscation

    @pytest.mark.parametrize("nested", [True, False])
    def test_warming_up(self, nested: bool) -> None:
        """RESP-4.1: `generate: false` asks for nothing to be said."""
        request = {"model": "gpt-4o", "input": [], "generate": False}
        asked = self.event(response=request) if nested else self.event(**request)

        assert not asked.options.generate
        assert self.event(model="gpt-4o", input="Hi").options.generate

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
    def test_what_is_refused(self, message: dict[str, Any], param: str | None) -> None:
        """RESP-4.1: Other types, and what the HTTP endpoint would refuse, and requests in the background."""
        with pytest.raises(RefusedError) as refused:
            parse_event(json.dumps(message).encode(), DIALECT)

        assert error_of(refused.value)["param"] == param


def test_counting_needs_nothing() -> None:
    """RESP-5.6: A request to count tokens may leave out everything; the words are counted that are there."""
    assert parse_count(b"{}", DIALECT).prompt == Prompt(model="", messages=())
    asked = parse_count(json.dumps({"model": "gpt-5", "input": "Hi", "instructions": "Be"}).encode(), DIALECT)
    assert asked.prompt.messages == (Message("developer", ("Be",)), Message("user", ("Hi",)))


@pytest.mark.parametrize(
    ("fields", "param"), [({"model": None}, "model"), ({"model": "gpt-5", "input": None}, "input")]
)
def test_compacting_needs_a_model_and_something_to_compact(fields: dict[str, Any], param: str) -> None:
    """RESP-5.6: Without a model, an input or a response to continue there is nothing to compact."""
    with pytest.raises(RefusedError) as refused:
        parse_compact(json.dumps(fields).encode(), DIALECT)

    assert error_of(refused.value)["param"] == param
    asked = parse_compact(json.dumps({"model": "gpt-5", "previous_response_id": "resp_1"}).encode(), DIALECT)
    assert asked.options.previous_response_id == "resp_1"
