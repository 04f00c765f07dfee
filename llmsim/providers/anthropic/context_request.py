"""The edits of a context as a request has them, as types.

Source: anthropic SDK 2.14, types/beta/beta_context_management_config_param.py, beta_clear_*_edit_param.py,
beta_compact_20260112_edit_param.py, beta_compaction_config_param.py.
"""

from typing import Annotated, Literal

from msgspec import Meta, Struct

Tokens = Annotated[int, Meta(ge=0)]


class Amount(Struct):
    """A number of tokens, of tool uses or of turns."""

    type: Literal["input_tokens", "tool_uses"]
    value: Tokens


class InputTokens(Struct):
    """A number of tokens."""

    type: Literal["input_tokens"]
    value: Tokens


class ToolUses(Struct):
    """A number of tool uses."""

    type: Literal["tool_uses"]
    value: Tokens


class KeptThinking(Struct):
    """A number of turns; `all` has no value."""

    type: Literal["thinking_turns", "all"]
    value: Annotated[int, Meta(ge=1)] | None = None


class ClearToolUsesEdit(Struct, tag_field="type", tag="clear_tool_uses_20250919"):
    """Clears the results of old tool uses."""

    trigger: Amount | None = None
    keep: ToolUses | None = None
    clear_at_least: InputTokens | None = None
    exclude_tools: list[str] | None = None
    clear_tool_inputs: bool | list[str] | None = None


class ClearThinkingEdit(Struct, tag_field="type", tag="clear_thinking_20251015"):
    """Clears the thinking of old turns."""

    keep: KeptThinking | Literal["all"] | None = None


class CompactEdit(Struct, tag_field="type", tag="compact_20260112"):
    """Puts a summary in the place of the conversation."""

    trigger: InputTokens | None = None
    pause_after_compaction: bool | None = None
    instructions: str | None = None


class ContextManagement(Struct):
    """The edits of a request, in their order."""

    edits: list[ClearToolUsesEdit | ClearThinkingEdit | CompactEdit] | None = None


class CompactionConfig(Struct):
    """Asks for a summary of the conversation, and nothing else."""

    type: Literal["summarize"]
    instructions: str | None = None
