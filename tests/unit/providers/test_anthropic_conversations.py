"""Rules that the Anthropic API has for conversations as a whole, and its messages."""

import base64
import contextlib
import json
import struct
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.incoming import incoming
from support.tool_turns import text_segment, tool_call, turn_of
from support.turns import tokenized

from llmsim.domain import ReasoningSegment, Segment, Turn
from llmsim.errors import InvalidFieldError
from llmsim.providers.anthropic.errors import render_refusal
from llmsim.providers.anthropic.messages import MessageOptions, parse
from llmsim.providers.anthropic.rendering import render_message
from llmsim.providers.anthropic.signatures import sign, verifies

HELLO = {"role": "user", "content": "Hello"}
BASIC: dict[str, Any] = {"model": "claude-sonnet-4-5", "max_tokens": 2000, "messages": [HELLO]}
ENABLED = {"type": "enabled", "budget_tokens": 1024}
MARK = {"type": "ephemeral"}
REAL_SIGNATURE = base64.b64encode(b"\x12\x46\x0a\x44\x08\x06\x18\x02" + bytes(range(60))).decode()
PNG = b"\x89PNG\r\n\x1a\n" + struct.pack(">I4sII", 13, b"IHDR", 2, 3) + b"\x08\x06\x00\x00\x00"
GIF = b"GIF89a" + struct.pack("<HH", 2, 3)
JPEG = b"\xff\xd8\xff\xe0\x00\x04ab\xff\xc0\x00\x0b\x08" + struct.pack(">HH", 3, 2)
WEBP = b"RIFF\x00\x00\x00\x00WEBPVP8X\x0a\x00\x00\x00\x00\x00\x00\x00" + b"\x01\x00\x00\x02\x00\x00"


def call(call_id: str = "toolu_1") -> dict[str, Any]:
    return {"type": "tool_use", "id": call_id, "name": "f", "input": {}}


def result(call_id: str = "toolu_1", content: Any = "42") -> dict[str, Any]:
    return {"type": "tool_result", "tool_use_id": call_id, "content": content}


def text(value: str, **fields: Any) -> dict[str, Any]:
    return {"type": "text", "text": value} | fields


def thinking(signature: str = REAL_SIGNATURE, value: str = "Hm.") -> dict[str, Any]:
    return {"type": "thinking", "thinking": value, "signature": signature}


def user(*blocks: Any) -> dict[str, Any]:
    return {"role": "user", "content": list(blocks)}


def assistant(*blocks: Any) -> dict[str, Any]:
    return {"role": "assistant", "content": list(blocks)}


def image(data: bytes | str, media_type: str | None = "image/png") -> dict[str, Any]:
    encoded = data if isinstance(data, str) else base64.b64encode(data).decode()
    source = {"type": "base64", "data": encoded} | ({"media_type": media_type} if media_type else {})
    return {"type": "image", "source": source}


def accept(*messages: Any, **fields: Any) -> None:
    parse(incoming(json.dumps(BASIC | {"messages": messages} | fields).encode()))


def refusal(*messages: Any, **fields: Any) -> str:
    with pytest.raises(InvalidFieldError) as caught:
        accept(*messages, **fields)
    reply = render_refusal(caught.value)
    assert reply.status == 400
    return str(json.loads(reply.body)["error"]["message"])


def rendered(*segments: Segment) -> list[dict[str, Any]]:
    planned: Turn = turn_of(*segments)
    blocks: list[dict[str, Any]] = render_message(planned, MessageOptions(thinks=True))["content"]
    return blocks


def thought(value: str | None = "Let me see.") -> Segment:
    return ReasoningSegment(3, None if value is None else tokenized(value))


