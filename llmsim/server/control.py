"""The control API: scripts, sessions and the journal, for tests and for those who look after them.

Decisions:
* Errors are told as `{"error": {"message", "type", "problems"}}`; a bad script is refused with all that is wrong with
  it, and changes nothing.
* A script that is sent begins anew for every session: what was played of its former self counts no more.
"""

import json
from collections.abc import Collection
from typing import Any

import msgspec
import orjson
from falcon.asgi import Request, Response

from llmsim.errors import BodyTooLargeError, RefusedError, ScriptError
from llmsim.scripts import Form, Script, read
from llmsim.server.stage import DEFAULT
from llmsim.server.turns import HungUpError, read_body
from llmsim.state.journal import Entry
from llmsim.state.library import Volume
from llmsim.state.sessions import Standing
from llmsim.state.shared import Shared

_FORMS: dict[str, Form] = {
    "application/json": "json",
    "application/toml": "toml",
    "text/toml": "toml",
    "application/yaml": "yaml",
    "application/x-yaml": "yaml",
    "text/yaml": "yaml",
    "text/x-yaml": "yaml",
}
_LONGEST_NAME = 200
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


def _deny(resp: Response, error: _DeniedError) -> None:
    kind = "not_found" if error.status == 404 else "invalid_request"
    told = {"message": str(error), "type": kind, "problems": error.problems}
    _send(resp, error.status, {"error": told})


class _Resource:
    """What all resources of the control API share."""

    def __init__(self, shared: Shared, profiles: Collection[str], max_body_bytes: int) -> None:
        self._shared = shared
        self._profiles = profiles
        self._max_body_bytes = max_body_bytes


class Scripts(_Resource):
    """`/llmsim/scripts`: all scripts that are loaded."""

    async def on_get(self, req: Request, resp: Response) -> None:
        """List them."""
        volumes = self._shared.library.all()
        _send(resp, 200, {"scripts": [_script(volume, self._profiles) for volume in volumes]})


class NamedScript(_Resource):
    """`/llmsim/scripts/{name}`: one script."""

    async def on_get(self, req: Request, resp: Response, name: str) -> None:
        """Show it."""
        volume = self._shared.library.get(name)
        if volume is None:
            _deny(resp, _unknown_script(name))
            return
        _send(resp, 200, _script(volume, self._profiles) | {"source": volume.data.decode()})

    async def on_put(self, req: Request, resp: Response, name: str) -> None:
        """Load it, in place of the one of that name if there is any."""
        try:
            form, data = _form(req), await read_body(req, self._max_body_bytes)
            if not 0 < len(name) <= _LONGEST_NAME or not name.isprintable():
                raise _DeniedError(400, f"name: wanted 1 to {_LONGEST_NAME} printable characters")
            script = read(data, form, name, profiles=self._profiles)
        except _DeniedError as error:
            _deny(resp, error)
        except ScriptError as error:
            _deny(resp, _DeniedError(400, *error.problems))
        except BodyTooLargeError as error:
            _deny(resp, _DeniedError(413, str(error)))
        except RefusedError as error:
            _deny(resp, _DeniedError(400, str(error)))
        except HungUpError:
            return
        else:
            known = self._shared.library.put(name, form, data)
            self._shared.sessions.forget(script=name)
            _send(resp, 200 if known else 201, _summary(name, script) | {"origin": "uploaded", "form": form})

    async def on_delete(self, req: Request, resp: Response, name: str) -> None:
        """Forget it, and where sessions stand in it."""
        if not self._shared.library.delete(name):
            _deny(resp, _unknown_script(name))
            return
        self._shared.sessions.forget(script=name)
        _send(resp, 200, {"name": name, "deleted": True})


class AllSessions(_Resource):
    """`/llmsim/sessions`: the sessions that were used last."""

    async def on_get(self, req: Request, resp: Response) -> None:
        """List them."""
        try:
            limit = _number(req, "limit", 100, 1, _MOST_LISTED)
        except _DeniedError as error:
            _deny(resp, error)
            return
        standings = self._shared.sessions.standings(limit=limit + 1)
        shown = [_standing(one, self._length(one.script)) for one in standings[:limit]]
        _send(resp, 200, {"sessions": shown, "has_more": len(standings) > limit})

    def _length(self, script: str) -> int | None:
        return _length(self._shared, script, self._profiles)


