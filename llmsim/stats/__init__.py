"""Counters in shared memory: one writer per worker, any number of readers.

Start with `counters`, the table of what is counted; `Recorder` writes, `Totals` adds up, `Snapshot` is the JSON,
`render_metrics` what Prometheus reads.
"""

from llmsim.stats.block import Block, block_name
from llmsim.stats.counters import COUNTERS, HISTOGRAMS, Counter, Outcome, Per
from llmsim.stats.health import PULSE_SECONDS, SAMPLE_SECONDS, Gauges
from llmsim.stats.prometheus import render_metrics
from llmsim.stats.recorder import Recorder, Row
from llmsim.stats.snapshot import Snapshot, snapshot
from llmsim.stats.totals import Totals, is_alive, read_totals
from llmsim.stats.verdict import LATE_MS, TIGHT_MS, available_cores
