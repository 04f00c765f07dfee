"""Chat completions: a turn rendered whole, and what its stream has in common with that.

Decisions:
* Reasoning is hidden: it is counted, and takes its time before the first visible token. So are hosted calls, which
  chat completions do not have. Only a scenario has reasoning with a text: it is shown as `reasoning_content`, as by other servers
  of this API. Source: DeepSeek API docs, "Reasoning Model"; vLLM docs, "Reasoning Outputs".

Source of fields and order: openai SDK 3.54, types/chat/chat_completion.py.
"""

import zlib
from collections.abc import Mapping
from typing import Any

from llmsim.budgets import remembered
from llmsim.domain import (
    Choice,
    FinishReason,
    MediaSegment,
    ReasoningSegment,
    RefusalSegment,
    TextSegment,
    TokenizedText,
    ToolCallSegment,
    ToolKind,
    Turn,
)
from llmsim.providers.openai.chat import ChatOptions
from llmsim.providers.openai.chat_audio import render_audio, sound_tokens
from llmsim.providers.openai.chat_moderation import render_moderation
from llmsim.providers.openai_family.citations import url_citation
from llmsim.providers.openai_family.logprobs import render_logprobs
from llmsim.wire.codec import TokenizedTextMemo, encode, escaped_text


def render_response(turn: Turn, options: ChatOptions) -> bytes:
    """Render the whole completion.

    PERF: 2.3 us, around texts that were escaped once; 5 us by a dictionary.
    """
    choices = turn.choices
    if len(choices) == 1:
        rendered = _render_choice(turn, 0, options)
    else:
        rendered = b",".join([_render_choice(turn, index, options) for index in range(len(choices))])
    model, end = _render_frame(turn.model, options.service_tier)
    if options.moderated is not None:
        given, moderator = options.moderated
        end = b"%b,%b}" % (end[:-1], render_moderation(turn, moderator, given))
    return b'{"id":"chatcmpl-%b","object":"chat.completion","created":%d,%b[%b],"usage":%b%b' % (
        turn.id.encode(),
        turn.created,
        model,
        rendered,
        render_usage(turn, options),
        end,
    )


@remembered(maxsize=256, max_chars=200)
def _render_frame(model: str, service_tier: str) -> tuple[bytes, bytes]:
    """Render what the completions of a model have in common, before the choices and after the usage. PERF: 0.4 us."""
    end = b',"service_tier":"%b","system_fingerprint":"%b"}' % (service_tier.encode(), fingerprint(model))
    return b'"model":%b,"choices":' % encode(model), end


def _render_plain_message(text: TokenizedText) -> bytes:
    return b'{"role":"assistant","content":"%b","refusal":null,"annotations":[]},"logprobs":null' % (
        escaped_text(text)
    )


_plain_message = TokenizedTextMemo(_render_plain_message)
"""A message of one text, with what comes before the finish reason."""


def _render_choice(turn: Turn, index: int, options: ChatOptions) -> bytes:
    choice = turn.choices[index]
    segments = choice.segments
    if (
        len(segments) == 1
        and type(segments[0]) is TextSegment
        and not (segments[0].logprobs or options.searches)
    ):
        return b'{"index":%d,"message":%b,"finish_reason":"%b"}' % (
            index,
            _plain_message(segments[0].text),
            _FINISH_REASONS[choice.finish],
        )
    visible = visible_segments(choice)
    audio = render_audio(turn, index, options.audio_format) if options.audio_format else b""
    return b'{"index":%d,"message":%b,"logprobs":%b,"finish_reason":"%b"}' % (
        index,
        _render_message(visible, options, audio),
        _render_logprobs(visible),
        finish_reason(choice, options).encode(),
    )


def render_usage(turn: Turn, options: ChatOptions) -> bytes:
    """Render the usage."""
    usage = turn.usage
    sound = sum(map(sound_tokens, turn.choices)) if options.audio_format else 0
    return (
        b'{"prompt_tokens":%d,"completion_tokens":%d,"total_tokens":%d,'
        b'"prompt_tokens_details":{"cached_tokens":%d,"audio_tokens":0},'
        b'"completion_tokens_details":{"reasoning_tokens":%d,"audio_tokens":%d,'
        b'"accepted_prediction_tokens":%d,"rejected_prediction_tokens":%d}}'
    ) % (
        usage.prompt,
        usage.completion,
        usage.prompt + usage.completion,
        usage.cached,
        usage.reasoning,
        sound,
        usage.accepted_prediction,
        usage.rejected_prediction,
    )


@remembered(maxsize=1024, max_chars=200)
def fingerprint(model: str) -> bytes:
    """Return the `system_fingerprint` of a model."""
    return b"fp_%010x" % zlib.crc32(model.encode())


Message = TextSegment | RefusalSegment
"""The text of a message, or its refusal."""

VisibleSegments = list[tuple[Message | ReasoningSegment | ToolCallSegment, int]]
"""The texts, refusals, shown reasoning and client calls of a choice, each with the number of tokens that exist before it."""


