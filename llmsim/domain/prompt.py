"""What one request asks, whichever API it came by."""

import msgspec

from llmsim.domain.tool import PriorToolCall, ResponseFormat, Tool, ToolChoice, ToolResult


class Image(msgspec.Struct, frozen=True):
    """A picture in the prompt.

    Attributes:
        path: Where it stands in the request, e.g. `("messages", 0, "content", 1)`, for a refusal to name.
        detail: `low`, or anything else for full detail; it decides the cost in tokens.
    """

    path: tuple[str | int, ...]
    detail: str = "auto"


class Message(msgspec.Struct, frozen=True, gc=False):
    """One message of the conversation.

    Attributes:
        role: The author's role in the provider's own word.
        texts: What was said, in order; counted, and echoed by the generator that echoes.
        notes: Text that is counted only: refusals, items of hosted tools.
        name: The author's name; None when absent.
        extra_tokens: Prompt tokens of what is not text (files, audio), as the provider prices them.
        calls: Calls of tools that it makes, each counted.
        results: What earlier calls have given, each counted.
        token_ids: What was said, as ids of the model's own vocabulary, where it came so.
    """

    role: str
    texts: tuple[str, ...]
    notes: tuple[str, ...] = ()
    name: str | None = None
    extra_tokens: int = 0
    calls: tuple[PriorToolCall, ...] = ()
    results: tuple[ToolResult, ...] = ()
    token_ids: tuple[int, ...] = ()


class Embedding(msgspec.Struct, frozen=True):
    """That vectors are wanted: one for each message, which is then a text by itself and no part of a conversation.

    Attributes:
        dimensions: How long they are to be; None for the model's own length.
        limit: Most tokens of all messages together; None for any number.
    """

    dimensions: int | None = None
    limit: int | None = None


class CacheMark(msgspec.Struct, frozen=True):
    """A place where a prefix of the prompt ends that may be in the prompt cache.

    Attributes:
        key: The same for the same prefix, and for no other.
        messages: How many whole messages are in the prefix.
        partial: The part of the next message that is in it, too; None if nothing is.
        images: How many of the prompt's images are in it.
        lifetime: Seconds for which the prefix is to be kept; None if it is only looked up.
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


class Prompt(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """What is asked.

    Attributes:
        model: Model id as requested; any name is taken.
        messages: The conversation, oldest first.
        images: All images of the conversation.
        limit: Most completion tokens per choice, reasoning included; None for the model's own maximum.
        stop: Texts before whose first occurrence the answer ends.
        choices: How many answers are wanted; >= 1.
        seed: Makes text and timing repeatable; None for fresh dice.
        effort: Reasoning effort in the house's words (`none` ... `max`); None for the model's default.
        reasoning_limit: Most reasoning tokens per choice; None for as many as the effort makes.
        summary: How much is told of the reasoning: `auto`, `concise`, `detailed`, or `full` for all of it, token by token;
            None for nothing.
        cache_marks: Where prefixes end that may be in the prompt cache, the shortest first.
        stream: Whether the answer is to be streamed.
        tools: All that may be called, in the order in which they are offered.
        tool_choice: Whether they are to be called, and which.
        form: The form of the text; None for prose.
        logprobs: How many alternatives are told of each token of the text, beside its own probability; None to tell nothing.
        silent: Whether the prompt is only read, and nothing is to be said.
        embedding: Which vectors are wanted; None for none. A prompt that wants some is silent.
    """

    model: str
    messages: tuple[Message, ...]
    images: tuple[Image, ...] = ()
    limit: int | None = None
    stop: tuple[str, ...] = ()
    choices: int = 1
    seed: int | None = None
    effort: str | None = None
    reasoning_limit: int | None = None
    summary: str | None = None
    cache_marks: tuple[CacheMark, ...] = ()
    stream: bool = False
    tools: tuple[Tool, ...] = ()
    tool_choice: ToolChoice = ToolChoice()
    form: ResponseFormat | None = None
    logprobs: int | None = None
    silent: bool = False
    embedding: Embedding | None = None
