"""The dashboard in the terminal, of `llmsim top` and `llmsim serve --tui`; start reading in `app`.

Decisions:
* Textual comes with the extra `tui`, so only `app` and the modules below it import it, and only commands that need it import these.
"""

import importlib.util
import sys

from llmsim.errors import ConfigError


def has_textual() -> bool:
    """Return whether the extra `tui` is installed."""
    return importlib.util.find_spec("textual") is not None


def check_terminal(command: str, instead: str) -> None:
    """Check that there are Textual and a terminal.

    Args:
        command: Needs them.
        instead: What to do where there is no terminal.

    Raises:
        ConfigError: One of them is missing.
    """
    if not has_textual():
        raise ConfigError(f"{command} needs Textual; install it with: pip install 'llmsim[tui]'")
    # Textual reads standard input and draws on standard error.
    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        raise ConfigError(f"{command} needs a terminal; {instead}")