class NamedSession(_Resource):
    """`/llmsim/sessions/{session}`: one session."""

    async def on_get(self, req: Request, resp: Response, session: str) -> None:
        """Show where it stands in each of its scripts."""
        standings = self._shared.sessions.standings(session)
        entries, _ = self._shared.journal.read(session, limit=1)
        if not standings and not entries:
            _deny(resp, _DeniedError(404, f"session {session!r} has asked for nothing"))
            return
        lengths = {one.script: _length(self._shared, one.script, self._profiles) for one in standings}
        scripts = [_standing(one, lengths[one.script], failures=True) for one in standings]
        _send(resp, 200, {"session": session, "scripts": scripts})

    async def on_delete(self, req: Request, resp: Response, session: str) -> None:
        """Let it begin anew, with an empty journal."""
        _send(resp, 200, {"session": session} | _reset(self._shared, session))


class SessionReset(_Resource):
    """`/llmsim/sessions/{session}/reset`: one session, anew."""

    async def on_post(self, req: Request, resp: Response, session: str) -> None:
        """Let it begin anew, with an empty journal."""
        _send(resp, 200, {"session": session} | _reset(self._shared, session))


class Reset(_Resource):
    """`/llmsim/reset`: everything, anew."""

    async def on_post(self, req: Request, resp: Response) -> None:
        """Forget all sessions and the journal; scripts stay."""
        _send(resp, 200, _reset(self._shared, None))


class Requests(_Resource):
    """`/llmsim/requests`: what requests asked and got."""

    async def on_get(self, req: Request, resp: Response) -> None:
        """Tell it, the oldest first."""
        try:
            after = _number(req, "after", 0, 0, 2**62)
            limit = _number(req, "limit", 100, 1, _MOST_LISTED)
        except _DeniedError as error:
            _deny(resp, error)
            return
        entries, more = self._shared.journal.read(req.get_param("session"), after=after, limit=limit)
        _send(resp, 200, {"requests": [_entry(entry) for entry in entries], "has_more": more})


ROUTES: dict[str, type[_Resource]] = {
    "/llmsim/scripts": Scripts,
    "/llmsim/scripts/{name}": NamedScript,
    "/llmsim/sessions": AllSessions,
    "/llmsim/sessions/{session}": NamedSession,
    "/llmsim/sessions/{session}/reset": SessionReset,
    "/llmsim/requests": Requests,
    "/llmsim/reset": Reset,
}
"""Resources of the control API by path."""


def _form(req: Request) -> Form:
    sent = (req.content_type or "application/json").partition(";")[0].strip().lower()
    form = _FORMS.get(sent)
    if form is None:
        raise _DeniedError(415, f"content-type {sent[:100]!r}: wanted one of {', '.join(_FORMS)}")
    return form


def _number(req: Request, name: str, default: int, least: int, most: int) -> int:
    text = req.get_param(name)
    if text is None:
        return default
    if not text.isascii() or not text.isdigit() or len(text) > 19 or not least <= int(text) <= most:
        raise _DeniedError(400, f"{name}: wanted a whole number from {least} to {most}, found {text[:100]!r}")
    return int(text)


def _unknown_script(name: str) -> _DeniedError:
    return _DeniedError(404, f"no script {name[:_LONGEST_NAME]!r} is loaded")


def _script(volume: Volume, profiles: Collection[str]) -> dict[str, Any]:
    script = read(volume.data, volume.form, volume.name, profiles=profiles)
    return _summary(volume.name, script) | {"origin": volume.origin, "form": volume.form}


def _summary(name: str, script: Script) -> dict[str, Any]:
    return {
        "name": name,
        "description": script.description,
        "turns": len(script.turns),
        "length": script.length,
        "on_exhausted": script.on_exhausted.value,
        "is_default": name == DEFAULT,
    }


def _length(shared: Shared, name: str, profiles: Collection[str]) -> int | None:
    """Tell how many requests a script answers; None if it is gone."""
    volume = shared.library.get(name)
    return None if volume is None else read(volume.data, volume.form, name, profiles=profiles).length


def _standing(standing: Standing, length: int | None, *, failures: bool = False) -> dict[str, Any]:
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


def _entry(entry: Entry) -> dict[str, Any]:
    told: dict[str, Any] = json.loads(entry.data)
    head = {
        "number": entry.number,
        "session": entry.session or None,
        "at": entry.at,
        "outcome": entry.outcome,
        "seconds": entry.seconds,
    }
    return head | told


def _reset(shared: Shared, session: str | None) -> dict[str, int]:
    return {
        "sessions_reset": shared.sessions.forget(session),
        "requests_forgotten": shared.journal.clear(session),
    }
