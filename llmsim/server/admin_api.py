"""The control API: scripts, sessions and the journal, for tests and for those who look after them.

Decisions:
* Errors are told as `{"error": {"message", "type", "problems"}}`; a bad script is refused with all that is wrong with
  it, and changes nothing.
* A script that is sent begins anew for every session: what was played of its former self counts no more.
* Names may hold slashes, as those of tests do: the server is given paths in which `%2F` is `/` already.
"""

import asyncio
from collections.abc import Collection
from typing import Any

import falcon
import falcon.asgi
import msgspec
import orjson
from falcon.asgi import Request, Response

from llmsim.errors import BodyTooLargeError, RefusedError, ScriptError
from llmsim.scripts import ScriptFormat, read
from llmsim.server.script_player import DEFAULT, NAMES, is_name
from llmsim.server.turns import HungUpError, read_body
from llmsim.state.journal import Entry
from llmsim.state.script_registry import ScriptInfo
from llmsim.state.sessions import SessionProgress
from llmsim.state.shared import Shared
from llmsim.text import nearest, printable

_FORMS: dict[str, ScriptFormat] = {
    "application/json": "json",
    "application/toml": "toml",
    "text/toml": "toml",
    "application/yaml": "yaml",
    "application/x-yaml": "yaml",
    "text/yaml": "yaml",
    "text/x-yaml": "yaml",
}
_RESET = "/reset"
_MOST_LISTED = 1000


class _DeniedError(Exception):
    """A call that is not answered.

    Attributes:
        status: HTTP status code.
        problems: What is wrong, a sentence each.
    """

    def __init__(self, status: int, *problems: str) -> None:
        super().__init__("\n".join(problems))
        self.status = status
        self.problems = problems


def _send(resp: Response, status: int, body: dict[str, Any]) -> None:
    resp.status = status
    resp.content_type = "application/json"
    resp.set_header("cache-control", "no-store")
    resp.data = orjson.dumps(body)


async def _denied(_req: Request, resp: Response, error: _DeniedError, _params: object, **_: Any) -> None:
    kind = "not_found" if error.status == 404 else "invalid_request"
    told = {"message": str(error), "type": kind, "problems": error.problems}
    _send(resp, error.status, {"error": told})


class AdminState:
    """What the control API works on.

    Args:
        shared: What all workers share.
        profiles: Names of the latency profiles.
        max_body_bytes: Largest script that is read.
        has_default: Whether requests that name no script get one.
    """

    def __init__(
        self, shared: Shared, profiles: Collection[str], max_body_bytes: int, *, has_default: bool
    ) -> None:
        self.sessions = shared.sessions
        self.journal = shared.journal
        self.library = shared.library
        self.profiles = profiles
        self.max_body_bytes = max_body_bytes
        self.has_default = has_default

    def script(self, volume: ScriptInfo) -> dict[str, Any]:
        """Tell of a script."""
        return {
            "name": volume.name,
            "description": volume.description,
            "turns": volume.turns,
            "length": volume.length,
            "on_exhausted": volume.on_exhausted,
            "is_default": self.has_default and volume.name == DEFAULT,
            "origin": volume.origin,
            "form": volume.form,
        }

    def standings(self, standings: list[SessionProgress], *, failures: bool = False) -> list[dict[str, Any]]:
        """Tell where sessions stand."""
        volumes = {name: self.library.get(name) for name in {one.script for one in standings}}
        return [_standing(one, volumes[one.script], failures=failures) for one in standings]

    def reset(self, session: str | None) -> dict[str, int]:
        """Let one session, or all, begin anew, with an empty journal."""
        return {
            "sessions_reset": self.sessions.forget(session),
            "requests_forgotten": self.journal.clear(session),
        }


class _Scripts:
    """`/llmsim/scripts`: all scripts that are loaded."""

    def __init__(self, desk: AdminState) -> None:
        self._desk = desk

    async def on_get(self, req: Request, resp: Response) -> None:
        """List them."""
        _send(resp, 200, {"scripts": [self._desk.script(volume) for volume in self._desk.library.all()]})


