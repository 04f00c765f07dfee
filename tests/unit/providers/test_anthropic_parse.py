"""Parsing of requests of the Anthropic API, and the messages of refusals."""

import json
from typing import Any

import pytest
from support.anthropic_request import MESSAGES
from support.incoming import incoming

from llmsim.domain import PriorToolCall, Prompt, ToolResult
from llmsim.errors import InvalidFieldError, UnsupportedError
from llmsim.providers.anthropic.errors import render_refusal
from llmsim.providers.anthropic.messages import MessageOptions
from llmsim.providers.anthropic.messages import parse as parse_request
from llmsim.providers.contract import ParsedRequest


def parse(body: bytes) -> ParsedRequest[MessageOptions]:
    """Parse a body."""
    return parse_request(incoming(body))


HELLO = {"role": "user", "content": "Hello"}
BASIC: dict[str, Any] = {"model": "claude-opus-4-8", "max_tokens": 2000, "messages": [HELLO]}
CALL = {"type": "tool_use", "id": "toolu_1", "name": "f", "input": {"a": 1}}
RESULT = {"type": "tool_result", "tool_use_id": "toolu_1", "content": "42"}
TOOL = {"name": "f", "input_schema": {"type": "object"}}
MARK = {"type": "ephemeral"}


def prompt_of(**fields: Any) -> Prompt:
    return parse(json.dumps(BASIC | fields).encode()).prompt


def refusal_of(**fields: Any) -> str:
    request = {name: value for name, value in (BASIC | fields).items() if value is not ...}
    with pytest.raises(InvalidFieldError) as caught:
        parse(json.dumps(request).encode())
    reply = render_refusal(caught.value)
    assert reply.status == 400
    return str(json.loads(reply.body)["error"]["message"])


class TestAccepted:
    """Requests that are accepted."""

    def test_all_kinds_of_blocks(self) -> None:
        """ANTH-1.1: Texts are parsed, all other blocks are counted, images are found."""
        prompt = prompt_of(**MESSAGES)

        tools, system, user, assistant, result = prompt.messages
        assert (tools.role, system.texts, user.texts) == ("tools", ("Be kind.",), ("Look",))
        assert user.notes == ("d", "t", "s", "x")
        assert (assistant.notes, assistant.calls) == (('{"q": 1}',), (PriorToolCall("toolu_1", "f", "{}"),))
        assert (result.notes, result.results) == ((), (ToolResult("toolu_1", "42"),))
        assert [image.path for image in prompt.images] == [("messages", 0, "content", 1)]

    def test_limits_reach_the_planner(self) -> None:
        """ANTH-1.4: Limit, stop sequences and `stream` are part of the prompt."""
        prompt = prompt_of(max_tokens=7, stop_sequences=["a", "b"], stream=True)

        assert (prompt.limit, prompt.stop, prompt.stream) == (7, ("a", "b"), True)

    def test_optional_fields_accept_null(self) -> None:
        """ANTH-1.6: `null` is the same as no field, and unknown fields are ignored."""
        optional = [
            *("system", "temperature", "top_p", "top_k", "stop_sequences", "stream", "thinking", "tools"),
            *("tool_choice", "metadata", "service_tier", "container", "context_management", "output_config"),
            *("cache_control", "speed", "inference_geo", "mcp_servers"),
        ]

        assert prompt_of(**dict.fromkeys(optional), unknown_field={"x": 1}) == prompt_of()

    def test_any_order_of_roles(self) -> None:
        """ANTH-1.5: Consecutive messages of one role, an assistant first, and a system message in between are accepted."""
        roles = ("assistant", "user", "user", "system", "assistant")

        prompt = prompt_of(
            model="claude-opus-4-5", messages=[{"role": role, "content": "x"} for role in roles]
        )
        assert tuple(message.role for message in prompt.messages) == roles

    def test_tools_are_counted_as_sent(self) -> None:
        """ANTH-1.8: A tool is counted as its JSON; earlier thinking is not counted."""
        prompt = prompt_of(
            model="claude-opus-4-5",
            tools=[TOOL | {"description": "é"}],
            messages=[
                HELLO,
                {
                    "role": "assistant",
                    "content": [
                        {"type": "thinking", "thinking": "hm", "signature": "AAAA"},
                        {"type": "text", "text": "So"},
                    ],
                },
                HELLO,
            ],
        )

        assert json.loads(prompt.messages[0].notes[0]) == TOOL | {"description": "é"}
        assert (prompt.messages[2].texts, prompt.messages[2].notes) == (("So",), ())

    def test_options_are_reported(self) -> None:
        """ANTH-2.3: Region and speed are reported as requested."""
        body = json.dumps(BASIC | {"inference_geo": "us", "speed": "fast", "service_tier": "auto"}).encode()

        assert parse(body).options == MessageOptions(geo="us", speed="fast")


