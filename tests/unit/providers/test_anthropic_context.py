"""Context management of the Anthropic API: edits, compaction, and what they leave of a prompt."""

import json
from typing import Any

import pytest
from anthropic.types.beta import BetaMessage, BetaRawMessageStreamEvent
from msgspec.structs import replace
from pydantic import TypeAdapter
from support.incoming import incoming
from support.planning import plan_turn
from support.tool_turns import text_segment, turn_of
from support.turns import choice, tokenized, turn

from llmsim.catalogue import load_catalogue
from llmsim.config import ResponseSettings, Settings, ToolSettings
from llmsim.domain import CacheUse, FinishReason, Turn, Usage
from llmsim.errors import RefusedError
from llmsim.planning.planner import Planner
from llmsim.providers.anthropic.errors import render_refusal
from llmsim.providers.anthropic.messages import MessageOptions, _parse_count, parse
from llmsim.providers.anthropic.rendering import render_message, render_plain
from llmsim.providers.anthropic.signatures import sign

PLANNER = Planner(
    Settings(
        response=ResponseSettings(generator="fixed:Here you are."), tools=ToolSettings(hosted_calls=True)
    ),
    load_catalogue(),
    lambda: 1_750_000_000.9,
)
MODEL = "claude-opus-4-8"
LONG = "The quick brown fox jumps over the lazy dog. " * 20
EVENT: TypeAdapter[Any] = TypeAdapter(BetaRawMessageStreamEvent)


def use(number: int, name: str = "lookup", result: Any = LONG) -> list[dict[str, Any]]:
    call = {"type": "tool_use", "id": f"toolu_{number}", "name": name, "input": {"query": "a b c d e f g"}}
    found = {"type": "tool_result", "tool_use_id": f"toolu_{number}", "content": result}
    return [{"role": "assistant", "content": [call]}, {"role": "user", "content": [found]}]


def uses(*names: str) -> list[dict[str, Any]]:
    return [HELLO, *(message for number, name in enumerate(names) for message in use(number, name))]


HELLO = {"role": "user", "content": "What is new?"}
CLEARING = {"type": "clear_tool_uses_20250919", "trigger": {"type": "tool_uses", "value": 1}}
COMPACTING = {"type": "compact_20260112", "trigger": {"type": "input_tokens", "value": 50_000}}
STORY = {"role": "user", "content": "Tell me about llamas. " + "word " * 50_000}


def clearing(**fields: Any) -> dict[str, Any]:
    return {"edits": [CLEARING | {"keep": {"type": "tool_uses", "value": 1}} | fields]}


def body(messages: list[dict[str, Any]], **fields: Any) -> bytes:
    return json.dumps({"model": MODEL, "max_tokens": 500, "messages": messages} | fields).encode()


class Recorder:
    """A prompt cache that notes the prefixes it is asked for."""

    def __init__(self) -> None:
        self.marks: list[Any] = []

    async def use(self, marks: Any, minimum: int, *, owner: str = "") -> CacheUse:
        """Note the prefixes."""
        self.marks.append(marks)
        return CacheUse()


def ask(messages: list[dict[str, Any]], cache: Any = None, **fields: Any) -> tuple[Turn, MessageOptions]:
    asked = parse(incoming(body(messages, **fields)))
    return plan_turn(PLANNER, asked.prompt, cache=cache), asked.options


def answer(messages: list[dict[str, Any]], **fields: Any) -> dict[str, Any]:
    rendered = render_message(*ask(messages, **fields))
    BetaMessage.model_validate(rendered)
    return rendered


def refusal(messages: list[dict[str, Any]], **fields: Any) -> dict[str, Any]:
    with pytest.raises(RefusedError) as caught:
        ask(messages, **fields)
    error: dict[str, Any] = json.loads(render_refusal(caught.value).body)["error"]
    return error


def events(asked: Turn, options: MessageOptions) -> list[dict[str, Any]]:
    stream = b"".join(run.data(0, len(run.required_tokens)) for run in render_plain(asked, options))
    found = [json.loads(line[6:]) for line in stream.split(b"\n") if line.startswith(b"data: ")]
    for event in found:
        if event["type"] != "ping":
            EVENT.validate_python(event)
    return found


