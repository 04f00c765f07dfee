"""What a prompt costs in tokens: messages, their marks, images and priming, as the API's own formula has it."""

from collections.abc import Callable

from llmsim.domain import CacheMark, Image, Message, Prompt
from llmsim.planning.embedding_input import count_text
from llmsim.planning.tokens import Tokenizer

_MESSAGE_TOKENS = 4
"""What a message costs beside its text: its role and the marks around it.

Source: OpenAI cookbook, "How to count tokens with tiktoken": 3 a message and 1 for the role.
"""
_NAME_TOKENS = 1
_REPLY_TOKENS = 3
"""Every reply is primed with three tokens. Source: as above."""

_IMAGE_TOKENS = {"low": 85}
_FULL_IMAGE_TOKENS = 765
"""An image of 1024 x 1024 in full detail. Source: OpenAI vision guide."""


def count_prompt(prompt: Prompt, tokenizer: Tokenizer) -> int:
    """Count the prompt's tokens as the API's own formula does: messages, their marks, images, priming."""
    return prompt_tokens(prompt, tokenizer.count)


def prompt_tokens(prompt: Prompt, count: Callable[[str], int]) -> int:
    """Count the tokens of a prompt, its texts by `count`."""
    if prompt.embedding is not None:
        return sum(count_text(message, count) for message in prompt.messages)
    tokens = _REPLY_TOKENS
    for message in prompt.messages:
        tokens += _message_tokens(message, count)
    for image in prompt.images:
        tokens += image_tokens(image)
    return tokens


def _message_tokens(message: Message, count: Callable[[str], int]) -> int:
    tokens = _MESSAGE_TOKENS + message.extra_tokens + len(message.token_ids)
    for text in message.texts:
        tokens += count(text)
    for note in message.notes:
        tokens += count(note)
    for call in message.calls:
        tokens += count(call.name) + count(call.arguments)
    for result in message.results:
        tokens += count(result.text)
    if message.name is not None:
        tokens += _NAME_TOKENS + count(message.name)
    return tokens


def prefix_tokens(prompt: Prompt, mark: CacheMark, count: Callable[[str], int]) -> int:
    """Count the prefix that ends at a mark: part of what `count_prompt` counts."""
    tokens = sum(_message_tokens(message, count) for message in prompt.messages[: mark.messages])
    if mark.partial is not None:
        tokens += _message_tokens(mark.partial, count)
    return tokens + sum(map(image_tokens, prompt.images[: mark.images]))


def image_tokens(image: Image) -> int:
    """Return the tokens of an image."""
    return _IMAGE_TOKENS.get(image.detail, _FULL_IMAGE_TOKENS)
