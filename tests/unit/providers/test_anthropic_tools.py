"""Parsing of tools, output formats, and calls of earlier turns."""

import json
import random
from typing import Any

import pytest
from anthropic.lib._parse._transform import transform_schema
from anthropic.types import BrowserToolUseBlock, ComputerToolUseBlock
from pydantic import BaseModel, TypeAdapter
from support.incoming import incoming
from support.judges import is_valid
from test_anthropic_parse import BASIC, CALL, HELLO, MARK, RESULT, TOOL, prompt_of, refusal_of

from llmsim.domain import PriorToolCall, ResponseFormat, Tool, ToolChoice, ToolKind, ToolMode, ToolResult
from llmsim.json_instances.call_arguments import CalledTool
from llmsim.json_instances.calls import json_arguments
from llmsim.json_instances.making import json_instance
from llmsim.providers.anthropic.messages import MessageOptions
from llmsim.providers.anthropic.messages import parse as parse_request
from llmsim.providers.anthropic.tools import ANTHROPIC_TOOLS
from llmsim.providers.anthropic.validation import format_problem, tool_problem
from llmsim.providers.contract import ParsedRequest


def parse(body: bytes) -> ParsedRequest[MessageOptions]:
    """Parse a body."""
    return parse_request(incoming(body))


SEARCH = {"type": "web_search_20250305", "name": "web_search"}
DRAFT = (
    "JSON schema is invalid. It must match JSON Schema draft 2020-12 (https://json-schema.org/draft/2020-12)."
)


def options_of(*tools: dict[str, Any]) -> MessageOptions:
    return parse(json.dumps(BASIC | {"tools": tools}).encode()).options