class TestToolUses:
    """`clear_tool_uses_20250919`."""

    def test_old_results_are_cleared_and_counted(self) -> None:
        """ANTH-12.3: All results but the newest are cleared; what is left and what was cleared add up to the prompt."""
        plain = answer(uses("a", "b", "c"))
        edited = answer(uses("a", "b", "c"), context_management=clearing())
        (applied,) = edited["context_management"]["applied_edits"]

        assert applied["type"] == "clear_tool_uses_20250919"
        assert applied["cleared_tool_uses"] == 2
        assert applied["cleared_input_tokens"] > 300
        left = edited["usage"]["input_tokens"]
        assert left + applied["cleared_input_tokens"] == plain["usage"]["input_tokens"]

    def test_the_stream_reports_them_at_its_end(self) -> None:
        """ANTH-12.2: `message_delta` has the edits that a whole message has."""
        fields = {"context_management": clearing()}
        whole = answer(uses("a", "b"), **fields)
        *_, delta, _ = events(*ask(uses("a", "b"), **fields))

        assert delta["context_management"] == whole["context_management"]
        assert delta["usage"]["input_tokens"] == whole["usage"]["input_tokens"]

    @pytest.mark.parametrize(
        ("fields", "cleared"),
        [
            ({}, 2),
            ({"keep": {"type": "tool_uses", "value": 0}}, 3),
            ({"keep": None}, None),
            ({"exclude_tools": ["a"]}, 1),
            ({"exclude_tools": ["a", "b", "c"]}, None),
            ({"trigger": {"type": "tool_uses", "value": 3}}, None),
            ({"trigger": {"type": "input_tokens", "value": 300}}, 2),
            ({"trigger": {"type": "input_tokens", "value": 10_000}}, None),
            ({"trigger": None}, None),
            ({"clear_at_least": {"type": "input_tokens", "value": 100}}, 2),
            ({"clear_at_least": {"type": "input_tokens", "value": 5_000}}, None),
        ],
    )
    def test_its_fields_are_obeyed(self, fields: dict[str, Any], cleared: int | None) -> None:
        """ANTH-12.3: Trigger, kept and excluded uses, and the least to clear decide whether and what is cleared."""
        applied = answer(uses("a", "b", "c"), context_management=clearing(**fields))["context_management"]

        assert [edit["cleared_tool_uses"] for edit in applied["applied_edits"]] == (
            [cleared] if cleared else []
        )

    def test_inputs_are_cleared_on_demand(self) -> None:
        """ANTH-12.3: `clear_tool_inputs` clears the input of all, or of the named tools."""

        def saved(inputs: Any) -> int:
            edited = answer(uses("a", "b", "c"), context_management=clearing(clear_tool_inputs=inputs))
            tokens: int = edited["context_management"]["applied_edits"][0]["cleared_input_tokens"]
            return tokens

        assert saved(False) == saved([]) < saved(["a"]) < saved(["a", "b"]) == saved(True)

    def test_images_of_results_are_cleared(self) -> None:
        """ANTH-12.3: A result is cleared with the images that it has."""
        source = {"type": "url", "url": "https://example.com/a.png"}
        messages = [HELLO, *use(1, result=[{"type": "image", "source": source}]), *use(2)]

        edited = answer(messages, context_management=clearing())
        assert edited["context_management"]["applied_edits"][0]["cleared_input_tokens"] > 50

    def test_cached_prefixes_follow_the_edit(self) -> None:
        """ANTH-12.2: A prefix in which something was cleared is another one, and has the tokens that are left."""
        messages = uses("a", "b", "c")
        messages[-1]["content"][0]["cache_control"] = {"type": "ephemeral"}
        cache = Recorder()
        system = [{"type": "text", "text": "Be kind.", "cache_control": {"type": "ephemeral"}}]
        asked = {"cache": cache, "system": system}

        ask(messages, **asked)
        edited, _ = ask(messages, **asked, context_management=clearing())
        before, after = cache.marks
        assert before[1] == after[1]
        assert before[-1].key != after[-1].key
        assert after[-1].tokens <= edited.usage.prompt < before[-1].tokens


def thought(text: str) -> dict[str, Any]:
    block = {"type": "thinking", "thinking": text, "signature": sign("1", text)}
    return {"role": "assistant", "content": [block, {"type": "text", "text": "So."}]}


THOUGHTS = [HELLO, thought("one " * 30), HELLO, thought("two " * 20), HELLO, thought("six " * 10), HELLO]


