"""The dashboard: what it reads, how it is laid out, and its keys.

Decisions:
* It reads in a thread, one reading at a time: a server that does not answer does not freeze it.
* One layout has all tables at once; where the terminal is small, there is one table, and keys for the others.
* All text from outside is rich `Text` of printable characters. Strings would be parsed as markup.
"""

import contextlib
import os
import signal
import threading
from collections.abc import Callable
from typing import Protocol, TypeVar

from rich.text import Text
from textual import events
from textual.app import App, ComposeResult
from textual.binding import Binding
from textual.containers import Container
from textual.widget import Widget
from textual.widgets import Footer, Input, Static

from llmsim.cli.stats import Reader
from llmsim.cli.stats_view import render_headline, render_verdict
from llmsim.cli.terminal.screens import Help, Output
from llmsim.cli.terminal.signals import handle_signals, resume_with_terminal_only, stop_reading
from llmsim.cli.terminal.tables import TABLES
from llmsim.cli.terminal.widgets import Latencies, Rates, StatsTable
from llmsim.errors import StatsError
from llmsim.stats import Snapshot
from llmsim.text import printable

_W = TypeVar("_W", bound=Widget)

_NICENESS = 10
"""By how much it gives way to the server where both want a core."""

_WIDE, _MEDIUM, _TALL = 200, 114, 34
"""Columns and lines from which there are layouts with all tables."""

_CSS = """
Screen { background: $background; }
#headline, #verdict { height: auto; max-height: 2; padding: 0 1; }
#problem { height: auto; max-height: 2; padding: 0 1; color: $error; display: none; }
#bar { height: 1; padding: 0 1; }
#filter { height: 0; padding: 0 1; }
#filter.open { height: 1; }
StatsTable { background: $background; height: 1fr; padding: 0 1; scrollbar-size-vertical: 1; }
StatsTable:focus { background-tint: $background 0%; }
StatsTable > .datatable--header { background: $background; text-style: bold; }
StatsTable > .datatable--cursor { background: $background; text-style: none; }
StatsTable:focus > .datatable--cursor { background: $primary 30%; }
Rates { height: 4; padding: 0 1; }
Latencies { height: 5; padding: 0 1; }
#body.small StatsTable { display: none; }
#body.small StatsTable.chosen { display: block; }
#body.low Latencies { display: none; }
#body.medium, #body.wide { layout: grid; grid-size: 12; height: 1fr; }
#body.medium > *, #body.wide > * { border: round $primary 50%; height: 1fr; border-title-color: $text; }
#body.medium > StatsTable:focus, #body.wide > StatsTable:focus { border: round $accent; }
#body.medium #bar, #body.wide #bar { display: none; }
#body.medium { grid-rows: 10 7 3fr 2fr; }
#body.medium Rates { column-span: 8; }
#body.medium #errors { column-span: 4; }
#body.medium Latencies { column-span: 7; }
#body.medium #workers { column-span: 5; }
#body.medium #models, #body.medium #endpoints { column-span: 12; }
#body.wide { grid-rows: 13 9 1fr; }
#body.wide Rates { column-span: 5; }
#body.wide #errors { column-span: 3; }
#body.wide Latencies { column-span: 4; }
#body.wide #workers { column-span: 12; }
#body.wide #models, #body.wide #endpoints { column-span: 6; }
ModalScreen { align: center middle; }
ModalScreen > VerticalScroll { width: 90%; max-width: 110; height: auto; max-height: 90%; border: round $accent; padding: 0 1; }
"""


class Server(Protocol):
    """A server that ends with the dashboard."""

    @property
    def has_ended(self) -> bool:
        """Whether it has ended."""

    def send(self, number: int) -> None:
        """Send it a signal."""

    def output(self, lines: int) -> str:
        """Return the last lines of its output."""

    def trim_output(self) -> None:
        """Leave only the end of its output if that is large."""


