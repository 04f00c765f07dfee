"""MCP servers, their toolsets, and containers as a request has them, as types.

Source: anthropic SDK 2.14, types/beta/beta_request_mcp_server_*_param.py, beta_mcp_tool*_param.py, beta_container_params.py,
beta_skill_params.py.
"""

from typing import Annotated, Literal

from msgspec import UNSET, Meta, Raw, Struct, UnsetType

ShortText = Annotated[str, Meta(min_length=1, max_length=64)]


class McpToolConfiguration(Struct):
    """Which tools of a server may be called; of the first version of the beta."""

    allowed_tools: list[str] | None = None
    enabled: bool | None = None


class McpServer(Struct):
    """A server whose tools may be called."""

    name: Annotated[str, Meta(min_length=1)]
    type: Literal["url"]
    url: str
    authorization_token: str | None = None
    tool_configuration: McpToolConfiguration | None = None


class McpTool(Struct):
    """A tool as its server lists it."""

    name: Annotated[str, Meta(min_length=1)]
    input_schema: Raw | UnsetType = UNSET
    description: str | None = None


class SkillParam(Struct, frozen=True):
    """A skill to load."""

    type: Literal["anthropic", "custom"]
    skill_id: ShortText
    version: ShortText | None = None


class ContainerParam(Struct, frozen=True):
    """A container to use, and the skills to load in it."""

    id: str | None = None
    skills: Annotated[list[SkillParam], Meta(max_length=8)] | None = None
