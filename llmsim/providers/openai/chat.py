"""Chat completion requests: parsed to a prompt, and options for the renderers.

Decisions:
* A conversation must be consistent, as in the API: each call is followed by its result, each result follows its call.
"""

from collections.abc import Sequence, Set
from typing import Any, assert_never

import msgspec

from llmsim.domain import Message, PriorToolCall, Prompt, ToolResult
from llmsim.errors import InvalidFieldError
from llmsim.providers.contract import IncomingRequest, ParsedRequest
from llmsim.providers.media import Media
from llmsim.providers.openai.chat_audio import parse_audio
from llmsim.providers.openai.chat_moderation import moderate_input
from llmsim.providers.openai.chat_request import (
    AnyMessage,
    AssistantMessage,
    AudioPart,
    ChatRequest,
    DeveloperMessage,
    FilePart,
    FunctionMessage,
    ImagePart,
    RefusalPart,
    SystemMessage,
    TextPart,
    ToolCallParam,
    ToolMessage,
    UserMessage,
)
from llmsim.providers.openai.chat_rules import check_model_rules, check_prediction, check_sound
from llmsim.providers.openai.chat_texts import parse_texts
from llmsim.providers.openai.chat_tools import parse_response_format, parse_tool_choice, parse_tools
from llmsim.providers.openai_family.image_urls import check_image_url
from llmsim.providers.openai_family.moderation import Moderation
from llmsim.providers.openai_family.request_fields import parse_cache
from llmsim.wire.codec import decoder

_FILE_TOKENS = 765
"""Tokens of a file: those of an image in full detail; its content is never opened."""

_AUDIO_BYTES_PER_TOKEN = 4_800
"""10 tokens a second of 24 kHz 16-bit mono. Source: OpenAI audio guide, tokens per second of input."""

_TIERS = {"flex": "flex", "scale": "scale", "priority": "priority", "fast": "priority"}
"""Requested tier to reported tier; all others are served as `default`. Source: SDK docstring of service_tier."""

_NO_CALLS: Set[str] = frozenset()

_decode = decoder(ChatRequest)


class ChatOptions(msgspec.Struct, frozen=True, gc=False):
    """Options for the renderers of chat completions.

    Attributes:
        include_usage: Whether the last chunk carries the usage.
        include_obfuscation: Whether chunks carry padding.
        service_tier: The tier that is reported.
        store: Whether the completion is stored.
        metadata: The client's own labels.
        searches: Whether the text cites a page of the web.
        audio_format: Format of the sound of its text; empty for no sound.
        moderated: Results of the moderation of what is asked, and its model; None for no moderation.
        uses_functions: Whether a call is rendered as a deprecated `function_call`, not in `tool_calls`.
    """

    include_usage: bool = False
    include_obfuscation: bool = True
    service_tier: str = "default"
    store: bool = False
    metadata: dict[str, str] = {}
    uses_functions: bool = False
    searches: bool = False
    audio_format: str = ""
    moderated: tuple[bytes, str] | None = None


_DEFAULT_OPTIONS = ChatOptions()


