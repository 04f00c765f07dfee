"""The table of agents: what each is installed from, how it is configured and started, and the tools that it executes.

Decisions:
* The simulator has a network of its own, so it listens on its usual port, and the configuration below is what a user writes.
* An agent is started as its documentation says for scripts: without a terminal, and with its tools approved.
* Everything that an agent's maker can see without it is switched off with the agent's own switches: there is no network.
"""

from typing import Any, Literal

import msgspec
from msgspec.structs import replace

from llmsim.testing import call, say

HOST = "http://127.0.0.1:8080"
OPENAI = f"{HOST}/openai/v1"
ANTHROPIC = f"{HOST}/anthropic"
GEMINI = f"{HOST}/gemini"

TASK = "Run `ls` in this folder."
"""What each agent is asked."""

DONE = "All done: notes.txt is written."
"""The last text of the scripted task."""

NOTES = "Hello from llmsim"
"""What the scripted task writes to notes.txt."""

Turn = dict[str, Any]


class Agent(msgspec.Struct, frozen=True, kw_only=True):
    """One agent, or one of its ways to speak to an API.

    Attributes:
        name: Its name on the command line.
        title: Its name in the page.
        registry: Where its package is from.
        package: Name of the package.
        program: Name of the program that the package installs.
        api: The API that it uses, as the page names it.
        command: Arguments of the program; `TASK` stands for the task.
        environment: Variables that it needs.
        files: Its configuration, by path below the home directory.
        setup: Arguments of the program for a run before, which configures it.
        look, miss, write: The turns that list the folder, read a file that does not exist, and write notes.txt. They are calls
            of the agent's own tools; of agents without tools, texts.
        executes_tools: Whether it executes tool calls; others read edits from texts.
        note: What else a user should know.
    """

    name: str
    title: str
    registry: Literal["npm", "PyPI"]
    package: str
    program: str
    api: str
    command: tuple[str, ...]
    environment: dict[str, str] = {}
    files: dict[str, str] = {}
    setup: tuple[str, ...] = ()
    look: Turn
    miss: Turn
    write: Turn
    executes_tools: bool = True
    note: str = ""


_CODEX_CONFIG = f"""\
model = "gpt-5.5"
model_provider = "llmsim"

[model_providers.llmsim]
name = "llmsim"
base_url = "{OPENAI}"
env_key = "OPENAI_API_KEY"
wire_api = "responses"
"""

_CODEX = Agent(
    name="codex",
    title="Codex CLI, SSE",
    registry="npm",
    package="@openai/codex",
    program="codex",
    api="Responses",
    command=("exec", "--dangerously-bypass-approvals-and-sandbox", "TASK"),
    environment={"OPENAI_API_KEY": "any"},
    files={".codex/config.toml": _CODEX_CONFIG},
    note="A model that Codex does not know gets fewer tools, and a warning.",
    look=call("exec_command", cmd="ls"),
    miss=call("exec_command", cmd="cat missing.txt"),
    write=call("exec_command", cmd=f"echo '{NOTES}' > notes.txt"),
)

_LLM_FUNCTIONS = '''\
import pathlib
import subprocess


def shell(command: str) -> str:
    """Run a shell command and return its output."""
    return subprocess.run(command, shell=True, capture_output=True, text=True).stdout or "(no output)"


def read_file(name: str) -> str:
    """Read a file."""
    return pathlib.Path(name).read_text()


def write_file(name: str, content: str) -> str:
    """Write a file."""
    pathlib.Path(name).write_text(content)
    return "written"
'''

