"""Parsing of a conversation: tools, system prompt and messages, and the cacheable prefixes of them.

Decisions:
* The order is the API's: tools, system, messages. A prefix is all that precedes a mark in that order.
* The key of a prefix is a digest of all blocks up to its end, and of the format of the text, which comes before them. Marks are not part of the digest, so a conversation
  whose mark moves on from turn to turn finds the prefixes of its earlier turns.
* A compaction block stands for all that comes before it, but for tools and system prompt: that is not counted, nor part of a prefix.
* Besides the marks, up to 20 earlier ends of blocks are looked up for each mark, as the API does.
  Source: Anthropic docs, build-with-claude/prompt-caching, automatic prefix checking.
"""

import hashlib
from collections.abc import Sequence
from typing import assert_never

import msgspec

from llmsim.domain import CacheMark, Image, Message, PriorToolCall, ToolResult
from llmsim.errors import InvalidFieldError
from llmsim.providers.anthropic.cache_marks import has_marks, without_mark
from llmsim.providers.anthropic.media_rules import source_value
from llmsim.providers.anthropic.messages_request import (
    Block,
    BrowserStateBlock,
    CompactionBlock,
    CountRequest,
    DocumentBlock,
    FallbackBlock,
    HostedBlock,
    ImageBlock,
    MessageParam,
    RawTools,
    RedactedThinkingBlock,
    ResultPart,
    SearchResultBlock,
    TextBlock,
    ThinkingBlock,
    ToolReferenceBlock,
    ToolResultBlock,
    ToolUseBlock,
)
from llmsim.providers.anthropic.tool_changes import waiting_tools
from llmsim.providers.anthropic.tool_params import (
    CacheControl,
    ToolAdditionBlock,
    ToolDefinition,
    ToolParam,
    ToolRemovalBlock,
    raw_json,
)
from llmsim.providers.anthropic.tools import defined_tokens
from llmsim.providers.media import measure_base64
from llmsim.wire.codec import decoder

_DOCUMENT_TOKENS = 2_000
"""Tokens of a document that is not text, about a page. Source: Anthropic docs, PDF support: 1,500 to 3,000 a page."""

_MAX_MARKS = 4
_LOOKBACK = 20

_LIFETIMES = {"5m": 300, "1h": 3600, None: 300}
"""Seconds by `ttl`."""

_decode_tools = decoder(RawTools)
_pack = msgspec.msgpack.encode
_encode = msgspec.json.encode

_Path = tuple[str | int, ...]

_Size = tuple[int, int, int, int, int]
"""Length of a message: texts, notes, extra tokens, calls, results."""

_EMPTY: _Size = (0, 0, 0, 0, 0)


class Conversation(msgspec.Struct, frozen=True):
    """The conversation of a request.

    Attributes:
        messages: Tools, system prompt and messages.
        images: All images.
        marks: The ends of prefixes that may be cached.
        result_images: The images of results: the id of the call, and the index in `images`.
    """

    messages: tuple[Message, ...]
    images: tuple[Image, ...]
    marks: tuple[CacheMark, ...]
    result_images: tuple[tuple[str, int], ...] = ()


def parse_conversation(
    request: CountRequest, body: bytes, kept_thinking: frozenset[int] = frozenset()
) -> Conversation:
    """Parse the conversation of a request.

    Args:
        request: The request as decoded.
        body: The request as sent.
        kept_thinking: Indices of the messages whose thinking counts.

    Raises:
        InvalidFieldError: A block is invalid in its place, or the marks are.
    """
    parser = _ConversationParser(request)
    if request.tools:
        # Tools are counted as sent, with fields that are not declared here.
        texts = [bytes(tool).decode() for tool in _decode_tools(body).tools or ()]
        parser.add_tools(request.tools, texts, waiting_tools(request))
    if request.system is not None:
        parser.add_message("system", request.system, ("system",))
    parser.begin_messages()
    for index, message in enumerate(request.messages):
        if message.clear_at == "next_user_message" and _is_followed(request.messages, index):
            continue
        keeps_thinking = index in kept_thinking
        path = ("messages", index, "content")
        parser.add_message(message.role, message.content, path, keeps_thinking=keeps_thinking)
    return parser.finish()


def _is_followed(messages: Sequence[MessageParam], index: int) -> bool:
    """Return whether a message of the user comes after another."""
    return any(message.role == "user" for message in messages[index + 1 :])


