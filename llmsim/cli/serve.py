"""`llmsim serve`: runs the server under gunicorn.

Decisions:
* Flags are passed on in the environment, each as its own variable, so that a reload rereads the file and still applies
  the flags.
* The server is imported when it is launched.
"""

import os
import shutil
import socket
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from llmsim import __version__
from llmsim.catalogue import shipped_catalogue
from llmsim.cli.late_imports import importing
from llmsim.cli.options import setting_options
from llmsim.cli.terminal import check_terminal, has_textual
from llmsim.config import CONFIG_VARIABLE, Settings, load, setting_specs
from llmsim.domain import WireFaultKind
from llmsim.text import printable


@click.command()
@setting_options
@click.option("--tui", is_flag=True, help="Show a dashboard instead of the output; q stops the server.")
def serve(path: str | None, flags: dict[str, Any], *, tui: bool) -> None:
    """Serve simulated LLM APIs until Ctrl-C.

    Settings come from the defaults, then the file, then the environment, then these options; `llmsim config` shows the
    result. Send the process SIGHUP to reload them without breaking a stream.
    """
    settings = load(path, environ=os.environ, flags=flags, profiles=shipped_catalogue().profiles).settings
    variables = {spec.name: spec.env for spec in setting_specs()}
    os.environ.update({variables[name]: str(value) for name, value in flags.items()})
    if path is not None:
        os.environ[CONFIG_VARIABLE] = str(Path(path).resolve())
    if tui:
        sys.exit(_serve_with_dashboard(settings))
    run(settings, _banner)


def _serve_with_dashboard(settings: Settings) -> int:
    """Serve in a process of its own beside the dashboard; return the server's exit code."""
    check_terminal("llmsim serve --tui", "without --tui it serves anywhere")
    from llmsim.cli.terminal.serving import serve_with_dashboard

    return serve_with_dashboard(_choose_port(settings))


def run(settings: Settings, announce: Callable[[Settings], None]) -> None:
    """Serve until a signal stops the server.

    Args:
        settings: The settings that the environment gives; the server reads them there, at the start and at each reload.
        announce: Called with the settings once the server listens.
    """
    _choose_port(settings)
    with importing():
        from llmsim.server.processes.launch import launch
    launch(announce)


def _choose_port(settings: Settings) -> int:
    """Return the port; where any will do, a free one, which the environment names from then on."""
    if settings.server.port:
        return settings.server.port
    variable = next(spec.env for spec in setting_specs() if spec.name == "server.port")
    port = _free_port(settings.server.host)
    os.environ[variable] = str(port)
    return port


def _free_port(host: str) -> int:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as sock:
        sock.bind((host, 0))
        port: int = sock.getsockname()[1]
        return port


def _banner(settings: Settings) -> None:
    """Print the endpoints, the main settings and a first request to try."""
    from llmsim.providers.registry import PROVIDERS
    from llmsim.server.controls import SCRIPT_HEADER
    from llmsim.server.processes.master import worker_count

    server = settings.server
    host = "localhost" if server.host in ("0.0.0.0", "::", "") else server.host  # noqa: S104 - compared, not bound
    base = f"http://{f'[{host}]' if ':' in host else host}:{server.port}"
    workers = worker_count(settings)
    latency = settings.latency.profile or "each model's own"
    if settings.latency.sets_figures:
        latency += ", overridden by [latency]"
    if settings.latency.engine is not None:
        latency = "of an engine that all models share, [latency.engine]"
    if patterns := settings.latency.models:
        latency += f", others for {', '.join(map(printable, patterns))}"
    facts = [(provider.name, base + provider.base_path) for provider in PROVIDERS]
    facts += [
        ("api key", _api_key(settings)),
        ("access", _access(settings)),
        ("web pages", _web_pages(settings)),
        ("dashboard", f"{base}/llmsim/" + _terminal_dashboard(server.port)),
        ("stats", f"{base}/llmsim/stats   or: {_program()} stats --watch" + _port_option(server.port)),
        ("workers", f"{workers}"),
        ("latency", latency),
        ("responses", _responses(settings)),
    ]
    if settings.scripts.dir:
        facts.append(("scripts", f"{printable(settings.scripts.dir)}, chosen by the header {SCRIPT_HEADER}"))
    if scenarios := settings.response.scenarios_path:
        facts.append(("scenarios", f"{printable(scenarios)}, chosen by a marker: [[llmsim:NAME]]"))
    if rates := _rates(settings):
        facts.append(("faults", rates))
    click.echo(click.style(f"\nllmsim {__version__}", bold=True) + " simulates LLM APIs without a model.\n")
    for name, fact in facts:
        click.echo(f"  {click.style(f'{name:<13}', dim=True)} {fact}")
    click.echo(
        f"\nTry:\n\n  curl -N {base}/openai/v1/chat/completions -H 'content-type: application/json' \\"
    )
    click.echo(
        """    -d '{"model": "gpt-4o", "stream": true, "messages": [{"role": "user", "content": "Hello"}]}'\n"""
    )


def _api_key(settings: Settings) -> str:
    auth = settings.auth
    if not (auth.keys or auth.keys_file):
        return "any, or none"
    file = [f"those of {printable(auth.keys_file)}"] if auth.keys_file else []
    return "needed: " + " or ".join([f"one of {len(auth.keys)} configured"] * bool(auth.keys) + file)


def _access(settings: Settings) -> str:
    """Say to whom the control API is open."""
    admin = settings.admin
    if admin.enabled is False:
        return "control API off"
    if admin.key:
        return "control API open to this machine, and with its key from anywhere"
    if admin.enabled is True:
        return f"control API open to everyone on {settings.server.host}"
    return "control API open to this machine only"


def _web_pages(settings: Settings) -> str:
    """Say which web pages may call the APIs."""
    cors = settings.server.cors
    if isinstance(cors, str):
        return "of any origin may call the APIs" if cors == "*" else "may not call the APIs"
    return f"of {printable(', '.join(cors)) or 'no origin'} may call the APIs"


def _program() -> str:
    """Return the command as it can be typed here: with its path if the shell would not find it."""
    if shutil.which("llmsim"):
        return "llmsim"
    program = Path(sys.argv[0])
    # With `python -m llmsim` it is the file in the package; the command may not be installed.
    return (
        f"{sys.executable} -m llmsim" if program.name == "__main__.py" else str(program.with_name("llmsim"))
    )


def _terminal_dashboard(port: int) -> str:
    """Return how to see the dashboard in the terminal; empty without the extra that it needs."""
    return f"   or: {_program()} top" + _port_option(port) if has_textual() else ""


def _port_option(port: int) -> str:
    return "" if port == 8080 else f" --port {port}"


def _responses(settings: Settings) -> str:
    response = settings.response
    if response.script_path:
        return f"the script {printable(response.script_path)}"
    return f"{response.generator}, {response.target_tokens} tokens" + _seed(settings)


def _seed(settings: Settings) -> str:
    return "" if settings.response.seed is None else f", seed {settings.response.seed}"


def _rates(settings: Settings) -> str:
    errors = settings.errors
    rated = {
        "rate limit": errors.rate_limit_rate,
        "server error": errors.server_error_rate,
        "timeout": errors.timeout_rate,
        "invalid request": errors.invalid_request_rate,
        "authentication": errors.authentication_rate,
    }
    faults = settings.faults
    rated |= {kind.value.replace("_", " "): getattr(faults, f"{kind.value}_rate") for kind in WireFaultKind}
    return ", ".join(f"{rate:.1%} {name}" for name, rate in rated.items() if rate)