AGENTS = (
    Agent(
        name="claude-code",
        title="Claude Code",
        registry="npm",
        package="@anthropic-ai/claude-code",
        program="claude",
        api="Messages",
        command=("-p", "TASK", "--dangerously-skip-permissions"),
        environment={
            "ANTHROPIC_BASE_URL": ANTHROPIC,
            "ANTHROPIC_API_KEY": "any",
            "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1",
        },
        note="The variables of the first two lines are enough.",
        look=call("Bash", command="ls", description="List files"),
        miss=call("Read", file_path="/nonexistent/missing.txt"),
        write=call("Bash", command=f"echo '{NOTES}' > notes.txt", description="Write notes"),
    ),
    _CODEX,
    replace(
        _CODEX,
        name="codex-websocket",
        title="Codex CLI, WebSocket",
        api="Responses over WebSocket",
        files={".codex/config.toml": f"{_CODEX_CONFIG}supports_websockets = true\n"},
        note="The last line of the configuration makes the difference.",
    ),
    Agent(
        name="gemini-cli",
        title="Gemini CLI",
        registry="npm",
        package="@google/gemini-cli",
        program="gemini",
        api="Gemini",
        command=("--model", "gemini-2.5-pro", "--yolo", "--skip-trust", "-p", "TASK"),
        environment={"GOOGLE_GEMINI_BASE_URL": GEMINI, "GEMINI_API_KEY": "any"},
        files={
            ".gemini/settings.json": """\
{
  "security": { "auth": { "selectedType": "gemini-api-key" } },
  "privacy": { "usageStatisticsEnabled": false },
  "general": { "enableAutoUpdate": false, "enableAutoUpdateNotification": false }
}
"""
        },
        look=call("run_shell_command", command="ls", description="List files"),
        miss=call("read_file", file_path="missing.txt"),
        write=call("write_file", file_path="notes.txt", content=NOTES),
    ),
    Agent(
        name="opencode",
        title="opencode",
        registry="npm",
        package="opencode-ai",
        program="opencode",
        api="Chat Completions",
        command=("run", "--model", "llmsim/gpt-4o", "--auto", "TASK"),
        environment={"OPENCODE_DISABLE_MODELS_FETCH": "1", "OPENCODE_DISABLE_AUTOUPDATE": "1"},
        note="Without its limit a model is asked for 32,000 tokens, which OpenAI refuses for gpt-4o.",
        files={
            ".config/opencode/opencode.json": f"""\
{{
  "provider": {{
    "llmsim": {{
      "npm": "@ai-sdk/openai-compatible",
      "options": {{ "baseURL": "{OPENAI}", "apiKey": "any" }},
      "models": {{ "gpt-4o": {{ "limit": {{ "context": 128000, "output": 16384 }} }} }}
    }}
  }}
}}
"""
        },
        look=call("bash", command="ls", description="List files"),
        miss=call("read", filePath="missing.txt"),
        write=call("bash", command=f"echo '{NOTES}' > notes.txt", description="Write notes"),
    ),
    Agent(
        name="pi",
        title="pi",
        registry="npm",
        package="@mariozechner/pi-coding-agent",
        program="pi",
        api="Chat Completions",
        command=("--provider", "llmsim", "--model", "gpt-4o", "-p", "TASK"),
        environment={"PI_OFFLINE": "1"},
        files={
            ".pi/agent/models.json": f"""\
{{
  "providers": {{
    "llmsim": {{
      "baseUrl": "{OPENAI}",
      "api": "openai-completions",
      "apiKey": "any",
      "models": [{{ "id": "gpt-4o" }}]
    }}
  }}
}}
"""
        },
        look=call("bash", command="ls"),
        miss=call("read", path="missing.txt"),
        write=call("write", path="notes.txt", content=NOTES),
    ),
    Agent(
        name="cline",
        title="Cline",
        registry="npm",
        package="cline",
        program="cline",
        api="Chat Completions",
        setup=(
            "auth",
            "--provider",
            "openai",
            "--apikey",
            "any",
            "--modelid",
            "gpt-4.1",
            "--baseurl",
            OPENAI,
        ),
        command=("TASK",),
        note="It asks for 32,000 tokens, which OpenAI refuses for gpt-4o.",
        look=call("run_commands", commands=["ls"]),
        miss=call("read_files", files=["missing.txt"]),
        write=call("run_commands", commands=[f"echo '{NOTES}' > notes.txt"]),
    ),
    Agent(
        name="continue",
        title="Continue",
        registry="npm",
        package="@continuedev/cli",
        program="cn",
        api="Chat Completions",
        command=("--auto", "-p", "TASK"),
        environment={"CONTINUE_TELEMETRY_ENABLED": "0"},
        files={
            ".continue/config.yaml": f"""\
name: llmsim
version: 1.0.0
schema: v1
models:
  - name: llmsim
    provider: openai
    model: gpt-4o
    apiBase: {OPENAI}
    apiKey: any
"""
        },
        look=call("Bash", command="ls"),
        miss=call("Read", filepath="missing.txt"),
        write=call("Write", filepath="notes.txt", content=NOTES),
    ),
    Agent(
        name="aider",
        title="aider",
        registry="PyPI",
        package="aider-chat",
        program="aider",
        api="Chat Completions",
        command=("--model", "openai/gpt-4o", "--yes-always", "--no-check-update", "--message", "TASK"),
        environment={"OPENAI_API_BASE": OPENAI, "OPENAI_API_KEY": "any", "AIDER_ANALYTICS": "false"},
        look=say("Please add README.md to the chat."),
        miss=say(
            "README.md\n```\n<<<<<<< SEARCH\nThis line is not there\n=======\nNothing\n>>>>>>> REPLACE\n```\n"
        ),
        write=say(f"notes.txt\n```\n<<<<<<< SEARCH\n=======\n{NOTES}\n>>>>>>> REPLACE\n```\n"),
        note="It has no tools: it edits files as texts say, and asks for the message of each commit.",
        executes_tools=False,
    ),
    Agent(
        name="llm",
        title="llm",
        registry="PyPI",
        package="llm",
        program="llm",
        api="Chat Completions",
        command=("-m", "llmsim", "--functions", "functions.py", "--chain-limit", "0", "TASK"),
        environment={"OPENAI_API_KEY": "any"},
        note="Its tools are functions that its user gives it.",
        files={
            ".config/io.datasette.llm/extra-openai-models.yaml": f"""\
- model_id: llmsim
  model_name: gpt-4o
  api_base: {OPENAI}
  supports_tools: true
""",
            "work/functions.py": _LLM_FUNCTIONS,
        },
        look=call("shell", command="ls"),
        miss=call("read_file", name="missing.txt"),
        write=call("write_file", name="notes.txt", content=NOTES),
    ),
)
