"""The body of a request to generate a message or to count its tokens, as types.

Decisions:
* Only fields that have an effect, are checked or are counted are declared; every other field is ignored, as is the
  structure of blocks that hosted tools have made.
* Optional fields accept `null`: clients send it for what they leave out.

Source: anthropic SDK 2.14, types/message_create_params.py, content_block_param.py, tool_union_param.py, and the same
under types/beta.
"""

from typing import Annotated, Any, Literal

from msgspec import UNSET, Meta, Raw, Struct, UnsetType, field

from llmsim.providers.anthropic.connected_request import ContainerParam, McpServer, McpTool
from llmsim.providers.anthropic.context_request import CompactionConfig, ContextManagement
from llmsim.providers.anthropic.tool_params import (
    CacheControl,
    CitationsConfig,
    ToolAdditionBlock,
    ToolChoiceParam,
    ToolParam,
    ToolRemovalBlock,
)

HostedCallId = Annotated[str, Meta(pattern=r"^srvtoolu_[a-zA-Z0-9_]+$")]


class TextBlock(Struct, tag_field="type", tag="text"):
    """Text."""

    text: str
    cache_control: CacheControl | None = None


class Source(Struct):
    """The source of an image or document; nothing is fetched."""

    type: Literal["base64", "url", "file", "text", "content"]
    data: str | None = None
    media_type: str | None = None
    url: str | None = None
    file_id: str | None = None
    content: str | list[dict[str, Any]] | None = None


class ImageBlock(Struct, tag_field="type", tag="image"):
    """An image."""

    source: Source
    cache_control: CacheControl | None = None


class DocumentBlock(Struct, tag_field="type", tag="document"):
    """A document."""

    source: Source
    title: str | None = None
    context: str | None = None
    citations: CitationsConfig | None = None
    cache_control: CacheControl | None = None


class SearchResultBlock(Struct, tag_field="type", tag="search_result"):
    """A search result of the client's own."""

    content: list[TextBlock]
    source: str
    title: str
    citations: CitationsConfig | None = None
    cache_control: CacheControl | None = None


class ThinkingBlock(Struct, tag_field="type", tag="thinking"):
    """Thinking of an earlier turn."""

    thinking: str
    signature: str


class RedactedThinkingBlock(Struct, tag_field="type", tag="redacted_thinking"):
    """Hidden thinking of an earlier turn."""

    data: str


class ToolUseBlock(Struct, tag_field="type", tag="tool_use"):
    """A call of a tool that the client runs."""

    id: Annotated[str, Meta(pattern=r"^[a-zA-Z0-9_-]+$")]
    name: Annotated[str, Meta(min_length=1, max_length=200)]
    input: dict[str, Any]
    cache_control: CacheControl | None = None


class ToolReferenceBlock(Struct, tag_field="type", tag="tool_reference"):
    """A tool that a search found."""

    tool_name: str
    cache_control: CacheControl | None = None


class BrowserStateBlock(Struct, tag_field="type", tag="browser_state"):
    """The state of a browser."""

    cache_control: CacheControl | None = None


ResultPart = (
    TextBlock | ImageBlock | DocumentBlock | SearchResultBlock | ToolReferenceBlock | BrowserStateBlock
)


class ToolResultBlock(Struct, tag_field="type", tag="tool_result"):
    """The result of a call."""

    tool_use_id: Annotated[str, Meta(pattern=r"^[a-zA-Z0-9_-]+$")]
    content: str | list[ResultPart] | None = None
    is_error: bool | None = None
    cache_control: CacheControl | None = None


class HostedBlock(Struct, tag_field="type"):
    """A block that a tool of the API has made; counted as the JSON it holds."""

    content: Raw | UnsetType = UNSET
    input: Raw | UnsetType = UNSET
    cache_control: CacheControl | None = None


class ServerToolUseBlock(HostedBlock, tag="server_tool_use"):
    """A call of a tool that the API runs."""

    id: HostedCallId | None = None
    name: str | None = None


class McpToolUseBlock(HostedBlock, tag="mcp_tool_use"):
    """A call of a tool of an MCP server."""


class McpToolResultBlock(HostedBlock, tag="mcp_tool_result"):
    """The result of a tool of an MCP server."""


class McpToolListingBlock(HostedBlock, tag="mcp_tool_listing"):
    """The tools of an MCP server."""

    mcp_server_name: str | None = None
    tools: list[McpTool] | None = None


class HostedResultBlock(HostedBlock):
    """The result of a tool that the API runs."""

    tool_use_id: HostedCallId | None = None


class WebSearchResultBlock(HostedResultBlock, tag="web_search_tool_result"):
    """The results of a web search."""


class WebFetchResultBlock(HostedResultBlock, tag="web_fetch_tool_result"):
    """A web page."""


class CodeExecutionResultBlock(HostedResultBlock, tag="code_execution_tool_result"):
    """The output of code."""


