"""Chat completions: tools, response formats, logprobs and refusals, parsed and rendered."""

import json
from typing import Any

import pytest
from openai.types.chat import ChatCompletion, ChatCompletionChunk
from support.incoming import incoming
from support.turns import tokenized, turn

from llmsim.domain import (
    Choice,
    FinishReason,
    Prompt,
    RefusalSegment,
    ResponseFormat,
    Segment,
    TextSegment,
    TokenLogprob,
    Tool,
    ToolCall,
    ToolCallSegment,
    ToolChoice,
    ToolKind,
    ToolMode,
    Turn,
)
from llmsim.errors import InvalidFieldError, RefusedError
from llmsim.providers.openai.chat import ChatOptions
from llmsim.providers.openai.chat import parse as parse_request
from llmsim.providers.openai.chat_chunks import render_stream
from llmsim.providers.openai.chat_completion import render_response
from llmsim.providers.openai.errors import render_refusal


def parse(body: bytes) -> Any:
    """Parse a body."""
    return parse_request(incoming(body))


SCHEMA = b'{"type": "object", "properties": {"city": {"type": "string"}}}'
WEATHER = {"type": "function", "function": {"name": "weather", "parameters": json.loads(SCHEMA)}}
NOTE = {"type": "custom", "custom": {"name": "note", "description": "Takes notes"}}


def prompt(**fields: Any) -> Prompt:
    request = {"model": "gpt-4o", "messages": [{"role": "user", "content": "Hello"}]} | fields
    return parse(json.dumps(request).encode()).prompt


def refusal(**fields: Any) -> dict[str, Any]:
    with pytest.raises(RefusedError) as refused:
        prompt(**fields)
    reply = render_refusal(refused.value)
    assert reply.status == 400
    error: dict[str, Any] = json.loads(reply.body)["error"]
    return error


class TestTools:
    """Tools and tool choice."""

    def test_functions_and_custom_tools_are_parsed(self) -> None:
        """FIT-1.9: A function has its schema as it was sent, a custom tool takes free text."""
        assert prompt(tools=[WEATHER, NOTE]).tools == (
            Tool("weather", ToolKind.FUNCTION, "", json.dumps(json.loads(SCHEMA)).encode()),
            Tool("note", ToolKind.CUSTOM, "Takes notes"),
        )

    def test_a_regular_expression_is_a_schema_of_texts(self) -> None:
        """FIT-1.9: A custom tool's input matches its grammar if that is a regular expression."""
        grammar = {"type": "grammar", "grammar": {"syntax": "regex", "definition": "[a-z]+"}}
        tool = prompt(tools=[{"type": "custom", "custom": {"name": "g", "format": grammar}}]).tools[0]

        assert json.loads(tool.schema) == {"type": "string", "pattern": "^(?:[a-z]+)$"}

    @pytest.mark.parametrize(
        ("choice", "wanted"),
        [
            (None, ToolChoice()),
            ("none", ToolChoice(ToolMode.NONE)),
            ("auto", ToolChoice()),
            ("required", ToolChoice(ToolMode.REQUIRED)),
            (
                {"type": "function", "function": {"name": "weather"}},
                ToolChoice(ToolMode.REQUIRED, ("weather",)),
            ),
            ({"type": "custom", "custom": {"name": "note"}}, ToolChoice(ToolMode.REQUIRED, ("note",))),
            (
                {
                    "type": "allowed_tools",
                    "allowed_tools": {
                        "mode": "required",
                        "tools": [{"type": "function", "function": {"name": "weather"}}],
                    },
                },
                ToolChoice(ToolMode.REQUIRED, ("weather",)),
            ),
        ],
    )
    def test_tool_choices_are_parsed(self, choice: Any, wanted: ToolChoice) -> None:
        """FIT-1.1: Every form of `tool_choice` is parsed."""
        assert prompt(tools=[WEATHER, NOTE], tool_choice=choice).tool_choice == wanted

    def test_parallel_calls_can_be_forbidden(self) -> None:
        """FIT-1.5: `parallel_tool_calls: false` is parsed."""
        assert prompt(tools=[WEATHER], parallel_tool_calls=False).tool_choice == ToolChoice(parallel=False)

    def test_functions_are_the_deprecated_name_of_tools(self) -> None:
        """FIT-1.9: `functions` and `function_call` are parsed as tools of which one is called."""
        old = prompt(functions=[WEATHER["function"]], function_call={"name": "weather"})

        assert [tool.name for tool in old.tools] == ["weather"]
        assert old.tool_choice == ToolChoice(ToolMode.REQUIRED, ("weather",), parallel=False)

    @pytest.mark.parametrize(
        ("fields", "param"),
        [
            ({"tool_choice": "required"}, "tool_choice"),
            ({"parallel_tool_calls": False}, "parallel_tool_calls"),
            (
                {"tools": [WEATHER], "tool_choice": {"type": "function", "function": {"name": "f"}}},
                "tool_choice",
            ),
            ({"functions": [{"name": "f"}], "function_call": {"name": "g"}}, "function_call"),
            ({"functions": [{"name": "f"}], "tools": [WEATHER]}, "functions"),
            ({"top_logprobs": 3}, "top_logprobs"),
            ({"response_format": {"type": "json_object"}}, "messages"),
            ({"tools": [{"type": "web_search"}]}, "tools[0].type"),
            ({"tools": [{"type": "function", "function": {"name": "no spaces"}}]}, "tools[0].function.name"),
        ],
    )
    def test_conflicts_are_refused(self, fields: dict[str, Any], param: str) -> None:
        """CHAT-1.9: A choice without tools, a tool that is not offered, and the like are refused by name."""
        assert refusal(**fields)["param"] == param

    @pytest.mark.parametrize(
        ("ids", "answered"), [(["a"], []), (["a", "b"], ["a"]), ([], ["a"]), (["a"], ["b", "a"])]
    )
    def test_calls_and_results_belong_together(self, ids: list[str], answered: list[str]) -> None:
        """CHAT-1.10: A call without its result, and a result without its call are refused."""
        calls = [{"id": name, "function": {"name": "weather", "arguments": "{}"}} for name in ids]
        results = [{"role": "tool", "tool_call_id": name, "content": ""} for name in answered]
        calling = {"role": "assistant", "content": "", "tool_calls": calls}

        with pytest.raises(InvalidFieldError):
            prompt(messages=[{"role": "user", "content": "Hi"}, calling, *results])


