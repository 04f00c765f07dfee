"""What the renderers know of a request, and what a stored response keeps of it."""

import msgspec


class ToolOptions(msgspec.Struct, frozen=True, kw_only=True):
    """What the items of tools tell.

    Attributes:
        results: Whether file searches tell what they found.
        sources: Whether web searches tell where they looked.
        outputs: Whether code that was run tells what it put out.
        partial_images: How many pictures of a picture in the making are told.
        server: Label of the MCP server; empty if there is none.
        server_tool: What is called there.
        namespaces: The namespace of each tool that stands in one, by the tool's name.
    """

    results: bool = False
    sources: bool = False
    outputs: bool = False
    partial_images: int = 0
    server: str = ""
    server_tool: str = ""
    namespaces: dict[str, str] = {}


class ResponseOptions(msgspec.Struct, frozen=True, kw_only=True):
    """What only the renderers of the Responses API understand.

    Attributes:
        echo: JSON members of the response object that repeat the request, without braces.
        items: The input as JSON, one an item, earlier turns first; those of this request as they were sent.
        instructed: Whether the prompt's first message is the `instructions`.
        previous: Id of the response that this one continues; None if it continues none.
        summary: How much is told of the reasoning; None for nothing.
        sealed: Whether reasoning items carry encrypted content.
        store: Whether the response is kept.
        background: Whether it comes about without its client.
        generate: Whether anything is to be said; otherwise the response is empty, to be continued later.
        obfuscation: Whether delta events carry padding.
        service_tier: As requested; it is reported as long as the response is not done.
        metadata: The client's own notes.
        tools: What the items of tools tell.
    """

    echo: bytes
    items: tuple[bytes, ...] = ()
    instructed: bool = False
    previous: str | None = None
    summary: str | None = None
    sealed: bool = False
    store: bool = True
    background: bool = False
    generate: bool = True
    obfuscation: bool = True
    service_tier: str = "auto"
    metadata: dict[str, str] = {}
    tools: ToolOptions = ToolOptions()
