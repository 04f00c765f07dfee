"""Requests to create, count or compact: parsed to a prompt, and options for the renderers.

Decisions:
* All three have one type of body; they differ only in what may be omitted.
* What the API refuses is refused here; what a model would refuse, where prompts are planned.
"""

from collections.abc import Sequence
from typing import Any

from msgspec import Struct

from llmsim.domain import Message, Prompt
from llmsim.errors import InvalidFieldError, InvalidJsonError
from llmsim.providers.contract import ParsedRequest
from llmsim.providers.media import Media
from llmsim.providers.openai_family.model_rules import has_phase
from llmsim.providers.openai_family.request_fields import parse_cache
from llmsim.providers.openai_family.responses.approvals import with_approvals
from llmsim.providers.openai_family.responses.configuration import (
    check_json_word,
    check_updates,
    parse_format,
)
from llmsim.providers.openai_family.responses.conversation import Head, check_items, is_triggered, read_heads
from llmsim.providers.openai_family.responses.dialect import Dialect
from llmsim.providers.openai_family.responses.history import check_own_items, parse_messages
from llmsim.providers.openai_family.responses.hosted_tool_defaults import with_defaults
from llmsim.providers.openai_family.responses.model_rules import check_model_rules
from llmsim.providers.openai_family.responses.moderation import moderate_input
from llmsim.providers.openai_family.responses.options import ResponseOptions
from llmsim.providers.openai_family.responses.request import (
    ClientEvent,
    Conversation,
    Generate,
    Request,
    render_echo,
)
from llmsim.providers.openai_family.responses.tool_choice import chosen_mcp_tools, parse_tool_choice
from llmsim.providers.openai_family.responses.tool_types import check_brought_types, check_tool_types
from llmsim.providers.openai_family.responses.tools import (
    ParsedTool,
    build_tool_options,
    offered_tools,
    parse_tools,
)
from llmsim.providers.storage import FileUse
from llmsim.wire.codec import decoder, encode

_decode = decoder(Request)
_decode_event = decoder(ClientEvent)
_decode_generate = decoder(Generate)


def parse(body: bytes, dialect: Dialect) -> ParsedRequest[ResponseOptions]:
    """Parse a request to create a response.

    Raises:
        InvalidJsonError: It is not JSON.
        InvalidFieldError: A field is missing, wrong, out of range or contradicts another.
        ApiRuleError: The model does not take a parameter, or the conversation is inconsistent.
    """
    request = _decode(body)
    if request.stream_options is not None and not request.stream:
        raise InvalidFieldError(
            ("stream_options",),
            "conflict",
            "The 'stream_options' parameter is only allowed when 'stream' is enabled.",
        )
    return _parse_create(request, body, dialect)


def parse_event(message: bytes, dialect: Dialect) -> ParsedRequest[ResponseOptions]:
    """Parse a WebSocket message: `response.create`, with its request flat or in `response`; it is always streamed.

    Raises:
        InvalidJsonError: It is not JSON.
        InvalidFieldError: It has another type, or a field is missing, wrong, out of range or contradicts another.
    """
    event = _decode_event(message)
    nested = bytes(event.response)
    body = message if nested in (b"", b"null") else nested
    request = _decode(body)
    # Source: openai SDK 3.54, responses_client_event_param.py: stream is implicit, background is not supported.
    if request.background:
        raise InvalidFieldError(
            ("background",), "conflict", "The 'background' parameter is not supported over WebSocket."
        )
    request.stream = True
    parsed = _parse_create(request, body, dialect)
    return ParsedRequest(
        parsed.prompt, parsed.options, is_warm_up=_decode_generate(body).generate is False, files=parsed.files
    )


class _Continued(Struct):
    previous_response_id: Any = None
    response: Any = None


_decode_continued = decoder(_Continued)


def continued_id(message: bytes) -> str | None:
    """Return the id of the response that a WebSocket message means to continue; None if it names none."""
    try:
        event = _decode_continued(message)
    except (InvalidJsonError, InvalidFieldError):
        return None
    nested = event.response.get("previous_response_id") if isinstance(event.response, dict) else None
    found = nested if isinstance(nested, str) else event.previous_response_id
    return found if isinstance(found, str) else None


def _parse_create(request: Request, body: bytes, dialect: Dialect) -> ParsedRequest[ResponseOptions]:
    if request.model is None:
        raise InvalidFieldError(("model",), "missing", None)
    if (
        request.input is None
        and request.previous_response_id is None
        and request.conversation is None
        and request.prompt is None
    ):
        raise InvalidFieldError(("input",), "missing", None)
    if request.background and request.store is False:
        raise InvalidFieldError(
            ("background",), "conflict", "The 'background' parameter requires 'store' to be true."
        )
    return _parse_request(request, body, dialect)


def parse_count(body: bytes, dialect: Dialect) -> ParsedRequest[ResponseOptions]:
    """Parse a request to count input tokens: every field may be omitted; the id of an omitted model is empty.

    Raises:
        InvalidJsonError: It is not JSON.
        InvalidFieldError: A field is wrong, out of range or contradicts another.
    """
    return _parse_request(_decode(body), body, dialect)