class TestCalls:
    """Calls and results."""

    @pytest.mark.parametrize(
        ("messages", "expected"),
        [
            (
                [assistant(call(), call()), user(result())],
                "messages.1.content.1: `tool_use` ids must be unique",
            ),
            (
                [assistant(call()), user(result()), assistant(text("so"), call()), user(result())],
                "messages.3.content.1: `tool_use` ids must be unique",
            ),
            (
                [assistant(call()), user(result(), result())],
                "messages.2.content.1: each tool_use must have a single result. Found multiple `tool_result` blocks",
            ),
            (
                [assistant(call()), user(text("so"), result("toolu_2"))],
                "messages.2.content.1: unexpected `tool_use_id` found in `tool_result` blocks: toolu_2.",
            ),
            (
                [assistant(call("b"), call("a"), call("c")), user(result("a"))],
                "messages.2: `tool_use` ids were found without `tool_result` blocks immediately after: b, c. Each",
            ),
            (
                [assistant(call())],
                "messages.1: `tool_use` ids were found without `tool_result` blocks immediately after: toolu_1.",
            ),
            ([assistant(result())], "messages.1: `tool_result` blocks can only be in `user` messages"),
            (
                [assistant(call("a.b")), user(result("a.b"))],
                "messages.1.content.0.tool_use.id: String should match pattern '^[a-zA-Z0-9_-]+$'",
            ),
            (
                [assistant(call()), user(result(""))],
                "messages.2.content.0.tool_result.tool_use_id: String should match pattern '^[a-zA-Z0-9_-]+$'",
            ),
            (
                [assistant({"type": "server_tool_use", "id": "toolu_1", "name": "web_search", "input": {}})],
                "messages.1.content.0.server_tool_use.id: String should match pattern '^srvtoolu_",
            ),
            (
                [assistant({"type": "web_search_tool_result", "tool_use_id": "srvtoolu_1", "content": []})],
                "messages.1.content.0: unexpected `tool_use_id` found in `web_search_tool_result` blocks: srvtoolu_1.",
            ),
        ],
    )
    def test_pairs_and_ids(self, messages: list[Any], expected: str) -> None:
        """ANTH-11.1: A call without an id of its own, or without its one result, is refused with the place of the block."""
        assert refusal(HELLO, *messages).startswith(expected)

    @pytest.mark.parametrize(
        ("fields", "expected"),
        [
            ({"messages": [user({"type": "text"})]}, "messages.0.content.0.text.text: Field required"),
            (
                {"messages": [user(text("x", cache_control=MARK | {"ttl": "1d"}))]},
                "messages.0.content.0.text.cache_control.ephemeral.ttl: Input should be '1h' or '5m'",
            ),
            ({"system": [{"type": "text", "text": 1}]}, "system.0.text: Input should be a valid string"),
            (
                {"messages": [user({"type": "image", "source": {"type": "base64", "data": 1}})]},
                "messages.0.content.0.image.source.base64.data: Input should be a valid string",
            ),
            ({"tools": [{"name": "f", "description": 1}]}, "tools.0.custom.description: Input should be a"),
        ],
    )
    def test_paths_name_the_kinds_of_blocks(self, fields: dict[str, Any], expected: str) -> None:
        """ANTH-11.7: The kind follows the place of a block, source or tool."""
        assert refusal(*fields.pop("messages", [HELLO]), **fields).startswith(expected)


