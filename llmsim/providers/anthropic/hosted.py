"""What the tools of the API's own are asked, and what they make up in answer.

Decisions:
* Nothing is looked up and nothing is run: addresses are of `example.com`, and texts say that they are made up.
* What is made up follows from turn and call, so that rendering stays pure.

Source: anthropic SDK 2.12, types/server_tool_use_block.py, web_search_tool_result_block.py,
web_fetch_tool_result_block.py, *code_execution_tool_result_block.py, tool_search_tool_result_block.py.
"""

import base64
import hashlib
import re
from collections.abc import Callable
from typing import Any

import msgspec

from llmsim.domain import TokenizedText, Turn
from llmsim.providers.anthropic.instants import rfc3339
from llmsim.providers.anthropic.partial import member

DIRECT = {"type": "direct"}
"""Who calls: the model itself, and no code that it has run."""

_ENCRYPTED = 240
"""Bytes of what is called encrypted. Source: recorded streams, where they are some hundred characters and more."""

_RESULTS = (("{}: an overview", "2 days ago"), ("All about {}", "April 30, 2025"), ("{} in numbers", None))
"""Titles and ages of the pages that a search finds."""

_CONTAINER_DAYS = 30
"""How long a container is kept. Source: Anthropic docs, agents-and-tools/tool-use/code-execution-tool."""

_ADDRESS = "https://example.com/"
_NO_PATH = re.compile(r"[^A-Za-z0-9._~-]")


class Service(msgspec.Struct, frozen=True, kw_only=True):
    """How a tool of the API's own is called, and how it answers.

    Attributes:
        name: What its calls are called.
        field: The member of its input.
        result: The type of the block that it answers with.
        answer: What that block holds, made up from the input's value, the turn, and an id.
        told: Whether the result tells who called.
        counted: Its count in the usage; empty if it has none.
        url: Whether its input is an address.
        contained: Whether it runs in a container.
    """

    name: str
    field: str
    result: str
    answer: Callable[[str, Turn, str], Any]
    told: bool = False
    counted: str = ""
    url: bool = False
    contained: bool = False

    def asked(self, query: TokenizedText, *, cut: bool) -> TokenizedText:
        """Give its input as JSON, in the pieces of `query`; without its end if it was cut off."""
        if self.url and query.pieces and not query.text.startswith(("http://", "https://")):
            first, *rest = (_NO_PATH.sub("-", piece) for piece in query.pieces)
            query = TokenizedText((_ADDRESS + first, *rest), query.cumulative_tokens)
        return member(self.field, query, cut=cut)

    def answered(self, value: str, turn: Turn, call: str) -> dict[str, Any]:
        """Give the block that answers the call of id `call`, which has asked for `value`."""
        block = {"type": self.result, "tool_use_id": call, "content": self.answer(value, turn, call)}
        return block | {"caller": DIRECT} if self.told else block


def container(turn: Turn) -> dict[str, Any]:
    """Tell where code was run."""
    digest = hashlib.blake2b(turn.id.encode(), digest_size=12).hexdigest()
    expires = rfc3339(turn.created + _CONTAINER_DAYS * 86_400)
    return {"id": f"container_{digest}", "expires_at": expires, "skills": None}


def _search(value: str, turn: Turn, call: str) -> list[dict[str, Any]]:
    slug = _NO_PATH.sub("-", value.lower())
    return [
        {
            "type": "web_search_result",
            "url": f"{_ADDRESS}{slug}/{number}",
            "title": title.format(value),
            "encrypted_content": _encrypted(f"{turn.id}/{call}/{number}"),
            "page_age": age,
        }
        for number, (title, age) in enumerate(_RESULTS, 1)
    ]


def _encrypted(seed: str) -> str:
    return base64.b64encode(
        hashlib.shake_128(seed.encode("utf-8", "surrogatepass")).digest(_ENCRYPTED)
    ).decode()


def _fetch(value: str, turn: Turn, _call: str) -> dict[str, Any]:
    return {
        "type": "web_fetch_result",
        "url": value,
        "retrieved_at": rfc3339(turn.created),
        "content": {
            "type": "document",
            "source": {
                "type": "text",
                "media_type": "text/plain",
                "data": f"This page was made up by llmsim; nothing was fetched from {value}.",
            },
            "title": "A made-up page",
            "citations": {"enabled": False},
        },
    }


def _ran(type_: str) -> Callable[[str, Turn, str], dict[str, Any]]:
    def ran(_value: str, _turn: Turn, _call: str) -> dict[str, Any]:
        stdout = "This output was made up by llmsim; nothing was run.\n"
        return {"type": type_, "stdout": stdout, "stderr": "", "return_code": 0, "content": []}

    return ran


def _no_tools(_value: str, _turn: Turn, _call: str) -> dict[str, Any]:
    return {"type": "tool_search_tool_search_result", "tool_references": []}


_SEARCHED = "tool_search_tool_result"

_SERVICES = {
    "web_search": Service(
        name="web_search",
        field="query",
        result="web_search_tool_result",
        answer=_search,
        told=True,
        counted="web_search_requests",
    ),
    "web_fetch": Service(
        name="web_fetch",
        field="url",
        result="web_fetch_tool_result",
        answer=_fetch,
        told=True,
        counted="web_fetch_requests",
        url=True,
    ),
    "code_execution": Service(
        name="bash_code_execution",
        field="command",
        result="bash_code_execution_tool_result",
        answer=_ran("bash_code_execution_result"),
        contained=True,
    ),
    "tool_search_tool_bm25": Service(
        name="tool_search_tool_bm25", field="query", result=_SEARCHED, answer=_no_tools
    ),
    "tool_search_tool_regex": Service(
        name="tool_search_tool_regex", field="pattern", result=_SEARCHED, answer=_no_tools
    ),
}

_PYTHON = Service(
    name="code_execution",
    field="code",
    result="code_execution_tool_result",
    answer=_ran("code_execution_result"),
    contained=True,
)


def service_of(name: str, *, python: bool) -> Service | None:
    """Give how a tool of the API's own is called.

    Args:
        name: Its kind; another API's gives None.
        python: Whether code is run in Python; in a shell otherwise.
    """
    return _PYTHON if python and name == "code_execution" else _SERVICES.get(name)