class TestResponseFormats:
    """The format of the text."""

    def test_response_formats_are_parsed(self) -> None:
        """FIT-2.1: A JSON schema, any object, and plain text."""
        named = {"name": "s", "schema": json.loads(SCHEMA), "strict": False}
        messages = [{"role": "system", "content": "Answer in JSON"}]

        assert prompt(response_format={"type": "json_schema", "json_schema": named}).form == ResponseFormat(
            SCHEMA, "s"
        )
        assert prompt(response_format={"type": "json_object"}, messages=messages).form == ResponseFormat()
        assert prompt(response_format={"type": "text"}).form is None

    def test_an_invalid_schema_is_refused(self) -> None:
        """FIT-2.3: The refusal has the API's wording and param."""
        named = {"name": "s", "schema": {"type": "banana"}}
        error = refusal(response_format={"type": "json_schema", "json_schema": named})

        assert error["message"].startswith("Invalid schema for response_format 's': 'banana' is not valid")
        assert (error["param"], error["code"]) == ("response_format", None)

        broken = {"name": "f", "parameters": {"type": "object", "properties": {"x": {"type": "banana"}}}}
        error = refusal(tools=[{"type": "function", "function": broken}])

        assert error["message"].startswith("Invalid schema for function 'f': ")
        assert error["param"] == "tools[0].function.parameters"
        assert error["code"] == "invalid_function_parameters"

    def test_strict_schemas_follow_the_rules(self) -> None:
        """FIT-2.3: A schema that violates the strict-mode rules is refused."""
        named = {"name": "s", "schema": json.loads(SCHEMA), "strict": True}
        error = refusal(response_format={"type": "json_schema", "json_schema": named})

        assert "'additionalProperties' is required to be supplied and to be false" in error["message"]

    def test_arguments_are_an_object(self) -> None:
        """FIT-2.3: A function takes an object."""
        error = refusal(
            tools=[{"type": "function", "function": {"name": "f", "parameters": {"type": "string"}}}]
        )

        assert "schema must be a JSON Schema of 'type: \"object\"'" in error["message"]


