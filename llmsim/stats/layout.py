"""Where each counter stands in the block.

Decisions:
* Everything is a 64-bit word of the machine's own byte order: an aligned word is stored and
  loaded whole, so one writer and any number of readers need no lock.
* A slot begins on a cache line of its own: two workers never write the same line.
* Totals are not stored where rows add up to them: requests and outcomes stand by endpoint,
  tokens by model. There is one increment to make and nothing that can disagree.
* Within a slot the order is the order of reading. A reader copies a slot upwards, and meets
  first what is written last: models before endpoints (a request is accepted after it began),
  outcomes before requests, a model's counts before its name, a mark before the histogram it
  was copied from. So a difference is never negative and a name never half written.
* An entry that is written again and again (a pulse, a mark) has its instant first and last. It
  is written from the end and read from the start, so whoever reads the same instant twice has
  read one whole entry.
"""

import math

import msgspec

from llmsim.stats import histogram
from llmsim.stats.outcome import Outcome

MAGIC = int.from_bytes(b"llmstats", "little")
VERSION = 3

WORD_BYTES = 8
LINE_WORDS = 8  # 64 bytes, the cache line of x86-64 and most of ARM

# The header, written by the master before the first fork. The magic is written last.
HEADER_MAGIC = 0
HEADER_VERSION = 1
HEADER_BYTES = 2  # of the whole block
HEADER_STARTED = 3  # time.monotonic() at the start, ns
HEADER_STARTED_AT = 4  # Unix time of the start, ns
HEADER_MASTER = 5  # process id
HEADER_SLOTS = 6
HEADER_ENDPOINTS = 7
HEADER_LABELS = 8  # the first endpoint's label; zero-padded ASCII
LABEL_WORDS = 4
LABEL_BYTES = LABEL_WORDS * WORD_BYTES

# A slot; words counted from its first.
TAKEN = 0  # 1 from claim to settle; the only word of a claimed slot that the master writes
PID = 1
WEBSOCKETS_OPENED = 2
WEBSOCKETS_CLOSED = 3
EVICTED = 4  # records that left the shared store to make room
OPEN_STREAMS = 5  # a gauge: the successor in a slot begins with 0

# The ring of pulses: how the worker fared since the pulse before, about every second. An instant of 0: no pulse yet.
PULSES = LINE_WORDS
PULSE_ENTRIES = 64  # more than the seconds that a verdict looks back
PULSE_AT = 0  # time.monotonic(), ns
PULSE_LAG_MOST = 1  # the loop's greatest lag, us
PULSE_LAG_SUM = 2  # us, over all samples
PULSE_SAMPLES = 3
PULSE_CPU = 4  # CPU time of the process since its start, us
PULSE_WAIT = 5  # time that it was ready to run and had no core, likewise; -1: the system does not tell
PULSE_AT_AGAIN = 6
PULSE_WORDS = 7

# Marks: copies of the buckets of lateness, so that a reader can tell the last seconds from all before.
MARKS = PULSES + PULSE_ENTRIES * PULSE_WORDS
MARK_ENTRIES = 4
MARK_AT = 0  # time.monotonic(), ns
MARK_BUCKETS = 1
MARK_AT_AGAIN = MARK_BUCKETS + histogram.BUCKETS
MARK_WORDS = MARK_AT_AGAIN + 1

# Histograms.
TTFT = MARKS + MARK_ENTRIES * MARK_WORDS
ITL = TTFT + histogram.WORDS
E2E = ITL + histogram.WORDS
LATENESS = E2E + histogram.WORDS

# The ring of seconds: one entry for each of the last 64. An entry is cleared before its second is
# written, and its second stands first, so that an old second never shows a new one's counts.
RING = LATENESS + histogram.WORDS
RING_SECONDS = 64  # 60 complete ones, the current one, and a power of two
RING_WORDS = 4
RING_SECOND = 0  # time.monotonic() as a whole number
RING_REQUESTS = 1
RING_TOKENS = 2
RING_ERRORS = 3

# A row for each model; the last one takes what finds no row.
MODELS = RING + RING_SECONDS * RING_WORDS
MODEL_ROWS = 64
MODEL_STREAMING = 0
MODEL_NON_STREAMING = 1
MODEL_PROMPT = 2
MODEL_COMPLETION = 3
MODEL_NAME_BYTES = 4  # length of the name; 0: the row is free
MODEL_NAME = 5  # UTF-8
NAME_WORDS = 16
NAME_BYTES = NAME_WORDS * WORD_BYTES
MODEL_WORDS = MODEL_NAME + NAME_WORDS
OTHER = "__other__"

# A row for each endpoint: a word for each outcome by its column, then the requests that began.
ENDPOINTS = MODELS + MODEL_ROWS * MODEL_WORDS
ENDPOINT_REQUESTS = len(Outcome)
ENDPOINT_WORDS = len(Outcome) + 1


def _whole_lines(words: int) -> int:
    return math.ceil(words / LINE_WORDS) * LINE_WORDS


class Layout(msgspec.Struct, frozen=True):
    """The measures of a block.

    Attributes:
        slots: How many workers can write at the same time; >= 1.
        endpoints: How many endpoints are counted apart; >= 1.
    """

    slots: int
    endpoints: int

    @property
    def header_words(self) -> int:
        """Words before the first slot."""
        return _whole_lines(HEADER_LABELS + self.endpoints * LABEL_WORDS)

    @property
    def slot_words(self) -> int:
        """Words of a slot."""
        return _whole_lines(ENDPOINTS + self.endpoints * ENDPOINT_WORDS)

    @property
    def bytes(self) -> int:
        """Bytes of the whole block."""
        return (self.header_words + self.slots * self.slot_words) * WORD_BYTES

    def slot(self, slot: int) -> int:
        """Tell at which word of the block a slot begins.

        Args:
            slot: From 0 to `slots - 1`.

        Raises:
            IndexError: There is no such slot.
        """
        if not 0 <= slot < self.slots:
            raise IndexError(f"slot {slot} of {self.slots}")
        return self.header_words + slot * self.slot_words