class TestThinking:
    """`clear_thinking_20251015`."""

    @pytest.mark.parametrize(
        ("keep", "turns"),
        [(None, 2), ("all", 0), ({"type": "all"}, 0), ({"type": "thinking_turns", "value": 2}, 1)],
    )
    def test_old_thinking_is_cleared(self, keep: Any, turns: int) -> None:
        """ANTH-12.4: The thinking of the newest turns counts, that of the others is reported as cleared."""
        edit = {"type": "clear_thinking_20251015"} | ({} if keep is None else {"keep": keep})
        asked = {"thinking": {"type": "adaptive"}}
        edited = answer(THOUGHTS, **asked, context_management={"edits": [edit]})
        everything = answer(
            THOUGHTS,
            **asked,
            context_management={"edits": [{"type": "clear_thinking_20251015", "keep": "all"}]},
        )
        applied = edited["context_management"]["applied_edits"]

        assert [one["cleared_thinking_turns"] for one in applied] == ([turns] if turns else [])
        cleared = sum(one["cleared_input_tokens"] for one in applied)
        assert edited["usage"]["input_tokens"] + cleared == everything["usage"]["input_tokens"]

    def test_a_turn_with_calls_is_one_turn(self) -> None:
        """ANTH-12.4: Messages between results belong to one turn, which is kept or cleared as a whole."""
        first, results = use(1)
        first["content"].insert(0, thought("one")["content"][0])
        messages = [HELLO, first, results, thought("two"), HELLO]

        edit = {"type": "clear_thinking_20251015"}
        edited = answer(messages, thinking={"type": "adaptive"}, context_management={"edits": [edit]})
        assert edited["context_management"]["applied_edits"] == []


class TestCompaction:
    """`compact_20260112`, and `compaction`."""

    def test_a_summary_precedes_the_text(self) -> None:
        """ANTH-12.5: The block comes first; ANTH-12.6: tokens of the message and of the compaction are apart."""
        done = answer([STORY], context_management={"edits": [COMPACTING]})
        summary, text = done["content"]
        compacted, message = done["usage"]["iterations"]
        turn, _ = ask([STORY], context_management={"edits": [COMPACTING]})

        assert turn.usage.prompt == compacted["input_tokens"] + message["input_tokens"]
        assert (summary["type"], text["text"], done["stop_reason"]) == (
            "compaction",
            "Here you are.",
            "end_turn",
        )
        assert "llamas" in summary["content"]
        assert (compacted["type"], message["type"]) == ("compaction", "message")
        assert (
            compacted["input_tokens"]
            > 50_000
            > 100
            > message["input_tokens"]
            == done["usage"]["input_tokens"]
        )

    def test_it_may_pause(self) -> None:
        """ANTH-12.5: With `pause_after_compaction` the block is all there is; ANTH-12.6: its tokens are no message's."""
        edit = COMPACTING | {"pause_after_compaction": True}
        done = answer([STORY], context_management={"edits": [edit]})

        assert [block["type"] for block in done["content"]] == ["compaction"]
        assert done["stop_reason"] == "compaction"
        assert (done["usage"]["input_tokens"], done["usage"]["output_tokens"]) == (0, 0)
        assert [entry["type"] for entry in done["usage"]["iterations"]] == ["compaction"]

    @pytest.mark.parametrize("pauses", [False, True])
    def test_it_is_streamed_in_one_delta(self, pauses: bool) -> None:
        """ANTH-12.5: The block starts empty and has one delta; all blocks have their indices."""
        edit = COMPACTING | {"pause_after_compaction": pauses}
        stream = events(*ask([STORY], context_management={"edits": [edit]}))
        deltas = [event["delta"] for event in stream if event["type"] == "content_block_delta"]

        starts = [(event["index"], event["content_block"]) for event in stream if "content_block" in event]
        assert starts[0] == (0, {"type": "compaction", "content": None})
        assert [delta["type"] for delta in deltas].count("compaction_delta") == 1
        assert "llamas" in deltas[0]["content"]
        assert (len(starts) == 1) is pauses
        assert stream[-2]["delta"]["stop_reason"] == ("compaction" if pauses else "end_turn")
        assert "iterations" not in stream[0]["message"]["usage"]
        assert stream[-2]["usage"]["iterations"][0]["output_tokens"] > 10

    def test_nothing_is_compacted_below_the_trigger(self) -> None:
        """ANTH-12.5: A shorter prompt has no compaction."""
        done = answer([HELLO], context_management={"edits": [{"type": "compact_20260112"}]})

        assert [block["type"] for block in done["content"]] == ["text"]
        assert "iterations" not in done["usage"]

    def test_the_block_stands_for_what_precedes_it(self) -> None:
        """ANTH-12.7: What comes before a compaction is not counted, the system prompt is."""
        management = {"edits": [COMPACTING]}
        block = {"type": "compaction", "content": "A summary."}
        after = [{"role": "assistant", "content": [{"type": "text", "text": "Old."}, block]}, HELLO]
        asked = {"system": "Be kind.", "context_management": management}

        long, short = answer([STORY, *after], **asked), answer(after, **asked)
        assert long["usage"]["input_tokens"] == short["usage"]["input_tokens"] < 60
        failed = [STORY, {"role": "assistant", "content": [block | {"content": None}]}, HELLO]
        with_story = parse(incoming(body(failed))).prompt
        assert len(with_story.messages) == 3

    def test_the_conversation_is_compacted_on_demand(self) -> None:
        """ANTH-12.9: `compaction` returns the signed block alone; ANTH-12.7: a later request sends it back."""
        done = answer([HELLO], compaction={"type": "summarize"})
        (block,) = done["content"]
        again = [{"role": "assistant", "content": [block]}, HELLO]

        assert (done["stop_reason"], "context_management" in done) == ("compaction", False)
        assert answer(again)["stop_reason"] == "end_turn"
        again[0]["content"] = [block | {"content": "Another."}]
        assert "compaction" in refusal(again)["message"]
        assert refusal(again)["details"] == {"error_code": "compaction_signature_invalid"}


