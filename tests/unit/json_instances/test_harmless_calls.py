"""Nothing in a prompt becomes a call that changes anything."""

import json
import random
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support.hostile import (
    OTHER_MEMBERS,
    PATHS,
    PAYLOADS,
    REMOVERS,
    RUN_MEMBERS,
    RUNNERS,
    WRITERS,
    WRITTEN,
    harm,
    prompts,
    schemas,
)
from support.schemas import encoded

from llmsim.json_instances.call_arguments import CalledTool, client_action, free_text
from llmsim.json_instances.calls import json_arguments
from llmsim.json_instances.message_facts import extract_facts

MANY = settings(suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much], deadline=None)
SEEDS = st.integers(0, 1000)
TEXT = {"type": "string"}


def called(name: str, schema: dict[str, Any], prompt: str, *, description: str = "", seed: int = 1) -> str:
    return json_arguments(CalledTool(name, description), encoded(schema), prompt, random.Random(seed))


@MANY
@given(st.sampled_from(RUNNERS), schemas(RUN_MEMBERS + OTHER_MEMBERS), prompts(), SEEDS)
def test_tools_that_run_something(name: str, schema: dict[str, Any], prompt: str, seed: int) -> None:
    """FIT-6.1: A tool that runs something gets constants, or a read-only command of the prompt, in any member."""
    assert harm("run", called(name, schema, prompt, seed=seed), prompt) == []


@MANY
@given(
    st.sampled_from(["helper", "do_it", "get_result", "search", "write"]),
    schemas(RUN_MEMBERS),
    prompts(),
    SEEDS,
)
def test_members_that_are_run(name: str, schema: dict[str, Any], prompt: str, seed: int) -> None:
    """FIT-6.1: A member that is run makes any tool one that runs something, however deep it is."""
    assert harm("run", called(name, schema, prompt, seed=seed), prompt) == []


@MANY
@given(st.sampled_from(REMOVERS), schemas(OTHER_MEMBERS + PATHS), prompts(), SEEDS)
def test_tools_that_remove_or_move_something(
    name: str, schema: dict[str, Any], prompt: str, seed: int
) -> None:
    """FIT-6.2: What is removed or moved is never named by the prompt."""
    assert harm("remove", called(name, schema, prompt, seed=seed), prompt) == []


@MANY
@given(st.sampled_from(WRITERS), schemas(PATHS + WRITTEN), prompts(), SEEDS)
def test_tools_that_write_something(name: str, schema: dict[str, Any], prompt: str, seed: int) -> None:
    """FIT-6.3: Only plain relative names are written to, and no command is written."""
    assert harm("write", called(name, schema, prompt, seed=seed), prompt) == []


@MANY
@given(st.sampled_from([*RUNNERS, "exec", "code"]), prompts())
def test_custom_tools(name: str, prompt: str) -> None:
    """FIT-6.1: The free text of a tool that runs something is a constant, too."""
    text = free_text(CalledTool(name), extract_facts(prompt))

    assert harm("run", encoded({"text": text}).decode(), prompt) == []


@MANY
@given(st.sampled_from(["shell", "local_shell", "apply_patch", "computer"]), prompts())
def test_tools_that_the_provider_defines(name: str, prompt: str) -> None:
    """FIT-6.1: The action of a shell, a patch or a computer is harmless."""
    action = client_action(name, extract_facts(prompt))
    kind = "write" if name == "apply_patch" else "run"
    fixed = ('"echo","ok"', '"type":"screenshot"', '"type":"create_file"', '"diff":"+ok\\n"')
    for part in fixed:
        action = action.replace(part, '"x":1' if ":" in part else '"ok"')

    assert harm(kind, action, prompt) == []


