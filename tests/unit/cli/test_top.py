"""The dashboard in the terminal, driven by Textual's pilot."""

import io
import os
import signal
import threading
from collections.abc import Callable
from functools import cache

import pytest
from click.testing import CliRunner
from msgspec.structs import replace
from rich.console import Console
from textual.pilot import Pilot
from textual.widgets import Static

from llmsim.cli import main
from llmsim.cli.hosts_view import render_hosts
from llmsim.cli.stats_view import render_headline
from llmsim.cli.terminal import app as terminal
from llmsim.cli.terminal.app import Dashboard
from llmsim.cli.terminal.tables import TABLES, fit_columns
from llmsim.cli.terminal.widgets import StatsTable
from llmsim.errors import StatsError
from llmsim.stats import Block, Gauges, Outcome, Recorder, Snapshot, read_totals, snapshot
from llmsim.stats.hosts import Publication, Published, add_hosts
from llmsim.stats.verdict import Verdict

NOW = 5000.0
EVIL = "[red]evil[/] \x1b[2J\a[@click=app.bell]x[/] " + "y" * 60


@cache
def _busy(requests: int = 0) -> Snapshot:
    """Return the stats of a busy server, after some more requests of the model `gpt-5`."""
    block = Block.private(endpoints=("completions", "messages"), slots=4, now=1300.0, wall=1.75e9)
    for _ in range(2):
        slot = block.claim(os.getpid())
        block.set_pid(slot, os.getpid())
        gauges = Gauges(block, slot, NOW - 10.0)
        gauges.record_pulse(NOW - 10.0, cpu=0.0, wait=0.0)
        gauges.record_pulse(NOW, cpu=9.7, wait=1.2, lag_max=1.234, lag_sum=2.0, samples=100)
        recorder = Recorder(block, slot)
        for number, outcome in enumerate([*Outcome, *[Outcome.FINISHED] * 40]):
            at = NOW - 1 - number
            recorder.began(number % 2, at)
            model = ("gpt-5", EVIL, *(f"model-{place:02}" for place in range(10)))[number % 12]
            row = recorder.accepted(number % 2, model, streaming=True, prompt_tokens=40_000_000)
            recorder.first_token(row, 0.6)
            recorder.gap(row, 0.04, 99)
            recorder.late(0.001, 100)
            recorder.sent(row, 100_000, at)
            recorder.ended(number % 2, outcome, 4321.9, at, row)
        for _ in range(requests):
            recorder.began(0, NOW)
            recorder.accepted(0, "gpt-5", streaming=True, prompt_tokens=1)
    return snapshot(block, NOW, wall=1.75e9)


def _dashboard(read: Callable[[], Snapshot] = _busy, **options: object) -> Dashboard:
    """Return a dashboard that reads only when it is asked to."""
    return Dashboard(read, _busy(), **{"origin": "port 8080", "interval": 3600.0, **options})  # type: ignore[arg-type]


def _screen(app: Dashboard) -> str:
    """Return what the terminal shows, a line each."""
    strips = app.screen._compositor.render_strips()
    return "\n".join("".join(segment.text for segment in strip) for strip in strips)


async def _read(app: Dashboard, pilot: Pilot[None]) -> None:
    """Wait until a reading is shown."""
    while app._is_reading:
        await pilot.pause(0.01)


def _table(app: Dashboard, name: str) -> StatsTable:
    return app.query_one(f"#{name}", StatsTable)


def _names(app: Dashboard, name: str = "models") -> list[str]:
    table = _table(app, name)
    return [str(table.get_cell_at((row, 0))) for row in range(table.row_count)]  # type: ignore[arg-type]


@pytest.mark.parametrize("size", [(80, 24), (120, 40), (200, 60)])
async def test_the_dashboard_shows_the_figures(size: tuple[int, int]) -> None:
    """TUI-1.1: Verdict, rates, bars, latencies and the four tables are there, in any size."""
    app = _dashboard()
    async with app.run_test(size=size) as pilot:
        await pilot.pause()
        text = _screen(app)
        for words in (
            "on time",
            "requests/s",
            "tokens/s",
            "errors/s",
            "in flight",
            "█",
            "p99.9",
            "first token",
        ):
            assert words in text
        for words in ("inter-token", "end to end", "lateness", "TTFT p50", "ITL p50", "E2E p50", "gpt-5"):
            assert words in text
        for key, found in (("2", "messages"), ("3", "cpu %"), ("4", "rate limit")):
            await pilot.press(key)
            await pilot.pause()
            assert found in _screen(app)


