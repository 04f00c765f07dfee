"""`llmsim explain`: what a request would get, and why."""

from pathlib import Path

import click
import msgspec
from rich.console import Console, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from llmsim.cli.http_client import fetch_bytes, resolve_address
from llmsim.cli.options import setting_options
from llmsim.config import load
from llmsim.errors import ControlApiError
from llmsim.text import printable

_PATH = "/llmsim/explain"

_EXAMPLES = """\b
Examples:
  llmsim explain request.json --rules rules.toml
  llmsim explain request.json --endpoint messages --header 'x-api-key: sk-slow'
  llmsim explain request.json --url http://localhost:8080    ask a running server
"""


class Answer(msgspec.Struct):
    """A part of what a request gets."""

    part: str
    value: str
    why: str


class Explanation(msgspec.Struct):
    """What a request gets."""

    endpoint: str
    answers: list[Answer]


class _Error(msgspec.Struct):
    message: str


class _ErrorBody(msgspec.Struct):
    error: _Error


@click.command(epilog=_EXAMPLES, short_help="Show how a request would be answered, and by which rules.")
@click.argument("request_file", metavar="REQUEST.json", type=click.Path(path_type=Path))
@click.option(
    "--endpoint",
    default="completions",
    show_default=True,
    help="Where it is sent: completions, responses, openresponses, messages, ...",
)
@click.option("--header", "headers", multiple=True, metavar="NAME:VALUE", help="A header of the request.")
@click.option("--model", default="", help="The model, where the API has it in the path, as Gemini does.")
@click.option("--url", help="Ask a running simulator: http://HOST:PORT.")
@click.option("--json", "as_json", is_flag=True, help="Print the JSON of the control API.")
@setting_options
def explain(
    request_file: Path,
    endpoint: str,
    headers: tuple[str, ...],
    model: str,
    url: str | None,
    path: str | None,
    flags: dict[str, str],
    *,
    as_json: bool,
) -> None:
    """Show which rule, script, scenario, tool and latency the request in REQUEST.json gets, and why.

    Without --url it is explained with the settings given here, as `llmsim serve` would have them; no server is needed. Nothing is
    played or counted.
    """
    body = _build_body(request_file, endpoint, headers, model)
    if url is not None:
        address = resolve_address(url, _PATH)
        answer = fetch_bytes(address, with_key=True, body=body, method="POST")
    else:
        # Loaded only here: with --url no server is built.
        from llmsim.server.offline import call_offline

        status, answer = call_offline(load(path, flags=flags).settings, _PATH, body)
        if status != 200:
            raise ControlApiError(msgspec.json.decode(answer, type=_ErrorBody).error.message)
    try:
        explained = msgspec.json.decode(answer, type=Explanation)
    except msgspec.DecodeError as error:
        raise ControlApiError(f"the reply is not in the format of this llmsim: {error}") from error
    if as_json:
        click.echo(msgspec.json.format(answer).decode())
    else:
        Console().print(render_explanation(explained))


def _build_body(request_file: Path, endpoint: str, headers: tuple[str, ...], model: str) -> bytes:
    sent = {}
    for header in headers:
        name, colon, value = header.partition(":")
        if not colon or not name.strip():
            raise click.BadParameter(f"wanted NAME:VALUE, found {printable(header)!r}", param_hint="--header")
        sent[name.strip()] = value.strip()
    try:
        data = request_file.read_bytes()
    except OSError as error:
        raise click.UsageError(f"{printable(str(request_file))}: cannot be read: {error.strerror}") from None
    try:
        msgspec.json.decode(data, type=msgspec.Raw)
    except msgspec.DecodeError as error:
        raise click.UsageError(f"{printable(str(request_file))}: not JSON: {error}") from None
    return msgspec.json.encode(
        {"endpoint": endpoint, "headers": sent, "model": model, "request": msgspec.Raw(data)}
    )


def render_explanation(explained: Explanation) -> RenderableType:
    """Render what a request gets: a line for each part."""
    table = Table(box=None, show_header=False, pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    table.add_column(overflow="fold")
    for answer in explained.answers:
        style = (
            "dim" if answer.part == "no rule" else "red" if answer.part in ("refused", "fault") else "bold"
        )
        table.add_row(
            Text(answer.part, "dim"), Text(printable(answer.value), style), Text(printable(answer.why), "dim")
        )
    return Padding(table, (0, 1), expand=False)
