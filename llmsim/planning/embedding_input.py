"""Embedding requests: the texts of a prompt, which become vectors.

Decisions:
* Each message is a text by itself, so the context window holds for each, and no tokens around messages are counted.
  Source: OpenAI, usage of embeddings: "hello" is one token.
* An unknown model supports every endpoint.
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
"""Dimensions of the vectors of a model whose family has none."""


class EmbeddingInput(msgspec.Struct, frozen=True):
    """The texts of a prompt, counted and checked.

    Attributes:
        texts: One for each message.
        tokens: Of all texts together.
        model: Id of the model.
        size: Dimensions of the model's vectors.
        dimensions: Dimensions of the requested vectors; at most `size`.
    """

    texts: tuple[str, ...]
    tokens: int
    model: str
    size: int
    dimensions: int

    @property
    def response_bytes(self) -> int:
        """About the most bytes that the vectors take: as they are, and twice as text of 20 characters a number, in parts and whole."""
        return len(self.texts) * self.dimensions * 44

    def vectors(self) -> tuple[bytes, ...]:
        """Compute the vector of each text."""
        return tuple(embed(text, self.model, self.size, self.dimensions) for text in self.texts)


def check_use(prompt: Prompt, model: Model) -> None:
    """Check that a model supports the endpoint of the request.

    Raises:
        ModelUseError: It does not.
    """
    if prompt.media is not None:
        if model.known:
            raise ModelUseError(prompt.model, embeds=False, media=True)
    elif model.known and (prompt.embedding is not None) != (model.dimensions > 0):
        raise ModelUseError(prompt.model, embeds=prompt.embedding is not None)


def read_input(
    prompt: Prompt, model: Model, tokenizer: Tokenizer, *, enforce_window: bool
) -> EmbeddingInput | None:
    """Read the texts of an embedding request.

    Args:
        prompt: The request.
        model: The facts about its model.
        tokenizer: The model's vocabulary.
        enforce_window: Whether to refuse texts that are longer than the context window.

    Returns:
        The texts; None if the request is for no embeddings.

    Raises:
        RefusedError: The model would not accept them.
    """
    wanted = prompt.embedding
    if wanted is None:
        return None
    size = model.dimensions or _DIMENSIONS
    dimensions = _dimensions(prompt, wanted, model, size)
    tokens = [count_text(message, tokenizer.count) for message in prompt.messages]
    if enforce_window:
        _check_lengths(tokens, wanted, model)
    texts = tuple(
        tokenizer.decode(message.token_ids) if message.token_ids else "".join(message.texts)
        for message in prompt.messages
    )
    return EmbeddingInput(texts, sum(tokens), model.id, size, dimensions)


def count_text(message: Message, count: Callable[[str], int]) -> int:
    """Count the tokens of a message's text alone."""
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
