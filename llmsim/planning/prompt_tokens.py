"""What a prompt costs in tokens: definitions, messages, their marks, images and priming, as the API's own formula has it."""

from collections.abc import Callable, Mapping, Sequence

from llmsim.catalogue import Model
from llmsim.domain import CacheMark, ImageRule, Message, PrefixMark, Prompt
from llmsim.planning.continuations import continued_tokens
from llmsim.planning.definition_tokens import definition_tokens
from llmsim.planning.embedding_input import count_text
from llmsim.planning.image_tokens import image_tokens

MESSAGE_TOKENS = 4
"""What a message costs beside its text: its role and the marks around it.

Source: OpenAI cookbook, "How to count tokens with tiktoken": 3 a message and 1 for the role.
"""
NAME_TOKENS = 1
REPLY_TOKENS = 3
"""Every reply is primed with three tokens. Source: as above."""


def prompt_tokens(
    prompt: Prompt, model: Model, image_rules: Mapping[str, ImageRule], count: Callable[[str], int]
) -> int:
    """Count the tokens of a prompt.

    Args:
        prompt: The prompt.
        model: The facts of its model.
        image_rules: How models count images, by name.
        count: Counts a text.
    """
    if prompt.embedding is not None:
        return sum(count_text(message, count) for message in prompt.messages)
    if prompt.media is not None:
        return max(1, sum(message.extra_tokens + count_text(message, count) for message in prompt.messages))
    if prompt.continuation is not None:
        return sum(continued_tokens(prompt, count))
    tokens = conversation_tokens(prompt.messages, count)
    if prompt.tools or prompt.form is not None:
        tokens += definition_tokens(prompt, model)
    for image in prompt.images:
        tokens += image_tokens(image, image_rules[model.image_rule])
    return tokens


def conversation_tokens(messages: Sequence[Message], count: Callable[[str], int]) -> int:
    """Count the messages of a conversation, and the priming of the reply."""
    tokens = REPLY_TOKENS
    for message in messages:
        tokens += _message_tokens(message, count)
    return tokens


def _message_tokens(message: Message, count: Callable[[str], int]) -> int:
    tokens = MESSAGE_TOKENS + message.extra_tokens + len(message.token_ids)
    for text in message.texts:
        tokens += count(text)
    for note in message.notes:
        tokens += count(note)
    for call in message.calls:
        tokens += count(call.name) + count(call.arguments)
    for result in message.results:
        tokens += count(result.text)
    if message.name is not None:
        tokens += NAME_TOKENS + count(message.name)
    return tokens


def marked_prefixes(
    prompt: Prompt, model: Model, image_rules: Mapping[str, ImageRule], count: Callable[[str], int]
) -> tuple[PrefixMark, ...]:
    """Return the marked prefixes of a prompt with their tokens; see `prompt_tokens`."""
    return tuple(
        PrefixMark(mark.key, prefix_tokens(prompt, mark, model, image_rules, count), mark.lifetime)
        for mark in prompt.cache_marks
    )


def prefix_tokens(
    prompt: Prompt,
    mark: CacheMark,
    model: Model,
    image_rules: Mapping[str, ImageRule],
    count: Callable[[str], int],
) -> int:
    """Count the prefix that ends at a mark: part of what `prompt_tokens` counts, see there."""
    tokens = definition_tokens(prompt, model)
    tokens += sum(_message_tokens(message, count) for message in prompt.messages[: mark.messages])
    if mark.partial is not None:
        tokens += _message_tokens(mark.partial, count)
    rule = image_rules[model.image_rule]
    return tokens + sum([image_tokens(image, rule) for image in prompt.images[: mark.images]])
