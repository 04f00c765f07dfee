"""Tools that the API runs itself: their input, and the results that are made up for them.

Decisions:
* Nothing is looked up or run: addresses are below `example.com`, and texts say that they are made up.
* A made-up result is derived from turn and call only, so that rendering stays pure.

Source: anthropic SDK 2.14, types/server_tool_use_block.py, web_search_tool_result_block.py,
web_fetch_tool_result_block.py, *code_execution_tool_result_block.py, tool_search_tool_result_block.py.
"""

import base64
import hashlib
import re
from collections.abc import Callable
from typing import Any

import msgspec

from llmsim.domain import TokenizedText, Turn
from llmsim.providers.anthropic.connected_request import ContainerParam
from llmsim.providers.anthropic.resources import DAY, rfc3339

DIRECT = {"type": "direct"}
"""The caller of a tool: the model itself, not code that it runs."""

_ENCRYPTED_BYTES = 240
"""Length of what is called encrypted. Source: recorded streams, where it is some hundred characters or more."""

_SEARCH_RESULTS = (
    ("{}: an overview", "2 days ago"),
    ("All about {}", "April 30, 2025"),
    ("{} in numbers", None),
)
"""Title and age of each page that a search finds."""

_CONTAINER_SECONDS = 30 * DAY
"""Lifetime of a container. Source: Anthropic docs, agents-and-tools/tool-use/code-execution-tool."""

_ADDRESS = "https://example.com/"
_NOT_IN_PATHS = re.compile(r"[^A-Za-z0-9._~-]")


class HostedTool(msgspec.Struct, frozen=True, kw_only=True):
    """How calls of a hosted tool and their results are rendered.

    Attributes:
        name: Name of the tool in its calls.
        input_field: The only field of its input; empty if it has none.
        result_type: Type of the block that holds its result.
        render_result: Renders the content of that block from the value of the input field, the turn and the id of the call.
        names_caller: Whether the block of the result names the caller.
        usage_counter: Its counter in the usage; empty if there is none.
        takes_url: Whether its input is an address.
        runs_in_container: Whether it runs in a container.
    """

    name: str
    input_field: str
    result_type: str
    render_result: Callable[[str, Turn, str], list[dict[str, Any]] | dict[str, Any]]
    names_caller: bool = False
    usage_counter: str = ""
    takes_url: bool = False
    runs_in_container: bool = False

    def input_value(self, query: TokenizedText) -> TokenizedText:
        """Return the value of the input field: the query, made an address if the tool takes one."""
        if self.takes_url and query.pieces and not query.text.startswith(("http://", "https://")):
            first, *rest = (_NOT_IN_PATHS.sub("-", piece) for piece in query.pieces)
            return TokenizedText((_ADDRESS + first, *rest), query.cumulative_tokens)
        return query

    def result_block(self, value: str, turn: Turn, call_id: str) -> dict[str, Any]:
        """Render the result of a call whose input field has this value."""
        content = self.render_result(value, turn, call_id)
        block = {"type": self.result_type, "tool_use_id": call_id, "content": content}
        return block | {"caller": DIRECT} if self.names_caller else block


_SKILL_VERSIONS = {"anthropic": "20251013", "custom": "1759178010641129"}
"""The newest version of a skill. Source: Anthropic docs, build-with-claude/skills-guide, for their form."""


def render_container(turn: Turn, asked: ContainerParam | None) -> dict[str, Any]:
    """Render the container in which the code of a turn runs, as it was asked for."""
    skills = None if asked is None else asked.skills
    loaded = [
        {
            "type": skill.type,
            "skill_id": skill.skill_id,
            "version": skill.version
            if skill.version not in (None, "latest")
            else _SKILL_VERSIONS[skill.type],
        }
        for skill in skills or ()
    ]
    digest = hashlib.blake2b(turn.id.encode(), digest_size=12).hexdigest()
    expires = rfc3339(turn.created + _CONTAINER_SECONDS)
    container_id = (asked and asked.id) or f"container_{digest}"
    return {"id": container_id, "expires_at": expires, "skills": None if skills is None else loaded}


