"""The master's part in a reload."""

import gc
import weakref
from types import SimpleNamespace
from typing import Any

from llmsim.server.processes.master import Master


class Application:
    """What refers to itself, as routes do."""

    def __init__(self) -> None:
        self.routes = [self]


def test_an_application_that_was_replaced_is_freed() -> None:
    """ARCH-4.3: A server that is reloaded again and again holds one application, not one for each reload."""
    master, server = Master(), SimpleNamespace(app=SimpleNamespace(callable=Application()))
    before = weakref.ref(server.app.callable)
    reloaded: Any = Application()
    master._reloaded = reloaded
    gc.disable()
    try:
        master.on_reload(server)
    finally:
        gc.enable()

    assert server.app.callable is reloaded
    assert before() is None
