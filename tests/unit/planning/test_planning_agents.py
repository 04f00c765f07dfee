"""The first call of coding agents: the tools of their current versions, in short."""

import json
import random
from typing import Any

import pytest

from llmsim.config import ToolSettings
from llmsim.domain import Message, Prompt, Tool
from llmsim.json_instances.call_arguments import CalledTool
from llmsim.json_instances.calls import json_arguments
from llmsim.planning.tools import ToolPicker, conversation_state

TEXT = {"type": "string"}
NUMBER = {"type": "number"}
FLAG = {"type": "boolean"}
WORDS = {"type": "array", "items": TEXT}


def tool(name: str, description: str, required: str, /, **members: Any) -> Tool:
    schema = {
        "type": "object",
        "properties": members,
        "required": required.split(),
        "additionalProperties": False,
    }
    return Tool(name, description=description, schema=json.dumps(schema).encode())


CLAUDE_CODE = (
    tool(
        "Agent",
        "Launch a new agent to handle complex, multi-step tasks. Each agent type has tools.",
        "description prompt",
        description=TEXT,
        prompt=TEXT,
    ),
    tool(
        "Bash",
        "Executes a given bash command and returns its output.",
        "command",
        command=TEXT,
        timeout=NUMBER,
        description=TEXT,
        run_in_background=FLAG,
    ),
    tool(
        "Edit",
        "Performs exact string replacements in files.",
        "file_path old_string new_string",
        file_path=TEXT,
        old_string=TEXT,
        new_string=TEXT,
        replace_all=FLAG | {"default": False},
    ),
    tool(
        "Read",
        "Reads a file from the local filesystem. You can access any file.",
        "file_path",
        file_path=TEXT,
        offset={"type": "integer", "minimum": 0},
        limit={"type": "integer", "exclusiveMinimum": 0},
    ),
    tool("TaskOutput", "Gets the output of a running or completed task", "task_id", task_id=TEXT),
    tool(
        "Write", "Writes a file to the local filesystem.", "file_path content", file_path=TEXT, content=TEXT
    ),
)
CODEX = (
    tool(
        "exec_command",
        "Runs a command in a PTY, returning output or a session ID for ongoing interaction.",
        "cmd",
        cmd=TEXT,
        workdir=TEXT,
        shell=TEXT,
        tty=FLAG,
        yield_time_ms=NUMBER,
        max_output_tokens=NUMBER,
        sandbox_permissions=TEXT,
    ),
    tool(
        "write_stdin",
        "Writes characters to an existing unified exec session and returns recent output.",
        "session_id",
        session_id=NUMBER,
        chars=TEXT,
        yield_time_ms=NUMBER,
    ),
    tool(
        "update_plan",
        "Updates the task plan.",
        "plan",
        explanation=TEXT,
        plan={
            "type": "array",
            "items": {
                "type": "object",
                "properties": {"step": TEXT, "status": TEXT},
                "required": ["step", "status"],
            },
        },
    ),
    tool("view_image", "View a local image from the filesystem.", "path", path=TEXT),
)
OLD_CODEX = (
    tool(
        "shell",
        "Runs a shell command and returns its output.",
        "command",
        command=WORDS,
        workdir=TEXT,
        timeout_ms=NUMBER,
    ),
)
OPENCODE = (
    tool(
        "bash",
        "Executes a given bash command in a persistent shell session with optional timeout.",
        "command description",
        command=TEXT,
        timeout=NUMBER,
        workdir=TEXT,
        description=TEXT,
    ),
    tool(
        "read",
        "Read a file or directory from the local filesystem.",
        "filePath",
        filePath=TEXT,
        offset=NUMBER,
        limit=NUMBER,
    ),
    tool(
        "grep",
        "- Fast content search tool that works with any codebase size",
        "pattern",
        pattern=TEXT,
        path=TEXT,
        include=TEXT,
    ),
    tool("write", "Writes a file to the local filesystem.", "filePath content", content=TEXT, filePath=TEXT),
)
PI = (
    tool(
        "read",
        "Read the contents of a file. Supports text files and images.",
        "path",
        path=TEXT,
        offset=NUMBER,
        limit=NUMBER,
    ),
    tool(
        "bash",
        "Execute a bash command in the current working directory.",
        "command",
        command=TEXT,
        timeout=NUMBER,
    ),
    tool(
        "edit",
        "Edit a file by replacing exact text.",
        "path oldText newText",
        path=TEXT,
        oldText=TEXT,
        newText=TEXT,
    ),
    tool(
        "write",
        "Write content to a file. Creates the file if it doesn't exist.",
        "path content",
        path=TEXT,
        content=TEXT,
    ),
)
CLINE = (
    tool(
        "execute_command",
        "Request to execute a CLI command on the system.",
        "command requires_approval",
        command=TEXT,
        requires_approval=FLAG,
        timeout={"type": "integer"},
    ),
    tool("read_file", "Request to read the contents of a file at the specified path.", "path", path=TEXT),
    tool(
        "write_to_file",
        "Request to write content to a file at the specified path.",
        "path content",
        path=TEXT,
        content=TEXT,
    ),
    tool(
        "list_files",
        "Request to list files and directories within the specified directory.",
        "path",
        path=TEXT,
        recursive=FLAG,
    ),
)
CONTINUE = (
    tool("Bash", "Executes a terminal command and returns the output", "command", command=TEXT, timeout=NUMBER),
    tool("Read", "Read a file at the specified path", "filepath", filepath=TEXT),
    tool("List", "List files in a directory", "path", path=TEXT),
    tool("Write", "Write to a file at the specified path", "filepath content", filepath=TEXT, content=TEXT),
)  # fmt: skip


