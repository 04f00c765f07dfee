"""Streams that were truncated, and conversations that go on with one.

Decisions:
* What counts is certain evidence: the truncated text stands in a later request as the assistant's, to the same question, and shorter than
  it would have been whole; or the result of a call that it had begun; or its id as the previous response. A request that ends with the
  text asks to continue it, and that is right.
* Only digests are kept. Of a text the first characters count, for a client may have received less than was sent.
"""

import hashlib
from collections.abc import Iterable

from llmsim.domain import BREAKING, Message, Prompt, TextSegment, ToolCallSegment, Turn
from llmsim.state.client_port import Truncation

_BEGINNING = 24
_ID_END = 12
"""Characters of an id's end that count: APIs put prefixes before it."""

_MOST_MESSAGES = 64
"""Messages at the end of a conversation that are looked at."""


def describe_truncation(prompt: Prompt, turn: Turn, endpoint: str) -> Truncation | None:
    """Return what is to be noted of a stream; None if it was not truncated, or nothing of it could be taken for complete."""
    after = turn.truncated_after
    if after is None and turn.wire_fault is not None and turn.wire_fault.kind in BREAKING:
        after = turn.wire_fault.after or 0
    if after is None or not prompt.stream:
        return None
    sent, whole, calls, begun = "", "", [], 0
    for segment in turn.choices[0].segments:
        if isinstance(segment, TextSegment):
            whole += segment.text.text
            pairs = zip(segment.text.pieces, segment.text.cumulative_tokens, strict=True)
            sent += "".join(piece for piece, tokens in pairs if begun + tokens <= after)
        elif isinstance(segment, ToolCallSegment) and begun < after:
            calls.append(_digest_id(segment.call.fixed_id or segment.call.id))
        begun += segment.tokens
    beginning = sent.strip()[:_BEGINNING]
    if not beginning and not calls:
        return None
    return Truncation(
        endpoint=endpoint,
        question=_digest_question(prompt.messages),
        beginning=_digest(beginning) if beginning else b"",
        characters=len(beginning),
        length=len(whole.strip()),
        response=_digest_id(turn.id),
        calls=tuple(calls),
    )


def find_continued(prompt: Prompt, truncations: Iterable[Truncation]) -> tuple[Truncation, str] | None:
    """Return the truncated stream with which a conversation goes on, and with what of it; None if it goes on with none."""
    messages = prompt.messages[-_MOST_MESSAGES:]
    answered = {_digest_id(result.call) for message in messages for result in message.results}
    for truncation in truncations:
        if not answered.isdisjoint(truncation.calls):
            return truncation, "a call"
        if truncation.beginning and any(
            _is_continued(messages, index, truncation) for index in range(len(messages) - 1)
        ):
            return truncation, "the text"
    return None


def is_response(truncation: Truncation, response_id: str) -> bool:
    """Return whether a response is one that was truncated."""
    return truncation.response == _digest_id(response_id)


def _is_continued(messages: tuple[Message, ...], index: int, truncation: Truncation) -> bool:
    """Return whether a message is the truncated text, and others than the assistant's follow."""
    message = messages[index]
    if message.author != "assistant" or not message.texts:
        return False
    text = "".join(message.texts).strip()
    return (
        truncation.characters <= len(text) < truncation.length
        and _digest(text[: truncation.characters]) == truncation.beginning
        and any(later.author in ("user", "tool") for later in messages[index + 1 :])
        and _digest_question(messages[:index]) == truncation.question
    )


def _digest_question(messages: tuple[Message, ...]) -> bytes:
    """Return the digest of the last message that is not the assistant's."""
    for message in reversed(messages):
        if message.author in ("user", "tool"):
            return _digest("\n".join((*message.texts, *(result.text for result in message.results))))
    return b""


def _digest_id(name: str) -> bytes:
    return _digest(name[-_ID_END:])


def _digest(text: str) -> bytes:
    return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).digest()
