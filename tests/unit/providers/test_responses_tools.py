"""Responses: parsing of tools, response formats and logprobs."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.incoming import incoming
from support.responses_api import answer, answering, ask, body, saying

from llmsim.domain import Prompt, ResponseFormat, Tool, ToolChoice, ToolKind, ToolMode
from llmsim.errors import ContextLengthError, InvalidSchemaError, RefusedError, ToolChoiceError
from llmsim.providers.anthropic.errors import render_refusal as render_anthropic
from llmsim.providers.openai.errors import render_refusal
from llmsim.providers.openai.responses import RESPONSES
from llmsim.providers.openresponses.responses import RESPONSES as OPENRESPONSES

FUNCTION = {"type": "function", "name": "get_weather"}
CUSTOM = {"type": "custom", "name": "run", "format": {"type": "text"}}
SEARCH = {"type": "web_search_preview_2025_03_11", "search_context_size": "low"}
SERVER = {"type": "mcp", "server_label": "wiki", "server_url": "https://example.com/mcp"}
NAMESPACE = {"type": "namespace", "name": "crm", "description": "d", "tools": [FUNCTION, CUSTOM]}
TOOLS = [FUNCTION, CUSTOM, SEARCH, SERVER]
SCHEMA = {"type": "object", "properties": {"b": {"type": "string"}, "a": {"type": "integer"}}}


REQUIRED = {
    "code_interpreter": {"container": {"type": "auto"}},
    "computer_use_preview": {"display_height": 768, "display_width": 1024, "environment": "browser"},
    "file_search": {"vector_store_ids": ["vs_1"]},
    "mcp": {"server_label": "wiki", "server_url": "https://example.com/mcp"},
}
"""What hosted tools need."""


def hosted(name: str, **members: Any) -> dict[str, Any]:
    """Return a hosted tool with what its type needs."""
    return {"type": name, **REQUIRED.get(name, {}), **members}


def prompt(**fields: Any) -> Prompt:
    return ask(RESPONSES, **fields).prompt


def choice(tool_choice: Any, tools: Any = TOOLS, **fields: Any) -> ToolChoice:
    return prompt(tools=tools, tool_choice=tool_choice, **fields).tool_choice


def refused(**fields: Any) -> dict[str, Any]:
    """Return the error of a refused request, as the client gets it."""
    with pytest.raises(RefusedError) as error:
        ask(RESPONSES, **fields)
    reply = render_refusal(error.value)
    assert reply.status == 400
    found: dict[str, Any] = json.loads(reply.body)["error"]
    return found


class TestTools:
    """The tools of a request."""

    def test_a_function(self) -> None:
        """RESP-6.1: A function is offered with its description and its schema as it was sent, key by key."""
        sent = body(
            tools=[FUNCTION | {"description": "Weather", "parameters": SCHEMA, "strict": False}, FUNCTION]
        )

        assert RESPONSES.http.parse(incoming(sent)).prompt.tools == (
            Tool("get_weather", ToolKind.FUNCTION, "Weather", json.dumps(SCHEMA).encode()),
            Tool("get_weather"),
        )

    def test_a_custom_tool(self) -> None:
        """RESP-6.1: A custom tool takes free text."""
        assert prompt(tools=[CUSTOM | {"description": "Runs"}]).tools == (
            Tool("run", ToolKind.CUSTOM, "Runs"),
        )

    def test_a_custom_tool_with_a_grammar(self) -> None:
        """RESP-6.1: A regular expression is a schema of its texts; Lark is accepted, and the text is free."""
        regex = {"type": "grammar", "syntax": "regex", "definition": "[a-c]{3}"}
        lark = {"type": "grammar", "syntax": "lark", "definition": 'start: "a"'}
        tools = prompt(tools=[CUSTOM | {"format": regex}, CUSTOM | {"format": lark}]).tools

        assert [tool.schema for tool in tools] == [b'{"type":"string","pattern":"^(?:[a-c]{3})$"}', b""]

    def test_an_invalid_grammar(self) -> None:
        """FIT-2.3: An invalid regular expression is refused with its path."""
        regex = {"type": "grammar", "syntax": "regex", "definition": "[a-"}
        error = refused(tools=[CUSTOM | {"format": regex}])

        assert (error["param"], error["code"]) == (
            "tools[0].format.definition",
            "invalid_function_parameters",
        )

    @pytest.mark.parametrize(
        ("named", "kind"),
        [
            ("web_search", "web_search"),
            ("web_search_2025_08_26", "web_search"),
            ("web_search_preview", "web_search"),
            ("web_search_preview_2025_03_11", "web_search"),
            ("file_search", "file_search"),
            ("code_interpreter", "code_interpreter"),
            ("image_generation", "image_generation"),
        ],
    )
    def test_hosted_tools(self, named: str, kind: str) -> None:
        """RESP-6.2: A hosted tool is offered by its kind, whatever its version."""
        assert prompt(tools=[hosted(named)]).tools == (Tool(kind, ToolKind.HOSTED),)

    @pytest.mark.parametrize(
        ("named", "kind"),
        [
            ("computer_use_preview", "computer"),
            ("computer", "computer"),
            ("local_shell", "local_shell"),
            ("shell", "shell"),
            ("apply_patch", "apply_patch"),
        ],
    )
    def test_tools_that_the_client_runs(self, named: str, kind: str) -> None:
        """FIT-1.14: They are offered by their kind, with a description, as tools of the client."""
        (tool,) = prompt(tools=[hosted(named)]).tools

        assert (tool.name, tool.kind, tool.schema) == (kind, ToolKind.CLIENT_HOSTED, b"")
        assert tool.description

    @pytest.mark.parametrize(
        ("environment", "kind"),
        [
            (None, ToolKind.CLIENT_HOSTED),
            ({"type": "local"}, ToolKind.CLIENT_HOSTED),
            ({"type": "container_auto"}, ToolKind.HOSTED),
            ({"type": "container_reference", "container_id": "c"}, ToolKind.HOSTED),
        ],
    )
    def test_a_shell_in_a_container(self, environment: Any, kind: ToolKind) -> None:
        """FIT-1.14: The provider runs a shell that is in a container."""
        (tool,) = prompt(tools=[{"type": "shell", "environment": environment}]).tools

        assert tool.kind is kind

    @pytest.mark.parametrize("named", ["tool_search", "programmatic_tool_calling"])
    def test_tools_without_items(self, named: str) -> None:
        """RESP-6.2: A tool that llmsim has no items for is echoed, and not offered."""
        tools = [{"type": named, "deep": [1]}]

        assert prompt(tools=tools).tools == ()
        assert answer(RESPONSES, answering(saying("Hi")), tools=tools)["tools"] == tools

    @pytest.mark.parametrize("named", ["web_search_20250305", "web_fetch", "acme:lookup", "Function", ""])
    def test_types_that_are_unknown(self, named: str) -> None:
        """RESP-6.17, OPRE-1.10: An unknown type is refused with the list of the API, in the request and in items; OpenResponses echoes it."""
        tool = {"type": named, "deep": [1]}
        error = refused(tools=[FUNCTION, tool])

        assert (error["param"], error["code"]) == ("tools[1].type", "invalid_value")
        assert error["message"].startswith(
            f"Invalid value: '{named}'. Supported values are: 'code_interpreter', 'programmatic_"
        )
        assert error["message"].endswith("'shell', and 'apply_patch'.")
        brought = refused(input=[{"type": "additional_tools", "role": "developer", "tools": [tool]}])
        assert brought["param"] == "input[0].tools[0].type"
        assert answer(OPENRESPONSES, answering(saying("Hi")), tools=[tool])["tools"] == [tool]

    @pytest.mark.parametrize(
        ("name", "member"),
        [
            ("code_interpreter", "container"),
            ("file_search", "vector_store_ids"),
            ("computer_use_preview", "environment"),
        ],
    )
    def test_what_hosted_tools_need(self, name: str, member: str) -> None:
        """RESP-6.18: A tool without it is refused, also in an item; OpenResponses has no such tools."""
        tool = hosted(name)
        assert prompt(tools=[tool]).tools
        del tool[member]
        error = refused(tools=[FUNCTION, tool])

        assert error["message"] == f"Missing required parameter: 'tools[1].{member}'."
        assert (error["param"], error["code"]) == (f"tools[1].{member}", "missing_required_parameter")
        brought = refused(input=[{"type": "additional_tools", "role": "developer", "tools": [tool]}])
        assert brought["param"] == f"input[0].tools[0].{member}"
        assert ask(OPENRESPONSES, tools=[tool])

    @pytest.mark.parametrize(
        ("tool", "param"),
        [
            (hosted("web_search", search_context_size="huge"), "search_context_size"),
            (hosted("web_search_preview", user_location={"type": "exact"}), "user_location.type"),
            (hosted("web_search", filters={"allowed_domains": "a.com"}), "filters.allowed_domains"),
            (hosted("code_interpreter", container={"type": "manual"}), "container.type"),
            (hosted("image_generation", size="huge"), "size"),
            (hosted("image_generation", quality="best"), "quality"),
            (
                hosted("file_search", ranking_options={"score_threshold": 2}),
                "ranking_options.score_threshold",
            ),
            (hosted("shell", environment={"type": "remote"}), "environment.type"),
            (hosted("mcp", server_url=None, connector_id="connector_fax"), "connector_id"),
        ],
    )
    def test_values_of_hosted_tools(self, tool: dict[str, Any], param: str) -> None:
        """RESP-6.18: A value that the API does not take is refused, and null is as if it were left out."""
        assert refused(tools=[tool])["param"] == f"tools[0].{param}"
        assert prompt(tools=[hosted("web_search", user_location=None, search_context_size=None)]).tools

    @pytest.mark.parametrize(
        ("members", "code"),
        [
            ({"server_url": None}, "missing_mutually_exclusive_parameters"),
            ({"connector_id": "connector_gmail"}, "mutually_exclusive_parameters"),
            ({"tunnel_id": "tunnel_1"}, "mutually_exclusive_parameters"),
        ],
    )
    def test_the_address_of_a_server(self, members: dict[str, Any], code: str) -> None:
        """RESP-6.18: It has exactly one."""
        error = refused(tools=[hosted("mcp", **members)])

        assert (error["param"], error["code"]) == ("tools[0]", code)
        assert error["message"].lower().startswith(code.replace("_", " "))

    def test_defaults_of_hosted_tools(self) -> None:
        """RESP-6.19: They are echoed, and what was sent stays; OpenResponses echoes what was sent."""
        location = {"type": "approximate", "city": None, "country": "US", "region": None, "timezone": None}
        bare, full = {"type": "web_search"}, hosted("file_search", max_num_results=3)
        sent = [bare, hosted("web_search_preview", user_location={"type": "approximate"}), full]
        turn = answering(saying("Hi"))

        assert answer(RESPONSES, turn, tools=sent)["tools"] == [
            {**bare, "filters": None, "search_context_size": "medium", "user_location": location},
            {**sent[1], "search_context_size": "medium", "user_location": location | {"country": None}},
            {**full, "filters": None, "ranking_options": {"ranker": "auto", "score_threshold": 0.0}},
        ]
        assert answer(OPENRESPONSES, turn, tools=sent)["tools"] == sent

    def test_namespaces(self) -> None:
        """RESP-6.3: The tools of a namespace are offered, and it is echoed as it was sent."""
        assert [tool.name for tool in prompt(tools=[NAMESPACE]).tools] == ["get_weather", "run"]
        assert answer(RESPONSES, answering(saying("Hi")), tools=[NAMESPACE])["tools"] == [NAMESPACE]

    @pytest.mark.parametrize(
        ("tool", "param", "code"),
        [
            ({"type": "custom"}, "tools[1].name", "missing_required_parameter"),
            ({"type": "custom", "name": "a b"}, "tools[1].name", "invalid_value"),
            ({"type": "namespace", "name": "x"}, "tools[1].tools", "missing_required_parameter"),
            (
                {"type": "namespace", "name": "x", "tools": [{"type": "mcp"}]},
                "tools[1].tools[0].type",
                "invalid_value",
            ),
            ({"type": "namespace", "name": "x", "tools": [5]}, "tools[1].tools[0]", "invalid_type"),
            (
                {"type": "namespace", "name": "x", "tools": [{"type": "function"}]},
                "tools[1].tools[0].name",
                "missing_required_parameter",
            ),
            (FUNCTION | {"parameters": []}, "tools[1].parameters", "invalid_type"),
            (FUNCTION | {"parameters": "x"}, "tools[1].parameters", "invalid_type"),
            ({"type": "image_generation", "partial_images": 4}, "tools[1].partial_images", None),
        ],
    )
    def test_invalid_tools(self, tool: dict[str, Any], param: str, code: str | None) -> None:
        """RESP-1.4: An invalid tool is refused by name."""
        error = refused(tools=[FUNCTION, tool])

        assert error["param"] == param
        assert code in (None, error["code"])

    @given(depth=st.integers(1, 3000))
    def test_deep_namespaces_are_refused(self, depth: int) -> None:
        """RESP-1.3: Nested namespaces are refused at any depth."""
        head = b'{"type":"namespace","name":"x","tools":['
        sent = b'{"model":"m","input":"x","tools":[%b%b]}' % (head * depth, b"]}" * depth)
        if depth == 1:
            assert RESPONSES.http.parse(incoming(sent)).prompt.tools == ()
            return
        with pytest.raises(RefusedError):
            RESPONSES.http.parse(incoming(sent))

    @given(depth=st.integers(1, 3000))
    def test_deep_parameters_are_refused(self, depth: int) -> None:
        """RESP-1.3: An invalid schema of any depth is refused, and never crashes."""
        deep = b"[" * depth + b"]" * depth
        sent = b'{"model":"m","input":"x","tools":[{"type":"function","name":"f","parameters":%b}]}' % deep
        with pytest.raises(RefusedError):
            RESPONSES.http.parse(incoming(sent))


class TestChoice:
    """The tool choice."""

    @pytest.mark.parametrize(
        ("sent", "mode", "names"),
        [
            (None, ToolMode.AUTO, None),
            ("auto", ToolMode.AUTO, None),
            ("none", ToolMode.NONE, None),
            ("required", ToolMode.REQUIRED, None),
            ({"type": "function", "name": "get_weather"}, ToolMode.REQUIRED, ("get_weather",)),
            ({"type": "custom", "name": "run"}, ToolMode.REQUIRED, ("run",)),
            ({"type": "web_search_preview"}, ToolMode.REQUIRED, ("web_search",)),
            ({"type": "web_search"}, ToolMode.REQUIRED, ("web_search",)),
            ({"type": "mcp"}, ToolMode.REQUIRED, ("mcp",)),
            ({"type": "mcp", "server_label": "wiki", "name": "ask"}, ToolMode.REQUIRED, ("mcp",)),
        ],
    )
    def test_each_form(self, sent: Any, mode: ToolMode, names: tuple[str, ...] | None) -> None:
        """FIT-1.1: Every form of the choice reaches the prompt."""
        assert choice(sent) == ToolChoice(mode, names)

    @pytest.mark.parametrize("mode", [None, "auto", "required", "none"])
    def test_allowed_tools(self, mode: str | None) -> None:
        """FIT-1.1, OPRE-1.7: Only allowed tools may be called, and repeated names count once."""
        tools = [
            {"type": "function", "name": "get_weather"},
            {"type": "function", "name": "get_weather"},
            {"type": "mcp", "server_label": "wiki"},
            {"type": "web_search_preview"},
        ]
        sent = {"type": "allowed_tools", "tools": tools} | ({"mode": mode} if mode else {})
        asked = ask(OPENRESPONSES, tools=TOOLS, tool_choice=sent)

        assert asked.prompt.tool_choice == ToolChoice(
            ToolMode(mode or "auto"), ("get_weather", "mcp", "web_search")
        )
        assert len(asked.prompt.tools) == 4

    def test_limits(self) -> None:
        """FIT-1.5, FIT-1.10: Parallel calls and the limit of hosted calls reach the prompt."""
        assert choice(None, parallel_tool_calls=False, max_tool_calls=3) == ToolChoice(
            parallel=False, limit=3
        )

    def test_a_tool_in_a_namespace(self) -> None:
        """RESP-6.3: A tool in a namespace is chosen by its own name."""
        sent = {"type": "function", "name": "get_weather"}

        assert choice(sent, tools=[NAMESPACE]).names == ("get_weather",)

    def test_a_tool_that_cannot_be_called(self) -> None:
        """RESP-6.2: A tool without items may be chosen, and is not called."""
        assert choice({"type": "tool_search"}, tools=[{"type": "tool_search"}]) == ToolChoice(names=())

    @pytest.mark.parametrize(
        ("sent", "named"),
        [
            ({"type": "function", "name": "no_such"}, "function"),
            ({"type": "function", "name": "run"}, "function"),
            ({"type": "custom", "name": "get_weather"}, "custom"),
            ({"type": "image_generation"}, "image_generation"),
            ({"type": "mcp", "server_label": "other"}, "mcp"),
            ({"type": "allowed_tools", "tools": [FUNCTION, {"type": "function", "name": "g"}]}, "g"),
            ({"type": "allowed_tools", "tools": [{"type": "file_search"}]}, "file_search"),
        ],
    )
    def test_a_tool_that_is_not_offered(self, sent: dict[str, Any], named: str) -> None:
        """RESP-6.4: A choice of a tool that is not offered is refused with the API's wording."""
        assert refused(tools=TOOLS, tool_choice=sent) == {
            "message": f"Tool choice '{named}' not found in 'tools' parameter.",
            "type": "invalid_request_error",
            "param": "tool_choice",
            "code": None,
        }

    @pytest.mark.parametrize("tools", [None, []])
    def test_required_without_tools(self, tools: Any) -> None:
        """RESP-6.4: `required` needs at least one tool."""
        error = refused(tools=tools, tool_choice="required")

        assert error["message"] == "Tool choice 'required' must be specified with 'tools' parameter."
        assert (error["param"], error["code"]) == ("tool_choice", None)
        assert choice("none", tools=tools) == ToolChoice(ToolMode.NONE)

    @pytest.mark.parametrize(
        ("sent", "param"),
        [
            ({"type": "custom"}, "tool_choice.name"),
            ({"type": "allowed_tools", "tools": ["f"]}, "tool_choice.tools[0]"),
            (
                {"type": "allowed_tools", "tools": [FUNCTION, {"type": "function"}]},
                "tool_choice.tools[1].name",
            ),
            ({"type": "allowed_tools", "tools": [FUNCTION], "mode": "x"}, "tool_choice.mode"),
            ({"type": "mcp", "server_label": 5}, "tool_choice.server_label"),
        ],
    )
    def test_invalid_choices(self, sent: dict[str, Any], param: str) -> None:
        """RESP-1.4: An invalid choice is refused by name."""
        assert refused(tools=TOOLS, tool_choice=sent)["param"] == param


