"""The settings in force in one worker: those of its start, as they are changed at run time and by a timeline.

Decisions:
* Before a request is opened the worker looks whether anything has changed, and takes it in as a whole; what is under way goes on
  with what it began with. So no request sees half a change, and one that comes after a change was answered sees it.
* Nothing ticks: what a timeline sets follows from the time since its start. A timer wakes a worker where that changes, so that stats
  are right while no requests come.
* Changes are read, merged and written on condition that nothing else was written: two clients at once lose nothing.
"""

import asyncio
import logging
import math
import time
from collections.abc import Awaitable, Callable, Collection, Mapping
from typing import Any

import msgspec

from llmsim.config import (
    AT_RUN_TIME,
    BY_TIMELINE,
    Settings,
    Timeline,
    TimelineFormat,
    TimelineMoment,
    check_changes,
    decide,
    encode_changes,
    merged_changes,
    parse_timeline,
    with_changes,
)
from llmsim.errors import ConfigError, StoreError
from llmsim.state.settings_port import RuntimeSettings

_log = logging.getLogger(__name__)

_FOLLOW = 0.05
"""Seconds between two looks of a worker that has an engine."""

_APART = 1.0
"""Seconds by which the clocks of hosts may be apart."""

_RETRY = 1.0
"""Seconds until changes that could not be read are tried again."""


class RunningTimeline(msgspec.Struct, frozen=True):
    """A timeline as it is shared.

    Attributes:
        source: As it is written.
        source_format: How it is written.
        origin: Path of its file, or `uploaded`.
        started: Unix time of its start, in seconds.
    """

    source: str
    source_format: TimelineFormat
    origin: str
    started: float


class Changes(msgspec.Struct, frozen=True):
    """What is changed at run time, as it is shared.

    Attributes:
        values: By dotted name, as JSON has them.
        timeline: The timeline; None if there is none.
    """

    values: dict[str, Any] = {}
    timeline: RunningTimeline | None = None


_decode = msgspec.json.Decoder(Changes).decode
_encode = msgspec.json.encode

_NO_MOMENT = TimelineMoment(0, "", {}, math.inf)

ShowTimeline = Callable[[int, int, str], None]
"""Shows step, number of steps, and name of the step in the stats."""


Apply = Callable[[Settings], Awaitable[None]]
"""Puts settings in force, as a whole; raises `ConfigError` if that cannot be."""


async def _apply_nothing(_settings: Settings) -> None:
    """Put nothing in force."""


async def begin_timeline(store: RuntimeSettings, running: RunningTimeline) -> None:
    """Begin the timeline of a server's files at its start, unless other hosts have changes in force: it joins them."""
    try:
        if await store.replace(_encode(Changes(timeline=running)), epoch=0):
            return
        in_force = _decode((await store.read()).data or b"{}").timeline
    except StoreError as error:
        _log.error("%s does not begin: %s", running.origin, error)
        return
    if in_force is None or in_force.source != running.source:
        _log.warning(
            "%s does not begin: this host has the changes that others have made; PUT it to /llmsim/timeline",
            running.origin,
        )