def parse(incoming: IncomingRequest, *, checks_models: bool = True) -> ParsedRequest[ChatOptions]:
    """Parse a request body.

    Args:
        incoming: The request.
        checks_models: Whether parameters that a model does not take are refused.

    Raises:
        InvalidJsonError: It is not JSON.
        InvalidFieldError: A field is missing, wrong, out of range or contradicts another.
        InvalidSchemaError: A schema is invalid.
        ApiRuleError: The model does not take a parameter, or the conversation is inconsistent.
    """
    texts = parse_texts(incoming.body, checks_models=checks_models)
    if texts is not None:
        return ParsedRequest(texts, _DEFAULT_OPTIONS, is_texts=True)
    request = _decode(incoming.body)
    if request.stream_options is not None and not request.stream:
        raise InvalidFieldError(
            ("stream_options",),
            "conflict",
            "The 'stream_options' parameter is only allowed when 'stream' is enabled.",
        )
    if request.max_tokens is not None and request.max_completion_tokens is not None:
        raise InvalidFieldError(
            ("max_tokens",),
            "conflict",
            "Setting 'max_tokens' and 'max_completion_tokens' at the same time is not supported.",
        )
    if request.top_logprobs is not None and not request.logprobs:
        raise InvalidFieldError(
            ("top_logprobs",),
            "conflict",
            "The 'top_logprobs' parameter is only allowed when 'logprobs' is enabled.",
        )
    audio_format = ""
    if request.modalities is not None:
        audio_format = parse_audio(request.modalities, request.audio, stream=bool(request.stream))
    if request.prediction is not None:
        check_prediction(request)
    if checks_models:
        check_model_rules(request)
    media = Media()
    messages = tuple([_to_message(message, index, media) for index, message in enumerate(request.messages)])
    _check_calls(request.messages)
    if checks_models and (audio_format or media.attachments):
        check_sound(request)
    has_tools = request.tools is not None or request.functions is not None
    tools = parse_tools(request) if has_tools else ()
    stop = (request.stop,) if isinstance(request.stop, str) else tuple(request.stop or ())
    prompt = Prompt(
        model=request.model,
        messages=messages,
        images=tuple(media.images),
        attachments=tuple(media.attachments),
        limit=request.max_completion_tokens if request.max_tokens is None else request.max_tokens,
        stop=stop,
        choices=request.n or 1,
        seed=request.seed,
        effort=request.reasoning_effort,
        cache=parse_cache(request, incoming.body, media),
        stream=bool(request.stream),
        tools=tools,
        tool_choice=parse_tool_choice(request, tools),
        form=None if request.response_format is None else parse_response_format(request, messages),
        logprobs=(request.top_logprobs or 0) if request.logprobs else None,
        speaks=bool(audio_format),
        prediction=None if request.prediction is None else request.prediction.text,
    )
    streaming = request.stream_options
    options = ChatOptions(
        include_usage=streaming is not None and streaming.include_usage is True,
        include_obfuscation=streaming is None or streaming.include_obfuscation is not False,
        service_tier=_TIERS.get(request.service_tier or "", "default"),
        store=bool(request.store),
        metadata=request.metadata or {},
        uses_functions=request.functions is not None,
        searches=request.web_search_options is not None,
        audio_format=audio_format,
        moderated=None if request.moderation is None else _moderate(request.moderation, messages, media),
    )
    return ParsedRequest(prompt, options, files=tuple(media.files))


def _moderate(wanted: Moderation, messages: Sequence[Message], media: Media) -> tuple[bytes, str]:
    return moderate_input(wanted, messages, has_picture=bool(media.images)), wanted.model


def _to_message(message: AnyMessage, index: int, media: Media) -> Message:
    """Build one message of the prompt; add what is not text to `media`."""
    # PERF: the most frequent kinds come first; each pattern that does not match takes 0.05 us.
    match message:
        case UserMessage():
            return _with_content("user", message.content, message.name, index, media)
        case AssistantMessage():
            return _from_assistant(message, index)
        case SystemMessage():
            return _with_content("system", message.content, message.name, index, media)
        case FunctionMessage():
            result = ToolResult(message.name, message.content or "")
            return Message("function", (), name=message.name, results=(result,))
        case ToolMessage(content=content):
            text = content if isinstance(content, str) else "".join(part.text for part in content)
            return Message("tool", (), results=(ToolResult(message.tool_call_id, text),))
        case DeveloperMessage():
            return _with_content("developer", message.content, message.name, index, media)
        case _:
            assert_never(message)


