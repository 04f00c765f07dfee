"""What a question asks to be done with files and commands, and which tools do it.

Decisions:
* The verb that leads a clause decides: "list the files", "please show me README.md", "create notes.txt". Questions only read.
* Names of tools decide, and of nouns only those of files: `view_image` views no text. A name without a verb is read by the first
  sentence of its description.
* What only reads is never done by a tool that changes something. A clause that is not understood may ask for anything.
* A read-only command of the message's own is run by the tool that takes commands.
* Data decides: the tables hold words of English, not names of agents.

Source of names: the tools of Claude Code, Codex, opencode, pi, Cline, Continue, Gemini CLI, Qwen Code, Goose, Roo Code, Cursor, Zed, Crush
and of the reference MCP servers.
"""

import re
from typing import Any

import msgspec

from llmsim.budgets import remembered
from llmsim.domain import Tool
from llmsim.json_instances.member_names import kind_of, words_of
from llmsim.json_instances.message_facts import MessageFacts, extract_facts
from llmsim.json_schema.document import read

_VERBS = {
    "run": "run execute exec",
    "list": "list ls tree enumerate",
    "match": "glob",
    "search": "search find grep locate",
    "read": "read view show cat display print explain describe summarize summarise count open get check review fix debug refactor improve",
    "write": "write create save",
    "make": "make generate add",
    "edit": "edit change replace update insert append modify apply rename overwrite multiedit",
    "remove": "delete remove cancel kill terminate exit",
}
_KIND_OF_VERB = {verb: kind for kind, verbs in _VERBS.items() for verb in verbs.split()}
_ASKING = frozenset("what which where who why how is are does did was were has have".split())
_POLITE = frozenset(
    """
    please kindly can could would will you i we want need to like d ll ve let us me help now then next first also just again ok okay hey
    hi hello thanks thank s and
    """.split()
)
"""Words before the verb of a request."""

_FILE_VERBS = frozenset("open get check review fix debug refactor improve".split())
"""Verbs of reading only where a file is named: one also opens tickets. What is to be fixed is read first."""

_READING = frozenset(["list", "match", "search", "read", "ask"])
_CHANGING = frozenset(["write", "edit", "remove"])

_SERVED_BY = {
    "command": ("shell",),
    "list": ("list", "match", "shell"),
    "read": ("read", "shell"),
    "search": ("search", "match", "shell"),
    "write": ("write", "make", "edit"),
    "run": (),
}
"""The kinds of tools for each intent, the best first; a shell takes commands. What else is run is a matter of words."""

_DIRECTORIES = frozenset("files folder folders directory directories dir".split())
_FILES = frozenset(
    "file files text content contents line lines range path paths patch diff fs filesystem codebase editor".split()
)
_FILLERS = frozenset("a the to from into in of by at new multiple many local tool str based".split())
_SHELLS = frozenset("shell bash sh zsh powershell pwsh terminal console cmd command commands cli".split())
_SHELL_NAMES = _SHELLS | _FILLERS | frozenset("run exec execute local system developer".split())
_COMMANDS = frozenset("command commands cmd cmds commandline".split())
_HANDLES = frozenset(
    "task job session run process shell bash agent thread terminal execution background cell".split()
)
"""What is started by an earlier call, whose id an argument needs."""

_NOT_WRITTEN = frozenset("in inside for of from about with on using by like".split())
"""Words before a path that make it another one than what is written."""

_QUOTED = re.compile(r"\"[^\"\n]* [^\"\n]*\"|\u201c[^\u201d\n]* [^\u201d\n]*\u201d|`[^`\n]* [^`\n]*`")
_CLAUSE = re.compile(r"(?<=[.!?;])\s+|\n+|,\s+|\s+(?:and|then|but)\s+")
_WORD = re.compile(r"[^\W\d_]+")
_HANDLE_VALUE = re.compile(r"(?<!\S)[\w-]*\d[\w-]*")
_ONLY = re.compile(r"\bonly (?:when|if)\b", re.IGNORECASE)
_SENTENCE = re.compile(r"[.!?]\s|\n")
_MOST_SENTENCE = 300
_MOST_READ = 2_000


