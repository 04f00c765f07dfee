"""Where scripts are played: which script and session a request is of, and which turn it gets.

Decisions:
* The server's own script is the one called `default`. Sending another of that name, or deleting it, changes what
  is played; a server that was started without one plays none unless a request says so.
* What a turn expects is judged while everybody waits, so that a request which does not fit takes no turn. It is judged
  once before, for the turn that is probably next: patterns may be searched for long, and only their author waits.
* The names of sessions and scripts are UTF-8 where they can be: HTTP would have them Latin-1, and nobody sends that.
"""

import contextlib
import threading
from collections.abc import Callable

import msgspec

from llmsim.domain import Fault, Prompt, Turn
from llmsim.errors import (
    ExhaustedError,
    ExpectationError,
    InvalidFieldError,
    UnknownScriptError,
)
from llmsim.planning.planner import Planner
from llmsim.scripts import Script, ScriptStep, unmet
from llmsim.state.script_registry import ScriptRegistry
from llmsim.state.sessions import Judgement, OutdatedError, Sessions, TurnLease
from llmsim.text import nearest

SCRIPT_HEADER = "x-llmsim-script"
SESSION_HEADER = "x-llmsim-session"

DEFAULT = "default"
"""Name of the server's own script."""

GLOBAL = "global"
"""Name of the session of all requests that name none."""

_LONGEST_NAME = 200

_MOST_KEPT = 64
"""Scripts that a worker has at hand."""


class RequestControls(msgspec.Struct, frozen=True):
    """What a request says of scripts.

    Attributes:
        session: Name of its session.
        script: Name of the script that is to play; None for none.
        chosen: Whether the request itself has named either.
    """

    session: str
    script: str | None
    chosen: bool


class PlayedTurn(msgspec.Struct, frozen=True):
    """A turn that a request got.

    Attributes:
        outcome: What it is answered.
        scene: The turn.
        claim: To be settled when it was played.
    """

    outcome: Turn | Fault
    scene: ScriptStep
    claim: TurnLease


def is_name(name: str) -> bool:
    """Tell whether a script or session can have this name."""
    return 0 < len(name) <= _LONGEST_NAME and name.isprintable()


NAMES = f"wanted a name of 1 to {_LONGEST_NAME} printable characters"
"""What is said of a name that nobody can have."""


class _CachedScript(msgspec.Struct, frozen=True):
    """A script that a worker has at hand."""

    edition: int
    script: Script
    expects: bool


class _ExpectationCheck:
    """Judges one request by the turn that it would get."""

    def __init__(self, script: Script, prompt: Prompt) -> None:
        self.scene: ScriptStep | None = None
        self.missed: tuple[str, ...] = ()
        self._script = script
        self._prompt = prompt
        self._found: dict[int, tuple[str, ...]] = {}

    def __call__(self, cursor: int) -> Judgement:
        scene = self.scene = self._script.at(cursor)
        if scene is None:
            return Judgement(plays=False)
        expect = scene.turn.expect
        if expect is None:
            return Judgement()
        if scene.number not in self._found:
            self._found[scene.number] = unmet(expect, self._prompt)
        missed = self.missed = self._found[scene.number]
        return Judgement(plays=not missed, met=not missed, unmet=missed)


class ScriptPlayer:
    """One worker's stage. Safe to call from several threads."""

    def __init__(
        self, library: ScriptRegistry, sessions: Sessions, planner: Planner, *, has_default: bool
    ) -> None:
        self._library = library
        self._sessions = sessions
        self._planner = planner
        self._default = DEFAULT if has_default else None
        self._books: dict[str, _CachedScript] = {}
        self._threads = threading.Lock()

    @property
    def has_default(self) -> bool:
        """Whether requests that name no script get one."""
        return self._default is not None

    def cue(self, header: Callable[[str], str | None]) -> RequestControls | None:
        """Tell what a request says of scripts; None if nothing, and the server has no script of its own.

        Args:
            header: Gives a header of the request by its name.

        Raises:
            InvalidFieldError: A name is too long, or cannot be printed.
        """
        session, script = (_named(name, header(name)) for name in (SESSION_HEADER, SCRIPT_HEADER))
        if session is None and script is None:
            return None if self._default is None else RequestControls(GLOBAL, self._default, chosen=False)
        return RequestControls(session or GLOBAL, script or self._default, chosen=True)

    def play(self, prompt: Prompt, cue: RequestControls) -> PlayedTurn | None:
        """Give a request the next turn of its session.

        Returns:
            The turn; None if the server's own script was deleted.

        Raises:
            UnknownScriptError: There is no such script.
            ExhaustedError: The script has no turn left.
            ExpectationError: The request is not what the turn expects.
            RefusedError: The model would not take the request.
        """
        assert cue.script is not None
        while True:
            book = self._book(cue.script)
            if book is None:
                if cue.script == self._default:
                    return None
                names = [volume.name for volume in self._library.all()]
                raise UnknownScriptError(cue.script, nearest(cue.script, names))
            try:
                return self._part(prompt, cue.session, cue.script, book)
            except OutdatedError:
                # Another was sent in this moment: it is played.
                continue

    def _part(self, prompt: Prompt, session: str, name: str, book: _CachedScript) -> PlayedTurn:
        judge = _ExpectationCheck(book.script, prompt)
        if book.expects:
            judge(self._sessions.place(session, name))
        claim = self._sessions.play(session, name, book.edition, judge)
        scene = judge.scene
        if scene is None:
            raise ExhaustedError(name, session, book.script.length)
        if claim is None:
            raise ExpectationError(name, scene.number, judge.missed)
        try:
            return PlayedTurn(self._planner.play(prompt, scene), scene, claim)
        except BaseException:
            self._sessions.settle(claim, played=False)
            raise

    def _book(self, name: str) -> _CachedScript | None:
        """Give a script as it is now; it is fetched once for each edition."""
        edition = self._library.edition(name)
        with self._threads:
            known = self._books.pop(name, None)
            if known is not None and known.edition == edition:
                # Those that were used last stand last.
                self._books[name] = known
                return known
        found = None if edition is None else self._library.script(name)
        if found is None:
            return None
        edition, script = found
        book = _CachedScript(edition, script, any(turn.expect is not None for turn in script.turns))
        with self._threads:
            self._books[name] = book
            if len(self._books) > _MOST_KEPT:
                del self._books[next(iter(self._books))]
        return book

    def settle(self, claim: TurnLease, *, played: bool) -> None:
        """Say whether a turn was played, or goes to another request."""
        self._sessions.settle(claim, played=played)


def _named(header: str, value: str | None) -> str | None:
    if value is None:
        return None
    if not value.isascii():
        with contextlib.suppress(UnicodeError):
            value = value.encode("latin-1").decode()
    if not is_name(value):
        raise InvalidFieldError((header,), "conflict", f"{header}: {NAMES}")
    return value
