"""The parts of a candidate: what each segment of a choice becomes, and how many tokens must exist before it is sent.

Decisions:
* A piece of text is a part of its own in a stream; clients join the texts of parts. A call is one part, sent when it is complete, and so
  is a value of an enumeration, which the model writes as JSON.
* Thoughts that were not requested count and are not shown.
* A call that was cut off is not sent: the API does not send half of one.
* The first call of a turn that was thought about carries the signature; without calls the last part does, where functions are offered.

Source: google-genai SDK 3.6, types.Part, Candidate; ai.google.dev/gemini-api/docs/thought-signatures.
"""

from collections.abc import Iterator, Sequence
from typing import Any

import msgspec
import orjson

from llmsim.budgets import json_problem
from llmsim.domain import (
    Choice,
    FinishReason,
    MediaSegment,
    ReasoningSegment,
    RefusalSegment,
    Segment,
    TextSegment,
    TokenizedText,
    TokenLogprob,
    ToolCallSegment,
    ToolKind,
    Turn,
)
from llmsim.providers.gemini.grounding import CODE, code_parts
from llmsim.providers.gemini.media_output import media_parts
from llmsim.providers.gemini.request import GenerateOptions
from llmsim.providers.gemini.signatures import sign
from llmsim.wire.codec import encode, escaped_pieces

_FINISH_REASONS = {
    FinishReason.STOP: "STOP",
    FinishReason.LENGTH: "MAX_TOKENS",
    FinishReason.TOOL_CALLS: "STOP",
    FinishReason.CONTENT_FILTER: "SAFETY",
    FinishReason.WINDOW: "MAX_TOKENS",
    FinishReason.PAUSE: "STOP",
}

_TRUNCATING = (FinishReason.LENGTH, FinishReason.WINDOW, FinishReason.CONTENT_FILTER)

SAFETY_RATINGS = [
    {"category": "HARM_CATEGORY_HARASSMENT", "probability": "NEGLIGIBLE"},
    {"category": "HARM_CATEGORY_HATE_SPEECH", "probability": "NEGLIGIBLE"},
    {"category": "HARM_CATEGORY_SEXUALLY_EXPLICIT", "probability": "NEGLIGIBLE"},
    {"category": "HARM_CATEGORY_DANGEROUS_CONTENT", "probability": "HIGH", "blocked": True},
]
"""Ratings of what is blocked."""


class CandidatePart(msgspec.Struct, frozen=True, gc=False):
    """A part of a candidate.

    Attributes:
        json: The part, encoded, without its last brace.
        required_tokens: Tokens of the choice that must exist before it is sent.
        text: The text segment that it is a piece of, with its index there; None for other parts.
    """

    json: bytes
    required_tokens: int
    text: tuple[TextSegment, int] | None = None


def is_blocked(choice: Choice) -> bool:
    """Return whether the model has refused."""
    return any(isinstance(segment, RefusalSegment) for segment in choice.segments)


def block_message(turn: Turn) -> str:
    """Return the text of the first refusal of a turn."""
    return next(
        segment.text.text
        for choice in turn.choices
        for segment in choice.segments
        if isinstance(segment, RefusalSegment)
    )


def finish_reason(choice: Choice) -> str:
    """Return why a choice ended, in the API's term."""
    return "SAFETY" if is_blocked(choice) else _FINISH_REASONS[choice.finish]


def reasoning_tokens(choice: Choice) -> int:
    """Return the tokens of a choice's thinking, which comes before all else."""
    return sum(segment.tokens for segment in choice.segments if isinstance(segment, ReasoningSegment))


