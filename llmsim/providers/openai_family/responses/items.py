"""Input items: what each kind looks like, and how it is told from the others.

Decisions:
* An item is kept as it was sent and decoded by the type it names. Items of hosted tools are many, and what was found
  is not looked at: they are taken unread.
* What one dialect puts out with a prefix before its type is read as what it is.
* A message of the assistant takes other parts than one of anybody else, as the API has it.

Source: openai SDK 3.54, types/responses/response_input_item_param.py; types with a prefix (`acme:receipt`) are the
extensions of openresponses/openresponses, specification.mdx, "Extending Items".
"""

from collections.abc import Callable
from typing import Any, Literal, NoReturn

from msgspec import Struct, field

from llmsim.errors import InvalidFieldError
from llmsim.wire.codec import decoder

Path = tuple[str | int, ...]

PREFIX = "openai:"
"""Stands before the types of items that are OpenAI's own, where they are not part of the dialect."""


class InputText(Struct, tag_field="type", tag="input_text"):
    """Text for the model."""

    text: str


class InputImage(Struct, tag_field="type", tag="input_image"):
    """An image by address, data URL or file id; it is never fetched."""

    image_url: str | None = None
    file_id: str | None = None
    detail: Literal["low", "high", "auto", "original"] | None = None


class InputFile(Struct, tag_field="type", tag="input_file"):
    """A file by content, address or id; it is never opened."""

    file_data: str | None = None
    file_id: str | None = None
    file_url: str | None = None
    filename: str | None = None


class InputVideo(Struct, tag_field="type", tag="input_video"):
    """A video by address or content; it is never opened."""

    video_url: str


class Screenshot(Struct, tag_field="type", tag="computer_screenshot"):
    """What a computer shows."""

    image_url: str | None = None
    file_id: str | None = None
    detail: Literal["low", "high", "auto", "original"] | None = None


class OutputText(Struct, tag_field="type", tag="output_text"):
    """Text of the model's own, sent back as history."""

    text: str


class Refusal(Struct, tag_field="type", tag="refusal"):
    """A refusal of the model's own, sent back as history."""

    refusal: str


class SummaryText(Struct, tag_field="type", tag="summary_text"):
    """What the model told of its reasoning, sent back as history."""

    text: str


class ReasoningText(Struct, tag_field="type", tag="reasoning_text"):
    """What the model thought, sent back as history."""

    text: str


UserPart = InputText | InputImage | OutputText | Refusal | InputFile | Screenshot | SummaryText
AssistantPart = OutputText | Refusal
ToolPart = InputText | InputImage | InputFile | InputVideo


class Kind(Struct):
    """What tells one item from another; `type` may be left out of messages and references."""

    type: str | None = None
    role: str | None = None
    id: str | None = None


class UserMessage(Struct):
    """What is said to the model, by whomever."""

    role: Literal["user", "assistant", "system", "developer"]
    content: str | list[UserPart]


class AssistantMessage(Struct):
    """What the model said earlier."""

    content: str | list[AssistantPart]


class FunctionCall(Struct):
    """A function the model called."""

    call_id: str
    name: str
    arguments: str


class CustomCall(Struct):
    """A custom tool the model called."""

    call_id: str
    name: str
    text: str = field(name="input")


class CallOutput(Struct):
    """What a function or custom tool answered."""

    output: str | list[ToolPart]
    call_id: str | None = None


class ReasoningItem(Struct):
    """What the model thought earlier."""

    summary: list[SummaryText]
    content: list[ReasoningText] | None = None
    encrypted_content: str | None = None


class Reference(Struct):
    """An item by its id."""

    id: str


class Compaction(Struct):
    """Earlier turns, made smaller by `/v1/responses/compact`."""

    encrypted_content: str


class Hosted(Struct):
    """What a hosted tool was asked or answered; kept as it was sent.

    Attributes:
        answers: Whether the client tells by it what came of a call: it has run a shell, a patch, a computer itself.
    """

    answers: bool = False


Item = (
    UserMessage
    | AssistantMessage
    | FunctionCall
    | CustomCall
    | CallOutput
    | ReasoningItem
    | Reference
    | Compaction
    | Hosted
)


_HOSTED = (
    "additional_tools",
    "apply_patch_call",
    "apply_patch_call_output",
    "code_interpreter_call",
    "compaction_trigger",
    "computer_call",
    "computer_call_output",
    "configuration_update",
    "file_search_call",
    "image_generation_call",
    "local_shell_call",
    "local_shell_call_output",
    "mcp_approval_request",
    "mcp_approval_response",
    "mcp_call",
    "mcp_list_tools",
    "program",
    "program_output",
    "shell_call",
    "shell_call_output",
    "tool_search_call",
    "tool_search_output",
    "web_search_call",
)
_READERS: dict[str, Callable[[bytes], Any]] = {
    "message": decoder(UserMessage),
    "function_call": decoder(FunctionCall),
    "function_call_output": decoder(CallOutput),
    "custom_tool_call": decoder(CustomCall),
    "custom_tool_call_output": decoder(CallOutput),
    "reasoning": decoder(ReasoningItem),
    "item_reference": decoder(Reference),
    "compaction": decoder(Compaction),
}
_read_assistant = decoder(AssistantMessage)
_kind = decoder(Kind)


def kind(item: bytes) -> str:
    """Tell the type of an item, named or not."""
    return _named(_kind(item))


def _named(told: Kind) -> str:
    if told.type is not None:
        return told.type
    return "item_reference" if told.role is None and told.id is not None else "message"


def read(item: bytes, path: Path) -> Item:
    """Read an item that stands at `path` of its request.

    Raises:
        InvalidFieldError: It is of no known type, or not what its type asks for.
    """
    try:
        told = _kind(item)
        named = _named(told)
        reader = _READERS.get(named.removeprefix(PREFIX))
        if reader is not None:
            known: Item = (_read_assistant if named == "message" and told.role == "assistant" else reader)(
                item
            )
            return known
    except InvalidFieldError as error:
        moved(error, path)
    if named in _HOSTED or ":" in named:
        return Hosted(named.endswith("_output"))
    raise InvalidFieldError((*path, "type"), "choice", (*_READERS, *_HOSTED), named)


def moved(error: InvalidFieldError, path: Path) -> NoReturn:
    """Raise `error` as that of a field below `path`."""
    raise InvalidFieldError((*path, *error.path), error.rule, error.wanted, error.found) from None
