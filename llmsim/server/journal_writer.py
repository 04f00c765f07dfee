"""Writes into the journal what requests asked and got.

Decisions:
* An answer is told in the house's own words, the same for every API: what tests assert does not depend on which one
  was spoken.
* A request is told as it was sent, up to a size; beyond it, as text that breaks off. So is an answer.
* Ids are told without what an API puts before them: `chatcmpl-`, `resp_`, `call_`.
"""

import time
from collections.abc import Callable, Iterator
from typing import Any

import msgspec

from llmsim.domain import (
    Fault,
    ReasoningSegment,
    RefusalSegment,
    Segment,
    StreamFault,
    TextSegment,
    ToolCallSegment,
    Turn,
)
from llmsim.errors import ExhaustedError, ExpectationError, RefusedError
from llmsim.server.script_player import PlayedTurn, RequestControls
from llmsim.state.journal import Journal

_MOST_BYTES = 65_536
"""Largest request that is told whole."""

_MOST_TEXT = 65_536
"""Characters of an answer that are told."""

_MOST_UNMET = 50
"""Unmet expectations that are told."""

_CALL = 100
"""Characters that a call takes beside its arguments."""

OnFinished = Callable[[str, float], None]
"""Told how a request ended, and how many seconds it took."""

_encode = msgspec.json.encode

_Spoken = TextSegment | ReasoningSegment | RefusalSegment


class JournalWriter:
    """One worker's scribe.

    Args:
        journal: Of all workers.
        whose: Whose requests are written down: `sessions`, `all` or `off`.
    """

    def __init__(self, journal: Journal, whose: str) -> None:
        self._journal = journal
        self._all = whose == "all"
        self._off = whose == "off"

    def listens(self, cue: RequestControls | None) -> bool:
        """Tell whether a request is to be written down."""
        return not self._off and (cue is not None or self._all)

    def answered(
        self,
        label: str,
        body: bytes,
        cue: RequestControls | None,
        outcome: Turn | Fault,
        part: PlayedTurn | None,
    ) -> OnFinished:
        """Write down a request that was decided; give what completes the entry."""
        got = {"fault": _fault(outcome)} if isinstance(outcome, Fault) else {"answer": _answer(outcome)}
        return self._write(label, body, cue, got, part)

    def refused(self, label: str, body: bytes, cue: RequestControls | None, error: RefusedError) -> None:
        """Write down a request that was refused."""
        room = _Room()
        told: dict[str, Any] = {"message": room.told(str(error))}
        if isinstance(error, ExpectationError):
            told |= {
                "turn": error.number,
                "unmet": [room.told(sentence) for sentence in error.unmet[:_MOST_UNMET]],
            }
        elif isinstance(error, ExhaustedError):
            told["exhausted"] = True
        self._write(label, body, cue, {"refusal": told}, None)("refused", 0.0)

    def _write(
        self,
        label: str,
        body: bytes,
        cue: RequestControls | None,
        got: dict[str, Any],
        part: PlayedTurn | None,
    ) -> OnFinished:
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


class _Room:
    """What may still be told of an answer."""

    def __init__(self) -> None:
        self.left = _MOST_TEXT

    def told(self, text: str) -> str:
        """Tell a text, as far as there is room for it."""
        told = text[: max(0, self.left)].encode(errors="replace").decode()
        self.left -= len(told)
        return told


def _request(body: bytes) -> Any:
    if len(body) <= _MOST_BYTES:
        try:
            # Read, and not taken over as it is: a client of the journal must be able to read it.
            return msgspec.Raw(_encode(msgspec.json.decode(body)))
        except (msgspec.DecodeError, UnicodeError, RecursionError):
            pass
    return {"bytes": len(body), "begins": body[:1000].decode(errors="replace")}


def _fault(fault: Fault) -> dict[str, Any]:
    return {"kind": fault.kind.value, "message": fault.message, "status": fault.status}


def _answer(turn: Turn) -> dict[str, Any]:
    room = _Room()
    return {
        "id": turn.id,
        "model": turn.model,
        "choices": [
            {
                "text": _told(choice.segments, TextSegment, room),
                "reasoning": _told(choice.segments, ReasoningSegment, room),
                "refusal": _told(choice.segments, RefusalSegment, room),
                "calls": list(_calls(choice.segments, room)),
                "finish_reason": choice.finish.value,
            }
            for choice in turn.choices
        ],
        "usage": {
            "prompt_tokens": turn.usage.prompt,
            "completion_tokens": turn.usage.completion,
            "reasoning_tokens": turn.usage.reasoning,
            "cached_tokens": turn.usage.cached,
        },
    } | _breaks(turn.stream_fault)


def _breaks(breakage: StreamFault | None) -> dict[str, Any]:
    """Tell how an answer breaks off, which is told whole."""
    if breakage is None:
        return {}
    kind = "disconnect" if breakage.disconnect else breakage.fault.kind.value
    return {"breaks": {"after_tokens": breakage.after, "kind": kind}}


def _told(segments: tuple[Segment, ...], kind: type[_Spoken], room: _Room) -> str | None:
    texts = [segment.text.text for segment in segments if isinstance(segment, kind) and segment.text]
    return room.told("".join(texts)) if texts else None


def _calls(segments: tuple[Segment, ...], room: _Room) -> Iterator[dict[str, Any]]:
    for segment in segments:
        if isinstance(segment, ToolCallSegment) and room.left > 0:
            call = segment.call
            room.left -= _CALL
            yield {
                "id": call.fixed_id or call.id,
                "name": call.name,
                "arguments": room.told(segment.arguments.text),
            }
