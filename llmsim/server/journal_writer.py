"""Writes requests and their responses into the journal.

Decisions:
* A response is written in one format for all APIs: what tests assert does not depend on the API that was used.
* A request is written as it was sent, up to `[admin] journal_request_bytes`; of a larger one its size and its beginning. A
  response is truncated.
* The journal is a convenience: an entry that cannot be kept is dropped and counted, and the request goes on.
* Ids are written without the prefixes of the APIs: `chatcmpl-`, `resp_`, `call_`.
"""

import time
from collections.abc import Callable, Coroutine, Iterator
from functools import partial
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
    WireFault,
)
from llmsim.errors import ExhaustedError, ExpectationError, RefusedError, StoreError
from llmsim.server.controls import RequestControls
from llmsim.server.played import Played
from llmsim.server.scenario_player import ScenarioAttempt
from llmsim.server.script_player import PlayedTurn, ScriptSelection
from llmsim.state.journal_port import Journal
from llmsim.stats import Recorder

_MAX_TEXT = 65_536
"""Characters of a response that are written."""

_MAX_UNMET = 50
"""Unmet expectations that are written."""

_CALL_CHARACTERS = 100
"""Characters that a tool call counts besides its arguments."""

OnFinished = Callable[[str, float], Coroutine[Any, Any, None]]
"""Completes a journal entry with the outcome and the seconds that the request took."""

_encode = msgspec.json.encode

_Spoken = TextSegment | ReasoningSegment | RefusalSegment


class JournalKey(msgspec.Struct, frozen=True):
    """Under what a request is written.

    Attributes:
        endpoint: The endpoint's label in the stats.
        session: Name of its session; empty if it has none.
        script: Name of the script that it plays; None if it plays none.
    """

    endpoint: str
    session: str
    script: str | None


class JournalWriter:
    """Writes the journal entries of one worker's requests.

    Attributes:
        writes_all: Whether requests are written that name neither session nor script.

    Args:
        journal: The journal of all workers.
        scope: Which requests are written: `sessions` (those that name a session or script, or play one), `all` or `off`.
        recorder: Counts entries that are dropped.
        max_request_bytes: Largest request that is written whole.
    """

    def __init__(self, journal: Journal, scope: str, recorder: Recorder, max_request_bytes: int) -> None:
        self._journal = journal
        self._recorder = recorder
        self._max_request_bytes = max_request_bytes
        self.writes_all = scope == "all"
        self._off = scope == "off"

    def key(
        self, endpoint: str, controls: RequestControls, selection: ScriptSelection | None
    ) -> JournalKey | None:
        """Return under what a request is to be written; None if it is not.

        Args:
            endpoint: The endpoint's label.
            controls: What the request names.
            selection: The script that it plays.
        """
        if self._off or not (self.writes_all or selection is not None or controls.session is not None):
            return None
        if selection is not None:
            return JournalKey(endpoint, selection.session, selection.script)
        return JournalKey(endpoint, controls.session or "", None)

    async def write_planned(
        self,
        key: JournalKey,
        body: bytes,
        outcome: Turn | Fault,
        played: Played | None,
    ) -> OnFinished:
        """Write a request that was planned; return what completes the entry."""
        result = {"fault": _fault(outcome)} if isinstance(outcome, Fault) else {"answer": _answer(outcome)}
        return await self._write(key, body, result, played)

    async def write_refused(self, key: JournalKey, body: bytes, error: RefusedError) -> None:
        """Write a request that was refused."""
        budget = _TextBudget()
        refusal: dict[str, Any] = {"message": budget.truncate(str(error))}
        if isinstance(error, ExpectationError):
            refusal |= {
                "turn": error.number,
                "unmet": [budget.truncate(sentence) for sentence in error.unmet[:_MAX_UNMET]],
            }
        elif isinstance(error, ExhaustedError):
            refusal["exhausted"] = True
        finish = await self._write(key, body, {"refusal": refusal}, None)
        await finish("refused", 0.0)

    async def _write(
        self,
        key: JournalKey,
        body: bytes,
        result: dict[str, Any],
        played: Played | None,
    ) -> OnFinished:
        scripted = played if isinstance(played, PlayedTurn) else None
        entry = {
            "endpoint": key.endpoint,
            "script": key.script,
            "turn": None if scripted is None else scripted.step.number,
            "cursor": None if scripted is None else scripted.lease.cursor,
            "request": _request(body, self._max_request_bytes),
        }
        if isinstance(played, ScenarioAttempt):
            resolved = played.resolved
            step = {"name": resolved.scenario, "step": resolved.step, "attempt": played.number}
            # A scenario comes before the script that would have been played.
            entry |= {"script": None, "scenario": step}
        try:
            number = await self._journal.append(key.session, time.time(), _encode(entry | result))
        except StoreError:
            self._drop()
            return _finish_nothing
        return partial(self._finish, number)

    async def _finish(self, number: int, outcome: str, seconds: float) -> None:
        try:
            await self._journal.finish(number, outcome, seconds)
        except StoreError:
            self._drop()

    def _drop(self) -> None:
        self._recorder.count("journal_dropped", 1)


