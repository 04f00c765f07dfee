"""The control API: scripts, sessions and the journal, for tests and operators.

Decisions:
* Errors are rendered as `{"error": {"message", "type", "problems"}}`; an invalid script is refused with all of its
  problems, and changes nothing.
* A script that is sent begins anew for every session: progress in its previous version no longer counts.
* Names may contain slashes, as those of tests do: the server gets paths in which `%2F` is already decoded to `/`.
"""

import asyncio
from collections.abc import Awaitable, Callable, Collection
from functools import partial
from typing import Any

import falcon
import falcon.asgi
import msgspec
import orjson
from falcon.asgi import Request, Response

from llmsim.errors import BodyTooLargeError, RefusedError, ScriptError
from llmsim.scripts import ScriptFormat, read
from llmsim.server.client_watch import session_client
from llmsim.server.controls import NAMES, is_name
from llmsim.server.script_player import DEFAULT
from llmsim.server.transport.bodies import BodyReader, DisconnectedError
from llmsim.state.journal_port import JournalEntry
from llmsim.state.ports import ScriptInfo, SessionProgress, State
from llmsim.text import nearest, printable

_FORMATS: dict[str, ScriptFormat] = {
    "application/json": "json",
    "application/toml": "toml",
    "text/toml": "toml",
    "application/yaml": "yaml",
    "application/x-yaml": "yaml",
    "text/yaml": "yaml",
    "text/x-yaml": "yaml",
}
_RESET = "/reset"
_MAX_LISTED = 1000


class DeniedError(Exception):
    """A request that is refused.

    Attributes:
        status: HTTP status code.
        problems: Why, a sentence each.
    """

    def __init__(self, status: int, *problems: str) -> None:
        super().__init__("\n".join(problems))
        self.status = status
        self.problems = problems


def send(resp: Response, status: int, body: dict[str, Any]) -> None:
    """Send a response of the control API."""
    resp.status = status
    resp.content_type = "application/json"
    resp.set_header("cache-control", "no-store")
    resp.data = orjson.dumps(body)


async def _denied(_req: Request, resp: Response, error: DeniedError, _params: object, **_: Any) -> None:
    kind = "not_found" if error.status == 404 else "invalid_request"
    body = {"message": str(error), "type": kind, "problems": error.problems}
    send(resp, error.status, {"error": body})


class AdminState:
    """What the resources of the control API share.

    Args:
        state: The state of all workers.
        profiles: Names of the latency profiles.
        bodies: Reads scripts.
        has_default: Whether requests that name no script play one.
        begin_anew: Lets all that hosts share begin anew; returns whether they share anything.
    """

    def __init__(
        self,
        state: State,
        profiles: Collection[str],
        bodies: BodyReader,
        *,
        has_default: bool,
        begin_anew: Callable[[], Awaitable[bool]],
    ) -> None:
        self.begin_anew = begin_anew
        self.sessions = state.sessions
        self.journal = state.journal
        self.scripts = state.scripts
        self.clients = state.clients
        self.profiles = profiles
        self.bodies = bodies
        self.has_default = has_default

    def render_script(self, info: ScriptInfo) -> dict[str, Any]:
        """Render a script's metadata."""
        return {
            "name": info.name,
            "description": info.description,
            "turns": info.turns,
            "length": info.length,
            "on_exhausted": info.on_exhausted,
            "is_default": self.has_default and info.name == DEFAULT,
            "origin": info.origin,
            "form": info.source_format,
        }

    async def render_progress(
        self, progress: list[SessionProgress], *, failures: bool = False
    ) -> list[dict[str, Any]]:
        """Render the progress of sessions."""
        infos = {name: await self.scripts.get(name) for name in {one.script for one in progress}}
        return [_render_progress(one, infos[one.script], failures=failures) for one in progress]

    async def reset(self, session: str | None) -> dict[str, int]:
        """Reset one session, or all, and clear their journal and what is reported of them as clients."""
        await self.clients.forget(None if session is None else session_client(session).digest)
        return {
            "sessions_reset": await self.sessions.forget(session),
            "requests_forgotten": await self.journal.clear(session),
        }


class _Scripts:
    """`/llmsim/scripts`: all scripts that are loaded."""

    def __init__(self, admin: AdminState) -> None:
        self._admin = admin

    async def on_get(self, req: Request, resp: Response) -> None:
        """List them."""
        infos = await self._admin.scripts.list_scripts()
        send(resp, 200, {"scripts": [self._admin.render_script(info) for info in infos]})


