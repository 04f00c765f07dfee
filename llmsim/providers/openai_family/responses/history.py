"""The conversation so far: items become messages of a prompt, and a stored response continues.

Decisions:
* Reasoning of earlier turns costs nothing: the API drops it before the next one.
  Source: OpenAI reasoning guide, "Keeping reasoning items in context".
* Calls and results are separate from messages, and so counted once. Images and files in a result cost what they cost in
  any message.
* A reference costs nothing: only the provider that stored the item knows its content.
* What is neither text nor image is not opened but has a price: a file or video that of an image in full detail, a
  compaction by its length, an item of a hosted tool by its JSON.
* A request that continues a response has all of its input and output before its own, in its prompt and in its items,
  but not the earlier instructions.
* The output counts as it would if the client sent its items back; a response that was cancelled has no output.

Source: openai SDK 3.54, docstrings of `previous_response_id` and `instructions`; openresponses/openresponses,
specification.mdx, "previous_response_id".
"""

from collections.abc import Sequence
from typing import assert_never

from msgspec.structs import replace

from llmsim.domain import Attachment, Message, PriorToolCall, ToolResult
from llmsim.errors import InvalidFieldError
from llmsim.providers.contract import ParsedRequest
from llmsim.providers.media import Media
from llmsim.providers.openai_family.image_urls import check_image_url
from llmsim.providers.openai_family.responses.approvals import with_approvals
from llmsim.providers.openai_family.responses.conversation import (
    Head,
    check_conversation,
    read_heads,
    referenced_ids,
    resolve,
)
from llmsim.providers.openai_family.responses.dialect import Dialect
from llmsim.providers.openai_family.responses.input_item_list import list_input_items
from llmsim.providers.openai_family.responses.input_items import (
    ApprovalRequest,
    ApprovalResponse,
    AssistantMessage,
    CallOutput,
    Compaction,
    Control,
    CustomCall,
    FunctionCall,
    HostedItem,
    InputFile,
    InputImage,
    InputText,
    InputVideo,
    Item,
    OutputText,
    Path,
    ReasoningInput,
    Reference,
    Refusal,
    Screenshot,
    SummaryText,
    ToolPart,
    UserMessage,
    UserPart,
    parse_item,
)
from llmsim.providers.openai_family.responses.moderation import moderate_input
from llmsim.providers.openai_family.responses.options import ResponseOptions
from llmsim.providers.openai_family.responses.response import build_output
from llmsim.providers.openai_family.responses.sealed_content import CHARACTERS_PER_TOKEN
from llmsim.providers.storage import StoredResponse

_FILE_TOKENS = 765
"""Tokens of a file or video: those of an image in full detail."""


def parse_messages(items: Sequence[bytes], media: Media, root: Path = ("input",)) -> tuple[Message, ...]:
    """Parse `items`, the elements of the array at `root`; add what is not text to `media`.

    Raises:
        InvalidFieldError: An item has no known type, or does not fit its type.
    """
    messages: list[Message] = []
    for index, item in enumerate(items):
        path = (*root, index)
        message = _to_message(parse_item(item, path), item, path, media)
        if message is not None:
            messages.append(message)
            media.message += 1
    return tuple(messages)


def _to_message(item: Item, sent: bytes, path: Path, media: Media) -> Message | None:
    match item:
        case UserMessage():
            return _parse_content(item.role, item.content, (*path, "content"), media)
        case AssistantMessage():
            return _parse_content("assistant", item.content, (*path, "content"), media)
        case FunctionCall():
            return _call_message(item.call_id, item.name, item.arguments)
        case CustomCall():
            return _call_message(item.call_id, item.name, item.text)
        case CallOutput():
            content = _parse_content("tool", item.output, (*path, "output"), media)
            result = ToolResult(item.call_id or "", "".join(content.texts))
            return Message("tool", (), extra_tokens=content.extra_tokens, results=(result,))
        case Compaction():
            tokens = len(item.encrypted_content) // CHARACTERS_PER_TOKEN
            return Message("assistant", (), extra_tokens=tokens)
        case HostedItem(is_result=True) | ApprovalResponse():
            return Message("tool", (), notes=(sent.decode(),), results=(ToolResult("", ""),))
        case HostedItem() | ApprovalRequest():
            return Message("assistant", (), notes=(sent.decode(),))
        case ReasoningInput() | Reference() | Control():
            return None
        case _:
            assert_never(item)


