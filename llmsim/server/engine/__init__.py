"""Engines that all workers share: one worker steps them, all others read when each token exists.

`engines.py` finds the engine of a request and gives it a place there, `reader.py` turns steps into deadlines, `ticker.py` runs the
model of `llmsim/engine/` in the one worker that holds the lease. `EngineMemory` of the shared state lies between them.
"""
