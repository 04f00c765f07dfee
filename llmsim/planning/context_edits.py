"""Edits of a prompt's context: what is cleared or compacted, and the tokens that this saves.

Decisions:
* The response is planned for the prompt as it was sent; only what is counted, cached and reported follows the edits. So a turn says
  the same with them and without.
* The text that takes the place of what was cleared counts nothing: an edit never makes a prompt longer.
* A prefix of the prompt that has something cleared is another prefix for the cache, as in the real API.
* A summary is made up of the last question; no model writes it. It is in the place of all messages after the system prompt.

Source: Anthropic docs, build-with-claude/context-editing and build-with-claude/compaction.
"""

import hashlib
from collections.abc import Callable, Mapping
from typing import assert_never

from msgspec.structs import replace

from llmsim.catalogue import Model
from llmsim.domain import (
    AppliedEdit,
    CacheMark,
    Choice,
    ClearThinking,
    ClearToolUses,
    Compact,
    Compaction,
    EditedContext,
    FinishReason,
    ImageRule,
    Message,
    Prompt,
    Turn,
)
from llmsim.domain.question import question_of
from llmsim.planning.prompt_facts import PromptFacts
from llmsim.planning.prompt_tokens import prompt_tokens

_HEAD = ("tools", "system")
"""Roles of the messages that come before the conversation."""

_CLEARED_INPUT = "{}"

_LONGEST_QUESTION = 300
"""Characters of a question that a summary repeats."""

Count = Callable[[str], int]


class ContextEditor:
    """Edits the context of one prompt."""

    def __init__(
        self, prompt: Prompt, model: Model, image_rules: Mapping[str, ImageRule], count: Count
    ) -> None:
        """Prepare to edit.

        Args:
            prompt: The prompt; its edits are applied.
            model: Its model.
            image_rules: How models count images, by name.
            count: Counts a text.
        """
        self._model = model
        self._rules = image_rules
        self._count = count
        self._applied: list[AppliedEdit] = []
        self.prompt = replace(prompt, context_edits=())
        self._edits = prompt.context_edits

    def edit(self) -> EditedContext:
        """Apply the edits in their order; `prompt` is what is left."""
        return self.clear(compacts=True)

    def clear(self, *, compacts: bool = False) -> EditedContext:
        """Apply the edits but for compaction, which counting leaves out, unless `compacts`."""
        compaction = None
        for edit in self._edits:
            match edit:
                case ClearThinking():
                    self._clear_thinking(edit)
                case ClearToolUses():
                    self._clear_tool_uses(edit)
                case Compact():
                    if compacts and compaction is None:
                        compaction = self._compact(edit)
                case _:
                    assert_never(edit)
        return EditedContext(tuple(self._applied), compaction)

    @property
    def tokens(self) -> int:
        """Tokens of the prompt as it is now."""
        return prompt_tokens(self.prompt, self._model, self._rules, self._count)

    def _clear_thinking(self, edit: ClearThinking) -> None:
        if edit.turns:
            tokens = sum(map(self._count, edit.texts))
            self._applied.append(AppliedEdit("thinking", edit.turns, tokens))

    def _clear_tool_uses(self, edit: ClearToolUses) -> None:
        prompt = self.prompt
        uses = [(call.id, call.name) for message in prompt.messages for call in message.calls]
        if edit.trigger_uses is not None and len(uses) <= edit.trigger_uses:
            return
        before = self.tokens
        if edit.trigger_tokens is not None and before <= edit.trigger_tokens:
            return
        old = uses[: len(uses) - edit.keep] if edit.keep else uses
        cleared = {call_id: name for call_id, name in old if name not in edit.excluded}
        if not cleared:
            return
        self.prompt = _without_results(prompt, edit, cleared)
        saved = before - self.tokens
        if saved < edit.at_least:
            self.prompt = prompt
            return
        self._applied.append(AppliedEdit("tool_uses", len(cleared), saved))

    def _compact(self, edit: Compact) -> Compaction | None:
        prompt, tokens = self.prompt, self.tokens
        head = next(
            (index for index, message in enumerate(prompt.messages) if message.role not in _HEAD),
            len(prompt.messages),
        )
        if tokens < edit.trigger or head == len(prompt.messages):
            return None
        summary = _summary(prompt.messages[head:])
        if not edit.pauses:
            self.prompt = replace(
                prompt,
                messages=(*prompt.messages[:head], Message("assistant", (summary,))),
                images=(),
                cache_marks=tuple(
                    mark for mark in prompt.cache_marks if mark.messages <= head and not mark.images
                ),
            )
        return Compaction(summary, self._count(summary), tokens, edit.pauses, edit.is_signed)


