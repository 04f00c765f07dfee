"""Which tool does what a question asks of files and commands."""

import json
import random

import pytest

from llmsim.config import ToolSettings
from llmsim.domain import Message, Prompt, Tool, ToolKind
from llmsim.json_instances.call_arguments import CalledTool
from llmsim.json_instances.calls import json_arguments
from llmsim.planning.intents import described_purpose, intent_of, purpose_of
from llmsim.planning.tools import ToolPicker, conversation_state


def tools(text: str) -> tuple[Tool, ...]:
    """Return tools of lines `name(member, optional?) description`; all members are texts."""
    made = []
    for line in text.strip().splitlines():
        name, _, rest = line.strip().partition("(")
        members, _, description = rest.partition(")")
        names = [one.strip() for one in members.split(",") if one.strip()]
        schema = {
            "type": "object",
            "properties": {one.rstrip("?"): {"type": "string"} for one in names},
            "required": [one for one in names if not one.endswith("?")],
        }
        made.append(Tool(name, description=description.strip(), schema=json.dumps(schema).encode()))
    return tuple(made)


AGENTS = {
    "gemini-cli": tools("""
        list_directory(dir_path) Lists the names of files and subdirectories directly within a specified directory path.
        read_file(file_path, start_line?) Reads and returns the content of a specified file.
        write_file(file_path, content) Writes content to a specified file in the local filesystem.
        replace(file_path, instruction, old_string, new_string) Replaces text within a file.
        glob(pattern, dir_path?) Efficiently finds files matching specific glob patterns.
        grep_search(pattern, dir_path?) Searches for a regular expression pattern within file contents.
        run_shell_command(command, description?) This tool executes a given shell command as `bash -c <command>`.
        web_fetch(prompt) Processes content from URLs embedded in a prompt.
        google_web_search(query) Performs a web search using Google Search.
        save_memory(fact) Saves a specific piece of information to your long-term memory.
        write_todos(todos) This tool can help you list out the current subtasks.
    """),
    "qwen-code": tools("""
        task(description, prompt, subagent_type) Launch a new agent to handle complex, multi-step tasks autonomously.
        skill(skill) Execute a skill within the main conversation
        list_directory(path) Lists the names of files and subdirectories directly within a specified directory path.
        read_file(absolute_path) Reads and returns the content of a specified file.
        grep_search(pattern, path?) A powerful search tool built on ripgrep
        glob(pattern, path?) Fast file pattern matching tool that works with any codebase size
        edit(file_path, old_string, new_string) Replaces text within a file.
        write_file(file_path, content) Writes content to a specified file in the local filesystem.
        run_shell_command(command, is_background) Executes a given shell command.
        save_memory(fact) Saves a specific piece of information or fact to your long-term memory.
        todo_write(todos) Creates and manages a structured task list for your current coding session.
        exit_plan_mode(plan) Use this tool when you are in plan mode.
    """),
    "goose": tools("""
        platform__manage_schedule(action, job_id?) Manage scheduled recipe execution for this Goose instance.
        developer__analyze(path) Analyze code structure and relationships.
        developer__shell(command) Execute a shell command in the current shell.
        developer__write(path, content) Create a new file or overwrite an existing file.
        developer__edit(path, before, after) Edit a file by finding and replacing text.
        developer__tree(path) List a directory tree with line counts.
        developer__read(path) Reads a file.
    """),
    "roo-code": tools("""
        apply_diff(path, diff) Apply precise, targeted modifications to an existing file.
        ask_followup_question(question, follow_up) Ask the user a question to gather additional information.
        attempt_completion(result) After each tool use, the user will respond with the result.
        codebase_search(query) Find files most relevant to the search query using semantic search.
        execute_command(command, cwd) Request to execute a CLI command on the system.
        list_files(path, recursive) Request to list files and directories within the specified directory.
        new_task(mode, message) This will let you create a new task instance in the chosen mode.
        read_file(path) Read a file and return its contents with line numbers for diffing or discussion.
        search_files(path, regex, file_pattern) Request to perform a regex search across files.
        switch_mode(mode_slug, reason) Request to switch to a different mode.
        update_todo_list(todos) Replace the entire TODO list with an updated checklist.
        write_to_file(path, content) Request to write content to a file.
    """),
    "cursor": tools("""
        codebase_search(query, explanation) Find snippets of code from the codebase most relevant to the search query.
        read_file(target_file) Reads a file from the local filesystem.
        run_terminal_cmd(command, is_background) PROPOSE a command to run on behalf of the user.
        list_dir(target_directory) Lists files and directories in a given path.
        grep(pattern, path?) A powerful search tool built on ripgrep
        search_replace(file_path, old_string, new_string) Performs exact string replacements in files.
        write(file_path, contents) Writes a file to the local filesystem.
        delete_file(target_file) Deletes a file at the specified path.
        glob_file_search(glob_pattern) Tool to search for files matching a glob pattern
        todo_write(merge, todos) Use this tool to create and manage a structured task list.
        create_diagram(content) Creates a Mermaid diagram that will be rendered in the chat UI.
    """),
    "zed": tools("""
        copy_path(source_path, destination_path) Copies a file or directory in the project.
        create_directory(path) Creates a new directory at the specified path within the project.
        delete_path(path) Deletes the file or directory at the specified path in the project.
        diagnostics(path?) Get errors and warnings for the project or a specific file.
        edit_file(display_description, path, mode) This is a tool for creating a new file or editing an existing file.
        find_path(glob) Fast file path pattern matching tool that works with any codebase size
        grep(regex) Searches the contents of files in the project with a regular expression
        list_directory(path) Lists files and directories in a given path.
        read_file(path) Reads the content of the given file in the project.
        terminal(command, cd) Executes a shell one-liner and returns the combined output.
        thinking(content) A tool for thinking through problems.
    """),
    "crush": tools("""
        agent(prompt) Launch a new agent that has access to the following tools: GlobTool, GrepTool, LS, View.
        bash(description, command) Execute shell commands; long-running commands automatically move to background.
        job_output(shell_id) Get output from background shell by ID.
        job_kill(shell_id) Terminate background shell process.
        download(url, file_path) Download file from URL directly to local file.
        edit(file_path, old_string, new_string) Edit files by replacing text.
        fetch(url, format) Fetch raw content from URL.
        glob(pattern, path?) Fast file pattern matching tool that finds files by name/pattern.
        grep(pattern, path?) Fast content search tool that finds files containing specific text/patterns.
        ls(path?) List files and directories as tree structure.
        sourcegraph(query) Search code across public repositories using Sourcegraph.
        todos(todos) Creates and manages a structured task list for tracking progress.
        view(file_path) Read and display file contents with line numbers.
        write(file_path, content) Create/write files with content.
    """),
    "pi": tools("""
        read(path, offset?) Read the contents of a file. Supports text files and images.
        bash(command, timeout?) Execute a bash command in the current working directory.
        edit(path, edits) Edit a single file using exact text replacement.
        write(path, content) Write content to a file. Creates the file if it doesn't exist.
    """),
    "claude-code": tools("""
        Agent(description, prompt) Launch a new agent to handle complex, multi-step tasks. It runs in a folder.
        Bash(command, timeout?, description?, run_in_background?) Executes a bash command and returns its output.
        EnterWorktree(name?) Use this tool ONLY when explicitly instructed to work in a worktree of the project.
        Read(file_path) Reads a file from the local filesystem.
        SlashCommand(command) Execute a slash command within the main conversation
        TaskOutput(task_id, block) Gets output of running tasks in this folder; lists files.
        Write(file_path, content) Writes a file to the local filesystem, overwriting if one exists.
    """),
    "mcp-filesystem": tools("""
        mcp__fs__create_directory(path) Create a new directory or ensure a directory exists.
        mcp__fs__read_media_file(path) Read an image or audio file.
        mcp__fs__read_text_file(path) Read the complete contents of a file from the file system as text.
        mcp__fs__list_allowed_directories() Returns the list of directories that this server is allowed to access.
        mcp__fs__list_directory(path) Get a detailed listing of all files and directories in a specified path.
        mcp__fs__move_file(source, destination) Move or rename files and directories.
        mcp__fs__write_file(path, content) Create a new file or completely overwrite an existing file.
        mcp__shell__execute(command) Run a shell command.
    """),
}  # fmt: skip

