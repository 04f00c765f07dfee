"""The part of the control API that shows and changes settings: `/llmsim/settings` and `/llmsim/timeline`.

Decisions:
* A change is of all that it names, or of nothing; it is in force for every request that comes after its answer, on any worker.
* Values of secret settings are never shown, those of a timeline neither.
"""

from typing import Any

import falcon
import falcon.asgi
import msgspec
from falcon.asgi import Request, Response

from llmsim.config import DEFAULT, is_changeable, setting_specs
from llmsim.config.specs import find_spec, show_name
from llmsim.config.tables import MOST_PROBLEMS
from llmsim.config.timeline import MOST_SOURCE_BYTES, TimelineStep
from llmsim.errors import BodyTooLargeError, ConfigError, RefusedError
from llmsim.json_source import HALF_CHARACTER, JsonError, is_encodable, parse_json
from llmsim.server.admin_api import DeniedError, check_parameters, send
from llmsim.server.live_settings import LiveSettings
from llmsim.server.transport.bodies import BodyReader, DisconnectedError

_UPLOADED = "uploaded"
_FORMATS = {
    "application/toml": "toml",
    "text/toml": "toml",
    "application/json": "json",
}


def add_settings(app: falcon.asgi.App[Any, Any], live: LiveSettings, bodies: BodyReader) -> None:
    """Add the resources to an app.

    Args:
        app: The app.
        live: The settings in force.
        bodies: Reads changes.
    """
    app.add_route("/llmsim/settings", _Settings(live, bodies))
    app.add_route("/llmsim/timeline", _Timeline(live, bodies))


async def _read(bodies: BodyReader, req: Request) -> bytes | None:
    """Return the body of a request; None if the client has gone."""
    try:
        return await bodies.read(req)
    except RefusedError as error:
        status = 413 if isinstance(error, BodyTooLargeError) else 400
        raise DeniedError(getattr(error, "status", status), str(error)) from None
    except DisconnectedError:
        return None


class _Settings:
    """`/llmsim/settings`: the settings in force."""

    def __init__(self, live: LiveSettings, bodies: BodyReader) -> None:
        self._live = live
        self._bodies = bodies

    async def on_get(self, req: Request, resp: Response) -> None:
        """List them."""
        check_parameters(req)
        send(resp, 200, render_settings(self._live))

    async def on_patch(self, req: Request, resp: Response) -> None:
        """Change some of them, for all workers."""
        check_parameters(req)
        body = await _read(self._bodies, req)
        if body is None:
            return
        try:
            names = await self._live.change(_parse_changes(body))
        except ConfigError as error:
            raise DeniedError(400, *str(error).splitlines()) from None
        send(resp, 200, {"changed": names} | render_settings(self._live))


def _parse_changes(body: bytes) -> dict[str, Any]:
    """Parse changes of settings.

    Raises:
        ConfigError: They are no object of JSON, or too large.
    """
    if len(body) > MOST_SOURCE_BYTES:
        raise ConfigError(f"wanted at most {MOST_SOURCE_BYTES:,} bytes, found {len(body):,}")
    try:
        changes, _, repeated = parse_json(body.decode())
    except (JsonError, UnicodeDecodeError) as error:
        raise ConfigError(f"the body is not JSON: {str(error).removeprefix('not JSON: ')}") from None
    if not is_encodable(changes):
        raise ConfigError(f"the body is not JSON: {HALF_CHARACTER}")
    if not isinstance(changes, dict) or not changes:
        raise ConfigError('wanted an object of settings, such as {"errors.rate_limit_rate": 0.2}')
    if repeated:
        names = (show_name(".".join(map(str, path))) for path in repeated[:MOST_PROBLEMS])
        raise ConfigError("\n".join(f"{name}: given twice" for name in names))
    return changes


def render_settings(live: LiveSettings) -> dict[str, Any]:
    """Return each setting with its value, as TOML has it, and its origin; of a secret one the value is not shown."""
    settings = live.settings
    return {
        "epoch": live.epoch,
        "settings": [
            {
                "name": spec.name,
                "value": "unset"
                if (value := getattr(getattr(settings, spec.section), spec.key)) is None
                else spec.show(value),
                "origin": live.origin(spec.name) or DEFAULT,
                "changeable": is_changeable(spec),
            }
            for spec in setting_specs()
        ],
    }


class _Timeline:
    """`/llmsim/timeline`: settings by the clock."""

    def __init__(self, live: LiveSettings, bodies: BodyReader) -> None:
        self._live = live
        self._bodies = bodies

    async def on_get(self, req: Request, resp: Response) -> None:
        """Show it, and how far it is."""
        check_parameters(req)
        send(resp, 200, {"timeline": render_timeline(self._live)})

    async def on_put(self, req: Request, resp: Response) -> None:
        """Start one, in place of the one that runs, if any."""
        check_parameters(req)
        sent = (req.content_type or "application/toml").partition(";")[0].strip().lower()
        # What `curl --data-binary` sends unless it is asked for something else.
        source_format = "toml" if sent == "application/x-www-form-urlencoded" else _FORMATS.get(sent)
        if source_format is None:
            raise DeniedError(415, f"content-type {sent[:100]!r}: wanted one of {', '.join(_FORMATS)}")
        body = await _read(self._bodies, req)
        if body is None:
            return
        try:
            await self._live.set_timeline(body, "json" if source_format == "json" else "toml", _UPLOADED)
        except ConfigError as error:
            raise DeniedError(400, *str(error).splitlines()) from None
        send(resp, 200, {"timeline": render_timeline(self._live)})

    async def on_delete(self, req: Request, resp: Response) -> None:
        """End it."""
        check_parameters(req)
        send(resp, 200, {"deleted": await self._live.end_timeline()})


def render_timeline(live: LiveSettings) -> dict[str, Any] | None:
    """Return the timeline, and how far it is; None if there is none."""
    timeline, running = live.timeline, live.changes.timeline
    if timeline is None or running is None:
        return None
    moment = live.moment
    return {
        "name": timeline.name,
        "origin": running.origin,
        "started_at": running.started,
        "elapsed_secs": round(live.elapsed(), 3),
        "step": moment.step,
        "step_name": moment.name,
        "steps": [_render_step(step) for step in timeline.steps],
        "in_force": _render_values(moment.values),
    }


def _render_step(step: TimelineStep) -> dict[str, Any]:
    return {
        "at_secs": step.at,
        "ramp_secs": step.ramp,
        "name": step.name,
        "settings": _render_values(step.values),
    }


def _render_values(values: Any) -> dict[str, str]:
    return {
        name: "unset" if value is msgspec.UNSET or (spec := find_spec(name)) is None else spec.show(value)
        for name, value in values.items()
    }