class LiveSettings:
    """The settings in force in one worker.

    Attributes:
        settings: Those in force.
        changes: What is changed at run time.
        timeline: The timeline; None if there is none.
        moment: What the timeline sets.
        epoch: Number of the last change.
    """

    def __init__(
        self,
        settings: Settings,
        origins: Mapping[str, str],
        store: RuntimeSettings,
        profiles: Collection[str],
        *,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """Begin with the settings of the start.

        Args:
            settings: Those of the start.
            origins: Where each came from, by dotted name.
            store: What is changed, the same for all workers.
            profiles: Names of the latency profiles.
            clock: Returns the Unix time, in seconds.
        """
        self.settings = self._start = settings
        self.changes = Changes()
        self.timeline: Timeline | None = None
        self.moment = _NO_MOMENT
        self.epoch = 0
        self._changed: dict[str, Any] = {}
        self._origins = origins
        self._store = store
        self._profiles = profiles
        self._clock = clock
        self._until = math.inf
        self._is_following = False
        self._apply: Apply = _apply_nothing
        self._show: ShowTimeline = lambda *_: None
        self._lock = asyncio.Lock()
        self._timer: asyncio.TimerHandle | None = None
        self._waking: asyncio.Task[None] | None = None

    def start(self, apply: Apply, show: ShowTimeline) -> None:
        """Set what is called when the settings in force have changed, and the timeline.

        Args:
            apply: Puts settings in force, as a whole.
            show: Shows the timeline in the stats.
        """
        self._apply, self._show = apply, show

    def is_current(self, now: float) -> bool:
        """Return whether nothing has changed since the last refresh.

        PERF: 0.15 us, for each request.

        Args:
            now: `time.monotonic()`.
        """
        return self._store.epoch == self.epoch and now < self._until

    async def refresh(self) -> None:
        """Put in force what has changed, if anything has."""
        async with self._lock:
            if self.is_current(time.monotonic()):
                return
            try:
                stored = await self._store.read()
                if stored.epoch != self.epoch:
                    self._take(_decode(stored.data) if stored.data else Changes())
                try:
                    await self._put_in_force()
                finally:
                    # NOTE: not before: requests that come in the meantime wait for it.
                    self.epoch = stored.epoch
            except (StoreError, ConfigError, msgspec.MsgspecError) as error:
                # What is in force goes on.
                _log.error("settings that were changed at run time cannot be taken in: %s", error)
                self._until = time.monotonic() + _RETRY

    def _take(self, changes: Changes) -> None:
        changed = check_changes(changes.values, self._profiles)
        timeline = None
        if changes.timeline is not None:
            timeline = self._parse(changes.timeline, with_changes(self._start, changed))
        self.changes, self._changed, self.timeline = changes, changed, timeline

    def _parse(self, running: RunningTimeline, settings: Settings) -> Timeline:
        # The clocks of hosts may be apart: none refuses what another has found to be over.
        elapsed = self._clock() - running.started - _APART
        return parse_timeline(
            running.source.encode(), settings, self._profiles, running.source_format, elapsed=elapsed
        )

    async def _put_in_force(self) -> None:
        settings, running = with_changes(self._start, self._changed), self.changes.timeline
        moment, steps, self._until = _NO_MOMENT, 0, math.inf
        if self.timeline is not None and running is not None:
            elapsed = self.elapsed()
            moment, steps = self.timeline.at(elapsed, settings), len(self.timeline.steps)
            settings = with_changes(settings, moment.values)
            self._until = time.monotonic() + moment.until - elapsed
        self._show(moment.step, steps, moment.name)
        self.moment = moment
        self._set_timer()
        if settings != self.settings:
            await self._apply(settings)
            self.settings = settings

    def elapsed(self) -> float:
        """Return the seconds since the start of the timeline; 0 if there is none."""
        running = self.changes.timeline
        return 0.0 if running is None else max(self._clock() - running.started, 0.0)

    def _set_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._until < math.inf:
            delay = max(self._until - time.monotonic(), 0.0) + 0.001
            self._timer = asyncio.get_running_loop().call_later(delay, self._wake)

    def _wake(self) -> None:
        self._waking = asyncio.ensure_future(self.refresh())

    async def take_changes(self, now: float) -> None:
        """Put in force what has changed, if anything has; `now` as for `is_current`."""
        if not self.is_current(now):
            await self.refresh()

    async def change(self, values: Mapping[str, Any]) -> tuple[str, ...]:
        """Change settings for all workers.

        Args:
            values: By dotted name, or as tables; None to take a change back.

        Returns:
            The names of the settings that were named.

        Raises:
            ConfigError: A setting is unknown or cannot be changed, or a value is invalid; nothing is changed.
            StoreError: The shared state cannot be used.
        """
        checked = check_changes(values, self._profiles)

        def merge(changes: Changes) -> Changes:
            merged = merged_changes(check_changes(changes.values, self._profiles), checked)
            settings = with_changes(self._start, merged)
            if changes.timeline is not None:
                try:
                    self._parse(changes.timeline, settings)
                except ConfigError as error:
                    lines = str(error).splitlines()
                    raise ConfigError("\n".join(f"timeline, {line}" for line in lines)) from None
            return msgspec.structs.replace(changes, values=encode_changes(merged))

        await self._write(merge)
        return tuple(checked)

    async def set_timeline(self, source: bytes, source_format: TimelineFormat, origin: str) -> None:
        """Start a timeline for all workers, in place of the one that runs, if any.

        Raises:
            ConfigError: It has mistakes; the one that runs goes on.
            StoreError: The shared state cannot be used.
        """

        def start(changes: Changes) -> Changes:
            settings = with_changes(self._start, check_changes(changes.values, self._profiles))
            parse_timeline(source, settings, self._profiles, source_format)
            running = RunningTimeline(source.decode(), source_format, origin, self._clock())
            return msgspec.structs.replace(changes, timeline=running)

        await self._write(start)

    async def end_timeline(self) -> bool:
        """End the timeline for all workers; return whether there was one."""
        await self.refresh()
        had_one = self.changes.timeline is not None
        await self._write(lambda changes: msgspec.structs.replace(changes, timeline=None))
        return had_one

    async def _write(self, change: Callable[[Changes], Changes]) -> None:
        while True:
            stored = await self._store.read()
            before = _decode(stored.data) if stored.data else Changes()
            try:
                if await self._store.replace(_encode(change(before)), epoch=stored.epoch):
                    break
            except ValueError as error:
                raise ConfigError(f"the changes are too large: {error}") from None
        await self.refresh()

    def origin(self, name: str) -> str | None:
        """Return where the value of a setting in force came from; None for its default."""
        for values, origin in ((self.moment.values, BY_TIMELINE), (self._changed, AT_RUN_TIME)):
            if decide(values, name):
                return origin
        return self._origins.get(name)

    def follow(self, is_needed: Callable[[], bool]) -> None:
        """Refresh soon after each change, though no requests come: this worker may run engines for all others.

        Args:
            is_needed: Whether to go on.
        """
        if not self._is_following:
            self._follow_on(is_needed)

    def _follow_on(self, is_needed: Callable[[], bool]) -> None:
        self._is_following = is_needed()
        if self._is_following:
            asyncio.get_running_loop().call_later(_FOLLOW, self._follow, is_needed)

    def _follow(self, is_needed: Callable[[], bool]) -> None:
        if not self.is_current(time.monotonic()):
            self._wake()
        self._follow_on(is_needed)
