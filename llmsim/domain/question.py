"""The question of a message: its text without what harnesses add.

Decisions:
* Agents mark what they add with tags: `<system-reminder>`, `<environment_context>`, `<environment_details>`,
  `<user_instructions>`. A block whose tag is one of theirs, or is written as theirs are (words joined by a dash or an
  underscore, at the beginning of a line), is no part of the question. Other tags are: the question may be about HTML.
* Some agents put the question itself in a tag: `<task>`, `<user_query>`. Then it is what that tag holds.
* Of several texts the last one counts.
* Some quote a question that is an argument of their command line. Quotation marks around all of it are no part of it.

Source: requests of Claude Code, Codex, opencode, Cline, Cursor and Continue.
"""

import re
from collections.abc import Sequence

from llmsim.budgets import remembered

_QUESTIONS = frozenset(
    "task userquery userrequest usermessage userinput userprompt question query prompt request feedback".split()
)
_ADDED = frozenset(
    "context reminder reminders environment instructions rules memory memories attachment attachments file files document "
    "documents selection workspace permissions skill skills env tools caveat userinstructions "
    "userrules userinfo usermemories openfiles".split()
)
_TAG = re.compile(r"<(/?)([A-Za-z][\w-]{0,60})((?: [^<>\n]{0,300})?)>")
_WORD = re.compile(r"\w")
_QUOTED = re.compile(r'"((?:[^"\\]|\\.)*)"', re.DOTALL)
_CAMEL = re.compile(r"[a-z][A-Z]")
_DEEPEST = 3
"""Questions inside of questions that are followed."""


def question_of(texts: Sequence[str]) -> str:
    """Return the last text outside of what harnesses add; empty if there is none."""
    for text in reversed(texts):
        found = text.strip() if "<" not in text else _outside(text)
        if _WORD.search(found):
            return _unquoted(found) if found[0] == '"' else found
    return ""


def _unquoted(text: str) -> str:
    """Return a text without the quotation marks around all of it."""
    whole = _QUOTED.fullmatch(text)
    return whole[1].replace('\\"', '"').strip() if whole else text


@remembered(64, max_chars=20_000)
def _outside(text: str) -> str:
    return _last_outside(text, _DEEPEST)


def _last_outside(text: str, levels: int) -> str:
    """Return the last part of a text that is no block of a harness, or what the last tag for questions holds."""
    last = question = opened = ""
    position = depth = start = 0
    tags = list(_TAG.finditer(text))
    ends = {tag[2]: tag.start() for tag in tags if tag[1]}
    for tag in tags:
        name = tag[2]
        if not depth:
            if tag[1] or not _is_block(text, tag):
                continue
            last = _later(last, text[position : tag.start()])
            if ends.get(name, -1) < tag.start():
                if _is_question(name):
                    continue
                # A block that is not closed has been cut off.
                return question or last
            depth, opened, start = 1, name, tag.end()
        elif name == opened:
            depth += -1 if tag[1] else 1
            # Openings without an end do not hide what follows the last end.
            if not depth or tag.start() == ends[name]:
                if _is_question(name):
                    inner = text[start : tag.start()]
                    question = _later(question, _last_outside(inner, levels - 1) if levels else inner)
                depth, position = 0, tag.end()
    return question or _later(last, text[position:])


def _later(before: str, text: str) -> str:
    return text.strip() if _WORD.search(text) else before


def _is_question(name: str) -> bool:
    return _plain(name) in _QUESTIONS


def _plain(name: str) -> str:
    return name.lower().replace("_", "").replace("-", "")


def _is_block(text: str, tag: re.Match[str]) -> bool:
    """Return whether a tag opens a block of a harness, or one that holds the question."""
    name = tag[2]
    if _plain(name) in _QUESTIONS | _ADDED or name.lower().startswith(("system", "environment")):
        return True
    line = text[max(0, tag.start() - 100) : tag.start()].rpartition("\n")[2].strip()
    is_joined = "-" in name or "_" in name or _CAMEL.search(name) is not None
    # Blocks may follow each other without a new line.
    return is_joined and (not line or line.endswith(">"))