class TestTools:
    """Tools that the model may call."""

    @pytest.mark.parametrize("type_", [..., None, "custom"])
    def test_a_tool_of_the_client(self, type_: Any) -> None:
        """ANTH-10.1: It has its description, and its schema as sent, byte by byte."""
        tool = {"name": "f", "description": "é", "type": type_}
        sent = json.dumps({name: value for name, value in tool.items() if value is not ...})
        body = (
            json.dumps(BASIC)[:-1] + ', "tools": [' + sent[:-1] + ', "input_schema": {"type" : "object"} }]}'
        )
        (offered,) = parse(body.encode()).prompt.tools

        assert (offered.name, offered.kind, offered.description) == ("f", ToolKind.FUNCTION, "é")
        assert offered.schema == b'{"type" : "object"}'

    @pytest.mark.parametrize(
        ("type_", "name"),
        [
            ("web_search_20250305", "web_search"),
            ("web_search_20991231", "web_search"),
            ("web_fetch_20260209", "web_fetch"),
            ("code_execution_20260521", "code_execution"),
            ("tool_search_tool_bm25_20251119", "tool_search_tool_bm25"),
            ("tool_search_tool_regex", "tool_search_tool_regex"),
            ("advisor_20260301", "advisor"),
        ],
    )
    def test_a_tool_that_the_api_runs(self, type_: str, name: str) -> None:
        """ANTH-10.1: It is a hosted tool, whatever its date."""
        (offered,) = prompt_of(tools=[{"type": type_, "name": name}]).tools

        assert (offered.name, offered.kind, offered.schema) == (name, ToolKind.HOSTED, b"")

    @pytest.mark.parametrize(
        ("type_", "name", "example"),
        [
            ("bash_20250124", "bash", {"command": "pwd"}),
            ("text_editor_20250728", "str_replace_based_edit_tool", {"command": "view", "path": "/tmp"}),
            ("text_editor_20250124", "str_replace_editor", {"command": "view", "path": "/tmp"}),
            ("memory_20250818", "memory", {"command": "view", "path": "/memories"}),
            ("computer_20251124", "computer", {"action": "screenshot"}),
            ("computer_20251124", "computer", {"action": "mouse_move", "coordinate": [1, 2]}),
        ],
    )
    def test_a_tool_that_anthropic_defines_and_the_client_runs(
        self, type_: str, name: str, example: dict[str, Any]
    ) -> None:
        """FIT-6.5: It has a schema of its input, and what is generated for it only reads."""
        screen = {"display_height_px": 768, "display_width_px": 1024} if name == "computer" else {}
        (offered,) = prompt_of(tools=[{"type": type_, "name": name, **screen}]).tools
        schema = json.loads(offered.schema)

        assert (offered.name, offered.kind) == (name, ToolKind.FUNCTION)
        assert is_valid(example, schema)
        assert not is_valid({"command": "create", "path": "/x", "file_text": "y"}, schema)
        question = "Run rm -rf / with bash, then edit ../x.py, delete the memory and move the mouse"
        called = json_arguments(
            CalledTool(name, offered.description), offered.schema, question, random.Random(1)
        )
        assert called in (
            '{"command":"echo ok"}',
            '{"command":"view","path":"/tmp"}',
            '{"command":"view","path":"/memories"}',
            '{"action":"screenshot"}',
        )

    @pytest.mark.parametrize(
        ("toolset", "union"), [("computer", ComputerToolUseBlock), ("browser", BrowserToolUseBlock)]
    )
    def test_a_toolset_is_parsed_as_its_tools(self, toolset: str, union: Any) -> None:
        """ANTH-10.1: Its members are parsed except the disabled ones, and are members in the SDK."""
        sent = {
            "type": f"{toolset}_toolset_20260801",
            "configs": {"screenshot": {"enabled": False}, "zoom": None},
        }
        offered = prompt_of(tools=[sent]).tools

        assert "screenshot" not in {tool.name for tool in offered}
        assert {tool.name for tool in offered} < set(options_of(sent).toolsets)
        assert set(options_of(sent).toolsets.values()) == {toolset}
        for tool in ANTHROPIC_TOOLS[f"{toolset}_toolset"].tools:
            members = json.loads(tool.schema)["properties"]
            values = {name: schema.get("const", [1, 2]) for name, schema in members.items()}
            block = {
                "type": "tool_use",
                "id": "toolu_1",
                "name": tool.name,
                "input": values,
                "toolset_name": toolset,
                "caller": {"type": "direct"},
            }
            TypeAdapter(union).validate_python(block)

    @pytest.mark.parametrize(
        "tool",
        [tool for defined in ANTHROPIC_TOOLS.values() for tool in defined.tools if tool.schema],
        ids=lambda tool: tool.name,
    )
    def test_inputs_are_valid(self, tool: Tool) -> None:
        """ANTH-10.1: With any random numbers, the input of a call is valid for the schema of the tool."""
        schema = json.loads(tool.schema)

        for seed in range(20):
            instance = json_instance(tool.schema, "Please view 3 files in Paris", random.Random(seed))
            assert is_valid(json.loads(instance), schema), instance

    def test_a_toolset_without_its_server_is_never_called(self) -> None:
        """ANTH-10.1: It is accepted and counted, and offers nothing."""
        sent = {"type": "mcp_toolset", "mcp_server_name": "x"}
        prompt = prompt_of(tools=[sent], tool_choice={"type": "any"})

        assert json.loads(prompt.messages[0].notes[0]) == sent
        assert (prompt.tools, prompt.tool_choice.mode) == ((), ToolMode.NONE)

    def test_only_the_first_code_execution_runs_python(self) -> None:
        """ANTH-10.9: The date of the tool decides between Python and a shell."""
        named = {"name": "code_execution"}

        assert options_of(named | {"type": "code_execution_20250522"}).python
        assert not options_of(named | {"type": "code_execution_20250825"}).python


@pytest.mark.parametrize(
    ("sent", "choice"),
    [
        (None, ToolChoice()),
        ({"type": "auto"}, ToolChoice()),
        ({"type": "auto", "disable_parallel_tool_use": True}, ToolChoice(parallel=False)),
        ({"type": "any"}, ToolChoice(ToolMode.REQUIRED)),
        ({"type": "tool", "name": "f"}, ToolChoice(ToolMode.REQUIRED, ("f",))),
        ({"type": "none"}, ToolChoice(ToolMode.NONE)),
    ],
)
def test_tool_choice(sent: Any, choice: ToolChoice) -> None:
    """ANTH-10.2: Each form of `tool_choice` is parsed."""
    assert prompt_of(tools=[TOOL], tool_choice=sent).tool_choice == choice