@pytest.mark.parametrize("size", [(80, 24), (113, 50), (114, 34), (200, 60)])
async def test_no_figure_is_cut(size: tuple[int, int]) -> None:
    """TUI-2.1: All columns that a table has are within it."""
    app = _dashboard()
    async with app.run_test(size=size) as pilot:
        await pilot.pause()
        for spec in TABLES:
            await pilot.press(str(TABLES.index(spec) + 1))
            await pilot.pause()
            table = _table(app, spec.name)
            assert sum(column.get_render_width(table) for column in table.ordered_columns) <= table.size.width
            assert table.max_scroll_x == 0
            for row in range(table.row_count):
                for column, cell in zip(table.ordered_columns, table.get_row_at(row), strict=True):
                    assert cell.cell_len <= column.width


@pytest.mark.parametrize("spec", TABLES, ids=lambda spec: spec.name)
def test_columns_are_left_out_by_rank(spec: object) -> None:
    """TUI-2.1: A narrow table has the columns of low rank only, and never fewer than these."""
    for width in range(10, 240):
        name, places = fit_columns(spec, width)  # type: ignore[arg-type]
        columns = TABLES[TABLES.index(spec)].columns  # type: ignore[arg-type]
        shown = {columns[place].rank for place in places}
        assert all((column.rank in shown) == (place in places) for place, column in enumerate(columns))
        if width >= 76:
            assert name + sum(columns[place].width for place in places) <= width


async def test_a_small_terminal_has_one_table_at_a_time() -> None:
    """TUI-2.2: At 80 by 24 the chosen table is there, at 114 by 34 all are, also after a change of the size."""
    app = _dashboard()
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.press("tab")
        await pilot.pause()
        assert [spec.name for spec in TABLES if _table(app, spec.name).size.height] == ["endpoints"]
        await pilot.press("shift+tab", "shift+tab")
        await pilot.pause()
        assert [spec.name for spec in TABLES if _table(app, spec.name).size.height] == ["errors"]
        await pilot.resize_terminal(114, 34)
        await pilot.pause()
        assert all(_table(app, spec.name).size.height >= 3 for spec in TABLES)
        assert "latencies" in _screen(app)


async def test_names_are_text() -> None:
    """TUI-2.3: A model's name takes effect neither as markup nor on the terminal, and the filter's text no more."""
    app = _dashboard(origin="http://[b]a[/b]\x1b[2J")
    async with app.run_test(size=(200, 60)) as pilot:
        await pilot.press("slash")
        await pilot.press("left_square_bracket", "r", "e", "d", "right_square_bracket")
        await pilot.press("enter")
        await pilot.pause()
        text = _screen(app)

    assert "[red]evil[/] �[2J" in text
    assert "http://[b]a[/b]�[2J" in text
    assert "filter: [red]" in text
    assert "\x1b" not in text


async def test_a_table_is_sorted() -> None:
    """TUI-3.1: `s` goes from column to column, figures from the largest, `S` turns the order round; headings show it."""
    app = _dashboard()
    async with app.run_test(size=(120, 40)) as pilot:
        await pilot.press("s")
        await pilot.pause()
        assert _names(app) == sorted(_names(app))
        assert "model▲" in _screen(app)
        await pilot.press("S")
        await pilot.pause()
        assert _names(app) == sorted(_names(app), reverse=True)
        await pilot.press("s", "S")
        await pilot.pause()
        counts = [int(str(_table(app, "models").get_cell_at((row, 1)))) for row in range(12)]  # type: ignore[arg-type]
        assert counts == sorted(counts)
        assert "requests▲" in _screen(app)


async def test_rows_are_filtered() -> None:
    """TUI-3.2: While a text is typed only rows with it remain; Enter keeps it, Esc removes it."""
    app = _dashboard()
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.press("slash")
        await pilot.press("G", "P", "T")
        await pilot.pause()
        assert _names(app) == ["gpt-5"]
        await pilot.press("enter", "s")
        await pilot.pause()
        assert _names(app) == ["gpt-5"]
        assert "filter: GPT" in _screen(app)
        await pilot.press("escape")
        await pilot.pause()
        assert len(_names(app)) == 12


async def test_it_pauses_and_reads_at_once() -> None:
    """TUI-3.3: A pause stops readings, and says so; `r` reads during it."""
    readings: list[int] = []

    def read() -> Snapshot:
        readings.append(1)
        return _busy(1000)

    app = _dashboard(read)
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.press("p")
        app._tick()
        await pilot.pause()
        assert not readings
        assert "paused" in _screen(app)
        await pilot.press("r")
        await _read(app, pilot)
        await pilot.pause()
        assert len(readings) == 1
        assert "2,0" in _screen(app)
        await pilot.press("p")
        app._tick()
        await _read(app, pilot)
        assert len(readings) == 2


