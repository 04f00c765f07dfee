"""The table of what SDKs do, between two markers of a page."""

from collections.abc import Mapping
from pathlib import Path

from llmsim.domain import WireFaultKind

_BEGIN = "<!-- what SDKs do: scripts/sdk-faults --markdown -->"
_END = "<!-- end -->"

Rows = Mapping[WireFaultKind, Mapping[str, str]]
"""What each client does, by fault and the heading of its column."""


def read_rows(page: Path) -> dict[WireFaultKind, dict[str, str]]:
    """Read the table of a page."""
    head, _, *body = _between(page.read_text(encoding="utf-8"))[1].strip().splitlines()
    names = _cells(head)[1:]
    return {
        WireFaultKind(cells[0].strip("`")): dict(zip(names, cells[1:], strict=True))
        for cells in map(_cells, body)
    }


def write_rows(page: Path, rows: Rows) -> None:
    """Write the table into a page."""
    before, _, after = _between(page.read_text(encoding="utf-8"))
    page.write_text(f"{before}{_BEGIN}\n\n{render_rows(rows)}\n{_END}{after}", encoding="utf-8")


def render_rows(rows: Rows) -> str:
    """Render the table in Markdown."""
    names = list(next(iter(rows.values())))
    lines = [["fault", *names], ["---"] * (len(names) + 1)]
    lines += [[f"`{kind.value}`", *[found[name] for name in names]] for kind, found in rows.items()]
    return (
        "".join(f"| {' | '.join(cells)} |\n" for cells in lines)
        .replace("| --- |", "|---|")
        .replace(" --- |", "---|")
    )


def _between(text: str) -> tuple[str, str, str]:
    before, begin, rest = text.partition(_BEGIN)
    table, end, after = rest.partition(_END)
    if not (begin and end):
        raise ValueError("the page lacks the markers of the table")
    return before, table, after


def _cells(line: str) -> list[str]:
    return [cell.strip() for cell in line.strip().strip("|").split(" | ")]
