"""Responses: the response object and its output items."""

import json
from itertools import combinations
from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st
from openai.types.responses import Response, ResponseError
from support.incoming import incoming
from support.responses_api import answer, ask, thinking
from support.turns import tokenized, turn

from llmsim.domain import Choice, FinishReason, Schedule
from llmsim.providers.openai.responses import DIALECT, RESPONSES
from llmsim.providers.openai_family.responses.output_items import encrypted_content
from llmsim.providers.openai_family.responses.response import Failure, UnfinishedStatus, render_unfinished

FIELDS = """id object created_at status background completed_at error frequency_penalty incomplete_details instructions
    max_output_tokens max_tool_calls metadata model moderation output parallel_tool_calls presence_penalty
    previous_response_id prompt_cache_key prompt_cache_retention reasoning safety_identifier service_tier store
    temperature text tool_choice tool_usage tools top_logprobs top_p truncation usage user"""
SUMMARY = tokenized("First", ", second.", spans=[3, 4])


def unfinished(status: UnfinishedStatus, failure: Failure | None = None, **fields: Any) -> dict[str, Any]:
    options = ask(RESPONSES, **fields).options
    found: dict[str, Any] = json.loads(
        render_unfinished(thinking("Hi", thought=3), options, DIALECT, status, failure=failure)
    )
    return found


