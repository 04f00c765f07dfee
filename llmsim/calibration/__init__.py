"""Latency fitted to measurements: recordings in, a configuration for `llmsim serve` out.

Start reading at `fitting.py`. `engine_fit.py` finds an engine whose queue gives the measured times, `shape_fit.py` a
distribution of them; `judgement.py` says how good one is, on requests that it was not fitted to. Recordings are read by
`loadtest.recordings`, which the load tests replay, too.

Decisions:
* numpy and scipy are optional: only a fit needs them, and a server never does. They are imported when a fit begins.
* A fit repeats exactly: starts and their order are fixed, and no clock is read.
"""
