"""Counters in shared memory: one writer per worker, any number of readers."""

from llmsim.stats.block import Block, block_name
from llmsim.stats.outcome import Outcome
from llmsim.stats.reading import is_alive
from llmsim.stats.recorder import Recorder
from llmsim.stats.snapshot import Snapshot, snapshot

__all__ = ["Block", "Outcome", "Recorder", "Snapshot", "block_name", "is_alive", "snapshot"]