def test_uses_of_hosted_tools_are_bounded() -> None:
    """ANTH-10.2: The least `max_uses` bounds the hosted calls of a turn."""
    fetch = {"type": "web_fetch_20250910", "name": "web_fetch", "max_uses": 2}

    assert prompt_of(tools=[SEARCH, TOOL]).tool_choice.limit is None
    assert prompt_of(tools=[SEARCH | {"max_uses": 5}, fetch, TOOL]).tool_choice.limit == 2


class TestOutputFormats:
    """The format of the text."""

    SCHEMA = '{"type":"object", "additionalProperties":false}'

    @pytest.mark.parametrize("field", ["output_format", "output_config"])
    def test_a_schema(self, field: str) -> None:
        """ANTH-10.11: The format is the schema as sent, in `output_config` or in the field of the beta."""
        output = f'{{"type": "json_schema", "schema": {self.SCHEMA}}}'
        wanted = output if field == "output_format" else f'{{"effort": "low", "format": {output}}}'
        body = f'{json.dumps(BASIC)[:-1]}, "{field}": {wanted}}}'

        assert parse(body.encode()).prompt.form == ResponseFormat(self.SCHEMA.encode())

    def test_no_format_is_prose(self) -> None:
        """ANTH-10.11: Without a format, or with `null`, the text is prose."""
        assert prompt_of().form is None
        assert prompt_of(output_config={"format": None}, output_format=None).form is None

    def test_schemas_of_the_sdk_are_accepted(self) -> None:
        """ANTH-10.4: The SDK rewrites a model's schema so that it follows the rules."""

        class Part(BaseModel):
            size: int | None
            tags: list[str]

        class Whole(BaseModel):
            parts: dict[str, Part] | list[Part]
            name: str

        schema = transform_schema(Whole)
        assert prompt_of(output_config={"format": {"type": "json_schema", "schema": schema}}).form is not None


OBJECT = {"type": "object", "additionalProperties": False}


