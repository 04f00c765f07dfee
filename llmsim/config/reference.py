"""Renders the settings as documents: an example file, and the tables of the reference.

Decisions:
* The tables stand in `docs/configuration.md` between two markers, so that readers find them in the docs;
  a test compares them with the settings.
"""

import textwrap
from typing import get_origin

import msgspec

from llmsim.config.settings import Settings
from llmsim.config.specs import CONFIG_VARIABLE, SettingSpec, build_spec, setting_specs
from llmsim.config.tables import table_fields
from llmsim.errors import ConfigError

BEGIN = "<!-- settings: rewritten by `llmsim config --markdown FILE` -->"
END = "<!-- end of settings -->"


def render_example() -> str:
    """Render a TOML file that holds every setting with its default and description."""
    lines = [
        "# The settings of llmsim with their defaults; a setting that is left out keeps its default.",
        "# A line that ends in `=` is a setting that is unset by default.",
        f"# Name this file with --config or {CONFIG_VARIABLE}. The variable named above a setting overrides",
        "# this file, and its flag overrides both.",
    ]
    for section, description in _list_sections():
        lines += ["", "", f"# {description}", f"[{section}]"]
        for spec in _specs_of(section):
            facts = (", ".join(filter(None, (spec.unit, spec.range))), *spec.overrides)
            lines += [
                "",
                *textwrap.wrap(spec.description, 96, initial_indent="# ", subsequent_indent="# "),
                "# " + " · ".join(filter(None, facts)),
                f"# {spec.key} =" if spec.default is None else f"{spec.key} = {spec.show(spec.default)}",
            ]
    return "\n".join(lines) + "\n"


def render_tables() -> str:
    """Render the settings as Markdown: a heading and a table for each section."""
    head = ("setting", "default", "unit", "range", "description", "variable, flag")
    lines = []
    for section, description in _list_sections():
        lines += ["", f"### `[{section}]`", "", description, "", _row(*head), _row(*("---" for _ in head))]
        for spec in _specs_of(section):
            default = "unset" if spec.default is None else f"`{spec.show(spec.default)}`"
            overrides = ", ".join(f"`{override}`" for override in spec.overrides)
            lines.append(_row(f"`{spec.key}`", default, spec.unit, spec.range, spec.description, overrides))
        for spec in _specs_of(section):
            if spec.kind == "table" and (fields := table_fields(spec.value_type)):
                name = f"[{spec.name}.NAME]" if get_origin(spec.value_type) is dict else f"[{spec.name}]"
                facts = [build_spec(name, field) for field in fields]
                lines += [
                    "",
                    f"#### `{name}`",
                    "",
                    _row(*head[:1], *head[2:5]),
                    _row(*("---" for _ in head[:4])),
                ]
                lines += [_row(f"`{one.key}`", one.unit, one.range, one.description) for one in facts]
    return "\n".join(lines) + "\n"


def update_tables(page: str) -> str:
    """Return a page with its tables of settings brought up to date.

    Args:
        page: Markdown that holds the two markers.

    Raises:
        ConfigError: The page lacks a marker.
    """
    before, begin, rest = page.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not (begin and end):
        raise ConfigError(f"the page lacks its markers, {BEGIN} and {END}")
    return f"{before}{begin}\n{render_tables()}\n{end}{after}"


def _list_sections() -> list[tuple[str, str]]:
    return [
        (field.name, (field.type.__doc__ or "").partition("\n")[0])
        for field in msgspec.structs.fields(Settings)
    ]


def _specs_of(section: str) -> list[SettingSpec]:
    return [spec for spec in setting_specs() if spec.section == section]


def _row(*cells: str) -> str:
    return f"| {' | '.join(cells)} |"
