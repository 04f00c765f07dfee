"""A simulator for tests: start it, give it a script, point an SDK at it, see what was asked.

    from llmsim.testing import Simulator, call, fail, say

    with Simulator([call("bash", command="ls"), fail("rate_limit"), say("Done.")]) as sim:
        client = OpenAI(base_url=sim.openai_base_url, api_key="any")
        run_my_agent(client)
        sim.assert_finished()

With pytest, the fixtures `llmsim_session` and `llmsim_server` are there as soon as llmsim is installed.

Decisions:
* What stands here is imported when it is used: pytest imports the plugin, and this with it, in every run of everybody who
  has llmsim installed.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
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

_HOMES = {
    "ControlError": "control",
    "Exchange": "exchange",
    "StartError": "process",
    "Session": "session",
    "Simulator": "simulator",
} | dict.fromkeys(("Script", "Turn", "call", "calls", "fail", "say"), "turns")


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