def candidate_parts(
    turn: Turn, index: int, options: GenerateOptions, *, is_whole: bool = False
) -> list[CandidatePart]:
    """Return the parts of a choice; none if there is nothing to be shown.

    Args:
        turn: The turn.
        index: Index of the choice.
        options: The options of the request.
        is_whole: Whether sound is one part; texts come piece by piece in either case.
    """
    choice = turn.choices[index]
    parts: list[CandidatePart] = []
    before = 0
    thinks = reasoning_tokens(choice) > 0
    is_signed = False
    for segment in choice.segments:
        match segment:
            case ReasoningSegment(text=TokenizedText() as text):
                parts += _pieces(b'{"text":"%b","thought":true', text, before)
            case TextSegment() if segment.text.pieces:
                parts += _text_parts(segment, before, options)
            case ToolCallSegment() if segment.call.kind is ToolKind.HOSTED:
                if segment.call.name == CODE and not _is_cut(choice, segment):
                    end = before + segment.tokens
                    parts += (CandidatePart(encode(part)[:-1], end) for part in code_parts(segment))
            case ToolCallSegment() if not _is_cut(choice, segment):
                parts.append(_call_part(turn, segment, before, is_signed=thinks and not is_signed))
                is_signed = True
            case MediaSegment(tokens=tokens):
                media = media_parts(tokens, options.picture, index, is_whole=is_whole)
                parts += (CandidatePart(encode(part)[:-1], before + end) for part, end in media)
            case _:
                pass
        before += segment.tokens
    if thinks and options.has_tools and not is_signed and parts and parts[-1].text is not None:
        last = parts[-1]
        signature = b',"thoughtSignature":"%b"' % sign(turn.id, "", None).encode()
        parts[-1] = msgspec.structs.replace(last, json=last.json + signature)
    return parts


def _pieces(template: bytes, text: TokenizedText, before: int) -> Iterator[CandidatePart]:
    for piece, end in zip(escaped_pieces(text), text.cumulative_tokens, strict=True):
        yield CandidatePart(template % piece, before + end)


def _text_parts(segment: TextSegment, before: int, options: GenerateOptions) -> Iterator[CandidatePart]:
    text = segment.text
    if options.is_enum and isinstance(value := _parsed(text.text), str):
        yield CandidatePart(b'{"text":%b' % encode(value), before + text.tokens)
        return
    for index, piece in enumerate(escaped_pieces(text)):
        yield CandidatePart(b'{"text":"%b"' % piece, before + text.cumulative_tokens[index], (segment, index))


def _parsed(text: str) -> Any:
    """Return the value of a JSON text; None if it is not JSON."""
    try:
        encoded = text.encode()
        return None if json_problem(encoded) else orjson.loads(encoded)
    except (UnicodeEncodeError, orjson.JSONDecodeError):
        return None


def _is_cut(choice: Choice, segment: Segment) -> bool:
    return segment is choice.segments[-1] and choice.finish in _TRUNCATING


def _call_part(turn: Turn, segment: ToolCallSegment, before: int, *, is_signed: bool) -> CandidatePart:
    call = segment.call
    args = parse_arguments(segment)
    part: dict[str, Any] = {"functionCall": {"name": call.name, "args": args, "id": call.public_id("")}}
    if is_signed:
        part["thoughtSignature"] = sign(turn.id, call.name, args)
    return CandidatePart(encode(part)[:-1], before + segment.tokens)


def parse_arguments(segment: ToolCallSegment) -> dict[str, Any]:
    """Return the arguments of a call as an object; free text, which only a script can have here, is its `input`."""
    text = segment.arguments.text
    if segment.call.kind is not ToolKind.CUSTOM and isinstance(value := _parsed(text), dict):
        return value
    return {"input": text} if text else {}


def logprobs_result(segments: Sequence[tuple[TokenLogprob, ...]]) -> dict[str, Any]:
    """Render the probabilities of tokens.

    Args:
        segments: For each piece of text those of its tokens.
    """
    tokens = [token for piece in segments for token in piece]
    result: dict[str, Any] = {
        "topCandidates": [
            {"candidates": [_logprob(text, logprob) for text, logprob in token.top]} for token in tokens
        ],
        "chosenCandidates": [_logprob(token.token, token.logprob) for token in tokens],
        "logProbabilitySum": sum(token.logprob for token in tokens),
    }
    return result


def _logprob(token: bytes, logprob: float) -> dict[str, Any]:
    return {"token": token.decode("utf-8", "replace"), "logProbability": logprob}
