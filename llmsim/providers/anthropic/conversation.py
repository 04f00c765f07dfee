"""From the wire's conversation to the house's: what is said, shown and called, and where prefixes end.

Decisions:
* The order is the API's: tools, system, messages; so a prefix is what comes before a mark in that order.
* A prefix is known by a digest of all blocks up to its end. Marks are left out of the digest: a conversation
  whose mark moves on from turn to turn meets the prefixes of its earlier turns.
* Besides the marks, up to 20 earlier ends of blocks are looked up for each mark, as the API does.
  Source: Anthropic docs, build-with-claude/prompt-caching, automatic prefix checking.
"""

import hashlib
from collections.abc import Iterator, Sequence
from typing import Any, assert_never

import msgspec

from llmsim.domain import CacheMark, Image, Message, PriorToolCall, ToolResult
from llmsim.errors import InvalidFieldError
from llmsim.providers.anthropic.messages_wire import (
    Block,
    BrowserStateBlock,
    CacheControl,
    CountRequest,
    DocumentBlock,
    HostedBlock,
    ImageBlock,
    RedactedThinkingBlock,
    SearchResultBlock,
    SentTools,
    Source,
    TextBlock,
    ThinkingBlock,
    Tool,
    ToolReferenceBlock,
    ToolResultBlock,
    ToolUseBlock,
)
from llmsim.wire.codec import decoder

_DOCUMENT_TOKENS = 2_000
"""What a document costs that is not text: about a page. Source: Anthropic docs, PDF support: 1,500 to 3,000 a page."""

_MARKS = 4
_LOOKBACK = 20

_SECONDS = {"5m": 300, "1h": 3600, None: 300}

_sent_tools = decoder(SentTools)
_pack = msgspec.msgpack.encode
_json = msgspec.json.encode

_Path = tuple[str | int, ...]

_Size = tuple[int, int, int, int, int]


class Conversation(msgspec.Struct, frozen=True):
    """What a request says.

    Attributes:
        messages: Tools, system prompt and messages.
        images: All pictures.
        marks: Where prefixes end that may be cached.
    """

    messages: tuple[Message, ...]
    images: tuple[Image, ...]
    marks: tuple[CacheMark, ...]


def read(request: CountRequest, body: bytes) -> Conversation:
    """Read what a request says.

    Args:
        request: As decoded.
        body: As sent.

    Raises:
        InvalidFieldError: Something in it makes no sense.
    """
    reader = _Reader(request)
    if request.tools:
        # Counted as sent: what a tool takes is in fields that are of no further interest here.
        texts = [bytes(tool).decode() for tool in _sent_tools(body).tools or ()]
        reader.tools(request.tools, texts)
    if request.system is not None:
        reader.said("system", request.system, ("system",))
    for index, message in enumerate(request.messages):
        reader.said(message.role, message.content, ("messages", index, "content"))
    return reader.done()


class _End(msgspec.Struct):
    """The end of a block.

    Attributes:
        key: Digest of all up to here.
        messages: Whole messages up to here.
        said: The message that the block is in the middle of; None if it is the last of its message.
        size: How much of that message there is up to here.
        images: Pictures up to here.
        lifetime: Seconds for which the prefix is to be kept; None if the block has no mark.
    """

    key: str
    messages: int
    said: "_Said | None"
    size: _Size
    images: int
    lifetime: int | None

    def mark(self) -> CacheMark:
        """Give it as a mark."""
        partial = self.said.message(self.size) if self.said is not None else None
        return CacheMark(self.key, self.messages, partial, self.images, self.lifetime)


