"""A simulator for tests: start it, play a script, point an SDK at it, check the requests.

    from llmsim.testing import Simulator, call, fail, say

    with Simulator([call("bash", command="ls"), fail("rate_limit"), say("Done.")]) as sim:
        client = OpenAI(base_url=sim.openai_base_url, api_key="any")
        run_my_agent(client)
        sim.assert_finished()

With pytest, the fixtures `llmsim_session` and `llmsim_server` are available as soon as llmsim is installed.

Decisions:
* Exports are imported when they are used: pytest imports the plugin, and this package with it, in every run of every
  project that has llmsim installed.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from llmsim.testing.client import ControlError
    from llmsim.testing.clients import ClientFindings
    from llmsim.testing.journal import Exchange
    from llmsim.testing.process import StartError
    from llmsim.testing.script import Script, Turn, call, calls, fail, say, scripted
    from llmsim.testing.session import Session
    from llmsim.testing.simulator import Simulator

__all__ = [
    "ClientFindings",
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
    "scripted",
]

_MODULES = {
    "ClientFindings": "clients",
    "ControlError": "client",
    "Exchange": "journal",
    "StartError": "process",
    "Session": "session",
    "Simulator": "simulator",
} | dict.fromkeys(("Script", "Turn", "call", "calls", "fail", "say", "scripted"), "script")


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)