RUN, LIST, SHOW, CREATE = (
    "Run `ls` in this folder.",
    "List the files in this folder.",
    "Show me README.md.",
    'Create notes.txt with the text "Hello".',
)
CALLED = {
    "gemini-cli": ("run_shell_command", "list_directory", "read_file", "write_file"),
    "qwen-code": ("run_shell_command", "list_directory", "read_file", "write_file"),
    "goose": ("developer__shell", "developer__tree", "developer__read", "developer__write"),
    "roo-code": ("execute_command", "list_files", "read_file", "write_to_file"),
    "cursor": ("run_terminal_cmd", "list_dir", "read_file", "write"),
    "zed": ("terminal", "list_directory", "read_file", "edit_file"),
    "crush": ("bash", "ls", "view", "write"),
    "pi": ("bash", "bash", "read", "write"),
    "claude-code": ("Bash", "Bash", "Read", "Write"),
    "mcp-filesystem": (
        "mcp__shell__execute", "mcp__fs__list_directory", "mcp__fs__read_text_file", "mcp__fs__write_file",
    ),
}  # fmt: skip


def picked(question: str, offered: tuple[Tool, ...]) -> str:
    prompt = Prompt(model="m", messages=(Message("user", (question,)),), tools=offered)
    called = ToolPicker(ToolSettings()).pick(prompt, conversation_state(prompt), random.Random(1))
    return called[0].name if called else ""


