"""Edits by which an API shortens the conversation of a request before the model sees it, and what came of them."""

import msgspec


class ClearToolUses(msgspec.Struct, frozen=True, tag="tool_uses", tag_field="edit"):
    """Clears the results of old tool calls.

    Attributes:
        trigger_tokens: It is applied to a prompt of more tokens; None if the number of calls decides.
        trigger_uses: It is applied to a prompt of more calls; None if the tokens decide.
        keep: Calls that are kept, the newest.
        at_least: Tokens that have to be cleared; an edit that clears fewer is not applied.
        excluded: Names of tools whose calls are kept.
        inputs: Names of tools whose arguments are cleared, too; None for all of them.
        images: The images in results: the id of the call, and the image's index in the prompt's images.
    """

    trigger_tokens: int | None = None
    trigger_uses: int | None = None
    keep: int = 0
    at_least: int = 0
    excluded: tuple[str, ...] = ()
    inputs: tuple[str, ...] | None = ()
    images: tuple[tuple[str, int], ...] = ()


class ClearThinking(msgspec.Struct, frozen=True, tag="thinking", tag_field="edit"):
    """Clears the thinking of old turns, which the prompt no longer has.

    Attributes:
        turns: Number of turns.
        texts: Their thinking.
    """

    turns: int
    texts: tuple[str, ...]


class Compact(msgspec.Struct, frozen=True, tag="compact", tag_field="edit"):
    """Puts a summary in the place of the conversation.

    Attributes:
        trigger: It is applied to a prompt of at least that many tokens.
        pauses: Whether the response ends with the summary.
        is_signed: Whether the summary has a signature.
    """

    trigger: int = 0
    pauses: bool = False
    is_signed: bool = False


ContextEdit = ClearToolUses | ClearThinking | Compact


class AppliedEdit(msgspec.Struct, frozen=True):
    """An edit that was applied.

    Attributes:
        kind: `tool_uses` or `thinking`.
        items: Number of calls, or of turns, that were cleared.
        tokens: Prompt tokens that were cleared.
    """

    kind: str
    items: int
    tokens: int


class Compaction(msgspec.Struct, frozen=True):
    """A summary that was put in the place of a conversation.

    Attributes:
        summary: The summary.
        tokens: Tokens of the summary.
        prompt_tokens: Tokens of the prompt that was summarized.
        pauses: As in `Compact`.
        is_signed: As in `Compact`.
    """

    summary: str
    tokens: int
    prompt_tokens: int
    pauses: bool = False
    is_signed: bool = False


class EditedContext(msgspec.Struct, frozen=True):
    """What came of the edits of a request.

    Attributes:
        applied: The edits that were applied, apart from a compaction.
        compaction: The compaction; None if there was none.
    """

    applied: tuple[AppliedEdit, ...] = ()
    compaction: Compaction | None = None