def _with_content(
    role: str, content: str | Sequence[Any], name: str | None, index: int, media: Media
) -> Message:
    if isinstance(content, str):
        return Message(role, (content,), name=name)
    texts: list[str] = []
    extra = 0
    media.message = index
    for position, part in enumerate(content):
        match part:
            case TextPart():
                texts.append(part.text)
            case ImagePart():
                image = part.image_url
                path = ("messages", index, "content", position)
                check_image_url(image.url, (*path, "image_url", "url"))
                media.add_image(path, image.url, image.detail, texts=len(texts))
            case AudioPart():
                media.add_file(part.input_audio.data, texts=len(texts))
                extra += -(-len(part.input_audio.data) * 3 // 4 // _AUDIO_BYTES_PER_TOKEN)
            case FilePart():
                media.use_file(part.file.file_id, ("messages", index, "content", position, "file"))
                media.add_file(part.file.file_data, part.file.file_id, texts=len(texts))
                extra += _FILE_TOKENS
    return Message(role, tuple(texts), name=name, extra_tokens=extra)


def _from_assistant(message: AssistantMessage, index: int) -> Message:
    content = message.content
    if (
        content is None
        and not message.tool_calls
        and message.function_call is None
        and message.refusal is None
        and message.audio is None
    ):
        raise InvalidFieldError(("messages", index, "content"), "type", "str | array")
    texts: list[str] = []
    notes: list[str] = []
    if isinstance(content, str):
        texts.append(content)
    else:
        for part in content or ():
            match part:
                case TextPart():
                    texts.append(part.text)
                case RefusalPart():
                    notes.append(part.refusal)
    if message.refusal is not None:
        notes.append(message.refusal)
    calls: list[PriorToolCall] = []
    if message.function_call is not None:
        function = message.function_call
        calls.append(PriorToolCall(function.name, function.name, function.arguments))
    for position, call in enumerate(message.tool_calls or ()):
        calls.append(_prior_call(call, ("messages", index, "tool_calls", position)))
    return Message("assistant", tuple(texts), notes=tuple(notes), name=message.name, calls=tuple(calls))


def _prior_call(call: ToolCallParam, path: tuple[str | int, ...]) -> PriorToolCall:
    if call.type == "function" and call.function is not None:
        return PriorToolCall(call.id, call.function.name, call.function.arguments)
    if call.type == "custom" and call.custom is not None:
        return PriorToolCall(call.id, call.custom.name, call.custom.input)
    raise InvalidFieldError((*path, call.type), "missing", None)


def _check_calls(messages: Sequence[AnyMessage]) -> None:
    """Check that every call has its result before the next message, and every result its call."""
    calls: Set[str] = _NO_CALLS
    unanswered: set[str] = set()
    for index, message in enumerate(messages):
        # PERF: most messages have and answer none; 0.8 us less for one.
        if isinstance(message, UserMessage) and not unanswered:
            calls = _NO_CALLS
            continue
        if isinstance(message, ToolMessage):
            if message.tool_call_id not in calls:
                raise _unexpected_result(message, index, calls)
            unanswered.discard(message.tool_call_id)
            continue
        if unanswered:
            raise _missing_results(unanswered)
        tool_calls = message.tool_calls if isinstance(message, AssistantMessage) else None
        calls = {call.id for call in tool_calls} if tool_calls else _NO_CALLS
        unanswered.update(calls)
    if unanswered:
        raise _missing_results(unanswered)


def _unexpected_result(message: ToolMessage, index: int, calls: Set[str]) -> InvalidFieldError:
    if not calls:
        return InvalidFieldError(
            ("messages", index, "role"),
            "conflict",
            "Invalid parameter: messages with role 'tool' must be a response to a preceeding message with 'tool_calls'.",
        )
    return InvalidFieldError(
        ("messages", index, "tool_call_id"),
        "conflict",
        f"Invalid parameter: 'tool_call_id' of '{message.tool_call_id[:100]}' not found in 'tool_calls' of previous "
        "message.",
    )


def _missing_results(unanswered: Set[str]) -> InvalidFieldError:
    ids = ", ".join(call_id[:100] for call_id in sorted(unanswered)[:20])
    return InvalidFieldError(
        ("messages",),
        "conflict",
        "An assistant message with 'tool_calls' must be followed by tool messages responding to each "
        f"'tool_call_id'. The following tool_call_ids did not have response messages: {ids}",
    )
