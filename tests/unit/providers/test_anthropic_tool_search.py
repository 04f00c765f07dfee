"""Deferred tools, the search for them, and changes of tools within a conversation."""

import json
from typing import Any

import pytest
from anthropic.types.beta import BetaMessage
from msgspec.structs import replace
from support.incoming import incoming
from support.tool_turns import WEATHER_CALL, hosted_call, text_segment, turn_of

from llmsim.domain import FinishReason
from llmsim.errors import InvalidFieldError
from llmsim.providers.anthropic.messages import MessageOptions, parse
from llmsim.providers.anthropic.passages import cite_stored
from llmsim.providers.anthropic.rendering import render_message
from llmsim.providers.contract import ParsedRequest

SEARCH = {"type": "tool_search_tool_bm25_20251119", "name": "tool_search_tool_bm25"}
SCHEMA = {"type": "object", "properties": {"city": {"type": "string"}}}
WEATHER_TOOL = {"name": "get_weather", "input_schema": SCHEMA, "defer_loading": True}
ORDERS = {"name": "list_orders", "description": "List open orders", "input_schema": SCHEMA}
LATER = ORDERS | {"defer_loading": True}
CALL = {"type": "tool_use", "id": "toolu_1", "name": "ToolSearch", "input": {}}
LOADED = {
    "type": "tool_result",
    "tool_use_id": "toolu_1",
    "content": [{"type": "tool_reference", "tool_name": "get_weather"}],
}
OWN_SEARCH = {"name": "ToolSearch", "input_schema": {"type": "object"}}
FOUND = {
    "type": "tool_search_tool_result",
    "tool_use_id": "srvtoolu_1",
    "content": {
        "type": "tool_search_tool_search_result",
        "tool_references": [{"type": "tool_reference", "tool_name": "get_weather"}],
    },
}
SEARCHED = {
    "type": "server_tool_use",
    "id": "srvtoolu_1",
    "name": "tool_search_tool_bm25",
    "input": {"query": "x"},
}


def user(text: str = "And the weather?") -> dict[str, Any]:
    """Return a message of the user."""
    return {"role": "user", "content": text}


def parse_fields(**fields: Any) -> ParsedRequest[MessageOptions]:
    """Parse a request with some fields."""
    body = {"model": "claude-opus-4-8", "max_tokens": 100, "messages": [user()]} | fields
    return parse(incoming(json.dumps(body).encode()))


def offered(**fields: Any) -> list[str]:
    """Return the names of the tools that a request offers."""
    return [tool.name for tool in parse_fields(**fields).prompt.tools]


def counted(**fields: Any) -> str:
    """Return what is counted of the tools of a request."""
    return "".join(parse_fields(**fields).prompt.messages[0].notes)


class TestDeferred:
    """Tools that are loaded later."""

    def test_it_waits_until_it_is_loaded(self) -> None:
        """ANTH-16.1: It is neither offered nor counted before a reference, and both after."""
        tools = [OWN_SEARCH, WEATHER_TOOL]
        messages = [user(), {"role": "assistant", "content": [CALL]}, {"role": "user", "content": [LOADED]}]

        assert offered(tools=tools) == ["ToolSearch"]
        assert "get_weather" not in counted(tools=tools)
        assert offered(tools=tools, messages=messages) == ["ToolSearch", "get_weather"]
        assert "get_weather" in counted(tools=tools, messages=messages)

    def test_its_prefix_stays_as_it_was(self) -> None:
        """ANTH-16.1: A tool that is loaded changes no cached prefix."""
        marked = [OWN_SEARCH | {"cache_control": {"type": "ephemeral"}}, WEATHER_TOOL]
        messages = [user(), {"role": "assistant", "content": [CALL]}, {"role": "user", "content": [LOADED]}]
        (before,) = parse_fields(tools=marked).prompt.cache_marks
        after = parse_fields(tools=marked, messages=messages).prompt.cache_marks

        assert before.key == after[0].key

    @pytest.mark.parametrize(
        ("tools", "message"),
        [
            ([WEATHER_TOOL], "At least one tool must have defer_loading=false"),
            (
                [SEARCH, WEATHER_TOOL | {"cache_control": {"type": "ephemeral"}}],
                (
                    "Tool 'get_weather' cannot have both defer_loading=true and cache_control set. Tools with defer_loading "
                    "cannot use prompt caching."
                ),
            ),
        ],
    )
    def test_what_contradicts_it_is_refused(self, tools: list[Any], message: str) -> None:
        """ANTH-16.3: All tools deferred, and a mark on a deferred one."""
        with pytest.raises(InvalidFieldError) as refused:
            parse_fields(tools=tools)

        assert refused.value.wanted == message

    def test_a_reference_to_no_tool_is_refused(self) -> None:
        """ANTH-16.3: A result refers to a tool that is not defined."""
        messages = [user(), {"role": "assistant", "content": [CALL]}, {"role": "user", "content": [LOADED]}]
        with pytest.raises(InvalidFieldError) as refused:
            parse_fields(tools=[OWN_SEARCH, LATER], messages=messages)

        assert refused.value.wanted == "Tool reference 'get_weather' not found in available tools"