class _Script:
    """`/llmsim/scripts/{name}`: one script."""

    def __init__(self, desk: AdminState) -> None:
        self._desk = desk

    async def on_get(self, req: Request, resp: Response, name: str) -> None:
        """Show it."""
        volume, source = self._desk.library.get(name), self._desk.library.source(name)
        if volume is None or source is None:
            raise _unknown_script(name)
        _send(resp, 200, self._desk.script(volume) | {"source": source.decode()})

    async def on_put(self, req: Request, resp: Response, name: str) -> None:
        """Load it, in place of the one of that name if there is any."""
        if not is_name(name):
            raise _DeniedError(400, f"name: {NAMES}")
        form = _form(req)
        try:
            data = await read_body(req, self._desk.max_body_bytes)
            # In a thread: a large script takes a second, and streams go on meanwhile.
            known = await asyncio.get_running_loop().run_in_executor(None, self._put, name, form, data)
        except ScriptError as error:
            raise _DeniedError(400, *error.problems) from None
        except RefusedError as error:
            status = 413 if isinstance(error, BodyTooLargeError) else 400
            raise _DeniedError(status, str(error)) from None
        except HungUpError:
            return
        volume = self._desk.library.get(name)
        if volume is None:
            # Somebody has deleted it in this moment.
            raise _unknown_script(name)
        _send(resp, 200 if known else 201, self._desk.script(volume))

    def _put(self, name: str, form: ScriptFormat, data: bytes) -> bool:
        script = read(data, form, name, profiles=self._desk.profiles)
        known = self._desk.library.put(name, form, data, script)
        self._desk.sessions.forget(script=name)
        return known

    async def on_delete(self, req: Request, resp: Response, name: str) -> None:
        """Forget it, and where sessions stand in it."""
        if not self._desk.library.delete(name):
            raise _unknown_script(name)
        self._desk.sessions.forget(script=name)
        _send(resp, 200, {"name": name, "deleted": True})


class _Sessions:
    """`/llmsim/sessions`: the sessions that were used last."""

    def __init__(self, desk: AdminState) -> None:
        self._desk = desk

    async def on_get(self, req: Request, resp: Response) -> None:
        """List them."""
        _only(req, "limit")
        limit = _number(req, "limit", 100, 1, _MOST_LISTED)
        standings = self._desk.sessions.standings(limit=limit + 1)
        shown = self._desk.standings(standings[:limit])
        _send(resp, 200, {"sessions": shown, "has_more": len(standings) > limit})


class _Session:
    """`/llmsim/sessions/{session}`: one session, and `/llmsim/sessions/{session}/reset`."""

    def __init__(self, desk: AdminState) -> None:
        self._desk = desk

    async def on_get(self, req: Request, resp: Response, session: str) -> None:
        """Show where it stands in each of its scripts."""
        standings = self._desk.sessions.standings(session)
        entries, _ = self._desk.journal.read(session, limit=1)
        if not standings and not entries:
            raise _DeniedError(404, f"session {session[:200]!r} has asked for nothing")
        _send(resp, 200, {"session": session, "scripts": self._desk.standings(standings, failures=True)})

    async def on_delete(self, req: Request, resp: Response, session: str) -> None:
        """Let it begin anew, with an empty journal."""
        _send(resp, 200, {"session": session} | self._desk.reset(session))

    async def on_post(self, req: Request, resp: Response, session: str) -> None:
        """Let it begin anew, with an empty journal."""
        if not session.endswith(_RESET):
            raise falcon.HTTPMethodNotAllowed(["DELETE", "GET"])
        name = session.removesuffix(_RESET)
        _send(resp, 200, {"session": name} | self._desk.reset(name))


