"""Runs one agent against a simulator, in namespaces of its own: `python -m works_with.sandbox AGENT CACHE HOME [--scripted]`.

Decisions:
* The process that does so is started by `unshare`: its network has a loopback interface and nothing else, and what an agent
  leaves running dies with it.
* The agent is the user `nobody`, without capabilities and with no way to get any. Its home and its folder are new; they are
  removed after all that it started has ended.
"""

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import msgspec

from llmsim.testing import Simulator, fail, say

from .agents import AGENTS, DONE, TASK, Agent
from .install import find_program

_USER, _GROUP = "nobody", "nogroup"

_SECONDS = 180
"""Time that an agent has for its task."""

_README = "# A folder\n\nIt holds this file.\n"

_SETTINGS = {
    "server.port": 8080,
    "admin.journal": "all",
    # Instructions and tools of agents are large.
    "admin.journal_request_bytes": 4 << 20,
}


class SandboxError(Exception):
    """The sandbox itself failed, not the agent in it; its output has the reason."""


class Run(msgspec.Struct, frozen=True):
    """What an agent did.

    Attributes:
        status: Exit status of the agent; None if it had to be stopped.
        output: What it printed.
        notes: Content of notes.txt, empty if it was not written.
        problems: What of the script was not played as written.
        requests: Its requests and the answers, as in the journal.
    """

    status: int | None
    output: str
    notes: str
    problems: str
    requests: list[dict[str, Any]]


def run_isolated(agent: Agent, cache: Path, *, scripted: bool) -> Run:
    """Run an agent in new namespaces.

    Raises:
        SandboxError: The sandbox itself failed.
    """
    with tempfile.TemporaryDirectory(prefix="llmsim-agent-") as home:
        words = [sys.executable, "-m", "works_with.sandbox", agent.name, str(cache), home]
        words += ["--scripted"] if scripted else []
        finished = subprocess.run(isolate(words), stdout=subprocess.PIPE, check=False)
    if finished.returncode:
        raise SandboxError(f"{agent.name}: the sandbox ended with {finished.returncode}")
    return msgspec.json.decode(finished.stdout, type=Run)


def isolate(words: list[str]) -> list[str]:
    """Return the command that runs a command in namespaces of its own; all that it starts ends with this process."""
    return [
        "setpriv",
        "--pdeathsig=KILL",
        "--",
        "unshare",
        "--net",
        "--pid",
        "--fork",
        "--kill-child",
        "--mount-proc",
        "--",
        *words,
    ]


def restrict(words: list[str]) -> list[str]:
    """Return the command that runs a command as a user without rights."""
    user = [f"--reuid={_USER}", f"--regid={_GROUP}", "--clear-groups"]
    return ["setpriv", *user, "--no-new-privs", "--bounding-set=-all", "--inh-caps=-all", "--", *words]


def build_script(agent: Agent) -> dict[str, Any]:
    """Return the scripted task: a look, a call that fails, a 429, a file, and the end.

    It is for requests that offer tools: agents also ask for titles and the like.
    """
    turns = [agent.look, agent.miss, fail("rate_limit", retry_after_ms=50), agent.write, say(DONE)]
    when = {"when": {"tools_offered": True}} if agent.executes_tools else {}
    return {"on_exhausted": "error", **when, "turns": turns}


def _run_agent(agent: Agent, cache: Path, home: Path, *, scripted: bool) -> Run:
    program = find_program(agent, cache)
    environment = {
        "HOME": str(home),
        "TMPDIR": f"{home}/tmp",
        "PATH": f"{program.parent}:/usr/local/bin:/usr/bin:/bin",
        "LANG": "C.UTF-8",
        "USER": _USER,
        **agent.environment,
    }
    _write_home(agent, home, environment)
    with Simulator(build_script(agent) if scripted else None, settings=_SETTINGS) as simulator:
        output = ""
        for arguments in filter(None, (agent.setup, agent.command)):
            words = [TASK if word == "TASK" else word for word in arguments]
            status, printed = _start([str(program), *words], home, environment)
            output += printed
        problems = ""
        if scripted:
            try:
                simulator.assert_finished()
            except AssertionError as error:
                problems = str(error)
        requests = [vars(exchange) for exchange in simulator.requests]
    notes = home / "work/notes.txt"
    written = notes.read_text(encoding="utf-8", errors="replace") if notes.is_file() else ""
    return Run(status, output, written, problems, requests)


def _write_home(agent: Agent, home: Path, environment: dict[str, str]) -> None:
    """Write an agent's configuration, and the folder that it works in: a repository with one file."""
    for name, content in {"work/README.md": _README, "tmp/.keep": "", **agent.files}.items():
        (home / name).parent.mkdir(parents=True, exist_ok=True)
        (home / name).write_text(content, encoding="utf-8")
    for path in (home, *home.rglob("*")):
        shutil.chown(path, _USER, _GROUP)
    identity = ("-c", "user.name=Nobody", "-c", "user.email=nobody@localhost")
    for words in (("init", "--quiet"), ("add", "."), (*identity, "commit", "--quiet", "--message=Begin")):
        _start(["git", *words], home, environment)


def _start(words: list[str], home: Path, environment: dict[str, str]) -> tuple[int | None, str]:
    """Run a program as nobody in the folder; return its exit status and what it printed."""
    try:
        finished = subprocess.run(
            restrict(words),
            cwd=home / "work",
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        return None, (error.stdout or b"").decode(errors="replace")
    return finished.returncode, finished.stdout.decode(errors="replace")


def main() -> None:
    """Run the agent of the command line, and print the run as JSON."""
    name, cache, home = sys.argv[1:4]
    agent = next(one for one in AGENTS if one.name == name)
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    run = _run_agent(agent, Path(cache), Path(home), scripted="--scripted" in sys.argv)
    sys.stdout.buffer.write(msgspec.json.encode(run))


if __name__ == "__main__":
    main()
