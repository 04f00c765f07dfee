"""The table of what came of the tests, and the failures by reason."""

from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

from .reasons import UNEXPLAINED, Reason, find_reason
from .suites import Outcome

_BEGIN = "<!-- the SDKs' own tests: scripts/sdk-tests --markdown -->"
_END = "<!-- end -->"

Results = dict[str, list[Outcome]]
"""Outcomes by SDK."""


def render_results(results: Results, reasons: list[Reason]) -> str:
    """Render both tables in Markdown."""
    rows = [["SDK", "tests of", "passed", "failed", "skipped"], ["---"] * 5]
    for sdk, outcomes in results.items():
        resources = dict.fromkeys(one.resource for one in outcomes)
        rows += [
            [f"`{sdk}`", resource, *_counts([one for one in outcomes if one.resource == resource])]
            for resource in resources
        ]
        rows.append([f"`{sdk}`", "all", *_counts(outcomes)])
    failures = Counter(
        (sdk, reason.kind if reason else UNEXPLAINED, reason.reason if reason else one.problem[:160])
        for sdk, one, reason in _failures(results, reasons)
    )
    classes = [["SDK", "tests", "class", "why they fail"], ["---"] * 4]
    classes += [[f"`{sdk}`", str(count), kind, why] for (sdk, kind, why), count in sorted(failures.items())]
    return f"{_table(rows)}\n{_table(classes)}"


def write_results(page: Path, results: Results, reasons: list[Reason]) -> None:
    """Write both tables into a page, between its markers.

    Raises:
        ValueError: The page lacks them.
    """
    before, begin, rest = page.read_text(encoding="utf-8").partition(_BEGIN)
    _, end, after = rest.partition(_END)
    if not (begin and end):
        raise ValueError("the page lacks the markers of the tables")
    tables = render_results(results, reasons)
    page.write_text(f"{before}{_BEGIN}\n\n{tables}\n{_END}{after}", encoding="utf-8")


def unexplained(results: Results, reasons: list[Reason]) -> list[Outcome]:
    """Return the failures that have no reason."""
    return [one for _, one, reason in _failures(results, reasons) if reason is None]


def outdated(results: Results, reasons: list[Reason]) -> list[Reason]:
    """Return the reasons that no failure has."""
    used = [reason for _, _, reason in _failures(results, reasons)]
    return [one for one in reasons if one.sdk in results and one not in used]


def _failures(results: Results, reasons: list[Reason]) -> Iterator[tuple[str, Outcome, Reason | None]]:
    for sdk, outcomes in results.items():
        for one in outcomes:
            if one.outcome == "failed":
                yield sdk, one, find_reason(reasons, sdk, one.test)


def _counts(outcomes: Sequence[Outcome]) -> list[str]:
    counts = Counter(one.outcome for one in outcomes)
    return [str(counts[name]) for name in ("passed", "failed", "skipped")]


def _table(rows: list[list[str]]) -> str:
    lines = [f"| {' | '.join(cells)} |\n" for cells in rows]
    return "".join(lines).replace("| --- |", "|---|").replace(" --- |", "---|")