class TestResponse:
    """The object."""

    def test_it_has_every_field(self) -> None:
        """RESP-2.1: All fields of recorded responses are there, and no other."""
        assert set(answer(RESPONSES, thinking("Hi"))) == set(FIELDS.split())

    @pytest.mark.parametrize(
        "fields",
        [
            {},
            {"tools": [{"type": "function", "name": "f"}, {"type": "web_search"}], "tool_choice": "required"},
            {
                "tools": [{"type": "function", "name": "f"}],
                "tool_choice": {"type": "allowed_tools", "tools": [{"type": "function", "name": "f"}]},
            },
            {"text": {"format": {"type": "json_schema", "name": "s", "schema": {"type": "object"}}}},
            {"reasoning": {"effort": "low", "summary": "auto", "context": "auto", "mode": "pro"}},
            {"conversation": "conv_1", "prompt": {"id": "pmpt_1", "version": "2"}, "metadata": {"a": "b"}},
        ],
    )
    @pytest.mark.parametrize("finish", [FinishReason.STOP, FinishReason.LENGTH, FinishReason.CONTENT_FILTER])
    def test_it_is_the_sdks(self, fields: dict[str, Any], finish: FinishReason) -> None:
        """RESP-2.1: It is a `Response` of the newest SDK, for all requests and finish reasons."""
        answered = answer(RESPONSES, thinking("Hi", thought=7, shown=SUMMARY, finish=finish), **fields)

        assert Response.model_validate(answered).output_text == "Hi"

    def test_omitted_fields_have_their_defaults(self) -> None:
        """RESP-2.2: Defaults are the API's."""
        answered = answer(RESPONSES, thinking("Hi"))
        defaults = {
            "background": False,
            "frequency_penalty": 0,
            "instructions": None,
            "max_output_tokens": None,
            "max_tool_calls": None,
            "metadata": {},
            "parallel_tool_calls": True,
            "presence_penalty": 0,
            "previous_response_id": None,
            "prompt_cache_key": None,
            "prompt_cache_retention": None,
            "reasoning": {"effort": None, "summary": None},
            "safety_identifier": None,
            "store": True,
            "temperature": 1,
            "text": {"format": {"type": "text"}, "verbosity": "medium"},
            "tool_choice": "auto",
            "tools": [],
            "top_logprobs": 0,
            "top_p": 1,
            "truncation": "disabled",
            "user": None,
        }

        assert {name: answered[name] for name in defaults} == defaults
        assert not {"conversation", "prompt"} & set(answered)

    def test_the_request_is_echoed(self) -> None:
        """RESP-2.2: All fields are echoed as they were sent."""
        asked = {
            "background": True,
            "frequency_penalty": 1.5,
            "instructions": 'Say "Hi"\n',
            "max_output_tokens": 16,
            "max_tool_calls": 3,
            "metadata": {"a": "b"},
            "parallel_tool_calls": False,
            "presence_penalty": -2,
            "prompt": {
                "id": "pmpt_1",
                "variables": {"x": {"type": "input_text", "text": "y"}},
                "version": "3",
            },
            "prompt_cache_key": "k",
            "prompt_cache_retention": "24h",
            "reasoning": {"effort": "low", "summary": "concise", "context": "all_turns", "mode": "pro"},
            "safety_identifier": "s",
            "store": True,
            "temperature": 0,
            "text": {"format": {"type": "json_object"}, "verbosity": "low"},
            "tool_choice": {"type": "mcp", "server_label": "x", "deep": [{}]},
            "tools": [
                {
                    "type": "mcp",
                    "server_label": "x",
                    "server_url": "https://example.com/mcp",
                    "deep": [1, {"a": None}],
                }
            ],
            "top_logprobs": 5,
            "top_p": 0,
            "truncation": "auto",
            "user": "u",
        }
        answered = answer(RESPONSES, thinking("Hi"), model="acme-1", **asked, conversation="conv_1")

        assert {name: answered[name] for name in asked} == asked
        assert answered["conversation"] == {"id": "conv_1"}
        assert answer(RESPONSES, thinking("Hi"), conversation={"id": "c"})["conversation"] == {"id": "c"}

    @pytest.mark.parametrize(
        ("sent", "repeated"),
        [
            ({}, {"description": None, "parameters": None, "strict": True}),
            ({"strict": None, "parameters": None}, {"description": None, "parameters": None, "strict": True}),
            (
                {
                    "strict": False,
                    "description": "d",
                    "parameters": {"type": "object"},
                    "defer_loading": True,
                },
                {
                    "strict": False,
                    "description": "d",
                    "parameters": {"type": "object"},
                    "defer_loading": True,
                },
            ),
        ],
    )
    def test_a_function_has_all_its_fields(self, sent: dict[str, Any], repeated: dict[str, Any]) -> None:
        """RESP-2.2: Omitted fields of a function are filled in."""
        function = {"type": "function", "name": "f"}

        assert answer(RESPONSES, thinking("Hi"), tools=[function | sent])["tools"] == [function | repeated]

    @pytest.mark.parametrize(("strict", "repeated"), [(None, False), (False, False), (True, True)])
    def test_a_schema_has_all_its_fields(self, strict: bool | None, repeated: bool) -> None:
        """RESP-2.2: Omitted fields of a format are filled in."""
        schema = {
            "type": "object",
            "properties": {"a": {"type": "number", "enum": [1.5, 2]}},
            "required": ["a"],
            "additionalProperties": False,
        }
        form = {"type": "json_schema", "name": "s", "schema": schema, "strict": strict}
        answered = answer(RESPONSES, thinking("Hi"), text={"format": form})

        assert answered["text"] == {
            "format": form | {"description": None, "strict": repeated},
            "verbosity": "medium",
        }

    @given(
        st.dictionaries(
            st.text(),
            st.recursive(
                st.none()
                | st.booleans()
                | st.integers(-(1 << 63), (1 << 64) - 1)
                | st.floats(allow_nan=False, allow_infinity=False)
                | st.text(),
                lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
                max_leaves=5,
            ),
        ),
        st.sampled_from([None, 0, 3, "\t", "\r\n"]),
    )
    def test_any_tool_is_echoed_on_one_line(self, tool: dict[str, Any], indent: int | str | None) -> None:
        """RESP-2.2: A tool is echoed with all its values, without a raw newline."""
        sent = json.dumps(
            {"model": "m", "input": "x", "tools": [tool | {"type": "apply_patch"}]}, indent=indent
        ).encode()
        echo = RESPONSES.http.parse(incoming(sent)).options.echo

        assert json.loads(b"{%b}" % echo)["tools"] == [tool | {"type": "apply_patch"}]
        assert not {b"\n", b"\r"} & {bytes([byte]) for byte in echo}