class BashResultBlock(HostedResultBlock, tag="bash_code_execution_tool_result"):
    """The output of a shell."""


class TextEditorResultBlock(HostedResultBlock, tag="text_editor_code_execution_tool_result"):
    """The output of a text editor."""


class ToolSearchResultBlock(HostedResultBlock, tag="tool_search_tool_result"):
    """The tools that a search found."""


class AdvisorResultBlock(HostedResultBlock, tag="advisor_tool_result"):
    """The answer of an advisor."""


class ContainerUploadBlock(HostedBlock, tag="container_upload"):
    """A file that is uploaded to a container."""

    file_id: str | None = None


class FallbackBlock(Struct, tag_field="type", tag="fallback"):
    """Where another model has taken over from one that declined; not part of the prompt."""

    to: dict[str, Any]
    from_model: dict[str, Any] = field(name="from")


class CompactionBlock(Struct, tag_field="type", tag="compaction"):
    """The summary of an earlier part of the conversation; None if it failed."""

    content: str | None = None
    signature: str | None = None
    cache_control: CacheControl | None = None


Block = (
    TextBlock
    | ImageBlock
    | DocumentBlock
    | SearchResultBlock
    | ThinkingBlock
    | RedactedThinkingBlock
    | ToolUseBlock
    | ToolResultBlock
    | ServerToolUseBlock
    | McpToolUseBlock
    | McpToolResultBlock
    | McpToolListingBlock
    | WebSearchResultBlock
    | WebFetchResultBlock
    | CodeExecutionResultBlock
    | BashResultBlock
    | TextEditorResultBlock
    | ToolSearchResultBlock
    | AdvisorResultBlock
    | ContainerUploadBlock
    | CompactionBlock
    | FallbackBlock
    | ToolAdditionBlock
    | ToolRemovalBlock
)


class MessageParam(Struct):
    """A message of the conversation. Its role is checked later, so that a refusal lists the roles in the API's order."""

    role: str
    content: str | list[Block]
    clear_at: Literal["next_user_message", "never"] | None = None


class Thinking(Struct):
    """Whether to think, and at most how much."""

    type: Literal["enabled", "adaptive", "disabled", "between_tools"]
    budget_tokens: Annotated[int, Meta(ge=1024)] | None = None
    display: Literal["summarized", "omitted", "updates"] | None = None


class OutputFormat(Struct):
    """The format of the text."""

    type: Literal["json_schema"]
    schema: Raw | UnsetType = UNSET


class OutputConfig(Struct):
    """The effort, and the format of the text."""

    effort: Literal["low", "medium", "high", "xhigh", "max"] | None = None
    format: OutputFormat | None = None


class Metadata(Struct):
    """Metadata of the request."""

    user_id: Annotated[str, Meta(max_length=512)] | None = None


class CountRequest(Struct, kw_only=True):
    """The body of `POST /v1/messages/count_tokens`: the fields on which the tokens of a prompt depend."""

    # NOTE: bounded because the response repeats it: a response must not be larger than its request.
    model: Annotated[str, Meta(min_length=1, max_length=256)]
    messages: list[MessageParam]
    cache_control: CacheControl | None = None
    compaction: CompactionConfig | None = None
    context_management: ContextManagement | None = None
    mcp_servers: list[McpServer] | None = None
    output_config: OutputConfig | None = None
    output_format: OutputFormat | None = None
    speed: Literal["standard", "fast"] | None = None
    system: str | list[TextBlock] | None = None
    thinking: Thinking | None = None
    tool_choice: ToolChoiceParam | None = None
    tools: list[ToolParam] | None = None

    def format(self) -> tuple[OutputFormat, tuple[str, ...]] | None:
        """Return the format that the text must have, and the path of its field; None for prose."""
        if self.output_config is not None and self.output_config.format is not None:
            return self.output_config.format, ("output_config", "format")
        if self.output_format is not None:
            return self.output_format, ("output_format",)
        return None


class MessageRequest(CountRequest, kw_only=True):
    """The body of `POST /v1/messages`."""

    max_tokens: Annotated[int, Meta(ge=0)]
    container: str | ContainerParam | None = None
    diagnostics: dict[str, Any] | None = None
    fallbacks: Literal["default"] | list[dict[str, Any]] | None = None
    inference_geo: Annotated[str, Meta(max_length=64)] | None = None
    metadata: Metadata | None = None
    service_tier: Literal["auto", "standard_only"] | None = None
    stop_sequences: list[str] | None = None
    stream: bool | None = None
    temperature: Annotated[float, Meta(ge=0, le=1)] | None = None
    thread: dict[str, Any] | None = None
    top_k: Annotated[int, Meta(ge=0)] | None = None
    top_p: Annotated[float, Meta(ge=0, le=1)] | None = None


class RawTools(Struct):
    """The tools of a request as they were sent."""

    tools: list[Raw] | None = None