THINKING = {"type": "clear_thinking_20251015"}


class TestRefused:
    """What is refused, in the API's words."""

    @pytest.mark.parametrize(
        ("edits", "message"),
        [
            (
                [{"type": "other"}],
                (
                    "context_management.edits.0: Input tag 'other' found using 'type' does not match any of the expected tags: "
                    "'clear_tool_uses_20250919', 'clear_thinking_20251015', 'compact_20260112'"
                ),
            ),
            ([THINKING], "`clear_thinking_20251015` strategy requires `thinking` to be enabled or adaptive"),
            (
                [COMPACTING | {"trigger": {"type": "input_tokens", "value": 49_999}}],
                "context_management.edits.0.compact_20260112: trigger.value must be at least 50000",
            ),
            (
                [CLEARING | {"keep": {"type": "tool_uses", "value": -1}}],
                "context_management.edits.0.clear_tool_uses_20250919.keep.value: Input should be greater than or equal to 0",
            ),
            (
                [CLEARING, CLEARING],
                "context_management.edits.1: `clear_tool_uses_20250919` strategy may be specified only once",
            ),
        ],
    )
    def test_edits_are_checked(self, edits: list[Any], message: str) -> None:
        """ANTH-12.1: Kinds, amounts and combinations are checked."""
        assert refusal([HELLO], context_management={"edits": edits})["message"] == message

    def test_thinking_comes_first(self) -> None:
        """ANTH-12.1: Thinking is cleared before anything else."""
        asked = {"thinking": {"type": "adaptive"}, "context_management": {"edits": [CLEARING, THINKING]}}

        assert "must be listed first" in refusal([HELLO], **asked)["message"]

    def test_a_model_that_cannot_compact(self) -> None:
        """ANTH-12.1: Compaction is refused where the model does not support it."""
        asked = {"model": "claude-haiku-4-5", "context_management": {"edits": [COMPACTING]}}

        assert refusal([HELLO], **asked)["message"] == (
            "'claude-haiku-4-5' does not support the 'compact_20260112' context management strategy."
        )

    def test_blocks_of_compactions(self) -> None:
        """ANTH-12.7: An empty block is refused, and one without the strategy; ANTH-12.9: one kind of compaction at a time."""
        block = {"type": "compaction", "content": "A summary."}
        asked = [{"role": "assistant", "content": [block]}, HELLO]

        assert refusal(asked)["message"] == (
            "messages.0.content.0: `compaction` blocks require a `compact_20260112` strategy in `context_management.edits`."
        )
        asked[0]["content"] = [block | {"content": ""}]
        assert refusal(asked)["message"] == "messages.0.content.0.compaction.content: content cannot be empty"
        both = {"compaction": {"type": "summarize"}, "context_management": {"edits": []}}
        assert "cannot both be specified" in refusal([HELLO], **both)["message"]