class TestSearch:
    """The search of the API."""

    TOOLS = (SEARCH, WEATHER_TOOL, LATER)

    def options(self, **fields: Any) -> MessageOptions:
        """Return the options of a request with deferred tools."""
        return parse_fields(tools=list(self.TOOLS), **fields).options

    def test_a_call_follows_the_search_that_loads_it(self) -> None:
        """ANTH-16.2: A search is put before it if the turn has made none, and refers to it."""
        use, result, call = render_message(turn_of(WEATHER_CALL), self.options())["content"]

        assert (use["type"], use["name"], use["input"]) == (
            "server_tool_use",
            "tool_search_tool_bm25",
            {"query": "get weather"},
        )
        assert result["tool_use_id"] == use["id"]
        assert result["content"]["tool_references"] == [
            {"type": "tool_reference", "tool_name": "get_weather"}
        ]
        assert call["name"] == "get_weather"

    def test_a_search_of_the_turn_finds_what_is_called(self) -> None:
        """ANTH-16.2: There is one search, and it refers to the called tool."""
        turn = turn_of(hosted_call("tool_search_tool_bm25", id="0124host"), WEATHER_CALL)
        message = render_message(turn, self.options())
        kinds = [block["type"] for block in message["content"]]

        assert kinds == ["server_tool_use", "tool_search_tool_result", "tool_use"]
        assert message["content"][1]["content"]["tool_references"][0]["tool_name"] == "get_weather"
        assert BetaMessage.model_validate(message).content[1].type == "tool_search_tool_result"

    def test_a_search_without_calls_finds_what_fits(self) -> None:
        """ANTH-16.2: Tools with words of the question come first."""
        turn = turn_of(
            hosted_call("tool_search_tool_bm25", "open", " orders"),
            text_segment("Hm"),
            finish=FinishReason.STOP,
        )
        _, result, _ = render_message(turn, self.options())["content"]

        assert [one["tool_name"] for one in result["content"]["tool_references"]] == [
            "list_orders",
            "get_weather",
        ]

    def test_what_is_loaded_is_not_searched(self) -> None:
        """ANTH-16.2: A loaded tool is called at once, and no search is offered when nothing waits."""
        messages = [
            user(),
            {"role": "assistant", "content": [SEARCHED, FOUND, {"type": "text", "text": "Hm"}]},
            user(),
        ]
        content = render_message(turn_of(WEATHER_CALL), self.options(messages=messages))["content"]

        assert [block["type"] for block in content] == ["tool_use"]
        assert offered(tools=[SEARCH, WEATHER_TOOL], messages=messages) == ["get_weather"]
        assert offered(tools=list(self.TOOLS), messages=messages)[0] == "tool_search_tool_bm25"


def change(kind: str, **tool: Any) -> dict[str, Any]:
    """Return a message of the system that changes tools."""
    return {"role": "system", "content": [{"type": kind, "tool": tool}]}


