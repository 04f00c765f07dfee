"""`POST /v1/messages` and `/v1/messages/count_tokens`: parsing of requests.

Source: anthropic SDK 2.14, types/message_create_params.py, thinking_config_*_param.py, output_config_param.py.
"""

from typing import Any

import msgspec

from llmsim.domain import Prompt, ResponseFormat
from llmsim.errors import UnsupportedError
from llmsim.providers.anthropic.connected_request import ContainerParam
from llmsim.providers.anthropic.context_management import all_thinking, kept_thinking, parse_edits
from llmsim.providers.anthropic.conversation import parse_conversation
from llmsim.providers.anthropic.fallbacks import parse_fallback
from llmsim.providers.anthropic.field_paths import with_kinds
from llmsim.providers.anthropic.files import used_files
from llmsim.providers.anthropic.mcp import mcp_tools, new_listings
from llmsim.providers.anthropic.mcp_rules import lists_tools
from llmsim.providers.anthropic.messages_request import CountRequest, MessageRequest
from llmsim.providers.anthropic.model_rules import check_model_rules, reserves_limit, stops_at_window
from llmsim.providers.anthropic.passages import StoredSource, count_documents, parse_passages, stored_sources
from llmsim.providers.anthropic.programs import NO_PROGRAMS, Programs, parse_programs
from llmsim.providers.anthropic.tool_params import raw_json
from llmsim.providers.anthropic.tool_search import NO_SEARCH, ToolSearch, parse_tool_search
from llmsim.providers.anthropic.tools import (
    MOST_NAME,
    PYTHON,
    parse_tool_choice,
    parse_tools,
    parse_toolsets,
    search_domain,
)
from llmsim.providers.anthropic.validation import check_conversation, check_generation
from llmsim.providers.contract import EndpointContext, IncomingRequest, ParsedRequest, Reply, ResourceEndpoint
from llmsim.wire.codec import decoder, encode

_decode = decoder(MessageRequest, with_kinds)
_decode_count = decoder(CountRequest, with_kinds)


class MessageOptions(msgspec.Struct, frozen=True, gc=False):
    """Options of a request that its renderers need besides the turn.

    Attributes:
        thinks: Whether thinking was requested, and is rendered.
        manages_context: Whether the response has `context_management`.
        geo: The region that the usage reports.
        speed: The speed that the usage reports.
        tier: The service tier that the usage reports.
        python: Whether hosted code runs in Python; in a shell otherwise.
        toolsets: For each tool of a toolset, the toolset by the tool's name.
        citations: The passages of the request that its text cites.
        mcp: For each tool of an MCP server, the server by the tool's name.
        listings: The blocks that list the tools of servers.
        advisor: The model of the advisor.
        domain: The domain in which web searches find pages; empty for any.
        container: The container that the request asks for; None for none.
        is_formatted: Whether its text has a requested format, and cites nothing.
        search: The search for deferred tools that it offers.
        fetched_index: Number of documents before the first page that its text may cite; None if it may cite no page.
        fallback: The model that answers where the requested one declines; empty if none does.
        programs: The tools that code calls.
        stored: Stored documents that its text may cite once they are read.
    """

    thinks: bool = False
    manages_context: bool = False
    geo: str = "global"
    speed: str = "standard"
    tier: str = "standard"
    python: bool = False
    toolsets: dict[str, str] = {}
    citations: tuple[dict[str, Any], ...] = ()
    mcp: dict[str, str] = {}
    listings: tuple[dict[str, Any], ...] = ()
    advisor: str = ""
    domain: str = ""
    container: ContainerParam | None = None
    is_formatted: bool = False
    search: ToolSearch = NO_SEARCH
    fetched_index: int | None = None
    fallback: str = ""
    programs: Programs = NO_PROGRAMS
    stored: tuple[StoredSource, ...] = ()


