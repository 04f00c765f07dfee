"""What a call may do: which tools and members run, remove or change something, and what is harmless to give them.

Decisions:
* Agents run simulated calls without asking. So nothing of a message becomes a call that changes anything: what runs gets a
  constant or a read-only command, what removes or moves gets a name of llmsim's own, what writes gets a plain relative
  name only.
* Names decide, and the first sentences of descriptions. A tool that is taken for dangerous by mistake gets constants, which
  does no harm; the reverse would.

Source of names: the tools of Claude Code, Codex, opencode, pi, Cline, Continue, and of the reference MCP servers.
"""

import re
import shlex

from llmsim.budgets import remembered
from llmsim.json_instances.member_names import words_of
from llmsim.json_instances.message_facts import MessageFacts

OWN_NAME = "llmsim-example"
"""The name of things that exist nowhere, so that nothing happens to them."""

OWN_FILE = "llmsim-example.txt"

SHELL = "echo ok"
CODE = 'print("ok")'
SQL = "select 1"
_GRAPHQL = "query { __typename }"
_FUNCTION = '() => "ok"'
_FORMULA = "1 + 1"


class Hazard:
    """What a tool, or a part of its arguments, may do to the world: bits of an integer.

    Beside a member that is run, `HAS_COMMAND` says that the others are not.
    PERF: an `enum.Flag` would take a third of the time of a call.
    """

    NONE = 0
    READS = 1
    WRITES = 2
    REMOVES = 4
    RUNS = 8
    HAS_COMMAND = 16


_SHELLS = frozenset(
    "bash sh zsh shell powershell pwsh cmd cmds command commands commandline cmdline terminal console tty stdin cli ssh chars "
    "keystrokes process subprocess spawn argv curl wget tmux docker kubectl helm terraform "
    "ansible npm pip".split()
)
_CODES = frozenset(
    "code python py ipython jupyter javascript js typescript node ruby perl php lua script scripts source program snippet cell "
    "function expression formula eval evaluate evaluates evaluator interpreter repl sandbox macro statements".split()
)
_QUERIES = frozenset(
    "sql statement mysql postgres postgresql sqlite bigquery snowflake clickhouse duckdb".split()
)
_GRAPHS = frozenset(["graphql", "mutation"])
_RUNNERS = frozenset(
    "exec run runs runner execute executes executing execution executor invoke process".split()
)
_RUNS = (_SHELLS | _CODES | _QUERIES | _GRAPHS | _RUNNERS) - {"function", "source", "node", "process", "cell"}
_REMOVES = frozenset(
    "delete deletes del remove removes rm rmdir unlink erase erases destroy destroys drop drops purge trash discard wipe clear clean "
    "prune truncate kill kills terminate shutdown reboot restart uninstall revoke move moves mv rename renames reset revert rollback "
    "restore transfer cancel stop".split()
)
_WRITES = frozenset(
    "write writes edit edits create creates save update updates append insert replace str patch modify modifies overwrite put post "
    "send upload commit push publish deploy apply submit mkdir touch new store copy cp merge install set multiedit notebookedit "
    "writefile editfile createfile http request webhook api body payload method diff todowrite add".split()
)
_READS = frozenset(
    "read get list ls view show search find grep glob fetch look lookup open cat browse check describe count stat inspect tree "
    "retrieve load peek scan weather webfetch websearch".split()
)
_NOUNS = frozenset(
    "code script scripts source program snippet cell function expression formula notebook commands".split()
)
"""Things that a tool may also only read."""

_DESCRIBED_REMOVES = frozenset(
    "delete deletes remove removes move moves rename renames erase erases destroy destroys kill kills uninstall unlink purge".split()
)
_DESCRIBED_RUNS = frozenset(
    "bash shell powershell terminal command commands script scripts sql javascript python execute executes executed executing "
    "evaluate evaluates repl interpreter".split()
)
_CHANGING_VALUES = (_REMOVES | (_WRITES - {"add", "new", "set", "str", "copy", "method", "api"})) | {
    "exec",
    "execute",
}

_NO_CODES = frozenset(
    "country zip postal post area currency language lang status error exit promo discount airport product coupon verification "
    "qr color region state iata icao access sms station stock bar item city dress security".split()
)
"""Words before `code` that make it no program."""

_INERT = frozenset(
    "description reason explanation justification title label summary rationale purpose thought thoughts note notes comment "
    "message intent".split()
)
"""Members of tools that run something which are for the reader only."""

_ARGUMENTS = frozenset("arg args argv argument arguments flags options params parameters env".split())
_SENTENCE = re.compile(r"[.\n]\s")
_PLAIN = re.compile(r"(?!.*(?:\.\.|(?:^|\s)-))[\w ,.!?'\u2019()+-]*")
_COMMANDS = re.compile(
    r"\s*(?:sudo|cat|rm|rmdir|mv|cp|dd|del|erase|kill|killall|pkill|shutdown|reboot|halt|poweroff|format|mkfs\S*|chmod|chown|ln|git|"
    r"curl|wget|bash|sh|zsh|python\S*|node|npm|npx|pip|make|docker|kubectl|eval|exec|source|truncate|tee|touch|mkdir|crontab|"
    r"delete|drop|update|insert|alter|grant|revoke|create|replace|merge|call|import|os|subprocess|powershell|cmd|iex|remove-\S*)\b|(?:.*\s)?-",
    re.IGNORECASE | re.DOTALL,
)


