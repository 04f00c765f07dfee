"""The ASGI application: made once before the fork, started in every worker after it.

Decisions:
* What is large and read-only (vocabularies, reply pools, catalogue) is loaded before the fork and
  shared by all workers; what must differ (random state, id prefix, wheel, slot) is made after it.
"""

import asyncio
import logging
import os
import time
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

from llmsim.budgets import LIMITS
from llmsim.catalogue import shipped_catalogue
from llmsim.config import Settings
from llmsim.planning.planner import Planner
from llmsim.providers.registry import find_endpoint, has_websocket, providers, request_id_formats
from llmsim.scenarios.files import read_scenario_path
from llmsim.scripts.files import read_scripts
from llmsim.server.access.guard import Guard, add_header_lines, deny_websocket
from llmsim.server.active_request import ActiveRequest, OpenRequest
from llmsim.server.app import create_routes
from llmsim.server.channels import CHANNEL, Receive, Send, channel_opener, direct_writes_problem
from llmsim.server.pacing import TimerWheel
from llmsim.server.processes.loop_monitor import LoopMonitor, usage
from llmsim.server.request_log import RequestLog
from llmsim.server.transport.body_budget import BodyBudget
from llmsim.server.transport.rejections import Rejections
from llmsim.state.directory import run_directory
from llmsim.state.embedded import open_state
from llmsim.state.ports import UPLOADED
from llmsim.stats import Block, Gauges, Recorder

_log = logging.getLogger(__name__)


def _path(configured: str | None) -> Path | None:
    return Path(configured) if configured else None


class Application:
    """llmsim as an ASGI application.

    Attributes:
        settings: What is simulated.
        state: What all workers share.
        bodies: The bytes of bodies that this worker holds.
    """

    def __init__(self, settings: Settings, origins: Mapping[str, str] = MappingProxyType({})) -> None:
        """Load everything that workers can share.

        Args:
            settings: What is simulated.
            origins: Where each setting came from, by dotted name.

        Raises:
            ConfigError: A setting cannot be carried out.
            CatalogueError: The catalogue or a vocabulary is broken.
            ScriptError: A script cannot be played.
        """
        self.settings = settings
        self._origins = origins
        budgets = settings.budgets
        LIMITS.configure(
            json_depth=budgets.json_depth,
            json_values=budgets.json_values,
            pattern_chars=budgets.pattern_chars,
            pattern_ms=budgets.pattern_ms,
            schema_steps=budgets.schema_steps,
        )
        self._catalogue = shipped_catalogue()
        # NOTE: named by the master's pid, which outlives reloads; gunicorn's own flags may have changed the port.
        self._directory = run_directory(settings.server.run_dir, os.environ)
        self.state = open_state(settings, self._directory, time.time)
        self._scripts = read_scripts(
            _path(settings.scripts.dir), _path(settings.response.script_path), self._catalogue.profiles
        )
        scenarios = settings.response.scenarios_path
        self._scenarios = read_scenario_path(scenarios) if scenarios else {}
        self._planner = Planner(settings, self._catalogue, time.time)
        self._planner.warm()
        # NOTE: the source of ids is another one after the fork.
        self._log: RequestLog | None = None
        self._guard = Guard(settings, providers(settings), lambda: self._planner.new_id())

    async def publish_scripts(self) -> None:
        """Register the scripts of the settings for all workers; one that has changed begins anew for every session.

        Those that clients have sent stay, unless a file has their name.
        """
        scripts, sessions = self.state.scripts, self.state.sessions
        for info in await scripts.list_scripts():
            if info.origin != UPLOADED and info.name not in self._scripts:
                await scripts.delete(info.name)
                await sessions.forget(script=info.name)
        for name, file in self._scripts.items():
            known = await scripts.get(name)
            if (
                known is not None
                and known.source_format == file.form
                and await scripts.source(name) == file.data
            ):
                continue
            await scripts.put(name, file.data, file.form, file.script, str(file.path))
            await sessions.forget(script=name)

    def start(self, block: Block, slot: int) -> None:
        """Make what is this process's own; call it in the worker, inside its event loop.

        Args:
            block: The counters of all workers.
            slot: This worker's part of them.
        """
        self._planner.start_process()
        self.state.open()
        self._recorder = Recorder(block, slot)
        self.bodies = BodyBudget(
            self.settings.budgets.max_bodies_bytes, self.settings.budgets.room_timeout_secs
        )
        self._open_request: OpenRequest = ActiveRequest
        if self.settings.server.request_log != "off":
            recorder = self._recorder
            self._log = RequestLog(
                self.settings.server.request_log,
                block.endpoints,
                request_id_formats(),
                asyncio.get_running_loop(),
                lambda lines: recorder.count("log_dropped", lines),
            )
            self._open_request = self._log.open
        self._rejections = Rejections(self._planner.new_id, self._recorder)
        self.reject = self._rejections.render
        direct = self.settings.server.direct_writes
        if direct and (problem := direct_writes_problem()):
            _log.warning("direct writes are off, streams cost more: %s", problem)
            direct = False
        loop = asyncio.get_running_loop()
        wheel = TimerWheel(loop)
        self._open_channel = channel_opener(wheel, direct=direct)
        routes = create_routes(
            self.settings,
            self._catalogue,
            self._planner,
            self.state,
            self._scenarios,
            block=block,
            recorder=self._recorder,
            wheel=wheel,
            bodies=self.bodies,
            origins=self._origins,
            directory=self._directory,
            open_request=self._open_request,
        )
        self._app, self._generations = routes.app, routes.generations
        LoopMonitor(loop, Gauges(block, slot, time.monotonic()), time.monotonic, usage).start()

    def close(self) -> None:
        """Write what is left of the request log; at the end of the worker."""
        if self._log is not None:
            self._log.close()

    async def __call__(self, scope: dict[str, Any], receive: Receive, send: Send) -> None:
        """Answer one request; book its end whatever happens."""
        if scope["type"] != "http":
            denial = self._guard.check_websocket(scope) if scope["type"] == "websocket" else None
            if denial is not None:
                await deny_websocket(scope, send, denial)
            elif scope["type"] == "websocket" and not has_websocket(scope["path"]):
                await self._rejections.refuse_websocket(scope, send)
            else:
                await self._app(scope, receive, send)
            return
        # Generating requests are counted on arrival, before routing.
        endpoint = generation = None
        if scope["method"] == "POST":
            path = scope["path"]
            endpoint, generation = find_endpoint(path), self._generations.get(path)
        active = self._open_request(time.monotonic(), self._recorder, endpoint)
        channel = scope[CHANNEL] = self._open_channel(receive, send, active)
        try:
            denial = self._guard.check(scope, active)
            if denial is not None:
                await channel.reply(denial)
            elif generation is not None and (answered := generation.answer(scope, channel)) is not None:
                try:
                    await answered
                except Exception as error:
                    await generation.crash(error, channel)
            elif active.extra_headers:
                await self._app(scope, receive, add_header_lines(channel.send, active.extra_headers))
            else:
                await self._app(scope, receive, channel.send)
        except asyncio.CancelledError as error:
            # The drain ran out. The end is booked; a traceback for each stream that is aborted would help no one.
            active.finish(error)
            if not channel.disconnect():
                raise
        except BaseException as error:
            active.finish(error)
            raise
        finally:
            if not active.finished:
                active.finish()
            channel.close()
            # PERF: the channel leads to uvicorn's cycle, and that to the scope: ten objects a request that only the garbage
            # collector would find, and nothing else that it has to look for.
            del scope[CHANNEL]
