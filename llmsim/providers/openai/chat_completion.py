"""Chat completions: a turn rendered whole, and what its stream has in common with that.

Decisions:
* Reasoning is hidden: it is counted, and takes its time before the first visible token. So are hosted calls, which
  chat completions do not have.

Source of fields and order: openai SDK 3.54, types/chat/chat_completion.py.
"""

import functools
import zlib
from collections.abc import Mapping
from typing import Any

import orjson

from llmsim.domain import (
    Choice,
    FinishReason,
    ReasoningSegment,
    RefusalSegment,
    TextSegment,
    ToolCallSegment,
    ToolKind,
    Turn,
    Usage,
)
from llmsim.providers.openai.chat import ChatOptions
from llmsim.providers.openai_family.logprobs import render_logprobs
from llmsim.wire.codec import encode


def render_response(turn: Turn, options: ChatOptions) -> bytes:
    """Render the whole completion."""
    return encode(build_completion(turn, options))


def build_completion(turn: Turn, options: ChatOptions) -> dict[str, Any]:
    """Build the whole completion, as builtins."""
    return {
        "id": f"chatcmpl-{turn.id}",
        "object": "chat.completion",
        "created": turn.created,
        "model": turn.model,
        "choices": [_build_choice(choice, index, options) for index, choice in enumerate(turn.choices)],
        "usage": build_usage(turn.usage),
        "service_tier": options.service_tier,
        "system_fingerprint": fingerprint(turn.model),
    }


def _build_choice(choice: Choice, index: int, options: ChatOptions) -> dict[str, Any]:
    visible = visible_segments(choice)
    return {
        "index": index,
        "message": _build_message(visible, options),
        "logprobs": _build_logprobs(visible),
        "finish_reason": finish_reason(choice, options),
    }


def build_usage(usage: Usage) -> dict[str, Any]:
    """Build the usage, as builtins."""
    return {
        "prompt_tokens": usage.prompt,
        "completion_tokens": usage.completion,
        "total_tokens": usage.total,
        "prompt_tokens_details": {"cached_tokens": usage.cached, "audio_tokens": 0},
        "completion_tokens_details": {
            "reasoning_tokens": usage.reasoning,
            "audio_tokens": 0,
            "accepted_prediction_tokens": 0,
            "rejected_prediction_tokens": 0,
        },
    }


@functools.lru_cache(maxsize=1024)
def fingerprint(model: str) -> str:
    """Return the `system_fingerprint` of a model."""
    return f"fp_{zlib.crc32(model.encode()):010x}"


Message = TextSegment | RefusalSegment
"""The text of a message, or its refusal."""

VisibleSegments = list[tuple[Message | ToolCallSegment, int]]
"""The texts, refusals and client calls of a choice, each with the number of tokens that exist before it."""


def visible_segments(choice: Choice) -> VisibleSegments:
    """List the segments that chat completions show."""
    visible: VisibleSegments = []
    start = 0
    for segment in choice.segments:
        hosted = isinstance(segment, ToolCallSegment) and segment.call.kind is ToolKind.HOSTED
        if not hosted and not isinstance(segment, ReasoningSegment):
            visible.append((segment, start))
        start += segment.tokens
    return visible


def finish_reason(choice: Choice, options: ChatOptions) -> str:
    """Return the API's name of a finish reason."""
    if options.uses_functions and choice.finish is FinishReason.TOOL_CALLS:
        return "function_call"
    return choice.finish.value


def _build_message(visible: VisibleSegments, options: ChatOptions) -> dict[str, Any]:
    content: str | None = None
    refusal: str | None = None
    calls = []
    for segment, _ in visible:
        match segment:
            case TextSegment():
                content = (content or "") + segment.text.text
            case ToolCallSegment():
                calls.append(segment)
            case RefusalSegment():
                refusal = (refusal or "") + segment.text.text
    message: dict[str, Any] = {
        "role": "assistant",
        "content": content,
        "refusal": refusal,
        "annotations": [],
    }
    if calls and options.uses_functions:
        message["function_call"] = _build_function(calls[0], "arguments")
    elif calls:
        message["tool_calls"] = [_build_call(segment) for segment in calls]
    return message


INPUT_MEMBERS = {ToolKind.FUNCTION: "arguments", ToolKind.CUSTOM: "input"}
"""The name of the input of each kind of tool."""


def _build_function(segment: ToolCallSegment, input_member: str) -> dict[str, str]:
    return {"name": segment.call.name, input_member: segment.arguments.text}


def _build_call(segment: ToolCallSegment) -> dict[str, Any]:
    call = segment.call
    kind = call.kind.value
    function = _build_function(segment, INPUT_MEMBERS[call.kind])
    return {"id": call.public_id("call_"), "type": kind, kind: function}


def _build_logprobs(visible: VisibleSegments) -> orjson.Fragment | None:
    """Build the logprobs of a choice; None if they were not requested."""
    logprobs = {
        type(segment): segment.logprobs
        for segment, _ in visible
        if not isinstance(segment, ToolCallSegment) and segment.logprobs
    }
    if not logprobs:
        return None
    rendered = {
        kind: render_logprobs([token for piece in pieces for token in piece])
        for kind, pieces in logprobs.items()
    }
    return orjson.Fragment(render_choice_logprobs(rendered))


def render_choice_logprobs(logprobs: Mapping[type[Message], bytes]) -> bytes:
    """Render the `logprobs` member, from those of each kind of text."""
    members = (
        b'"%b":%b' % (member.encode(), b"[%b]" % logprobs[kind] if kind in logprobs else b"null")
        for kind, member in TEXT_MEMBERS.items()
    )
    return b"{%b}" % b",".join(members)


TEXT_MEMBERS: Mapping[type[Message], str] = {TextSegment: "content", RefusalSegment: "refusal"}
"""The name of each kind of text in a delta, and in the logprobs."""
