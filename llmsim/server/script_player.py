"""Plays scripts: which script and session a request belongs to, and which turn it gets.

Decisions:
* The server's own script is the one called `default`. Sending another of that name, or deleting it, changes what
  is played; a server that was started without one plays none unless a request names one.
* Expectations are checked outside of any transaction. Patterns are searched in a thread, within the budget of the request: some
  try exponentially many ways.
  A turn is then leased on condition that it is still the session's next one; otherwise the next one is checked. A request
  that does not fit its turn takes none.
* Which requests a turn is for (`when`) is decided before what it expects, and by the next turn alone: a request that it is not for is
  answered without the script, and the session stays as it is.
"""

import asyncio
import contextlib
from functools import partial

import msgspec

from llmsim.budgets import PatternBudget
from llmsim.domain import Prompt
from llmsim.errors import (
    ExhaustedError,
    ExpectationError,
    UnknownScriptError,
)
from llmsim.scripts import Expectation, Script, ScriptStep, Sender, unmet
from llmsim.server.controls import SCRIPT_HEADER, RequestControls
from llmsim.state.ports import OutdatedError, ScriptRegistry, SessionStore, TurnLease
from llmsim.text import nearest

DEFAULT = "default"
"""Name of the server's own script."""

GLOBAL = "global"
"""Name of the session of all requests that name none."""

_UNKNOWN = Sender()

_MAX_CACHED = 64
"""Scripts that a worker caches."""


_MAX_SHOWN = 10
"""Names of scripts that a message lists."""


class ScriptSelection(msgspec.Struct, frozen=True):
    """Which script a request plays.

    Attributes:
        session: Name of its session.
        script: Name of the script.
        origin: What names it, for messages.
    """

    session: str
    script: str
    origin: str = SCRIPT_HEADER


class PlayedTurn(msgspec.Struct, frozen=True):
    """A turn of a script that a request plays.

    Attributes:
        step: The turn, to be planned.
        lease: To be committed or released when the request ends.
    """

    step: ScriptStep
    lease: TurnLease


class _CachedScript(msgspec.Struct, frozen=True):
    version: int
    script: Script


class _ExpectationCheck:
    """Checks one request against expectations, each once."""

    def __init__(self, prompt: Prompt, sender: Sender, *, in_thread: bool) -> None:
        self._prompt = prompt
        self._sender = sender
        self._in_thread = in_thread
        self._patterns = PatternBudget()
        self._checked: dict[int, tuple[str, ...]] = {}

    async def misses(self, expect: Expectation | None) -> tuple[str, ...]:
        """Return what the request does not meet, a sentence each."""
        if expect is None:
            return ()
        # Expectations live as long as their script, which the caller holds.
        missed = self._checked.get(id(expect))
        if missed is None:
            work = partial(unmet, expect, self._prompt, self._patterns, self._sender)
            if self._in_thread or expect.has_patterns:
                missed = await asyncio.get_running_loop().run_in_executor(None, work)
            else:
                missed = work()
            self._checked[id(expect)] = missed
        return missed


class ScriptPlayer:
    """Plays the scripts of one worker's requests."""

    def __init__(self, scripts: ScriptRegistry, sessions: SessionStore, *, has_default: bool) -> None:
        self._scripts = scripts
        self._sessions = sessions
        self._default = DEFAULT if has_default else None
        self._cached: dict[str, _CachedScript] = {}

    @property
    def has_default(self) -> bool:
        """Whether requests that name no script play one."""
        return self._default is not None

    def select(self, controls: RequestControls) -> ScriptSelection | None:
        """Return which script a request plays: the one that it names, else the server's own; None if there is none."""
        script = controls.script or self._default
        return None if script is None else ScriptSelection(controls.session or GLOBAL, script)

    async def play(
        self,
        prompt: Prompt,
        selection: ScriptSelection,
        sender: Sender = _UNKNOWN,
        *,
        in_thread: bool = False,
    ) -> PlayedTurn | None:
        """Lease the next turn of a request's session.

        Args:
            prompt: The request.
            selection: Its session and script.
            sender: Who sends it.
            in_thread: Whether its expectations are checked in a thread, because it is large.

        Returns:
            The turn; None if the server's own script was deleted, or if the next turn is not for such a request.

        Raises:
            UnknownScriptError: There is no such script.
            ExhaustedError: The script has no turn left.
            ExpectationError: The request does not meet what the turn expects.
        """
        name = selection.script
        while True:
            cached = await self._load(name)
            if cached is None:
                if name == self._default:
                    return None
                raise await self._unknown(selection)
            check = _ExpectationCheck(prompt, sender, in_thread=in_thread)
            # If the script was replaced in the meantime, the new one is played.
            with contextlib.suppress(OutdatedError):
                return await self._lease_next(check, selection.session, name, cached)
            if self._cached.get(name) is cached:
                del self._cached[name]

    async def check(self, selection: ScriptSelection) -> None:
        """Check that a script which is not played is loaded.

        Raises:
            UnknownScriptError: There is no such script.
        """
        if selection.script != self._default and await self._scripts.version(selection.script) is None:
            raise await self._unknown(selection)

    async def _unknown(self, selection: ScriptSelection) -> UnknownScriptError:
        known = [info.name for info in await self._scripts.list_scripts()]
        meant = nearest(selection.script, known)
        shown = [f"'{name}'" for name in known[:_MAX_SHOWN]]
        if meant is not None:
            hint = f"; did you mean '{meant}'?"
        elif shown:
            hint = f". One of: {', '.join(shown)}{', …' * (len(known) > len(shown))}"
        else:
            hint = ", nor is any other; load it with PUT /llmsim/scripts/NAME, or leave the name out"
        return UnknownScriptError(selection.script, hint, selection.origin)

    async def _lease_next(
        self, check: _ExpectationCheck, session: str, name: str, cached: _CachedScript
    ) -> PlayedTurn | None:
        sessions, script, version = self._sessions, cached.script, cached.version
        if await check.misses(script.when):
            if await self._scripts.version(name) != version:
                raise OutdatedError
            return None
        while True:
            cursor = await sessions.next_turn(session, name, version, leasable=script.unconditional)
            if isinstance(cursor, TurnLease):
                step = script.at(cursor.cursor)
                assert step is not None, "it is one of the script's"
                return PlayedTurn(step, cursor)
            step = script.at(cursor)
            if step is None:
                await sessions.touch(session, name)
                raise ExhaustedError(name, session, script.length)
            expect = step.turn.expect
            if await check.misses(step.turn.when):
                return None
            if missed := await check.misses(expect):
                if await sessions.record_mismatch(session, name, version, cursor, missed):
                    raise ExpectationError(name, step.number, missed)
                continue
            met = None if expect is None else True
            lease = await sessions.lease_turn(session, name, version, cursor, met=met)
            if lease is not None:
                return PlayedTurn(step, lease)

    async def _load(self, name: str) -> _CachedScript | None:
        """Return a script as it was read last; each version is read and decoded once. A lease shows whether it is the current one."""
        cached = self._cached.pop(name, None)
        if cached is None:
            found = await self._scripts.script(name)
            if found is None:
                return None
            cached = _CachedScript(*found)
        # Those played last are at the end.
        self._cached[name] = cached
        if len(self._cached) > _MAX_CACHED:
            del self._cached[next(iter(self._cached))]
        return cached

    async def commit(self, played: PlayedTurn) -> None:
        """Count a turn as played."""
        await self._sessions.commit(played.lease)

    async def release(self, played: PlayedTurn) -> None:
        """Return a turn that could not be answered: it goes to the session's next request."""
        await self._sessions.release(played.lease)
