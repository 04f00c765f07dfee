"""Plays scenarios: which step a request gets, and which attempt of it this is.

Decisions:
* The step follows from the request alone, so it is resolved where the request is parsed, and remembered with it. Only the number of
  the attempt is shared: one operation of the state for a request that plays a scenario, none for others.
* Attempts are counted for an API key, a session and an endpoint: clients that send the same conversation at the same time are kept
  apart if they name sessions, and one that turns to another API begins anew. A stream and its repetition without one, or over
  WebSocket, are attempts of one step.
"""

from collections.abc import Mapping
from typing import Any

import msgspec

from llmsim.domain import CacheUse, Fault, Prompt, Turn
from llmsim.errors import ScenarioError
from llmsim.planning.prompt_facts import PromptFacts
from llmsim.planning.rng import Random
from llmsim.planning.scenarios import ResolvedStep, ScenarioPlanner, resolve
from llmsim.providers.contract import GenerationEndpoint
from llmsim.scenarios import RequestedScenario, Scenario, select_scenario
from llmsim.server.controls import SCENARIO_HEADER
from llmsim.state.attempt_port import AttemptStore
from llmsim.text import nearest, printable

_MAX_NAME = 100


class ScenarioAttempt(msgspec.Struct, frozen=True):
    """One attempt of a step.

    Attributes:
        resolved: The step.
        number: How many attempts came before.
        key: By which attempts are counted.
        fault: The error that it gets; None if it is answered.
        planner: Plans it.
        shows_reasoning: Whether reasoning is shown though the request does not ask for it.
    """

    resolved: ResolvedStep
    number: int
    key: str
    fault: Fault | None
    planner: ScenarioPlanner
    shows_reasoning: bool

    @property
    def header_lines(self) -> bytes:
        """The header lines of its response."""
        resolved = self.resolved
        return b"x-llmsim-scenario: %b\r\nx-llmsim-step: %d\r\nx-llmsim-attempt: %d\r\n" % (
            resolved.scenario.encode(),
            resolved.step,
            self.number,
        )

    def plan(self, prompt: Prompt, facts: PromptFacts, outcome_rng: Random, use: CacheUse) -> Turn:
        """Plan its turn; see `ScenarioPlanner.plan`."""
        return self.planner.plan(
            self.resolved, self.number, prompt, facts, outcome_rng, use, shows_reasoning=self.shows_reasoning
        )


class ScenarioPlayer:
    """Plays the scenarios of one worker's requests.

    Args:
        scenarios: By name, sorted.
        attempts: The attempts of all workers.
        planner: Plans steps.
    """

    def __init__(
        self, scenarios: Mapping[str, Scenario], attempts: AttemptStore, planner: ScenarioPlanner
    ) -> None:
        self._scenarios = scenarios
        self._attempts = attempts
        self._planner = planner

    def resolve(
        self,
        prompt: Prompt,
        endpoint: GenerationEndpoint[Any],
        requested: RequestedScenario | None = None,
        by: str = SCENARIO_HEADER,
    ) -> ResolvedStep | None:
        """Return the step that a request plays; None if it chooses no scenario.

        Args:
            prompt: The request.
            endpoint: Where it came to.
            requested: The scenario that its headers, or its rule, name; None if they name none.
            by: What names it, for messages.

        Raises:
            ScenarioError: There is no such scenario, it is exhausted, or a tool that it calls is not offered.
        """
        if prompt.silent:
            return None
        selection = select_scenario(prompt, splits_turns=endpoint.splits_turns, requested=requested)
        if selection is None:
            return None
        scenario = self._scenarios.get(selection.name)
        if scenario is None:
            name = printable(selection.name[:_MAX_NAME])
            meant = nearest(name, self._scenarios)
            hint = f"; did you mean '{meant}'?" if meant else "."
            known = ", ".join(self._scenarios)
            raise ScenarioError(
                "scenario_not_found",
                f"{f'{by}: ' * (requested is not None)}unknown llmsim scenario '{name}'{hint} "
                f"Known scenarios: {known}",
            )
        return resolve(scenario, selection, prompt)

    async def begin(
        self, resolved: ResolvedStep, endpoint: GenerationEndpoint[Any], session: str | None, owner: str
    ) -> ScenarioAttempt:
        """Count an attempt of a step."""
        key = "\n".join((resolved.key, endpoint.label, owner, session or ""))
        number = await self._attempts.begin(key)
        return ScenarioAttempt(
            resolved, number, key, resolved.fault(number), self._planner, endpoint.shows_reasoning
        )

    async def release(self, attempt: ScenarioAttempt) -> None:
        """Remove an attempt that could not be answered from the count."""
        await self._attempts.release(attempt.key, attempt.number)