class TestResponseFormat:
    """The format of the text."""

    def test_a_schema(self) -> None:
        """FIT-2.1: A schema reaches the prompt as it was sent, with its name."""
        form = {"type": "json_schema", "name": "weather", "schema": SCHEMA}

        assert prompt(text={"format": form}).form == ResponseFormat(json.dumps(SCHEMA).encode(), "weather")

    @pytest.mark.parametrize(
        ("text", "form"),
        [
            (None, None),
            ({}, None),
            ({"format": None}, None),
            ({"format": {"type": "text"}}, None),
            ({"format": {"type": "json_object"}}, ResponseFormat()),
        ],
    )
    def test_other_formats(self, text: Any, form: ResponseFormat | None) -> None:
        """FIT-2.2: Any JSON object, or plain text."""
        assert prompt(text=text, input="As JSON").form == form

    def test_json_is_asked_for(self) -> None:
        """RESP-1.9: The input has the word, whatever the instructions say; a continued conversation may have it before."""
        text = {"format": {"type": "json_object"}}
        error = refused(input="Hi", instructions="Answer in JSON", text=text)

        assert (error["param"], error["code"]) == ("input", None)
        assert error["message"] == (
            "Response input messages must contain the word 'json' in some form to use 'text.format' of type 'json_object'."
        )
        assert prompt(input="Hi", previous_response_id="resp_1", text=text).form == ResponseFormat()
        assert ask(OPENRESPONSES, input="Hi", text=text).prompt.form == ResponseFormat()

    @pytest.mark.parametrize("schema", [None, [], "x", 5, True])
    def test_schemas_that_are_not_objects(self, schema: Any) -> None:
        """RESP-1.4: A schema that is not an object is refused by name."""
        error = refused(text={"format": {"type": "json_schema", "name": "s", "schema": schema}})

        assert (error["param"], error["code"]) == ("text.format.schema", "invalid_type")