class TestStatus:
    """The status, and what depends on it."""

    def test_completed(self) -> None:
        """RESP-2.3: A turn that is not truncated is completed, at the time its schedule ends."""
        answered = answer(RESPONSES, thinking("a", "b", "c", schedule=Schedule(ttft=0.8, itl=1.5)))

        assert (answered["status"], answered["incomplete_details"]) == ("completed", None)
        assert answered["completed_at"] == answered["created_at"] + 3
        assert answered["output"][0]["status"] == "completed"

    @pytest.mark.parametrize(
        ("finish", "reason"),
        [(FinishReason.LENGTH, "max_output_tokens"), (FinishReason.CONTENT_FILTER, "content_filter")],
    )
    def test_incomplete(self, finish: FinishReason, reason: str) -> None:
        """RESP-2.3: A truncated turn has a reason, and its last item is incomplete, too."""
        answered = answer(RESPONSES, thinking("a", thought=5, finish=finish))

        assert (answered["status"], answered["completed_at"]) == ("incomplete", None)
        assert answered["incomplete_details"] == {"reason": reason}
        assert answered["output"][-1]["status"] == "incomplete"

    def test_reasoning_can_use_up_the_limit(self) -> None:
        """RESP-2.4: If the limit leaves no text, there is a reasoning item and no message."""
        answered = answer(RESPONSES, thinking(thought=16, finish=FinishReason.LENGTH))

        assert [item["type"] for item in answered["output"]] == ["reasoning"]
        assert answered["status"] == "incomplete"

    def test_an_empty_text_is_a_message(self) -> None:
        """RESP-2.4: An empty text still has a message."""
        output = answer(RESPONSES, thinking())["output"]

        assert [part["text"] for part in output[0]["content"]] == [""]

    def test_a_turn_without_segments(self) -> None:
        """RESP-4.1: A turn without segments, to be continued later, has no output."""
        answered = answer(RESPONSES, turn(Choice((), FinishReason.STOP)))

        assert (answered["status"], answered["output"]) == ("completed", [])

    @pytest.mark.parametrize("status", ["queued", "in_progress", "cancelled", "failed"])
    def test_unfinished(self, status: UnfinishedStatus) -> None:
        """RESP-2.10: An unfinished response has neither output nor usage."""
        answered = unfinished(status)

        assert (answered["status"], answered["output"], answered["usage"]) == (status, [], None)
        assert (answered["completed_at"], answered["incomplete_details"], answered["error"]) == (
            None,
            None,
            None,
        )
        assert Response.model_validate(answered).status == status

    @pytest.mark.parametrize(
        ("code", "reported"),
        [
            ("rate_limit_exceeded", "rate_limit_exceeded"),
            ("server_overloaded", "server_error"),
            (None, "server_error"),
        ],
    )
    def test_failed(self, code: str | None, reported: str) -> None:
        """RESP-2.10: A failed response has an error, with a code that the SDK knows."""
        answered = unfinished("failed", Failure(message="why", code=code))

        assert answered["error"] == {"code": reported, "message": "why"}
        assert reported in get_args(ResponseError.model_fields["code"].annotation)

    @pytest.mark.parametrize(
        ("asked", "before", "after"),
        [
            (None, "auto", "default"),
            ("auto", "auto", "default"),
            ("default", "default", "default"),
            ("fast", "fast", "priority"),
            ("priority", "priority", "priority"),
            ("flex", "flex", "flex"),
        ],
    )
    def test_service_tier(self, asked: str | None, before: str, after: str) -> None:
        """RESP-2.8: The tier is the requested one until the response is done, then the one that served it."""
        assert unfinished("queued", service_tier=asked)["service_tier"] == before
        assert unfinished("in_progress", service_tier=asked)["service_tier"] == before
        assert unfinished("cancelled", service_tier=asked)["service_tier"] == after
        assert unfinished("failed", service_tier=asked)["service_tier"] == after
        assert answer(RESPONSES, thinking("Hi"), service_tier=asked)["service_tier"] == after

    def test_usage(self) -> None:
        """RESP-2.7: Reasoning is part of the output; nothing is cached."""
        assert answer(RESPONSES, thinking("a", "b", thought=5))["usage"] == {
            "input_tokens": 9,
            "input_tokens_details": {"cache_write_tokens": 0, "cached_tokens": 0},
            "output_tokens": 7,
            "output_tokens_details": {"reasoning_tokens": 5},
            "total_tokens": 16,
        }


