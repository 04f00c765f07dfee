"""Where scripts are played: which script and session a request is of, and which turn it gets.

Decisions:
* The server's own script is the one called `default`. Sending another of that name, or deleting it, changes what
  is played; a server that was started without one plays none unless a request says so.
* What a turn expects is judged while the session waits, so that a request which does not fit takes no turn.
"""

from collections.abc import Callable, Collection

import msgspec

from llmsim.errors import (
    ExhaustedError,
    ExpectationError,
    InvalidFieldError,
    RefusedError,
    UnknownScriptError,
)
from llmsim.exchange import Fault, Prompt, Turn
from llmsim.planning.planner import Planner
from llmsim.scripts import Scene, Script, read, unmet
from llmsim.state.library import Library
from llmsim.state.sessions import Claim, Judgement, Sessions
from llmsim.words import nearest

SCRIPT_HEADER = "x-llmsim-script"
SESSION_HEADER = "x-llmsim-session"

DEFAULT = "default"
"""Name of the server's own script."""

GLOBAL = "global"
"""Name of the session of all requests that name none."""

_LONGEST_NAME = 200


class Cue(msgspec.Struct, frozen=True):
    """What a request says of scripts.

    Attributes:
        session: Name of its session.
        script: Name of the script that is to play; None for none.
        chosen: Whether the request itself has named either.
    """

    session: str
    script: str | None
    chosen: bool


class Part(msgspec.Struct, frozen=True):
    """A turn that a request got.

    Attributes:
        outcome: What it is answered.
        scene: The turn.
        claim: To be settled when it was played.
    """

    outcome: Turn | Fault
    scene: Scene
    claim: Claim


class Stage:
    """One worker's stage. Safe to call from several threads."""

    def __init__(
        self,
        library: Library,
        sessions: Sessions,
        planner: Planner,
        profiles: Collection[str],
        *,
        has_default: bool,
    ) -> None:
        self._library = library
        self._sessions = sessions
        self._planner = planner
        self._profiles = profiles
        self._default = DEFAULT if has_default else None
        self._read: dict[str, tuple[int, Script]] = {}

    def cue(self, header: Callable[[str], str | None]) -> Cue | None:
        """Tell what a request says of scripts; None if nothing, and the server has no script of its own.

        Args:
            header: Gives a header of the request by its name.

        Raises:
            InvalidFieldError: A name is too long, or cannot be printed.
        """
        session, script = header(SESSION_HEADER), header(SCRIPT_HEADER)
        if session is None and script is None:
            return None if self._default is None else Cue(GLOBAL, self._default, chosen=False)
        for name, value in ((SESSION_HEADER, session), (SCRIPT_HEADER, script)):
            if value is not None and not (0 < len(value) <= _LONGEST_NAME and value.isprintable()):
                raise InvalidFieldError(
                    (name,), "conflict", f"{name}: wanted a name of 1 to {_LONGEST_NAME} printable characters"
                )
        return Cue(session or GLOBAL, script or self._default, chosen=True)

    def play(self, prompt: Prompt, cue: Cue) -> Part | None:
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
        script = self._script(cue.script)
        if script is None:
            if cue.script == self._default:
                return None
            names = [volume.name for volume in self._library.all()]
            raise UnknownScriptError(cue.script, nearest(cue.script, names))
        scene: Scene | None = None
        missed: tuple[str, ...] = ()

        def judge(cursor: int) -> Judgement:
            nonlocal scene, missed
            scene = script.at(cursor)
            if scene is None:
                return Judgement(plays=False)
            expect = scene.turn.expect
            if expect is None:
                return Judgement()
            missed = unmet(expect, prompt)
            return Judgement(plays=not missed, met=not missed, unmet=missed)

        claim = self._sessions.play(cue.session, cue.script, judge)
        if scene is None:
            raise ExhaustedError(cue.script, cue.session, script.length)
        if claim is None:
            raise ExpectationError(cue.script, scene.number, missed)
        try:
            return Part(self._planner.play(prompt, scene), scene, claim)
        except RefusedError:
            self._sessions.settle(claim, played=False)
            raise

    def _script(self, name: str) -> Script | None:
        """Give a script as it is now; it is read once for each edition."""
        edition = self._library.edition(name)
        known = self._read.get(name)
        if known is not None and known[0] == edition:
            return known[1]
        self._read.pop(name, None)
        volume = self._library.get(name)
        if volume is None:
            return None
        script = read(volume.data, volume.form, name, profiles=self._profiles)
        self._read[name] = (volume.edition, script)
        return script

    def settle(self, claim: Claim, *, played: bool) -> None:
        """Say whether a turn was played, or goes to another request."""
        self._sessions.settle(claim, played=played)