class TestThinking:
    """Thinking that comes back."""

    def test_a_block_comes_back_as_it_was(self) -> None:
        """ANTH-11.2: The content of a response is accepted, whether its thinking was shown or not."""
        for shown in ("Let me see.", "", None):
            accept(HELLO, assistant(*rendered(thought(shown), text_segment("Yes."))), HELLO)

    def test_a_changed_block_is_refused(self) -> None:
        """ANTH-11.2: Another text, or a damaged signature, does not verify."""
        block, answer = rendered(thought(), text_segment("Yes."))
        signature = block["signature"]

        for changed in (
            {"thinking": "Something else."},
            {"thinking": block["thinking"] + " "},
            {"thinking": ""},
            {"signature": signature[:-8]},
            {"signature": signature[:-8] + "AAAAAAAA"},
            {"signature": "A" + signature[1:]},
            {"signature": "not base64!"},
            {"signature": ""},
        ):
            message = refusal(HELLO, assistant(block | changed, answer), HELLO)
            assert message == "messages.1.content.0: Invalid `signature` in `thinking` block"

    def test_a_block_without_signature(self) -> None:
        """ANTH-11.2: A signature is required."""
        block = {"type": "thinking", "thinking": "Hm."}

        assert refusal(HELLO, assistant(block, text("x")), HELLO) == (
            "messages.1.content.0.thinking.signature: Field required"
        )

    def test_signatures_of_the_real_api_pass(self) -> None:
        """ANTH-11.2: Recorded conversations can be replayed."""
        accept(HELLO, assistant(thinking(), text("x")), HELLO)

    def test_redacted_thinking(self) -> None:
        """ANTH-11.2: Its data has to be base64."""
        block = {"type": "redacted_thinking", "data": REAL_SIGNATURE}
        accept(HELLO, assistant(block, text("x")), HELLO)

        for data in ("", "no base64", "Ä"):
            message = refusal(HELLO, assistant(block | {"data": data}, text("x")), HELLO)
            assert message == "messages.1.content.0: Invalid `data` in `redacted_thinking` block"

    @given(turn_id=st.text(max_size=8), shown=st.text(max_size=20), other=st.text(max_size=20))
    def test_a_signature_fits_one_text(self, turn_id: str, shown: str, other: str) -> None:
        """ANTH-11.2: A signature verifies the text that it was made for, and no other."""
        assert verifies(sign(turn_id, shown), other) is (shown == other)

    def test_thinking_is_never_last(self) -> None:
        """ANTH-11.3: Something has to follow it in its message."""
        assert refusal(HELLO, assistant(thinking()), HELLO) == (
            "messages.1: The final block in an assistant message cannot be `thinking`."
        )

    def test_only_the_assistant_thinks(self) -> None:
        """ANTH-11.3: Thinking of a user is refused."""
        assert refusal(user(thinking(), text("x"))) == (
            "messages.0: `thinking` blocks can only be in `assistant` messages"
        )

    def test_a_prefill_with_thinking_needs_thinking(self) -> None:
        """ANTH-11.3: A last message of the assistant has no thinking if none was requested."""
        message = refusal(HELLO, assistant(thinking(), text("So")))

        assert message.startswith(
            "messages.1.content.0.type: When thinking is disabled, an `assistant` message in the final position cannot "
            "contain `thinking`."
        )
        accept(HELLO, assistant(thinking(), text("So")), thinking=ENABLED)

    def test_thinking_that_is_lost(self) -> None:
        """ANTH-11.4: The turn that results continue begins with its thinking."""
        lost = [HELLO, assistant(text("Well"), call()), user(result())]
        expected = (
            "messages.1.content.0.type: Expected `thinking` or `redacted_thinking`, but found `text`. When `thinking` is "
            "enabled, a final `assistant` message must start with a thinking block"
        )

        assert refusal(*lost, thinking=ENABLED).startswith(expected)
        longer = [*lost, assistant(call("toolu_2")), user(result("toolu_2"))]
        assert refusal(*longer, thinking=ENABLED).startswith(expected)
        for config in (None, {"type": "adaptive"}, {"type": "disabled"}):
            accept(*lost, model="claude-opus-4-6", thinking=config)
        accept(*lost, assistant(text("It is 42.")), HELLO, thinking=ENABLED)
        kept = assistant(thinking(), call())
        accept(HELLO, kept, user(result()), assistant(call("b")), user(result("b")), thinking=ENABLED)

    def test_turns_that_had_no_thinking(self) -> None:
        """ANTH-11.4: A turn of llmsim that had no thinking is continued without; one that had some is not."""
        ids = {"id": "0" * 24}
        (plain,) = rendered(tool_call("f", "{}", **ids))
        _, thoughtful = rendered(thought(), tool_call("f", "{}", **ids))
        (scripted,) = rendered(tool_call("f", "{}", id="llmsim_0_0"))

        for block in (plain, scripted):
            accept(HELLO, assistant(block), user(result(block["id"])), thinking=ENABLED)
        assert "but found `tool_use`" in refusal(
            HELLO, assistant(thoughtful), user(result(thoughtful["id"])), thinking=ENABLED
        )


class TestTexts:
    """Texts without anything in them."""

    @pytest.mark.parametrize(
        "messages",
        [
            [{"role": "user", "content": " \n"}],
            [user(text("\t"))],
            [user(text(" "), text("\n"))],
            [HELLO, assistant(text("\n")), HELLO],
            [HELLO, assistant(text("\n"), call()), user(result())],
            [HELLO, assistant(text(" "))],
            [user(text(" "), image(PNG))],
        ],
    )
    def test_blank_messages(self, messages: list[Any]) -> None:
        """ANTH-11.5: A message whose text is blank is refused, whatever else it holds."""
        assert refusal(*messages) == "messages: text content blocks must contain non-whitespace text"

    def test_a_blank_beside_a_text(self) -> None:
        """ANTH-11.5: A blank text beside another text is accepted."""
        accept(user(text(" "), text("Hello")))

    def test_the_system_prompt(self) -> None:
        """ANTH-11.5: No text of the system prompt is blank."""
        for system in (" ", [text(" ")], [text("Be kind."), text("\n")]):
            message = refusal(HELLO, system=system)
            assert message == "system: text content blocks must contain non-whitespace text"
        assert refusal(HELLO, system=[text("")]) == "system: text content blocks must be non-empty"
        accept(HELLO, system="")

    def test_marks_of_empty_texts(self) -> None:
        """ANTH-11.5: An empty text cannot be marked."""
        assert refusal(user(text("x"), text("", cache_control=MARK))) == (
            "messages.0.content.1.text: cache_control cannot be set for empty text blocks"
        )

    def test_a_prefill_ends_with_a_character(self) -> None:
        """ANTH-11.5: The last text of a prefill does not end with whitespace, in a block neither."""
        assert refusal(HELLO, assistant(text("So "))) == (
            "messages: final assistant content cannot end with trailing whitespace"
        )


