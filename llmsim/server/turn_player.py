"""What is played in place of a generated response: the turns of scripts, and the steps of scenarios."""

from typing import Any

from llmsim.planning.scenarios import ResolvedStep
from llmsim.providers.contract import GenerationEndpoint
from llmsim.server.active_request import ActiveRequest
from llmsim.server.scenario_player import ScenarioAttempt, ScenarioPlayer
from llmsim.server.script_player import PlayedTurn, ScriptPlayer

Played = PlayedTurn | ScenarioAttempt
"""A turn of a script, or an attempt of a scenario's step."""


class TurnPlayer:
    """Plays what one worker's requests to one endpoint ask for.

    Args:
        endpoint: The endpoint.
        scripts: Plays the turns of scripts.
        scenarios: Plays scenarios; None if there are none.
    """

    def __init__(
        self, endpoint: GenerationEndpoint[Any], scripts: ScriptPlayer, scenarios: ScenarioPlayer | None
    ) -> None:
        self.scripts = scripts
        self._endpoint = endpoint
        self._scenarios = scenarios

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
        else:
            assert self._scenarios is not None, "there are scenarios"
            await self._scenarios.release(played)
