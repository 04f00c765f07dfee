"""Responses: a conversation is checked as a whole."""

import json
from typing import Any

import pytest
from support.responses_api import answer, answering, ask, calling, events, saying, stream, thinking

from llmsim.domain import FinishReason, Message, PriorToolCall
from llmsim.errors import ApiRuleError
from llmsim.providers.openai.errors import render_refusal
from llmsim.providers.openai.responses import DIALECT, RESPONSES
from llmsim.providers.openai_family.responses.history import with_history, with_references
from llmsim.providers.openai_family.responses.parse import continued_id
from llmsim.providers.openresponses.responses import RESPONSES as OPENRESPONSES
from llmsim.providers.storage import StoredResponse

USER = {"role": "user", "content": "Hi"}
ANSWER = {
    "type": "message",
    "role": "assistant",
    "id": "msg_1",
    "status": "completed",
    "content": [{"type": "output_text", "text": "Yes", "annotations": []}],
}
CALL = {"type": "function_call", "call_id": "call_1", "name": "f", "arguments": "{}"}
RESULT = {"type": "function_call_output", "call_id": "call_1", "output": "42"}
TURN = thinking("Yes", ".", thought=3)


def error_of(error: ApiRuleError) -> dict[str, Any]:
    """Return OpenAI's error."""
    reply = render_refusal(error)
    assert reply.status == error.status
    body: dict[str, Any] = json.loads(reply.body)["error"]
    return body


def refusal(*items: Any, endpoint: Any = RESPONSES, **fields: Any) -> dict[str, Any] | None:
    """Return the error for a request with these items; None if it is accepted."""
    try:
        ask(endpoint, input=list(items), **fields)
    except ApiRuleError as error:
        return error_of(error)
    return None


def assert_refused(
    error: dict[str, Any] | None, message: str, param: str | None = "input", code: Any = None
) -> None:
    """Check all members of the error."""
    assert error == {"message": message, "type": "invalid_request_error", "param": param, "code": code}


def stored(**fields: Any) -> StoredResponse[Any]:
    """Return a stored response of one thought and one message."""
    asked = ask(RESPONSES, **fields)
    return StoredResponse(prompt=asked.prompt, turn=TURN, options=asked.options, arrived=1.0)


CLIENT_CALLS = [
    ("function_call", "function call", {"name": "f", "arguments": "{}"}, {"output": "x"}),
    ("custom_tool_call", "custom tool call", {"name": "f", "input": ""}, {"output": "x"}),
    ("shell_call", "shell call", {"action": {}}, {"output": []}),
    ("computer_call", "computer call", {"action": {}}, {"output": {}}),
    ("apply_patch_call", "apply patch call", {"operation": {}}, {"status": "completed"}),
]


class TestPairs:
    """Calls and their outputs."""

    @pytest.mark.parametrize(("kind", "noun", "call", "output"), CLIENT_CALLS)
    def test_a_call_and_its_output_need_each_other(
        self, kind: str, noun: str, call: dict[str, Any], output: dict[str, Any]
    ) -> None:
        """RESP-7.1: One without the other is refused, whatever stands between them."""
        made = {"type": kind, "call_id": "call_1", **call}
        done = {"type": f"{kind}_output", "call_id": "call_1", **output}

        assert_refused(refusal(USER, made, USER), f"No tool output found for {noun} call_1.")
        assert_refused(refusal(USER, done), f"No tool call found for {noun} output with call_id call_1.")
        assert refusal(USER, made, USER, done) is None

    def test_ids_decide(self) -> None:
        """RESP-7.1: Another call's output is none; each of several calls needs its own."""
        other = RESULT | {"call_id": "call_2"}

        assert_refused(
            refusal(CALL, RESULT, other), "No tool call found for function call output with call_id call_2."
        )
        assert_refused(
            refusal(CALL, CALL | {"call_id": "call_2"}, RESULT),
            "No tool output found for function call call_2.",
        )
        assert refusal(CALL, CALL | {"call_id": "call_2"}, other, RESULT) is None

    def test_local_shells_have_one_id(self) -> None:
        """RESP-7.1: The output of a local shell has the call's id for its own."""
        call = {
            "type": "local_shell_call",
            "id": "lsh_1",
            "call_id": "call_1",
            "action": {},
            "status": "completed",
        }

        for name in ("lsh_1", "call_1"):
            assert refusal(USER, call, {"type": "local_shell_call_output", "id": name, "output": ""}) is None
        assert refusal(USER, call)
        assert refusal(USER, {"type": "local_shell_call_output", "id": "call_2", "output": ""})

    def test_a_compaction_may_hold_the_call(self) -> None:
        """RESP-7.1: Behind a compaction an output needs no call, but a call its output."""
        compacted = {"type": "compaction", "encrypted_content": "gAAA"}

        assert refusal(compacted, RESULT) is None
        assert refusal(compacted, CALL)

    def test_chains(self) -> None:
        """RESP-7.1: Calls and outputs of earlier responses count."""
        earlier = stored(input=[USER, CALL, RESULT])
        asked = ask(RESPONSES, input=[RESULT | {"call_id": "call_9"}], previous_response_id="resp_1")

        with pytest.raises(
            ApiRuleError, match="No tool call found for function call output with call_id call_9"
        ):
            with_history(asked, earlier, DIALECT)
        again = ask(RESPONSES, input="And?", previous_response_id="resp_1")
        assert with_history(again, earlier, DIALECT).prompt.messages[-1].texts == ("And?",)

    def test_what_is_elsewhere_is_not_known(self) -> None:
        """RESP-7.1: A conversation that the request only names may hold the call."""
        assert refusal(RESULT, conversation="conv_1") is None


