"""Rendering of a turn as a response of `generateContent`, whole or as a stream.

Decisions:
* Every event of a stream is a whole response with what is new, and with the usage up to there; the last of each candidate has its
  finish reason.
* Lines of server-sent events end in CR LF, as the API's do. Without `alt=sse` the events are the elements of one JSON array.
* A refusal blocks the prompt: there are no candidates. Of several candidates one that is refused is finished by `SAFETY`.

Source: google-genai SDK 3.6, types.GenerateContentResponse; stakpak/agent#493 and ankit373/hydra#855 (streams, usage, blocks).
"""

from operator import attrgetter
from typing import Any

import msgspec

from llmsim.domain import Choice, Fault, MediaSegment, TextSegment, Turn
from llmsim.providers.contract import Headers
from llmsim.providers.gemini.candidates import (
    SAFETY_RATINGS,
    CandidatePart,
    block_message,
    candidate_parts,
    finish_reason,
    is_blocked,
    logprobs_result,
    reasoning_tokens,
)
from llmsim.providers.gemini.errors import render_stream_error
from llmsim.providers.gemini.grounding import render_grounding
from llmsim.providers.gemini.request import GenerateOptions
from llmsim.wire.codec import encode
from llmsim.wire.frames import SSE_HEADERS, FrameBatch

_JSON_HEADERS: Headers = (("content-type", "application/json; charset=UTF-8"), *SSE_HEADERS[1:])

_SSE_HEADERS: Headers = (("content-type", "text/event-stream"), *SSE_HEADERS[1:])


def stream_headers(options: GenerateOptions) -> Headers:
    """Return the headers of a stream."""
    return _SSE_HEADERS if options.is_sse else _JSON_HEADERS


def _usage(turn: Turn, options: GenerateOptions, candidates: int, thoughts: int) -> dict[str, Any]:
    usage = turn.usage
    cached = min(max(usage.cached, options.cached_tokens), usage.prompt)
    found: dict[str, Any] = {"promptTokenCount": usage.prompt}
    if candidates:
        found["candidatesTokenCount"] = candidates
    found["totalTokenCount"] = usage.prompt + candidates + thoughts
    if cached:
        found["cachedContentTokenCount"] = cached
    found["promptTokensDetails"] = [{"modality": "TEXT", "tokenCount": usage.prompt}]
    if cached:
        found["cacheTokensDetails"] = [{"modality": "TEXT", "tokenCount": cached}]
    if thoughts:
        found["thoughtsTokenCount"] = thoughts
    if candidates and (made := _modality(turn, options)):
        found["candidatesTokensDetails"] = [{"modality": made, "tokenCount": candidates}]
    return found


def _modality(turn: Turn, options: GenerateOptions) -> str:
    """Return what a turn is, if it is no text; empty if it is."""
    segments = turn.choices[0].segments
    if not segments or not isinstance(segments[0], MediaSegment):
        return ""
    return "AUDIO" if options.picture is None else "IMAGE"


def _is_prompt_blocked(turn: Turn) -> bool:
    return all(is_blocked(choice) for choice in turn.choices)


def _response(
    turn: Turn, options: GenerateOptions, fields: dict[str, Any], usage: dict[str, Any]
) -> dict[str, Any]:
    if options.service_tier:
        usage = usage | {"serviceTier": options.service_tier}
    return fields | {"usageMetadata": usage, "modelVersion": turn.model, "responseId": turn.id}


def _blocked(turn: Turn, options: GenerateOptions) -> dict[str, Any]:
    feedback = {
        "blockReason": "SAFETY",
        "blockReasonMessage": block_message(turn),
        "safetyRatings": SAFETY_RATINGS,
    }
    usage = _usage(turn, options, turn.usage.completion - turn.usage.reasoning, turn.usage.reasoning)
    return _response(turn, options, {"promptFeedback": feedback}, usage)


def render_response(turn: Turn, options: GenerateOptions) -> bytes:
    """Render the body of the whole response."""
    if _is_prompt_blocked(turn):
        return encode(_blocked(turn, options))
    candidates = [_candidate(turn, index, choice, options) for index, choice in enumerate(turn.choices)]
    usage = _usage(turn, options, turn.usage.completion - turn.usage.reasoning, turn.usage.reasoning)
    return encode(_response(turn, options, {"candidates": candidates}, usage))


def _candidate(turn: Turn, index: int, choice: Choice, options: GenerateOptions) -> dict[str, Any]:
    parts: list[dict[str, Any]] = []
    for one in candidate_parts(turn, index, options, is_whole=True):
        part = msgspec.json.decode(one.json + b"}")
        is_same = parts and "text" in part and "text" in parts[-1]
        if is_same and part.get("thought") == parts[-1].get("thought"):
            parts[-1] |= part | {"text": parts[-1]["text"] + part["text"]}
        else:
            parts.append(part)
    content: dict[str, Any] = {"parts": parts, "role": "model"} if parts else {"role": "model"}
    candidate: dict[str, Any] = {
        "content": content,
        "finishReason": finish_reason(choice),
        "index": index,
    } | _safety(choice)
    if options.is_grounded:
        candidate |= render_grounding(choice)
    logprobs = [
        piece for segment in choice.segments if isinstance(segment, TextSegment) for piece in segment.logprobs
    ]
    if logprobs:
        result = logprobs_result(logprobs)
        candidate |= {
            "avgLogprobs": result["logProbabilitySum"] / max(1, len(result["chosenCandidates"])),
            "logprobsResult": result,
        }
    return candidate