class TestChanges:
    """Tools that messages add and remove."""

    REMOVED = change("tool_removal", type="tool_reference", name="list_orders")
    ADDED = change("tool_addition", type="tool_reference", name="list_orders")
    DEFINED = change(
        "tool_addition",
        type="tool_definition",
        definition={"name": "now", "input_schema": {"type": "object"}},
    )

    def test_the_last_change_counts(self) -> None:
        """ANTH-16.4: A tool is withdrawn, offered again, and defined."""
        tools = [ORDERS, OWN_SEARCH]

        assert offered(tools=tools, messages=[user(), self.REMOVED]) == ["ToolSearch"]
        assert offered(tools=tools, messages=[user(), self.REMOVED, user(), self.ADDED]) == [
            "list_orders",
            "ToolSearch",
        ]
        assert offered(tools=tools, messages=[user(), self.DEFINED]) == ["list_orders", "ToolSearch", "now"]

    def test_tools_of_a_server_are_withdrawn(self) -> None:
        """ANTH-16.4: One of them, or all."""
        server = {"type": "url", "name": "wiki", "url": "https://example.com/mcp"}
        toolset = {"type": "mcp_toolset", "mcp_server_name": "wiki", "configs": {"ask": {}, "read": {}}}
        one = change("tool_removal", type="mcp_tool_reference", server_name="wiki", name="ask")
        every = change("tool_removal", type="mcp_toolset_reference", server_name="wiki")
        fields = {"mcp_servers": [server], "tools": [toolset]}

        assert offered(**fields, messages=[user(), one]) == ["read"]
        assert offered(**fields, messages=[user(), every]) == []

    def test_they_are_the_systems(self) -> None:
        """ANTH-16.4: Another role, and a tool that there is not, are refused."""
        for message in (
            self.REMOVED | {"role": "user"},
            change("tool_removal", type="tool_reference", name="other"),
        ):
            with pytest.raises(InvalidFieldError):
                parse_fields(tools=[ORDERS], messages=[user(), message])


def test_a_fallback_counts_nothing() -> None:
    """ANTH-16.5: It is accepted where the assistant had it."""
    block = {"type": "fallback", "from": {"model": "a"}, "to": {"model": "b"}, "trigger": None}
    texts = [{"type": "text", "text": "Hm"}]
    messages = [user(), {"role": "assistant", "content": [block, *texts]}, user()]
    plain = [user(), {"role": "assistant", "content": texts}, user()]

    assert parse_fields(messages=messages).prompt.messages == parse_fields(messages=plain).prompt.messages


class TestCitations:
    """Pages and stored documents that are cited."""

    FETCH: dict[str, Any] = {
        "type": "web_fetch_20250910",
        "name": "web_fetch",
        "citations": {"enabled": True},
    }

    def test_a_fetched_page_is_cited(self) -> None:
        """ANTH-14.4: The text cites it, after the documents of the request."""
        document = {"type": "document", "source": {"type": "text", "media_type": "text/plain", "data": "Hm."}}
        messages = [{"role": "user", "content": [document, {"type": "text", "text": "Read example.com"}]}]
        turn = turn_of(hosted_call("web_fetch", "page"), text_segment("So"), finish=FinishReason.STOP)
        options = parse_fields(tools=[self.FETCH], messages=messages).options
        _, result, text = render_message(turn, options)["content"]
        (citation,) = text["citations"]
        page = result["content"]["content"]

        assert page["citations"] == {"enabled": True}
        assert (citation["type"], citation["document_index"]) == ("char_location", 1)
        assert page["source"]["data"][: citation["end_char_index"]] == citation["cited_text"]
        assert "citations" not in render_message(turn, replace(options, fetched_index=None))["content"][2]

    @pytest.mark.parametrize(("title", "shown"), [(None, "a.txt"), ("Colours", "Colours")])
    def test_a_stored_document_is_cited(self, title: str | None, shown: str) -> None:
        """ANTH-14.5: The passage is in the file, with its id and its title or name."""
        document = {
            "type": "document",
            "source": {"type": "file", "file_id": "file_1"},
            "title": title,
            "citations": {"enabled": True},
        }
        question = {"type": "text", "text": "Which colour is the grass?"}
        parsed = parse_fields(messages=[{"role": "user", "content": [document, question]}])
        (stored,) = parsed.options.stored
        citation = cite_stored(stored, b"The sky is blue. The grass is green.", "a.txt")

        assert [use.id for use in parsed.files] == ["file_1"]
        assert citation is not None
        assert (citation["cited_text"], citation["start_char_index"]) == ("The grass is green.", 17)
        assert (citation["file_id"], citation["document_title"]) == ("file_1", shown)
        assert cite_stored(stored, b"%PDF-1.4 without a stream", "a.pdf") is None
