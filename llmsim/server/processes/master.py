"""How gunicorn hosts llmsim: its settings, and what the master does around its workers.

`llmsim serve` and `gunicorn -c gunicorn.conf.py` both take everything from here, so they are the same server.

Decisions:
* Sockets that share a port balance accepts evenly (one shared socket gave four workers 539/326/86/49
  of 1,000 connections), but let a second instance bind the same port in silence: the master holds a
  lock on the port and binds it without sharing before it starts.
* Stats block, lock and sockets belong to the master and outlive reloads; a slot is claimed before a
  worker's fork and released when the worker is dead, however it died.
* The lock is the master's alone: it is free as soon as the master is gone, however it ended, while workers may drain.
* A reload with a faulty configuration keeps the one in force, and the workers, and says so.
"""

import asyncio
import errno
import gc
import logging
import os
import resource
import signal
import sys
import time
from collections.abc import Callable, Mapping
from typing import Any

from msgspec.structs import replace

from llmsim.catalogue import shipped_catalogue
from llmsim.config import LoadedSettings, Settings, load
from llmsim.errors import ConfigError, LlmsimError
from llmsim.providers.registry import endpoint_labels
from llmsim.providers.resource_routes import resource_labels
from llmsim.server.asgi import Application
from llmsim.server.host_publisher import finish_former, finish_host, read_former
from llmsim.server.processes.arbiter import Arbiter
from llmsim.server.processes.listeners import Listeners, bind_advice, exclusive_bind_error, port_holders
from llmsim.server.processes.worker import Worker
from llmsim.state.directory import RunDirectory
from llmsim.stats import Block, available_cores, block_name, is_alive

_SPARE_SLOTS = 16

_ORPHAN_SECONDS = 5.0
"""Seconds in which workers without a master give up the port."""


def _announce_nothing(settings: Settings) -> None:
    """Announce nothing."""


_log = logging.getLogger(__name__)


