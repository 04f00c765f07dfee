"""Scripts of turns, tool calls and errors: their values, their parser and their expectations; start with `script`."""

from llmsim.scripts.expectations import Sender, meets, unmet
from llmsim.scripts.reading import read
from llmsim.scripts.script import (
    Expectation,
    OnExhausted,
    ResultExpectation,
    Script,
    ScriptCall,
    ScriptFailure,
    ScriptLatency,
    ScriptStep,
    ScriptStreamFault,
    ScriptTurn,
    ScriptUsage,
    TextExpectation,
    TurnKind,
)
from llmsim.scripts.sources import FORMS, ScriptFormat
