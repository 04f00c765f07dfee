"""The settings as documents: an example file, and the tables of the reference.

Decisions:
* The tables stand in `docs/configuration.md` between two markers, so that the page is read where
  pages are read; a test compares them with the settings.
"""

import textwrap

import msgspec

from llmsim.config.knobs import CONFIG_VARIABLE, Knob, knobs
from llmsim.config.settings import Settings
from llmsim.errors import ConfigError
from llmsim.words import literal

BEGIN = "<!-- settings: rewritten by `llmsim config --markdown FILE` -->"
END = "<!-- end of settings -->"


def example() -> str:
    """Write a TOML file that holds every setting with its default, explained."""
    lines = [
        "# The settings of llmsim, each with its default; one that is left out keeps it.",
        "# A line that ends in `=` is a setting that is unset by default.",
        f"# Name this file with --config or {CONFIG_VARIABLE}. The variable named above a setting overrides",
        "# what stands here, and its flag overrides both.",
    ]
    for section, about in _sections():
        lines += ["", "", f"# {about}", f"[{section}]"]
        for knob in _knobs_of(section):
            facts = (", ".join(filter(None, (knob.unit, knob.range))), *knob.ways)
            lines += [
                "",
                *textwrap.wrap(knob.meaning, 96, initial_indent="# ", subsequent_indent="# "),
                "# " + " · ".join(filter(None, facts)),
                f"# {knob.key} =" if knob.default is None else f"{knob.key} = {literal(knob.default)}",
            ]
    return "\n".join(lines) + "\n"


def tables() -> str:
    """Write the settings as Markdown: a heading and a table for each section."""
    head = ("setting", "default", "unit", "range", "meaning", "variable, flag")
    lines = []
    for section, about in _sections():
        lines += ["", f"### `[{section}]`", "", about, "", _row(*head), _row(*("---" for _ in head))]
        for knob in _knobs_of(section):
            default = "unset" if knob.default is None else f"`{literal(knob.default)}`"
            ways = ", ".join(f"`{way}`" for way in knob.ways)
            lines.append(_row(f"`{knob.key}`", default, knob.unit, knob.range, knob.meaning, ways))
    return "\n".join(lines) + "\n"


def with_tables(page: str) -> str:
    """Put the tables in force into a page.

    Args:
        page: Markdown that holds the two markers.

    Returns:
        The page, with the tables between the markers.

    Raises:
        ConfigError: The page lacks a marker.
    """
    before, begin, rest = page.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not (begin and end):
        raise ConfigError(f"the page lacks its markers, {BEGIN} and {END}")
    return f"{before}{begin}\n{tables()}\n{end}{after}"


def _sections() -> list[tuple[str, str]]:
    """List the tables of the file, with the sentence that describes each."""
    return [
        (field.name, (field.type.__doc__ or "").partition("\n")[0])
        for field in msgspec.structs.fields(Settings)
    ]


def _knobs_of(section: str) -> list[Knob]:
    return [knob for knob in knobs() if knob.section == section]


def _row(*cells: str) -> str:
    return f"| {' | '.join(cells)} |"