class TestReasoning:
    """Reasoning and what it leads to."""

    def test_it_is_followed_by_its_item(self) -> None:
        """RESP-7.2: A message, a call or more reasoning; nothing else, and not the end."""
        thought = {"type": "reasoning", "id": "rs_1", "summary": []}
        message = "Item 'rs_1' of type 'reasoning' was provided without its required following item."

        assert_refused(refusal(USER, thought), message)
        assert_refused(refusal(USER, thought, USER), message)
        assert_refused(refusal(CALL, thought, RESULT), message)
        assert refusal(USER, thought, ANSWER) is None
        assert refusal(USER, thought, thought | {"id": "rs_2"}, CALL, RESULT) is None

    def test_what_was_answered_can_be_sent_back(self) -> None:
        """RESP-7.2: The whole output is consistent; without its message it is not."""
        output = answer(RESPONSES, TURN)["output"]

        assert refusal(USER, *output, USER) is None
        assert refusal(USER, output[0], USER)

    def test_chains(self) -> None:
        """RESP-7.2: A response that ended in its reasoning cannot be continued."""
        asked = ask(RESPONSES, input="Hi")
        earlier = StoredResponse(
            prompt=asked.prompt,
            turn=thinking(thought=3, finish=FinishReason.LENGTH),
            options=asked.options,
            arrived=1.0,
        )

        with pytest.raises(ApiRuleError, match="required following item"):
            with_history(ask(RESPONSES, input="And?", previous_response_id="resp_1"), earlier, DIALECT)


@pytest.mark.parametrize(
    ("items", "message"),
    [
        ([USER, RESULT], "No tool call found for function call output with call_id call_1."),
        ([USER, CALL], "No tool output found for function call call_1."),
        ([USER, {"type": "openai:shell_call", "call_id": "c"}], "No tool output found for shell call c."),
        (
            [USER, ANSWER, ANSWER],
            "Duplicate item found with id msg_1. Remove duplicate items from your input and try again.",
        ),
    ],
)
def test_openresponses_checks_the_same(items: list[Any], message: str) -> None:
    """OPRE-4.1: In the same words, whatever the ids begin with."""
    error = refusal(*items, endpoint=OPENRESPONSES)

    assert error is not None
    assert error["message"] == message
    assert refusal(ANSWER | {"id": "item_1"}, endpoint=OPENRESPONSES) is None


class TestIds:
    """Ids of items."""

    def test_they_are_unique(self) -> None:
        """RESP-7.3: An id that occurs twice is refused."""
        message = "Duplicate item found with id msg_1. Remove duplicate items from your input and try again."

        assert_refused(refusal(USER, ANSWER, ANSWER, USER), message)
        assert refusal(USER, ANSWER, ANSWER | {"id": "msg_2"}, ANSWER | {"id": None}) is None

    def test_they_are_unique_over_a_chain(self) -> None:
        """RESP-7.3: What a response brings must not be sent again."""
        output = answer(RESPONSES, TURN)["output"]
        asked = ask(RESPONSES, input=[*output, USER], previous_response_id="resp_1")

        with pytest.raises(ApiRuleError, match="Duplicate item found with id rs_"):
            with_history(asked, stored(input="Hi"), DIALECT)

    @pytest.mark.parametrize(
        ("item", "prefix"),
        [
            (ANSWER, "msg"),
            (USER, "msg"),
            (CALL, "fc"),
            ({"type": "reasoning", "summary": []}, "rs"),
            ({"type": "custom_tool_call", "call_id": "c", "name": "f", "input": ""}, "ctc"),
            ({"type": "web_search_call", "status": "completed"}, "ws"),
        ],
    )
    def test_they_have_the_prefix_of_their_type(self, item: dict[str, Any], prefix: str) -> None:
        """RESP-7.4: The refusal names the place, the id and the prefix."""
        assert_refused(
            refusal(USER, item | {"id": "item_1"}),
            f"Invalid 'input[1].id': 'item_1'. Expected an ID that begins with '{prefix}'.",
            "input[1].id",
            "invalid_value",
        )
        error = refusal(USER, item | {"id": "item_1"}, endpoint=OPENRESPONSES)
        assert error is None or "begins with" not in error["message"]

    @pytest.mark.parametrize("item_id", ["", "msg 1", "msg.1", "msg_é"])
    def test_they_have_plain_characters(self, item_id: str) -> None:
        """RESP-7.4: Letters, digits, underscores and dashes."""
        assert_refused(
            refusal(USER, ANSWER | {"id": item_id}),
            f"Invalid 'input[1].id': '{item_id}'. Expected an ID that contains letters, numbers, underscores, or dashes, but this "
            "value contained additional characters.",
            "input[1].id",
            "invalid_value",
        )

    def test_they_have_a_length(self) -> None:
        """RESP-7.4: At most 64 characters."""
        assert refusal(USER, ANSWER | {"id": "msg_" + "x" * 60}) is None
        assert_refused(
            refusal(USER, ANSWER | {"id": "msg_" + "x" * 61}),
            "Invalid 'input[1].id': string too long. Expected a string with maximum length 64, but got a string with length 65 "
            "instead.",
            "input[1].id",
            "string_above_max_length",
        )


