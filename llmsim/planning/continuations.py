"""Texts that are continued: each by itself, with several candidates of which the best are returned.

Decisions:
* A text is counted alone, without the marks of a conversation; an empty one is the token that separates documents.
  Source: openai SDK 3.54, types/completion_create_params.py, `prompt`.
* All candidates are generated and counted, as the API counts them; the best has the highest mean log probability.
* The log probabilities of an echoed text depend on the text alone, so that one text is scored the same again and again.
"""

from collections.abc import Callable

from msgspec.structs import replace

from llmsim.catalogue import Model
from llmsim.domain import Choice, Continuation, EchoedText, Fault, Prompt, RefusalSegment, TextSegment, Turn
from llmsim.errors import ContextLengthError
from llmsim.planning.logprobs import token_logprobs
from llmsim.planning.rng import Random, seeded_rng
from llmsim.planning.tokens import Tokenizer

_SEPARATOR_TOKENS = 1


def is_single(continuation: Continuation) -> bool:
    """Return whether the one choice of a text is all that is generated and shown."""
    return not continuation.echo and continuation.best_of is None


def continued_tokens(prompt: Prompt, count: Callable[[str], int]) -> list[int]:
    """Count the tokens of each text to continue, with those of what comes after it."""
    return [
        (len(message.token_ids) + sum(map(count, (*message.texts, *message.notes)))) or _SEPARATOR_TOKENS
        for message in prompt.messages
    ]


def check_length(prompt: Prompt, model: Model, tokens: int) -> None:
    """Check that the longest text and its continuation fit the context window.

    Args:
        prompt: The request.
        model: The facts about its model.
        tokens: Tokens of its longest text.

    Raises:
        ContextLengthError: They do not.
    """
    requested = prompt.limit or 0
    if tokens + requested > model.context_window:
        raise ContextLengthError(model.context_window, tokens, requested)


def candidates(prompt: Prompt) -> list[Prompt]:
    """Return the prompt of each choice to generate: those of the first text, then those of the next."""
    assert prompt.continuation is not None
    count = prompt.continuation.best_of or prompt.choices // len(prompt.messages)
    if len(prompt.messages) == 1:
        return [prompt] * count
    return [
        one
        for message in prompt.messages
        for one in [replace(prompt, messages=(message,), choices=1)] * count
    ]


def pick_best(
    prompt: Prompt, choices: tuple[Choice, ...], tokenizer: Tokenizer, rng: Random
) -> tuple[Choice, ...]:
    """Return the choices to show of the candidates of each text: the best first."""
    assert prompt.continuation is not None
    best_of, shown = prompt.continuation.best_of, prompt.choices // len(prompt.messages)
    if best_of is None or best_of == shown:
        return choices
    picked: list[Choice] = []
    for start in range(0, len(choices), best_of):
        ranked = sorted(choices[start : start + best_of], key=lambda choice: -_score(choice, tokenizer, rng))
        picked += ranked[:shown]
    return tuple(picked)


def _score(choice: Choice, tokenizer: Tokenizer, rng: Random) -> float:
    """Return the mean log probability of a choice's tokens."""
    logprobs = [
        token.logprob
        for segment in choice.segments
        if isinstance(segment, TextSegment | RefusalSegment)
        for piece in segment.logprobs or token_logprobs(segment.text, 0, tokenizer, rng)
        for token in piece
    ]
    return sum(logprobs) / len(logprobs) if logprobs else 0.0


def with_echoes(outcome: Turn | Fault, prompt: Prompt, tokenizer: Tokenizer) -> Turn | Fault:
    """Put the texts of a request before their continuations, with log probabilities if the request has them."""
    if isinstance(outcome, Fault):
        return outcome
    return replace(
        outcome, echoes=tuple(_echo(text, prompt.logprobs, tokenizer) for text in _texts(prompt, tokenizer))
    )


def _texts(prompt: Prompt, tokenizer: Tokenizer) -> list[str]:
    return [
        tokenizer.decode(message.token_ids) if message.token_ids else "".join(message.texts)
        for message in prompt.messages
    ]


def _echo(text: str, top: int | None, tokenizer: Tokenizer) -> EchoedText:
    tokenized = tokenizer.tokenize(text)
    if top is None:
        return EchoedText(tokenized)
    return EchoedText(tokenized, token_logprobs(tokenized, top, tokenizer, seeded_rng("echo", text)))
