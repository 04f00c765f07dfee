"""The edits of a request's context: what they clear of thinking, and how they are reported.

Decisions:
* Thinking of earlier turns counts nothing unless a request says which of it is kept; then what is kept counts.
* A conversation turn is all messages of the assistant between two of the user that hold more than results.
* The results of tools that the API runs are not cleared.
* Compaction blocks are checked, and counted, wherever they are: only one that is not signed needs the strategy.

Source: Anthropic docs, build-with-claude/context-editing and build-with-claude/compaction; messages of the API as quoted in public
issues: can1357/oh-my-pi#2143 (thinking), LionSR/TeXRA#2625 (trigger of a compaction); anthropic SDK 2.14, types/beta.
"""

from collections.abc import Sequence
from typing import Any

import msgspec

from llmsim.domain import ClearThinking, ClearToolUses, Compact, ContextEdit, EditedContext
from llmsim.errors import ApiRuleError, InvalidFieldError
from llmsim.providers.anthropic.context_request import ClearThinkingEdit, ClearToolUsesEdit, CompactEdit
from llmsim.providers.anthropic.messages_request import (
    CompactionBlock,
    CountRequest,
    MessageParam,
    ThinkingBlock,
    ToolResultBlock,
)
from llmsim.providers.anthropic.signatures import verifies

_CLEARING_TOKENS = 100_000
_KEPT_USES = 3
_KEPT_TURNS = 1
_COMPACTING_TOKENS = 150_000
_LEAST_COMPACTING_TOKENS = 50_000


class KeptThinking(msgspec.Struct, frozen=True):
    """The thinking of a conversation.

    Attributes:
        messages: Indices of the messages whose thinking is kept, and counts.
        cleared: The thinking that is cleared.
    """

    messages: frozenset[int] = frozenset()
    cleared: ClearThinking = ClearThinking(0, ())


_NONE = KeptThinking()


def check_context_management(request: CountRequest) -> None:
    """Check the edits of a context.

    Raises:
        InvalidFieldError: The API would not take them.
        ApiRuleError: The signature of a compaction does not verify.
    """
    if request.compaction is not None and request.context_management is not None:
        raise _conflict(
            ("compaction",), "compaction: `compaction` and `context_management` cannot both be specified."
        )
    edits = _edits(request)
    thinks = request.thinking is not None and request.thinking.type in ("enabled", "adaptive")
    for index, edit in enumerate(edits):
        path = ("context_management", "edits", index)
        place = f"context_management.edits.{index}"
        if any(type(other) is type(edit) for other in edits[:index]):
            kind = type(edit).__struct_config__.tag
            raise _conflict(path, f"{place}: `{kind}` strategy may be specified only once")
        if isinstance(edit, ClearThinkingEdit):
            if not thinks:
                raise _conflict(
                    path, "`clear_thinking_20251015` strategy requires `thinking` to be enabled or adaptive"
                )
            if index:
                raise _conflict(
                    path, f"{place}: `clear_thinking_20251015` strategy must be listed first in `edits`"
                )
            keep = edit.keep
            if keep is not None and keep != "all" and keep.type == "thinking_turns" and keep.value is None:
                kind = "clear_thinking_20251015"
                raise InvalidFieldError((*path, kind, "keep", "thinking_turns", "value"), "missing", None)
        if isinstance(edit, CompactEdit) and edit.trigger is not None:
            least = _LEAST_COMPACTING_TOKENS
            if edit.trigger.value < least:
                raise _conflict(path, f"{place}.compact_20260112: trigger.value must be at least {least}")
    _check_compactions(request, edits)


def _check_compactions(request: CountRequest, edits: Sequence[object]) -> None:
    """Check the compaction blocks of a conversation."""
    compacts = any(isinstance(edit, CompactEdit) for edit in edits)
    for index, message in enumerate(request.messages):
        for place, block in enumerate(message.content if isinstance(message.content, list) else ()):
            if not isinstance(block, CompactionBlock):
                continue
            path = ("messages", index, "content", place)
            where = f"messages.{index}.content.{place}"
            if block.content == "":
                raise _conflict(path, f"{where}.compaction.content: content cannot be empty")
            if block.signature is not None:
                if not verifies(block.signature, block.content or ""):
                    raise ApiRuleError(
                        f"{where}: Invalid `signature` in `compaction` block",
                        code="compaction_signature_invalid",
                    )
            elif not compacts and block.content is not None:
                raise _conflict(
                    path,
                    f"{where}: `compaction` blocks require a `compact_20260112` strategy in "
                    "`context_management.edits`.",
                )


