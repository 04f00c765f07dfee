"""Rules that the messages of a conversation have to keep as a whole: calls and results, ids, thinking, texts and images.

Decisions:
* A blank text is accepted beside another text in its message, and refused where it is all the text. In the system prompt it is
  refused everywhere. Source: LibreChat-AI/agents#124 (tried with the API), aaif-goose/goose#7343, anomalyco/opencode#35101.
* With thinking of a fixed budget, a turn that calls tools has to begin with the thinking that came with it. It may have had none:
  of a script, or of a model that does not reason. Such calls are known by their ids, which are llmsim's own.

Source: responses of the API as quoted in public issues: BerriAI/litellm#23510 and trycua/cua#524 (unique ids),
anthropics/claude-code#18947, #5989 and #64383 (pairs), #10627 and #56708 (signatures), #23440 (blank texts),
tailcallhq/forgecode#2107 (the last block), haystack-core-integrations#2146 (lost thinking),
NousResearch/hermes-agent#1216 (marks of empty texts), Kilo-Org/kilocode#4631 (thinking of a prefill).
"""

import re
from collections.abc import Iterator, Sequence

from llmsim.errors import InvalidFieldError
from llmsim.providers.anthropic.media_rules import check_document, check_images
from llmsim.providers.anthropic.messages_request import (
    Block,
    CountRequest,
    DocumentBlock,
    FallbackBlock,
    HostedResultBlock,
    ImageBlock,
    MessageParam,
    RedactedThinkingBlock,
    ServerToolUseBlock,
    TextBlock,
    ThinkingBlock,
    ToolResultBlock,
    ToolUseBlock,
)
from llmsim.providers.anthropic.signatures import decode_base64, verifies
from llmsim.providers.anthropic.tool_params import ToolAdditionBlock, ToolRemovalBlock

THOUGHTFUL_CALL = "toolu_01"
"""What the ids of llmsim's calls begin with if their turn begins with thinking."""

_THOUGHTLESS_CALL = re.compile(r"toolu_(?:[0-9a-f]{24}|llmsim(?:_\d+)+)")
"""The ids of other calls of llmsim: of turns without thinking, and of scripts."""

_ROLES = ("user", "assistant", "system")

_MOST_IDS = 20
"""Ids that a message lists."""

_SEE_THINKING = (
    "Please consult our documentation at https://docs.claude.com/en/docs/build-with-claude/extended-thinking"
)

_ThinkingBlocks = ThinkingBlock | RedactedThinkingBlock

_ASSISTANTS = ToolUseBlock | ServerToolUseBlock | ThinkingBlock | RedactedThinkingBlock | FallbackBlock


def check_messages(request: CountRequest) -> None:
    """Check the system prompt, and all messages as one conversation.

    Raises:
        InvalidFieldError: The conversation breaks a rule.
    """
    messages = request.messages
    if not messages:
        raise _conflict(("messages",), "messages: at least one message is required")
    if request.system:
        _check_system(request.system)
    called: list[str] = []
    seen: set[str] = set()
    images: list[tuple[tuple[str | int, ...], ImageBlock]] = []
    for index, message in enumerate(messages):
        last = index == len(messages) - 1
        _check_message(message, index, last=last)
        blocks = message.content if isinstance(message.content, list) else []
        if called or blocks:
            _check_results(blocks, index, called)
        called = _check_calls(blocks, index, seen) if blocks else []
        if blocks:
            _check_thinking(blocks, index)
            images += _check_media(blocks, index)
    if called:
        raise _unanswered(called, len(messages) - 1)
    check_images(images)
    _check_turn(request)


def _check_system(system: str | list[TextBlock]) -> None:
    texts = [system] if isinstance(system, str) else [block.text for block in system]
    if not all(texts):
        raise _conflict(("system",), "system: text content blocks must be non-empty")
    if not all(text.strip() for text in texts):
        raise _conflict(("system",), "system: text content blocks must contain non-whitespace text")