def called(*arguments: str, kind: ToolKind = ToolKind.FUNCTION, fixed_id: str | None = None) -> Segment:
    text = tokenized(*arguments)
    call = ToolCall("0a", "weather", kind, fixed_id)
    return ToolCallSegment(2 + text.tokens, text, 2, call)


def answered(*segments: Segment, finish: FinishReason = FinishReason.TOOL_CALLS, choices: int = 1) -> Turn:
    return turn(*[Choice(segments, finish)] * choices)


def whole(answer: Turn, options: ChatOptions | None = None) -> dict[str, Any]:
    body = render_response(answer, options or ChatOptions())
    ChatCompletion.model_validate_json(body, strict=True)
    choice: dict[str, Any] = json.loads(body)["choices"][0]
    return choice


def chunks(answer: Turn, options: ChatOptions | None = None) -> list[dict[str, Any]]:
    stream = b"".join(
        run.data(0, len(run.required_tokens)) for run in render_stream(answer, options or ChatOptions())
    )
    found = [json.loads(line[6:]) for line in stream.splitlines() if line.startswith(b"data: {")]
    for chunk in found:
        # NOTE: the SDK's type of a delta knows calls of functions only; the API streams those of custom tools, too.
        if b'"custom"' not in stream:
            ChatCompletionChunk.model_validate(chunk)
    return [chunk["choices"][0] for chunk in found]


class TestCalls:
    """Rendering of calls."""

    def test_a_call_is_rendered_whole(self) -> None:
        """FIT-1.8: Id, type, name and arguments; no content; the reason is `tool_calls`."""
        choice = whole(answered(called('{"a"', ":1}")))

        assert choice["finish_reason"] == "tool_calls"
        assert choice["message"]["content"] is None
        assert choice["message"]["tool_calls"] == [
            {"id": "call_0a", "type": "function", "function": {"name": "weather", "arguments": '{"a":1}'}}
        ]

    def test_a_call_is_streamed_in_pieces(self) -> None:
        """FIT-1.7: First id and name, then pieces that join to the arguments; calls differ by their index."""
        deltas = [choice["delta"] for choice in chunks(answered(called('{"a"', ":1}"), called("{}")))]

        assert deltas[0] == {"role": "assistant", "content": None}
        assert deltas[1]["tool_calls"] == [
            {
                "index": 0,
                "id": "call_0a",
                "type": "function",
                "function": {"name": "weather", "arguments": ""},
            }
        ]
        assert [delta["tool_calls"][0] for delta in deltas[2:4]] == [
            {"index": 0, "function": {"arguments": '{"a"'}},
            {"index": 0, "function": {"arguments": ":1}"}},
        ]
        assert [delta["tool_calls"][0]["index"] for delta in deltas[4:6]] == [1, 1]
        assert deltas[6:] == [{}]

    def test_a_call_is_announced_with_its_first_token(self) -> None:
        """FIT-1.7: The first piece carries the rest of its name; the frames carry all tokens of the turn."""
        answer = answered(called('{"a"', ":1}"), called("{}"))
        frames = [
            (end, run.tokens[place] if run.tokens else 0)
            for run in render_stream(answer, ChatOptions())
            for place, end in enumerate(run.required_tokens)
        ]

        assert frames == [(1, 0), (1, 1), (3, 2), (4, 1), (5, 1), (7, 2), (7, 0), (7, 0)]

    def test_ids_of_a_script_are_kept(self) -> None:
        """FIT-1.8: A fixed id has no prefix."""
        assert whole(answered(called("{}", fixed_id="mine")))["message"]["tool_calls"][0]["id"] == "mine"

    def test_custom_tools_are_called_with_text(self) -> None:
        """FIT-1.9: A custom tool's call has an input, whole and in pieces."""
        answer = answered(called("free ", "text", kind=ToolKind.CUSTOM))
        pieces = [choice["delta"]["tool_calls"][0] for choice in chunks(answer)[1:-1]]

        assert whole(answer)["message"]["tool_calls"][0] == {
            "id": "call_0a",
            "type": "custom",
            "custom": {"name": "weather", "input": "free text"},
        }
        assert pieces[0]["custom"] == {"name": "weather", "input": ""}
        assert [piece["custom"]["input"] for piece in pieces[1:]] == ["free ", "text"]

    def test_functions_get_the_deprecated_names(self) -> None:
        """FIT-1.9: `functions` get a `function_call`, and that finish reason."""
        old = ChatOptions(uses_functions=True)
        answer = answered(called('{"a"', ":1}"))
        deltas = [choice["delta"] for choice in chunks(answer, old)]

        assert whole(answer, old)["finish_reason"] == "function_call"
        assert whole(answer, old)["message"]["function_call"] == {"name": "weather", "arguments": '{"a":1}'}
        assert [delta["function_call"] for delta in deltas[1:-1]] == [
            {"name": "weather", "arguments": ""},
            {"arguments": '{"a"'},
            {"arguments": ":1}"},
        ]

    def test_text_may_precede_a_call(self) -> None:
        """FIT-1.8: A mixed turn has its text, then its calls."""
        segment = TextSegment(2, tokenized("I'll ", "look."))
        answer = answered(segment, called("{}"))
        choice = whole(answer)
        deltas = [choice["delta"] for choice in chunks(answer)]

        assert (choice["message"]["content"], len(choice["message"]["tool_calls"])) == ("I'll look.", 1)
        assert [delta["content"] for delta in deltas[:3]] == ["", "I'll ", "look."]

    def test_hosted_calls_are_hidden(self) -> None:
        """FIT-1.10: Chat completions show nothing of a hosted call but its tokens."""
        segment = TextSegment(1, tokenized("Found."))
        answer = answered(called("q", kind=ToolKind.HOSTED), segment, finish=FinishReason.STOP)

        assert "tool_calls" not in whole(answer)["message"]
        assert [choice["delta"].get("content") for choice in chunks(answer)] == ["", "Found.", None]


