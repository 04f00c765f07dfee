"""Screens on top of the dashboard: its keys, and the output of the server."""

from collections.abc import Callable

from rich.console import RenderableType
from rich.table import Table
from rich.text import Text
from textual.app import ComposeResult
from textual.binding import Binding
from textual.containers import VerticalScroll
from textual.screen import ModalScreen
from textual.widgets import Static

from llmsim.text import printable

_KEYS = (
    ("1 2 3 4", "models, endpoints, workers, errors"),
    ("tab", "the next table; shift+tab: the one before"),
    ("↑ ↓ PgUp PgDn Home End", "scroll"),
    ("s", "sort by the next column, as does a click on a heading"),
    ("S", "turn the order round"),
    ("/", "filter rows by a part of their name; Enter keeps the filter, Esc removes it"),
    ("p", "pause, and go on"),
    ("r", "read anew at once"),
    ("?", "this page"),
)

_TERMS = (
    ("TTFT", "time to first token, ms"),
    ("ITL", "inter-token latency, ms"),
    ("E2E", "from the arrival of a request to its last byte, ms"),
    ("lateness", "how late the simulator itself sent tokens"),
)


class _Page(ModalScreen[None]):
    BINDINGS = [
        Binding("escape,q,question_mark,l,enter", "dismiss", "close"),
    ]

    def __init__(self, title: str) -> None:
        super().__init__()
        self._title = title

    def compose(self) -> ComposeResult:
        with VerticalScroll() as page:
            page.border_title = self._title
            page.border_subtitle = "Esc closes"
            yield Static(self.text(), id="text")

    def text(self) -> RenderableType:
        """Return what the page shows."""
        raise NotImplementedError


class Help(_Page):
    """The keys, and what the figures are."""

    def __init__(self, quitting: str, *, has_output: bool) -> None:
        super().__init__("llmsim")
        self._keys = [*_KEYS, *([("l", "the output of the server")] if has_output else []), ("q", quitting)]

    def text(self) -> RenderableType:
        """Return the keys and terms."""
        table = Table.grid(padding=(0, 2))
        table.add_column(style="bold", no_wrap=True)
        table.add_column()
        for row in (*self._keys, ("", ""), *_TERMS):
            table.add_row(*row)
        return table


class Output(_Page):
    """What the server has printed."""

    def __init__(self, read: Callable[[int], str]) -> None:
        super().__init__("output of the server")
        self._read = read

    def on_mount(self) -> None:
        """Follow the output."""
        self.set_interval(1.0, lambda: self.query_one("#text", Static).update(self.text()))
        self.query_one(VerticalScroll).anchor()

    def text(self) -> RenderableType:
        """Return the last lines."""
        # Its colours are those of a terminal only if it has one.
        return Text(printable(self._read(500), keep="\n") or "none so far")