def _check_message(message: MessageParam, index: int, *, last: bool) -> None:
    """Check role and texts of a message, and which blocks its role may have."""
    if message.role not in _ROLES:
        raise InvalidFieldError(("messages", index, "role"), "choice", _ROLES, message.role)
    if message.clear_at is not None and message.role != "system":
        raise _conflict(
            ("messages", index, "clear_at"),
            f"messages.{index}.clear_at: only permitted on messages with the role 'system'",
        )
    content = message.content
    if not content and not (last and message.role == "assistant"):
        raise _conflict(
            ("messages", index),
            f"messages.{index}: all messages must have non-empty content except for the optional final assistant "
            "message",
        )
    if isinstance(content, str):
        texts = [content] if content else []
    else:
        _check_roles(content, message.role, index)
        texts = [block.text for block in content if isinstance(block, TextBlock)]
        _check_empty_texts(content, index)
    if texts and not any(text.strip() for text in texts):
        raise _conflict(("messages",), "messages: text content blocks must contain non-whitespace text")
    if last and message.role == "assistant" and content:
        final = content if isinstance(content, str) else content[-1]
        text = final.text if isinstance(final, TextBlock) else final
        if isinstance(text, str) and text != text.rstrip():
            raise _conflict(
                ("messages",), "messages: final assistant content cannot end with trailing whitespace"
            )


def _check_roles(blocks: Sequence[Block], role: str, index: int) -> None:
    for place, block in enumerate(blocks):
        kind = _kind(block)
        if role == "system" and not isinstance(block, TextBlock | ToolAdditionBlock | ToolRemovalBlock):
            kinds = ("text", "tool_addition", "tool_removal")
            raise InvalidFieldError(("messages", index, "content", place, "type"), "choice", kinds, kind)
        if isinstance(block, ToolResultBlock):
            owner = "user"
        elif isinstance(block, _ASSISTANTS):
            owner = "assistant"
        elif isinstance(block, ToolAdditionBlock | ToolRemovalBlock):
            owner = "system"
        else:
            continue
        if role != owner:
            raise _conflict(
                ("messages", index), f"messages.{index}: `{kind}` blocks can only be in `{owner}` messages"
            )


def _check_empty_texts(blocks: Sequence[Block], index: int) -> None:
    for place, block in enumerate(blocks):
        if isinstance(block, TextBlock) and not block.text:
            if block.cache_control is not None:
                raise _conflict(
                    ("messages", index, "content", place, "text"),
                    f"messages.{index}.content.{place}.text: cache_control cannot be set for empty text blocks",
                )
            raise _conflict(("messages",), "messages: text content blocks must be non-empty")


def _check_results(blocks: Sequence[Block], index: int, called: Sequence[str]) -> None:
    """Check that the calls of the message before have one result each, and that no other call has one."""
    answered: set[str] = set()
    for place, block in enumerate(blocks):
        if not isinstance(block, ToolResultBlock):
            continue
        path, call_id = ("messages", index, "content", place), block.tool_use_id
        if call_id not in called:
            raise _conflict(
                path,
                f"messages.{index}.content.{place}: unexpected `tool_use_id` found in `tool_result` blocks: "
                f"{call_id[:100]}. Each `tool_result` block must have a corresponding `tool_use` block in the previous "
                "message.",
            )
        if call_id in answered:
            raise _conflict(
                path,
                f"messages.{index}.content.{place}: each tool_use must have a single result. Found multiple "
                f"`tool_result` blocks with id: {call_id[:100]}",
            )
        answered.add(call_id)
    if unanswered := [call_id for call_id in called if call_id not in answered]:
        raise _unanswered(unanswered, index)


def _unanswered(call_ids: Sequence[str], index: int) -> InvalidFieldError:
    ids = ", ".join(call_id[:100] for call_id in call_ids[:_MOST_IDS])
    return _conflict(
        ("messages", index),
        f"messages.{index}: `tool_use` ids were found without `tool_result` blocks immediately after: {ids}. Each "
        "`tool_use` block must have a corresponding `tool_result` block in the next message.",
    )


def _check_calls(blocks: Sequence[Block], index: int, seen: set[str]) -> list[str]:
    """Check that calls have ids of their own, and results of hosted tools their calls; return the ids of the client's calls.

    Args:
        blocks: Content of a message.
        index: Of the message.
        seen: Ids of all calls before it; those of the message are added.
    """
    called: list[str] = []
    for place, block in enumerate(blocks):
        if isinstance(block, ToolUseBlock | ServerToolUseBlock) and block.id is not None:
            if block.id in seen:
                raise _conflict(
                    ("messages", index, "content", place),
                    f"messages.{index}.content.{place}: `{_kind(block)}` ids must be unique",
                )
            seen.add(block.id)
            if isinstance(block, ToolUseBlock):
                called.append(block.id)
        elif isinstance(block, HostedResultBlock) and block.tool_use_id not in seen and block.tool_use_id:
            kind = _kind(block)
            raise _conflict(
                ("messages", index, "content", place),
                f"messages.{index}.content.{place}: unexpected `tool_use_id` found in `{kind}` blocks: "
                f"{block.tool_use_id[:100]}. Each `{kind}` block must have a corresponding `server_tool_use` block "
                "before it.",
            )
    return called


