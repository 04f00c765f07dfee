"""The command line of `scripts/sdk-faults`."""

import contextlib
from pathlib import Path

import click

from llmsim.domain import WireFaultKind
from llmsim.testing import Simulator

from .clients import Vercel, observe_python, play
from .table import render_rows, write_rows


@click.command(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.option(
    "--node",
    type=click.Path(path_type=Path, file_okay=False, exists=True),
    help="Folder in which `npm install ai @ai-sdk/openai @ai-sdk/anthropic` was run; without it, only the SDKs for Python run.",
)
@click.option(
    "--markdown",
    "page",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Write the table to this page.",
)
def main(node: Path | None, page: Path | None) -> None:
    """Run the official SDKs under each fault on the wire, and print what each does with it."""
    with Simulator(settings={"latency.profile": "instant"}) as server, contextlib.ExitStack() as stack:
        vercel = None
        if node is not None:
            vercel = Vercel(server.base_url, node)
            stack.callback(vercel.close)
        rows = {}
        for kind in WireFaultKind:
            play(server.base_url, kind)
            rows[kind] = observe_python(server.base_url, kind)
            if vercel is not None:
                rows[kind] |= vercel.observe(kind)
    click.echo(render_rows(rows), nl=False)
    if page is not None:
        write_rows(page, rows)


if __name__ == "__main__":
    main()
