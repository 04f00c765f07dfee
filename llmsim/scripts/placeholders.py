"""Placeholders in the texts of rules: what a request says, put into its answer.

Decisions:
* There are four, and nothing else: no conditions, no expressions, no other request. An unknown one is a mistake where the text is read.
* What is put in is bounded, and so is the whole text. What the request does not have is empty.
"""

import json
import re
from typing import Any

import msgspec

from llmsim.domain import Prompt
from llmsim.text import nearest, printable

_MARK = re.compile(r"\$(\$?)\{([^}]*)\}")
_PATH = re.compile(r"json(\.[A-Za-z0-9_-]{1,64}){1,16}")
_NAMES = ("model", "user_text", "tool", "json.PATH")

_MOST_VALUE = 4_096
"""Characters of what is put in for one placeholder."""

_MOST_TEXT = 65_536
"""Characters of a text with what is put in."""


class RequestValues:
    """What placeholders stand for, of one request.

    Args:
        prompt: The request.
        body: Its body.
    """

    def __init__(self, prompt: Prompt, body: bytes) -> None:
        self._prompt = prompt
        self._body = body
        self._json: Any = None

    def get(self, name: str) -> str:
        """Return what stands for a placeholder."""
        prompt = self._prompt
        if name == "model":
            return prompt.model
        if name == "tool":
            return prompt.tools[0].name if prompt.tools else ""
        if name == "user_text":
            for message in reversed(prompt.messages):
                if message.author == "user" and message.texts:
                    return "\n".join(message.texts)[:_MOST_VALUE]
            return ""
        return self._find(name.split(".")[1:])

    def _find(self, path: list[str]) -> str:
        if self._json is None:
            try:
                self._json = msgspec.json.decode(self._body)
            except (msgspec.DecodeError, RecursionError):
                self._json = {}
        value = self._json
        for key in path:
            if isinstance(value, dict):
                value = value.get(key)
            elif isinstance(value, list) and key.isdigit() and len(key) < 9 and int(key) < len(value):
                value = value[int(key)]
            else:
                return ""
        if value is None:
            return ""
        text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
        return text[:_MOST_VALUE]


def has_placeholders(value: Any) -> bool:
    """Return whether a text, or a text in a value of JSON, has placeholders, or marks of them."""
    match value:
        case str():
            return _MARK.search(value) is not None
        case dict():
            return any(has_placeholders(one) for one in value.values())
        case list():
            return any(has_placeholders(one) for one in value)
    return False


def find_problem(value: Any) -> str | None:
    """Return what is wrong with the placeholders of a text, or of the texts in a value of JSON; None if nothing is."""
    match value:
        case str():
            for is_plain, name in _MARK.findall(value):
                if not is_plain and name not in _NAMES[:3] and not _PATH.fullmatch(name):
                    meant = nearest(name[:80], (*_NAMES[:3], "json"))
                    wanted = "json.PATH" if meant == "json" else meant
                    hint = f"; did you mean ${{{wanted}}}?" if wanted else "."
                    names = ", ".join(f"${{{one}}}" for one in _NAMES)
                    return f"unknown placeholder ${{{printable(name[:80])}}}{hint} One of: {names}"
        case dict():
            return next((problem for one in value.values() if (problem := find_problem(one))), None)
        case list():
            return next((problem for one in value if (problem := find_problem(one))), None)
    return None


def fill(value: Any, values: RequestValues) -> Any:
    """Return a text, or a value of JSON with texts, in which placeholders are replaced. `$${model}` becomes `${model}`."""
    match value:
        case str():

            def put_in(mark: re.Match[str]) -> str:
                return f"${{{mark[2]}}}" if mark[1] else values.get(mark[2])

            return _MARK.sub(put_in, value)[:_MOST_TEXT] if "${" in value else value
        case dict():
            return {key: fill(one, values) for key, one in value.items()}
        case list():
            return [fill(one, values) for one in value]
    return value
