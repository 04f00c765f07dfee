"""Options of a request for the renderers; they are stored with its response."""

import msgspec


class FoundText(msgspec.Struct, frozen=True):
    """A part of an uploaded file that a file search finds.

    Attributes:
        attributes: The client's labels of the file.
        file_id: The file.
        filename: Its name.
        score: How well it fits, from 0 to 1.
        text: The part.
    """

    attributes: dict[str, str | float | bool]
    file_id: str
    filename: str
    score: float
    text: str


class McpServer(msgspec.Struct, frozen=True):
    """An MCP server.

    Attributes:
        label: The client's name for it.
        tools: Names of the tools that it offers; there is one at least.
        called: The one that is called.
    """

    label: str
    tools: tuple[str, ...]
    called: str


class McpCall(msgspec.Struct, frozen=True):
    """What a call on an MCP server shows.

    Attributes:
        server: Label of the server.
        tool: The tool that is called on it.
        approval: Id of the request by which the client has approved it; None if it needed no approval.
    """

    server: str
    tool: str
    approval: str | None = None


class Deferred(msgspec.Struct, frozen=True):
    """A tool that a search loads.

    Attributes:
        path: What the search finds: its name, or that of its namespace.
        definition: The tool or the namespace, as it was sent.
    """

    path: str
    definition: bytes


class ProgramResult(msgspec.Struct, frozen=True):
    """What the program of an earlier turn puts out.

    Attributes:
        call_id: Id of the program.
        result: Result of the last of its calls.
    """

    call_id: str
    result: str


class ToolOptions(msgspec.Struct, frozen=True, kw_only=True):
    """Options for the items of tool calls.

    Attributes:
        results: Whether file searches show their results.
        sources: Whether web searches show their sources.
        vector_stores: Ids of the vector stores that file searches read.
        most_found: Most results of a file search.
        found: What file searches find in them; None where no stores are read, and results are made up.
        outputs: Whether the code interpreter shows its output.
        partial_images: Number of partial images that image generation shows.
        unlisted: MCP servers that are still to be listed.
        mcp_calls: What calls on MCP servers show, by the name of the call.
        deferred: The tools that are still to be loaded by a search, by name.
        searches_client: Whether the client runs that search; then what it has not found cannot be called.
        program_tools: Names of the tools that only programs call.
        program_result: The output of the program that runs; None if none does.
        namespaces: The namespace of each tool that is in one, by the tool's name.
        batches_actions: Whether a call of the computer has a list of actions.
    """

    results: bool = False
    sources: bool = False
    vector_stores: tuple[str, ...] = ()
    most_found: int = 20
    found: tuple[FoundText, ...] | None = None
    outputs: bool = False
    partial_images: int = 0
    unlisted: tuple[McpServer, ...] = ()
    mcp_calls: dict[str, McpCall] = {}
    deferred: dict[str, Deferred] = {}
    searches_client: bool = False
    program_tools: tuple[str, ...] = ()
    program_result: ProgramResult | None = None
    namespaces: dict[str, str] = {}
    batches_actions: bool = False


class ResponseOptions(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """Options for the renderers of the Responses API.

    Attributes:
        echo: JSON members of the response object that repeat the request, without braces.
        input_items: The input items as JSON, earlier turns first; those of this request as they were sent.
        has_instructions: Whether the prompt's first message is the `instructions`.
        references: Ids of items that the input names only.
        is_whole: Whether the conversation is no more than the input.
        compact_threshold: Tokens of a prompt from which on it is compacted; None for never.
        has_phase: Whether messages have a phase.
        conversation: Id of the conversation that it continues; None for no conversation.
        own_items: Number of the input items, at their end, that are this request's; only with a conversation.
        previous_response_id: Id of the response that this one continues; None if there is no such response.
        summary: Detail of the reasoning summary; None for no summary.
        encrypts_reasoning: Whether reasoning items carry encrypted content.
        store: Whether the response is stored.
        background: Whether it is generated without its client.
        obfuscation: Whether delta events carry padding.
        service_tier: As requested; it is reported while the response is not done.
        metadata: The client's own labels.
        moderated: Result of the moderation of what is asked, and its model; None for no moderation.
        tools: Options for the items of tool calls.
    """

    echo: bytes
    input_items: tuple[bytes, ...] = ()
    has_instructions: bool = False
    references: tuple[str, ...] = ()
    is_whole: bool = True
    compact_threshold: int | None = None
    has_phase: bool = False
    conversation: str | None = None
    own_items: int = 0
    previous_response_id: str | None = None
    summary: str | None = None
    encrypts_reasoning: bool = False
    store: bool = True
    background: bool = False
    obfuscation: bool = True
    service_tier: str = "auto"
    metadata: dict[str, str] = {}
    moderated: tuple[bytes, str] | None = None
    tools: ToolOptions = ToolOptions()
