"""Completion of option values by the shell: of settings that are a choice, a latency profile, or a file."""

from collections.abc import Callable

import click
from click.shell_completion import CompletionItem

from llmsim.catalogue import shipped_catalogue
from llmsim.config import SettingSpec

Completion = Callable[[click.Context, click.Parameter, str], list[CompletionItem]]


def complete_files(_: click.Context, __: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Leave it to the shell, which knows files."""
    return [CompletionItem(incomplete, type="file")]


def complete_setting(spec: SettingSpec) -> Completion:
    """Return how the values of a setting are completed: by its choices, its profiles or its files; else not."""

    def complete(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        if spec.name == "scripts.dir":
            return [CompletionItem(incomplete, type="dir")]
        if spec.key.endswith("_path"):
            return complete_files(ctx, param, incomplete)
        values = shipped_catalogue().profiles if spec.name == "latency.profile" else spec.choices
        return [CompletionItem(value) for value in values if value.startswith(incomplete)]

    return complete