def parse(request: IncomingRequest, *, checks_models: bool = True) -> ParsedRequest[MessageOptions]:
    """Parse a request.

    Args:
        request: The request.
        checks_models: Whether parameters that a model does not take are refused.

    Raises:
        InvalidJsonError: The body is not JSON.
        InvalidFieldError: A field is missing, wrong, out of range or contradicts another.
        UnsupportedError: The request asks for a thread.
        ApiRuleError: The model does not take a parameter.
    """
    body = _decode(request.body)
    if body.thread is not None:
        raise UnsupportedError(("thread",), "thread_unsupported_request")
    thinks = _thinks(body)
    check_conversation(body, request.headers)
    if checks_models:
        check_model_rules(body)
    check_generation(body, thinks=thinks)
    reserves = checks_models and reserves_limit(body)
    kept = kept_thinking(body)
    conversation = parse_conversation(body, request.body, kept.messages)
    tools = parse_tools(body)
    thinking = body.thinking if thinks else None
    fallback = parse_fallback(body) if body.fallbacks is not None else ""
    prompt = Prompt(
        model=body.model,
        messages=conversation.messages,
        images=conversation.images,
        limit=body.max_tokens,
        stop=tuple(body.stop_sequences or ()),
        effort=_effort(body),
        reasoning_limit=thinking.budget_tokens if thinking is not None else None,
        summary="full" if thinking is not None and thinking.display != "omitted" else None,
        cache_marks=conversation.marks,
        stream=bool(body.stream),
        tools=tools,
        has_tool_message=True,
        tool_choice=parse_tool_choice(body, tools),
        form=_parse_format(body),
        context_edits=parse_edits(body, kept, conversation.result_images),
        has_fallback=bool(fallback),
        reserves_limit=reserves and not stops_at_window(request.headers),
    )
    has_files = b'"file_id"' in request.body
    options = MessageOptions(
        thinks=thinks,
        manages_context=body.context_management is not None,
        geo=body.inference_geo or "global",
        speed=body.speed or "standard",
        citations=parse_passages(body.messages) if b'"citations"' in request.body else (),
        container=ContainerParam(id=body.container) if isinstance(body.container, str) else body.container,
        is_formatted=body.format() is not None,
        fallback=fallback,
        stored=stored_sources(body.messages) if has_files else (),
    )
    if body.tools or body.mcp_servers:
        options = msgspec.structs.replace(options, **_tool_options(body, request))
    files = used_files(body.messages) if has_files else ()
    return ParsedRequest(
        prompt, options, files=files, depends_on_headers=reserves or body.mcp_servers is not None
    )


def _tool_options(body: CountRequest, request: IncomingRequest) -> dict[str, Any]:
    """Return the options of a request that offers tools, as far as they are not the default."""
    options: dict[str, Any] = {"toolsets": parse_toolsets(body)}
    if body.mcp_servers:
        servers = mcp_tools(body)
        options["mcp"] = {tool.name: server for tool, server in servers}
        if lists_tools(request.headers):
            options["listings"] = new_listings(body, servers)
    if b'"defer_loading"' in request.body:
        options["search"] = parse_tool_search(body)
    if b'"allowed_callers"' in request.body:
        options["programs"] = parse_programs(body)
    for tool in body.tools or ():
        if tool.is_custom:
            continue
        match tool.name:
            case "web_search" if tool.allowed_domains:
                options["domain"] = search_domain(tool.allowed_domains)
            case "web_fetch" if tool.citations is not None and tool.citations.enabled:
                options["fetched_index"] = count_documents(body.messages)
            case "advisor":
                options["advisor"] = (tool.model or "")[:MOST_NAME]
            case "code_execution":
                options["python"] = tool.type == PYTHON
            case _:
                pass
    return options


def _parse_format(body: CountRequest) -> ResponseFormat | None:
    output_format = body.format()
    return None if output_format is None else ResponseFormat(raw_json(output_format[0].schema))


def _thinks(body: CountRequest) -> bool:
    return body.thinking is not None and body.thinking.type in ("enabled", "adaptive")


def _effort(body: CountRequest) -> str:
    """Return how much the model reasons: the requested effort, else `medium` with a budget and `high` without."""
    if body.thinking is None or not _thinks(body):
        return "none"
    default = "medium" if body.thinking.type == "enabled" else "high"
    return (body.output_config and body.output_config.effort) or default


async def count_tokens(context: EndpointContext, request: IncomingRequest) -> Reply:
    """Count the tokens of a prompt: with what its edits clear, and without."""
    prompt, original = await context.compute(request, _parse_count, request.body)
    count: dict[str, object] = {"input_tokens": await context.count(request, prompt)}
    if original is not None:
        count["context_management"] = {"original_input_tokens": await context.count(request, original)}
    return Reply(200, encode(count))


def _parse_count(raw: bytes) -> tuple[Prompt, Prompt | None]:
    """Return the prompt, and the prompt without its edits if it may have any."""
    body = _decode_count(raw)
    check_conversation(body)
    kept = kept_thinking(body)
    conversation = parse_conversation(body, raw, kept.messages)
    tools = parse_tools(body)
    prompt = Prompt(
        model=body.model,
        messages=conversation.messages,
        images=conversation.images,
        tools=tools,
        has_tool_message=True,
        tool_choice=parse_tool_choice(body, tools),
        form=_parse_format(body),
        context_edits=parse_edits(body, kept, conversation.result_images),
    )
    if body.context_management is None:
        return prompt, None
    messages = prompt.messages
    if everything := all_thinking(body).messages:
        messages = parse_conversation(body, raw, everything).messages
    return prompt, msgspec.structs.replace(prompt, messages=messages, context_edits=())


COUNT_TOKENS = ResourceEndpoint(
    method="POST", label="count_tokens", path="/v1/messages/count_tokens", run=count_tokens, is_public=True
)
