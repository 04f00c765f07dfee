"""What was said so far: items become messages of a prompt.

Decisions:
* Reasoning of earlier turns costs nothing: the API drops it before the next one.
  Source: OpenAI reasoning guide, "Keeping reasoning items in context".
* Calls and what they gave are told as such, and so counted once. What a tool answered with beside text is priced as in
  any message.
* A reference costs nothing: what it stands for is known to whoever stored it.
* What is neither text nor image is priced, not opened: a file or video as an image in full detail, a compaction
  by its length, an item of a hosted tool by its JSON.
"""

from collections.abc import Sequence
from typing import assert_never

from llmsim.domain import Image, Message, PriorToolCall, ToolResult
from llmsim.errors import InvalidFieldError
from llmsim.providers.openai_family.responses.items import (
    AssistantMessage,
    CallOutput,
    Compaction,
    CustomCall,
    FunctionCall,
    Hosted,
    InputFile,
    InputImage,
    InputText,
    InputVideo,
    Item,
    OutputText,
    Path,
    ReasoningItem,
    Reference,
    Refusal,
    Screenshot,
    SummaryText,
    ToolPart,
    UserMessage,
    UserPart,
    read,
)

_FILE_TOKENS = 765
"""What a file or video costs: as much as an image in full detail."""

SEALED_CHARACTERS = 8
"""Characters of encrypted content for each token it stands for."""


def messages(items: Sequence[bytes], images: list[Image], root: Path = ("input",)) -> tuple[Message, ...]:
    """Read `items`, the elements of the array at `root`; images found on the way are added to `images`.

    Raises:
        InvalidFieldError: An item is of no known type, or not what its type asks for.
    """
    found: list[Message] = []
    for index, item in enumerate(items):
        path = (*root, index)
        message = _message(read(item, path), item, path, images)
        if message is not None:
            found.append(message)
    return tuple(found)


def _message(item: Item, sent: bytes, path: Path, images: list[Image]) -> Message | None:
    match item:
        case UserMessage():
            return _said(item.role, item.content, (*path, "content"), images)
        case AssistantMessage():
            return _said("assistant", item.content, (*path, "content"), images)
        case FunctionCall():
            return _called(item.call_id, item.name, item.arguments)
        case CustomCall():
            return _called(item.call_id, item.name, item.text)
        case CallOutput():
            given = _said("tool", item.output, (*path, "output"), images)
            result = ToolResult(item.call_id or "", "".join(given.texts))
            return Message("tool", (), extra_tokens=given.extra_tokens, results=(result,))
        case Compaction():
            tokens = len(item.encrypted_content) // SEALED_CHARACTERS
            return Message("assistant", (), extra_tokens=tokens)
        case Hosted(answers=True):
            return Message("tool", (), notes=(sent.decode(),), results=(ToolResult("", ""),))
        case Hosted():
            return Message("assistant", (), notes=(sent.decode(),))
        case ReasoningItem() | Reference():
            return None
        case _:
            assert_never(item)


def _called(call_id: str, name: str, arguments: str) -> Message:
    return Message("assistant", (), calls=(PriorToolCall(call_id, name, arguments),))


def _said(
    role: str, content: str | Sequence[UserPart | ToolPart], path: Path, images: list[Image]
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
                images.append(Image((*path, index), part.detail or "auto"))
            case InputFile():
                if part.file_data is None and part.file_id is None and part.file_url is None:
                    raise InvalidFieldError((*path, index, "file_id"), "missing", None)
                extra += _FILE_TOKENS
            case InputVideo():
                extra += _FILE_TOKENS
            case _:
                assert_never(part)
    return Message(role, tuple(texts), notes=tuple(notes), extra_tokens=extra)