class Intent(msgspec.Struct, frozen=True):
    """What a question asks to be done.

    Attributes:
        kind: A key of `_SERVED_BY`; empty for anything else.
        only_reads: Whether it asks for nothing but reading.
        has_handle: Whether it may hold the id of something that runs.
    """

    kind: str = ""
    only_reads: bool = False
    has_handle: bool = False


class Purpose(msgspec.Struct, frozen=True):
    """What a tool does.

    Attributes:
        kind: A key of `_VERBS`, or `shell`; empty for anything else.
        is_general: Whether it does so to files in general or, of a shell, runs any command.
        needs_handle: Whether it needs the id of something that an earlier call started.
    """

    kind: str = ""
    is_general: bool = False
    needs_handle: bool = False

    @property
    def changes(self) -> bool:
        """Whether it changes something."""
        return self.kind in _CHANGING

    def serves(self, intent: Intent) -> int:
        """Return how well it does what a question asks for; 0 for not at all."""
        kinds = _SERVED_BY.get(intent.kind, ())
        if self.kind not in kinds or not (self.is_general or self.kind == "shell"):
            return 0
        return 2 * (len(kinds) - kinds.index(self.kind)) - (not self.is_general)


@remembered(64, max_chars=_MOST_READ)
def intent_of(question: str) -> Intent:
    """Return what a question asks to be done."""
    facts = extract_facts(question)
    has_handle = _HANDLE_VALUE.search(question) is not None
    # Blanks inside of quotations part no clauses.
    masked = _QUOTED.sub(lambda match: "_" * len(match[0]), question[:_MOST_READ])
    clauses = [_clause(clause) for clause in _CLAUSE.split(masked)]
    led = [clause for clause in clauses if clause is not None]
    kinds = [kind for kind, _ in led]
    only_reads = bool(led) and all(kind in _READING for kind in kinds)
    if facts.command and "search" not in kinds:
        return Intent("command", only_reads, has_handle)
    return Intent(next((intent for _, intent in led if intent), ""), only_reads, has_handle)


def _clause(clause: str) -> tuple[str, str] | None:
    """Return the kind of the verb that leads a clause, and its intent; None if it asks for nothing."""
    words = [word.lower() for word in _WORD.findall(clause)]
    start = next((place for place, word in enumerate(words) if word not in _POLITE), None)
    if start is None:
        return None
    verb = words[start]
    kind = "ask" if verb in _ASKING else _KIND_OF_VERB.get(verb, "")
    intent = _intent(kind, clause, words)
    return "" if verb in _FILE_VERBS and not intent else kind, intent


def _intent(kind: str, clause: str, words: list[str]) -> str:
    """Return what a clause that is led by a verb of a kind asks of files; empty for nothing."""
    if kind == "run":
        return "run"
    if kind not in ("list", "read", "ask", "search", "write", "make"):
        return ""
    all_paths = MessageFacts(clause).paths
    if kind == "search":
        return "search" if all_paths or not _DIRECTORIES.isdisjoint(words) else ""
    paths = [path for path in all_paths if not path.endswith("/")]
    if kind in ("write", "make"):
        return "write" if any(_is_written(clause, path) for path in paths) else ""
    if kind == "ask" and not _CHANGING.isdisjoint(_KIND_OF_VERB.get(word, "") for word in words):
        # How to do something is no matter of the file.
        return ""
    if paths:
        return "" if kind == "list" else "read"
    return "" if _DIRECTORIES.isdisjoint(words) else "list"


def _is_written(clause: str, path: str) -> bool:
    """Return whether a path is what a clause writes: not "a test for main.py"."""
    before = _WORD.findall(clause[: clause.index(path)].lower())
    nearest = next((word for word in reversed(before) if word not in ("the", "a", "file", "new")), "")
    return nearest not in _NOT_WRITTEN and not ("add" in before and nearest in ("to", "into"))


def purpose_of(tool: Tool) -> Purpose:
    """Return what a tool does."""
    return _purpose(tool.name, _first_sentence(tool.description[: 2 * _MOST_SENTENCE]), tool.schema)