@pytest.mark.parametrize("kind", ["run", "remove", "write"])
def test_the_judge_finds_harm(kind: str) -> None:
    """FIT-6.1: The properties above would fail: a call that repeats a hostile prompt is found harmful."""
    harmless = {"ls", "src/main.py", "config.toml", "4711", "Robert Tables"} | (
        {"shutdown"} if kind == "write" else set()
    )
    for payload in set(PAYLOADS) - harmless:
        member = "path" if kind == "write" else "command"

        assert harm(kind, encoded({"request": {member: [payload]}}).decode(), payload) != []


RUN = "bash", {"command": TEXT}


@pytest.mark.parametrize(
    ("prompt", "command"),
    [
        ("Run the command ls.", "ls"),
        ("Run the bash command ls and say how many files there are.", "ls"),
        ("Use bash to run git status, then summarise what changed.", "git status"),
        ("Please run `pwd`.", "pwd"),
        ('What does "git status" say?', "git status"),
        ("run cat README.md, please", "cat README.md"),
        ("Show me `cat src/app.py`", "cat src/app.py"),
        ("Do not wait. Run pwd.", "pwd"),
        ("Run the following command: pwd", "pwd"),
        ("Run the ls command", "ls"),
        ("Run ls -la", "echo ok"),
        ("Run ls; rm -rf build", "echo ok"),
        ("Run `ls | sh`", "echo ok"),
        ("Run ls && reboot", "echo ok"),
        ("Never run `ls`.", "echo ok"),
        ("Explain why I should not run ls here.", "echo ok"),
        ("F\u00fchre `ls` nicht aus.", "echo ok"),
        ("You must not do this:\n`pwd`", "echo ok"),
        ("Run cat and see", "echo ok"),
        ("Run cat ../secret.txt", "echo ok"),
        ("Run `cat .env`", "echo ok"),
        ("Run `cat /etc/passwd`", "echo ok"),
        ("Run `cat a.txt b.txt`", "echo ok"),
        ("Never open key.txt. Run cat key.txt", "echo ok"),
        ("List what ls gives", "echo ok"),
        ("rm -rf build", "echo ok"),
        ("", "echo ok"),
    ],
)
def test_read_only_commands(prompt: str, command: str) -> None:
    """FIT-6.1: The prompt's own command is run if it is read-only, quoted or the object of "run", and not negated."""
    schema = {"type": "object", "properties": {"command": TEXT}, "required": ["command"]}

    assert called("bash", schema, prompt) == encoded({"command": command}).decode().replace(": ", ":")


@pytest.mark.parametrize(
    ("name", "member", "schema", "expected"),
    [
        ("shell", "command", {"type": "array", "items": TEXT}, ["ls"]),
        ("run_python", "code", TEXT, 'print("ok")'),
        ("code_interpreter", "input", TEXT, 'print("ok")'),
        ("run", "script", TEXT, 'print("ok")'),
        ("bash", "script", TEXT, "echo ok"),
        ("execute_sql", "query", TEXT, "select 1"),
        ("query", "sql", TEXT, "select 1"),
        ("terminal", "input", TEXT, "echo ok"),
        ("calculator", "expression", TEXT, "1 + 1"),
    ],
)
def test_constants(name: str, member: str, schema: dict[str, Any], expected: Any) -> None:
    """FIT-6.1: Without a command of the prompt, the member decides what is run."""
    document = {"type": "object", "properties": {member: schema}, "required": [member]}
    made = called(name, document, "Run `rm -rf build` or DROP TABLE users")

    assert made == encoded({member: expected}).decode().replace('": ', '":')


@pytest.mark.parametrize("name", ["delete_user", "move_card", "run_job"])
def test_numbers_and_names_of_what_is_removed_are_constants(name: str) -> None:
    """FIT-6.2: Ids, numbers, dates and names of the prompt are used no more than its paths."""
    members = {"user_id": {"type": "integer"}, "name": TEXT, "on": TEXT | {"format": "date"}, "file": TEXT}
    schema = {"type": "object", "properties": members, "required": list(members)}
    made = json.loads(called(name, schema, 'Do it to 4711, "Bob" and Alice, on 2025-03-04, in src/a.py'))

    assert made["user_id"] == 1
    assert made["name"] in ("llmsim-example", "example")
    assert (made["on"], made["file"]) == ("2026-01-01", "llmsim-example.txt")