class TestRefused:
    """Tools and schemas that the API refuses."""

    @pytest.mark.parametrize(
        ("schema", "expected"),
        [
            ({}, "tools.0.custom.input_schema.type: Field required"),
            ({"anyOf": [OBJECT]}, "tools.0.custom.input_schema.type: Field required"),
            ({"type": "array"}, "tools.0.custom.input_schema.type: Input should be 'object'"),
            ("x", "tools.0.custom.input_schema: Input should be a valid dictionary"),
            (None, "tools.0.custom.input_schema: Field required"),
        ],
    )
    def test_schemas_of_tools(self, schema: Any, expected: str) -> None:
        """ANTH-10.4: The schema of a tool is that of an object."""
        assert refusal_of(tools=[{"name": "f", "input_schema": schema}]) == expected

    @pytest.mark.parametrize("strict", [True, False])
    def test_invalid_schemas(self, strict: bool) -> None:
        """ANTH-10.4, FIT-2.3: JSON that is not a schema is refused, however deep or large it is."""
        deep = b'{"type": "object", "items": ' + b'{"items": ' * 9000 + b"{}" + b"}" * 9001
        large = b'{"type": "object", "maxProperties": 1e999}'
        wrong = b'{"type": "object", "properties": {"a": {"type": "text"}}}'

        for schema in (deep, large, wrong):
            message = tool_problem(schema, "tools.0.custom", strict=strict)
            assert (message or "").startswith(f"tools.0.custom.input_schema: {DRAFT}")
            message = format_problem(schema, "output_config.format")
            assert (message or "").startswith("output_config.format.schema: Invalid schema: ")

    @pytest.mark.parametrize(
        ("inner", "expected"),
        [
            ({"type": "object"}, "For 'object' type, 'additionalProperties' must be explicitly set to false"),
            (
                {"type": "object", "additionalProperties": True},
                (
                    "For 'object' type, 'additionalProperties: true' is not supported. Please set 'additionalProperties' "
                    "to false"
                ),
            ),
            (
                {"type": ["object", "null"], "additionalProperties": {}},
                (
                    "For 'object' type, 'additionalProperties: object' is not supported. Please set "
                    "'additionalProperties' to false"
                ),
            ),
            ({"type": "array", "maxItems": 3}, "For 'array' type, property 'maxItems' is not supported"),
            (
                {"type": "array", "minItems": 2},
                "For 'array' type, 'minItems' values other than 0 or 1 are not supported (got: [2, ∞])",
            ),
            (
                {"type": "number", "minimum": 0, "maximum": 1},
                "For 'number' type, properties maximum, minimum are not supported",
            ),
            ({"type": "string", "minLength": 1}, "For 'string' type, property 'minLength' is not supported"),
            (OBJECT | {"propertyNames": {}}, "For 'object' type, property 'propertyNames' is not supported"),
            ({"oneOf": [{"type": "null"}]}, "Schema type 'oneOf' is not supported"),
        ],
    )
    @pytest.mark.parametrize("wrap", ["properties", "items", "anyOf", "$defs"])
    def test_violations_of_strict_rules(self, inner: Any, expected: str, wrap: str) -> None:
        """ANTH-10.4, FIT-2.3: They are refused anywhere in the schema of a format or strict tool, and accepted in other tools."""
        held: Any = {"x": inner} if wrap in ("properties", "$defs") else [inner] if wrap == "anyOf" else inner
        schema = OBJECT | {wrap: held}
        tool = {"name": "f", "input_schema": schema}
        output = {"type": "json_schema", "schema": schema}

        assert refusal_of(tools=[tool | {"strict": True}]) == f"tools.0.custom: {expected}"
        assert refusal_of(output_config={"format": output}) == f"output_config.format.schema: {expected}"
        assert refusal_of(output_format=output) == f"output_format.schema: {expected}"
        assert prompt_of(tools=[tool | {"strict": False}]).tools

    @pytest.mark.parametrize(
        ("output", "expected"),
        [
            ({"type": "json_schema"}, "output_config.format.schema: Field required"),
            ({"type": "json_schema", "schema": None}, "output_config.format.schema: Field required"),
            (
                {"type": "json_schema", "schema": []},
                "output_config.format.schema: Input should be a valid dictionary",
            ),
            (
                {"type": "json_schema", "schema": {}},
                "output_config.format.schema: Invalid schema: Schema type is missing",
            ),
        ],
    )
    def test_schemas_of_formats(self, output: Any, expected: str) -> None:
        """ANTH-10.4: A format has a schema, and the schema has a type."""
        assert refusal_of(output_config={"format": output}) == expected

    def test_two_formats(self) -> None:
        """ANTH-10.4: A request that has both fields of a format is refused."""
        output = {"type": "json_schema", "schema": OBJECT}

        assert refusal_of(output_config={"format": output}, output_format=output).startswith(
            "output_format: "
        )

    @pytest.mark.parametrize(
        ("tool", "expected"),
        [
            (
                {"type": "song_20250101", "name": "song"},
                (
                    "tools.0: Input tag 'song_20250101' found using 'type' does not match any of the expected tags: "
                    "'custom', 'web_search'"
                ),
            ),
            ({"type": "bash_20250124"}, "tools.0.bash_20250124.name: Field required"),
            (
                {"type": "bash_20250124", "name": "sh"},
                "tools.0.bash_20250124.name: Input should be 'bash'",
            ),
            (
                SEARCH | {"max_uses": 0},
                "tools.0.web_search_20250305.max_uses: Input should be greater than or equal to 1",
            ),
        ],
    )
    def test_unknown_types_and_names(self, tool: dict[str, Any], expected: str) -> None:
        """ANTH-10.1: A tool that Anthropic defines has a known type, and the name of that type."""
        assert refusal_of(tools=[tool]).startswith(expected)

    @pytest.mark.parametrize(
        ("tool", "expected"),
        [
            (
                {"type": "text_editor_20250728", "name": "str_replace_editor"},
                "text_editor_20250728.name: Input should be 'str_replace_based_edit_tool'",
            ),
            (
                {"type": "text_editor_20250124", "name": "str_replace_based_edit_tool"},
                "text_editor_20250124.name: Input should be 'str_replace_editor'",
            ),
            (
                {"type": "computer_20250124", "name": "computer", "display_height_px": 768},
                "computer_20250124.display_width_px: Field required",
            ),
            (
                SEARCH | {"allowed_domains": ["a.org"], "blocked_domains": ["b.org"]},
                "web_search_20250305: `allowed_domains` and `blocked_domains` cannot both be specified.",
            ),
            (
                SEARCH | {"user_location": {"type": "exact"}},
                (
                    "web_search_20250305.user_location: Input tag 'exact' found using 'type' does not match any of the "
                    "expected tags: 'approximate'"
                ),
            ),
            (
                {"type": "web_fetch_20250910", "name": "web_fetch", "max_content_tokens": 0},
                "web_fetch_20250910.max_content_tokens: Input should be greater than or equal to 1",
            ),
        ],
    )
    def test_what_a_version_needs(self, tool: dict[str, Any], expected: str) -> None:
        """ANTH-10.12: It has the name of its version, all that this version requires, and values that it takes."""
        assert refusal_of(tools=[tool]) == f"tools.0.{expected}"


