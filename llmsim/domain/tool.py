"""What a model may call, what it has called, and what came back.

Decisions:
* A schema stays JSON as it was sent: agents send the same tools with every request, so whoever reads one
  remembers it by its bytes, and a prompt is cheap to keep.
"""

import enum

import msgspec


class ToolKind(enum.Enum):
    """Who runs a tool, and what it takes.

    `FUNCTION` takes JSON by a schema and `CUSTOM` free text; both are run by the client. `HOSTED` is run by the provider.
    """

    FUNCTION = "function"
    CUSTOM = "custom"
    HOSTED = "hosted"


class Tool(msgspec.Struct, frozen=True):
    """Something a model may call.

    Attributes:
        name: Its name; of a hosted tool the provider's word for its kind, e.g. `web_search`.
        kind: Who runs it.
        description: What it is good for; empty if nobody says.
        schema: JSON schema of its arguments; empty where it takes none, or none by a schema.
    """

    name: str
    kind: ToolKind = ToolKind.FUNCTION
    description: str = ""
    schema: bytes = b""


class ToolMode(enum.Enum):
    """Whether tools are called."""

    NONE = "none"
    AUTO = "auto"
    REQUIRED = "required"


class ToolChoice(msgspec.Struct, frozen=True):
    """Whether tools are to be called, and which.

    Attributes:
        mode: Whether.
        names: Those that may be called, of all that are offered; None for any of them.
        parallel: Whether one turn may call several.
        limit: Most hosted calls of one turn; None for as many as there may be.
    """

    mode: ToolMode = ToolMode.AUTO
    names: tuple[str, ...] | None = None
    parallel: bool = True
    limit: int | None = None


class PriorToolCall(msgspec.Struct, frozen=True):
    """A call of an earlier turn, as the client sends it back. Its name and arguments are counted.

    Attributes:
        id: By which its result names it.
        name: The tool's name.
        arguments: JSON, or the free text of a custom tool.
    """

    id: str
    name: str
    arguments: str


class ToolResult(msgspec.Struct, frozen=True):
    """What a call has given. Its text is counted.

    Attributes:
        call: Id of the call; where a provider has none, the tool's name.
        text: All of its text.
    """

    call: str
    text: str


class ToolCall(msgspec.Struct, frozen=True):
    """A call in a turn; its arguments are the text of its segment.

    Attributes:
        id: Unique in the turn and over all turns; renderers put their prefix before it.
        name: The tool's name.
        kind: Who runs it.
        fixed_id: The whole id, where a script says it; None otherwise.
    """

    id: str
    name: str
    kind: ToolKind = ToolKind.FUNCTION
    fixed_id: str | None = None

    def public_id(self, prefix: str) -> str:
        """Give the id by which the client names the call.

        Args:
            prefix: What the provider's own ids begin with, e.g. `call_`.
        """
        return self.fixed_id or prefix + self.id


class ResponseFormat(msgspec.Struct, frozen=True):
    """The form that the text of an answer must have: JSON.

    Attributes:
        schema: JSON schema of the text; empty for any JSON object.
        name: What the client calls it; empty if it does not.
    """

    schema: bytes = b""
    name: str = ""
