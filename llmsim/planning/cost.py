"""What a request costs: whether the work on it would delay other requests, although its body is small.

Decisions:
* It is estimated of the parsed prompt, from what multiplies: choices, log probabilities, texts to embed, messages, and schemas whose
  instances are generated or validated again and again. The budget of the request bounds what an estimate misses.
* PERF: 0.1 us for a plain request.
"""

from llmsim.domain import MediaRequest, Prompt
from llmsim.errors import SchemaError
from llmsim.json_schema.document import MOST_CACHED_BYTES, read
from llmsim.scripts import ScriptStep

_MANY_MESSAGES = 200
_FEW_CHOICES = 8
_FEW_LOGPROBS = 12
"""Choices times the listed alternatives of a token."""

_FEW_EMBEDDINGS = 2
_FEW_EMBEDDED = 2_000
"""PERF: so many characters are parsed and rendered in some 2 ms; a thread would cost other requests more than that."""

_MUCH_SOUND = 1_000
"""Tokens of sound that are rendered in some milliseconds."""

_LONG = 32_768
"""Characters that are tokenized in some milliseconds."""


def is_laborious(prompt: Prompt) -> bool:
    """Return whether a request is to be planned and rendered in a thread, so that other requests go on."""
    if (
        not prompt.tools
        and prompt.form is None
        and prompt.logprobs is None
        and prompt.choices == 1
        and prompt.embedding is None
        and prompt.continuation is None
        and prompt.media is None
        and not prompt.speaks
    ):
        return len(prompt.messages) > _MANY_MESSAGES
    return _is_laborious(prompt)


def _is_laborious_media(media: MediaRequest) -> bool:
    return media.kind == "image" or (media.tokens or 0) > _MUCH_SOUND


def _is_laborious(prompt: Prompt) -> bool:
    if prompt.speaks or (prompt.media is not None and _is_laborious_media(prompt.media)):
        return True
    if len(prompt.messages) > _MANY_MESSAGES or prompt.candidates > _FEW_CHOICES:
        return True
    if prompt.embedding is not None:
        return len(prompt.messages) > _FEW_EMBEDDINGS or _length(prompt) > _FEW_EMBEDDED
    if prompt.logprobs is not None and prompt.candidates * (1 + prompt.logprobs) > _FEW_LOGPROBS:
        return True
    schemas = [tool.schema for tool in prompt.tools if tool.schema]
    if prompt.form is not None:
        if prompt.form.schema:
            schemas.append(prompt.form.schema)
        elif any('"properties"' in text for message in prompt.messages for text in message.texts):
            return True
    return any(map(_is_laborious_schema, schemas))


def _is_laborious_schema(schema: bytes) -> bool:
    if len(schema) > MOST_CACHED_BYTES:
        return True
    try:
        return read(schema).is_laborious
    except SchemaError:
        return False


def _length(prompt: Prompt) -> int:
    return sum([len(text) for message in prompt.messages for text in (*message.texts, message.token_ids)])


def is_long(prompt: Prompt) -> bool:
    """Return whether a prompt is laborious with the conversation that it continues, which its body does not hold."""
    return is_laborious(prompt) or _length(prompt) > _LONG


def is_long_step(step: ScriptStep) -> bool:
    """Return whether the texts of a script's turn are so long that they are tokenized in a thread."""
    turn = step.turn
    texts = (turn.text, turn.reasoning, turn.refusal, *(call.arguments for call in turn.calls))
    return sum([len(text) for text in texts if text]) > _LONG
