"""The tools of a request, and what messages say of them, as types.

Source: anthropic SDK 2.14, types/tool_union_param.py, tool_choice_*_param.py, types/beta/beta_request_tool_addition_block_param.py,
beta_request_tool_removal_block_param.py, beta_tool_change_*_param.py.
"""

from typing import Annotated, Literal

from msgspec import UNSET, Meta, Raw, Struct, UnsetType

from llmsim.providers.anthropic.connected_request import McpTool

Name = Annotated[str, Meta(pattern=r"^[a-zA-Z0-9_-]{1,128}$")]


class CacheControl(Struct):
    """Marks the end of a prefix to be cached. The type is always `ephemeral`."""

    type: Literal["ephemeral"]
    ttl: Literal["5m", "1h"] | None = None


class CitationsConfig(Struct):
    """Whether a source may be cited."""

    enabled: bool | None = None


def raw_json(value: Raw | UnsetType) -> bytes:
    """Return a value as it was sent; empty if it was left out or is `null`."""
    if value is UNSET:
        return b""
    json = bytes(value)
    return b"" if json == b"null" else json


class ToolConfig(Struct):
    """Settings of one tool of a toolset."""

    enabled: bool | None = None


class UserLocation(Struct):
    """Where a search is made."""

    type: Literal["approximate"]


class ToolParam(Struct):
    """A tool; those that Anthropic defines have a `type` with a date and no schema."""

    name: Name | None = None
    type: str | None = None
    description: str | None = None
    input_schema: Raw | UnsetType = UNSET
    strict: bool | None = None
    defer_loading: bool | None = None
    model: str | None = None
    allowed_domains: list[str] | None = None
    blocked_domains: list[str] | None = None
    user_location: UserLocation | None = None
    max_content_tokens: Annotated[int, Meta(ge=1)] | None = None
    max_characters: Annotated[int, Meta(ge=1)] | None = None
    display_height_px: Annotated[int, Meta(ge=1)] | None = None
    display_width_px: Annotated[int, Meta(ge=1)] | None = None
    allowed_callers: list[str] | None = None
    citations: CitationsConfig | None = None
    max_uses: Annotated[int, Meta(ge=1)] | None = None
    configs: dict[str, ToolConfig | None] | None = None
    mcp_server_name: str | None = None
    default_config: ToolConfig | None = None
    tools: list[McpTool] | None = None
    cache_control: CacheControl | None = None

    @property
    def is_custom(self) -> bool:
        """Whether the client defines it."""
        return self.type in (None, "custom")

    @property
    def key(self) -> str:
        """What messages name it by: its name, or that of its server with a slash."""
        return f"{self.mcp_server_name}/" if self.mcp_server_name else self.name or self.type or ""

    def schema(self) -> bytes:
        """Return its schema as it was sent; empty if it has no schema."""
        return raw_json(self.input_schema)


class ToolChoiceParam(Struct):
    """Whether and which tools are to be called."""

    type: Literal["auto", "any", "tool", "none"]
    name: str | None = None
    disable_parallel_tool_use: bool | None = None


class ToolReference(Struct, tag_field="type", tag="tool_reference"):
    """Names a tool."""

    name: str

    @property
    def key(self) -> str:
        """What it names."""
        return self.name

    @property
    def owner(self) -> str:
        """The entry of `tools` that has it."""
        return self.name


class McpToolReference(Struct, tag_field="type", tag="mcp_tool_reference"):
    """Names a tool of an MCP server."""

    name: str
    server_name: str

    @property
    def key(self) -> str:
        """What it names."""
        return f"{self.server_name}/{self.name}"

    @property
    def owner(self) -> str:
        """The entry of `tools` that has it."""
        return f"{self.server_name}/"


class McpToolsetReference(Struct, tag_field="type", tag="mcp_toolset_reference"):
    """Names all tools of an MCP server."""

    server_name: str

    @property
    def key(self) -> str:
        """What it names."""
        return f"{self.server_name}/"

    @property
    def owner(self) -> str:
        """The entry of `tools` that has it."""
        return self.key


class ToolDefinition(Struct, tag_field="type", tag="tool_definition"):
    """Defines a tool within the conversation."""

    definition: ToolParam

    @property
    def key(self) -> str:
        """What it names."""
        return self.definition.key

    @property
    def owner(self) -> str:
        """The entry of `tools` that has it."""
        return self.key


class ToolAdditionBlock(Struct, tag_field="type", tag="tool_addition"):
    """Offers a tool from here on."""

    tool: ToolReference | McpToolReference | McpToolsetReference | ToolDefinition
    cache_control: CacheControl | None = None


class ToolRemovalBlock(Struct, tag_field="type", tag="tool_removal"):
    """Withdraws a tool from here on."""

    tool: ToolReference | McpToolReference | McpToolsetReference
    cache_control: CacheControl | None = None
