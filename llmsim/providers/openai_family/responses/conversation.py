"""Checks of a conversation as a whole: its items belong together.

Decisions:
* Items of this request are checked by themselves when they are parsed; what belongs together is checked once all of it is there: what
  a request continues, and the items it refers to.
* A call and its output find each other by kind and id, wherever they stand. Behind a compaction an output needs no call: that may be what
  was compacted.
* Reasoning without an id cannot be named, and is not checked.
* Sealed content of the real API is let through, so that recorded conversations can be sent; what bears the mark of llmsim must be whole.

Source: words of refusals as reported in continuedev/continue#10092, #8933 and #10723, microsoft/vscode#320060, openai/codex#33176 and #8145,
Wei-Shaw/sub2api#3981 and #2863, langchain-ai/langchainjs#11044, router-for-me/CLIProxyAPI#2381.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from msgspec import Struct

from llmsim.errors import ApiRuleError, InvalidFieldError
from llmsim.providers.openai_family.field_messages import quote
from llmsim.providers.openai_family.responses.input_items import PREFIX
from llmsim.providers.openai_family.responses.sealed_content import is_sealed_for, is_verified
from llmsim.wire.codec import decoder

_MAX_ID = 64

_ID = re.compile(r"[A-Za-z0-9_-]+")

_ID_PREFIXES = {
    "message": "msg",
    "reasoning": "rs",
    "function_call": "fc",
    "custom_tool_call": "ctc",
    "web_search_call": "ws",
    "file_search_call": "fs",
    "code_interpreter_call": "ci",
    "image_generation_call": "ig",
}
"""What an id begins with, by the type of its item."""

_CALLS = {
    "function_call": "function call",
    "custom_tool_call": "custom tool call",
    "computer_call": "computer call",
    "local_shell_call": "local shell call",
    "shell_call": "shell call",
    "apply_patch_call": "apply patch call",
    "tool_search_call": "tool search call",
}
"""Calls whose output the client sends, and what the API calls them."""

_OUTPUT = "_output"

_LOCAL_SHELL = "local_shell_call"
"""Its output has no `call_id`: its own id is that of the call. Source: openai SDK, response_input_item_param.py."""

_SEALED = ("reasoning", "compaction")

_TRIGGER = "compaction_trigger"
"""The item that asks for a compaction. Source of the refusal: router-for-me/CLIProxyAPI#4148."""


class Head(Struct):
    """What the checks need of an item."""

    type: str | None = None
    role: str | None = None
    id: str | None = None
    call_id: Any = None
    encrypted_content: Any = None

    @property
    def kind(self) -> str:
        """Its type, named or implied, without the prefix of a dialect."""
        if self.type is not None:
            return self.type.removeprefix(PREFIX)
        return "item_reference" if self.role is None and self.id is not None else "message"

    @property
    def answered_kind(self) -> str | None:
        """The kind of the call whose output it is; None if it is no output of a client's tool."""
        kind = self.kind
        call = "tool_search_call" if kind == "tool_search_output" else kind.removesuffix(_OUTPUT)
        return call if call != kind and call in _CALLS else None

    @property
    def pair_ids(self) -> tuple[str, ...]:
        """The ids by which a call and its output find each other."""
        call_ids = (self.call_id,) if isinstance(self.call_id, str) else ()
        item_ids = (self.id,) if self.id is not None and self.kind.startswith(_LOCAL_SHELL) else ()
        return (*call_ids, *item_ids)

    @property
    def is_output_of_model(self) -> bool:
        """Whether a model puts it out, so that it can follow reasoning."""
        kind = self.kind
        return self.role == "assistant" if kind == "message" else not kind.endswith(_OUTPUT)


_decode_head = decoder(Head)


def read_heads(items: Iterable[bytes]) -> list[Head]:
    """Decode what the checks need of items that have been parsed."""
    return [_decode_head(item) for item in items]


def check_items(heads: Sequence[Head], *, has_prefixes: bool) -> None:
    """Check the items of a request, each by itself.

    Args:
        heads: The items.
        has_prefixes: Whether ids begin as those of OpenAI's API.

    Raises:
        InvalidFieldError: The id of a call is too long.
        ApiRuleError: An id is malformed, sealed content is not as it was, or something follows what asks for a compaction.
    """
    for index, head in enumerate(heads):
        if isinstance(head.call_id, str) and len(head.call_id) > _MAX_ID:
            raise InvalidFieldError(("input", index, "call_id"), "too_long", _MAX_ID, head.call_id)
        if head.id is not None and head.kind != "item_reference":
            _check_id(head, head.id, f"input[{index}].id", has_prefixes=has_prefixes)
        if head.kind == _TRIGGER and index + 1 < len(heads):
            raise ApiRuleError(f"The '{_TRIGGER}' item must be the final input item.", "input")
        if head.kind in _SEALED and isinstance(head.encrypted_content, str):
            _check_sealed(head, head.encrypted_content)


def is_triggered(heads: Sequence[Head]) -> bool:
    """Return whether the items of a request ask for a compaction."""
    return bool(heads) and heads[-1].kind == _TRIGGER


