"""A request, whichever API it came by."""

from typing import Literal

import msgspec

from llmsim.domain.context_edits import ContextEdit
from llmsim.domain.image import Image
from llmsim.domain.media import MediaRequest
from llmsim.domain.tool import PriorToolCall, ResponseFormat, Tool, ToolChoice, ToolResult

Author = Literal["system", "user", "assistant", "tool"]
"""Whose a message is, in the same terms for all APIs."""

_AUTHORS: dict[str, Author] = {
    "system": "system",
    "developer": "system",
    "tools": "system",
    "assistant": "assistant",
    "tool": "tool",
    "function": "tool",
}


class Message(msgspec.Struct, frozen=True, gc=False):
    """One message of the conversation.

    Attributes:
        role: The author's role in the provider's own term.
        texts: Its texts in order; counted, and returned by the generator `echo`.
        notes: Text that is counted only: refusals, items of hosted tools.
        name: The author's name; None if absent.
        extra_tokens: Prompt tokens of files, audio and other content, as the provider prices them.
        calls: Tool calls that it makes, each counted.
        results: Results of earlier calls, each counted.
        token_ids: Its text as ids of the model's own vocabulary, if the request has ids.
    """

    role: str
    texts: tuple[str, ...]
    notes: tuple[str, ...] = ()
    name: str | None = None
    extra_tokens: int = 0
    calls: tuple[PriorToolCall, ...] = ()
    results: tuple[ToolResult, ...] = ()
    token_ids: tuple[int, ...] = ()

    @property
    def author(self) -> Author:
        """Whose it is. One that holds nothing but tool results is a tool's, whatever its role."""
        if self.results and not self.texts:
            return "tool"
        return _AUTHORS.get(self.role, "user")


class Embedding(msgspec.Struct, frozen=True):
    """A request for vectors: one for each message, which is then a text by itself, not part of a conversation.

    Attributes:
        dimensions: Their length; None for the model's own.
        limit: Most tokens of all messages together; None for any number.
    """

    dimensions: int | None = None
    limit: int | None = None


class Continuation(msgspec.Struct, frozen=True):
    """A request to continue texts: each message is then a text by itself, not part of a conversation.

    Attributes:
        echo: Whether each text comes before its continuation.
        best_of: Candidates that are generated for each text; the prompt's choices are the best of them. None for as many as
            are returned.
    """

    echo: bool = False
    best_of: int | None = None


class CacheMark(msgspec.Struct, frozen=True):
    """The end of a prefix of the prompt that may be in the prompt cache.

    Attributes:
        key: Identifies the prefix.
        messages: How many whole messages are in the prefix.
        partial: The part of the next message that is in it, too; None for no part.
        images: How many of the prompt's images are in it.
        lifetime: Seconds for which the prefix is stored; None if it is only looked up.
    """

    key: str
    messages: int
    partial: Message | None = None
    images: int = 0
    lifetime: int | None = None


class PrefixMark(msgspec.Struct, frozen=True):
    """A prefix of a prompt, as the prompt cache sees it.

    Attributes:
        key: The same for the same prefix, and for no other.
        tokens: Tokens of the prefix.
        lifetime: Seconds for which the prefix is to be cached; None if it is only looked up.
    """

    key: str
    tokens: int
    lifetime: int | None = None


class CacheUse(msgspec.Struct, frozen=True):
    """What the prompt cache did for one prompt.

    Attributes:
        read: Tokens read.
        written: Tokens written, by the seconds they are cached.
    """

    read: int = 0
    written: dict[int, int] = {}


class Attachment(msgspec.Struct, frozen=True):
    """Content of a message that is not text, as far as prefixes of the prompt are concerned.

    Attributes:
        message: Index of its message.
        texts: Number of texts of that message that come before it.
        digest: The same for the same content, and for no other.
        image: Its index in the prompt's images; None for other content, whose tokens are `extra_tokens` of the message.
    """

    message: int
    texts: int
    digest: str
    image: int | None = None


