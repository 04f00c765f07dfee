"""What a request gets in place of a generated response: by a rule, by a script, or by a scenario.

Decisions:
* Headers come first, then what the conversation itself chooses (a scenario's marker), then rules, then the server's own script.
* A rule that names a fault, a profile or a length has it also where header or marker choose the text; a header that names the same wins.
"""

from collections.abc import Mapping
from typing import Any

import msgspec

from llmsim.domain import Prompt, TurnOverrides
from llmsim.errors import ScenarioError
from llmsim.planning.cost import is_long_step
from llmsim.planning.overrides import MANY_TOKENS
from llmsim.planning.scenarios import ResolvedStep
from llmsim.providers.contract import GenerationEndpoint, IncomingRequest
from llmsim.scripts import ScriptStep, Sender
from llmsim.server.access.api_keys import find_header_key
from llmsim.server.active_request import ActiveRequest
from llmsim.server.controls import RequestControls
from llmsim.server.planned_responses import AnalyzedRequest
from llmsim.server.played import Played, RuleTurn
from llmsim.server.rule_book import RuleBook
from llmsim.server.rules import Rule, merge_overrides
from llmsim.server.scenario_player import ScenarioAttempt, ScenarioPlayer
from llmsim.server.script_player import GLOBAL, PlayedTurn, ScriptPlayer, ScriptSelection


class Begun(msgspec.Struct, frozen=True):
    """What is to be planned for a request.

    Attributes:
        played: The turn that it gets; None for a generated one.
        overrides: What the response has in place of that; None for nothing.
        heavy: Whether planning it is laborious.
    """

    played: Played | None
    overrides: TurnOverrides | None
    heavy: bool


class Choice(msgspec.Struct, frozen=True):
    """What a request gets, before any of it is begun.

    Attributes:
        overrides: What the response has in place of other things.
        step: The step of a scenario; None for none.
        selection: The script; None for none.
        rule: The rule; None if none fits.
        turn: The rule's own answer; None for none.
    """

    overrides: TurnOverrides | None
    step: ResolvedStep | None
    selection: ScriptSelection | None
    rule: Rule | None = None
    turn: RuleTurn | None = None


class TurnPlayer:
    """Plays what one worker's requests to one endpoint ask for."""

    def __init__(
        self,
        endpoint: GenerationEndpoint[Any],
        scripts: ScriptPlayer,
        scenarios: ScenarioPlayer | None,
        rules: RuleBook,
        key_headers: tuple[str, ...],
    ) -> None:
        """Prepare to play.

        Args:
            endpoint: The endpoint.
            scripts: Plays the turns of scripts.
            scenarios: Plays scenarios; None if there are none.
            rules: The rules.
            key_headers: Headers that hold the API key.
        """
        self.scripts = scripts
        self.rules = rules
        self._endpoint = endpoint
        self._scenarios = scenarios
        self._key_headers = key_headers

    def sender(self, headers: Mapping[str, str]) -> Sender:
        """Return who sends a request."""
        return Sender(find_header_key(headers, self._key_headers), headers)

    async def choose(
        self,
        request: IncomingRequest,
        analyzed: AnalyzedRequest[Any],
        controls: RequestControls,
        selection: ScriptSelection | None,
    ) -> Choice:
        """Return what a request gets.

        Args:
            request: The request.
            analyzed: The same, analyzed.
            controls: What its headers ask for.
            selection: The script that its headers name, or the server's own.
        """
        prompt, step = analyzed.request.prompt, analyzed.step
        overrides, rule, turn = controls.overrides, None, None
        if self.rules.has_rules:
            match = await self.rules.match(prompt, self.sender(request.headers), in_thread=analyzed.heavy)
            rule = match.rule
        if rule is not None:
            overrides = merge_overrides(overrides, rule.overrides_for(prompt))
            is_chosen = step is not None or controls.script is not None or controls.sent or prompt.silent
            if not is_chosen:
                if rule.controls.script is not None:
                    selection = ScriptSelection(
                        controls.session or GLOBAL, rule.controls.script, f"rule {rule.label}"
                    )
                elif rule.controls.scenario is not None:
                    step = self._resolve(rule, prompt)
                elif rule.has_answer:
                    turn = RuleTurn(ScriptStep(rule.number, rule.turn(prompt, request.body)))
        if overrides is not None and overrides.fails:
            # A request that is answered with an error plays nothing: its repetition gets the turn.
            return Choice(overrides, None, None, rule)
        return Choice(overrides, step, selection, rule, turn)

    def _resolve(self, rule: Rule, prompt: Prompt) -> ResolvedStep | None:
        """Return the step of the scenario that a rule names.

        Raises:
            ScenarioError: There is no such scenario, or it cannot be played.
        """
        if self._scenarios is None:
            hint = "no scenarios are loaded; the setting response.scenarios_path names them"
            raise ScenarioError("scenario_not_found", f"rule {rule.label}: {hint}")
        return self._scenarios.resolve(
            prompt, self._endpoint, rule.controls.scenario, by=f"rule {rule.label}"
        )

    async def begin(
        self,
        request: IncomingRequest,
        analyzed: AnalyzedRequest[Any],
        controls: RequestControls,
        selection: ScriptSelection | None,
        active: ActiveRequest,
    ) -> Begun:
        """Begin what a request gets; see `choose`.

        Raises:
            RefusedError: It cannot be played.
        """
        choice = await self.choose(request, analyzed, controls, selection)
        prompt, heavy, step, overrides = (
            analyzed.request.prompt,
            analyzed.heavy,
            choice.step,
            choice.overrides,
        )
        played: Played | None = choice.turn
        is_scripted = choice.selection is not None and step is None and played is None and not prompt.silent
        if controls.script is not None and selection is not None and not is_scripted:
            # A wrong name is refused wherever it is sent.
            await self.scripts.check(selection)
        if choice.rule is not None:
            active.extra_headers += f"x-llmsim-rule: {choice.rule.label}\r\n".encode()
        if overrides is not None:
            heavy = heavy or (overrides.tokens or 0) > MANY_TOKENS
        if step is not None:
            played = await self.begin_step(step, controls.session, active)
            heavy = heavy or step.is_long
        elif is_scripted and choice.selection is not None:
            sender = self.sender(request.headers)
            played = await self.scripts.play(prompt, choice.selection, sender, in_thread=heavy)
        if played is not None and not isinstance(played, ScenarioAttempt):
            heavy = heavy or is_long_step(played.step)
        return Begun(played, overrides, heavy)

    async def begin_step(
        self, step: ResolvedStep, session: str | None, active: ActiveRequest
    ) -> ScenarioAttempt:
        """Count an attempt of a scenario's step, and name it in the headers of the response."""
        assert self._scenarios is not None, "there are scenarios"
        attempt = await self._scenarios.begin(step, self._endpoint, session, active.owner)
        active.extra_headers += attempt.header_lines
        return attempt

    async def commit(self, played: Played) -> None:
        """Count a turn of a script as played."""
        if isinstance(played, PlayedTurn):
            await self.scripts.commit(played)

    async def release(self, played: Played) -> None:
        """Release a turn or an attempt that could not be answered."""
        if isinstance(played, PlayedTurn):
            await self.scripts.release(played)
        elif isinstance(played, ScenarioAttempt):
            assert self._scenarios is not None, "there are scenarios"
            await self._scenarios.release(played)