def _call_message(call_id: str, name: str, arguments: str) -> Message:
    return Message("assistant", (), calls=(PriorToolCall(call_id, name, arguments),))


def _parse_content(
    role: str, content: str | Sequence[UserPart | ToolPart], path: Path, media: Media
) -> Message:
    if isinstance(content, str):
        return Message(role, (content,))
    texts: list[str] = []
    notes: list[str] = []
    extra = 0
    for index, part in enumerate(content):
        match part:
            case InputText() | OutputText():
                texts.append(part.text)
            case SummaryText():
                notes.append(part.text)
            case Refusal():
                notes.append(part.refusal)
            case InputImage() | Screenshot():
                if part.image_url is None and part.file_id is None:
                    raise InvalidFieldError((*path, index, "image_url"), "missing", None)
                file = part.file_id or ""
                media.use_file(part.file_id, (*path, index))
                if part.image_url is not None:
                    check_image_url(part.image_url, (*path, index, "image_url"))
                media.add_image((*path, index), part.image_url, part.detail, texts=len(texts), file=file)
            case InputFile():
                if part.file_data is None and part.file_id is None and part.file_url is None:
                    raise InvalidFieldError((*path, index, "file_id"), "missing", None)
                media.use_file(part.file_id, (*path, index))
                media.add_file(part.file_data, part.file_id, part.file_url, texts=len(texts))
                extra += _FILE_TOKENS
            case InputVideo():
                media.add_file(part.video_url, texts=len(texts))
                extra += _FILE_TOKENS
            case _:
                assert_never(part)
    return Message(role, tuple(texts), notes=tuple(notes), extra_tokens=extra)


def _items_of(earlier: StoredResponse[ResponseOptions], dialect: Dialect) -> tuple[bytes, ...]:
    """Return all items of a stored response: its input, with that of earlier turns, and its output."""
    options: ResponseOptions = earlier.options
    output: list[bytes] = []
    if earlier.cancelled is None:
        output = [item.json for item in build_output(earlier.turn, options, dialect).items]
    return (*list_input_items(options.input_items, earlier.turn.id), *output)


def with_history(
    request: ParsedRequest[ResponseOptions], earlier: StoredResponse[ResponseOptions], dialect: Dialect
) -> ParsedRequest[ResponseOptions]:
    """Return a request with the input and output of `earlier` before its own input.

    Raises:
        ApiRuleError: The conversation is inconsistent.
    """
    options: ResponseOptions = request.options
    earlier_options: ResponseOptions = earlier.options
    items = _items_of(earlier, dialect)
    whole = (*items, *options.input_items)
    heads = read_heads(whole)
    check_conversation(heads)
    own = 1 if options.has_instructions else 0
    output = items[len(earlier_options.input_items) :]
    # What a compaction stands for is not read again.
    is_compacted = any(head.kind == "compaction" for head in read_heads(output))
    prompt, earlier_prompt = request.prompt, earlier.prompt
    if is_compacted:
        earlier_prompt = replace(earlier_prompt, messages=(), images=(), attachments=())
    dropped = 1 if earlier_options.has_instructions and not is_compacted else 0
    before = (*earlier_prompt.messages[dropped:], *parse_messages(output, Media()))
    messages = (*prompt.messages[:own], *before, *prompt.messages[own:])
    # The request's own images come first: a refusal names the first image.
    images = (*prompt.images, *earlier_prompt.images)
    attachments = (
        *_moved(earlier_prompt.attachments, messages=own - dropped, images=len(prompt.images)),
        *_moved(prompt.attachments, messages=len(before)),
    )
    continued = ParsedRequest(
        replace(prompt, messages=messages, images=images, attachments=attachments),
        replace(options, input_items=whole),
        is_warm_up=request.is_warm_up,
    )
    return with_approvals(continued, whole, heads)


_MOST_RESPONSES = 256
"""Most stored responses that are looked up for the references of one request."""

_INDEX_DIGITS = (2, 4)
"""Digits of the index behind the turn's id in ids of items: of the output, and of the input as it is listed."""


