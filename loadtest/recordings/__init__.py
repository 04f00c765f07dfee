"""Recordings of real load: when requests arrived, how long they were, and what times were measured.

Start reading in `recording.py`, which has the values; `reading.py` finds out which format a file has, and each of the
other modules reads one.
"""

from loadtest.recordings.reading import read_recording
from loadtest.recordings.recording import Point, Recording, RecordingError, TimedRequest, Trace

__all__ = ["Point", "Recording", "RecordingError", "TimedRequest", "Trace", "read_recording"]