async def _finish_nothing(outcome: str, seconds: float) -> None:
    """Complete no entry: it was dropped."""


class _TextBudget:
    """The characters that may still be written of a response."""

    def __init__(self) -> None:
        self.left = _MAX_TEXT

    def truncate(self, text: str) -> str:
        """Return a text, truncated to what is left."""
        truncated = text[: max(0, self.left)].encode(errors="replace").decode()
        self.left -= len(truncated)
        return truncated


def _request(body: bytes, max_bytes: int) -> Any:
    if len(body) <= max_bytes:
        try:
            # Decoded, and not copied as it is: clients of the journal must be able to parse it.
            return msgspec.Raw(_encode(msgspec.json.decode(body)))
        except (msgspec.DecodeError, UnicodeError, RecursionError):
            pass
    return {"bytes": len(body), "begins": body[:1000].decode(errors="replace")}


def _fault(fault: Fault) -> dict[str, Any]:
    return {"kind": fault.kind.value, "message": fault.message, "status": fault.status}


def _answer(turn: Turn) -> dict[str, Any]:
    budget = _TextBudget()
    return {
        "id": turn.id,
        "model": turn.model,
        "choices": [
            {
                "text": _text(choice.segments, TextSegment, budget),
                "reasoning": _text(choice.segments, ReasoningSegment, budget),
                "refusal": _text(choice.segments, RefusalSegment, budget),
                "calls": list(_calls(choice.segments, budget)),
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
    } | _breaks(turn.stream_fault, turn.wire_fault)


def _breaks(breakage: StreamFault | None, fault: WireFault | None) -> dict[str, Any]:
    """Describe how a response breaks off, or what else goes wrong while it is sent; its text is written whole."""
    if breakage is None:
        return (
            {} if fault is None else {"wire_fault": {"after_tokens": fault.after, "kind": fault.kind.value}}
        )
    kind = "disconnect" if breakage.disconnect else breakage.fault.kind.value
    return {"breaks": {"after_tokens": breakage.after, "kind": kind}}


def _text(segments: tuple[Segment, ...], kind: type[_Spoken], budget: _TextBudget) -> str | None:
    texts = [segment.text.text for segment in segments if isinstance(segment, kind) and segment.text]
    return budget.truncate("".join(texts)) if texts else None


def _calls(segments: tuple[Segment, ...], budget: _TextBudget) -> Iterator[dict[str, Any]]:
    for segment in segments:
        if isinstance(segment, ToolCallSegment) and budget.left > 0:
            call = segment.call
            budget.left -= _CALL_CHARACTERS
            yield {
                "id": call.fixed_id or call.id,
                "name": call.name,
                "arguments": budget.truncate(segment.arguments.text),
            }
