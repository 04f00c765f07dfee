"""Plans responses: a prompt becomes a turn, or a fault.

Decisions:
* Refusals come before faults: a request that the provider would not accept is never counted as a simulated failure.
* Planning is given values, never the shared state: the number of the request, what the prompt cache did, the turn of a script.
  Its caller fetches them in between, so a plan is made in steps.
* A server seed makes responses depend on the request alone, faults on the request's number, which all workers share, and ids on
  both: with 1 worker or 16, request k of a run gets the same outcome.
* The choices of a turn are generated side by side, as a model samples them in one batch.
* Refusals are drawn like faults, by the number of the request; where a request brings a seed, by that.
"""

import copy
import functools
from collections.abc import Callable

from llmsim.budgets import WorkBudget
from llmsim.catalogue import Catalogue, Model
from llmsim.config import Settings
from llmsim.domain import (
    CacheUse,
    Choice,
    Fault,
    FinishReason,
    MediaSegment,
    Prompt,
    ReasoningSegment,
    Schedule,
    Turn,
    TurnOverrides,
    Usage,
)
from llmsim.errors import VisionError
from llmsim.planning.content import Content, ContentPlanner, call_id_prefix, text_choice, truncate
from llmsim.planning.context_edits import analyze_edited, edited_tokens
from llmsim.planning.continuations import candidates, check_length, continued_tokens, pick_best
from llmsim.planning.embedding_input import check_use, read_input
from llmsim.planning.faults import Faults
from llmsim.planning.generators import NO_LINES, Generator, LineNumbers, build_generator
from llmsim.planning.logprobs import with_logprobs
from llmsim.planning.overrides import Overrider, changed_generator, is_same_text, split_tokens
from llmsim.planning.prompt_facts import (
    LinesNeeded,
    PromptFacts,
    check_window,
    completion_limit,
    generated_limit,
)
from llmsim.planning.prompt_prefixes import LEAST_TOKENS, chain_prefixes
from llmsim.planning.prompt_tokens import marked_prefixes, prompt_tokens
from llmsim.planning.reasoning import reasoning_text, reasoning_tokens
from llmsim.planning.rng import Random, fresh_rng, id_source, seed_of, seeded_id, seeded_rng
from llmsim.planning.scripts import play
from llmsim.planning.spoken import with_sound
from llmsim.planning.text_prompts import TextAnalyzer, is_plain
from llmsim.planning.timing import LatencySampler, in_bursts
from llmsim.planning.tokens import TokenReader, load_tokenizer
from llmsim.planning.truncation import shorten
from llmsim.planning.usage import turn_usage
from llmsim.planning.wire_faults import WireFaults
from llmsim.scripts import ScriptStep

_EMPTY = Choice((), FinishReason.STOP)
UNCACHED = CacheUse()
"""What the prompt cache does for a prompt that is not cached."""