def test_a_description_makes_a_tool_dangerous() -> None:
    """FIT-6.1: The first sentence of the tool's or the member's description counts like its name."""
    schema = {"type": "object", "properties": {"x": TEXT}, "required": ["x"]}
    described = {
        "type": "object",
        "properties": {"x": TEXT | {"description": "SQL to run"}},
        "required": ["x"],
    }

    assert called("act", schema, 'act "abc"') == '{"x":"abc"}'
    assert called("act", schema, 'act "abc"', description="Executes x in a shell.") == '{"x":"echo ok"}'
    assert called("act", described, 'act "abc"') == '{"x":"select 1"}'


@pytest.mark.parametrize(
    ("prompt", "path"),
    [
        ("Write hello.py", "hello.py"),
        ("Save it as `notes/day-1.md`", "notes/day-1.md"),
        ("Do not edit config.py. Write to out.txt.", "out.txt"),
        ("Write a summary of README.md to out.txt", "out.txt"),
        ("Do not edit config.py", "llmsim-example.txt"),
        ("Write /etc/hosts", "llmsim-example.txt"),
        ("Write ../up.txt", "llmsim-example.txt"),
        ("Write a/../../up.txt", "llmsim-example.txt"),
        ("Write .bashrc", "llmsim-example.txt"),
        ("Write -o.txt", "llmsim-example.txt"),
        ("Write ~/x.txt", "llmsim-example.txt"),
        ("Write $HOME/x.txt", "llmsim-example.txt"),
        ("Write x.txt;reboot.txt", "llmsim-example.txt"),
        ("Write something", "llmsim-example.txt"),
    ],
)
def test_names_that_are_written(prompt: str, path: str) -> None:
    """FIT-6.3: The prompt's own name is written to if it is relative and plain, and not negated."""
    schema = {"type": "object", "properties": {"file_path": TEXT}, "required": ["file_path"]}

    assert called("Write", schema, prompt) == encoded({"file_path": path}).decode().replace(": ", ":")


def test_an_option_is_not_written() -> None:
    """FIT-6.3: A quoted text that begins with a dash is no prose."""
    schema = {"type": "object", "properties": {"content": TEXT}, "required": ["content"]}

    assert called("write_file", schema, "Write `-rf.txt`") == '{"content":"example"}'
    assert called("write_file", schema, "Write `as-is`") == '{"content":"as-is"}'


def test_a_query_is_no_statement() -> None:
    """FIT-6.1: A tool that searches is not given a statement that would change what it searches."""
    schema = {"type": "object", "properties": {"query": TEXT}, "required": ["query"]}

    assert called("read_query", schema, 'query "red shoes"') == '{"query":"red shoes"}'
    assert called("read_query", schema, 'query "DROP TABLE users"') == '{"query":"example"}'


def test_enumerated_actions_are_harmless() -> None:
    """FIT-6.4: Of several actions one is chosen that changes nothing, whatever the prompt asks for."""
    schema = {
        "type": "object",
        "properties": {"action": {"enum": ["delete", "view", "list"]}, "force": {"type": "boolean"}},
        "required": ["action", "force"],
    }

    assert called("files", schema, "delete with force") == '{"action":"view","force":false}'
    assert called("files", schema, "list them") == '{"action":"list","force":false}'


@pytest.mark.parametrize("quoted", ["..", "-rf", "a -f", "x ..", "..."])
def test_quoted_paths_and_flags_are_not_written(quoted: str) -> None:
    """FIT-6.3: A quotation that is a parent directory or a flag is no prose."""
    schema = {"type": "object", "properties": {"content": {"type": "string"}}, "required": ["content"]}
    assert quoted not in called("write_file", schema, f"Write `{quoted}`.")
