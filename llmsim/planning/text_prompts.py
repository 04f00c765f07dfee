"""Prompts that are texts and nothing else: most requests, of which most never come again.

Decisions:
* PERF: what depends on the model alone is looked up once for each name, and what such a prompt cannot have is ruled out at once: 2 us
  beside the counting of its texts, where the general way of `Planner.analyze` takes 4. Both have the same results.
"""

from collections.abc import Callable

import msgspec

from llmsim.budgets import remembered
from llmsim.catalogue import Catalogue, Model
from llmsim.domain import Prompt
from llmsim.planning.continuations import is_single
from llmsim.planning.prompt_facts import UNLIMITED, PromptFacts
from llmsim.planning.prompt_tokens import MESSAGE_TOKENS, REPLY_TOKENS, conversation_tokens
from llmsim.planning.reasoning import reasoning_tokens
from llmsim.planning.tokens import Tokenizer, load_tokenizer

_MANY_MESSAGES = 50
"""A longer conversation is looked at in more detail."""

_MOST_NAMES, _LONG_NAME = 512, 256


class _TextModel(msgspec.Struct, frozen=True):
    """What is known of a model whatever it is asked.

    Attributes:
        model: The facts about it.
        tokenizer: Its tokenizer.
        is_usual: Whether it answers with texts, and is plain but for what a prompt asks.
    """

    model: Model
    tokenizer: Tokenizer
    is_usual: bool


class TextAnalyzer:
    """Analyzes prompts that are texts.

    Args:
        catalogue: The facts about models.
        is_plain_model: Whether planning a response of a model needs nothing more, unless the prompt does.
        enforce_window: Whether prompts that are too long are refused.
    """

    def __init__(
        self, catalogue: Catalogue, is_plain_model: Callable[[Model], bool], *, enforce_window: bool
    ) -> None:
        def find(name: str) -> _TextModel:
            model = catalogue.facts(name)
            is_usual = not model.dimensions and is_plain_model(model)
            return _TextModel(model, load_tokenizer(model.tokenizer), is_usual)

        self._find: Callable[[str], _TextModel] = remembered(_MOST_NAMES, _LONG_NAME)(find)
        self._enforce_window = enforce_window

    def analyze(self, prompt: Prompt) -> PromptFacts | None:
        """Return what a plan needs to know of a prompt that is a short conversation of texts, and plain; None for any other."""
        if not is_text(prompt):
            return None
        found = self._find(prompt.model)
        return self._facts(prompt, found, conversation_tokens(prompt.messages, found.tokenizer.count))

    def analyze_known(self, prompt: Prompt) -> PromptFacts | None:
        """Return what a plan needs to know of a prompt whose messages are one text each, and nothing else; None if it is not plain."""
        found, tokens = self._find(prompt.model), REPLY_TOKENS
        count = found.tokenizer.count
        for message in prompt.messages:
            tokens += MESSAGE_TOKENS + count(message.texts[0])
        return self._facts(prompt, found, tokens)

    def _facts(self, prompt: Prompt, found: _TextModel, tokens: int) -> PromptFacts | None:
        model, limit = found.model, prompt.limit
        if not found.is_usual or (model.reasoning and _reasons(prompt, model)):
            return None
        if limit is None:
            limit = UNLIMITED
        # PERF: `completion_limit` written out, 0.2 us less.
        if self._enforce_window:
            room = model.context_window - tokens
            if room < 0:
                return None
            if model.known:
                limit = min(limit, model.max_output_tokens, room)
        return PromptFacts(model, found.tokenizer, tokens, limit, True)


def is_plain(prompt: Prompt, model: Model) -> bool:
    """Return whether a prompt asks for one text that a model generates without reasoning, and for nothing more."""
    return (
        not (prompt.tools or prompt.stop or prompt.silent or prompt.speaks or _reasons(prompt, model))
        and prompt.form is None
        and prompt.logprobs is None
        and prompt.choices == 1
        and prompt.media is None
        and prompt.prediction is None
        and (prompt.continuation is None or is_single(prompt.continuation))
    )


def _reasons(prompt: Prompt, model: Model) -> bool:
    return model.reasoning and reasoning_tokens(prompt.effort or model.default_effort, UNLIMITED) > 0


def is_text(prompt: Prompt) -> bool:
    """Return whether a prompt is a short conversation of texts that asks for one text, and for nothing more."""
    return (
        prompt.cache is None
        and prompt.choices == 1
        and prompt.form is None
        and prompt.logprobs is None
        and prompt.embedding is None
        and prompt.media is None
        and prompt.prediction is None
        and prompt.continuation is None
        and not (
            prompt.tools
            or prompt.images
            or prompt.stop
            or prompt.silent
            or prompt.speaks
            or prompt.cache_marks
            or prompt.context_edits
            or prompt.reserves_limit
        )
        and len(prompt.messages) <= _MANY_MESSAGES
    )