def kept_thinking(request: CountRequest) -> KeptThinking:
    """Return the thinking that a request keeps, of all that its conversation has."""
    edit = next((edit for edit in _edits(request) if isinstance(edit, ClearThinkingEdit)), None)
    if edit is None:
        return _NONE
    turns = [turn for turn in _turns(request.messages) if any(map(_has_thinking, turn.values()))]
    keep = edit.keep
    if keep == "all" or (keep is not None and keep.type == "all"):
        kept = len(turns)
    else:
        kept = keep.value if keep is not None and keep.value is not None else _KEPT_TURNS
    old, new = (turns[:-kept], turns[-kept:]) if kept else (turns, [])
    texts = tuple(text for turn in old for message in turn.values() for text in _thinking(message))
    return KeptThinking(frozenset(index for turn in new for index in turn), ClearThinking(len(old), texts))


def all_thinking(request: CountRequest) -> KeptThinking:
    """Return the thinking of a conversation of which nothing is cleared."""
    if not any(isinstance(edit, ClearThinkingEdit) for edit in _edits(request)):
        return _NONE
    return KeptThinking(frozenset(range(len(request.messages))))


def parse_edits(
    request: CountRequest, thinking: KeptThinking, images: tuple[tuple[str, int], ...]
) -> tuple[ContextEdit, ...]:
    """Parse the edits of a request.

    Args:
        request: The request; its edits were checked.
        thinking: From `kept_thinking`.
        images: The images of results: the id of the call, and the index among all images.
    """
    if request.compaction is not None:
        return (Compact(pauses=True, is_signed=True),)
    return tuple(_parse_edit(edit, thinking, images) for edit in _edits(request))


def _parse_edit(
    edit: ClearToolUsesEdit | ClearThinkingEdit | CompactEdit,
    thinking: KeptThinking,
    images: tuple[tuple[str, int], ...],
) -> ContextEdit:
    match edit:
        case ClearThinkingEdit():
            return thinking.cleared
        case CompactEdit(trigger=trigger):
            return Compact(
                _COMPACTING_TOKENS if trigger is None else trigger.value,
                pauses=bool(edit.pause_after_compaction),
            )
        case ClearToolUsesEdit(trigger=trigger, clear_tool_inputs=inputs):
            by_uses = trigger is not None and trigger.type == "tool_uses"
            value = _CLEARING_TOKENS if trigger is None else trigger.value
            return ClearToolUses(
                trigger_tokens=None if by_uses else value,
                trigger_uses=value if by_uses else None,
                keep=_KEPT_USES if edit.keep is None else edit.keep.value,
                at_least=0 if edit.clear_at_least is None else edit.clear_at_least.value,
                excluded=tuple(edit.exclude_tools or ()),
                inputs=None if inputs is True else tuple(inputs or ()),
                images=images,
            )


def _edits(request: CountRequest) -> Sequence[ClearToolUsesEdit | ClearThinkingEdit | CompactEdit]:
    management = request.context_management
    return () if management is None else management.edits or ()


def _turns(messages: Sequence[MessageParam]) -> list[dict[int, MessageParam]]:
    """Return the assistant's messages of each turn by their indices."""
    turns: list[dict[int, MessageParam]] = []
    is_new = True
    for index, message in enumerate(messages):
        if message.role != "assistant":
            is_new = is_new or not _has_results(message)
            continue
        if is_new:
            turns.append({})
            is_new = False
        turns[-1][index] = message
    return turns


def _has_results(message: MessageParam) -> bool:
    blocks = message.content
    return isinstance(blocks, list) and any(isinstance(block, ToolResultBlock) for block in blocks)


def _thinking(message: MessageParam) -> list[str]:
    blocks = message.content if isinstance(message.content, list) else []
    return [block.thinking for block in blocks if isinstance(block, ThinkingBlock)]


def _has_thinking(message: MessageParam) -> bool:
    return bool(_thinking(message))


def _conflict(path: tuple[str | int, ...], message: str) -> InvalidFieldError:
    return InvalidFieldError(path, "conflict", message)


_EDITS = {
    "tool_uses": ("clear_tool_uses_20250919", "cleared_tool_uses"),
    "thinking": ("clear_thinking_20251015", "cleared_thinking_turns"),
}
"""For each kind of edit, its type, and the name of the field that counts what was cleared."""


def render_edits(edited: EditedContext | None) -> dict[str, Any]:
    """Render the edits that were applied to the context of a request."""
    applied = []
    for edit in edited.applied if edited is not None else ():
        type_, counter = _EDITS[edit.kind]
        applied.append({"type": type_, counter: edit.items, "cleared_input_tokens": edit.tokens})
    return {"applied_edits": applied}
