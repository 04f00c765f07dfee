"""Conversations that are too long for their model, where the client lets their beginning be dropped.

Decisions:
* The oldest messages go first, instructions stay, and so does the last message: what is too long by itself is refused.
* Pictures are counted to the last one: which message one is in matters to no figure but this.

Source: openai SDK 3.57, types/responses/response_create_params.py, `truncation`.
"""

from collections.abc import Callable, Mapping

from msgspec.structs import replace

from llmsim.catalogue import Model
from llmsim.domain import ImageRule, Prompt
from llmsim.planning.prompt_tokens import prompt_tokens

_INSTRUCTIONS = ("system", "developer")


def shorten(
    prompt: Prompt, model: Model, image_rules: Mapping[str, ImageRule], count: Callable[[str], int]
) -> Prompt:
    """Return a prompt that is too long without its oldest messages, which fits if that is enough.

    Args:
        prompt: The prompt.
        model: The facts of its model.
        image_rules: How models count images, by name.
        count: Counts a text.
    """
    messages = prompt.messages
    first = next(
        (index for index, one in enumerate(messages) if one.role not in _INSTRUCTIONS), len(messages)
    )
    alone = replace(prompt, messages=(), truncates=False)
    fixed = prompt_tokens(alone, model, image_rules, count)
    bare = replace(alone, images=(), tools=(), form=None)
    empty = prompt_tokens(bare, model, image_rules, count)

    def cost(index: int) -> int:
        return prompt_tokens(replace(bare, messages=(messages[index],)), model, image_rules, count) - empty

    room = model.context_window - fixed - sum(cost(index) for index in range(first))
    start = len(messages)
    while start > first and (room := room - cost(start - 1)) >= 0:
        start -= 1
    start = min(start, len(messages) - 1)
    return replace(alone, messages=(*messages[:first], *messages[max(first, start) :]))
