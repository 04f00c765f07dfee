"""Benchmarks of a simulator on this machine: the program of `scripts/bench`; start reading at `sweep`.

It starts servers as users do, over the command line, and measures them from outside: nothing of llmsim is imported. Only the
part `cost` looks inside: `cost_driver` and `cost_counters` run llmsim's code in its own process.
"""