class TestRefusals:
    """Rendering of refusals."""

    def test_a_refusal_has_its_own_field(self) -> None:
        """FIT-4.1: There is no content but a refusal, whole and in pieces."""
        segment = RefusalSegment(2, tokenized("Sorry", ", no."))
        answer = answered(segment, finish=FinishReason.STOP)

        message = whole(answer)["message"]
        assert (message["content"], message["refusal"]) == (None, "Sorry, no.")
        assert [choice["delta"].get("refusal") for choice in chunks(answer)[1:-1]] == ["Sorry", ", no."]

    def test_filtered_content_has_its_finish_reason(self) -> None:
        """FIT-4.2: The reason is `content_filter`."""
        segment = TextSegment(1, tokenized("Once"))

        assert (
            whole(answered(segment, finish=FinishReason.CONTENT_FILTER))["finish_reason"] == "content_filter"
        )


class TestLogprobs:
    """Rendering of logprobs."""

    LOGPROBS = (
        (TokenLogprob.ranked(b" a", -0.25, ((b" a", -0.25), (b" b", -2.0))),),
        (TokenLogprob(b"\xf0\x9f", -0.5), TokenLogprob(b"\xa6\x9c", -0.0)),
    )

    def test_logprobs_are_rendered_token_by_token(self) -> None:
        """FIT-3.1: Token, bytes, logarithm and alternatives; bytes that are not whole UTF-8 are escaped."""
        segment = TextSegment(3, tokenized(" a", "🦜"), logprobs=self.LOGPROBS)
        answer = answered(segment, finish=FinishReason.STOP)
        content = whole(answer)["logprobs"]["content"]

        assert content[0] == {
            "token": " a",
            "logprob": -0.25,
            "bytes": [32, 97],
            "top_logprobs": [
                {"token": " a", "logprob": -0.25, "bytes": [32, 97]},
                {"token": " b", "logprob": -2.0, "bytes": [32, 98]},
            ],
        }
        assert content[1]["token"] == "\\xf0\\x9f"
        assert bytes(byte for token in content for byte in token["bytes"]).decode() == " a🦜"
        streamed = [choice["logprobs"] for choice in chunks(answer)]
        assert streamed[0] is streamed[-1] is None
        assert [token for logprobs in streamed[1:-1] for token in logprobs["content"]] == content

    def test_logprobs_that_were_not_requested_are_null(self) -> None:
        """FIT-3.2: `logprobs` is null unless requested."""
        segment = TextSegment(1, tokenized("Hi"))

        assert whole(answered(segment, finish=FinishReason.STOP))["logprobs"] is None