class TestPriorCalls:
    """Calls of earlier turns, and their results."""

    def test_calls_and_results(self) -> None:
        """ANTH-10.3: They have their ids; text beside a result is not part of the result."""
        parts = [
            {"type": "text", "text": "a"},
            {
                "type": "search_result",
                "title": "t",
                "source": "s",
                "content": [{"type": "text", "text": "x"}],
            },
            {"type": "document", "source": {"type": "text", "media_type": "text/plain", "data": "d"}},
            {"type": "document", "source": {"type": "url", "url": "u"}},
            {"type": "image", "source": {"type": "url", "url": "https://u"}},
        ]
        prompt = prompt_of(
            messages=[
                HELLO,
                {"role": "assistant", "content": [CALL, CALL | {"id": "toolu_2", "name": "g", "input": {}}]},
                {
                    "role": "user",
                    "content": [
                        RESULT | {"content": parts},
                        {"type": "tool_result", "tool_use_id": "toolu_2"},
                        {"type": "text", "text": "and now?"},
                    ],
                },
            ]
        )
        _, assistant, user = prompt.messages

        assert assistant.calls == (
            PriorToolCall("toolu_1", "f", '{"a":1}'),
            PriorToolCall("toolu_2", "g", "{}"),
        )
        assert (assistant.texts, assistant.notes) == ((), ())
        assert user.results == (ToolResult("toolu_1", "a\nt\ns\nx\nd"), ToolResult("toolu_2", ""))
        assert (user.texts, user.notes, user.extra_tokens) == (("and now?",), (), 2000)
        assert [image.path for image in prompt.images] == [("messages", 2, "content", 0, "content", 4)]

    def test_prefixes_contain_calls_and_results(self) -> None:
        """ANTH-10.3: A prefix that ends between two blocks has the calls and results before its end, and no others."""
        second = CALL | {"id": "toolu_2"}
        marks = prompt_of(
            messages=[
                HELLO,
                {"role": "assistant", "content": [CALL | {"cache_control": MARK}, second]},
                {
                    "role": "user",
                    "content": [
                        RESULT | {"cache_control": MARK},
                        RESULT | {"tool_use_id": "toolu_2"},
                        {"type": "text", "text": "x"},
                    ],
                },
            ]
        ).cache_marks
        partial = [mark.partial for mark in marks]

        assert [mark.messages for mark in marks] == [1, 1, 2, 2]
        assert [part and len(part.calls) for part in partial] == [None, 1, None, 0]
        assert [part and len(part.results) for part in partial] == [None, 0, None, 1]
