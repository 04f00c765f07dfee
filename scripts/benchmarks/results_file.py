"""The file that a part writes its results to."""

from pathlib import Path

import click
import msgspec

json_option = click.option(
    "--json",
    "json_file",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Write the results to this file.",
)
"""Option of a command whose argument `json_file` is the file, or None."""


def write_results(json_file: Path | None, results: msgspec.Struct) -> None:
    """Write results to the file, if one is given."""
    if json_file is not None:
        json_file.write_bytes(msgspec.json.format(msgspec.json.encode(results), indent=2) + b"\n")