class _Script:
    """`/llmsim/scripts/{name}`: one script."""

    def __init__(self, admin: AdminState) -> None:
        self._admin = admin

    async def on_get(self, req: Request, resp: Response, name: str) -> None:
        """Show it."""
        scripts = self._admin.scripts
        info, source = await scripts.get(name), await scripts.source(name)
        if info is None or source is None:
            raise _unknown_script(name)
        send(resp, 200, self._admin.render_script(info) | {"source": source.decode()})

    async def on_put(self, req: Request, resp: Response, name: str) -> None:
        """Load it, in place of the one of that name, if any."""
        admin = self._admin
        if not is_name(name):
            raise DeniedError(400, f"name: {NAMES}")
        source_format = source_format_of(req)
        try:
            source = await admin.bodies.read(req)
            # In a thread: a large script takes a second to parse, and streams go on meanwhile.
            parse = partial(read, source, source_format, name, profiles=admin.profiles)
            async with admin.bodies.parsing:
                script = await asyncio.get_running_loop().run_in_executor(None, parse)
        except ScriptError as error:
            raise DeniedError(400, *error.problems) from None
        except RefusedError as error:
            status = 413 if isinstance(error, BodyTooLargeError) else 400
            raise DeniedError(getattr(error, "status", status), str(error)) from None
        except DisconnectedError:
            return
        existed = await admin.scripts.put(name, source, source_format, script)
        await admin.sessions.forget(script=name)
        info = await admin.scripts.get(name)
        if info is None:
            # Another request has deleted it in the meantime.
            raise _unknown_script(name)
        send(resp, 200 if existed else 201, admin.render_script(info))

    async def on_delete(self, req: Request, resp: Response, name: str) -> None:
        """Delete it, and the progress of sessions in it."""
        if not await self._admin.scripts.delete(name):
            raise _unknown_script(name)
        await self._admin.sessions.forget(script=name)
        send(resp, 200, {"name": name, "deleted": True})


class _Sessions:
    """`/llmsim/sessions`: the sessions that were used last."""

    def __init__(self, admin: AdminState) -> None:
        self._admin = admin

    async def on_get(self, req: Request, resp: Response) -> None:
        """List them."""
        check_parameters(req, "limit")
        limit = _parse_number(req, "limit", 100, 1, _MAX_LISTED)
        progress = await self._admin.sessions.list_progress(limit=limit + 1)
        shown = await self._admin.render_progress(progress[:limit])
        send(resp, 200, {"sessions": shown, "has_more": len(progress) > limit})


class _Session:
    """`/llmsim/sessions/{session}`: one session, and `/llmsim/sessions/{session}/reset`."""

    def __init__(self, admin: AdminState) -> None:
        self._admin = admin

    async def on_get(self, req: Request, resp: Response, session: str) -> None:
        """Show its progress in each of its scripts."""
        progress = await self._admin.sessions.list_progress(session)
        entries, _ = await self._admin.journal.read(session, limit=1)
        if not progress and not entries:
            raise DeniedError(404, f"session {session[:200]!r} has asked for nothing")
        scripts = await self._admin.render_progress(progress, failures=True)
        send(resp, 200, {"session": session, "scripts": scripts})

    async def on_delete(self, req: Request, resp: Response, session: str) -> None:
        """Reset it and clear its journal."""
        send(resp, 200, {"session": session} | await self._admin.reset(session))

    async def on_post(self, req: Request, resp: Response, session: str) -> None:
        """Reset it and clear its journal."""
        if not session.endswith(_RESET):
            raise falcon.HTTPMethodNotAllowed(["DELETE", "GET"])
        name = session.removesuffix(_RESET)
        send(resp, 200, {"session": name} | await self._admin.reset(name))


class _Reset:
    """`/llmsim/reset`: all sessions and the journal."""

    def __init__(self, admin: AdminState) -> None:
        self._admin = admin

    async def on_post(self, req: Request, resp: Response) -> None:
        """Forget all sessions and clear the journal, scripts stay; with `scope=all` everything that hosts share."""
        check_parameters(req, "scope")
        scope = req.get_param("scope", default="sessions")
        if scope not in ("sessions", "all"):
            raise DeniedError(400, f"scope: wanted sessions or all, found {scope[:100]!r}")
        counts = await self._admin.reset(None)
        if scope == "all" and not await self._admin.begin_anew():
            raise DeniedError(
                400,
                "scope: all is for hosts that share their state, and state.url is not set; restart the server",
            )
        send(resp, 200, counts)