def _summary(messages: tuple[Message, ...]) -> str:
    questions = (question_of(message.texts) for message in reversed(messages) if message.author == "user")
    question = " ".join(next(filter(None, questions), "").split())[:_LONGEST_QUESTION]
    asked = f' The last request was: "{question}"' if question else ""
    count = f"{len(messages)} message{'' if len(messages) == 1 else 's'}"
    return f"This summary was made up by llmsim. It stands for {count}.{asked}"


def _without_results(prompt: Prompt, edit: ClearToolUses, cleared: Mapping[str, str]) -> Prompt:
    """Return a prompt without the results of some calls, given by id and name, and without the arguments that the edit names."""

    def edited(message: Message) -> Message:
        if not (message.calls or message.results):
            return message
        calls = tuple(
            replace(call, arguments=_CLEARED_INPUT)
            if call.id in cleared and (edit.inputs is None or call.name in edit.inputs)
            else call
            for call in message.calls
        )
        results = tuple(
            replace(result, text="") if result.call in cleared else result for result in message.results
        )
        return replace(message, calls=calls, results=results)

    messages = tuple(map(edited, prompt.messages))
    lost = {index for call_id, index in edit.images if call_id in cleared}
    first = next(
        (index for index, (old, new) in enumerate(zip(prompt.messages, messages, strict=True)) if old != new),
        len(messages),
    )
    suffix = hashlib.blake2b("\n".join(cleared).encode("utf-8", "surrogatepass"), digest_size=8).hexdigest()

    def moved(mark: CacheMark) -> CacheMark:
        partial = None if mark.partial is None else edited(mark.partial)
        if mark.messages <= first and partial == mark.partial:
            return mark
        images = sum(index not in lost for index in range(mark.images))
        return replace(mark, key=f"{mark.key}-{suffix}", partial=partial, images=images)

    return replace(
        prompt,
        messages=messages,
        images=tuple(image for index, image in enumerate(prompt.images) if index not in lost),
        cache_marks=tuple(map(moved, prompt.cache_marks)),
    )


def analyze_edited(
    prompt: Prompt,
    model: Model,
    image_rules: Mapping[str, ImageRule],
    count: Count,
    analyze: Callable[[Prompt], PromptFacts],
) -> PromptFacts:
    """Analyze what the edits of a prompt leave of it; see `Planner.analyze`."""
    editor = ContextEditor(prompt, model, image_rules, count)
    edited = editor.edit()
    return replace(analyze(editor.prompt), edited=edited, is_plain=False)


def edited_tokens(prompt: Prompt, model: Model, image_rules: Mapping[str, ImageRule], count: Count) -> int:
    """Count the tokens of a prompt without what its edits clear; nothing is compacted."""
    if not prompt.context_edits:
        return prompt_tokens(prompt, model, image_rules, count)
    editor = ContextEditor(prompt, model, image_rules, count)
    editor.clear()
    return editor.tokens


def with_edits(turn: Turn, edited: EditedContext) -> Turn:
    """Return a turn that reports the edits of its request's context.

    A compaction takes its time before the first token, and reads a prompt of its own besides that of the text.
    """
    compaction = edited.compaction
    if compaction is None:
        return replace(turn, edited=edited)
    schedule = replace(turn.schedule, ttft=turn.schedule.ttft + compaction.tokens * turn.schedule.itl)
    if not compaction.pauses:
        prompt = turn.usage.prompt + compaction.prompt_tokens
        return replace(turn, edited=edited, schedule=schedule, usage=replace(turn.usage, prompt=prompt))
    choices = (Choice((), FinishReason.STOP),)
    return replace(
        turn,
        edited=edited,
        schedule=schedule,
        choices=choices,
        usage=replace(turn.usage, completion=0, reasoning=0),
    )
