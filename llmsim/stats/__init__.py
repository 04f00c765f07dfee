"""Counters in shared memory: one writer per worker, any number of readers."""

from llmsim.stats.block import Block, block_name
from llmsim.stats.gauges import Gauges
from llmsim.stats.outcome import Outcome
from llmsim.stats.reading import is_alive
from llmsim.stats.recorder import Recorder
from llmsim.stats.snapshot import Snapshot, snapshot
from llmsim.stats.verdict import LATE_MS, TIGHT_MS, available_cores
from llmsim.stats.vitals import PULSE_SECONDS, SAMPLE_SECONDS

__all__ = [
    "LATE_MS",
    "PULSE_SECONDS",
    "SAMPLE_SECONDS",
    "TIGHT_MS",
    "Block",
    "Gauges",
    "Outcome",
    "Recorder",
    "Snapshot",
    "available_cores",
    "block_name",
    "is_alive",
    "snapshot",
]