class _BlockEnd(msgspec.Struct):
    """The end of a block.

    Attributes:
        key: Digest of all blocks up to here.
        messages: Number of whole messages up to here.
        builder: The message that the block is part of; None if the block is the last of its message.
        size: Length of that message up to here.
        images: Number of images up to here.
        lifetime: Seconds for which the prefix is to be cached; None if the block has no mark.
    """

    key: str
    messages: int
    builder: "_MessageBuilder | None"
    size: _Size
    images: int
    lifetime: int | None

    def mark(self) -> CacheMark:
        """Return the mark of the prefix that ends here."""
        partial = self.builder.message(self.size) if self.builder is not None else None
        return CacheMark(self.key, self.messages, partial, self.images, self.lifetime)


class _ConversationParser:
    """Parses a conversation block by block, and keeps the prefix up to each block."""

    def __init__(self, request: CountRequest) -> None:
        self._messages: list[Message] = []
        self._images: list[Image] = []
        self._digest = hashlib.blake2b(request.model.encode("utf-8", "surrogatepass"), digest_size=16)
        if (output_format := request.format()) is not None:
            self._digest.update(raw_json(output_format[0].schema))
        self._automatic = request.cache_control
        self._marked = request.cache_control is not None or has_marks(request)
        self._ends: list[_BlockEnd] = []
        self._result_images: list[tuple[str, int]] = []
        self._head = (0, 0, self._digest)

    def begin_messages(self) -> None:
        """Note what comes before the messages, and before any compaction block."""
        self._head = (len(self._messages), len(self._ends), self._digest.copy())

    def _drop_messages(self) -> None:
        messages, ends, digest = self._head
        del self._messages[messages:], self._ends[ends:], self._images[:], self._result_images[:]
        self._digest = digest.copy()

    def add_tools(self, tools: Sequence[ToolParam], texts: Sequence[str], waiting: frozenset[str]) -> None:
        """Add the definitions of tools, but for those that wait to be loaded, as a message before all others."""
        builder = _MessageBuilder("tools")
        # What is loaded later is no part of the prefix, which stays as it was.
        loaded = [
            text
            for tool, text in zip(tools, texts, strict=True)
            if tool.defer_loading and tool.name not in waiting
        ]
        for index, (tool, text) in enumerate(zip(tools, texts, strict=True)):
            if tool.defer_loading:
                continue
            if tokens := defined_tokens(tool):
                builder.add_tokens(tokens)
            else:
                builder.add_note(text)
            is_last = index == len(tools) - 1 and not loaded
            self._end_block(builder, tool.cache_control, text, last=is_last)
        for text in loaded:
            builder.add_note(text)
        self._messages.append(builder.message())

    def add_message(
        self, role: str, content: str | Sequence[Block], path: _Path, *, keeps_thinking: bool = False
    ) -> None:
        """Add a message."""
        if isinstance(content, str):
            self._end_block(None, None, (role, content), last=True)
            self._messages.append(Message(role, (content,)))
            return
        builder = _MessageBuilder(role)
        for index, block in enumerate(content):
            match block:
                case CompactionBlock(content=str()):
                    self._drop_messages()
                    builder = _MessageBuilder(role)
                case ThinkingBlock() if keeps_thinking:
                    builder.add_note(block.thinking)
                case _:
                    pass
            images = len(self._images)
            builder.add_block(block, (*path, index), self._images)
            if isinstance(block, ToolResultBlock):
                self._result_images += (
                    (block.tool_use_id, image) for image in range(images, len(self._images))
                )
            if self._marked:
                mark, unmarked = without_mark(block)
                self._end_block(builder, mark, (role, unmarked), last=index == len(content) - 1)
        self._messages.append(builder.message())

    def _end_block(
        self,
        builder: "_MessageBuilder | None",
        mark: CacheControl | None,
        block: str | tuple[str, str | Block],
        *,
        last: bool,
    ) -> None:
        if not self._marked:
            return
        self._digest.update(_pack(block))
        end = _BlockEnd(
            key=self._digest.hexdigest(),
            messages=len(self._messages) + last,
            builder=None if last else builder,
            size=_EMPTY if builder is None else builder.size,
            images=len(self._images),
            lifetime=None if mark is None else _LIFETIMES[mark.ttl],
        )
        self._ends.append(end)

    def finish(self) -> Conversation:
        """Return the conversation."""
        return Conversation(
            tuple(self._messages), tuple(self._images), self._marks(), tuple(self._result_images)
        )

    def _marks(self) -> tuple[CacheMark, ...]:
        ends = self._ends
        if self._automatic is not None and ends and ends[-1].lifetime is None:
            ends[-1].lifetime = _LIFETIMES[self._automatic.ttl]
        marked = [index for index, end in enumerate(ends) if end.lifetime is not None]
        if len(marked) > _MAX_MARKS:
            raise InvalidFieldError(
                ("cache_control",),
                "conflict",
                f"A maximum of {_MAX_MARKS} blocks with cache_control may be provided. Found {len(marked)}.",
            )
        lifetimes = [ends[index].lifetime or 0 for index in marked]
        if lifetimes != sorted(lifetimes, reverse=True):
            raise InvalidFieldError(
                ("cache_control",),
                "conflict",
                "a ttl='1h' cache_control block must not come after a ttl='5m' cache_control block. Note that blocks "
                "are processed in the following order: `tools`, `system`, `messages`.",
            )
        looked_up = {index for last in marked for index in range(max(0, last - _LOOKBACK), last + 1)}
        return tuple(ends[index].mark() for index in sorted(looked_up))


