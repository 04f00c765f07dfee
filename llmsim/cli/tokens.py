"""`llmsim tokens`: how a text falls into tokens."""

import json
import sys

import click
from rich.console import Console
from rich.text import Text

from llmsim.catalogue import load_catalogue
from llmsim.planning.tokens import load_tokenizer

_STYLES = (
    "black on bright_cyan",
    "black on bright_yellow",
    "black on bright_green",
    "black on bright_magenta",
)


@click.command()
@click.argument("text", required=False)
@click.option(
    "--model", default="gpt-5", show_default=True, help="Model whose tokenizer is used; any name is taken."
)
@click.option("--json", "as_json", is_flag=True, help="Print the count and the pieces as JSON.")
def tokens(text: str | None, model: str, as_json: bool) -> None:
    """Count the tokens of TEXT (or of standard input) and show where they are cut.

    A piece is what one streamed event carries: a token, or several where one alone is not whole UTF-8.
    """
    said = sys.stdin.read() if text is None else text
    words = load_tokenizer(load_catalogue().facts(model).tokenizer)
    passage = words.tokenize(said)
    if as_json:
        shown = {"model": model, "tokenizer": words.name, "tokens": passage.tokens, "pieces": passage.pieces}
        click.echo(json.dumps(shown, ensure_ascii=False, indent=2))
        return
    console = Console(highlight=False)
    if console.is_terminal:
        pieces = (Text(piece, _STYLES[index % len(_STYLES)]) for index, piece in enumerate(passage.pieces))
        console.print(Text.assemble(*pieces))
    else:
        console.print(Text("|".join(passage.pieces)), soft_wrap=True)
    console.print(
        f"[bold]{passage.tokens}[/bold] tokens, {len(passage.pieces)} pieces, {len(said)} characters"
    )
    console.print(f"[dim]{words.name}, the tokenizer of {model}[/dim]")