@pytest.mark.parametrize("key", ["q", "ctrl+c"])
async def test_it_is_left(key: str) -> None:
    """TUI-3.4: `?` shows the keys and Esc closes them; `q` and Ctrl-C leave."""
    app = _dashboard()
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.press("question_mark")
        await pilot.pause()
        assert "sort by the next column" in _screen(app)
        assert "Ctrl-C" not in _screen(app)
        await pilot.press("escape")
        await pilot.pause()
        assert "gpt-5" in _screen(app)
        assert app.return_code is None
        await pilot.press(key)
        await pilot.pause()
        assert app.return_code == 0


async def test_a_table_keeps_its_place() -> None:
    """TUI-3.5: The chosen row stays chosen when it moves, and the table stays where it was scrolled."""
    app = _dashboard(lambda: _busy(1000))
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.press("end")
        await pilot.pause()
        table = _table(app, "models")
        chosen, scrolled = _names(app)[table.cursor_row], table.scroll_y
        assert scrolled > 0
        await pilot.press("r")
        await _read(app, pilot)
        await pilot.pause()
        assert _names(app)[0] == "gpt-5"
        assert _names(app)[table.cursor_row] == chosen
        assert table.scroll_y == scrolled


async def test_a_failed_reading_is_shown() -> None:
    """TUI-1.3: An error stands beside the last figures until a reading succeeds."""
    results: list[Snapshot | StatsError] = [StatsError("[b]gone[/b]"), _busy()]

    def read() -> Snapshot:
        result = results.pop(0)
        if isinstance(result, StatsError):
            raise result
        return result

    app = _dashboard(read)
    async with app.run_test(size=(80, 24)) as pilot:
        for is_wrong in (True, False):
            await pilot.press("r")
            await _read(app, pilot)
            await pilot.pause()
            assert ("[b]gone[/b]" in _screen(app)) == is_wrong
            assert "gpt-5" in _screen(app)


async def test_a_slow_reading_does_not_hold_up_keys() -> None:
    """TUI-1.5: While a reading takes long, keys work, and no second reading begins."""
    go_on = threading.Event()
    readings: list[int] = []

    def read() -> Snapshot:
        readings.append(1)
        go_on.wait()
        return _busy()

    app = _dashboard(read)
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.press("r", "r", "2")
        await pilot.pause()
        assert "messages" in _screen(app)
        go_on.set()
        await _read(app, pilot)
        assert len(readings) == 1


async def test_leaving_does_not_wait_for_a_reading() -> None:
    """TUI-1.5: A server that does not answer does not keep the dashboard from ending."""
    go_on = threading.Event()

    def read() -> Snapshot:
        go_on.wait()
        return _busy()

    app = _dashboard(read)
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.press("r", "q")
        await pilot.pause()
    assert app.return_code == 0
    go_on.set()


@pytest.mark.parametrize("size", [(1, 1), (20, 6), (40, 12), (79, 17), (300, 10), (60, 100)])
async def test_any_terminal_will_do(size: tuple[int, int]) -> None:
    """TUI-2.1: Smaller terminals than 80 by 24 show less, and nothing fails."""
    app = _dashboard()
    async with app.run_test(size=size) as pilot:
        await pilot.press("2", "s", "question_mark", "escape", "slash", "a", "escape")
        await pilot.pause()
    assert app.return_code is None or app.return_code == 0


@pytest.mark.parametrize(("is_local", "niceness"), [(True, [10]), (False, [])])
def test_it_gives_way_to_the_server(
    monkeypatch: pytest.MonkeyPatch, is_local: bool, niceness: list[int]
) -> None:
    """TUI-1.5: A dashboard on the server's machine runs with lower priority."""
    found: list[int] = []
    monkeypatch.setattr(terminal.os, "nice", found.append)
    monkeypatch.setattr(terminal.signal, "signal", lambda *_: None)
    monkeypatch.setattr(Dashboard, "run", lambda _: None)
    terminal.run_dashboard(_busy, origin="", interval=1.0, is_local=is_local)

    assert found == niceness


