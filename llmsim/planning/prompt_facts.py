"""What planning knows of a prompt, and what it needs beside it."""

import msgspec

from llmsim.catalogue import Model
from llmsim.domain import EditedContext, PrefixChain, PrefixMark, Prompt
from llmsim.errors import ContextLengthError
from llmsim.planning.embedding_input import EmbeddingInput
from llmsim.planning.tokens import Tokenizer

UNLIMITED = 1 << 62
"""A limit that no response reaches."""


class PromptFacts(msgspec.Struct, frozen=True, gc=False):
    """What a plan needs to know of a prompt beside its text.

    Attributes:
        model: The facts of its model.
        tokenizer: The model's tokenizer.
        tokens: Tokens of the prompt.
        limit: Most completion tokens of a choice.
        is_plain: Whether `Planner.plan` needs no more than these facts: the response is one text and needs nothing of the shared state, as of most requests.
        prefixes: Its marked prefixes that may be in the prompt cache, the shortest first.
        embedding: The texts to embed; None unless vectors are requested.
        chain: Its prefixes that may be cached automatically; None if none may.
        edited: What came of the edits of its context, of which these are the facts; None if it has none.
    """

    model: Model
    tokenizer: Tokenizer
    tokens: int
    limit: int
    is_plain: bool = False
    prefixes: tuple[PrefixMark, ...] = ()
    embedding: EmbeddingInput | None = None
    chain: PrefixChain | None = None
    edited: EditedContext | None = None


class LinesNeeded(msgspec.Struct, frozen=True):
    """A plan that needs the next lines of `sequence:FILE`.

    Attributes:
        count: How many.
    """

    count: int


def check_window(prompt: Prompt, model: Model, tokens: int) -> None:
    """Check that a prompt of so many tokens fits into its model's window, with its limit where it reserves that.

    Raises:
        ContextLengthError: It does not.
    """
    window = model.context_window
    if tokens > window:
        raise ContextLengthError(window, tokens)
    if prompt.reserves_limit and prompt.limit is not None and tokens + prompt.limit > window:
        raise ContextLengthError(window, tokens, prompt.limit)


def completion_limit(prompt: Prompt, model: Model, tokens: int, *, enforce_window: bool) -> int:
    """Return the most completion tokens of a choice.

    Args:
        prompt: The prompt.
        model: The facts of its model.
        tokens: Tokens of the prompt.
        enforce_window: Whether the response has to fit into the model's window.
    """
    limit = UNLIMITED if prompt.limit is None else prompt.limit
    if enforce_window and model.known:
        limit = min(limit, model.max_output_tokens, model.context_window - tokens)
    return limit


def generated_limit(prompt: Prompt, facts: PromptFacts) -> int:
    """Return the most completion tokens of a choice that is generated; a transcript is as long as its sound."""
    media = prompt.media
    if media is None or media.most_tokens is None:
        return facts.limit
    return min(facts.limit, media.most_tokens)
