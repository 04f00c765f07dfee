"""What a request to generate a message may look like, as types.

Decisions:
* Only what is obeyed, checked or counted is declared; every other field is ignored, as are the contents of blocks
  that hosted tools have made.
* Optional fields take `null`: clients send it for what they leave out.

Source: anthropic SDK 2.12, types/message_create_params.py, content_block_param.py, tool_union_param.py, and the same
under types/beta.
"""

from typing import Annotated, Any, Literal

from msgspec import UNSET, Meta, Raw, Struct, UnsetType

Name = Annotated[str, Meta(pattern=r"^[a-zA-Z0-9_-]{1,128}$")]


class CacheControl(Struct):
    """Marks the end of a prefix to be cached. The type is always `ephemeral`."""

    type: Literal["ephemeral"]
    ttl: Literal["5m", "1h"] | None = None


class TextBlock(Struct, tag_field="type", tag="text"):
    """Text."""

    text: str
    cache_control: CacheControl | None = None


class Source(Struct):
    """Where a picture or document comes from; nothing is ever fetched."""

    type: Literal["base64", "url", "file", "text", "content"]
    data: str | None = None
    media_type: str | None = None
    url: str | None = None
    file_id: str | None = None
    content: str | list[dict[str, Any]] | None = None


class ImageBlock(Struct, tag_field="type", tag="image"):
    """A picture."""

    source: Source
    cache_control: CacheControl | None = None


class DocumentBlock(Struct, tag_field="type", tag="document"):
    """A document."""

    source: Source
    title: str | None = None
    context: str | None = None
    cache_control: CacheControl | None = None


class SearchResultBlock(Struct, tag_field="type", tag="search_result"):
    """Something that was found."""

    content: list[TextBlock]
    source: str
    title: str
    cache_control: CacheControl | None = None


class ThinkingBlock(Struct, tag_field="type", tag="thinking"):
    """What the model thought in an earlier turn."""

    thinking: str
    signature: str


class RedactedThinkingBlock(Struct, tag_field="type", tag="redacted_thinking"):
    """What it thought, hidden."""

    data: str


class ToolUseBlock(Struct, tag_field="type", tag="tool_use"):
    """A call that the model made."""

    id: Annotated[str, Meta(pattern=r"^[a-zA-Z0-9_-]+$")]
    name: Annotated[str, Meta(min_length=1, max_length=200)]
    input: dict[str, Any]
    cache_control: CacheControl | None = None


class ToolReferenceBlock(Struct, tag_field="type", tag="tool_reference"):
    """A tool that a search has found."""

    tool_name: str
    cache_control: CacheControl | None = None


class BrowserStateBlock(Struct, tag_field="type", tag="browser_state"):
    """What a browser shows."""

    cache_control: CacheControl | None = None


ResultPart = (
    TextBlock | ImageBlock | DocumentBlock | SearchResultBlock | ToolReferenceBlock | BrowserStateBlock
)


class ToolResultBlock(Struct, tag_field="type", tag="tool_result"):
    """What a call has given."""

    tool_use_id: Annotated[str, Meta(pattern=r"^[a-zA-Z0-9_-]+$")]
    content: str | list[ResultPart] | None = None
    is_error: bool | None = None
    cache_control: CacheControl | None = None


class HostedBlock(Struct, tag_field="type"):
    """Something that a tool of the API's own was asked or has answered; counted as the JSON it holds."""

    content: Raw | UnsetType = UNSET
    input: Raw | UnsetType = UNSET
    cache_control: CacheControl | None = None


class ServerToolUseBlock(HostedBlock, tag="server_tool_use"):
    """A call of a tool of the API's own."""


class McpToolUseBlock(HostedBlock, tag="mcp_tool_use"):
    """A call of a tool of an MCP server."""


class McpToolResultBlock(HostedBlock, tag="mcp_tool_result"):
    """Its answer."""


class WebSearchResultBlock(HostedBlock, tag="web_search_tool_result"):
    """What a search on the web has found."""


class WebFetchResultBlock(HostedBlock, tag="web_fetch_tool_result"):
    """A page of the web."""


class CodeExecutionResultBlock(HostedBlock, tag="code_execution_tool_result"):
    """What code has printed."""


class BashResultBlock(HostedBlock, tag="bash_code_execution_tool_result"):
    """What a shell has printed."""


