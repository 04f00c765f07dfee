"""Runs real coding agents against llmsim, each in a network of its own; `scripts/agents --help`.

Start reading in `agents.py`, the table of agents. `sandbox.py` runs one of them, `verdict.py` judges what it did, `page.py` writes
docs/works-with.md.
"""