class Dashboard(App[None]):
    """The dashboard of one simulator."""

    CSS = _CSS
    TITLE = "llmsim"
    ENABLE_COMMAND_PALETTE = False
    BINDINGS = [
        Binding("ctrl+c", "leave", show=False, priority=True),
        Binding("question_mark", "help", "help", key_display="?"),
        Binding("slash", "filter", "filter", key_display="/"),
        Binding("s", "sort", "sort"),
        Binding("S", "reverse", "reverse"),
        Binding("p,space", "pause", "pause", key_display="p"),
        Binding("r", "read", "refresh"),
        Binding("l", "output", "log"),
        Binding("escape", "unfilter", show=False),
        *(
            Binding(f"{number}", f"choose('{spec.name}')", show=False)
            for number, spec in enumerate(TABLES, 1)
        ),
    ]

    def __init__(
        self,
        read: Reader,
        first: Snapshot,
        *,
        origin: str,
        interval: float = 1.0,
        server: Server | None = None,
    ) -> None:
        """Show a simulator.

        Args:
            read: Reads a snapshot; called in a thread.
            first: The snapshot to begin with.
            origin: The source, for the headline.
            interval: Seconds between two readings.
            server: Stopped on leaving; None if the simulator has been started by others.
        """
        super().__init__()
        self.bind("q", "leave", description="quit" if server is None else "stop the server")
        self._read_stats = read
        self._stats = first
        self._origin = origin
        self._interval = interval
        self._server = server
        self._problem = ""
        self._is_paused = False
        self._is_reading = False
        self._is_stopping = False
        self._chosen = TABLES[0].name

    def compose(self) -> ComposeResult:
        """Create the widgets."""
        yield Static(id="headline")
        yield Static(id="problem")
        yield Static(id="verdict")
        with Container(id="body"):
            yield Rates()
            yield Latencies()
            yield Static(id="bar")
            for spec in TABLES:
                yield StatsTable(spec)
        yield Input(placeholder="part of a name", id="filter", compact=True)
        yield Footer(compact=True, show_command_palette=False)

    def on_mount(self) -> None:
        """Show the first snapshot, and go on reading."""
        resume_with_terminal_only()
        self.query_one(Rates).border_title = "last 60 seconds"
        self.query_one(Latencies).border_title = "latencies"
        self.action_choose(self._chosen)
        self._show()
        self.set_interval(self._interval, self._tick)
        if self._server is not None:
            self.set_interval(0.1, self._check_server)

    def on_resize(self, event: events.Resize) -> None:
        """Choose the layout for the size of the terminal."""
        width, height = event.size
        is_tall = height >= _TALL
        layout = (
            "wide" if is_tall and width >= _WIDE else "medium" if is_tall and width >= _MEDIUM else "small"
        )
        body = self._main("#body", Container)
        for name in ("wide", "medium", "small"):
            body.set_class(name == layout, name)
        body.set_class(height < 18, "low")
        order = _TABS if layout == "small" else _GRID
        body.sort_children(key=lambda widget: order.index(widget.id or type(widget).__name__))
        self._show()

    # Reading.

    def _tick(self) -> None:
        if not self._is_paused:
            self.action_read()
        if self._server is not None:
            self._server.trim_output()

    def action_read(self) -> None:
        """Read the stats now, also during a pause."""
        if not self._is_reading:
            self._is_reading = True
            # Not a worker of Textual's, for whose end leaving would wait.
            threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        try:
            found: Snapshot | StatsError = self._read_stats()
        except StatsError as error:
            found = error
        with contextlib.suppress(RuntimeError):
            if self.return_code is None:
                self.call_from_thread(self._take, found)

    def _take(self, found: Snapshot | StatsError) -> None:
        self._is_reading = False
        if self.return_code is not None:
            return
        if isinstance(found, StatsError):
            self._problem = "" if self._is_stopping else str(found)
        else:
            self._stats, self._problem = found, ""
        self._show()

    # Showing.

    def _show(self) -> None:
        stats = self._stats
        headline = render_headline(stats, self._origin)
        for state, is_so in (("paused", self._is_paused), ("stopping the server …", self._is_stopping)):
            if is_so:
                headline.append(f"  ·  {state}", "bold yellow")
        with self.batch_update():
            self._main("#headline", Static).update(headline)
            problem = self._main("#problem", Static)
            problem.display = bool(self._problem)
            problem.update(Text(printable(self._problem)))
            self._main("#verdict", Static).update(render_verdict(stats))
            self._main("Rates", Rates).show(stats)
            self._main("Latencies", Latencies).show(stats)
            for table in self._tables():
                table.show(stats, self._pattern)
            self._show_bar()

    def _show_bar(self) -> None:
        tabs, notes = Text(), ""
        for number, table in enumerate(self._tables(), 1):
            found = [table.order, *([f"filter: {printable(self._pattern)}"] if self._pattern else [])]
            note = ", ".join(filter(None, found))
            is_chosen = table.id == self._chosen
            tabs.append(f"{number} ", "dim").append(table.spec.name, "bold reverse" if is_chosen else "")
            tabs.append("  ")
            if is_chosen:
                notes = note
            # NOTE: a title is parsed as markup, and the filter may have brackets.
            table.border_title = Text(f"{table.spec.name}  {note}".strip()).markup
        self._main("#bar", Static).update(tabs.append(notes, "yellow"))

    def _main(self, selector: str, kind: type[_W]) -> _W:
        """Return a widget of the dashboard itself, also below another screen."""
        return self.screen_stack[0].query_one(selector, kind)

    def _tables(self) -> list[StatsTable]:
        return [self._main(f"#{spec.name}", StatsTable) for spec in TABLES]

    @property
    def _pattern(self) -> str:
        return self._main("#filter", Input).value

    # Keys.

    def action_choose(self, name: str) -> None:
        """Go to a table."""
        self._chosen = name
        for table in self._tables():
            table.set_class(table.id == name, "chosen")
        self.query_one(f"#{name}").focus()
        self._show_bar()

    def action_next(self, step: int) -> None:
        """Go to another table: the next one, or the one before."""
        names = [spec.name for spec in TABLES]
        self.action_choose(names[(names.index(self._chosen) + step) % len(names)])

    def on_descendant_focus(self, event: events.DescendantFocus) -> None:
        """Note a table that was clicked."""
        if isinstance(event.widget, StatsTable) and event.widget.spec.name != self._chosen:
            self.action_choose(event.widget.spec.name)

    def on_key(self, event: events.Key) -> None:
        """Go from table to table, past whatever else could be reached."""
        if event.key in ("tab", "shift+tab") and len(self.screen_stack) == 1:
            event.prevent_default()
            event.stop()
            self.action_next(1 if event.key == "tab" else -1)

    def action_sort(self) -> None:
        """Sort the chosen table by its next column."""
        self.query_one(f"#{self._chosen}", StatsTable).sort_next()

    def action_reverse(self) -> None:
        """Turn the order of the chosen table round."""
        self.query_one(f"#{self._chosen}", StatsTable).reverse()

    def on_stats_table_changed(self, _: StatsTable.Changed) -> None:
        """Show how a table is sorted."""
        self._show_bar()

    def action_pause(self) -> None:
        """Pause, or go on."""
        self._is_paused = not self._is_paused
        self._show()

    def action_filter(self) -> None:
        """Ask for a filter."""
        # NOTE: one that is not displayed could not be focused at once, and the next keys would be commands.
        field = self.query_one("#filter", Input)
        field.add_class("open")
        field.focus()

    def on_input_changed(self, _: Input.Changed) -> None:
        """Filter while it is being typed."""
        self._show()

    def on_input_submitted(self, event: Input.Submitted) -> None:
        """Keep the filter, and go back to the table."""
        event.input.remove_class("open")
        self.action_choose(self._chosen)

    def action_unfilter(self) -> None:
        """Remove the filter."""
        field = self.query_one("#filter", Input)
        field.value = ""
        field.remove_class("open")
        self.action_choose(self._chosen)

    def action_help(self) -> None:
        """Show the keys."""
        quitting = "quit" if self._server is None else "stop the server, as Ctrl-C does, and quit"
        self.push_screen(Help(quitting, has_output=self._server is not None))

    def action_output(self) -> None:
        """Show what the server has printed."""
        if self._server is not None:
            self.push_screen(Output(self._server.output))

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Hide keys that have no meaning here."""
        return not (action == "output" and self._server is None)

    # Ending.

    def action_leave(self) -> None:
        """Stop the server, if it is ours, and leave once it has ended; a second time at once."""
        if self._server is None or self._is_stopping:
            self.exit()
        else:
            self.pass_on(signal.SIGINT)

    def pass_on(self, number: int) -> None:
        """Pass on a signal: a server of our own handles it, else the dashboard ends."""
        if self._server is None:
            self.exit()
            return
        self._server.send(number)
        if number != signal.SIGHUP:
            self._is_stopping = True
            self._show()

    def _check_server(self) -> None:
        if self._server is not None and self._server.has_ended:
            self.exit()


_TABS = ("Rates", "Latencies", "bar", *(spec.name for spec in TABLES))
_GRID = ("Rates", "errors", "Latencies", "workers", "models", "endpoints", "bar")
"""Widgets in the order of the two kinds of layout."""


def run_dashboard(
    read: Callable[[], Snapshot],
    *,
    origin: str,
    interval: float,
    server: Server | None = None,
    is_local: bool = True,
) -> None:
    """Show the dashboard until it is left.

    Raises:
        StatsError: The first reading failed.
    """
    app = Dashboard(read, read(), origin=origin, interval=interval, server=server)
    if is_local:
        os.nice(_NICENESS)
    handle_signals(app.pass_on, has_server=server is not None)
    app.run()
    stop_reading(app)
