"""A simulator for tests: start it, give it a script, point an SDK at it, see what was asked.

    from llmsim.testing import Simulator, call, fail, say

    with Simulator([call("bash", command="ls"), fail("rate_limit"), say("Done.")]) as sim:
        agent = OpenAI(base_url=sim.openai_base_url, api_key="any")
        ...
        sim.assert_finished()

With pytest, the fixtures `llmsim_server` and `llmsim_session` are there as soon as llmsim is installed.
"""

from llmsim.testing.session import Exchange, Session
from llmsim.testing.simulator import Simulator
from llmsim.testing.turns import call, calls, fail, say

__all__ = ["Exchange", "Session", "Simulator", "call", "calls", "fail", "say"]