def _safety(choice: Choice) -> dict[str, Any]:
    return {"safetyRatings": SAFETY_RATINGS} if finish_reason(choice) == "SAFETY" else {}


class _Event(msgspec.Struct, gc=False):
    """An event of a stream.

    Attributes:
        choice: Index of its candidate.
        required_tokens: Tokens of the choice that must exist before it is sent.
        candidate: The candidate as JSON.
    """

    choice: int
    required_tokens: int
    candidate: bytes


def _events(turn: Turn, options: GenerateOptions) -> list[_Event]:
    """Return the events of all candidates, in the order in which they are sent."""
    events: list[_Event] = []
    for index, choice in enumerate(turn.choices):
        parts = candidate_parts(turn, index, options)
        last = len(parts) - 1
        events += [
            _Event(
                index, part.required_tokens, _encoded(part, index, choice if place == last else None, options)
            )
            for place, part in enumerate(parts)
        ]
        if parts:
            events[-1].required_tokens = choice.tokens
        else:
            fields = {"content": {"role": "model"}, "finishReason": finish_reason(choice), "index": index}
            events.append(_Event(index, choice.tokens, encode(fields | _safety(choice))))
    if len(turn.choices) > 1:
        events.sort(key=attrgetter("required_tokens"))
    return events


def _encoded(part: CandidatePart, index: int, finished: Choice | None, options: GenerateOptions) -> bytes:
    """Return a candidate with one part as JSON; with its end if it is the last."""
    extra = b""
    if part.text is not None and part.text[0].logprobs:
        segment, place = part.text
        extra = b',"logprobsResult":%b' % encode(logprobs_result(segment.logprobs[place : place + 1]))
    if finished is not None:
        extra += b',"finishReason":"%b"' % finish_reason(finished).encode()
        if safety := _safety(finished):
            extra += b"," + encode(safety)[1:-1]
        if options.is_grounded and (grounding := render_grounding(finished)):
            extra += b"," + encode(grounding)[1:-1]
    return b'{"content":{"parts":[%b}],"role":"model"}%b,"index":%d}' % (part.json, extra, index)


def render_stream(turn: Turn, options: GenerateOptions) -> tuple[FrameBatch, ...]:
    """Render a streamed response."""
    if _is_prompt_blocked(turn):
        bodies, required, carried = [encode(_blocked(turn, options))], [turn.length], [turn.usage.completion]
    else:
        bodies, required, carried = _bodies(turn, options)
    if options.is_sse:
        return (FrameBatch(b"data: ", bodies, b"\r\n\r\n", required, carried),)
    bodies = [(b"," if place else b"[") + body for place, body in enumerate(bodies)]
    bodies[-1] += b"]"
    return (FrameBatch(b"", bodies, b"\r\n", required, carried),)


def _bodies(turn: Turn, options: GenerateOptions) -> tuple[list[bytes], list[int], list[int]]:
    """Return the bodies of all events, the tokens that each requires, and those that it carries."""
    thoughts = [reasoning_tokens(choice) for choice in turn.choices]
    sent = [0] * len(turn.choices)
    reached = [0] * len(turn.choices)
    rest = _response(turn, options, {}, {})
    tail = b"," + encode({"modelVersion": rest["modelVersion"], "responseId": rest["responseId"]})[1:]
    bodies, required, carried = [], [], []
    events = _events(turn, options)
    for event in events:
        index = event.choice
        carried.append(event.required_tokens - sent[index])
        sent[index] = event.required_tokens
        reached[index] = min(sent[index], thoughts[index])
        thought, total = sum(reached), sum(sent)
        if event is events[-1]:
            thought, total = turn.usage.reasoning, turn.usage.completion
        usage = _usage(turn, options, total - thought, thought) | rest["usageMetadata"]
        bodies.append(b'{"candidates":[%b],"usageMetadata":%b%b' % (event.candidate, encode(usage), tail))
        required.append(event.required_tokens)
    return bodies, required, carried


def render_stream_fault(turn: Turn, options: GenerateOptions, fault: Fault, frames: int) -> bytes:  # noqa: ARG001 - the shape of `ChannelFormat.render_stream_fault`
    """Render the event with which a failing stream ends."""
    error = render_stream_error(fault)
    if options.is_sse:
        return b"data: %b\r\n\r\n" % error
    return b"%b%b]\r\n" % (b"," if frames else b"[", error)