def _search(value: str, turn: Turn, call_id: str) -> list[dict[str, Any]]:
    slug = _NOT_IN_PATHS.sub("-", value.lower())
    return [
        {
            "type": "web_search_result",
            "url": f"{_ADDRESS}{slug}/{number}",
            "title": title.format(value),
            "encrypted_content": _encrypted(f"{turn.id}/{call_id}/{number}"),
            "page_age": age,
        }
        for number, (title, age) in enumerate(_SEARCH_RESULTS, 1)
    ]


def within_domain(block: dict[str, Any], domain: str) -> dict[str, Any]:
    """Return the result of a web search with its pages in a domain."""
    pages = [
        page | {"url": f"https://{domain}/{page['url'].removeprefix(_ADDRESS)}"} for page in block["content"]
    ]
    return block | {"content": pages}


def _encrypted(seed: str) -> str:
    digest = hashlib.shake_128(seed.encode("utf-8", "surrogatepass")).digest(_ENCRYPTED_BYTES)
    return base64.b64encode(digest).decode()


def _fetch(value: str, turn: Turn, _call_id: str) -> dict[str, Any]:
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


def _code_output(result_type: str) -> Callable[[str, Turn, str], dict[str, Any]]:
    def render(_value: str, _turn: Turn, _call_id: str) -> dict[str, Any]:
        stdout = "This output was made up by llmsim; nothing was run.\n"
        return {"type": result_type, "stdout": stdout, "stderr": "", "return_code": 0, "content": []}

    return render


def _advise(_value: str, _turn: Turn, _call_id: str) -> dict[str, Any]:
    text = "This advice was made up by llmsim; no other model was asked."
    return {"type": "advisor_result", "text": text, "stop_reason": "end_turn"}


def _search_tools(_value: str, _turn: Turn, _call_id: str) -> dict[str, Any]:
    return {"type": "tool_search_tool_search_result", "tool_references": []}


_HOSTED_TOOLS = {
    "web_search": HostedTool(
        name="web_search",
        input_field="query",
        result_type="web_search_tool_result",
        render_result=_search,
        names_caller=True,
        usage_counter="web_search_requests",
    ),
    "web_fetch": HostedTool(
        name="web_fetch",
        input_field="url",
        result_type="web_fetch_tool_result",
        render_result=_fetch,
        names_caller=True,
        usage_counter="web_fetch_requests",
        takes_url=True,
    ),
    "code_execution": HostedTool(
        name="bash_code_execution",
        input_field="command",
        result_type="bash_code_execution_tool_result",
        render_result=_code_output("bash_code_execution_result"),
        runs_in_container=True,
    ),
    "advisor": HostedTool(
        name="advisor", input_field="", result_type="advisor_tool_result", render_result=_advise
    ),
    "tool_search_tool_bm25": HostedTool(
        name="tool_search_tool_bm25",
        input_field="query",
        result_type="tool_search_tool_result",
        render_result=_search_tools,
    ),
    "tool_search_tool_regex": HostedTool(
        name="tool_search_tool_regex",
        input_field="pattern",
        result_type="tool_search_tool_result",
        render_result=_search_tools,
    ),
}

_PYTHON = HostedTool(
    name="code_execution",
    input_field="code",
    result_type="code_execution_tool_result",
    render_result=_code_output("code_execution_result"),
    runs_in_container=True,
)


def find_hosted_tool(name: str, *, python: bool) -> HostedTool | None:
    """Return a hosted tool, or None if this API has no such tool.

    Args:
        name: The tool's name in the prompt.
        python: Whether code is run in Python; in a shell otherwise.
    """
    return _PYTHON if python and name == "code_execution" else _HOSTED_TOOLS.get(name)