def _check_id(head: Head, item_id: str, param: str, *, has_prefixes: bool) -> None:
    shown = quote(item_id)
    if not _ID.fullmatch(item_id):
        raise ApiRuleError(
            f"Invalid '{param}': '{shown}'. Expected an ID that contains letters, numbers, underscores, or dashes, but this "
            "value contained additional characters.",
            param,
            "invalid_value",
        )
    if len(item_id) > _MAX_ID:
        raise ApiRuleError(
            f"Invalid '{param}': string too long. Expected a string with maximum length {_MAX_ID}, but got a string with "
            f"length {len(item_id)} instead.",
            param,
            "string_above_max_length",
        )
    prefix = _ID_PREFIXES.get(head.kind)
    if has_prefixes and prefix is not None and not item_id.startswith(prefix):
        raise ApiRuleError(
            f"Invalid '{param}': '{shown}'. Expected an ID that begins with '{prefix}'.",
            param,
            "invalid_value",
        )


def _check_sealed(head: Head, content: str) -> None:
    if not is_verified(content):
        shown = content if len(content) <= 8 else f"{content[:4]}...{content[-4:]}"
        message = f"The encrypted content {shown} could not be verified. Reason: Encrypted content could not be decrypted or parsed."
        raise ApiRuleError(message, None, "invalid_encrypted_content")
    if head.id is not None and not is_sealed_for(content, head.id):
        message = (
            f"The encrypted content for item {quote(head.id)} could not be verified. Reason: Encrypted content item_id did not "
            "match the target item id."
        )
        raise ApiRuleError(message, None, "invalid_encrypted_content")


def check_conversation(heads: Sequence[Head]) -> None:
    """Check what belongs together.

    Args:
        heads: All items of the conversation, the oldest first.

    Raises:
        ApiRuleError: An id occurs twice, a call or an output lacks the other, or reasoning lacks what it led to.
    """
    _check_unique(heads)
    _check_pairs(heads)
    for index, head in enumerate(heads):
        following = heads[index + 1] if index + 1 < len(heads) else None
        is_alone = following is None or not following.is_output_of_model
        if head.kind == "reasoning" and head.id is not None and is_alone:
            raise ApiRuleError(
                f"Item '{quote(head.id)}' of type 'reasoning' was provided without its required following item.",
                "input",
            )


def _check_unique(heads: Sequence[Head]) -> None:
    seen: set[str] = set()
    for head in heads:
        if head.id is None or head.kind == _LOCAL_SHELL + _OUTPUT:
            continue
        if head.id in seen:
            raise ApiRuleError(
                f"Duplicate item found with id {quote(head.id)}. Remove duplicate items from your input and try again.",
                "input",
            )
        seen.add(head.id)


def _check_pairs(heads: Sequence[Head]) -> None:
    """Check that each call of a client's tool has its output, and each output its call."""
    called: dict[str, set[str]] = {}
    answered: dict[str, set[str]] = {}
    is_compacted = False
    for head in heads:
        is_compacted = is_compacted or head.kind == "compaction"
        if head.kind in _CALLS:
            called.setdefault(head.kind, set()).update(head.pair_ids)
        elif head.answered_kind is not None:
            answered.setdefault(head.answered_kind, set()).update(head.pair_ids)
    for head in heads:
        ids, call = head.pair_ids, head.answered_kind
        if not ids:
            continue
        if head.kind in _CALLS and answered.get(head.kind, set()).isdisjoint(ids):
            raise ApiRuleError(f"No tool output found for {_CALLS[head.kind]} {quote(ids[0])}.", "input")
        if call is not None and not is_compacted and called.get(call, set()).isdisjoint(ids):
            message = f"No tool call found for {_CALLS[call]} output with call_id {quote(ids[0])}."
            raise ApiRuleError(message, "input")


def referenced_ids(heads: Iterable[Head]) -> tuple[str, ...]:
    """Return the ids of items that are named only."""
    return tuple([head.id for head in heads if head.kind == "item_reference" and head.id is not None])


def resolve(
    items: Sequence[bytes], heads: Sequence[Head], known: Mapping[str, bytes], *, is_stored: bool
) -> tuple[bytes, ...]:
    """Return items with the referenced ones in the place of their references.

    Args:
        items: The items as they were sent.
        heads: What the checks need of them.
        known: Referenced items by id.
        is_stored: Whether the response is to be stored; it decides the words of the refusal.

    Raises:
        ApiRuleError: An item does not exist.
    """
    resolved: list[bytes] = []
    for item, head in zip(items, heads, strict=True):
        if head.kind != "item_reference" or head.id is None:
            resolved.append(item)
            continue
        if head.id not in known:
            hint = (
                ""
                if is_stored
                else " Items are not persisted when `store` is set to false. Try again with `store` set to true, or remove this "
                "item from your input."
            )
            raise ApiRuleError(f"Item with id '{quote(head.id)}' not found.{hint}", "input", status=404)
        resolved.append(known[head.id])
    return tuple(resolved)
