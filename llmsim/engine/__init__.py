"""A model of an inference engine with continuous batching: arrivals in, ends of steps out.

Start at `model.py`: `Engine` runs step by step; `trace.py` runs a whole trace through it. Nothing here knows a clock, a process or
a random number, so the same arrivals give the same steps, wherever and how often they run.
"""

from llmsim.engine.model import Engine, EngineRequest, Step
from llmsim.engine.trace import TraceRequest, TraceTimes, run_trace

__all__ = ["Engine", "EngineRequest", "Step", "TraceRequest", "TraceTimes", "run_trace"]