class TextEditorResultBlock(HostedBlock, tag="text_editor_code_execution_tool_result"):
    """What an editor shows."""


class ToolSearchResultBlock(HostedBlock, tag="tool_search_tool_result"):
    """Which tools a search has found."""


class AdvisorResultBlock(HostedBlock, tag="advisor_tool_result"):
    """What an advisor says."""


class ContainerUploadBlock(HostedBlock, tag="container_upload"):
    """A file for a container."""


class CompactionBlock(HostedBlock, tag="compaction"):
    """What is left of an earlier part of the conversation."""


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
    | WebSearchResultBlock
    | WebFetchResultBlock
    | CodeExecutionResultBlock
    | BashResultBlock
    | TextEditorResultBlock
    | ToolSearchResultBlock
    | AdvisorResultBlock
    | ContainerUploadBlock
    | CompactionBlock
)


class MessageParam(Struct):
    """One message of the conversation. The role is checked later, so that a refusal names roles in the API's order."""

    role: str
    content: str | list[Block]


def sent(json: Raw | UnsetType) -> bytes:
    """Give JSON as it was sent; empty if it was left out, or is `null`."""
    if json is UNSET:
        return b""
    found = bytes(json)
    return b"" if found == b"null" else found


class Member(Struct):
    """What is said about one tool of a toolset."""

    enabled: bool | None = None


class Tool(Struct):
    """A tool; those of the API's own have a `type` with a date and no schema."""

    name: Name | None = None
    type: str | None = None
    description: str | None = None
    input_schema: Raw | UnsetType = UNSET
    strict: bool | None = None
    max_uses: Annotated[int, Meta(ge=1)] | None = None
    configs: dict[str, Member | None] | None = None
    cache_control: CacheControl | None = None

    def schema(self) -> bytes:
        """Give its schema as it was sent; empty if there is none."""
        return sent(self.input_schema)


class ToolChoice(Struct):
    """Whether and which tools are to be called."""

    type: Literal["auto", "any", "tool", "none"]
    name: str | None = None
    disable_parallel_tool_use: bool | None = None


class Thinking(Struct):
    """Whether and how much to think."""

    type: Literal["enabled", "adaptive", "disabled", "between_tools"]
    budget_tokens: Annotated[int, Meta(ge=1024)] | None = None
    display: Literal["summarized", "omitted"] | None = None


class OutputFormat(Struct):
    """The form of the answer."""

    type: Literal["json_schema"]
    schema: Raw | UnsetType = UNSET


class OutputConfig(Struct):
    """How much effort goes into the answer, and its form."""

    effort: Literal["low", "medium", "high", "xhigh", "max"] | None = None
    format: OutputFormat | None = None


class Metadata(Struct):
    """What describes the request."""

    user_id: Annotated[str, Meta(max_length=512)] | None = None


class CountRequest(Struct, kw_only=True):
    """The body of `POST /v1/messages/count_tokens`: what decides about the tokens of a prompt."""

    # NOTE: bounded because it comes back in the answer: a request must not cost more than itself.
    model: Annotated[str, Meta(min_length=1, max_length=256)]
    messages: list[MessageParam]
    cache_control: CacheControl | None = None
    context_management: dict[str, Any] | None = None
    output_config: OutputConfig | None = None
    output_format: OutputFormat | None = None
    speed: Literal["standard", "fast"] | None = None
    system: str | list[TextBlock] | None = None
    thinking: Thinking | None = None
    tool_choice: ToolChoice | None = None
    tools: list[Tool] | None = None


class MessageRequest(CountRequest, kw_only=True):
    """The body of `POST /v1/messages`."""

    max_tokens: Annotated[int, Meta(ge=0)]
    container: str | dict[str, Any] | None = None
    diagnostics: dict[str, Any] | None = None
    inference_geo: Annotated[str, Meta(max_length=64)] | None = None
    mcp_servers: list[dict[str, Any]] | None = None
    metadata: Metadata | None = None
    service_tier: Literal["auto", "standard_only"] | None = None
    stop_sequences: list[str] | None = None
    stream: bool | None = None
    temperature: Annotated[float, Meta(ge=0, le=1)] | None = None
    thread: dict[str, Any] | None = None
    top_k: Annotated[int, Meta(ge=0)] | None = None
    top_p: Annotated[float, Meta(ge=0, le=1)] | None = None


class SentTools(Struct):
    """The tools of a request as they were sent."""

    tools: list[Raw] | None = None