class _Reset:
    """`/llmsim/reset`: everything, anew."""

    def __init__(self, desk: AdminState) -> None:
        self._desk = desk

    async def on_post(self, req: Request, resp: Response) -> None:
        """Forget all sessions and the journal; scripts stay."""
        _send(resp, 200, self._desk.reset(None))


class _Requests:
    """`/llmsim/requests`: what requests asked and got."""

    def __init__(self, desk: AdminState) -> None:
        self._desk = desk

    async def on_get(self, req: Request, resp: Response) -> None:
        """Tell it, the oldest first."""
        _only(req, "session", "after", "limit", "last")
        after = _number(req, "after", 0, 0, 2**62)
        last = _number(req, "last", 0, 0, _MOST_LISTED)
        limit = last or _number(req, "limit", 100, 1, _MOST_LISTED)
        session = req.get_param("session")
        entries, more = self._desk.journal.read(session, after=after, limit=limit, last=last > 0)
        _send(resp, 200, {"requests": [_entry(entry) for entry in entries], "has_more": more})


PATHS = ("/llmsim/scripts", "/llmsim/sessions", "/llmsim/requests", "/llmsim/reset")
"""Where the control API is."""


def add_control(app: falcon.asgi.App[Any, Any], desk: AdminState) -> None:
    """Add the resources of the control API to an app."""
    app.add_route("/llmsim/scripts", _Scripts(desk))
    app.add_route("/llmsim/scripts/{name:path}", _Script(desk))
    app.add_route("/llmsim/sessions", _Sessions(desk))
    app.add_route("/llmsim/sessions/{session:path}", _Session(desk))
    app.add_route("/llmsim/requests", _Requests(desk))
    app.add_route("/llmsim/reset", _Reset(desk))
    app.add_error_handler(_DeniedError, _denied)


def _form(req: Request) -> ScriptFormat:
    sent = (req.content_type or "application/json").partition(";")[0].strip().lower()
    form = _FORMS.get(sent)
    if form is None:
        raise _DeniedError(415, f"content-type {sent[:100]!r}: wanted one of {', '.join(_FORMS)}")
    return form


def _only(req: Request, *names: str) -> None:
    """Refuse a parameter that nobody reads: with `sesion=a`, everybody's requests would be told."""
    for given in req.params:
        if given not in names:
            near = nearest(given, names)
            hint = f"; did you mean {near!r}?" if near else f". One of: {', '.join(names)}"
            raise _DeniedError(400, f"{printable(given[:100])}: unknown parameter{hint}")


def _number(req: Request, name: str, default: int, least: int, most: int) -> int:
    text = req.get_param(name)
    if text is None:
        return default
    if not text.isascii() or not text.isdigit() or len(text) > 19 or not least <= int(text) <= most:
        raise _DeniedError(400, f"{name}: wanted a whole number from {least} to {most}, found {text[:100]!r}")
    return int(text)


def _unknown_script(name: str) -> _DeniedError:
    return _DeniedError(404, f"no script {name[:200]!r} is loaded")


def _standing(standing: SessionProgress, volume: ScriptInfo | None, *, failures: bool) -> dict[str, Any]:
    length = None if volume is None else volume.length
    told: dict[str, Any] = {
        "session": standing.session,
        "script": standing.script,
        "cursor": standing.cursor,
        "length": length,
        "finished": length is not None and standing.cursor >= length,
        "turns_played": standing.played,
        "expectations_met": standing.met,
        "expectations_failed": standing.failed,
        "begun_at": standing.begun,
        "used_at": standing.used,
    }
    if failures:
        told["failures"] = [msgspec.to_builtins(failure) for failure in standing.failures]
    return told


def _entry(entry: Entry) -> orjson.Fragment:
    head = {
        "number": entry.number,
        "session": entry.session or None,
        "at": entry.at,
        "outcome": entry.outcome,
        "seconds": entry.seconds,
    }
    # One object of two, as they are: its numbers may be larger than those that could be written here.
    return orjson.Fragment(orjson.dumps(head)[:-1] + b"," + entry.data[1:])