class AutomaticCache(msgspec.Struct, frozen=True):
    """How prefixes of a prompt are cached unmarked.

    Attributes:
        key: The client's own key: prompts with different keys share nothing.
        lifetime: Seconds for which a prefix is cached after its last use; None for the model's own.
    """

    key: str = ""
    lifetime: int | None = None


class PrefixChain(msgspec.Struct, frozen=True, gc=False):
    """The ends of a prompt's prefixes, as the automatic cache sees them; prompts that begin alike have the same first ends.

    Attributes:
        head: Digest of the shortest prefix.
        digests: Digest of each prefix, 8 bytes each, the shortest first.
        tokens: Tokens of each prefix, ascending; the first has the least that are cached.
        lifetime: Seconds for which they are cached after their last use.
    """

    head: str
    digests: bytes
    tokens: tuple[int, ...]
    lifetime: int


class Prompt(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A request.

    Attributes:
        model: Model id as requested; any name is accepted.
        messages: The conversation, oldest first.
        images: All images of the conversation.
        attachments: Images, files and recordings in their order, where the prompt may be cached automatically.
        limit: Most completion tokens per choice, reasoning included; None for the model's own maximum.
        stop: Stop texts: the response ends before their first occurrence.
        choices: Number of choices to generate; >= 1.
        seed: Makes text and timing repeatable; None for random ones.
        effort: Reasoning effort (`none` ... `max`); None for the model's default.
        reasoning_limit: Most reasoning tokens per choice; None for as many as the effort generates.
        summary: How much of the reasoning is shown: `auto`, `concise`, `detailed`, or `full` for all of it, token by token;
            None for nothing.
        cache_marks: Ends of prefixes that may be in the prompt cache, the shortest first.
        cache: How its prefixes are cached unmarked; None if they are not.
        stream: Whether the response is streamed.
        tools: The offered tools, in their order.
        has_tool_message: Whether the first message holds the definitions of the tools, as they are counted.
        tool_choice: Whether to call them, and which.
        form: The requested format of the text; None for prose.
        logprobs: How many alternatives to list for each token of the text, beside its own probability; None for no
            probabilities.
        silent: Whether the prompt is only read, and nothing is generated.
        embedding: The vectors to compute; None for none. Such a prompt is silent.
        media: The media to make or read; None for none. Such a prompt is silent if they have no text.
        speaks: Whether the text is spoken, too.
        prediction: What the client expects the text to be; None for nothing.
        continuation: How its texts are continued, each with as many of the choices as the others; None for a conversation.
        context_edits: The edits by which the conversation is shortened before the model sees it, in their order.
        has_fallback: Whether another model answers where this one refuses.
        reserves_limit: Whether it is refused if the model's window has no room for it and for `limit` tokens more.
        truncates: Whether its oldest messages are dropped if it is too long, and it is not refused.
    """

    model: str
    messages: tuple[Message, ...]
    images: tuple[Image, ...] = ()
    attachments: tuple[Attachment, ...] = ()
    limit: int | None = None
    stop: tuple[str, ...] = ()
    choices: int = 1
    seed: int | None = None
    effort: str | None = None
    reasoning_limit: int | None = None
    summary: str | None = None
    cache_marks: tuple[CacheMark, ...] = ()
    cache: AutomaticCache | None = None
    stream: bool = False
    tools: tuple[Tool, ...] = ()
    has_tool_message: bool = False
    tool_choice: ToolChoice = ToolChoice()
    form: ResponseFormat | None = None
    logprobs: int | None = None
    silent: bool = False
    embedding: Embedding | None = None
    media: MediaRequest | None = None
    speaks: bool = False
    prediction: str | None = None
    continuation: Continuation | None = None
    context_edits: tuple[ContextEdit, ...] = ()
    reserves_limit: bool = False
    truncates: bool = False
    has_fallback: bool = False

    @property
    def candidates(self) -> int:
        """Number of choices that are generated, whether they are returned or not."""
        if self.continuation is None or self.continuation.best_of is None:
            return self.choices
        return self.continuation.best_of * len(self.messages)