class _Reader:
    """Reads block by block; knows at any time which prefix it has read."""

    def __init__(self, request: CountRequest) -> None:
        self._messages: list[Message] = []
        self._images: list[Image] = []
        self._digest = hashlib.blake2b(request.model.encode("utf-8", "surrogatepass"), digest_size=16)
        self._automatic = request.cache_control
        self._marked = request.cache_control is not None or _has_marks(request)
        self._ends: list[_End] = []

    def tools(self, tools: Sequence[Tool], texts: Sequence[str]) -> None:
        """Read the definitions of tools: they are a message of their own, before all else."""
        said = _Said("tools")
        for place, tool in enumerate(tools):
            said.note(texts[place])
            self._end(said, tool.cache_control, texts[place], last=place == len(tools) - 1)
        self._messages.append(said.message())

    def said(self, role: str, content: str | Sequence[Block], path: _Path) -> None:
        """Read one message."""
        if isinstance(content, str):
            self._end(None, None, (role, content), last=True)
            self._messages.append(Message(role, (content,)))
            return
        said = _Said(role)
        for place, block in enumerate(content):
            said.add(block, (*path, place), self._images)
            if self._marked:
                mark, bare = _bare(block)
                self._end(said, mark, (role, bare), last=place == len(content) - 1)
        self._messages.append(said.message())

    def _end(self, said: "_Said | None", mark: CacheControl | None, block: Any, *, last: bool) -> None:
        """Take note of the end of a block."""
        if not self._marked:
            return
        self._digest.update(_pack(block))
        end = _End(
            key=self._digest.hexdigest(),
            messages=len(self._messages) + last,
            said=None if last else said,
            size=said.size if said is not None else (0, 0, 0, 0, 0),
            images=len(self._images),
            lifetime=None if mark is None else _SECONDS[mark.ttl],
        )
        self._ends.append(end)

    def done(self) -> Conversation:
        """Give what was read."""
        return Conversation(tuple(self._messages), tuple(self._images), self._marks())

    def _marks(self) -> tuple[CacheMark, ...]:
        ends = self._ends
        if self._automatic is not None and ends and ends[-1].lifetime is None:
            ends[-1].lifetime = _SECONDS[self._automatic.ttl]
        marked = [place for place, end in enumerate(ends) if end.lifetime is not None]
        if len(marked) > _MARKS:
            raise InvalidFieldError(
                ("cache_control",),
                "conflict",
                f"A maximum of {_MARKS} blocks with cache_control may be provided. Found {len(marked)}.",
            )
        lifetimes = [ends[place].lifetime or 0 for place in marked]
        if lifetimes != sorted(lifetimes, reverse=True):
            raise InvalidFieldError(
                ("cache_control",),
                "conflict",
                "a ttl='1h' cache_control block must not come after a ttl='5m' cache_control block. Note that blocks "
                "are processed in the following order: `tools`, `system`, `messages`.",
            )
        wanted = {place for last in marked for place in range(max(0, last - _LOOKBACK), last + 1)}
        return tuple(ends[place].mark() for place in sorted(wanted))


def _has_marks(request: CountRequest) -> bool:
    return any(block.cache_control is not None for block in _markable(request))


def _markable(request: CountRequest) -> Iterator[Any]:
    yield from request.tools or ()
    if isinstance(request.system, list):
        yield from request.system
    for message in request.messages:
        if isinstance(message.content, list):
            for block in message.content:
                if not isinstance(block, ThinkingBlock | RedactedThinkingBlock):
                    yield block


def _bare(block: Block) -> tuple[CacheControl | None, Block]:
    """Give a block's mark, and the block without it."""
    if isinstance(block, ThinkingBlock | RedactedThinkingBlock) or block.cache_control is None:
        return None, block
    return block.cache_control, msgspec.structs.replace(block, cache_control=None)


