"""The one place that decides: a prompt becomes a turn, or a fault.

Decisions:
* Refusals come before faults: a request that the provider would not take is never counted as
  a simulated failure.
* A server seed makes replies depend on the request alone and faults and ids on the request's
  number, a ticket that all workers share: with 1 worker or 16, request k of a run gets the
  same outcome.
* The choices of a turn come into being side by side, as a model samples them in one batch.
"""

from collections.abc import Callable

from llmsim.catalogue import Catalogue, Model
from llmsim.config import Settings
from llmsim.errors import ContextLengthError, VisionError
from llmsim.exchange import (
    Choice,
    Fault,
    FinishReason,
    Image,
    Passage,
    Prompt,
    Segment,
    SegmentKind,
    Turn,
    Usage,
)
from llmsim.planning.dice import Dice, fresh, id_source, seeded, seeded_id
from llmsim.planning.endings import EMPTY, limited, stopped
from llmsim.planning.faults import Faults
from llmsim.planning.generators import Generator, Tickets, generator
from llmsim.planning.latency import Latency
from llmsim.planning.reasoning import reasoning_tokens
from llmsim.planning.tokens import Tokenizer, tokenizer

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

_UNLIMITED = 1 << 62


class Planner:
    """Plans what requests are answered. One a process; safe to call from several threads."""

    def __init__(
        self,
        settings: Settings,
        catalogue: Catalogue,
        tickets: Tickets,
        clock: Callable[[], float],
    ) -> None:
        """Prepare to plan.

        Args:
            settings: What is simulated.
            catalogue: The facts about models.
            tickets: Numbers that all workers share.
            clock: Unix time in seconds.
        """
        self._catalogue = catalogue
        self._enforce_window = settings.response.enforce_context_window
        self._seed = settings.response.seed
        self._generate: Generator = generator(settings.response, tickets)
        self._latency = Latency(settings.latency, catalogue.profiles)
        self._faults = Faults(settings.errors)
        self._tickets = tickets
        self._clock = clock
        self._dice = fresh()
        self.new_id = id_source()

    def start_process(self) -> None:
        """Draw new dice and a new id prefix: called once in every process after a fork."""
        self._dice = fresh()
        self.new_id = id_source()

    def warm(self) -> None:
        """Load every vocabulary and make the pools, so that a fork shares them."""
        for name in sorted({model.tokenizer for model in self._catalogue.models.values()}):
            self._generate.prepare(tokenizer(name))

    def plan(self, prompt: Prompt) -> Turn | Fault:
        """Decide what `prompt` is answered, and when.

        Raises:
            RefusedError: The model would not take it.
        """
        model = self._catalogue.facts(prompt.model)
        if prompt.images and model.known and not model.vision:
            raise VisionError(prompt.model, prompt.images[0].path)
        words = tokenizer(model.tokenizer)
        prompt_tokens = count_prompt(prompt, words)
        if self._enforce_window and prompt_tokens > model.context_window:
            raise ContextLengthError(model.context_window, prompt_tokens)

        numbered = (
            self._dice if self._seed is None else seeded("request", self._seed, self._tickets("request"))
        )
        if self._faults.active and (fault := self._faults.draw(numbered)):
            return fault
        seed = prompt.seed if prompt.seed is not None else self._seed
        dice = (
            self._dice if seed is None else seeded("turn", seed, prompt.model, prompt.messages, prompt.images)
        )
        limit = self._limit(prompt, model, prompt_tokens)
        choices = tuple(self._choice(prompt, model, words, limit, dice) for _ in range(prompt.choices))
        return Turn(
            id=self.new_id() if self._seed is None else seeded_id(numbered),
            created=int(self._clock()),
            model=prompt.model,
            choices=choices,
            usage=_usage(prompt_tokens, choices),
            schedule=self._latency.schedule(model.profile, dice),
        )

    def _limit(self, prompt: Prompt, model: Model, prompt_tokens: int) -> int:
        limit = _UNLIMITED if prompt.limit is None else prompt.limit
        if self._enforce_window and model.known:
            limit = min(limit, model.max_output_tokens, model.context_window - prompt_tokens)
        return limit

    def _choice(self, prompt: Prompt, model: Model, words: Tokenizer, limit: int, dice: Dice) -> Choice:
        passage = stopped(self._generate(prompt, words, dice), prompt.stop)
        thought = 0
        if model.reasoning:
            thought = reasoning_tokens(prompt.effort or model.default_effort, passage.tokens)
        if not thought:
            passage, finish = limited(passage, limit)
            return Choice((_text(passage),), finish)
        if thought >= limit:
            return Choice((Segment(SegmentKind.REASONING, limit), _text(EMPTY)), FinishReason.LENGTH)
        passage, finish = limited(passage, limit - thought)
        return Choice((Segment(SegmentKind.REASONING, thought), _text(passage)), finish)


def _text(passage: Passage) -> Segment:
    return Segment(SegmentKind.TEXT, passage.tokens, passage)


def _usage(prompt_tokens: int, choices: tuple[Choice, ...]) -> Usage:
    thought = sum(
        segment.tokens
        for choice in choices
        for segment in choice.segments
        if segment.kind is SegmentKind.REASONING
    )
    return Usage(prompt=prompt_tokens, completion=sum(choice.tokens for choice in choices), reasoning=thought)


def count_prompt(prompt: Prompt, words: Tokenizer) -> int:
    """Count the prompt's tokens as the API's own formula does: messages, their marks, images, priming."""
    tokens = _REPLY_TOKENS
    for message in prompt.messages:
        tokens += _MESSAGE_TOKENS + message.extra_tokens
        for text in message.texts:
            tokens += words.count(text)
        for note in message.notes:
            tokens += words.count(note)
        if message.name is not None:
            tokens += _NAME_TOKENS + words.count(message.name)
    for image in prompt.images:
        tokens += image_tokens(image)
    return tokens


def image_tokens(image: Image) -> int:
    """Tell what an image costs."""
    return _IMAGE_TOKENS.get(image.detail, _FULL_IMAGE_TOKENS)
