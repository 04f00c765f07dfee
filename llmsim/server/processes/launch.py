"""Runs gunicorn, configured by llmsim instead of by gunicorn's own command line."""

from collections.abc import Callable
from typing import Any

from gunicorn.app.base import BaseApplication

from llmsim.config import Settings
from llmsim.server.processes.master import MASTER


class _Gunicorn(BaseApplication):  # type: ignore[misc]  # gunicorn publishes no types
    def load_config(self) -> None:
        for name, value in MASTER.configure().items():
            if name != "wsgi_app":
                self.cfg.set(name, value)

    def load(self) -> Any:
        return MASTER.application()


def launch(announce: Callable[[Settings], None]) -> None:
    """Serve by the settings that the environment gives until a signal stops the server.

    Args:
        announce: Called with the settings once the server listens.
    """
    MASTER.announce = announce
    _Gunicorn().run()
