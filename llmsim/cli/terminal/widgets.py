"""The dashboard's widgets: bars, latencies, and tables that are sorted and filtered."""

from rich.console import Group, RenderableType
from rich.text import Text
from textual import events
from textual.binding import Binding
from textual.message import Message
from textual.widget import Widget
from textual.widgets import DataTable

from llmsim.cli.figures import rate
from llmsim.cli.stats_view import render_axis, render_bars, render_engines, render_latencies, render_rates
from llmsim.cli.terminal.tables import Row, TableSpec, fit_columns, render_name, sort_rows
from llmsim.stats import Snapshot

_AROUND_BARS = len("requests ") + len(" 1.2k/s")
"""Cells beside the bars."""

_SCROLLBAR = 2


class _Panel(Widget):
    """Shows a part of a snapshot."""

    stats: Snapshot | None = None

    def show(self, stats: Snapshot) -> None:
        """Show a snapshot from now on."""
        self.stats = stats
        self.refresh()

    def render(self) -> RenderableType:
        """Render the snapshot in the room that there is."""
        return "" if self.stats is None else self.draw(self.stats)

    def draw(self, stats: Snapshot) -> RenderableType:
        """Render a snapshot."""
        raise NotImplementedError


class Rates(_Panel):
    """Rates, and the last 60 seconds as bars as high and wide as there is room."""

    def draw(self, stats: Snapshot) -> RenderableType:
        """Render rates and bars."""
        engines = render_engines(stats)
        around = 3 if engines.plain else 2
        width, height = max(1, self.size.width - _AROUND_BARS), max(1, (self.size.height - around) // 3)
        bars = render_bars(stats, width=width, height=height)
        errors = sum(stats.last_60_seconds.errors[-10:]) / 10
        figures = Text.assemble(
            render_rates(stats), "  ·  ", (rate(errors), "bold red" if errors else "bold"), " errors/s"
        )
        axis = [render_axis(stats, width=width)] if self.size.height >= around + 3 * height else []
        return Group(figures, *([engines] if engines.plain else []), bars, *axis)


class Latencies(_Panel):
    """Percentiles of the observed latencies."""

    def draw(self, stats: Snapshot) -> RenderableType:
        """Render the table of latencies."""
        return render_latencies(stats, has_rule=False)


class StatsTable(DataTable[Text]):
    """A table of the stats, which keeps its place while its figures change.

    Attributes:
        spec: What it holds.
    """

    BINDINGS = [
        Binding("home", "scroll_top", show=False),
        Binding("end", "scroll_bottom", show=False),
    ]

    class Changed(Message):
        """The table is sorted in another way."""

    def __init__(self, spec: TableSpec) -> None:
        super().__init__(
            id=spec.name, cursor_type="row", cell_padding=0, cursor_foreground_priority="renderable"
        )
        self.spec = spec
        self.border_title = spec.name
        self._rows: list[Row] = []
        self._filter = ""
        self._sorted_by: int | None = None
        self._descending = False
        self._shown: list[str] = []
        self._fitted: tuple[int, list[int]] = (0, [])

    def show(self, stats: Snapshot, pattern: str) -> None:
        """Show those rows of a snapshot whose name has a text in it, whatever its case."""
        self._rows = self.spec.rows(stats)
        self._filter = pattern.casefold()
        self._fill()

    @property
    def order(self) -> str:
        """How it is sorted, in words."""
        arrow = "▼" if self._descending else "▲"
        if self._sorted_by is None:
            return "in reverse" if self._descending else ""
        title = self.spec.heading if self._sorted_by < 0 else self.spec.columns[self._sorted_by].title
        return f"by {title} {arrow}"

    def sort_next(self) -> None:
        """Sort by the next column that is shown; after the last one, not at all."""
        columns: list[int | None] = [None, -1, *self._fitted[1]]
        place = columns.index(self._sorted_by) if self._sorted_by in columns else 0
        self._sort_by(columns[(place + 1) % len(columns)])

    def reverse(self) -> None:
        """Turn the order round."""
        self._descending = not self._descending
        self._resort()

    def _sort_by(self, place: int | None) -> None:
        self._sorted_by = place
        # Large figures are what one looks for, and names are read from A to Z.
        self._descending = place is not None and place >= 0
        self._resort()

    def _resort(self) -> None:
        self._fitted = (0, [])
        self._fill()
        self.post_message(self.Changed())

    def on_resize(self, _: events.Resize) -> None:
        """Choose the columns for the new width."""
        self._fill()

    def on_data_table_header_selected(self, event: DataTable.HeaderSelected) -> None:
        """Sort by the column whose heading was clicked, or turn the order round."""
        place = -1 if event.column_index == 0 else self._fitted[1][event.column_index - 1]
        if place == self._sorted_by:
            self.reverse()
        else:
            self._sort_by(place)

    def _fill(self) -> None:
        width = self.size.width - _SCROLLBAR
        if width <= 0:
            return
        name_width, places = fitted = fit_columns(self.spec, width)
        rows = sort_rows(self._matching(), self._sorted_by, descending=self._descending)
        names = [row.name for row in rows]
        cells = [self._cells(row, name_width, places) for row in rows]
        if fitted == self._fitted and names == self._shown:
            self._update(cells)
            return
        at, scrolled = self.cursor_row, self.scroll_y
        chosen = self._shown[at] if at < len(self._shown) else None
        if fitted != self._fitted:
            self.clear(columns=True)
            self._add_columns(name_width, places)
        else:
            self.clear()
        for row, texts in zip(rows, cells, strict=True):
            self.add_row(*texts, key=row.name)
        self._fitted, self._shown = fitted, names
        # A table that is read from the top stays there, whatever comes first.
        if at and chosen in names:
            self.move_cursor(row=names.index(chosen), scroll=False)
        elif at:
            self.move_cursor(row=min(at, len(names) - 1), scroll=False)
        self.scroll_to(y=scrolled, animate=False, force=True)

    def _matching(self) -> list[Row]:
        return [row for row in self._rows if self._filter in row.name.casefold()]

    def _update(self, rows: list[list[Text]]) -> None:
        for number, texts in enumerate(rows):
            for column, text in enumerate(texts):
                if self.get_cell_at((number, column)) != text:  # type: ignore[arg-type]  # a coordinate is a pair
                    self.update_cell_at((number, column), text)  # type: ignore[arg-type]

    def _add_columns(self, name_width: int, places: list[int]) -> None:
        arrow = "▼" if self._descending else "▲"
        mark = arrow if self._sorted_by == -1 else ""
        self.add_column(Text(f"{self.spec.heading}{mark}"), width=name_width)
        for place in places:
            column = self.spec.columns[place]
            mark = arrow if self._sorted_by == place else ""
            self.add_column(Text(f"{column.label}{mark}".rjust(column.width)), width=column.width)

    def _cells(self, row: Row, name_width: int, places: list[int]) -> list[Text]:
        figures = []
        for place in places:
            column = self.spec.columns[place]
            text = column.render(row.values[place])
            text.pad_left(max(0, column.width - len(text)))
            figures.append(text)
        return [render_name(row.name, name_width, row.style), *figures]
