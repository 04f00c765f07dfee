"""Input items: the types of each kind, and how an item is parsed to one of them.

Decisions:
* An item is kept as it was sent, and decoded by the type it names. Items of hosted tools are not decoded, but for approvals: their
  kinds are many, and their content is not used.
* A type with the prefix of one dialect's extensions is parsed like the type without it.
* A message of the assistant takes other parts than one of another role, as in the API.

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
"""Prefix of OpenAI's item types in a dialect whose specification does not have them."""


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
    """A screenshot of a computer tool."""

    image_url: str | None = None
    file_id: str | None = None
    detail: Literal["low", "high", "auto", "original"] | None = None


class OutputText(Struct, tag_field="type", tag="output_text"):
    """The model's text, sent back as history."""

    text: str


class Refusal(Struct, tag_field="type", tag="refusal"):
    """The model's refusal, sent back as history."""

    refusal: str


class SummaryText(Struct, tag_field="type", tag="summary_text"):
    """A summary of the model's reasoning, sent back as history."""

    text: str


class ReasoningText(Struct, tag_field="type", tag="reasoning_text"):
    """The model's reasoning, sent back as history."""

    text: str


UserPart = InputText | InputImage | OutputText | Refusal | InputFile | Screenshot | SummaryText
AssistantPart = OutputText | Refusal
ToolPart = InputText | InputImage | InputFile | InputVideo


class ItemHead(Struct):
    """The fields that identify an item's type; messages and references may omit `type`."""

    type: str | None = None
    role: str | None = None
    id: str | None = None


class UserMessage(Struct):
    """A message of any role but the assistant's, or one of the assistant with input parts."""

    role: Literal["user", "assistant", "system", "developer"]
    content: str | list[UserPart]


class AssistantMessage(Struct):
    """An earlier message of the model."""

    content: str | list[AssistantPart]


class FunctionCall(Struct):
    """A function call of the model."""

    call_id: str
    name: str
    arguments: str


class CustomCall(Struct):
    """A custom tool call of the model."""

    call_id: str
    name: str
    text: str = field(name="input")


class CallOutput(Struct):
    """The result of a function or custom tool call."""

    output: str | list[ToolPart]
    call_id: str | None = None


class ReasoningInput(Struct):
    """Earlier reasoning of the model."""

    summary: list[SummaryText]
    content: list[ReasoningText] | None = None
    encrypted_content: str | None = None


class Reference(Struct):
    """An item by its id."""

    id: str


class Compaction(Struct):
    """Earlier turns, compacted by `/v1/responses/compact`."""

    encrypted_content: str


class ApprovalRequest(Struct):
    """A request for the client's approval of a call on an MCP server."""

    id: str
    arguments: str
    name: str
    server_label: str


class ApprovalResponse(Struct):
    """The client's decision on such a request."""

    approval_request_id: str
    approve: bool


class Control(Struct):
    """An item that is no content: it asks for a compaction, or changes the configuration."""


class HostedItem(Struct):
    """A call of a hosted tool, or its result; kept as it was sent.

    Attributes:
        is_result: Whether it is the result of a call that the client ran: of a shell, a patch, a computer. The tools that a search has
            found do not count: the turn goes on with them.
    """

    is_result: bool = False


Item = (
    UserMessage
    | AssistantMessage
    | FunctionCall
    | CustomCall
    | CallOutput
    | ReasoningInput
    | Reference
    | Compaction
    | ApprovalRequest
    | ApprovalResponse
    | Control
    | HostedItem
)


_CONTROLS = ("compaction_trigger", "configuration_update")
_HOSTED_TYPES = (
    "additional_tools",
    "apply_patch_call",
    "apply_patch_call_output",
    "code_interpreter_call",
    "computer_call",
    "computer_call_output",
    "file_search_call",
    "image_generation_call",
    "local_shell_call",
    "local_shell_call_output",
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
_DECODERS: dict[str, Callable[[bytes], Any]] = {
    "message": decoder(UserMessage),
    "function_call": decoder(FunctionCall),
    "function_call_output": decoder(CallOutput),
    "custom_tool_call": decoder(CustomCall),
    "custom_tool_call_output": decoder(CallOutput),
    "reasoning": decoder(ReasoningInput),
    "item_reference": decoder(Reference),
    "compaction": decoder(Compaction),
    "mcp_approval_request": decoder(ApprovalRequest),
    "mcp_approval_response": decoder(ApprovalResponse),
}
_decode_assistant = decoder(AssistantMessage)
_decode_head = decoder(ItemHead)


def item_type(item: bytes) -> str:
    """Return the type of an item, named or implied."""
    return _type_of(_decode_head(item))


def _type_of(head: ItemHead) -> str:
    if head.type is not None:
        return head.type
    return "item_reference" if head.role is None and head.id is not None else "message"


def parse_item(item: bytes, path: Path) -> Item:
    """Parse an item.

    Args:
        item: The item as it was sent.
        path: Its path in the request.

    Raises:
        InvalidFieldError: It has no known type, or does not fit its type.
    """
    try:
        head = _decode_head(item)
        name = _type_of(head)
        decode = _DECODERS.get(name.removeprefix(PREFIX))
        if decode is not None:
            if name == "message" and head.role == "assistant":
                decode = _decode_assistant
            known: Item = decode(item)
            return known
    except InvalidFieldError as error:
        raise_below(error, path)
    if name.removeprefix(PREFIX) in _CONTROLS:
        return Control()
    if name in _HOSTED_TYPES or ":" in name:
        return HostedItem(name.endswith("_output") and not name.endswith("tool_search_output"))
    raise InvalidFieldError((*path, "type"), "choice", (*_DECODERS, *sorted(_HOSTED_TYPES + _CONTROLS)), name)


def raise_below(error: InvalidFieldError, path: Path) -> NoReturn:
    """Raise `error` with `path` before its own."""
    raise InvalidFieldError((*path, *error.path), error.rule, error.wanted, error.found) from None
