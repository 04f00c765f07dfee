"""The ASGI application: made once before the fork, started in every worker after it.

Decisions:
* What is large and read-only (vocabularies, reply pools, catalogue) is loaded before the fork and
  shared by all workers; what must differ (random state, id prefix, wheel, slot) is made after it.
"""

import asyncio
import logging
import os
import time
from collections.abc import Awaitable, Collection, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

from llmsim.budgets import LIMITS
from llmsim.catalogue import shipped_catalogue
from llmsim.config import Settings, parse_timeline
from llmsim.errors import ConfigError
from llmsim.planning.overrides import has_tables
from llmsim.planning.planner import Planner
from llmsim.providers.contract import IncomingRequest
from llmsim.providers.registry import find_endpoint, has_websocket, providers, request_id_formats
from llmsim.providers.resource_routes import resource_id_formats
from llmsim.scenarios.files import read_scenario_path
from llmsim.scripts.files import read_scripts
from llmsim.server.access.guard import Guard, add_header_lines, deny_websocket
from llmsim.server.active_request import ActiveRequest, OpenRequest
from llmsim.server.alarms import open_alarm
from llmsim.server.app import create_routes
from llmsim.server.channels import (
    CHANNEL,
    HttpChannel,
    Receive,
    Send,
    channel_opener,
    direct_writes_problem,
)
from llmsim.server.engine.engines import Engines
from llmsim.server.http import HttpGeneration
from llmsim.server.live_settings import LiveSettings, RunningTimeline, begin_timeline
from llmsim.server.pacing import TimerWheel
from llmsim.server.processes.heap import growing_heap
from llmsim.server.processes.loop_monitor import LoopMonitor, usage
from llmsim.server.replies import EncodedReply
from llmsim.server.request_headers import RequestHeaders
from llmsim.server.request_log import RequestLog
from llmsim.server.resource_requests import begin_resource
from llmsim.server.rule_book import RuleBook
from llmsim.server.rules import NO_RULES, read_rules_file
from llmsim.server.transport.body_budget import BodyBudget
from llmsim.server.transport.cycle import do_nothing
from llmsim.server.transport.eager_tasks import fail
from llmsim.server.transport.rejections import Rejections
from llmsim.server.worker_context import compute_in_thread
from llmsim.state.directory import run_directory
from llmsim.state.embedded import open_state
from llmsim.state.engine_memory import engines_path
from llmsim.stats import Block, Gauges, Outcome, Recorder
from llmsim.text import literal

_log = logging.getLogger(__name__)


def _path(configured: str | None) -> Path | None:
    return Path(configured) if configured else None