@pytest.mark.parametrize("agent", AGENTS)
def test_the_tool_that_does_it_is_called(agent: str) -> None:
    """FIT-1.15: A command is run, files are listed, read and written, whatever tools for that are called."""
    assert tuple(picked(question, AGENTS[agent]) for question in (RUN, LIST, SHOW, CREATE)) == CALLED[agent]


@pytest.mark.parametrize("agent", AGENTS)
@pytest.mark.parametrize(
    ("question", "place"),
    [
        (f'"{RUN}"', 0),
        ("What does `git status` say?", 0),
        ("what files are in this directory", 1),
        ("Could you please show me the files?", 1),
        ("What is in README.md?", 2),
        ("Please read src/app.py and explain it.", 2),
        ("Hi! Can you fix the bug in main.py?", 2),
        ("Open `docs/index.md`", 2),
        ("I'd like you to write a haiku to poem.txt", 3),
        ("In short: what a day. Save it as today.md", 3),
    ],
)
def test_it_may_be_worded_otherwise(agent: str, question: str, place: int) -> None:
    """FIT-1.15: The verb that leads a clause decides, behind words of politeness."""
    assert picked(question, AGENTS[agent]) == CALLED[agent][place]


CHANGING = tools("""
    create_goal(objective) Create a goal
    apply_patch(input) Use `apply_patch` to edit files
    update_plan(plan) Updates the plan of the project
    Checklist(checklist) Create or update a task checklist
    delete_file(path) Deletes a file
""")


@pytest.mark.parametrize(
    "question",
    [
        "List the files in this folder.",
        "Show me the plan of the project",
        "What does this project do?",
        "Why should I create a goal?",
        "Explain how to delete a file",
        "How do I update the checklist of a project?",
    ],
)
def test_what_only_reads_changes_nothing(question: str) -> None:
    """FIT-1.16: A tool that creates, edits or deletes is not called for a question that only reads."""
    assert picked(question, CHANGING) == ""


@pytest.mark.parametrize(
    ("question", "name"),
    [
        ("Create a goal", "create_goal"),
        ("Show me the goal and update the plan", "update_plan"),
        ("Find out what is next; then update the checklist", "Checklist"),
        ("Open a goal for me", "create_goal"),
    ],
)
def test_other_questions_may_change_something(question: str, name: str) -> None:
    """FIT-1.16: A clause that asks for more, or that is not understood, leaves the choice to words."""
    assert picked(question, CHANGING) == name