class _Requests:
    """`/llmsim/requests`: the journal."""

    def __init__(self, admin: AdminState) -> None:
        self._admin = admin

    async def on_get(self, req: Request, resp: Response) -> None:
        """Show its entries, the oldest first."""
        check_parameters(req, "session", "after", "limit", "last")
        after = _parse_number(req, "after", 0, 0, 2**62)
        last = _parse_number(req, "last", 0, 0, _MAX_LISTED)
        limit = last or _parse_number(req, "limit", 100, 1, _MAX_LISTED)
        session = req.get_param("session")
        entries, more = await self._admin.journal.read(session, after=after, limit=limit, last=last > 0)
        send(resp, 200, {"requests": [_render_entry(entry) for entry in entries], "has_more": more})


PATHS = (
    "/llmsim/scripts",
    "/llmsim/sessions",
    "/llmsim/requests",
    "/llmsim/reset",
    "/llmsim/settings",
    "/llmsim/clients",
    "/llmsim/rules",
    "/llmsim/explain",
    "/llmsim/timeline",
)
"""Paths of the control API."""


def add_control(app: falcon.asgi.App[Any, Any], admin: AdminState) -> None:
    """Add the resources of the control API to an app."""
    app.add_route("/llmsim/scripts", _Scripts(admin))
    app.add_route("/llmsim/scripts/{name:path}", _Script(admin))
    app.add_route("/llmsim/sessions", _Sessions(admin))
    app.add_route("/llmsim/sessions/{session:path}", _Session(admin))
    app.add_route("/llmsim/requests", _Requests(admin))
    app.add_route("/llmsim/reset", _Reset(admin))
    app.add_error_handler(DeniedError, _denied)


def source_format_of(req: Request) -> ScriptFormat:
    """Return the format of a body by its content type; refuse others."""
    sent = (req.content_type or "application/json").partition(";")[0].strip().lower()
    source_format = _FORMATS.get(sent)
    if source_format is None:
        raise DeniedError(415, f"content-type {sent[:100]!r}: wanted one of {', '.join(_FORMATS)}")
    return source_format


def check_parameters(req: Request, *names: str) -> None:
    """Refuse an unknown parameter: with `sesion=a`, the requests of all sessions would be shown."""
    for given in req.params:
        if given not in names:
            near = nearest(given, names)
            hint = f"; did you mean {near!r}?" if near else f". One of: {', '.join(names)}"
            raise DeniedError(400, f"{printable(given[:100])}: unknown parameter{hint}")


def _parse_number(req: Request, name: str, default: int, minimum: int, maximum: int) -> int:
    text = req.get_param(name)
    if text is None:
        return default
    if not text.isascii() or not text.isdigit() or len(text) > 19 or not minimum <= int(text) <= maximum:
        raise DeniedError(
            400, f"{name}: wanted a whole number from {minimum} to {maximum}, found {text[:100]!r}"
        )
    return int(text)


def _unknown_script(name: str) -> DeniedError:
    return DeniedError(404, f"no script {name[:200]!r} is loaded")


def _render_progress(progress: SessionProgress, info: ScriptInfo | None, *, failures: bool) -> dict[str, Any]:
    length = None if info is None else info.length
    rendered: dict[str, Any] = {
        "session": progress.session,
        "script": progress.script,
        "cursor": progress.cursor,
        "length": length,
        "finished": length is not None and progress.cursor >= length,
        "turns_played": progress.played,
        "expectations_met": progress.met,
        "expectations_failed": progress.failed,
        "begun_at": progress.begun,
        "used_at": progress.used,
    }
    if failures:
        rendered["failures"] = [msgspec.to_builtins(failure) for failure in progress.failures]
    return rendered


def _render_entry(entry: JournalEntry) -> orjson.Fragment:
    head = {
        "number": entry.number,
        "session": entry.session or None,
        "at": entry.at,
        "outcome": entry.outcome,
        "seconds": entry.seconds,
    }
    if entry.host:
        head["host"] = entry.host
    # The two objects are joined as bytes: the data may contain numbers that orjson cannot encode.
    return orjson.Fragment(orjson.dumps(head)[:-1] + b"," + entry.data[1:])
