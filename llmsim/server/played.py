"""What is played in place of a generated response."""

import msgspec

from llmsim.scripts import ScriptStep
from llmsim.server.scenario_player import ScenarioAttempt
from llmsim.server.script_player import PlayedTurn


class RuleTurn(msgspec.Struct, frozen=True):
    """The answer of a rule; it is used up by no request.

    Attributes:
        step: The turn, to be planned.
    """

    step: ScriptStep


Played = PlayedTurn | ScenarioAttempt | RuleTurn
"""A turn of a script, an attempt of a scenario's step, or the answer of a rule."""