class Planner:
    """Plans responses to prompts. One a process; safe to call from several threads."""

    def __init__(self, settings: Settings, catalogue: Catalogue, clock: Callable[[], float]) -> None:
        """Prepare to plan.

        Args:
            settings: What is simulated.
            catalogue: The facts about models.
            clock: Returns Unix time in seconds.
        """
        self._catalogue = catalogue
        self._image_rules = catalogue.image_rules
        self._caches = settings.cache.automatic
        self._enforce_window = settings.response.enforce_context_window
        self._seed = settings.response.seed
        self._clock = clock
        self._rng = fresh_rng()
        self.new_id, self._begin_ids = id_source()
        self._response = settings.response
        self._generate: Generator = build_generator(settings.response)
        self._configure(settings)

    def _configure(self, settings: Settings) -> None:
        """Prepare what depends on settings that change at run time, apart from the generator."""
        self._plan_content = ContentPlanner(settings, self._generate)
        self._latency = LatencySampler(settings.latency, self._catalogue.profiles)
        self._faults = Faults(settings.errors)
        self.wire_faults = WireFaults(settings.faults)
        self.overrider = Overrider(
            self._generate, self._latency, settings.response, settings.errors, settings.faults
        )
        texts = TextAnalyzer(self._catalogue, self._is_plain_model, enforce_window=self._enforce_window)
        self.analyze_text, self.analyze_known_text = texts.analyze, texts.analyze_known
        self._split: tuple[int, int] | None = None
        self._retry_after = settings.errors.retry_after_ms / 1000

    def adapted(self, settings: Settings) -> "Planner":
        """Return a planner by settings that were changed at run time; ids and random numbers go on."""
        one = copy.copy(self)
        if not is_same_text(settings.response, self._response):
            one._generate = changed_generator(settings.response)
        one._configure(settings)
        return one

    def start_process(self) -> None:
        """Draw a new random state and a new id prefix: called once in every process after a fork."""
        self._rng = fresh_rng()
        self._begin_ids()

    def with_overrides(self, prompt: Prompt, facts: PromptFacts, overrides: TurnOverrides) -> "Planner":
        """Return a planner for one response whose text is what was asked for."""
        one, tokens = copy.copy(self), None
        if overrides.tokens is not None:
            effort = (prompt.effort or facts.model.default_effort) if facts.model.reasoning else None
            tokens, _ = one._split = split_tokens(overrides.tokens, effort, prompt.reasoning_limit)
        if tokens is not None or overrides.generator is not None:
            one._generate, keeps_text = self.overrider.generator(overrides.generator, tokens)
            one._plan_content = self._plan_content.with_generator(one._generate, keeps_text=keeps_text)
        return one

    def warm(self) -> None:
        """Load every vocabulary and build the pools, so that forked processes share them."""
        for name in self._catalogue.tokenizers:
            self._generate.prepare(load_tokenizer(name))

    @property
    def numbers_requests(self) -> bool:
        """Whether outcomes depend on the number of the request, which all workers share: with a seed of the server."""
        return self._seed is not None

    def analyze(self, prompt: Prompt) -> PromptFacts:
        """Resolve model, tokenizer and prompt tokens; refuse what the model does not accept.

        Raises:
            RefusedError: The model would not accept it.
        """
        model = self._catalogue.facts(prompt.model)
        check_use(prompt, model)
        if prompt.images and model.known and not model.vision:
            raise VisionError(prompt.model, prompt.images[0].path)
        tokenizer = load_tokenizer(model.tokenizer)
        rules = self._image_rules
        if prompt.context_edits:
            return analyze_edited(prompt, model, rules, tokenizer.count, self.analyze)
        reader, count = None, tokenizer.count
        if prompt.cache is not None and self._caches and model.cache_minimum:
            reader = TokenReader(tokenizer)
            count = reader.count
        elif prompt.cache_marks:
            # The same texts end several prefixes; each is counted once.
            count = functools.cache(tokenizer.count)
        embedding = read_input(prompt, model, tokenizer, enforce_window=self._enforce_window)
        tokens = embedding.tokens if embedding else prompt_tokens(prompt, model, rules, count)
        length = tokens
        if prompt.continuation is not None:
            length = max(continued_tokens(prompt, tokenizer.count))
            if self._enforce_window:
                check_length(prompt, model, length)
        elif self._enforce_window and not embedding:
            if tokens > model.context_window and prompt.truncates:
                return self.analyze(shorten(prompt, model, rules, count))
            check_window(prompt, model, tokens)
        prefixes = marked_prefixes(prompt, model, rules, count) if prompt.cache_marks else ()
        chain = None
        if reader is not None and tokens >= LEAST_TOKENS:
            chain = chain_prefixes(prompt, model, rules[model.image_rule], reader)
        limit = completion_limit(prompt, model, length, enforce_window=self._enforce_window)
        needs_no_more = (
            not prefixes and chain is None and is_plain(prompt, model) and self._is_plain_model(model)
        )
        return PromptFacts(model, tokenizer, tokens, limit, needs_no_more, prefixes, embedding, chain)

    def outcome_rng(self, number: int | None) -> Random:
        """Return what draws faults, refusals and ids of a request.

        Args:
            number: Its number, if `numbers_requests`.
        """
        return self._rng if number is None else seeded_rng("request", self._seed, number)

    def draw_fault(self, outcome_rng: Random) -> Fault | None:
        """Draw what goes wrong with a request; None if nothing does."""
        return self._faults.draw(outcome_rng) if self._faults.active else None

    def _plan_plain(self, prompt: Prompt, facts: PromptFacts) -> Turn:
        """Plan a response of one text, for which nothing shared is needed.

        PERF: 3 us; the general way takes 9 for the same turn.
        """
        rng = (
            self._rng
            if prompt.seed is None
            else seeded_rng("turn", prompt.seed, prompt.model, prompt.messages, prompt.images)
        )
        turn_id = self.new_id()
        choice = text_choice(self._generate(prompt, facts.tokenizer, rng, NO_LINES), facts.limit)
        return Turn(
            id=turn_id,
            created=int(self._clock()),
            model=prompt.model,
            choices=(choice,),
            usage=Usage(facts.tokens, choice.segments[0].tokens),
            schedule=self._latency.schedule(facts.model.profile, rng),
        )

    def plan(
        self,
        prompt: Prompt,
        facts: PromptFacts,
        outcome_rng: Random | None = None,
        cache_use: CacheUse = UNCACHED,
        first_line: int | None = None,
    ) -> Turn | LinesNeeded:
        """Plan the response to a prompt, and when.

        Args:
            prompt: The prompt.
            facts: From `analyze`.
            outcome_rng: From `outcome_rng`; may be None if the response is plain.
            cache_use: What the prompt cache did for it.
            first_line: First of the lines that were reserved for it; only after it has returned `LinesNeeded`.

        Returns:
            The turn, or the lines that it needs of `sequence:FILE`; the next call draws the same then.
        """
        if facts.is_plain:
            return self._plan_plain(prompt, facts)
        assert outcome_rng is not None
        lines = LineNumbers(first_line)
        states = (
            [(rng, rng.getstate()) for rng in (self._rng, outcome_rng)] if self._generate.takes_lines else ()
        )
        turn = self._plan(prompt, facts, outcome_rng, cache_use, lines)
        if lines.taken and first_line is None:
            for rng, state in states:
                rng.setstate(state)
            return LinesNeeded(lines.taken)
        return turn

    def _plan(
        self, prompt: Prompt, facts: PromptFacts, outcome_rng: Random, cache_use: CacheUse, lines: LineNumbers
    ) -> Turn:
        seed = prompt.seed if prompt.seed is not None else self._seed
        if seed is None:
            rng, turn_id = self._rng, self.new_id()
        else:
            content = seed_of("turn", seed, prompt.model, prompt.messages, prompt.images)
            rng = Random(content)
            turn_id = self.new_id() if self._seed is None else seeded_id(outcome_rng, content)
        choices: tuple[Choice, ...] = (_EMPTY,)
        budget = WorkBudget() if prompt.tools or prompt.form is not None else None
        if prompt.media is not None and prompt.media.tokens is not None:
            choices = (Choice((MediaSegment(prompt.media.tokens),), FinishReason.STOP),) * prompt.choices
        elif not prompt.silent:
            refusal_rng = outcome_rng if prompt.seed is None else rng
            asked = [prompt] * prompt.choices if prompt.continuation is None else candidates(prompt)
            choices = tuple(
                [
                    self._choice(
                        one,
                        facts,
                        rng,
                        refusal_rng,
                        call_id_prefix(turn_id, index) if prompt.tools else "",
                        lines,
                        budget,
                        choices_left=len(asked) - index,
                    )
                    for index, one in enumerate(asked)
                ]
            )
        usage = turn_usage(prompt, facts, choices, cache_use)
        if prompt.continuation is not None:
            choices = pick_best(prompt, choices, facts.tokenizer, rng)
        profile, cached = self._latency.model_profile(facts.model), cache_use.read / facts.tokens
        turn = Turn(
            id=turn_id,
            created=int(self._clock()),
            model=prompt.model,
            choices=choices,
            usage=usage,
            schedule=self._latency.sample(profile, rng, cached=cached, prompt_tokens=facts.tokens),
            vectors=facts.embedding.vectors() if facts.embedding else (),
        )
        return in_bursts(turn, profile, rng)

    def play(
        self,
        prompt: Prompt,
        facts: PromptFacts,
        step: ScriptStep,
        outcome_rng: Random,
        cache_use: CacheUse = UNCACHED,
    ) -> Turn | Fault:
        """Plan the response to a prompt as a turn of a script has it; see `plan`. No simulated failure comes between."""
        seed = prompt.seed if prompt.seed is not None else self._seed
        rng = (
            self._rng
            if seed is None
            else seeded_rng("scene", seed, step.number, step.repetition, prompt.model)
        )
        return play(
            step,
            prompt,
            id=self._turn_id(prompt, outcome_rng),
            created=int(self._clock()),
            tokenizer=facts.tokenizer,
            prompt_tokens=facts.tokens,
            limit=facts.limit,
            latency=self._latency,
            model=facts.model,
            rng=rng,
            retry_after=self._retry_after,
            use=cache_use,
        )

    def _turn_id(self, prompt: Prompt, outcome_rng: Random) -> str:
        if self._seed is None:
            return self.new_id()
        content = seed_of("turn", self._seed, prompt.model, prompt.messages, prompt.images)
        return seeded_id(outcome_rng, content)

    def plan_empty(
        self, prompt: Prompt, facts: PromptFacts, outcome_rng: Random, cache_use: CacheUse = UNCACHED
    ) -> Turn:
        """Plan an empty turn that is due immediately (WebSocket warm-up)."""
        return Turn(
            id=self._turn_id(prompt, outcome_rng),
            created=int(self._clock()),
            model=prompt.model,
            choices=(_EMPTY,),
            usage=Usage(prompt=facts.tokens, completion=0, cached=cache_use.read),
            schedule=Schedule(ttft=0.0, itl=0.0),
        )

    def count(self, prompt: Prompt) -> int:
        """Count the tokens of a prompt, without what its edits clear."""
        model = self._catalogue.facts(prompt.model)
        return edited_tokens(prompt, model, self._image_rules, load_tokenizer(model.tokenizer).count)

    def find(self, name: str) -> Model | None:
        """Return the known model of that id, alias or snapshot; None if there is no such model."""
        return self._catalogue.find(name)

    def _is_plain_model(self, model: Model) -> bool:
        return (
            self._seed is None
            and not (self._faults.active or self.wire_faults.active)
            and not self._plan_content.draws_outcome
            and not self._generate.takes_lines
            and self._latency.is_plain(model)
        )

    def _choice(
        self,
        prompt: Prompt,
        facts: PromptFacts,
        rng: Random,
        refusal_rng: Random,
        call_id: str,
        lines: LineNumbers,
        budget: WorkBudget | None,
        *,
        choices_left: int,
    ) -> Choice:
        model, tokenizer = facts.model, facts.tokenizer
        if budget is not None:
            budget.open_share(choices_left)
        content = self._plan_content(prompt, tokenizer, rng, refusal_rng, call_id, lines, budget)
        if model.reasoning:
            thought = reasoning_tokens(prompt.effort or model.default_effort, content.tokens)
            if self._split is not None and content.tokens == self._split[0]:
                thought = self._split[1]
            if prompt.reasoning_limit is not None:
                thought = min(thought, prompt.reasoning_limit)
            if thought:
                shown = reasoning_text(prompt.summary, thought, tokenizer, rng) if prompt.summary else None
                content = Content(
                    (ReasoningSegment(thought, shown), *content.segments), content.finish, content.stopped_by
                )
        content = truncate(with_sound(content, prompt, facts.limit), generated_limit(prompt, facts))
        segments = content.segments
        if prompt.logprobs is not None:
            segments = with_logprobs(segments, prompt.logprobs, tokenizer, rng)
        return Choice(segments, content.finish, content.stopped_by)