OPEN = {"type": "object", "properties": {"x": {"type": "string"}}}
CLOSED = OPEN | {"required": ["x"], "additionalProperties": False}
ARRAYS = {"type": "object", "properties": {"x": {"type": "array"}}}


def function(schema: Any, **fields: Any) -> dict[str, Any]:
    return {"tools": [FUNCTION, {"type": "function", "name": "f", "parameters": schema, **fields}]}


def form(schema: Any, **fields: Any) -> dict[str, Any]:
    return {"text": {"format": {"type": "json_schema", "name": "s", "schema": schema, **fields}}}


class TestSchemas:
    """Checks of schemas."""

    @pytest.mark.parametrize(
        "fields",
        [
            function(OPEN),
            function(OPEN, strict=None),
            function(OPEN, strict=False),
            function(CLOSED, strict=True),
            function(None, strict=True),
            form(OPEN),
            form(ARRAYS),
            form(CLOSED, strict=True),
        ],
    )
    def test_valid_schemas(self, fields: dict[str, Any]) -> None:
        """FIT-2.3: A valid schema is accepted; the strict-mode rules apply only to `strict`."""
        for _ in range(2):
            assert prompt(**fields).tools or prompt(**fields).form

    @pytest.mark.parametrize(
        ("schema", "strict", "words"),
        [
            ({}, False, "schema must be a JSON Schema of 'type: \"object\"', got 'type: \"None\"'."),
            ({"type": "array", "items": {}}, False, "schema must be a JSON Schema of 'type: \"object\"'"),
            ({"type": "object", "properties": {"x": {"type": "wrong"}}}, False, "'wrong'"),
            ({"type": "object", "properties": []}, False, "[] is not of type 'object'"),
            (OPEN, True, "In context=(), "),
        ],
    )
    def test_invalid_schemas(self, schema: Any, strict: bool, words: str) -> None:
        """FIT-2.3: A schema that is invalid, or violates the strict-mode rules, is refused with its path, each time again."""
        for _ in range(2):
            tool = refused(**function(schema, strict=strict))
            text = refused(**form(schema, strict=strict))

            assert (tool["param"], tool["code"]) == ("tools[1].parameters", "invalid_function_parameters")
            assert (text["param"], text["code"]) == ("text.format.schema", "invalid_json_schema")
            assert tool["message"].startswith("Invalid schema for function 'f': ")
            assert text["message"].startswith("Invalid schema for response_format 's': ")
            assert words in tool["message"]
            assert words in text["message"]

    def test_arrays_of_functions(self) -> None:
        """FIT-2.3: A function's array must define its items, strict or not."""
        assert "items" in refused(**function(ARRAYS))["message"]

    def test_in_a_namespace(self) -> None:
        """FIT-2.3: The refusal has the full path of a schema in a namespace."""
        space = {"type": "namespace", "name": "x", "description": "", "tools": function({})["tools"]}

        assert refused(tools=[space])["param"] == "tools[0].tools[1].parameters"

    def test_large_schemas(self) -> None:
        """FIT-2.3: A large schema is checked, too, and its refusal is short."""
        key = "k" * 100_000

        assert prompt(**function({"type": "object", "properties": {key: {"type": "string"}}})).tools
        wrong = refused(**function({"type": "object", "properties": {key: {"type": "wrong"}}}))
        assert len(wrong["message"]) < 1200


