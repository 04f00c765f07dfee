"""A simulator for tests: start it, give it a script, point an SDK at it, see what was asked.

    from llmsim.testing import Simulator, call, fail, say

    with Simulator([call("bash", command="ls"), fail("rate_limit"), say("Done.")]) as sim:
        client = OpenAI(base_url=sim.openai_base_url, api_key="any")
        run_my_agent(client)
        sim.assert_finished()

With pytest, the fixtures `llmsim_session` and `llmsim_server` are there as soon as llmsim is installed.
"""

from llmsim.testing.control import ControlError
from llmsim.testing.exchange import Exchange
from llmsim.testing.process import StartError
from llmsim.testing.session import Session
from llmsim.testing.simulator import Simulator
from llmsim.testing.turns import Script, Turn, call, calls, fail, say

__all__ = [
    "ControlError",
    "Exchange",
    "Script",
    "Session",
    "Simulator",
    "StartError",
    "Turn",
    "call",
    "calls",
    "fail",
    "say",
]