class TestImages:
    """Images and documents."""

    @pytest.mark.parametrize(
        ("data", "media_type"),
        [(PNG, "image/png"), (GIF, "image/gif"), (JPEG, "image/jpeg"), (WEBP, "image/webp")],
    )
    def test_formats(self, data: bytes, media_type: str) -> None:
        """ANTH-11.6: The formats of the API are accepted with their own media type only."""
        accept(user(image(data, media_type)))
        other = "image/gif" if media_type != "image/gif" else "image/webp"

        assert refusal(user(image(data, other))) == (
            f"messages.0.content.0.image.source.base64.data: The image was specified using the {other} media type, but "
            f"the image appears to be a {media_type} image"
        )

    @pytest.mark.parametrize(
        ("block", "expected"),
        [
            (image(PNG, None), ".media_type: Field required"),
            (
                image(PNG, "image/bmp"),
                ".media_type: Input should be 'image/jpeg', 'image/png', 'image/gif' or 'image/webp'",
            ),
            (image(""), ": image cannot be empty"),
            (image("data:image/png;base64,AAAA"), ": invalid base64 data"),
            (image("A" * (5 * 2**20 + 4)), ": image exceeds 5 MB maximum: 5242884 bytes > 5242880 bytes"),
            (
                image(PNG[:16] + struct.pack(">II", 8001, 1)),
                ".data: At least one of the image dimensions exceed max allowed size: 8000 pixels",
            ),
        ],
    )
    def test_what_is_wrong_with_an_image(self, block: dict[str, Any], expected: str) -> None:
        """ANTH-11.6: Media type, base64, size and dimensions are checked, in messages and in results."""
        place = "messages.0.content.0.image.source.base64"
        assert refusal(user(block)) == place + expected
        inside = refusal(HELLO, assistant(call()), user(result(content=[text("x"), block])))
        assert inside == "messages.2.content.0.tool_result.content.1.image.source.base64" + expected

    def test_bytes_that_are_no_image(self) -> None:
        """ANTH-11.6: They are refused."""
        assert refusal(user(image(b"hello"))) == "Could not process image"

    def test_many_images(self) -> None:
        """ANTH-11.6: The images of a request with many are smaller."""
        wide = image(PNG[:16] + struct.pack(">II", 2001, 1))
        accept(user(*[wide] * 20))

        assert refusal(user(*[wide] * 21)).endswith(
            "At least one of the image dimensions exceed max allowed size for many-image requests: 2000 pixels"
        )

    def test_addresses(self) -> None:
        """ANTH-11.6: An image is fetched over HTTPS only."""
        accept(user({"type": "image", "source": {"type": "url", "url": "https://x/y.png"}}))

        for url in ("http://x/y.png", "data:image/png;base64,AAAA", "y.png"):
            message = refusal(user({"type": "image", "source": {"type": "url", "url": url}}))
            assert message == "Only HTTPS URLs are supported."

    def test_documents(self) -> None:
        """ANTH-11.6: A document in base64 is a PDF."""
        source = {"type": "base64", "media_type": "application/pdf"}

        def document(data: bytes) -> dict[str, Any]:
            return {"type": "document", "source": source | {"data": base64.b64encode(data).decode()}}

        accept(user(document(b"%PDF-1.7")))
        assert refusal(user(document(b"hello"))) == (
            "messages.0.content.0.pdf.source.base64.data: The PDF specified was not valid."
        )

    @given(st.binary(max_size=64), st.sampled_from([PNG, GIF, JPEG, WEBP, b""]), st.integers(0, 40))
    def test_any_bytes(self, data: bytes, head: bytes, length: int) -> None:
        """ANTH-11.6: Whatever an image holds, it is accepted or refused."""
        with contextlib.suppress(InvalidFieldError):
            accept(user(image(head[:length] + data, "image/png")))
