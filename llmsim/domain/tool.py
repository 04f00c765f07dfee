"""Tools, their calls and their results.

Decisions:
* A schema stays JSON as it was sent: agents send the same tools with every request, so a parsed schema is
  cached by its bytes, and a prompt is cheap to store.
"""

import enum

import msgspec


class ToolKind(enum.Enum):
    """Who runs a tool, and what its arguments are.

    Arguments of `FUNCTION` are JSON by a schema, those of `CUSTOM` free text; the client runs both. The provider runs `HOSTED`, whose
    arguments are text, or JSON if it has a schema.
    The provider defines `CLIENT_HOSTED`, as a shell or a computer, and the client runs it; its arguments are the action, JSON.
    A call of `ON_APPROVAL` ends the turn: the provider runs it once the client has approved it.
    """

    FUNCTION = "function"
    CUSTOM = "custom"
    HOSTED = "hosted"
    CLIENT_HOSTED = "client_hosted"
    ON_APPROVAL = "on_approval"


class Tool(msgspec.Struct, frozen=True):
    """A tool that a model may call.

    Attributes:
        name: Its name; of a hosted tool the provider's name of its kind, e.g. `web_search`.
        kind: Who runs it.
        description: What it does; empty if the request has none.
        schema: JSON schema of its arguments; empty if there is none.
        grammar: The grammar of its input, which is only counted; empty if there is none.
        arguments: Those of the call that is due, as the client has approved it; None if no call is due.
        finds_tools: Whether it finds further tools, which may fit where none of those that are offered does.
    """

    name: str
    kind: ToolKind = ToolKind.FUNCTION
    description: str = ""
    schema: bytes = b""
    grammar: str = ""
    arguments: str | None = None
    finds_tools: bool = False


class ToolMode(enum.Enum):
    """Whether tools are called."""

    NONE = "none"
    AUTO = "auto"
    REQUIRED = "required"


class ToolChoice(msgspec.Struct, frozen=True):
    """Whether to call tools, and which.

    Attributes:
        mode: Whether to call any.
        names: The offered tools that may be called; None for any of them.
        parallel: Whether one turn may call several.
        limit: Most hosted calls of one turn; None for any number.
        may_pause: Whether a turn may pause after hosted calls, for the client to continue it.
    """

    mode: ToolMode = ToolMode.AUTO
    names: tuple[str, ...] | None = None
    parallel: bool = True
    limit: int | None = None
    may_pause: bool = False


class PriorToolCall(msgspec.Struct, frozen=True):
    """A call of an earlier turn, as the client sends it back. Its name and arguments are counted.

    Attributes:
        id: By which its result refers to it.
        name: The tool's name.
        arguments: JSON, or the free text of a custom tool.
    """

    id: str
    name: str
    arguments: str


class ToolResult(msgspec.Struct, frozen=True):
    """The result of a call. Its text is counted.

    Attributes:
        call: Id of the call; the tool's name where a provider has no ids.
        text: All of its text.
    """

    call: str
    text: str


class ToolCall(msgspec.Struct, frozen=True):
    """A call in a turn; its arguments are in its segment.

    Attributes:
        id: Unique in the turn and over all turns; renderers add their prefix.
        name: The tool's name.
        kind: Who runs it.
        fixed_id: The whole id, if a script sets it; None otherwise.
    """

    id: str
    name: str
    kind: ToolKind = ToolKind.FUNCTION
    fixed_id: str | None = None

    def public_id(self, prefix: str) -> str:
        """Return the id that the client gets.

        Args:
            prefix: Prefix of the provider's own ids, e.g. `call_`.
        """
        return self.fixed_id or prefix + self.id


class ResponseFormat(msgspec.Struct, frozen=True):
    """The requested format of the text: JSON.

    Attributes:
        schema: JSON schema of the text; empty for any JSON object.
        name: The client's name for it; empty if there is none.
        description: What it is for, which is only counted; empty if the request has none.
    """

    schema: bytes = b""
    name: str = ""
    description: str = ""