class TestReasoning:
    """The reasoning item."""

    def test_it_comes_first(self) -> None:
        """RESP-2.4: Reasoning comes before the message."""
        output = answer(RESPONSES, thinking("Hi", thought=5))["output"]

        assert [item["type"] for item in output] == ["reasoning", "message"]
        assert (output[0]["summary"], output[0]["content"]) == ([], [])
        assert "status" not in output[0]

    def test_a_summary(self) -> None:
        """RESP-2.5: If a summary is requested, the item has the summary."""
        item = answer(RESPONSES, thinking("Hi", thought=7, shown=SUMMARY), reasoning={"summary": "auto"})[
            "output"
        ][0]

        assert item["summary"] == [{"type": "summary_text", "text": "First, second."}]
        assert item["content"] == []

    def test_reasoning_in_full(self) -> None:
        """RESP-2.5: Otherwise it has the reasoning itself."""
        item = answer(RESPONSES, thinking("Hi", thought=7, shown=SUMMARY))["output"][0]

        assert item["content"] == [{"type": "reasoning_text", "text": "First, second."}]
        assert item["summary"] == []

    @pytest.mark.parametrize("fields", [{}, {"include": ["reasoning.encrypted_content"]}])
    def test_it_is_encrypted(self, fields: dict[str, Any]) -> None:
        """RESP-2.6: There is always encrypted content, the same for the same turn."""
        one, same = (
            answer(RESPONSES, thinking("Hi", thought=5), **fields)["output"][0]["encrypted_content"]
            for _ in range(2)
        )
        other = answer(RESPONSES, thinking("Hi", thought=5, id="f" * 29), **fields)["output"][0]

        assert one.startswith("gAAAAA")
        assert one == same
        assert one != other["encrypted_content"]

    @given(
        st.lists(
            st.tuples(st.from_regex("[0-9a-f]{29}", fullmatch=True), st.integers(0, 10_000)),
            min_size=2,
            max_size=20,
            unique=True,
        )
    )
    def test_encrypted_content_has_a_length(self, seeds: list[tuple[str, int]]) -> None:
        """RESP-2.6: It has 8 characters for each of 12 to 2,048 tokens, and differs for each seed."""
        contents = [encrypted_content(seed, tokens).decode() for seed, tokens in seeds]

        for content, (_, tokens) in zip(contents, seeds, strict=True):
            assert len(content) // 8 == min(max(tokens, 12), 2048)
        for (one, this), (other, that) in combinations(zip(seeds, contents, strict=True), 2):
            assert (this == that) <= (one[0] == other[0])


def test_ids_do_not_change() -> None:
    """RESP-2.9: Ids of items are the same in every rendering, and unique."""
    answers = [answer(RESPONSES, thinking("Hi", thought=5), user=user) for user in ("a", "b")]
    ids = [[item["id"] for item in answered["output"]] for answered in answers]

    assert ids[0] == ids[1]
    assert len({answers[0]["id"], *ids[0]}) == 3
    assert [text.partition("_")[0] for text in (answers[0]["id"], *ids[0])] == ["resp", "rs", "msg"]