def parse_compact(body: bytes, dialect: Dialect) -> ParsedRequest[ResponseOptions]:
    """Parse a request to compact a conversation.

    Raises:
        InvalidJsonError: It is not JSON.
        InvalidFieldError: A field is missing, wrong, out of range or contradicts another.
        ApiRuleError: The model does not take a parameter, or the conversation is inconsistent.
    """
    request = _decode(body)
    if request.model is None:
        raise InvalidFieldError(("model",), "missing", None)
    if request.input is None and request.previous_response_id is None:
        raise InvalidFieldError(("input",), "missing", None)
    return _parse_request(request, body, dialect)


def _parse_request(request: Request, body: bytes, dialect: Dialect) -> ParsedRequest[ResponseOptions]:
    if request.previous_response_id is not None and request.conversation is not None:
        raise InvalidFieldError(
            ("previous_response_id",),
            "conflict",
            "The 'previous_response_id' and 'conversation' parameters cannot be used together.",
        )
    if dialect.checks_models:
        check_model_rules(request)
    if isinstance(request.input, str):
        items: tuple[bytes, ...] = (b'{"role":"user","content":%b}' % encode(request.input),)
    else:
        items = tuple(bytes(item) for item in request.input or ())
    media = Media(message=0 if request.instructions is None else 1)
    messages = parse_messages(items, media)
    is_whole = request.previous_response_id is None and request.conversation is None
    references: tuple[str, ...] = ()
    heads: Sequence[Head] = ()
    if not isinstance(request.input, str):
        heads = read_heads(items)
        check_items(heads, has_prefixes=dialect.has_id_prefixes)
        check_updates(items, heads, request.model or "", checks_models=dialect.checks_models)
        references = check_own_items(heads, is_whole=is_whole)
    if is_whole and request.text is not None and dialect.refuses_unknown_tools:
        check_json_word(request.text.format, messages)
    if request.instructions is not None:
        messages = (Message("developer", (request.instructions,)), *messages)
    tools = parse_tools(request.tools, chosen_mcp_tools(request.tool_choice)) if request.tools else ()
    echoes = [tool.echo for tool in tools]
    if dialect.refuses_unknown_tools:
        echoes = [with_defaults(echo) for echo in echoes]
        check_tool_types(request.tools or ())
        check_brought_types(items, heads)
    tool_choice, choice_echo = parse_tool_choice(request, tools)
    reasoning = request.reasoning
    summary = None if reasoning is None else reasoning.summary or reasoning.generate_summary
    streaming = request.stream_options
    prompt = Prompt(
        model=request.model or "",
        messages=messages,
        images=tuple(media.images),
        attachments=tuple(media.attachments),
        limit=request.max_output_tokens,
        effort=None if reasoning is None else reasoning.effort,
        summary=summary,
        cache=parse_cache(request, body, media, continues=request.previous_response_id is not None),
        stream=bool(request.stream),
        truncates=request.truncation == "auto",
        tools=offered_tools(request, tools),
        tool_choice=tool_choice,
        form=None if request.text is None else parse_format(request.text.format, ("text", "format")),
        logprobs=_logprobs(request),
    )
    options = ResponseOptions(
        echo=render_echo(request, tools=echoes, tool_choice=choice_echo),
        input_items=items,
        has_instructions=request.instructions is not None,
        references=references,
        is_whole=is_whole,
        compact_threshold=0 if is_triggered(heads) else _compact_threshold(request),
        has_phase=dialect.has_phases and has_phase(request.model or ""),
        conversation=_conversation_id(request),
        own_items=len(items),
        previous_response_id=request.previous_response_id,
        summary=summary,
        encrypts_reasoning=dialect.encrypts_reasoning
        or "reasoning.encrypted_content" in (request.include or ()),
        store=request.store is not False,
        background=request.background is True,
        obfuscation=streaming is None or streaming.include_obfuscation is not False,
        service_tier=request.service_tier or "auto",
        metadata=request.metadata or {},
        moderated=_moderate(request, messages, media) if dialect.moderates else None,
        tools=build_tool_options(request, tools),
    )
    parsed = ParsedRequest(prompt, options, files=(*media.files, *_used_stores(tools, options)))
    return with_approvals(parsed, items, heads) if is_whole and heads and not references else parsed


def _moderate(request: Request, messages: Sequence[Message], media: Media) -> tuple[bytes, str] | None:
    if request.moderation is None:
        return None
    return moderate_input(request.moderation.model, messages, has_picture=bool(media.images))


def _used_stores(tools: Sequence[ParsedTool], options: ResponseOptions) -> tuple[FileUse, ...]:
    """Return the vector stores that a request's file search reads, each with its place."""
    if not options.tools.vector_stores:
        return ()
    kinds = [tool.kind for tool in tools]
    path = ("tools", kinds.index("file_search"), "vector_store_ids")
    return tuple(FileUse((*path, index), name) for index, name in enumerate(options.tools.vector_stores))


def _conversation_id(request: Request) -> str | None:
    conversation = request.conversation
    return conversation.id if isinstance(conversation, Conversation) else conversation


def _compact_threshold(request: Request) -> int | None:
    """Return the tokens from which on the conversation is compacted; None for never."""
    entries = [entry.compact_threshold for entry in request.context_management or ()]
    return min((threshold for threshold in entries if threshold is not None), default=None)


def _logprobs(request: Request) -> int | None:
    """Return the number of alternatives; None for no logprobs, also if only `top_logprobs` is set, as in the API."""
    if "message.output_text.logprobs" not in (request.include or ()):
        return None
    return request.top_logprobs or 0
