"""The types of tools that the Responses API has; any other is refused, and one that breaks the rules of its type.

Decisions:
* The refusal lists the types that the API lists: it takes more than these.

Source: openai SDK 3.57, types/responses/tool_param.py and web_search_tool_param.py; the list: recorded refusals of `web_search_20250305` and
`web_fetch`, August 2026.
"""

from collections.abc import Iterable, Sequence

from msgspec import Raw, Struct

from llmsim.errors import InvalidFieldError
from llmsim.providers.openai_family.responses.client_search import brought_tools
from llmsim.providers.openai_family.responses.conversation import Head
from llmsim.providers.openai_family.responses.hosted_tool_rules import check_hosted_tool
from llmsim.providers.openai_family.responses.input_items import Path
from llmsim.wire.codec import decoder

_LISTED = (
    "code_interpreter",
    "programmatic_tool_calling",
    "function",
    "namespace",
    "tool_search",
    "file_search",
    "web_search_preview",
    "web_search_preview_2025_03_11",
    "image_generation",
    "mcp",
    "custom",
    "computer",
    "computer_use_preview",
    "shell",
    "apply_patch",
)

_TYPES = frozenset((*_LISTED, "web_search", "web_search_2025_08_26", "local_shell"))


class _Typed(Struct):
    type: str = ""


_decode = decoder(_Typed)


def check_tool_types(tools: Iterable[Raw], path: Path = ("tools",)) -> None:
    """Refuse tools of unknown types, and hosted tools that lack what their type needs.

    Args:
        tools: The tools, each parsed already.
        path: Their place in the request.

    Raises:
        InvalidFieldError: A tool has a type that the API does not have, or a member is missing or wrong.
        ApiRuleError: A server has no address, or several.
    """
    for index, tool in enumerate(tools):
        name = _decode(bytes(tool)).type
        if name not in _TYPES:
            raise InvalidFieldError((*path, index, "type"), "choice", _LISTED, name)
        check_hosted_tool(name, bytes(tool), (*path, index))


def check_brought_types(items: Sequence[bytes], heads: Sequence[Head]) -> None:
    """Refuse tools of unknown types in items that bring tools.

    Args:
        items: The items of a request.
        heads: Their heads; empty for an input that is a text.

    Raises:
        InvalidFieldError: A tool has a type that the API does not have, or a member is missing or wrong.
        ApiRuleError: A server has no address, or several.
    """
    for index, (item, head) in enumerate(zip(items, heads, strict=False)):  # A text has no heads.
        check_tool_types(brought_tools(item, head), ("input", index, "tools"))