class _Server:
    """A server that ends when it gets a signal and the test lets it."""

    def __init__(self) -> None:
        self.signals: list[int] = []
        self.has_ended = False

    def send(self, number: int) -> None:
        self.signals.append(number)

    def output(self, lines: int) -> str:
        return "listening [red]\x1b[2J"

    def trim_output(self) -> None:
        pass


async def test_leaving_stops_the_server() -> None:
    """TUI-4.2: `q` sends the server what Ctrl-C does, says so, and the dashboard ends with the server."""
    server = _Server()
    app = _dashboard(server=server)
    async with app.run_test(size=(100, 24)) as pilot:
        await pilot.press("question_mark")
        await pilot.pause()
        assert "stop the server, as Ctrl-C does" in _screen(app)
        await pilot.press("escape")
        await pilot.pause()
        assert "stop the server" in _screen(app)
        await pilot.press("q")
        await pilot.pause()
        app._check_server()
        assert server.signals == [signal.SIGINT]
        assert app.return_code is None
        assert "stopping the server" in _screen(app)
        server.has_ended = True
        app._check_server()
        assert app.return_code == 0


async def test_signals_are_passed_on() -> None:
    """TUI-4.4: A reload leaves the dashboard as it is, a stop is shown."""
    server = _Server()
    app = _dashboard(server=server)
    async with app.run_test(size=(100, 24)) as pilot:
        app.pass_on(signal.SIGHUP)
        await pilot.pause()
        assert "stopping" not in str(app.query_one("#headline", Static).content)
        app.pass_on(signal.SIGTERM)
        await pilot.pause()
        assert "stopping" in str(app.query_one("#headline", Static).content)
        assert server.signals == [signal.SIGHUP, signal.SIGTERM]


async def test_the_output_is_shown_as_text() -> None:
    """TUI-4.1: `l` shows the end of the server's output, without its control characters."""
    app = _dashboard(server=_Server())
    async with app.run_test(size=(100, 24)) as pilot:
        await pilot.press("l")
        await pilot.pause()
        assert "listening [red]�[2J" in _screen(app)


def test_no_simulator_is_one_line() -> None:
    """TUI-1.2: Where there is nothing to read, one line says so and the exit code is 1."""
    result = CliRunner().invoke(main, ["top", "--url", "ftp://a"])

    assert result.exit_code == 1
    assert "wanted http://HOST:PORT" in result.output


@pytest.mark.parametrize(
    ("command", "advice"),
    [(["top"], "`llmsim stats` prints the same figures"), (["serve", "--tui"], "without --tui it serves")],
)
def test_what_is_missing_is_named(command: list[str], advice: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """TUI-1.4: Without a terminal the error says what to do instead; without Textual, what to install."""
    without_terminal = CliRunner().invoke(main, command)
    monkeypatch.setattr("llmsim.cli.terminal.importlib.util.find_spec", lambda _: None)
    without_textual = CliRunner().invoke(main, command)

    assert (without_terminal.exit_code, without_textual.exit_code) == (2, 2)
    assert advice in without_terminal.output
    assert "pip install 'llmsim[tui]'" in without_textual.output


def test_hosts_are_rows_beside_their_workers() -> None:
    """MACH-5.6: The stats of several hosts have a row for each host, then one for each worker with its host's name."""
    totals = read_totals(Block.private(endpoints=("completions",), slots=1, now=NOW - 9.0), NOW)
    verdict = Verdict("idle", "nothing measured", None)
    found = [
        Published(name, age, age > 5, Publication(totals, verdict)) for name, age in (("a", 0.1), ("b", 9.0))
    ]
    stats = add_hosts(found, read=NOW, wall=1.75e9).stats
    workers = next(spec for spec in TABLES if spec.name == "workers")

    assert [row.name for row in workers.rows(stats)] == ["a", "b (gone)"]
    assert " on 1 host" in render_headline(stats, "all hosts").plain
    console = Console(width=80, file=io.StringIO())
    console.print(render_hosts(stats))
    assert [line.split()[:2] for line in console.file.getvalue().splitlines()[2:]] == [
        ["a", "up"],
        ["b", "gone"],
    ]  # type: ignore[attr-defined]


def test_endpoints_that_nobody_has_asked_are_left_out() -> None:
    """TUI-1.6: The table has the endpoints that have had a request; the room of the others is theirs."""
    stats = _busy()
    idle = dict.fromkeys(stats.endpoints["messages"], 0)
    endpoints = next(spec for spec in TABLES if spec.name == "endpoints")

    rows = endpoints.rows(replace(stats, endpoints={"responses": idle, **stats.endpoints}))

    assert [row.name for row in rows] == ["completions", "messages"]
