"""Prompts that are only read: their texts become vectors, and nothing is said.

Decisions:
* Each message is a text by itself, so the window is that of each, and no marks around messages are counted.
  Source: OpenAI, usage of embeddings: "hello" is one token.
* A model that is not known is taken for whatever is asked of it.
"""

from collections.abc import Callable, Sequence

import msgspec

from llmsim.catalogue import Model
from llmsim.domain import Embedding, Message, Prompt
from llmsim.errors import (
    InputLengthError,
    InvalidFieldError,
    ModelUseError,
    RequestTokensError,
    ShortenedError,
)
from llmsim.planning.embeddings import embed
from llmsim.planning.tokens import Tokenizer

_DIMENSIONS = 1536
"""Of the vectors of a name whose family makes none."""


class EmbeddingInput(msgspec.Struct, frozen=True):
    """What was read of a prompt.

    Attributes:
        texts: One for each message.
        tokens: Of all texts together.
        model: Whose vectors they become.
        size: How many dimensions the model's vectors have.
        dimensions: How many of them are wanted.
    """

    texts: tuple[str, ...]
    tokens: int
    model: str
    size: int
    dimensions: int

    def vectors(self) -> tuple[bytes, ...]:
        """Make a vector of each text."""
        return tuple(embed(text, self.model, self.size, self.dimensions) for text in self.texts)


def check_use(prompt: Prompt, model: Model) -> None:
    """See whether a model is made for what is asked of it.

    Raises:
        ModelUseError: It is not.
    """
    if model.known and (prompt.embedding is not None) != (model.dimensions > 0):
        raise ModelUseError(prompt.model, embeds=prompt.embedding is not None)


def read(prompt: Prompt, model: Model, words: Tokenizer, *, enforce_window: bool) -> EmbeddingInput | None:
    """Read the texts of which vectors are wanted.

    Args:
        prompt: What is asked.
        model: The facts of its model.
        words: The model's vocabulary.
        enforce_window: Whether texts can be too long.

    Returns:
        What was read; None where no vectors are wanted.

    Raises:
        RefusedError: The model would not take them.
    """
    wanted = prompt.embedding
    if wanted is None:
        return None
    size = model.dimensions or _DIMENSIONS
    dimensions = _dimensions(prompt, wanted, model, size)
    tokens = [count_text(message, words.count) for message in prompt.messages]
    if enforce_window:
        _check_lengths(tokens, wanted, model)
    texts = tuple(
        words.text(message.token_ids) if message.token_ids else "".join(message.texts)
        for message in prompt.messages
    )
    return EmbeddingInput(texts, sum(tokens), model.id, size, dimensions)


def count_text(message: Message, count: Callable[[str], int]) -> int:
    """Count the tokens of a message's text, and of nothing else."""
    return len(message.token_ids) + sum(map(count, message.texts))


def _dimensions(prompt: Prompt, wanted: Embedding, model: Model, size: int) -> int:
    if wanted.dimensions is None:
        return size
    if model.dimensions and not model.shortens:
        raise ShortenedError(prompt.model)
    if wanted.dimensions > size:
        raise InvalidFieldError(("dimensions",), "maximum", size, wanted.dimensions)
    return wanted.dimensions


def _check_lengths(tokens: Sequence[int], wanted: Embedding, model: Model) -> None:
    for index, length in enumerate(tokens):
        if length > model.context_window:
            raise InputLengthError(model.context_window, length, index if len(tokens) > 1 else None)
    if wanted.limit is not None and sum(tokens) > wanted.limit:
        raise RequestTokensError(wanted.limit, sum(tokens))