def visible_segments(choice: Choice) -> VisibleSegments:
    """List the segments that chat completions show."""
    segments = choice.segments
    if len(segments) == 1 and isinstance(segments[0], TextSegment):
        return [(segments[0], 0)]
    visible: VisibleSegments = []
    start = 0
    for segment in segments:
        hosted = isinstance(segment, ToolCallSegment) and segment.call.kind is ToolKind.HOSTED
        hidden = hosted or (isinstance(segment, ReasoningSegment) and segment.text is None)
        if not (hidden or isinstance(segment, MediaSegment)):
            visible.append((segment, start))
        start += segment.tokens
    return visible


_FINISH_WORDS = {reason: reason.value for reason in FinishReason} | {
    FinishReason.WINDOW: FinishReason.LENGTH.value,
    FinishReason.PAUSE: FinishReason.STOP.value,
}
_FINISH_REASONS = {reason: word.encode() for reason, word in _FINISH_WORDS.items()}


def finish_reason(choice: Choice, options: ChatOptions) -> str:
    """Return the API's name of a finish reason."""
    if options.uses_functions and choice.finish is FinishReason.TOOL_CALLS:
        return "function_call"
    return _FINISH_WORDS[choice.finish]


def _render_message(visible: VisibleSegments, options: ChatOptions, audio: bytes) -> bytes:
    content: bytes | None = None
    refusal: bytes | None = None
    reasoning = b""
    calls = []
    for segment, _ in visible:
        match segment:
            case TextSegment():
                content = (content or b"") + escaped_text(segment.text)
            case ToolCallSegment():
                calls.append(segment)
            case RefusalSegment():
                refusal = (refusal or b"") + escaped_text(segment.text)
            case ReasoningSegment(text=TokenizedText() as thought):
                reasoning = b',"reasoning_content":"%b"' % escaped_text(thought)
    called = b""
    if calls and options.uses_functions:
        called = b',"function_call":%b' % encode(_build_function(calls[0], "arguments"))
    elif calls:
        called = b',"tool_calls":%b' % encode([_build_call(segment) for segment in calls])
    return b'{"role":"assistant","content":%b,"refusal":%b,"annotations":%b%b%b%b}' % (
        b"null" if content is None or audio else b'"%b"' % content,
        b"null" if refusal is None else b'"%b"' % refusal,
        render_citations(visible) if options.searches else b"[]",
        audio,
        reasoning,
        called,
    )


def render_citations(visible: VisibleSegments) -> bytes:
    """Render the annotations of a text that cites a page of the web: one, for its last sentence; none without a text.

    The page is made up, of a domain that is reserved for examples, and the same for the same text.
    """
    text = "".join([segment.text.text for segment, _ in visible if isinstance(segment, TextSegment)])
    if not text.strip():
        return b"[]"
    number = zlib.crc32(text.encode("utf-8", "surrogatepass"))
    cited = url_citation(text, f"https://www.example.com/{number:08x}", f"Page {number % 1000}")
    return encode([{"type": "url_citation", "url_citation": cited}])


INPUT_MEMBERS = {ToolKind.FUNCTION: "arguments", ToolKind.CUSTOM: "input"}
"""The name of the input of each kind of tool."""


def _build_function(segment: ToolCallSegment, input_member: str) -> dict[str, str]:
    return {"name": segment.call.name, input_member: segment.arguments.text}


def _build_call(segment: ToolCallSegment) -> dict[str, Any]:
    call = segment.call
    kind = call.kind.value
    function = _build_function(segment, INPUT_MEMBERS[call.kind])
    return {"id": call.public_id("call_"), "type": kind, kind: function}


def _render_logprobs(visible: VisibleSegments) -> bytes:
    """Render the logprobs of a choice; null if they were not requested."""
    logprobs = {
        type(segment): segment.logprobs
        for segment, _ in visible
        if isinstance(segment, TextSegment | RefusalSegment) and segment.logprobs
    }
    if not logprobs:
        return b"null"
    rendered = {
        kind: render_logprobs([token for piece in pieces for token in piece])
        for kind, pieces in logprobs.items()
    }
    return render_choice_logprobs(rendered)


def render_choice_logprobs(logprobs: Mapping[type[Message], bytes]) -> bytes:
    """Render the `logprobs` member, from those of each kind of text."""
    members = (
        b'"%b":%b' % (member.encode(), b"[%b]" % logprobs[kind] if kind in logprobs else b"null")
        for kind, member in TEXT_MEMBERS.items()
    )
    return b"{%b}" % b",".join(members)


DELTA_MEMBERS: Mapping[type[Message | ReasoningSegment], bytes] = {
    TextSegment: b"content",
    RefusalSegment: b"refusal",
    ReasoningSegment: b"reasoning_content",
}
"""The name of each kind of text in a delta."""

TEXT_MEMBERS: Mapping[type[Message], str] = {TextSegment: "content", RefusalSegment: "refusal"}
"""The name of each kind of text in the logprobs."""