@pytest.mark.parametrize(
    ("tools", "question", "name", "expected"),
    [
        (CLAUDE_CODE, "Run the command ls.", "Bash", {"command": "ls"}),
        (CLAUDE_CODE, "Read README.md", "Read", {"file_path": "README.md"}),
        (CLAUDE_CODE, "Write a file hello.py that prints hello world.", "Write", {"file_path": "hello.py", "content": "example"}),
        (CODEX, "Run the command ls.", "exec_command", {"cmd": "ls"}),
        (CODEX, "Run pwd in 2 directories and wait 44.7 s", "exec_command", {"cmd": "pwd"}),
        (CODEX, "Update the plan", "update_plan", {"plan": [{"step": "example", "status": "example"}]}),
        (OLD_CODEX, "Run git status in the shell", "shell", {"command": ["git", "status"]}),
        (OPENCODE, "Use bash to run git status, then summarise", "bash", {"command": "git status", "description": "example"}),
        (OPENCODE, "Read the first lines of src/a.ts", "read", {"filePath": "src/a.ts"}),
        (OPENCODE, "grep for `main` in src/", "grep", {"pattern": "main", "path": "src/"}),
        (PI, "Use bash: `cat README.md`", "bash", {"command": "cat README.md"}),
        (PI, "Read line 9 of notes.txt", "read", {"path": "notes.txt"}),
        (CLINE, "<task>\nExecute the command `ls`\n</task>\n\n# Progress\n<environment_details>\n# Files\nx.py\n</environment_details>", "execute_command", {"command": "ls", "requires_approval": False}),
        (CLINE, "<task>\nList the files\n</task>", "list_files", {"path": "."}),
        (CONTINUE, "List the directory", "List", {"path": "."}),
        (CONTINUE, "Run the terminal command pwd", "Bash", {"command": "pwd"}),
    ],
)  # fmt: skip
def test_the_first_call_can_be_executed(
    tools: tuple[Tool, ...], question: str, name: str, expected: dict[str, Any]
) -> None:
    """FIT-1.12: It has all that the agent requires, nothing made up, and does no harm."""
    prompt = Prompt(model="m", messages=(Message("user", (question,)),), tools=tools)
    state = conversation_state(prompt)
    (picked,) = ToolPicker(ToolSettings()).pick(prompt, state, random.Random(1))
    called = CalledTool(picked.name, picked.description)
    arguments = json_arguments(called, picked.schema, state.question, random.Random(1))

    assert (picked.name, json.loads(arguments)) == (name, expected)


@pytest.mark.parametrize("tools", [CLAUDE_CODE, CODEX, OPENCODE, PI, CLINE, CONTINUE])
@pytest.mark.parametrize(
    "question", ["Good morning!", "Hi", "Thanks!", "What is the capital of France?", "Tell me a joke."]
)
def test_small_talk_calls_nothing(tools: tuple[Tool, ...], question: str) -> None:
    """FIT-1.2: A greeting shares no word with what tools do."""
    prompt = Prompt(model="m", messages=(Message("user", (question,)),), tools=tools)

    assert ToolPicker(ToolSettings()).pick(prompt, conversation_state(prompt), random.Random(1)) == ()
