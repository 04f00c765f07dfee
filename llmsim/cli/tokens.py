"""`llmsim tokens`: splits a text into tokens."""

import json
import sys

import click
from rich.console import Console
from rich.text import Text

from llmsim.catalogue import shipped_catalogue
from llmsim.planning.tokens import load_tokenizer

_STYLES = (
    "black on bright_cyan",
    "black on bright_yellow",
    "black on bright_green",
    "black on bright_magenta",
)


@click.command(short_help="Count the tokens of a text, and show where they begin.")
@click.argument("text", required=False)
@click.option(
    "--model", default="gpt-5", show_default=True, help="Model whose tokenizer is used; any name is accepted."
)
@click.option("--json", "as_json", is_flag=True, help="Print the count and the pieces as JSON.")
def tokens(text: str | None, model: str, as_json: bool) -> None:
    """Count the tokens of TEXT (or of standard input) and show where they are split.

    A piece is the text of one streamed event: a token, or several if one alone is not valid UTF-8.
    """
    if text is None:
        text = sys.stdin.read()
    encoding = load_tokenizer(shipped_catalogue().facts(model).tokenizer)
    tokenized = encoding.tokenize(text)
    if as_json:
        shown = {
            "model": model,
            "tokenizer": encoding.name,
            "tokens": tokenized.tokens,
            "pieces": tokenized.pieces,
        }
        click.echo(json.dumps(shown, ensure_ascii=False, indent=2))
        return
    console = Console(highlight=False)
    if console.is_terminal:
        pieces = (Text(piece, _STYLES[index % len(_STYLES)]) for index, piece in enumerate(tokenized.pieces))
        console.print(Text.assemble(*pieces))
    else:
        console.print(Text("|".join(tokenized.pieces)), soft_wrap=True)
    console.print(
        f"[bold]{tokenized.tokens}[/bold] tokens, {len(tokenized.pieces)} pieces, {len(text)} characters"
    )
    console.print(f"[dim]{encoding.name}, the tokenizer of {model}[/dim]")
