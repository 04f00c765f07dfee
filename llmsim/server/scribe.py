"""Writes into the journal what requests asked and got.

Decisions:
* An answer is told in the house's own words, the same for every API: what tests assert does not depend on which one
  was spoken.
* A request is told as it was sent, up to a size; beyond it, as text that breaks off.
"""

import time
from collections.abc import Callable
from typing import Any

import msgspec

from llmsim.errors import ExhaustedError, ExpectationError, RefusedError
from llmsim.exchange import Fault, Segment, SegmentKind, Turn
from llmsim.server.stage import Cue, Part
from llmsim.state.journal import Journal

_MOST_BYTES = 65_536
"""Largest request that is told whole."""

_MOST_TEXT = 65_536
"""Characters of an answer that are told."""

Ended = Callable[[str, float], None]
"""Told how a request ended, and how many seconds it took."""

_encode = msgspec.json.encode


class Scribe:
    """One worker's scribe.

    Args:
        journal: Of all workers.
        whose: Whose requests are written down: `sessions`, `all` or `off`.
    """

    def __init__(self, journal: Journal, whose: str) -> None:
        self._journal = journal
        self._all = whose == "all"
        self._off = whose == "off"

    def listens(self, cue: Cue | None) -> bool:
        """Tell whether a request is to be written down."""
        return not self._off and (cue is not None or self._all)

    def answered(
        self, label: str, body: bytes, cue: Cue | None, outcome: Turn | Fault, part: Part | None
    ) -> Ended:
        """Write down a request that was decided; give what completes the entry."""
        got = {"fault": _fault(outcome)} if isinstance(outcome, Fault) else {"answer": _answer(outcome)}
        return self._write(label, body, cue, got, part)

    def refused(self, label: str, body: bytes, cue: Cue | None, error: RefusedError) -> None:
        """Write down a request that was refused."""
        told: dict[str, Any] = {"message": str(error)[:_MOST_TEXT]}
        if isinstance(error, ExpectationError):
            told["unmet"] = error.unmet
        elif isinstance(error, ExhaustedError):
            told["exhausted"] = True
        self._write(label, body, cue, {"refusal": told}, None)("refused", 0.0)

    def _write(
        self, label: str, body: bytes, cue: Cue | None, got: dict[str, Any], part: Part | None
    ) -> Ended:
        entry = {
            "endpoint": label,
            "script": cue.script if cue is not None else None,
            "turn": None if part is None else part.scene.number,
            "cursor": None if part is None else part.claim.cursor,
            "request": _request(body),
        }
        session = cue.session if cue is not None else ""
        number = self._journal.write(session, time.time(), _encode(entry | got))
        return lambda outcome, seconds: self._journal.end(number, outcome, seconds)


def _request(body: bytes) -> Any:
    if len(body) <= _MOST_BYTES:
        try:
            # Read, and not taken over as it is: a client of the journal must be able to read it.
            return msgspec.json.decode(body)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            pass
    return {"bytes": len(body), "begins": body[:1000].decode(errors="replace")}


def _fault(fault: Fault) -> dict[str, Any]:
    return {"kind": fault.kind.value}


def _answer(turn: Turn) -> dict[str, Any]:
    return {
        "id": turn.id,
        "model": turn.model,
        "choices": [
            {
                "text": _told(choice.segments, SegmentKind.TEXT),
                "reasoning": _told(choice.segments, SegmentKind.REASONING),
                "refusal": _told(choice.segments, SegmentKind.REFUSAL),
                "calls": [_call(segment) for segment in choice.segments if segment.call is not None],
                "finish_reason": choice.finish.value,
            }
            for choice in turn.choices[:8]
        ],
        "usage": {
            "prompt_tokens": turn.usage.prompt,
            "completion_tokens": turn.usage.completion,
            "reasoning_tokens": turn.usage.reasoning,
            "cached_tokens": turn.usage.cached,
        },
    }


def _told(segments: tuple[Segment, ...], kind: SegmentKind) -> str | None:
    texts = [segment.passage.text for segment in segments if segment.kind is kind and segment.passage]
    return "".join(texts)[:_MOST_TEXT] if texts else None


def _call(segment: Segment) -> dict[str, Any]:
    call, passage = segment.call, segment.passage
    assert call is not None
    return {
        "id": call.fixed_id or call.id,
        "name": call.name,
        "arguments": passage.text[:_MOST_TEXT] if passage is not None else "",
    }
