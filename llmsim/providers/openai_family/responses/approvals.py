"""The client's approvals of calls on MCP servers, as the items of a conversation hold them.

Decisions:
* An approved call is run once: by the first turn whose conversation has no `mcp_call` for it. Its arguments are those that
  were approved, whatever llmsim would have sent.
* A request that was denied is answered by a text.
* Behind a compaction an approval needs no request: that may be what was compacted.
* A server is not listed again in a conversation that has its list.

Source: openai SDK 3.57, response_input_item_param.py, `McpApprovalResponse`; the refusal of requests without a decision: reports of
Azure's and OpenAI's users, "The following MCP approval requests do not have an approval: mcpr_...". That of an unknown request is
modelled on the API's words for outputs without a call.
"""

from collections.abc import Sequence
from typing import Any

from msgspec import Struct, structs

from llmsim.domain import Tool, ToolKind
from llmsim.errors import ApiRuleError
from llmsim.providers.contract import ParsedRequest
from llmsim.providers.openai_family.field_messages import quote
from llmsim.providers.openai_family.responses.configuration import with_configuration
from llmsim.providers.openai_family.responses.conversation import Head
from llmsim.providers.openai_family.responses.mcp_servers import KIND
from llmsim.providers.openai_family.responses.options import McpCall, ResponseOptions
from llmsim.providers.openai_family.responses.tool_loading import with_loaded
from llmsim.providers.openai_family.responses.tools import with_brought_tools
from llmsim.wire.codec import decoder


class _Item(Struct):
    """An item of an MCP server, as far as approvals are concerned."""

    id: str | None = None
    server_label: Any = None
    name: Any = None
    arguments: Any = None
    approval_request_id: Any = None
    approve: Any = None


_decode = decoder(_Item)

_LIST, _CALL = "mcp_list_tools", "mcp_call"
_REQUEST, _RESPONSE = "mcp_approval_request", "mcp_approval_response"
_PROVIDERS = (ToolKind.HOSTED, ToolKind.ON_APPROVAL)
_KINDS = frozenset({_LIST, _CALL, _REQUEST, _RESPONSE})


def with_approvals(
    request: ParsedRequest[ResponseOptions], items: Sequence[bytes], heads: Sequence[Head]
) -> ParsedRequest[ResponseOptions]:
    """Return a request with the calls that are due, and without the lists and loaded tools that its conversation has.

    Args:
        request: The request.
        items: All items of its conversation, the oldest first.
        heads: Their heads.

    Raises:
        ApiRuleError: An approval has no request, or a request no decision.
    """
    request = with_configuration(with_brought_tools(request, items, heads), items, heads)
    options: ResponseOptions = request.options
    if options.tools.deferred or options.tools.program_tools:
        options = structs.replace(options, tools=with_loaded(options.tools, items, heads))
        request = structs.replace(request, options=options)
    by_kind: dict[str, list[_Item]] = {}
    for item, head in zip(items, heads, strict=True):
        kind = head.kind
        if kind in _KINDS:
            by_kind.setdefault(kind, []).append(_decode(item))
    if not by_kind:
        return request
    is_compacted = any(head.kind == "compaction" for head in heads)
    due = _due_calls(by_kind, is_compacted=is_compacted)
    listed = [item.server_label for item in by_kind.get(_LIST, ())]
    unlisted = tuple([server for server in options.tools.unlisted if server.label not in listed])
    tools = structs.replace(options.tools, unlisted=unlisted)
    prompt = request.prompt
    if due:
        names = [KIND if index == 0 else f"{KIND}:{index}" for index in range(len(due))]
        calls = {
            name: McpCall(item.server_label, item.name, item.id)
            for name, item in zip(names, due, strict=True)
        }
        tools = structs.replace(tools, mcp_calls=calls)
        others = [
            tool
            for tool in prompt.tools
            if tool.kind not in _PROVIDERS or tool.name.partition(":")[0] != KIND
        ]
        approved = [
            Tool(name, ToolKind.HOSTED, arguments=item.arguments)
            for name, item in zip(names, due, strict=True)
        ]
        prompt = structs.replace(prompt, tools=(*others, *approved))
    return structs.replace(request, prompt=prompt, options=structs.replace(options, tools=tools))


def _due_calls(by_kind: dict[str, list[_Item]], *, is_compacted: bool) -> list[_Item]:
    """Return the requests that are approved, and whose calls have not been run."""
    requests = {item.id: item for item in by_kind.get(_REQUEST, ())}
    decisions = {item.approval_request_id: item.approve for item in by_kind.get(_RESPONSE, ())}
    for request_id in decisions:
        if request_id not in requests and not is_compacted:
            raise ApiRuleError(
                f"No MCP approval request found for approval response with approval_request_id {quote(request_id)}.",
                "input",
            )
    undecided = [str(request_id) for request_id in requests if request_id not in decisions]
    if undecided:
        shown = ", ".join(quote(request_id) for request_id in undecided)
        raise ApiRuleError(f"The following MCP approval requests do not have an approval: {shown}", "input")
    # Unread items: the members may have any type.
    run = [item.approval_request_id for item in by_kind.get(_CALL, ())]
    return [
        requests[request_id]
        for request_id, is_approved in decisions.items()
        if is_approved and request_id not in run and request_id in requests
    ]
