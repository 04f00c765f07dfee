"""Scenarios: conversations that a marker in a message chooses; their values, their parser and their selection. Start with `scenario`."""

from llmsim.scenarios.scenario import (
    Amount,
    Scenario,
    ScenarioCall,
    ScenarioStep,
    ScenarioTiming,
    ScenarioTurn,
    Stall,
    ToolClass,
)
from llmsim.scenarios.selection import RequestedScenario, Selection, select_scenario

__all__ = [
    "Amount",
    "RequestedScenario",
    "Scenario",
    "ScenarioCall",
    "ScenarioStep",
    "ScenarioTiming",
    "ScenarioTurn",
    "Selection",
    "Stall",
    "ToolClass",
    "select_scenario",
]