class TestSealedContent:
    """Encrypted content that comes back."""

    def sealed(self) -> dict[str, Any]:
        """Return the reasoning of an answer."""
        item: dict[str, Any] = answer(RESPONSES, TURN)["output"][0]
        return item

    def test_it_is_accepted_as_it_was(self) -> None:
        """RESP-7.5: By any server, with and without its id; so is what the real API made."""
        thought = self.sealed()

        assert refusal(USER, thought, ANSWER) is None
        assert refusal(USER, thought | {"id": None}, ANSWER) is None
        assert refusal(USER, thought | {"encrypted_content": "gAAAAABo_Real-content=="}, ANSWER) is None

    @pytest.mark.parametrize("change", ["cut", "changed", "longer", "no base64"])
    def test_it_is_refused_when_it_was_changed(self, change: str) -> None:
        """RESP-7.5: What was lost or changed on the way is found."""
        thought = self.sealed()
        content: str = thought["encrypted_content"]
        sent = {
            "cut": content[:-4],
            "changed": content[:40] + ("A" if content[40] != "A" else "B") + content[41:],
            "longer": content + "AAAA",
            "no base64": "not sealed at all!",
        }[change]

        assert_refused(
            refusal(USER, thought | {"encrypted_content": sent}, ANSWER),
            f"The encrypted content {sent[:4]}...{sent[-4:]} could not be verified. Reason: Encrypted content could not be decrypted "
            "or parsed.",
            None,
            "invalid_encrypted_content",
        )

    def test_it_belongs_to_its_item(self) -> None:
        """RESP-7.5: Under another id it is refused."""
        error = refusal(USER, self.sealed() | {"id": "rs_other"}, ANSWER)

        assert_refused(
            error,
            "The encrypted content for item rs_other could not be verified. Reason: Encrypted content item_id did not match the "
            "target item id.",
            None,
            "invalid_encrypted_content",
        )


class TestReferences:
    """Items that are only named."""

    def test_a_reference_is_its_item(self) -> None:
        """RESP-7.6: Output and input of a stored response can be named."""
        earlier = stored(input=[USER, CALL, RESULT])
        output = answer(RESPONSES, TURN, input=[USER, CALL, RESULT])["output"]
        named = [{"type": "item_reference", "id": one["id"]} for one in output]
        call = {"id": f"fc_{TURN.id}0001"}
        asked = ask(RESPONSES, input=[USER, call, RESULT, *named], instructions="Be kind.")
        resolved = with_references(asked, [earlier], DIALECT)

        assert f"resp_{TURN.id}" in asked.options.references or asked.options.references
        assert RESPONSES.storage is not None
        assert f"resp_{TURN.id}" in RESPONSES.storage.referenced(asked.options)
        assert resolved.prompt.messages == (
            Message("developer", ("Be kind.",)),
            Message("user", ("Hi",)),
            Message("assistant", (), calls=(PriorToolCall("call_1", "f", "{}"),)),
            *ask(RESPONSES, conversation="c", input=[RESULT]).prompt.messages,
            Message("assistant", ("Yes.",)),
        )
        assert not resolved.options.references

    @pytest.mark.parametrize(
        ("store", "hint"),
        [
            (True, ""),
            (
                False,
                (
                    " Items are not persisted when `store` is set to false. Try again with `store` set to true, or remove this item "
                    "from your input."
                ),
            ),
        ],
    )
    def test_an_item_that_is_not_there(self, store: bool, hint: str) -> None:
        """RESP-7.6: It is refused with 404."""
        asked = ask(RESPONSES, input=[USER, {"type": "item_reference", "id": "msg_gone00"}], store=store)

        with pytest.raises(ApiRuleError) as caught:
            with_references(asked, [], DIALECT)
        assert caught.value.status == 404
        assert_refused(error_of(caught.value), f"Item with id 'msg_gone00' not found.{hint}")

    def test_what_is_named_is_checked(self) -> None:
        """RESP-7.6: The conversation is checked with the items in their places."""
        thought = answer(RESPONSES, TURN)["output"][0]["id"]
        asked = ask(RESPONSES, input=[{"type": "item_reference", "id": thought}, USER])

        with pytest.raises(ApiRuleError, match="required following item"):
            with_references(asked, [stored(input="Hi")], DIALECT)

    def test_lookups_are_bounded(self) -> None:
        """RESP-7.6: However many references a request has."""
        named = [{"type": "item_reference", "id": f"msg_{number:029x}00"} for number in range(2_000)]
        assert RESPONSES.storage is not None

        assert len(RESPONSES.storage.referenced(ask(RESPONSES, input=named).options)) == 256