class TestThinking:
    """Parsing of thinking."""

    @pytest.mark.parametrize(
        ("thinking", "config", "effort", "limit", "summary"),
        [
            (None, None, "none", None, None),
            ({"type": "disabled"}, {"effort": "high"}, "none", None, None),
            ({"type": "between_tools"}, None, "none", None, None),
            ({"type": "enabled", "budget_tokens": 1024}, None, "medium", 1024, "full"),
            ({"type": "adaptive"}, None, "high", None, "full"),
            ({"type": "adaptive"}, {"effort": "low"}, "low", None, "full"),
            ({"type": "adaptive", "display": "omitted"}, None, "high", None, None),
            ({"type": "adaptive", "display": "summarized"}, {"effort": "max"}, "max", None, "full"),
        ],
    )
    def test_effort_budget_and_display(
        self, thinking: Any, config: Any, effort: str, limit: int | None, summary: str | None
    ) -> None:
        """ANTH-4.3: Effort, budget and `display` are parsed, and have their defaults."""
        prompt = prompt_of(model="claude-opus-4-6", thinking=thinking, output_config=config)

        assert (prompt.effort, prompt.reasoning_limit, prompt.summary) == (effort, limit, summary)

    @pytest.mark.parametrize(
        ("fields", "expected"),
        [
            ({"thinking": {"type": "enabled"}}, "thinking.enabled.budget_tokens: Field required"),
            (
                {"thinking": {"type": "enabled", "budget_tokens": 1023}},
                "thinking.enabled.budget_tokens: Input should be greater than or equal to 1024",
            ),
            (
                {"thinking": {"type": "enabled", "budget_tokens": 2000}},
                "`max_tokens` must be greater than `thinking.budget_tokens`.",
            ),
            (
                {"thinking": {"type": "adaptive"}, "temperature": 0.5},
                "`temperature` may only be set to 1 when thinking is enabled",
            ),
            ({"thinking": {"type": "adaptive"}, "top_k": 5}, "`top_k` must be unset"),
            (
                {"thinking": {"type": "adaptive"}, "tools": [TOOL], "tool_choice": {"type": "any"}},
                "Thinking may not be enabled when tool_choice forces tool use.",
            ),
        ],
    )
    def test_contradictions(self, fields: dict[str, Any], expected: str) -> None:
        """ANTH-4.4: Fields that contradict thinking are refused with the API's message."""
        assert refusal_of(model="claude-opus-4-6", **fields).startswith(expected)


