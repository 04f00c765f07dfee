"""The place of each counter in the block; offsets follow from the table in `counters`.

Decisions:
* Everything is a 64-bit word of the machine's own byte order: an aligned word is stored and
  loaded whole, so one writer and any number of readers need no lock.
* A slot begins on a cache line of its own: two workers never write the same line.
* Totals are not stored where rows add up to them: requests, outcomes and latencies are counted per endpoint,
  tokens per model. So no two figures can disagree. Latencies are counted per model too, and not per both.
* The order within a slot is the order of reading. A reader copies a slot from its start, and meets
  first what is written last: models before endpoints (a request is accepted after it began),
  outcomes before requests, a model's counts before its name, a mark before the histogram it
  was copied from. Latencies stand behind all that, because their number depends on that of the endpoints, and are
  read first. So a difference is never negative and a name never half written.
* An entry that is written again and again (a pulse, a mark) has its instant first and last. It
  is written from the end and read from the start, so a reader that finds the same instant twice
  has read one whole entry.
"""

import math

import msgspec

from llmsim.stats import counters, histogram
from llmsim.stats.counters import Outcome, Per

MAGIC = int.from_bytes(b"llmstats", "little")
# Incremented when the meaning of a word changes; the fingerprint covers counters that were added or moved.
VERSION = 8 << 32 | counters.fingerprint()

WORD_BYTES = 8
LINE_WORDS = 8  # 64 bytes, the cache line of x86-64 and most of ARM


def _whole_lines(words: int) -> int:
    return math.ceil(words / LINE_WORDS) * LINE_WORDS


def _offsets(per: Per, first: int = 0) -> dict[str, int]:
    return {name: first + index for index, name in enumerate(counters.names(per))}


# The header, written by the master before the first fork. The magic is written last.
HEADER_MAGIC = 0
HEADER_VERSION = 1
HEADER_BYTES = 2  # of the whole block
HEADER_STARTED = 3  # time.monotonic() at the start, ns
HEADER_STARTED_AT = 4  # Unix time of the start, ns
HEADER_MASTER = 5  # process id
HEADER_SLOTS = 6
HEADER_ENDPOINTS = 7
HEADER_DRAINING = 8  # 1 from the signal that stops the server; with the words of the timeline the only ones that change after the start
HEADER_STEP = 9  # of the timeline, from 1; 0 for none. Written by any worker, all write the same
HEADER_STEPS = 10  # steps of the timeline; 0 if there is none
HEADER_STEP_NAME = 11  # zero-padded UTF-8
STEP_NAME_WORDS = 12
STEP_NAME_BYTES = STEP_NAME_WORDS * WORD_BYTES
HEADER_RESOURCES = HEADER_STEP_NAME + STEP_NAME_WORDS
HEADER_LABELS = (
    HEADER_RESOURCES + 1
)  # the first endpoint's label, then those of the resources; zero-padded ASCII
LABEL_WORDS = 4
LABEL_BYTES = LABEL_WORDS * WORD_BYTES

# A slot; offsets from its first word.
TAKEN = 0  # 1 from claim to release; the only word of a claimed slot that the master writes
PID = 1
WORKER = _offsets(Per.WORKER, first=2)
GAUGES = tuple(WORKER[counter.name] for counter in counters.COUNTERS if counter.is_gauge)

# The ring of pulses: the worker's CPU and loop lag since the pulse before, about every second. Instant 0: no pulse yet.
PULSES = _whole_lines(2 + len(WORKER))
PULSE_ENTRIES = 64  # more than the seconds that a verdict looks back
PULSE_AT = 0  # time.monotonic(), ns
PULSE_LAG_MAX = 1  # the loop's greatest lag, us
PULSE_LAG_SUM = 2  # us, over all samples
PULSE_SAMPLES = 3
PULSE_CPU = 4  # CPU time of the process since its start, us
PULSE_WAIT = 5  # time that it was ready to run and had no core, likewise; -1 if the system has no such figure
PULSE_WAITED_WRITES = 6  # writes that waited for a slow client since the start of the slot
PULSE_AT_AGAIN = 7
PULSE_WORDS = 8

# Marks: copies of the buckets of lateness, so that a reader can separate the last seconds from all before.
MARKS = PULSES + PULSE_ENTRIES * PULSE_WORDS
MARK_ENTRIES = 4
MARK_AT = 0  # time.monotonic(), ns
MARK_BUCKETS = 1
MARK_AT_AGAIN = MARK_BUCKETS + histogram.BUCKETS
MARK_WORDS = MARK_AT_AGAIN + 1

