"""Installs agents from the package registries that npm and pip are configured for.

Decisions:
* Each package has a folder of its own in the cache, which all users can read: agents run as `nobody`.
* The system's Python runs agents of PyPI, not the one of this environment, whose home directory may be private.
"""

import json
import shutil
import subprocess
import sys
from pathlib import Path

from .agents import Agent

_PYTHON = "/usr/bin/python3"


class InstallError(Exception):
    """An agent could not be installed. The message is the end of the installer's output."""


def find_program(agent: Agent, cache: Path) -> Path:
    """Return the program of an agent that is installed."""
    folder = _folder(agent, cache)
    return folder / ("node_modules/.bin" if agent.registry == "npm" else "bin") / agent.program


def install(agent: Agent, cache: Path, *, update: bool) -> None:
    """Install an agent, or its newest version.

    Raises:
        InstallError: It cannot be installed.
    """
    folder = _folder(agent, cache)
    if find_program(agent, cache).exists() and not update:
        return
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True, mode=0o755)
    for command in install_commands(agent, cache):
        _call(*command)


def install_commands(agent: Agent, cache: Path) -> list[list[str]]:
    """Return the commands that install an agent into its folder."""
    folder = str(_folder(agent, cache))
    if agent.registry == "npm":
        return [["npm", "install", "--prefix", folder, "--loglevel=error", agent.package]]
    pip = [sys.executable, "-m", "pip", "--python", f"{folder}/bin/python"]
    return [
        [_PYTHON, "-m", "venv", "--without-pip", folder],
        [*pip, "install", "--quiet", agent.package],
    ]


def read_version(agent: Agent, cache: Path) -> str:
    """Return the version of an agent that is installed."""
    folder = _folder(agent, cache)
    if agent.registry == "npm":
        manifest = folder / "node_modules" / agent.package / "package.json"
        return str(json.loads(manifest.read_text(encoding="utf-8"))["version"])
    code = f"import importlib.metadata; print(importlib.metadata.version({agent.package!r}))"
    return _call(str(folder / "bin/python"), "-c", code).strip()


def _folder(agent: Agent, cache: Path) -> Path:
    return cache / agent.package.replace("/", "-").lstrip("@")


def _call(*command: str) -> str:
    # Whatever the caller's umask, nobody must be able to read what is installed.
    finished = subprocess.run(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
        umask=0o022,
    )
    if finished.returncode:
        raise InstallError(f"{' '.join(command[:3])} …: {finished.stdout.strip()[-2000:]}")
    return finished.stdout