def _check_thinking(blocks: Sequence[Block], index: int) -> None:
    """Check that thinking is as the API has sent it, and that something follows it."""
    for place, block in enumerate(blocks):
        path = ("messages", index, "content", place)
        if isinstance(block, ThinkingBlock) and not verifies(block.signature, block.thinking):
            raise _conflict(
                path, f"messages.{index}.content.{place}: Invalid `signature` in `thinking` block"
            )
        if isinstance(block, RedactedThinkingBlock) and not decode_base64(block.data):
            raise _conflict(
                path, f"messages.{index}.content.{place}: Invalid `data` in `redacted_thinking` block"
            )
    if isinstance(blocks[-1], _ThinkingBlocks):
        raise _conflict(
            ("messages", index),
            f"messages.{index}: The final block in an assistant message cannot be `{_kind(blocks[-1])}`.",
        )


def _check_media(blocks: Sequence[Block], index: int) -> Iterator[tuple[tuple[str | int, ...], ImageBlock]]:
    """Check the documents of a message, results included; yield its images with their paths."""
    for place, block in enumerate(blocks):
        path: tuple[str | int, ...] = ("messages", index, "content", place)
        parts: Sequence[object] = (block,)
        inside = isinstance(block, ToolResultBlock)
        if isinstance(block, ToolResultBlock):
            parts = block.content if isinstance(block.content, list) else ()
        for number, part in enumerate(parts):
            place_of_part = (*path, "tool_result", "content", number) if inside else path
            if isinstance(part, ImageBlock):
                yield (*place_of_part, "image"), part
            elif isinstance(part, DocumentBlock):
                check_document(part, place_of_part)


def _check_turn(request: CountRequest) -> None:
    """Check the turn that the request continues against the mode of thinking."""
    messages, thinking = request.messages, request.thinking
    final = messages[-1]
    enabled = thinking is not None and thinking.type == "enabled"
    if final.role == "assistant" and (thinking is None or thinking.type == "disabled"):
        for place, block in enumerate(final.content if isinstance(final.content, list) else ()):
            if isinstance(block, _ThinkingBlocks):
                where = f"messages.{len(messages) - 1}.content.{place}"
                raise _conflict(
                    ("messages", len(messages) - 1, "content", place),
                    f"{where}.type: When thinking is disabled, an `assistant` message in the final position cannot "
                    f"contain `{_kind(block)}`. To use thinking blocks, enable `thinking` in your request. {_SEE_THINKING}",
                )
    if not enabled:
        return
    start = _continued_turn(messages)
    if start is None:
        return
    blocks = messages[start].content
    assert isinstance(blocks, list), "it has calls"
    if isinstance(blocks[0], _ThinkingBlocks) or any(
        isinstance(block, ToolUseBlock) and _THOUGHTLESS_CALL.fullmatch(block.id) for block in blocks
    ):
        return
    raise _conflict(
        ("messages", start, "content", 0, "type"),
        f"messages.{start}.content.0.type: Expected `thinking` or `redacted_thinking`, but found `{_kind(blocks[0])}`. When "
        "`thinking` is enabled, a final `assistant` message must start with a thinking block (preceeding the lastmost "
        "set of `tool_use` and `tool_result` blocks). We recommend you include thinking blocks from previous turns. To "
        f"avoid this requirement, disable `thinking`. {_SEE_THINKING}",
    )


def _continued_turn(messages: Sequence[MessageParam]) -> int | None:
    """Return the index of the first message of the turn that goes on with the results of its calls; None if none does."""
    start = None
    for index in range(len(messages) - 1, 0, -2):
        if not _has_results(messages[index]):
            break
        start = index - 1
    return start


def _has_results(message: MessageParam) -> bool:
    return isinstance(message.content, list) and any(
        isinstance(block, ToolResultBlock) for block in message.content
    )


def _kind(block: Block) -> str:
    return str(type(block).__struct_config__.tag)


def _conflict(path: tuple[str | int, ...], message: str) -> InvalidFieldError:
    return InvalidFieldError(path, "conflict", message)