_HISTOGRAMS = MARKS + MARK_ENTRIES * MARK_WORDS
HISTOGRAM = {
    name: _HISTOGRAMS + index * histogram.WORDS for index, name in enumerate(counters.WORKER_HISTOGRAMS)
}

# The ring of seconds: one entry for each of the last 64. An entry is cleared before its second is
# written, and its second comes first, so that an old second never shows a new one's counts.
RING = _HISTOGRAMS + len(HISTOGRAM) * histogram.WORDS
RING_SECONDS = 64  # 60 complete ones, the current one, and a power of two
RING_WORDS = 4
RING_SECOND = 0  # time.monotonic() as a whole number
RING_REQUESTS = 1
RING_TOKENS = 2
RING_ERRORS = 3

# A row for each model: its counters, then its name. The last row counts the models that have none.
MODELS = RING + RING_SECONDS * RING_WORDS
MODEL_ROWS = 64
MODEL = _offsets(Per.MODEL)
MODEL_NAME_BYTES = len(MODEL)  # length of the name; 0: the row is free
MODEL_NAME = MODEL_NAME_BYTES + 1  # UTF-8
NAME_WORDS = 16
NAME_BYTES = NAME_WORDS * WORD_BYTES
MODEL_WORDS = MODEL_NAME + NAME_WORDS
OTHER = "__other__"

# A row for each endpoint: a word for each outcome by its column, then its counters. Behind them the same for each resource.
ENDPOINTS = MODELS + MODEL_ROWS * MODEL_WORDS
OUTCOMES = len(Outcome)
ENDPOINT = _offsets(Per.ENDPOINT, first=OUTCOMES)
ENDPOINT_WORDS = OUTCOMES + len(ENDPOINT)

# A set of histograms for each of the models in the first rows, one for all further models, then one for each endpoint.
LATENCY = {name: index * histogram.WORDS for index, name in enumerate(counters.REQUEST_HISTOGRAMS)}
LATENCY_WORDS = len(LATENCY) * histogram.WORDS
LATENCY_MODELS = 16


class Layout(msgspec.Struct, frozen=True):
    """The size of a block and the place of its slots.

    Attributes:
        slots: How many workers can write at the same time; >= 1.
        endpoints: How many endpoints are counted separately; >= 1.
        resources: How many resources are; their rows are those behind the endpoints, and they have no latencies.
    """

    slots: int
    endpoints: int
    resources: int = 0

    @property
    def rows(self) -> int:
        """Rows of endpoints and resources."""
        return self.endpoints + self.resources

    @property
    def header_words(self) -> int:
        """Words before the first slot."""
        return _whole_lines(HEADER_LABELS + self.rows * LABEL_WORDS)

    @property
    def slot_words(self) -> int:
        """Words of a slot."""
        return _whole_lines(self.endpoint_latencies(self.endpoints))

    @property
    def count_words(self) -> int:
        """Words of a slot before its latencies."""
        return _whole_lines(ENDPOINTS + self.rows * ENDPOINT_WORDS)

    @property
    def bytes(self) -> int:
        """Bytes of the whole block."""
        return (self.header_words + self.slots * self.slot_words) * WORD_BYTES

    def slot(self, slot: int) -> int:
        """Return the index of a slot's first word in the block.

        Args:
            slot: From 0 to `slots - 1`.

        Raises:
            IndexError: There is no such slot.
        """
        if not 0 <= slot < self.slots:
            raise IndexError(f"slot {slot} of {self.slots}")
        return self.header_words + slot * self.slot_words

    def endpoint(self, slot: int, endpoint: int) -> int:
        """Return the index of the first word of an endpoint's row in a slot; resources follow endpoints."""
        return self.slot(slot) + ENDPOINTS + endpoint * ENDPOINT_WORDS

    def model_latencies(self, row: int) -> int:
        """Return the offset, in a slot, of the latencies of the model in a row, from 0; the rows behind the first share one."""
        return self.count_words + min(row, LATENCY_MODELS) * LATENCY_WORDS

    def endpoint_latencies(self, endpoint: int) -> int:
        """Return the offset, in a slot, of the latencies of an endpoint."""
        return self.count_words + (LATENCY_MODELS + 1 + endpoint) * LATENCY_WORDS

    def histograms(self) -> list[int]:
        """Return the offsets, in a slot, of all histograms."""
        sets = range(self.count_words, self.endpoint_latencies(self.endpoints), LATENCY_WORDS)
        return [*HISTOGRAM.values(), *(first + offset for first in sets for offset in LATENCY.values())]