def test_token_counts_have_both_counts() -> None:
    """ANTH-12.8: Counting follows edits but compacts nothing, and counts the prompt without edits as well."""
    edits = [THINKING, CLEARING, COMPACTING]
    asked = {"thinking": {"type": "adaptive"}, "context_management": {"edits": edits}}
    messages = [*THOUGHTS[:-1], *uses("a", "b", "c", "d", "e")]
    prompt, original = _parse_count(body(messages, **asked))
    assert original is not None
    counted, before = PLANNER.count(prompt), PLANNER.count(original)
    done = answer(messages, **asked)

    assert counted == done["usage"]["input_tokens"]
    assert before - counted == sum(
        edit["cleared_input_tokens"] for edit in done["context_management"]["applied_edits"]
    )
    assert len(done["context_management"]["applied_edits"]) == 2


class TestStopReasons:
    """Stop reasons that only this API has."""

    def test_the_end_of_the_window(self) -> None:
        """ANTH-13.1: A response that fills the window says so; one that fills its limit does not."""
        full = turn(choice(tokenized("One", " two"), finish=FinishReason.LENGTH), model="claude-sonnet-4-5")
        filled = replace(full, usage=Usage(prompt=199_998, completion=2))

        assert render_message(filled, MessageOptions())["stop_reason"] == "model_context_window_exceeded"
        assert render_message(full, MessageOptions())["stop_reason"] == "max_tokens"

    def test_older_models_refuse_in_advance(self) -> None:
        """ANTH-13.1: Older models refuse a prompt that leaves no room for its limit, unless the beta is asked for."""
        story = [{"role": "user", "content": "word " * 170_000}]
        asked = body(story, model="claude-opus-4-1", max_tokens=32_000)
        plain = parse(incoming(asked))

        assert refusal(story, model="claude-opus-4-1", max_tokens=32_000)["message"].startswith(
            "input length and `max_tokens` exceed context limit: 170050 + 32000 > 200000, decrease input length"
        )
        assert plain.depends_on_headers
        beta = {"anthropic-beta": "a,model-context-window-exceeded-2025-08-26"}
        assert not parse(incoming(asked, headers=beta)).prompt.reserves_limit

    @pytest.mark.parametrize(
        ("finish", "reason"),
        [(FinishReason.PAUSE, "pause_turn"), (FinishReason.WINDOW, "model_context_window_exceeded")],
    )
    def test_a_script_may_set_them(self, finish: FinishReason, reason: str) -> None:
        """ANTH-13.2: The reasons of scripts have the API's words."""
        assert (
            render_message(turn_of(text_segment("Hm"), finish=finish), MessageOptions())["stop_reason"]
            == reason
        )

    def test_turns_with_hosted_calls_may_pause(self) -> None:
        """ANTH-13.3: With a rate of 1 each turn with hosted calls pauses after them, and its continuation does not."""
        tools = ToolSettings(hosted_calls=True, pause_probability=1.0)
        planner = Planner(Settings(tools=tools), load_catalogue(), lambda: 1_750_000_000.9)
        asked = {"tools": [{"type": "web_search_20250305", "name": "web_search"}]}

        def reply(messages: list[dict[str, Any]]) -> dict[str, Any]:
            parsed = parse(incoming(body(messages, **asked)))
            return render_message(plan_turn(planner, parsed.prompt), parsed.options)

        paused = reply([HELLO])
        done = reply([HELLO, {"role": "assistant", "content": paused["content"]}])
        assert (paused["stop_reason"], paused["content"][-1]["type"]) == (
            "pause_turn",
            "web_search_tool_result",
        )
        assert (done["stop_reason"], [block["type"] for block in done["content"]]) == ("end_turn", ["text"])

    def test_a_paused_turn_goes_on(self) -> None:
        """ANTH-13.2: The continuation of a paused turn calls nothing that the API runs."""
        tool = {"type": "web_search_20250305", "name": "web_search"}
        paused = answer([HELLO], tools=[tool])["content"][:2]
        done = answer([HELLO, {"role": "assistant", "content": paused}], tools=[tool])

        only_text = [{"type": "text", "text": "Of a script."}]
        assert (
            answer([HELLO, {"role": "assistant", "content": only_text}], tools=[tool])["stop_reason"]
            == "end_turn"
        )
        assert [block["type"] for block in paused] == ["server_tool_use", "web_search_tool_result"]
        assert [block["type"] for block in done["content"]] == ["text"]
