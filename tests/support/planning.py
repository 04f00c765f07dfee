"""Plan responses as a worker does, in this process."""

from collections import Counter
from types import SimpleNamespace
from typing import Any

from llmsim.catalogue import load_catalogue
from llmsim.domain import CacheUse, Fault, Prompt, Turn
from llmsim.planning.planner import Planner
from llmsim.planning.prompt_tokens import prompt_tokens
from llmsim.planning.tokens import Tokenizer
from llmsim.server.worker_context import WorkerContext
from support.driving import drive

CATALOGUE = load_catalogue()


def count_prompt(prompt: Prompt, tokenizer: Tokenizer) -> int:
    """Count the tokens of a prompt with any tokenizer."""
    return prompt_tokens(prompt, CATALOGUE.facts(prompt.model), CATALOGUE.image_rules, tokenizer.count)


class NoPrefixCache:
    """A prompt cache that holds nothing."""

    async def use(self, marks: Any, minimum: int, *, owner: str = "") -> CacheUse:
        """Return that nothing is cached."""
        return CacheUse()

    async def follow(self, chain: Any, *, owner: str = "") -> int:
        """Return that nothing is cached."""
        return 0


class FakeCounters:
    """The counters that workers share, of one process: each name counts from 0.

    Attributes:
        taken: How many numbers of each name were taken.
    """

    def __init__(self) -> None:
        self.taken: Counter[str] = Counter()

    async def next(self, name: str, count: int = 1) -> int:
        """Take the next `count` numbers; return the first."""
        number = self.taken[name]
        self.taken[name] += count
        return number


def plan(
    planner: Planner, prompt: Prompt, counters: FakeCounters | None = None, cache: Any = None
) -> Turn | Fault:
    """Plan the response to a prompt.

    Args:
        planner: The planner of the worker.
        prompt: The prompt.
        counters: Those of all workers; new ones by default, as if it were the first request.
        cache: The prompt cache of all workers; only needed by prompts with cache marks.
    """
    state: Any = SimpleNamespace(counters=counters or FakeCounters(), prefix_cache=cache)
    context = WorkerContext({}, planner, state, None, None)  # type: ignore[arg-type]
    # Not by `context.plan`, which plans laborious prompts in a thread.
    return drive(context.plan_turn(prompt, planner.analyze(prompt), None, in_thread=False))


def plan_turn(
    planner: Planner, prompt: Prompt, counters: FakeCounters | None = None, cache: Any = None
) -> Turn:
    """Plan the response to a prompt; fail if it is a fault. See `plan`."""
    turn = plan(planner, prompt, counters, cache)
    assert isinstance(turn, Turn)
    return turn