@pytest.mark.parametrize(
    ("message", "continued"),
    [
        ({"previous_response_id": "resp_1"}, "resp_1"),
        ({"response": {"previous_response_id": "resp_2", "model": 5}}, "resp_2"),
        ({"previous_response_id": 5}, None),
        ({"response": []}, None),
        ({}, None),
        ([], None),
    ],
)
def test_what_a_message_continues(message: Any, continued: str | None) -> None:
    """SOCK-2.3: It is found however wrong the rest of the message is."""
    assert continued_id(json.dumps(message).encode()) == continued


class TestPhase:
    """The phase of a message."""

    def test_models_that_have_phases(self) -> None:
        """RESP-2.11: The last message is the final answer; what precedes a call is commentary."""
        talking = answering(saying("Wait", "."), calling("f", "{}"))
        final = answer(RESPONSES, TURN, model="gpt-5.4")["output"][-1]
        commentary = answer(RESPONSES, talking, model="gpt-5.4")["output"][0]

        assert (final["phase"], commentary["phase"]) == ("final_answer", "commentary")
        assert "phase" not in answer(RESPONSES, TURN)["output"][-1]
        assert "phase" not in answer(OPENRESPONSES, TURN, model="gpt-5.4")["output"][-1]
        assert refusal(USER, final, USER) is None

    def test_it_is_streamed(self) -> None:
        """RESP-2.11: The item has it from its announcement on."""
        found = events(stream(RESPONSES, TURN, model="gpt-5.4"))
        items = [one["item"] for one in found if one["type"].startswith("response.output_item")]

        assert [item["phase"] for item in items if item["type"] == "message"] == ["final_answer"] * 2


class TestCompaction:
    """Compaction while a response is created."""

    def test_a_long_conversation_is_compacted(self) -> None:
        """RESP-2.12: From the threshold on the output begins with a compaction."""
        fields = {"context_management": [{"type": "compaction", "compact_threshold": TURN.usage.prompt}]}
        output = answer(RESPONSES, TURN, **fields)["output"]
        found = events(stream(RESPONSES, TURN, **fields))

        assert [item["type"] for item in output] == ["compaction", "reasoning", "message"]
        assert [(one["type"], one["output_index"]) for one in found[2:5]] == [
            ("response.output_item.added", 0),
            ("response.compaction.compacting", 0),
            ("response.output_item.done", 0),
        ]
        assert found[3]["item_id"] == found[4]["item"]["id"] == output[0]["id"]
        assert found[4]["item"] == output[0]
        assert refusal(USER, *output, USER) is None

    def test_a_short_one_is_not(self) -> None:
        """RESP-2.12: Below the threshold, and without one, nothing is compacted."""
        for threshold in (TURN.usage.prompt + 1, None):
            fields = {"context_management": [{"type": "compaction", "compact_threshold": threshold}]}
            assert [item["type"] for item in answer(RESPONSES, TURN, **fields)["output"]] == [
                "reasoning",
                "message",
            ]

    def test_what_is_compacted_is_not_read_again(self) -> None:
        """RESP-2.12: A request that continues it has the compaction in its prompt, not what it stands for."""
        earlier = stored(input="Hi", context_management=[{"type": "compaction", "compact_threshold": 1}])
        asked = ask(RESPONSES, input="And?", previous_response_id="resp_1", instructions="Be kind.")
        messages = with_history(asked, earlier, DIALECT).prompt.messages

        assert [message.texts for message in messages] == [("Be kind.",), (), ("Yes.",), ("And?",)]
        assert messages[1].extra_tokens == 12