def referenced_responses(options: ResponseOptions) -> tuple[str, ...]:
    """Return the ids of the responses that may hold the items which a request refers to."""
    responses: dict[str, None] = {}
    for item_id in options.references:
        _, _, rest = item_id.partition("_")
        for digits in _INDEX_DIGITS:
            responses[f"resp_{rest[:-digits]}"] = None
    return tuple(responses)[:_MOST_RESPONSES]


def with_references(
    request: ParsedRequest[ResponseOptions],
    found: Sequence[StoredResponse[ResponseOptions]],
    dialect: Dialect,
) -> ParsedRequest[ResponseOptions]:
    """Return a request with the items that it refers to in the place of the references.

    Args:
        request: The request.
        found: Those of `referenced_responses` that exist.
        dialect: The API's dialect.

    Raises:
        ApiRuleError: An item does not exist, or the conversation is inconsistent.
    """
    options: ResponseOptions = request.options
    known = _known_items(found, dialect)
    heads = read_heads(options.input_items)
    items = resolve(options.input_items, heads, known, is_stored=options.store)
    return _with_items(request, items, own_items=len(items), is_whole=options.is_whole)


def _items_by_id(items: Sequence[bytes]) -> dict[str, bytes]:
    return {head.id: item for head, item in zip(read_heads(items), items, strict=True) if head.id}


def _known_items(found: Sequence[StoredResponse[ResponseOptions]], dialect: Dialect) -> dict[str, bytes]:
    known: dict[str, bytes] = {}
    for earlier in found:
        known |= _items_by_id(_items_of(earlier, dialect))
    return known


def _with_items(
    request: ParsedRequest[ResponseOptions], items: tuple[bytes, ...], *, own_items: int, is_whole: bool
) -> ParsedRequest[ResponseOptions]:
    """Return a request with other items as its input, of which the last `own_items` are its own."""
    options: ResponseOptions = request.options
    heads = read_heads(items)
    if is_whole:
        check_conversation(heads)
    own = 1 if options.has_instructions else 0
    media = Media(message=own)
    messages = (*request.prompt.messages[:own], *parse_messages(items, media))
    moderated = options.moderated
    if moderated is not None and options.references:
        sent = Media()
        asked = (*messages[:own], *parse_messages(items[len(items) - own_items :], sent))
        moderated = moderate_input(moderated[1], asked, has_picture=bool(sent.images))
    resolved = ParsedRequest(
        replace(
            request.prompt,
            messages=messages,
            images=tuple(media.images),
            attachments=tuple(media.attachments),
        ),
        replace(options, input_items=items, references=(), own_items=own_items, moderated=moderated),
        is_warm_up=request.is_warm_up,
    )
    return with_approvals(resolved, items, heads) if is_whole else resolved


def with_conversation(
    request: ParsedRequest[ResponseOptions],
    items: Sequence[bytes],
    found: Sequence[StoredResponse[ResponseOptions]],
    dialect: Dialect,
) -> ParsedRequest[ResponseOptions]:
    """Return a request with the items of a conversation before its own.

    Args:
        request: The request.
        items: The items of the conversation.
        found: Those of `referenced_responses` that exist.
        dialect: The API's dialect.

    Raises:
        ApiRuleError: An item does not exist, or the conversation is inconsistent.
    """
    options: ResponseOptions = request.options
    own_items = options.input_items
    if options.references:
        known = _items_by_id(items) | _known_items(found, dialect)
        own_items = resolve(own_items, read_heads(own_items), known, is_stored=options.store)
    return _with_items(request, (*items, *own_items), own_items=len(own_items), is_whole=True)


def check_own_items(heads: Sequence[Head], *, is_whole: bool) -> tuple[str, ...]:
    """Check the items of a request as a whole if nothing else belongs to them; return the ids of those that are named only.

    Raises:
        ApiRuleError: The conversation is inconsistent.
    """
    references = referenced_ids(heads)
    if is_whole and not references:
        check_conversation(heads)
    return references


def _moved(attachments: Sequence[Attachment], *, messages: int, images: int = 0) -> list[Attachment]:
    """Return attachments where there are so many more messages and images before them."""
    return [
        replace(one, message=one.message + messages, image=None if one.image is None else one.image + images)
        for one in attachments
    ]