def described_purpose(description: str) -> str:
    """Return what a description says of the purpose of a tool: its first sentence, without a heading before it.

    It is empty if the tool is for special occasions only, which are not recognized.
    """
    sentence = _first_sentence(description[: 2 * _MOST_SENTENCE])
    return "" if _ONLY.search(sentence) else sentence


@remembered(256, max_chars=2 * _MOST_SENTENCE)
def _first_sentence(description: str) -> str:
    lines = description.split("\n")
    text = "\n".join(line for line in lines if not line.startswith("#")).strip()
    return _SENTENCE.split(text[:_MOST_SENTENCE], maxsplit=1)[0]


@remembered(128, max_chars=20_000)
def _purpose(name: str, sentence: str, schema: bytes) -> Purpose:
    # What precedes is the server that the tool comes from.
    words = words_of(re.split(r"__|[./]", name)[-1])
    described = [word.lower() for word in _WORD.findall(sentence)]
    document = read(schema).document if schema else {}
    members = document.get("properties") if isinstance(document, dict) else None
    members = members if isinstance(members, dict) else {}
    required = document.get("required") if isinstance(document, dict) else None
    needed = (
        {one: members.get(one) for one in required if isinstance(one, str)}
        if isinstance(required, list)
        else {}
    )
    needs_handle = any(kind_of(one, "") == "id" and _HANDLES & frozenset(words_of(one)) for one in needed)
    if _takes_commands(words, described, needed or members, schema):
        return Purpose("shell", frozenset(words) <= _SHELL_NAMES, needs_handle)
    has_path = any(kind_of(one, "") in ("path", "directory", "pattern") for one in members)
    if has_path and any(_offers_reading(member) for member in needed.values()):
        # Of its actions one is chosen that changes nothing.
        return Purpose("read", True, needs_handle)
    kind = _kind_of_name(words) or _kind_of_sentence(described)
    nouns = frozenset(words) - _FILLERS - _KIND_OF_VERB.keys()
    allowed = _FILES | _DIRECTORIES | {"directory"} if kind in ("list", "match") else _FILES
    is_evident = bool(nouns) or has_path or not (_FILES | _DIRECTORIES).isdisjoint(described)
    return Purpose(kind, nouns <= allowed and is_evident, needs_handle)


def _kind_of_name(words: tuple[str, ...]) -> str:
    """Return the kind of the verb at the beginning of a name, or at its end, as in `fs_write`."""
    if not words:
        return ""
    last = "read" if words[-1] == "editor" else _KIND_OF_VERB.get(words[-1], "")
    return _KIND_OF_VERB.get(words[0], "") or last


def _kind_of_sentence(words: list[str]) -> str:
    """Return the kind of the verb that a description begins with; none if it also speaks of reading."""
    kinds = [_kind_of_verb(word) for word in words]
    if not kinds or (kinds[0] in _CHANGING and not _READING.isdisjoint(kinds)):
        return ""
    return kinds[0]


def _kind_of_verb(word: str) -> str:
    """Return the kind of a verb in the first or third person."""
    found = (_KIND_OF_VERB.get(one, "") for one in (word, word.removesuffix("s"), word.removesuffix("es")))
    return next(filter(None, found), "")


def _takes_commands(
    words: tuple[str, ...], described: list[str], members: dict[str, Any], schema: bytes
) -> bool:
    if _kind_of_name(words) not in ("", "run") or (
        _SHELLS.isdisjoint(words) and _SHELLS.isdisjoint(described)
    ):
        return False
    if not schema:
        return frozenset(words) <= _SHELL_NAMES
    return any(
        _COMMANDS & frozenset(words_of(name)) and not (isinstance(member, dict) and "enum" in member)
        for name, member in members.items()
    )


def _offers_reading(member: Any) -> bool:
    values = member.get("enum") if isinstance(member, dict) else None
    return isinstance(values, list) and not {"view", "read"}.isdisjoint(
        one for one in values if isinstance(one, str)
    )