class TestRefused:
    """Requests that are refused, and the message."""

    @pytest.mark.parametrize(
        ("fields", "expected"),
        [
            ({"max_tokens": ...}, "max_tokens: Field required"),
            ({"model": ...}, "model: Field required"),
            ({"messages": ...}, "messages: Field required"),
            ({"max_tokens": "x"}, "max_tokens: Input should be a valid integer"),
            ({"max_tokens": -1}, "max_tokens: Input should be greater than or equal to 0"),
            ({"temperature": 1.1}, "temperature: Input should be less than or equal to 1"),
            ({"top_p": -0.1}, "top_p: Input should be greater than or equal to 0"),
            ({"top_k": -1}, "top_k: Input should be greater than or equal to 0"),
            ({"service_tier": "gold"}, "service_tier: Input should be 'auto' or 'standard_only'"),
            ({"speed": "slow"}, "speed: Input should be 'fast' or 'standard'"),
            ({"model": ""}, "model: String should have at least 1 characters"),
            ({"system": 5}, "system: Input should be a valid string or a valid list"),
            (
                {"tool_choice": {"type": "some"}},
                "tool_choice: Input tag 'some' found using 'type' does not match",
            ),
            ({"thinking": {"type": "deep"}}, "thinking: Input tag 'deep' found using 'type' does not match"),
            ({"output_config": {"effort": "none"}}, "output_config.effort: Input should be 'high', 'low'"),
            (
                {"cache_control": {"type": "ephemeral", "ttl": "1d"}},
                "cache_control.ephemeral.ttl: Input should be '1h' or '5m'",
            ),
            (
                {"stop_sequences": ["a", " "]},
                "stop_sequences.1: each stop sequence must contain non-whitespace",
            ),
        ],
    )
    def test_fields(self, fields: dict[str, Any], expected: str) -> None:
        """ANTH-1.4: The message names the field that is missing, of a wrong type or out of range, and what is accepted."""
        assert refusal_of(**fields).startswith(expected)

    @pytest.mark.parametrize(
        ("messages", "expected"),
        [
            ([], "messages: at least one message is required"),
            (
                [{"role": "robot", "content": "x"}],
                "messages.0.role: Input should be 'user', 'assistant' or 'system'",
            ),
            ([{"role": "user", "content": ""}], "messages.0: all messages must have non-empty content"),
            ([{"role": "user", "content": []}], "messages.0: all messages must have non-empty content"),
            (
                [{"role": "user", "content": [{"type": "text", "text": ""}]}],
                "messages: text content blocks must be non-empty",
            ),
            (
                [{"role": "user", "content": [{"type": "song"}]}],
                "messages.0.content.0: Input tag 'song' found using 'type' does not match any of the expected tags: ",
            ),
            ([{"role": "user", "content": [RESULT]}], "messages.0.content.0: unexpected `tool_use_id` found"),
            (
                [{"role": "assistant", "content": [CALL]}, HELLO],
                "messages.1: `tool_use` ids were found without `tool_result` blocks immediately after: toolu_1.",
            ),
            (
                [{"role": "user", "content": [CALL]}],
                "messages.0: `tool_use` blocks can only be in `assistant`",
            ),
            (
                [HELLO, {"role": "assistant", "content": "So "}],
                "messages: final assistant content cannot end with trailing whitespace",
            ),
            (
                [{"role": "user", "content": [{"type": "image", "source": {"type": "url"}}]}],
                "messages.0.content.0.image.source.url.url: Field required",
            ),
            (
                [{"role": "system", "content": [{"type": "image", "source": {"type": "url", "url": "x"}}]}],
                "messages.0.content.0: Input tag 'image' found using 'type' does not match",
            ),
        ],
    )
    def test_conversations(self, messages: list[Any], expected: str) -> None:
        """ANTH-1.5: An inconsistent conversation is refused with the API's message."""
        assert refusal_of(messages=messages).startswith(expected)

    @pytest.mark.parametrize(
        ("fields", "expected"),
        [
            ({"tools": [{"input_schema": {"type": "object"}}]}, "tools.0.custom.name: Field required"),
            ({"tools": [{"name": "f"}]}, "tools.0.custom.input_schema: Field required"),
            ({"tools": [TOOL, TOOL]}, "tools: Tool names must be unique."),
            ({"tools": [TOOL | {"name": "a b"}]}, "tools.0.custom.name: String should match pattern"),
            (
                {"tools": [{"name": "f", "input_schema": {"type": "string"}}]},
                "tools.0.custom.input_schema.type: Input should be 'object'",
            ),
            (
                {"tools": [TOOL], "tool_choice": {"type": "tool", "name": "g"}},
                "Tool 'g' not found in provided tools",
            ),
            ({"tools": [TOOL], "tool_choice": {"type": "tool"}}, "tool_choice.tool.name: Field required"),
            ({"tool_choice": {"type": "auto"}}, "tool_choice may only be specified while providing tools."),
        ],
    )
    def test_tools(self, fields: dict[str, Any], expected: str) -> None:
        """ANTH-1.7: Invalid tools, and a choice that does not match them, are refused."""
        assert refusal_of(**fields).startswith(expected)

    def test_tools_of_the_api_need_no_schema(self) -> None:
        """ANTH-1.7: A tool that Anthropic defines is accepted without a schema."""
        assert prompt_of(
            tools=[{"type": "web_search_20250305", "name": "web_search", "max_uses": 3}]
        ).messages


