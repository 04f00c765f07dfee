"""Scripts of turns, tool calls and errors: what they are, how they are read, what they expect."""

from llmsim.scripts.expectations import unmet
from llmsim.scripts.reading import read
from llmsim.scripts.script import (
    BreakKind,
    Expectation,
    Failure,
    OnExhausted,
    ResultExpectation,
    Scene,
    Script,
    ScriptCall,
    ScriptLatency,
    ScriptTurn,
    ScriptUsage,
    StreamFault,
    TextExpectation,
    TurnKind,
)
from llmsim.scripts.sources import FORMS, Form

__all__ = [
    "FORMS",
    "BreakKind",
    "Expectation",
    "Failure",
    "Form",
    "OnExhausted",
    "ResultExpectation",
    "Scene",
    "Script",
    "ScriptCall",
    "ScriptLatency",
    "ScriptTurn",
    "ScriptUsage",
    "StreamFault",
    "TextExpectation",
    "TurnKind",
    "read",
    "unmet",
]
