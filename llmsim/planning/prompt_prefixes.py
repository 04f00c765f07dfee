"""The prefixes of a prompt that the automatic cache may hold.

Decisions:
* A prefix ends behind every 128 tokens of a long text, and behind each short text, call, result, tool or image: there the number
  of tokens is known, and to cut short texts, too, would take as long as to count the prompt anew.
* The order is that of OpenAI's prompts: tools, format, messages. Where a prefix ends depends on what is in it alone, so prompts
  that begin alike have the same ends, as far as they are alike.

Source: OpenAI, guides/prompt-caching.
"""

import hashlib
from itertools import groupby

import msgspec

from llmsim.catalogue import Model
from llmsim.domain import Attachment, ImageRule, Message, PrefixChain, Prompt
from llmsim.planning.definition_tokens import TOOLS_TOKENS, format_tokens, tool_tokens
from llmsim.planning.image_tokens import image_tokens
from llmsim.planning.prompt_tokens import MESSAGE_TOKENS, NAME_TOKENS
from llmsim.planning.tokens import TokenReader

STEP = 128
"""Cached tokens are a multiple of it."""

LEAST_TOKENS = 1024
"""Fewest tokens of a prompt that is cached automatically."""

_pack = msgspec.msgpack.encode


def chain_prefixes(prompt: Prompt, model: Model, rule: ImageRule, reader: TokenReader) -> PrefixChain | None:
    """Return the prefixes of a prompt; None if none is long enough.

    Args:
        prompt: The prompt; it is cached automatically.
        model: The facts of its model.
        rule: How the model counts images.
        reader: Counts its texts.
    """
    assert prompt.cache is not None
    writer = _ChainWriter(_pack((model.id, prompt.cache.key)), max(LEAST_TOKENS, model.cache_minimum), reader)
    if prompt.tools:
        writer.add(b"", TOOLS_TOKENS + min(model.tool_prompt, model.forced_tool_prompt))
        for tool in prompt.tools:
            writer.add(_pack(tool), tool_tokens(tool, model))
    if prompt.form is not None:
        writer.add(_pack(prompt.form), format_tokens(prompt.form, model))
    attachments = {
        index: list(group) for index, group in groupby(prompt.attachments, lambda one: one.message)
    }
    for index, message in enumerate(prompt.messages):
        tokens = {
            one: 0 if one.image is None else image_tokens(prompt.images[one.image], rule)
            for one in attachments.get(index, ())
        }
        writer.add_message(message, tokens)
    return writer.chain(prompt.cache.lifetime or model.cache_lifetime)


class _ChainWriter:
    """Adds up a prompt piece by piece, and notes where prefixes end."""

    def __init__(self, seed: bytes, minimum: int, reader: TokenReader) -> None:
        self._digest = hashlib.blake2b(seed, digest_size=16)
        self._minimum = minimum
        self._reader = reader
        self._tokens = 0
        self._head = ""
        self._digests = bytearray()
        self._ends: list[int] = []

    def add(self, content: bytes, tokens: int) -> None:
        """Add something, behind which a prefix may end."""
        self._digest.update(b"%d:" % len(content))
        self._digest.update(content)
        self._tokens += tokens
        if self._tokens < self._minimum:
            return
        if self._ends and self._tokens // STEP == self._ends[-1] // STEP:
            return
        digest = self._digest.digest()
        self._head = self._head or digest.hex()
        self._digests += digest[:8]
        self._ends.append(self._tokens)

    def add_text(self, text: str) -> None:
        """Add a text; a long one in steps."""
        ids = self._reader.long_ids(text)
        if ids is None:
            self.add(text.encode("utf-8", "surrogatepass"), self._reader.count(text))
            return
        for start in range(0, len(ids), STEP):
            part = ids[start : start + STEP]
            self.add(part.tobytes(), len(part))

    def add_message(self, message: Message, attachments: dict[Attachment, int]) -> None:
        """Add a message.

        Args:
            message: The message.
            attachments: The tokens of its attachments.
        """
        self.add(_pack(message.role), MESSAGE_TOKENS)
        waiting = list(attachments.items())
        for index, text in enumerate(message.texts):
            while waiting and waiting[0][0].texts <= index:
                self._add_attachment(*waiting.pop(0))
            self.add_text(text)
        for attachment in waiting:
            self._add_attachment(*attachment)
        for note in message.notes:
            self.add_text(note)
        for call in message.calls:
            self.add(_pack(call.name), self._reader.count(call.name))
            self.add_text(call.arguments)
        for result in message.results:
            self.add_text(result.text)
        if message.name is not None:
            self.add(_pack(message.name), NAME_TOKENS + self._reader.count(message.name))
        self.add(_pack(message.token_ids), message.extra_tokens + len(message.token_ids))

    def _add_attachment(self, attachment: Attachment, tokens: int) -> None:
        self.add(attachment.digest.encode(), tokens)

    def chain(self, lifetime: int) -> PrefixChain | None:
        """Return the prefixes; None if there are none."""
        if not self._ends:
            return None
        return PrefixChain(self._head, bytes(self._digests), tuple(self._ends), lifetime)