class TestLogprobs:
    """Whether logprobs are rendered."""

    @pytest.mark.parametrize(
        ("fields", "alternatives"),
        [
            ({}, None),
            ({"top_logprobs": 5}, None),
            ({"include": ["message.output_text.logprobs"]}, 0),
            ({"include": ["message.output_text.logprobs"], "top_logprobs": 5}, 5),
            ({"include": ["reasoning.encrypted_content"], "top_logprobs": 5}, None),
        ],
    )
    def test_how_they_are_requested(self, fields: dict[str, Any], alternatives: int | None) -> None:
        """FIT-3.1, FIT-3.2: `include` requests them; `top_logprobs` alone does not."""
        assert prompt(model="gpt-4.1", **fields).logprobs == alternatives


class TestWording:
    """The wording of refusals by the planner."""

    @pytest.mark.parametrize(
        ("error", "message", "param", "code"),
        [
            (
                InvalidSchemaError(("tools", 0, "parameters"), "function", "f", ("properties", "x"), "Bad."),
                "Invalid schema for function 'f': In context=('properties', 'x'), Bad.",
                "tools[0].parameters",
                "invalid_function_parameters",
            ),
            (
                InvalidSchemaError(("tools", 0, "function", "parameters"), "function", "f", None, "Bad."),
                "Invalid schema for function 'f': Bad.",
                "tools[0].function.parameters",
                "invalid_function_parameters",
            ),
            (
                InvalidSchemaError(("text", "format", "schema"), "response_format", "s", (), "Bad."),
                "Invalid schema for response_format 's': In context=(), Bad.",
                "text.format.schema",
                "invalid_json_schema",
            ),
            (
                InvalidSchemaError(
                    ("response_format", "json_schema", "schema"), "response_format", "s", (), "Bad."
                ),
                "Invalid schema for response_format 's': In context=(), Bad.",
                "response_format",
                None,
            ),
        ],
    )
    def test_schemas(self, error: InvalidSchemaError, message: str, param: str, code: str | None) -> None:
        """FIT-2.3: An invalid schema is refused with the API's wording, param and code."""
        assert json.loads(render_refusal(error).body)["error"] == {
            "message": message,
            "type": "invalid_request_error",
            "param": param,
            "code": code,
        }

    @pytest.mark.parametrize(
        ("path", "subject", "words"),
        [
            (
                ("tools", 0, "custom", "input_schema"),
                "function",
                "tools.0.custom.input_schema: JSON schema is invalid. It must match JSON Schema draft 2020-12",
            ),
            (("output_format", "schema"), "response_format", "output_format.schema: Bad."),
        ],
    )
    def test_schemas_elsewhere(self, path: tuple[str | int, ...], subject: Any, words: str) -> None:
        """FIT-2.3: Anthropic has another wording."""
        reply = render_anthropic(InvalidSchemaError(path, subject, "f", None, "Bad."))

        assert json.loads(reply.body)["error"]["message"].startswith(words)

    @pytest.mark.parametrize("generation", [RESPONSES, OPENRESPONSES], ids=lambda one: one.label)
    def test_an_input_that_is_too_long(self, generation: Any) -> None:
        """RESP-6.7: It is refused as `input`, over HTTP and WebSocket; other refusals are the provider's."""
        error = ContextLengthError(10, 20)
        refused_body = json.loads(generation.http.render_refusal(error).body)["error"]
        over_socket = json.loads(generation.websocket.messages.render_refusal(error).body)

        assert (refused_body["param"], refused_body["code"]) == ("input", "context_length_exceeded")
        assert refused_body["message"].startswith("Your input exceeds the context window")
        assert over_socket["error"] == refused_body
        other = json.loads(generation.http.render_refusal(ToolChoiceError("f")).body)["error"]
        assert other["param"] == "tool_choice"