def test_numbers_may_be_added() -> None:
    """FIT-1.16: A question may be answered by a tool that adds or generates."""
    made = tools("add(a, b) Add two numbers\ngenerate_image(prompt) Generate an image")

    assert picked("What do I get if I add 2 and 3?", made) == "add"
    assert picked("Show me an image of a cat", made) == "generate_image"


def test_a_tool_with_an_unknown_handle_is_last() -> None:
    """FIT-1.17: A tool that needs the id of something running comes after others, unless the question may hold one."""
    made = tools("job_log(job_id) Reads the log of a build\nbuild_status() Status of a build")

    assert picked("What is the log of the build?", made) == "build_status"
    assert picked("What is the log of the build in job b-17?", made) == "job_log"
    assert picked("What is the log of the build?", made[:1]) == "job_log"


def test_only_the_first_sentence_of_a_description_counts() -> None:
    """FIT-1.2: Advice behind it calls nothing, nor does what is for special occasions only."""
    assert described_purpose("# Notes\n\nKeeps notes. Do not use it for weather.") == "Keeps notes"
    assert described_purpose("Reads v1.2 files\n\nAdvice") == "Reads v1.2 files"
    assert described_purpose("Create a goal only when explicitly requested by the user") == ""
    assert picked("How is the weather?", tools("note(text) Keeps notes. Do not use it for weather.")) == ""


@pytest.mark.parametrize(
    "question",
    [
        "Write a test for main.py",
        "Add a line to notes.txt",
        "Create a class in app.py",
        "Do not create notes.txt",
        "How do I write notes.txt?",
        "Show me a joke",
        "Open a ticket",
        "Never show me README.md",
        "",
    ],
)
def test_nothing_is_asked_of_files(question: str) -> None:
    """FIT-1.15: What is written is the object of the verb; without a file there is nothing to read."""
    assert intent_of(question).kind == ""


@pytest.mark.parametrize(
    ("line", "kind", "is_general"),
    [
        ("view_image(path) View a local image file", "read", False),
        ("team_read_mailbox() Read the current agent mailbox.", "read", False),
        ("create_directory(path) Create a directory", "write", False),
        ("read_file(name) Read a file.", "read", True),
        ("fs_read(path) Tool for files", "read", True),
        ("Read(x) Reads a poem", "read", False),
        ("shell(command) Run it", "shell", True),
        ("task(description, command?) Launch a new agent", "", False),
        ("write_stdin(chars) Writes characters to a shell", "write", False),
        ("run_tests(path) Run the tests", "run", False),
        ("execute_sql(query) Run SQL commands", "run", False),
        ("todos(todos) Create, list and delete todos", "", False),
        ("Exit() Exit the current process with status code 1", "remove", False),
    ],
)
def test_purposes(line: str, kind: str, is_general: bool) -> None:
    """FIT-1.15: Names and first sentences say what a tool does, and nouns whether it does so to any file."""
    purpose = purpose_of(tools(line)[0])

    assert (purpose.kind, purpose.is_general) == (kind, is_general)


def test_actions_of_an_editor() -> None:
    """FIT-1.15: A tool for files that has viewing among its actions reads."""
    schema = {
        "type": "object",
        "properties": {"command": {"enum": ["view", "create", "str_replace"]}, "path": {"type": "string"}},
        "required": ["command", "path"],
    }
    editor = Tool("str_replace_editor", description="Edits files", schema=json.dumps(schema).encode())

    assert picked(SHOW, (editor,)) == "str_replace_editor"
    assert (
        json_arguments(CalledTool(editor.name, editor.description), editor.schema, SHOW, random.Random(1))
        == '{"command":"view","path":"README.md"}'
    )


def test_tools_without_a_schema() -> None:
    """FIT-1.15: A shell that the provider defines runs the command, and its patches write."""
    offered = (Tool("apply_patch", ToolKind.CLIENT_HOSTED), Tool("local_shell", ToolKind.CLIENT_HOSTED))

    assert picked(RUN, offered) == "local_shell"
    assert picked(CREATE, offered) == "apply_patch"