class _Said:
    """One message in the making."""

    def __init__(self, role: str) -> None:
        self._role = role
        self._texts: list[str] = []
        self._notes: list[str] = []
        self._extra = 0
        self._calls: list[PriorToolCall] = []
        self._results: list[ToolResult] = []

    @property
    def size(self) -> _Size:
        """How much was added so far: texts, notes, tokens of other things, calls, results."""
        return len(self._texts), len(self._notes), self._extra, len(self._calls), len(self._results)

    def message(self, size: _Size | None = None) -> Message:
        """Give what was added, up to an earlier size if one is given."""
        texts, notes, extra, calls, results = size or self.size
        return Message(
            self._role,
            tuple(self._texts[:texts]),
            notes=tuple(self._notes[:notes]),
            extra_tokens=extra,
            calls=tuple(self._calls[:calls]),
            results=tuple(self._results[:results]),
        )

    def note(self, text: str) -> None:
        """Add text that is counted only."""
        self._notes.append(text)

    def add(self, block: Block, path: _Path, images: list[Image]) -> None:
        """Add a block; pictures found in it are added to `images`."""
        if self._role == "system" and not isinstance(block, TextBlock):
            raise InvalidFieldError((*path, "type"), "choice", ("text",), type(block).__struct_config__.tag)
        match block:
            case TextBlock():
                if not block.text:
                    raise InvalidFieldError(
                        path, "conflict", f"{path[0]}: text content blocks must be non-empty"
                    )
                self._texts.append(block.text)
            case ImageBlock():
                _check_image(block.source, path)
                images.append(Image(path))
            case DocumentBlock():
                self._notes += self._document(block, path)
            case SearchResultBlock():
                self._notes += _found(block)
            case ThinkingBlock() | RedactedThinkingBlock():
                # Source: Anthropic docs, extended thinking: thinking of earlier turns is left out of the prompt.
                pass
            case ToolUseBlock():
                self._calls.append(PriorToolCall(block.id, block.name, _json(block.input).decode()))
            case ToolResultBlock():
                self._result(block, path, images)
            case HostedBlock():
                self._notes += (
                    bytes(held).decode() for held in (block.input, block.content) if held is not msgspec.UNSET
                )
            case _:
                assert_never(block)

    def _document(self, block: DocumentBlock, path: _Path) -> list[str]:
        """Give the text of a document; what it has instead of text is added as tokens."""
        source = block.source
        texts = [text for text in (block.title, block.context) if text]
        match source.type:
            case "text" if source.data is not None:
                texts.append(source.data)
            case "content" if isinstance(source.content, str):
                texts.append(source.content)
            case "content" if source.content is not None:
                texts.append(_json(source.content).decode())
            case "base64" if source.data is not None:
                self._extra += _DOCUMENT_TOKENS
            case "url" if source.url is not None:
                self._extra += _DOCUMENT_TOKENS
            case "file" if source.file_id is not None:
                self._extra += _DOCUMENT_TOKENS
            case _:
                raise _no_source(source, path)
        return texts

    def _result(self, block: ToolResultBlock, path: _Path, images: list[Image]) -> None:
        texts: list[str] = []
        parts = [] if isinstance(block.content, str) else block.content or []
        for place, part in enumerate(parts):
            match part:
                case TextBlock():
                    texts.append(part.text)
                case ImageBlock():
                    _check_image(part.source, (*path, "content", place))
                    images.append(Image((*path, "content", place)))
                case DocumentBlock():
                    texts += self._document(part, (*path, "content", place))
                case SearchResultBlock():
                    texts += _found(part)
                case ToolReferenceBlock():
                    texts.append(part.tool_name)
                case BrowserStateBlock():
                    pass
                case _:
                    assert_never(part)
        text = block.content if isinstance(block.content, str) else "\n".join(texts)
        self._results.append(ToolResult(block.tool_use_id, text))


def _found(block: SearchResultBlock) -> tuple[str, ...]:
    """Give the text of something that was found."""
    return block.title, block.source, *(part.text for part in block.content)


_SOURCES = {"base64": "data", "text": "data", "url": "url", "file": "file_id", "content": "content"}


def _no_source(source: Source, path: _Path) -> InvalidFieldError:
    return InvalidFieldError((*path, "source", source.type, _SOURCES[source.type]), "missing", None)


def _check_image(source: Source, path: _Path) -> None:
    if source.type not in ("base64", "url", "file"):
        raise InvalidFieldError((*path, "source", "type"), "choice", ("base64", "url", "file"), source.type)
    if getattr(source, _SOURCES[source.type]) is None:
        raise _no_source(source, path)