class _MessageBuilder:
    """Builds a message block by block."""

    def __init__(self, role: str) -> None:
        self._role = role
        self._texts: list[str] = []
        self._notes: list[str] = []
        self._extra_tokens = 0
        self._calls: list[PriorToolCall] = []
        self._results: list[ToolResult] = []

    @property
    def size(self) -> _Size:
        """The length of the message so far."""
        return (
            len(self._texts),
            len(self._notes),
            self._extra_tokens,
            len(self._calls),
            len(self._results),
        )

    def message(self, size: _Size | None = None) -> Message:
        """Return the message, or its beginning of an earlier length."""
        texts, notes, extra_tokens, calls, results = size or self.size
        return Message(
            self._role,
            tuple(self._texts[:texts]),
            notes=tuple(self._notes[:notes]),
            extra_tokens=extra_tokens,
            calls=tuple(self._calls[:calls]),
            results=tuple(self._results[:results]),
        )

    def add_note(self, text: str) -> None:
        """Add text that is only counted."""
        self._notes.append(text)

    def add_tokens(self, tokens: int) -> None:
        """Add content of which only the tokens are known."""
        self._extra_tokens += tokens

    def add_block(self, block: Block, path: _Path, images: list[Image]) -> None:
        """Add a block; its images are appended to `images`."""
        match block:
            case TextBlock():
                self._texts.append(block.text)
            case ImageBlock():
                images.append(_image(block, path))
            case DocumentBlock():
                self._notes += self._document_texts(block)
            case SearchResultBlock():
                self._notes += _search_result_texts(block)
            case ThinkingBlock() | RedactedThinkingBlock():
                # Source: Anthropic docs, extended thinking: thinking of earlier turns is left out of the prompt.
                pass
            case ToolUseBlock():
                self._calls.append(PriorToolCall(block.id, block.name, _encode(block.input).decode()))
            case ToolResultBlock():
                text = self._result_text(block.content, path, images)
                self._results.append(ToolResult(block.tool_use_id, text))
            case FallbackBlock() | ToolRemovalBlock():
                pass
            case ToolAdditionBlock():
                if isinstance(block.tool, ToolDefinition):
                    self._notes.append(_encode(block.tool).decode())
            case CompactionBlock():
                self._notes += () if block.content is None else (block.content,)
            case HostedBlock():
                self._notes += (
                    bytes(json).decode() for json in (block.input, block.content) if json is not msgspec.UNSET
                )
            case _:
                assert_never(block)

    def _document_texts(self, block: DocumentBlock) -> list[str]:
        """Return the texts of a document; a document that is not text adds tokens instead."""
        texts = [text for text in (block.title, block.context) if text]
        value = source_value(block.source)
        if block.source.type in ("text", "content"):
            texts.append(value if isinstance(value, str) else _encode(value).decode())
        else:
            self._extra_tokens += _DOCUMENT_TOKENS
        return texts

    def _result_text(self, content: str | list[ResultPart] | None, path: _Path, images: list[Image]) -> str:
        """Return the text of a result; its images are appended to `images`."""
        if isinstance(content, str):
            return content
        texts: list[str] = []
        for index, part in enumerate(content or ()):
            match part:
                case TextBlock():
                    texts.append(part.text)
                case ImageBlock():
                    images.append(_image(part, (*path, "content", index)))
                case DocumentBlock():
                    texts += self._document_texts(part)
                case SearchResultBlock():
                    texts += _search_result_texts(part)
                case ToolReferenceBlock():
                    texts.append(part.tool_name)
                case BrowserStateBlock():
                    pass
                case _:
                    assert_never(part)
        return "\n".join(texts)


def _search_result_texts(block: SearchResultBlock) -> tuple[str, ...]:
    return block.title, block.source, *(part.text for part in block.content)


def _image(block: ImageBlock, path: _Path) -> Image:
    value = source_value(block.source)
    if block.source.type != "base64" or not isinstance(value, str):
        return Image(path)
    width, height = measure_base64(value)
    return Image(path, width=width, height=height)