class TestCacheMarks:
    """Ends of prefixes that may be cached."""

    def text(self, text: str, **fields: Any) -> dict[str, Any]:
        """Build a text block."""
        return {"type": "text", "text": text} | fields

    def test_nothing_is_looked_up_without_marks(self) -> None:
        """ANTH-7.1: A request without marks has no cacheable prefix."""
        assert prompt_of().cache_marks == ()

    def test_a_mark_and_the_blocks_before_it(self) -> None:
        """ANTH-7.2: The prefix up to a mark has a lifetime; prefixes up to earlier blocks are only looked up."""
        content = [self.text("a"), self.text("b", cache_control=MARK | {"ttl": "1h"}), self.text("c")]
        marks = prompt_of(system="S", messages=[{"role": "user", "content": content}]).cache_marks

        assert [mark.lifetime for mark in marks] == [None, None, 3600]
        assert [mark.messages for mark in marks] == [1, 1, 1]
        assert [mark.partial and mark.partial.texts for mark in marks] == [None, ("a",), ("a", "b")]

    def test_a_prefix_keeps_its_key_when_its_mark_moves_on(self) -> None:
        """ANTH-7.2: The next turn looks up the prefix of the turn before."""
        first = [{"role": "user", "content": [self.text("a", cache_control=MARK)]}]
        second = [
            {"role": "user", "content": [self.text("a")]},
            {"role": "assistant", "content": "b"},
            {"role": "user", "content": [self.text("c", cache_control=MARK)]},
        ]

        key = prompt_of(messages=first).cache_marks[-1].key
        assert [mark.key == key for mark in prompt_of(messages=second).cache_marks] == [True, False, False]

    @pytest.mark.parametrize(
        "fields",
        [
            {"model": "claude-opus-5"},
            {"system": "S"},
            {"tools": [TOOL]},
            {
                "messages": [
                    {"role": "user", "content": [{"type": "text", "text": "b", "cache_control": MARK}]}
                ]
            },
        ],
    )
    def test_another_prefix_has_another_key(self, fields: dict[str, Any]) -> None:
        """ANTH-7.2: Model, tools, system and text are all part of a prefix."""
        one = {"messages": [{"role": "user", "content": [self.text("a", cache_control=MARK)]}]}

        assert prompt_of(**one).cache_marks[-1].key != prompt_of(**(one | fields)).cache_marks[-1].key

    def test_twenty_blocks_before_a_mark_are_looked_up(self) -> None:
        """ANTH-7.2: However long the conversation is, 20 blocks before a mark are looked up."""
        content = [self.text(str(number)) for number in range(60)] + [self.text("end", cache_control=MARK)]

        assert len(prompt_of(messages=[{"role": "user", "content": content}]).cache_marks) == 21

    def test_cache_control_of_the_request_marks_its_last_block(self) -> None:
        """ANTH-7.5: `cache_control` of the request marks the whole prompt."""
        marks = prompt_of(cache_control=MARK).cache_marks

        assert [(mark.messages, mark.partial, mark.lifetime) for mark in marks] == [(1, None, 300)]

    def test_too_many_marks(self) -> None:
        """ANTH-7.6: Four marks are accepted, a fifth is refused."""
        content = [self.text("x", cache_control=MARK)] * 5

        assert prompt_of(messages=[{"role": "user", "content": content[:4]}]).cache_marks
        message = refusal_of(messages=[{"role": "user", "content": content}])
        assert message == "A maximum of 4 blocks with cache_control may be provided. Found 5."

    def test_long_lifetimes_come_first(self) -> None:
        """ANTH-7.6: An hour's mark after one of five minutes is refused."""
        content = [self.text("x", cache_control=MARK), self.text("y", cache_control=MARK | {"ttl": "1h"})]

        assert "must not come after" in refusal_of(messages=[{"role": "user", "content": content}])


@pytest.mark.parametrize("thread", [{"type": "create"}, {"type": "continue", "previous_message_id": "msg_1"}])
def test_threads_are_refused_with_the_code_that_the_sdk_knows(thread: dict[str, Any]) -> None:
    """ANTH-1.9: The error has the code on which the SDK continues without threads, and names the field."""
    with pytest.raises(UnsupportedError) as refused:
        parse(json.dumps(BASIC | {"thread": thread}).encode())
    reply = render_refusal(refused.value)

    assert reply.status == 400
    details = json.loads(reply.body)["error"]["details"]
    assert details == {"error_code": "thread_unsupported_request", "unsupported": ["thread"]}