class Master:
    """The master process's side of llmsim.

    Attributes:
        settings: Those in force.
        announce: Called with the settings when the server is ready; the place for a banner.
    """

    def __init__(self) -> None:
        self.settings: Settings | None = None
        self.announce: Callable[[Settings], None] = _announce_nothing
        self._block: Block | None = None
        self._listeners: Listeners | None = None
        self._directory: RunDirectory | None = None
        self._origins: Mapping[str, str] = {}
        self._lock = -1
        self._reloaded: Application | None = None
        self._terminal = os.isatty(0)

    def configure(self) -> dict[str, Any]:
        """Return gunicorn's settings by those in force, which are read from the environment at the first call.

        Raises:
            ConfigError: The settings are faulty.
        """
        if self.settings is None:
            loaded = _read_settings()
            self.settings, self._origins = loaded.settings, loaded.origins
        return self._gunicorn(self.settings)

    def _prepare_reload(self) -> bool:
        """Read the settings and load the application by them; return whether a reload may begin."""
        if self._terminal and not os.isatty(0):
            # The hangup was the terminal's, and no one is there to see the server go on.
            os.kill(os.getpid(), signal.SIGTERM)
            return False
        try:
            loaded = _read_settings()
            settings = self._in_place(loaded.settings)
            application = Application(settings, loaded.origins)
            asyncio.run(application.publish_scripts())
            assert self._block is not None
            application.prepare(self._block)
        except Exception as error:
            _print_message(
                f"the reload is refused: the configuration in force is kept, and no worker is replaced: {error}"
            )
            if not isinstance(error, LlmsimError):
                _log.exception("a reload failed")
            return False
        self.settings, self._reloaded = settings, application
        return True

    def _start_drain(self) -> float:
        """Have `/ready` answer 503; return for how many seconds the server is to go on accepting."""
        if self._block is None or self.settings is None:
            return 0.0
        self._block.start_drain()
        return self.settings.server.drain_delay_secs

    def _in_place(self, settings: Settings) -> Settings:
        """Keep host and port over a reload: sockets, lock and stats block are bound to them."""
        if self.settings is None:
            return settings
        new, old = settings.server, self.settings.server
        if (new.host, new.port) != (old.host, old.port):
            _print_message(
                f"host and port take effect at a restart; still listening on {address(old.host, old.port)}"
            )
        return replace(settings, server=replace(new, host=old.host, port=old.port))

    def _gunicorn(self, settings: Settings) -> dict[str, Any]:
        server = settings.server
        return {
            "wsgi_app": "llmsim.server.processes.master:create_application()",
            "worker_class": f"{Worker.__module__}.{Worker.__qualname__}",
            "bind": [address(server.host, server.port)],
            "workers": worker_count(settings),
            "loglevel": server.log_level,
            "accesslog": "-" if server.access_log else None,
            "backlog": server.backlog,
            "keepalive": server.keepalive_secs,
            "timeout": server.timeout_secs,
            "graceful_timeout": server.graceful_timeout_secs,
            "proc_name": f"llmsim:{server.port}",
            "preload_app": True,
            # NOTE: off, because it would have each worker make its own sockets; see `listeners`.
            "reuse_port": False,
            # Its socket would stand in the home directory; signals do all that is needed.
            "control_socket_disable": True,
            "on_starting": self.on_starting,
            "on_reload": self.on_reload,
            "when_ready": self.when_ready,
            "nworkers_changed": self.nworkers_changed,
            "pre_fork": self.pre_fork,
            "post_fork": self.post_fork,
            "child_exit": self.child_exit,
            "on_exit": self.on_exit,
        }

    def application(self) -> Application:
        """Load the application by the settings in force."""
        if self.settings is None:
            raise ConfigError("the master is not configured")
        return Application(self.settings, self._origins)

    def on_starting(self, server: Any) -> None:
        """Lock the port and create the stats block; gunicorn calls it before the first worker."""
        # PERF: 0.04 s less in `when_ready`: what is imported is not looked at again.
        gc.freeze()
        server.__class__ = Arbiter
        server.take_over(self._prepare_reload, self._start_drain)
        host, port = server.cfg.address[0][:2]
        assert self.settings is not None
        application = server.app.wsgi()
        try:
            self._directory = RunDirectory(self.settings.server.run_dir, os.environ)
            self._take_port(host, port)
            self._directory.sweep()
            self._directory.mark_used()
            application.state.restart()
            former = read_former(port) if application.state.hosts is not None else None
            self._block = Block.create(
                block_name(port),
                endpoints=endpoint_labels(),
                resources=resource_labels(),
                slots=2 * server.cfg.workers + _SPARE_SLOTS,
                now=time.monotonic(),
            )
            asyncio.run(finish_former(application.state, former))
            asyncio.run(application.publish_scripts())
            application.prepare(self._block)
        except LlmsimError as error:
            _print_message(str(error))
            self._remove_shared(application)
            sys.exit(1)
        _raise_descriptor_limit()
        self._listeners = Listeners(host, port, server.cfg.backlog, server.log)
        server.LISTENERS = self._listeners.sockets

    def _take_port(self, host: str, port: int) -> None:
        assert self._directory is not None
        taken = (
            f"port {port} is taken: {{}}. Stop that one, or choose another port with --port (or LLMSIM_PORT)."
        )
        self._lock, holder = self._directory.lock(f"{port}.lock")
        if self._lock < 0:
            if holder and is_alive(holder):
                raise ConfigError(taken.format(f"another llmsim (pid {holder}) serves it"))
            raise ConfigError(taken.format(_other_program(port)))
        # What a master that was killed has left gives the port up within seconds.
        deadline = time.monotonic() + (_ORPHAN_SECONDS if holder and not is_alive(holder) else 0.0)
        while error := exclusive_bind_error(host, port):
            if error.errno == errno.EADDRINUSE and time.monotonic() < deadline:
                time.sleep(0.02)
                continue
            if error.errno == errno.EADDRINUSE:
                raise ConfigError(taken.format(_other_program(port)))
            raise ConfigError(
                f"cannot listen on {address(host, port)}: {error.strerror}; {bind_advice(error)}"
            )

    def _remove_shared(self, application: Application) -> None:
        """Remove what the workers shared."""
        application.state.remove()
        if self._block is not None:
            self._block.close()
            self._block.unlink()
        if self._directory is not None:
            self._directory.close()

    def when_ready(self, server: Any) -> None:
        """Freeze what is loaded, so that workers share it, and announce that the server is ready."""
        gc.collect()
        gc.freeze()
        if self.settings is not None:
            self.announce(self.settings)

    def on_reload(self, server: Any) -> None:
        """Put the new application in force; new workers serve it."""
        server.app.callable = self._reloaded
        # The routes of the application before refer to each other, and nothing but a reload makes garbage here. The first
        # application stays, as it is frozen: to look at all that is frozen would copy what workers share.
        gc.collect()
        _print_message("settings were read anew; new workers take them")

    def pre_fork(self, server: Any, worker: Any) -> None:
        """Assign the worker its socket and its slot of the stats block."""
        assert self._block is not None
        assert self._listeners is not None
        worker.block = self._block
        worker.slot = self._block.claim(0)
        worker.sockets = [self._listeners.assign(worker.age, server.num_workers)]

    def post_fork(self, server: Any, worker: Any) -> None:
        """Close the other workers' sockets and the lock, in the worker."""
        assert self._listeners is not None
        os.close(self._lock)
        self._listeners.keep_only(worker.sockets[0])

    def child_exit(self, server: Any, worker: Any) -> None:
        """Settle what a dead worker left open."""
        assert self._block is not None
        assert self._listeners is not None
        self._block.release(worker.slot)
        self._listeners.release(worker.age)

    def nworkers_changed(self, server: Any, new: int, old: int | None) -> None:
        """Close the sockets that no worker is to serve any more."""
        if self._listeners is not None:
            self._listeners.shrink(new)

    def on_exit(self, server: Any) -> None:
        """Publish the last totals for other hosts; remove shared state and stats block."""
        application = server.app.wsgi()
        if self._block is not None:
            asyncio.run(finish_host(application.state, self._block, server.cfg.address[0][1]))
        self._remove_shared(application)


def _read_settings() -> LoadedSettings:
    return load(environ=os.environ, profiles=shipped_catalogue().profiles)


def _other_program(port: int) -> str:
    """Return who listens on a port, for a message."""
    holders = port_holders(port)
    return f"{', '.join(holders)} listens there" if holders else "another program listens there"


def _print_message(message: str) -> None:
    """Print a message for the operator, whatever the log level."""
    print(f"llmsim: {message}", file=sys.stderr, flush=True)  # noqa: T201


def _raise_descriptor_limit() -> None:
    """Allow as many open connections as the system lets this process have."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def worker_count(settings: Settings) -> int:
    """Return the number of workers; 0 in the settings is one for each available core, at most 4."""
    if settings.server.workers:
        return settings.server.workers
    return min(4, available_cores())


def address(host: str, port: int) -> str:
    """Return host and port as gunicorn expects them."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


MASTER = Master()
"""This process's master."""


def create_application() -> Application:
    """Load the application for gunicorn, which names this function; a failure is printed without a traceback."""
    try:
        return MASTER.application()
    except LlmsimError as error:
        _print_message(str(error))
        sys.exit(2)