def _read_timeline(settings: Settings, profiles: Collection[str]) -> str | None:
    """Return the source of the timeline that the settings name; None if they name none.

    Raises:
        ConfigError: It cannot be read, or has mistakes.
    """
    path = settings.server.timeline_path
    if not path:
        return None
    try:
        source = Path(path).read_bytes()
        parse_timeline(source, settings, profiles, name=path)
    except OSError as error:
        raise ConfigError(f"server.timeline_path: cannot read {literal(path)}: {error.strerror}") from None
    return source.decode()


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
        self._engine_files = engines_path(self._directory)
        self._scripts = read_scripts(
            _path(settings.scripts.dir), _path(settings.response.script_path), self._catalogue.profiles
        )
        self._timeline = _read_timeline(settings, self._catalogue.profiles)
        scenarios = settings.response.scenarios_path
        self._scenarios = read_scenario_path(scenarios) if scenarios else {}
        rules = _path(settings.response.rules_path)
        self._rules = read_rules_file(rules, self._catalogue.profiles) if rules else NO_RULES
        self._planner = Planner(settings, self._catalogue, time.time)
        with growing_heap():
            self._planner.warm()
        # NOTE: the source of ids is another one after the fork.
        self._log: RequestLog | None = None
        self._block: Block | None = None
        self._guard = Guard(settings, providers(settings), lambda: self._planner.new_id())

    async def publish_scripts(self) -> None:
        """Register the scripts of the settings for all workers; one that has changed begins anew for every session."""
        for name in await self.state.scripts.publish(self._scripts):
            await self.state.sessions.forget(script=name)
        if self._timeline is not None:
            running = RunningTimeline(self._timeline, "toml", self.settings.server.timeline_path, time.time())
            await begin_timeline(self.state.settings, running)
        await self.state.close()

    async def begin_anew(self) -> bool:
        """Reset everything that hosts share, for all of them, and publish the scripts; return whether they share anything.

        Raises:
            StoreError: The shared state cannot be used.
        """
        if not await self.state.clear():
            return False
        await self.publish_scripts()
        return True

    def prepare(self, block: Block) -> None:
        """Build the routes, which workers share as far as nothing in them changes; in the master, before it forks.

        PERF: a worker that serves takes 10 MB less than where each builds its own.

        Args:
            block: The counters of all workers.
        """
        self._block, settings = block, self.settings
        self._recorder = Recorder(block, None)
        self.bodies = BodyBudget(settings.budgets.max_bodies_bytes, settings.budgets.room_timeout_secs)
        self._wheel = TimerWheel(None, open_alarm=open_alarm)
        self.live = LiveSettings(settings, self._origins, self.state.settings, self._catalogue.profiles)
        self._engines = Engines(
            settings.latency,
            self._engine_files,
            slots=block.layout.slots,
            wheel=self._wheel,
            recorder=self._recorder,
        )
        self._routes = create_routes(
            settings,
            self._catalogue,
            self._planner,
            self.state,
            self._scenarios,
            block=block,
            recorder=self._recorder,
            wheel=self._wheel,
            bodies=self.bodies,
            live=self.live,
            begin_anew=self.begin_anew,
            rules=RuleBook(self.state.rules, self._rules, self._catalogue.profiles),
            directory=self._directory,
            # `start` knows which it is: the log needs the event loop.
            open_request=lambda *arguments: self._open_request(*arguments),
            engines=self._engines,
        )
        self._rejections = Rejections(self._planner.new_id, self._recorder)
        self.reject = self._rejections.render_unrouted
        direct = settings.server.direct_writes
        if direct and (problem := direct_writes_problem()):
            _log.warning("direct writes are off, streams cost more: %s", problem)
            direct = False
        self._open_channel = channel_opener(self._wheel, direct=direct)

    def start(self, block: Block, slot: int) -> None:
        """Make what is this process's own; call it in the worker, inside its event loop.

        Args:
            block: The counters of all workers; those of `prepare`, if that was called.
            slot: This worker's part of them.
        """
        if self._block is not block:
            self.prepare(block)
        self._planner.start_process()
        self.state.open()
        loop, recorder, engines = asyncio.get_running_loop(), self._recorder, self._engines
        recorder.use_slot(slot)
        self._wheel.start(loop)
        self._open_request: OpenRequest = ActiveRequest
        if self.settings.server.request_log != "off":
            self._log = RequestLog(
                self.settings.server.request_log,
                (*block.endpoints, *block.resources),
                (*request_id_formats(), *resource_id_formats()),
                loop,
                lambda lines: recorder.count("log_dropped", lines),
                endpoints=len(block.endpoints),
            )
            self._open_request = self._log.open
        engines.start(slot)
        engines.use(self.settings)
        routes = self._routes
        self._app, self._clients = routes.app, routes.clients
        # PERF: 0.2 us a request less than to look up the number and the endpoint.
        self._posted = {path: (find_endpoint(path), one) for path, one in routes.generations.items()}
        services, planner = routes.services, self._planner
        if engines.router is not None:
            # They are each worker's own, as is the slot in what they share.
            services.replace(self.settings, planner)

        async def apply(settings: Settings) -> None:
            is_long = has_tables(settings.latency)
            adapted = (
                planner.adapted(settings)
                if not is_long
                else await compute_in_thread(planner.adapted, settings)
            )
            await engines.prepare(settings)
            engines.use(settings)
            services.replace(settings, adapted)
            self.live.follow(engines.are_at_work)

        self.live.start(apply, block.show_timeline)
        self.live.follow(engines.are_at_work)
        LoopMonitor(loop, Gauges(block, slot, time.monotonic()), time.monotonic, usage).start()

    def close(self) -> None:
        """Write what is left of the request log; at the end of the worker."""
        if self._log is not None:
            self._log.close()

    async def __call__(self, scope: dict[str, Any], receive: Receive, send: Send) -> None:
        """Answer one request; book its end whatever happens."""
        arrival = time.monotonic()
        if not self.live.is_current(arrival):
            await self.live.refresh()
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
            endpoint, generation = self._posted.get(path) or (find_endpoint(path), None)
        active = self._open_request(arrival, self._recorder, endpoint)
        if endpoint is None:
            begin_resource(active, scope)
        channel = self._open_channel(receive, send, active)
        await self._finish(scope, receive, active, channel, generation, None)

    def begin(self, cycle: Any, app: Any) -> Awaitable[None] | None:
        """Answer one request of uvicorn's, if it generates and has nothing to wait for.

        Args:
            cycle: uvicorn's request.
            app: What is to answer it: this application, unless uvicorn has another for the case.

        PERF: 2 us less than by `__call__`: what need not wait needs no coroutines, and nothing that stands for a task.

        Returns:
            What answers any other request; None if it is answered.
        """
        scope, arrival = cycle.scope, time.monotonic()
        found = self._posted.get(scope["path"]) if scope["method"] == "POST" else None
        if found is None or app is not self or not self.live.is_current(arrival):
            return cycle.run_asgi(app)  # type: ignore[no-any-return] # uvicorn's
        receive, generation = cycle.receive, found[1]
        active = self._open_request(arrival, self._recorder, found[0])
        channel = self._open_channel(receive, cycle.send, active)
        try:
            waiting = self._start(scope, receive, active, channel, generation)
        except BaseException as error:
            waiting = fail([error])
        if waiting is not None:
            finish = self._finish(scope, receive, active, channel, generation, waiting)
            return cycle.run_asgi(lambda *_: finish)  # type: ignore[no-any-return] # uvicorn's
        self._close(scope, active, channel)
        # As `run_asgi` does: it leads to the protocol, and that to the cycle.
        cycle.on_response = do_nothing
        return None

    def _start(
        self,
        scope: dict[str, Any],
        receive: Receive,
        active: ActiveRequest,
        channel: HttpChannel,
        generation: HttpGeneration | None,
    ) -> Awaitable[None] | None:
        """Answer a request that has nothing to wait for; return what answers any other, None if it is answered."""
        denial = self._guard.check(scope, active)
        if denial is not None:
            return self._deny(scope, active, channel, denial)
        if generation is not None and (request := generation.take(scope, channel)) is not None:
            return generation.answer(request, channel)
        return self._route(scope, receive, active, channel)

    async def _deny(
        self, scope: dict[str, Any], active: ActiveRequest, channel: HttpChannel, denial: EncodedReply
    ) -> None:
        await self._book_unread(scope, active)
        await channel.reply(denial)

    async def _route(
        self, scope: dict[str, Any], receive: Receive, active: ActiveRequest, channel: HttpChannel
    ) -> None:
        """Have Falcon answer a request."""
        scope[CHANNEL] = channel
        if active.extra_headers:
            await self._app(scope, receive, add_header_lines(channel.send, active.extra_headers))
            return
        await self._app(scope, receive, channel.send)
        if active.outcome is Outcome.REFUSED and not active.is_watched:
            await self._book_unread(scope, active)

    async def _finish(
        self,
        scope: dict[str, Any],
        receive: Receive,
        active: ActiveRequest,
        channel: HttpChannel,
        generation: HttpGeneration | None,
        waiting: Awaitable[None] | None,
    ) -> None:
        """Answer a request, which was started if something is waiting; book its end whatever happens."""
        try:
            if waiting is None:
                waiting = self._start(scope, receive, active, channel, generation)
            if waiting is not None:
                try:
                    await waiting
                except Exception as error:
                    if generation is None:
                        raise
                    await generation.crash(error, channel)
        except asyncio.CancelledError as error:
            # The drain ran out. The end is booked; a traceback for each stream that is aborted would help no one.
            active.finish(error)
            if not channel.disconnect():
                raise
        except BaseException as error:
            active.finish(error)
            raise
        finally:
            self._close(scope, active, channel)

    def _close(self, scope: dict[str, Any], active: ActiveRequest, channel: HttpChannel) -> None:
        if not active.finished:
            active.finish()
        channel.close()
        # PERF: the channel leads to uvicorn's cycle, and that to the scope: ten objects a request that only the garbage
        # collector would find, and nothing else that it has to look for.
        scope.pop(CHANNEL, None)

    async def _book_unread(self, scope: dict[str, Any], active: ActiveRequest) -> None:
        """Book for the report on clients that a request was refused before it was read."""
        if self._clients is not None and scope["method"] == "POST":
            headers, path = RequestHeaders(scope["headers"]), scope["path"]
            active.incoming = IncomingRequest(path=path, headers=headers, arrival=active.arrival)
            await self._clients.fail(active, path[:80])