_COMMAND_NAMES = frozenset(["git", "gh", "make", "aws", "gcloud", "az", "go", "cargo"])
"""Programs that do anything, where they are the whole name of a tool."""

_PARTS_RUN = ("command", "shell", "bash", "exec", "terminal", "javascript", "sql")
_PARTS_REMOVE = ("delete", "remove", "unlink", "erase", "destroy", "uninstall", "rename")
_PARTS_WRITE = ("write", "upload")
"""Parts of words that were joined: `runcommand`, `deletefile`."""


@remembered(maxsize=1024, max_chars=2000)
def tool_hazard(name: str, description: str) -> int:
    """Return what a tool may do.

    Args:
        name: Its name.
        description: Its description, of which the first sentence counts.
    """
    words = frozenset(words_of(name))
    described = _first_words(description)
    is_reading = bool(words & _READS)
    hazard = _hazard(words - _NOUNS if is_reading else words)
    if len(words) == 1 and words & _COMMAND_NAMES:
        hazard |= Hazard.RUNS
    if described & _DESCRIBED_RUNS and not is_reading:
        hazard |= Hazard.RUNS
    if described & _DESCRIBED_REMOVES and not is_reading:
        hazard |= Hazard.REMOVES
    if described & _WRITES and not is_reading:
        hazard |= Hazard.WRITES
    return Hazard.READS if is_reading and hazard == Hazard.NONE else hazard


@remembered(maxsize=1024, max_chars=800)
def member_hazard(name: str, description: str = "") -> int:
    """Return what a member adds to the hazard of its tool: it may be run."""
    words = words_of(name)
    if words and words[-1] in _INERT:
        return Hazard.NONE
    if words and words[-1] in ("code", "codes") and not _NO_CODES.isdisjoint(words):
        return Hazard.NONE
    if _first_words(description) & _DESCRIBED_RUNS:
        return Hazard.RUNS
    return _hazard(frozenset(words)) & Hazard.RUNS


@remembered(maxsize=1024, max_chars=800)
def sibling_hazard(name: str, description: str = "") -> int:
    """Return what a free text adds to the hazard of the members beside it."""
    words = frozenset(words_of(name))
    sends = Hazard.WRITES if words & {"body", "payload", "method", "diff"} else Hazard.NONE
    return member_hazard(name, description) | sends


@remembered(maxsize=1024, max_chars=400)
def action_hazard(name: str) -> int:
    """Return what an enumerated action, or the name of an object, adds to the hazard of all that belongs to it."""
    return _hazard(frozenset(words_of(name)))


def _hazard(words: frozenset[str]) -> int:
    hazard = Hazard.NONE
    for found, known, parts in (
        (Hazard.RUNS, _RUNS, _PARTS_RUN),
        (Hazard.REMOVES, _REMOVES, _PARTS_REMOVE),
        (Hazard.WRITES, _WRITES, _PARTS_WRITE),
    ):
        if words & known or any(part in word for word in words - _NOUNS for part in parts):
            hazard |= found
    return hazard


def _first_words(description: str) -> frozenset[str]:
    return frozenset(words_of(_SENTENCE.split(description[:200], maxsplit=1)[0].lower()))


def is_inert(name: str) -> bool:
    """Return whether a member of a tool that runs something is only read by people."""
    words = words_of(name)
    return bool(words) and words[-1] in _INERT


def takes_arguments(name: str) -> bool:
    """Return whether a member lists the arguments of a command that another member names."""
    words = words_of(name)
    return bool(words) and words[-1] in _ARGUMENTS


def changes(value: str) -> bool:
    """Return whether an enumerated value names an action that changes something."""
    return not _CHANGING_VALUES.isdisjoint(words_of(value))


def is_harmless_text(text: str) -> bool:
    """Return whether a quoted text is prose: no command, no statement, no signs of a shell, not even where it is run."""
    return (
        _PLAIN.fullmatch(text) is not None
        and _COMMANDS.match(text) is None
        and _REMOVES.isdisjoint(words_of(text)[:1])
    )


def is_statement(text: str) -> bool:
    """Return whether a text begins as a command or a statement does, so that it is no harmless query."""
    return _COMMANDS.match(text) is not None


def command_text(name: str, tool: str, description: str, facts: MessageFacts) -> str:
    """Return what a member that may be run gets.

    Args:
        name: Its name; empty for the free text of a tool.
        tool: The name of the tool.
        description: The description of the member or of the tool.
        facts: Facts of the message, of which only its read-only command is used.
    """
    own, tools, described = frozenset(words_of(name)), frozenset(words_of(tool)), _first_words(description)
    if own & {"expression", "formula"}:
        return _FORMULA
    for words in (own - {"script", "scripts"}, tools | (own & {"script", "scripts"}), described):
        if words & _GRAPHS:
            return _GRAPHQL
        if words & (_QUERIES | {"database", "db"}):
            return SQL
        if words & _SHELLS:
            return facts.command or SHELL
        if words & _CODES:
            return _FUNCTION if own == {"function"} else CODE
    return facts.command or SHELL


def command_list(name: str, facts: MessageFacts) -> list[str]:
    """Return what a list of words or of commands that may be run gets."""
    if not facts.command:
        return ["ls"]
    return [facts.command] if words_of(name)[-1:] == ("commands",) else shlex.split(facts.command)


def patch_text(facts: MessageFacts) -> str:
    """Return a patch in the format of Codex that adds one file."""
    name = next(iter(facts.safe_names), OWN_FILE)
    return f"*** Begin Patch\n*** Add File: {name}\n+ok\n*** End Patch\n"
